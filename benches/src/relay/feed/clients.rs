//! TCP clients of a subject, which send in turn.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::pause;
use crate::relay::{
    corpus::Source,
    sink::{Arrivals, LineSinks},
};

/// Long enough for a start on a busy machine.
const CONNECT_MAX: Duration = Duration::from_secs(20);

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
    /// Connects so many, as soon as the subject listens.
    ///
    /// # Errors
    /// It does not within 20 s; too few open files are allowed.
    pub fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let deadline = Instant::now() + CONNECT_MAX;
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            match TcpStream::connect(address) {
                Ok(stream) => streams.push(stream),
                Err(error) if !streams.is_empty() || Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("client {}", streams.len()));
                }
                Err(_) => pause(Duration::from_millis(2)),
            }
        }
        streams.iter().try_for_each(|stream| stream.set_nodelay(true))?;
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
