//! The targets: they count all that arrives and note where some of the names did.

mod datagrams;
mod line_state;
mod lines;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::UdpSocket,
};

use anyhow::{Context as _, ensure};

pub use datagrams::DatagramSinks;
pub use lines::{LineSinks, Options, Slow};

/// Kernel buffer of each UDP socket, in bytes: as much as Coco asks for by default.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What has arrived at sinks, so far.
pub trait Arrivals {
    /// Samples, all copies and sinks together.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn samples(&mut self) -> io::Result<u64>;

    /// Waits for more, at most so long.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn wait(&self, millis_max: u8) -> io::Result<()>;

    /// Datagrams with something else in them than whole samples.
    fn damaged(&self) -> u64;
}

/// At which sinks names arrived, by the sinks' positions.
#[derive(Debug, Default)]
pub struct Places(HashMap<Vec<u8>, BTreeSet<usize>>);

impl Places {
    /// Notes that something of `name` arrived at `sink`.
    pub fn note(&mut self, name: &[u8], sink: usize) {
        match self.0.get_mut(name) {
            Some(sinks) => _ = sinks.insert(sink),
            None => _ = self.0.insert(name.to_vec(), BTreeSet::from([sink])),
        }
    }

    /// Checks that each of `names` arrived at its owners, and nowhere else.
    ///
    /// # Errors
    /// The first name of which this is not true; what `owners` says.
    pub fn check<N: AsRef<[u8]>>(
        &self,
        names: impl IntoIterator<Item = N>,
        mut owners: impl FnMut(&[u8]) -> anyhow::Result<BTreeSet<usize>>,
    ) -> anyhow::Result<()> {
        for name in names {
            let (name, text) = (name.as_ref(), name.as_ref().escape_ascii());
            let sinks = self.0.get(name).with_context(|| format!("{text} never arrived"))?;
            let owners = owners(name)?;
            ensure!(*sinks == owners, "{text} arrived at {sinks:?} and belongs to {owners:?}");
        }
        Ok(())
    }
}

/// Gives a socket the receive buffer that Coco's have.
///
/// # Errors
/// Whatever the kernel says.
pub fn widen(socket: &UdpSocket) -> io::Result<()> {
    socket2::SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
}
