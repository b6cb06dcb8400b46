//! TCP clients of the router: what they have sent, and who is told when a shard reads it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::pending,
    io::{self, ErrorKind, IoSlice},
    rc::Rc,
    sync::Arc,
};

use tokio::sync::Notify;

use super::{check::Check, sample::take_units};
use crate::{
    handover::Started,
    inlet::Inlet,
    listen::{Listener, client::Reading, line::Lines},
    plan::TargetProtocol,
    shared::Shared,
    target::net,
};

/// A TCP client: what it has sent and nobody has read.
#[derive(Debug, Default)]
pub(super) struct Client {
    sent: RefCell<VecDeque<u8>>,
    /// What was read of a line that has not ended.
    begun: RefCell<Vec<u8>>,
    news: Notify,
}

impl Client {
    pub(super) fn send(&self, bytes: &[u8]) {
        self.sent.borrow_mut().extend(bytes);
        self.news.notify_one();
    }

    pub(super) fn unread(&self) -> usize {
        self.sent.borrow().len()
    }
}

/// A client's connection, and who is told of the samples that are read.
struct ClientStream<'a> {
    client: &'a Client,
    check: &'a RefCell<Check>,
    shared: &'a Shared,
}

impl net::Stream for ClientStream<'_> {
    async fn writable(&self) -> io::Result<()> {
        pending().await
    }

    async fn readable(&self) -> io::Result<()> {
        while self.client.unread() == 0 {
            self.client.news.notified().await;
        }
        Ok(())
    }

    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut sent = self.client.sent.borrow_mut();
        let count = sent.len().min(bytes.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        bytes.iter_mut().zip(sent.drain(..count)).for_each(|(place, byte)| *place = byte);
        let mut begun = self.client.begun.borrow_mut();
        begun.extend_from_slice(&bytes[..count]);
        let samples = take_units(&mut begun, TargetProtocol::LineTcp).unwrap();
        // They are routed before anything else happens.
        self.check.borrow_mut().offer(&samples, &self.shared.routes.load());
        Ok(count)
    }

    fn ends(&self) -> io::Result<[std::net::SocketAddr; 2]> {
        Err(ErrorKind::Unsupported.into())
    }

    fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn finish(&self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// As `listen::client` does.
pub(super) fn read(
    client: Rc<Client>,
    listener: &Arc<Listener>,
    inlet: &Rc<Inlet>,
    check: &Rc<RefCell<Check>>,
) -> impl Future<Output = ()> + 'static {
    let (listener, inlet, check) = (Arc::clone(listener), Rc::clone(inlet), Rc::clone(check));
    async move {
        let shared = Arc::clone(&inlet.shared);
        let stream = ClientStream { client: &client, check: &check, shared: &shared };
        let lines = Lines::new(inlet.line_bytes_max(), Started::default());
        let mut reading = Reading::new(lines, &listener, None, &inlet);
        let end = reading.run(&stream, listener.lever.stages()).await;
        reading.finish(end);
    }
}
