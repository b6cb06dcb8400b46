//! Listeners: sockets bound before anything runs, bounded read loops, counters.
//!
//! Every read loop is the same: fill a buffer, call the pipeline, publish. What a protocol means is
//! the pipeline's business, not theirs.

pub(crate) mod accept;
pub(crate) mod bind;
pub(crate) mod client;
pub(crate) mod kernel;
pub(crate) mod line;
pub(crate) mod pickle;
pub(crate) mod udp;

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use crate::{
    ledger::ListenerCounts,
    listen::kernel::DropWatch,
    plan::{ListenerPlan, ListenerProtocol},
    stage::Lever,
    tally::{SampleCounters, Tally, Units},
    telemetry::{self, Counter, Reading, Registry},
};

/// One listener: what it speaks, where, and what it counted.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As it was asked for; the address may be a name, or leave the port to the kernel.
    pub(crate) plan: ListenerPlan,
    pub(crate) protocol: ListenerProtocol,
    pub(crate) address: SocketAddr,
    label: String,
    raw: Counter,
    units: [Counter; 3],
    decoded: Counter,
    truncated: Counter,
    probes: Counter,
    pub(crate) errors: Counter,
    pub(crate) connections: Counter,
    pub(crate) refused: Counter,
    pub(crate) blocked_ms: Counter,
    kernel_dropped: Counter,
    registry: Registry,
    drops: Mutex<DropWatch>,
    /// Copies of its sockets, for the next process.
    sockets: Mutex<Vec<OwnedFd>>,
    /// What its readers are to do.
    pub(crate) lever: Lever,
}

impl Listener {
    pub(crate) fn new(
        plan: &ListenerPlan,
        address: SocketAddr,
        drops: DropWatch,
        registry: &Registry,
    ) -> Self {
        let (label, protocol) = (address.to_string(), plan.protocol);
        let labels = [("protocol", protocol_name(protocol)), ("listener", label.as_str())];
        let counter = |metric| registry.counter(metric, &labels);
        let units = |fate| {
            let [protocol, listener] = labels;
            registry.counter(telemetry::LISTEN_UNITS, &[protocol, listener, ("fate", fate)])
        };
        Self {
            raw: counter(telemetry::LISTEN_RAW),
            units: ["ok", "partial", "bad"].map(units),
            decoded: counter(telemetry::LISTEN_DECODED),
            truncated: counter(telemetry::LISTEN_TRUNCATED),
            probes: counter(telemetry::LISTEN_PROBES),
            errors: counter(telemetry::LISTEN_ERRORS),
            connections: counter(telemetry::LISTEN_CONNECTIONS),
            refused: counter(telemetry::LISTEN_REFUSED),
            blocked_ms: counter(telemetry::BLOCKED),
            kernel_dropped: counter(telemetry::KERNEL_DROPPED),
            registry: registry.clone(),
            drops: Mutex::new(drops),
            sockets: Mutex::default(),
            lever: Lever::default(),
            plan: plan.clone(),
            protocol,
            address,
            label,
        }
    }

    /// It reads datagrams.
    pub(crate) fn is_udp(&self) -> bool {
        matches!(self.protocol, ListenerProtocol::Collectd | ListenerProtocol::LineUdp)
    }

    pub(crate) fn protocol_name(&self) -> &'static str {
        protocol_name(self.protocol)
    }

    /// Adds a batch's counts and clears them; the caller holds the gate.
    pub(crate) fn publish(&self, tally: &mut Tally, samples: &SampleCounters) {
        if self.protocol == ListenerProtocol::LineTcp {
            // A TCP line has no unit around it: each line read is one.
            let (ok, bad) = (tally.decoded, tally.malformed());
            (tally.raw, tally.units) = (ok + bad, Units { ok, partial: 0, bad });
        }
        self.raw.add(tally.raw);
        let Units { ok, partial, bad } = tally.units;
        self.units.iter().zip([ok, partial, bad]).for_each(|(counter, count)| counter.add(count));
        self.decoded.add(tally.decoded);
        self.truncated.add(tally.truncated);
        self.probes.add(tally.probes);
        for (reason, count) in &tally.rejected {
            self.rejected(reason).add(*count);
        }
        samples.add(tally);
        tally.clear();
    }

    fn rejected(&self, reason: &str) -> Counter {
        let labels = [
            ("protocol", self.protocol_name()),
            ("listener", self.label.as_str()),
            ("reason", reason),
        ];
        self.registry.counter(telemetry::LISTEN_REJECTED, &labels)
    }

    /// Reads the kernel's drop counters now and adds what is new.
    pub(crate) fn poll_kernel_drops(&self) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        self.kernel_dropped.add(drops.poll());
    }

    /// Keeps a copy of a socket of its own.
    pub(crate) fn keep(&self, socket: &impl AsFd) -> io::Result<()> {
        let copy = socket.as_fd().try_clone_to_owned()?;
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        Ok(())
    }

    /// Copies of its sockets.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(OwnedFd::try_clone).collect()
    }

    /// Its readers hold its only sockets from now on: its port is free when they end.
    pub(crate) fn forget_sockets(&self) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Another process goes on with its sockets; returns their drop counters, which it must not count again.
    pub(crate) fn hand_drops_over(&self) -> Vec<(u64, u32)> {
        self.poll_kernel_drops();
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *drops).into_seen()
    }

    /// What another process has counted of its sockets' drops is counted.
    pub(crate) fn go_on_from(&self, seen: &[(u64, u32)]) {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner).go_on_from(seen);
    }

    /// Returns when it was told to stop and nobody reads it any more: its sockets are closed.
    pub(crate) async fn stopped(&self) {
        self.lever.let_go().await;
        // Others may get sockets with their numbers.
        *self.drops.lock().unwrap_or_else(PoisonError::into_inner) = DropWatch::default();
    }

    /// What it counted; the rejections by reason are taken from `readings`.
    pub(crate) fn counts(&self, removed: bool, readings: &[Reading]) -> ListenerCounts {
        let mine = |reading: &&Reading| {
            reading.name == telemetry::LISTEN_REJECTED.name
                && reading.label("listener") == Some(&self.label)
                && reading.label("protocol") == Some(self.protocol_name())
        };
        let rejected = readings.iter().filter(mine);
        let [ok, partial, bad] = &self.units;
        ListenerCounts {
            protocol: self.protocol_name(),
            address: self.label.clone(),
            removed,
            raw: self.raw.get(),
            ok: ok.get(),
            partial: partial.get(),
            bad: bad.get(),
            decoded: self.decoded.get(),
            truncated: self.truncated.get(),
            probes: self.probes.get(),
            kernel_dropped: self.kernel_dropped.get(),
            errors: self.errors.get(),
            rejected: rejected
                .filter_map(|reading| Some((reading.label("reason")?.to_owned(), reading.value)))
                .collect(),
        }
    }
}

/// The protocol as counters and the log name it.
pub(crate) const fn protocol_name(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Collectd => "collectd",
        ListenerProtocol::LineTcp => "line-tcp",
        ListenerProtocol::LineUdp => "line-udp",
        ListenerProtocol::Pickle => "pickle",
    }
}
