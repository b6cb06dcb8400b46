//! The router's shards and their TCP clients.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{CLIENTS, SHARDS};
use crate::{
    control::Inbox,
    inlet::Inlet,
    listen::Listener,
    shard::Crew,
    shared::Shared,
    sim::{
        check::Check,
        client::{Client, read},
        net::SimNet,
    },
};

/// All shards; what each has of its own stands at its index.
#[derive(Default)]
pub(in crate::sim) struct Crews {
    pub(super) inlets: Vec<Rc<Inlet>>,
    pub(super) inboxes: Vec<Inbox>,
    /// Of each shard.
    pub(in crate::sim) clients: Vec<Rc<Client>>,
    pub(super) dry: Vec<oneshot::Receiver<()>>,
    pub(super) tasks: JoinSet<()>,
}

impl Crews {
    /// Starts one, whose clients have come by `listener`.
    pub(super) fn start(
        &mut self,
        index: usize,
        shared: &Arc<Shared>,
        net: &SimNet,
        listener: &Arc<Listener>,
        check: &Rc<RefCell<Check>>,
    ) {
        let mut crew = Crew::new(shared, net.clone());
        for target in shared.routes.load_full().targets.iter().skip(index).step_by(SHARDS) {
            crew.serve(Arc::clone(target), target.lever.stages());
        }
        for _ in 0..CLIENTS {
            let client = Rc::new(Client::default());
            self.clients.push(Rc::clone(&client));
            crew.readers.spawn_local(read(client, listener, &crew.inlet, check));
        }
        self.inlets.push(Rc::clone(&crew.inlet));
        let (commands, mut obeyed) = mpsc::channel(8);
        let (told, is_dry) = oneshot::channel();
        self.inboxes.push(Inbox { clients: mpsc::channel(1).0, commands });
        self.dry.push(is_dry);
        self.tasks.spawn_local(async move { crew.run(&mut obeyed, told).await });
    }
}
