//! How a life begins: all that `Bound::run` starts, on one thread and in one order.

use std::{cell::RefCell, mem::take, path::Path, rc::Rc, sync::Arc};

use coco_spool::{Budget, Root, disk::SimDisk};
use tokio::task::JoinSet;

use super::{Clocks, Life, SHARDS, crews::Crews, shown};
use crate::{
    control::{Control, Held},
    listen::{Listener, kernel::DropWatch},
    plan::Plan,
    shared::Shared,
    sim::{check::Check, net::SimNet, plans::ROOT},
    spooler::{Adopter, Next, Orders, PAUSE, PAUSE_IDLE, Work},
    telemetry::Registry,
};

impl Life {
    /// Starts a router on what is on the disk.
    pub(in crate::sim) fn begin(
        plan: Plan,
        disk: &SimDisk,
        net: &SimNet,
        check: &Rc<RefCell<Check>>,
        clocks: &Rc<Clocks>,
    ) -> Self {
        let registry = Registry::default();
        check.borrow_mut().know(&plan);
        check.borrow().say(|| format!("begin\n{}", shown(&plan)));
        let listeners = listeners(&plan, &registry);
        let shared = Arc::new(Shared::new(&plan, registry, &listeners, SHARDS));
        for target in &shared.routes.load_full().targets {
            net.add_host(target.plan.address.port, target.protocol);
        }
        let (adopter, mut work) = spooler(&plan, disk, &shared);
        work.take_orders(clocks.now());
        let mut crews = Crews::default();
        (0..SHARDS).for_each(|index| crews.start(index, &shared, net, &listeners[1], check));
        let held = Held {
            plan: plan.clone(),
            listeners: listeners.clone(),
            shards: take(&mut crews.inboxes),
            adopter: Some(adopter),
        };
        let mut life = Self {
            control: Arc::new(Control::new(held)),
            shared,
            plan,
            listeners,
            crews,
            spooler: JoinSet::new(),
            work: Rc::new(RefCell::new(Some(work))),
            check: Rc::clone(check),
            clocks: Rc::clone(clocks),
            spooled: Rc::default(),
        };
        life.spool();
        life
    }

    /// Lets the spooler work.
    fn spool(&mut self) {
        let (work, clocks) = (Rc::clone(&self.work), Rc::clone(&self.clocks));
        let spooled = Rc::clone(&self.spooled);
        self.spooler.spawn_local(async move {
            loop {
                let next = match work.borrow_mut().as_mut() {
                    Some(work) => {
                        let next = work.round(clocks.now());
                        spooled.borrow_mut().note(work);
                        next
                    }
                    None => return,
                };
                match next {
                    Next::AtOnce => tokio::task::yield_now().await,
                    Next::Soon => tokio::time::sleep(PAUSE).await,
                    Next::Idle => tokio::time::sleep(PAUSE_IDLE).await,
                }
            }
        });
    }
}

fn listeners(plan: &Plan, registry: &Registry) -> Vec<Arc<Listener>> {
    let listener = |(number, plan): (usize, _)| {
        let address = format!("127.0.0.1:{}", number + 1).parse().unwrap();
        Arc::new(Listener::new(plan, address, DropWatch::default(), registry))
    };
    plan.listeners.iter().enumerate().map(listener).collect()
}

/// The spooler, which has been told of all targets, and the way to tell it of others.
fn spooler(plan: &Plan, disk: &SimDisk, shared: &Arc<Shared>) -> (Adopter, Work<SimDisk>) {
    let spool = plan.spool.clone().unwrap();
    let budget = Arc::new(Budget::new(spool.bytes_max));
    let root = Root::open(disk.clone(), Path::new(ROOT), budget).unwrap();
    let orders = Arc::new(Orders::default());
    let adopter = Adopter::new(Arc::clone(&orders), std::thread::current());
    for target in shared.routes.load_full().targets.iter().filter(|t| t.link.is_some()) {
        adopter.adopt(Arc::clone(target));
    }
    (adopter, Work::new(Some(root), spool, Arc::clone(shared), orders))
}
