//! TCP connections of the simulated network.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Host, Mode, SimNet, State};
use crate::{
    sim::{account::Order, sample::take_units},
    target::net::Stream,
};

/// A machine ends a connection on which nothing moved for so long.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A TCP connection.
pub(super) struct Pipe {
    pub(super) host: Rc<Host>,
    inner: RefCell<Ends>,
    readable: Notify,
    writable: Notify,
}

struct Ends {
    /// Taken from the router, not yet read.
    buffer: VecDeque<u8>,
    /// What was taken of a unit that has not ended.
    taken: Vec<u8>,
    /// The same of what was read.
    read: Vec<u8>,
    state: PipeState,
    /// The router sends nothing more, and waits until all is read.
    half: bool,
    moved_at: Instant,
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PipeState {
    Open,
    /// The router has closed it; what it had sent is still read.
    Closed,
    /// The receiver has closed it; the next write meets a reset.
    Ended,
    Reset,
    /// The router has closed it, the receiver has read all and closed it too.
    Finished,
}

impl Pipe {
    pub(super) fn new(host: Rc<Host>) -> Self {
        let ends = Ends {
            buffer: VecDeque::new(),
            taken: Vec::new(),
            read: Vec::new(),
            state: PipeState::Open,
            half: false,
            moved_at: Instant::now(),
            order: Order::default(),
        };
        let (readable, writable) = (Notify::new(), Notify::new());
        Self { host, inner: RefCell::new(ends), readable, writable }
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.inner.borrow().buffer.is_empty()
    }

    /// Nothing will be read any more. Who holds it still may ask how it ended.
    pub(super) fn is_over(&self) -> bool {
        let ends = self.inner.borrow();
        match ends.state {
            PipeState::Open => false,
            PipeState::Closed => ends.buffer.is_empty(),
            PipeState::Ended | PipeState::Reset | PipeState::Finished => true,
        }
    }

    /// The receiver reads, as it does; `true` if there may be more to do.
    pub(super) fn read(&self, net: &State, now: Instant) -> bool {
        if !net.calm.get() && net.random.one_in(3000) {
            let state = net.random.pick(&[PipeState::Reset, PipeState::Ended]);
            self.cut(net, state);
        }
        let mut ends = self.inner.borrow_mut();
        let reads = matches!(self.host.mode.get(), Mode::Up | Mode::Slow(_));
        if ends.state == PipeState::Open && ends.half && reads && ends.buffer.is_empty() {
            ends.state = PipeState::Finished;
            self.readable.notify_one();
        }
        if ends.buffer.is_empty() || !matches!(ends.state, PipeState::Open | PipeState::Closed) {
            ends.moved_at = now;
            return false;
        }
        let count = match self.host.mode.get() {
            Mode::Up => ends.buffer.len(),
            Mode::Slow(bytes) => bytes.min(ends.buffer.len()),
            Mode::Stuck | Mode::Refusing | Mode::Dark => 0,
        };
        if count > 0 {
            ends.moved_at = now;
            let Ends { buffer, read, .. } = &mut *ends;
            read.extend(buffer.drain(..count));
            let units = take_units(read, self.host.protocol);
            drop(ends);
            let mut check = net.check.borrow_mut();
            match units {
                Ok(samples) => check.arrived(self.host.port, &samples),
                Err(fault) => check.fault(fault),
            }
            self.writable.notify_one();
            return true;
        }
        let timed_out = now - ends.moved_at >= USER_TIMEOUT;
        drop(ends);
        if timed_out {
            self.cut(net, PipeState::Reset);
        }
        true
    }

    /// Breaks a connection: what nobody had read is lost.
    pub(super) fn cut(&self, net: &State, state: PipeState) {
        let mut ends = self.inner.borrow_mut();
        if matches!(ends.state, PipeState::Reset | PipeState::Ended | PipeState::Finished) {
            return;
        }
        ends.state = state;
        let Ends { buffer, read, .. } = &mut *ends;
        read.extend(buffer.drain(..));
        let units = take_units(read, self.host.protocol);
        drop(ends);
        self.readable.notify_one();
        self.writable.notify_one();
        let mut check = net.check.borrow_mut();
        match units {
            Ok(samples) => check.lost(self.host.port, &samples),
            Err(fault) => check.fault(fault),
        }
    }
}

/// The router's end of a connection.
pub(in crate::sim) struct SimStream {
    pub(super) pipe: Rc<Pipe>,
    pub(super) net: SimNet,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut ends = self.pipe.inner.borrow_mut();
        if ends.state == PipeState::Open {
            ends.state = PipeState::Closed;
        }
        self.net.0.busy.notify_one();
    }
}

impl SimStream {
    /// Takes bytes from the router, of which `lost` arrive nowhere.
    fn take(&self, ends: &mut Ends, bytes: &[u8], lost: bool) {
        let port = self.pipe.host.port;
        ends.taken.extend_from_slice(bytes);
        let mut check = self.net.0.check.borrow_mut();
        match take_units(&mut ends.taken, self.pipe.host.protocol) {
            Ok(samples) => {
                check.taken(port, &samples, &mut ends.order);
                if lost {
                    check.lost(port, &samples);
                }
            }
            Err(fault) => check.fault(fault),
        }
        if !lost {
            ends.buffer.extend(bytes);
        }
    }
}

impl Stream for SimStream {
    async fn writable(&self) -> io::Result<()> {
        loop {
            let notified = self.pipe.writable.notified();
            {
                let ends = self.pipe.inner.borrow();
                if ends.state != PipeState::Open || ends.buffer.len() < self.pipe.host.window {
                    return Ok(());
                }
            }
            notified.await;
        }
    }

    async fn readable(&self) -> io::Result<()> {
        loop {
            let notified = self.pipe.readable.notified();
            if self.pipe.inner.borrow().state != PipeState::Open {
                return Ok(());
            }
            notified.await;
        }
    }

    fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
        match self.pipe.inner.borrow().state {
            PipeState::Open => Err(ErrorKind::WouldBlock.into()),
            PipeState::Ended | PipeState::Finished => Ok(0),
            PipeState::Closed | PipeState::Reset => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    fn ends(&self) -> io::Result<[SocketAddr; 2]> {
        Err(ErrorKind::Unsupported.into())
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.pipe.inner.borrow_mut();
        let random = &self.net.0.random;
        let room = match ends.state {
            PipeState::Open => self.pipe.host.window.saturating_sub(ends.buffer.len()),
            // The kernel does not know yet that nobody reads any more.
            PipeState::Ended => {
                ends.state = PipeState::Reset;
                self.pipe.host.window
            }
            PipeState::Closed | PipeState::Reset | PipeState::Finished => {
                return Err(ErrorKind::BrokenPipe.into());
            }
        };
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        bytes.truncate(room);
        if random.one_in(8) {
            bytes.truncate(1 + random.size(bytes.len().max(1)));
        }
        let lost = ends.state == PipeState::Reset;
        self.take(&mut ends, &bytes, lost);
        self.net.0.busy.notify_one();
        Ok(bytes.len())
    }
    async fn finish(&self) -> io::Result<()> {
        self.pipe.inner.borrow_mut().half = true;
        self.net.0.busy.notify_one();
        self.readable().await?;
        match self.pipe.inner.borrow().state {
            PipeState::Finished => Ok(()),
            _ => Err(ErrorKind::ConnectionReset.into()),
        }
    }
}
