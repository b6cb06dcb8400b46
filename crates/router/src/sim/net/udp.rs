//! UDP sockets of the simulated network.

use std::{
    cell::Cell,
    io::{self, ErrorKind, IoSlice},
    rc::Rc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Host, Mode, SimNet, State};
use crate::{
    sim::{account::Order, sample::in_datagram},
    target::net::Socket,
};

/// A machine says that nobody listens so often at most.
const REFUSALS_APART: Duration = Duration::from_secs(1);

/// A UDP socket of the router.
pub(super) struct Udp {
    pub(super) host: Rc<Host>,
    pub(super) refused: Cell<bool>,
    full: Cell<bool>,
    writable: Notify,
    pub(super) open: Cell<bool>,
}

impl Udp {
    pub(super) fn new(host: Rc<Host>) -> Self {
        let (refused, full, open) = (Cell::new(false), Cell::new(false), Cell::new(true));
        Self { host, refused, full, writable: Notify::new(), open }
    }

    /// The kernel may have room again; `true` if there may be more to do.
    pub(super) fn drain(&self, net: &State) -> bool {
        if self.full.get() && !net.random.one_in(3) {
            self.full.set(false);
            self.writable.notify_one();
        }
        self.full.get() || self.host.refusal_at.get().is_some()
    }
}

/// The router's UDP socket.
pub(in crate::sim) struct SimSocket {
    pub(super) udp: Rc<Udp>,
    pub(super) net: SimNet,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.udp.open.set(false);
    }
}

impl SimSocket {
    /// The kernel takes one datagram, unless it has a word on an earlier one.
    fn send_one(&self, datagram: &[u8]) -> io::Result<()> {
        let (udp, random) = (&self.udp, &self.net.0.random);
        if udp.refused.take() {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if datagram.len() > udp.host.mtu {
            return Err(io::Error::from_raw_os_error(nix::errno::Errno::EMSGSIZE as i32));
        }
        if udp.host.mode.get() == Mode::Refusing {
            self.refuse();
        }
        let samples = match in_datagram(datagram, udp.host.protocol) {
            Ok(samples) => samples,
            Err(fault) => {
                self.net.0.check.borrow_mut().fault(fault);
                return Ok(());
            }
        };
        let arrives = matches!(udp.host.mode.get(), Mode::Up | Mode::Slow(_))
            && (self.net.0.calm.get() || !random.one_in(30));
        let mut check = self.net.0.check.borrow_mut();
        check.taken(udp.host.port, &samples, &mut Order::default());
        if arrives {
            check.arrived(udp.host.port, &samples);
        } else {
            check.lost(udp.host.port, &samples);
        }
        Ok(())
    }

    fn refuse(&self) {
        let host = &self.udp.host;
        let now = Instant::now();
        let due = host.refused_at.get().is_none_or(|at| now - at >= REFUSALS_APART);
        if host.near {
            self.udp.refused.set(true);
        } else if due {
            let late = Duration::from_millis(self.net.0.random.between(1, 150));
            host.refused_at.set(Some(now));
            host.refusal_at.set(Some(now + late));
            self.net.0.busy.notify_one();
        }
    }
}

impl Socket for SimSocket {
    async fn writable(&self) -> io::Result<()> {
        loop {
            let notified = self.udp.writable.notified();
            if !self.udp.full.get() {
                return Ok(());
            }
            notified.await;
        }
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send_one(datagram)
    }

    fn try_send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send_one(datagram)
    }

    fn try_send_many(&self, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        let random = &self.net.0.random;
        if !self.net.0.calm.get() && random.one_in(10) {
            self.udp.full.set(true);
            self.net.0.busy.notify_one();
            return Err(ErrorKind::WouldBlock.into());
        }
        let most =
            if random.one_in(8) { 1 + random.size(datagrams.len()) } else { datagrams.len() };
        for (count, [datagram]) in datagrams.iter().take(most).enumerate() {
            if let Err(error) = self.send_one(datagram) {
                // Behind the first one an error is forgotten.
                return if count == 0 { Err(error) } else { Ok(count) };
            }
        }
        Ok(most)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.udp.refused.take().then(|| ErrorKind::ConnectionRefused.into()))
    }
}
