//! TCP clients of a subject, which send in turn.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

use super::pause;
use crate::relay::{
    corpus::Source,
    sink::{Arrivals, LineSinks},
};

/// Connections made without a break.
const CONNECT_AT_ONCE: usize = 8;

/// Connected clients.
#[derive(Debug)]
pub struct Clients {
    streams: Vec<TcpStream>,
    next: usize,
    /// Samples sent.
    pub samples: u64,
    /// Bytes of the lines that these are.
    pub line_bytes: u64,
}

impl Clients {
    /// Connects so many.
    ///
    /// # Errors
    /// The subject does not take them; too few open files are allowed.
    pub fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let connect = |at| {
            if at % CONNECT_AT_ONCE == CONNECT_AT_ONCE - 1 {
                // A listener's backlog that overflows costs a second.
                pause(Duration::from_millis(1));
            }
            let stream = TcpStream::connect(address).with_context(|| format!("client {at}"))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let streams = (0..count).map(connect).collect::<anyhow::Result<_>>()?;
        Ok(Self { streams, next: 0, samples: 0, line_bytes: 0 })
    }

    /// The next client sends these bytes, as soon as the subject takes them.
    ///
    /// # Errors
    /// The connection ends.
    pub fn send(&mut self, block: &[u8], samples: u64) -> anyhow::Result<()> {
        let stream = self.streams.get_mut(self.next).context("no client")?;
        stream.write_all(block).context("the subject closed the connection")?;
        self.next = (self.next + 1) % self.streams.len();
        self.samples += samples;
        Ok(())
    }

    /// Sends one pass, never more than `under_way_max` samples ahead of the sinks, each of which
    /// gets `copies` of it.
    ///
    /// # Errors
    /// A connection ends; nothing arrives any more.
    pub fn pass(
        &mut self,
        source: &mut dyn Source,
        sinks: &mut LineSinks,
        ahead: Ahead,
    ) -> anyhow::Result<()> {
        let each = source.samples_each();
        for at in 0..source.blocks() {
            let due = (self.samples + each).saturating_sub(ahead.samples_max) * ahead.copies;
            if sinks.samples()? < due {
                super::settle(sinks, due)?;
            }
            self.send(source.block(at), each)?;
        }
        self.line_bytes += source.line_bytes();
        Ok(())
    }
}

/// How far a feeder may be ahead of the sinks.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// Samples under way at most.
    pub samples_max: u64,
    /// Copies of each sample that arrive.
    pub copies: u64,
}
