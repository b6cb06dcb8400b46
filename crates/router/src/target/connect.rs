//! Finding a target's address and trying again: names are resolved off the data path, and the last
//! good address is kept when the resolver fails.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::Instant,
};

use crate::{plan::Address, target::Target};

/// How often the address of a name is looked up again while datagrams flow.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a connection waits for the resolver before it tries the last good address.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A target's address, as far as it is known.
#[derive(Debug)]
pub(crate) struct Place {
    address: Address,
    last_good: Option<SocketAddr>,
    /// The name is an address, so that there is nothing to look up.
    fixed: bool,
    /// Failures are told and counted by another.
    quiet: bool,
    looked_up_at: Instant,
    pending: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
}

impl Place {
    pub(crate) fn new(address: &Address) -> Self {
        let ip: Option<IpAddr> = address.host.parse().ok();
        let last_good = ip.map(|ip| SocketAddr::new(ip, address.port));
        let (address, looked_up_at) = (address.clone(), Instant::now());
        let fixed = ip.is_some();
        Self { address, last_good, fixed, quiet: false, looked_up_at, pending: None }
    }

    /// The same for whoever asks beside the worker, which tells and counts what fails.
    pub(crate) fn quiet(address: &Address) -> Self {
        Self { quiet: true, ..Self::new(address) }
    }

    /// The address, if it can be found out; looked up again once a minute.
    pub(crate) async fn present(&mut self, target: &Target) -> Option<SocketAddr> {
        if self.last_good.is_none() {
            return self.find(target).await;
        }
        self.has_moved(target).await;
        self.last_good
    }

    /// Looks the name up; the first address counts, unless the present one is still among them. When
    /// the resolver fails or is slow, the last good one stands.
    pub(crate) async fn find(&mut self, target: &Target) -> Option<SocketAddr> {
        if !self.fixed {
            let lookup = self.look_up();
            if let Ok(done) = tokio::time::timeout(RESOLVE_TIMEOUT, &mut *lookup).await {
                self.take(done, target);
            }
        }
        self.last_good
    }

    /// Looks the name up beside the traffic, once a minute; `true` when it has moved.
    pub(crate) async fn has_moved(&mut self, target: &Target) -> bool {
        if self.fixed || self.looked_up_at.elapsed() < RESOLVE_INTERVAL {
            return false;
        }
        let before = self.last_good;
        let lookup = self.look_up();
        if lookup.is_finished() {
            let done = lookup.await;
            self.take(done, target);
        }
        self.last_good != before
    }

    /// The look-up that is under way, or a new one.
    fn look_up(&mut self) -> &mut JoinHandle<io::Result<Vec<SocketAddr>>> {
        let Address { host, port } = self.address.clone();
        self.pending.get_or_insert_with(|| {
            tokio::spawn(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        })
    }

    fn take(&mut self, done: Result<io::Result<Vec<SocketAddr>>, JoinError>, target: &Target) {
        self.pending = None;
        self.looked_up_at = Instant::now();
        let found = done.map_err(io::Error::other).flatten();
        let error = match found.as_deref() {
            // A resolver that turns its answers round does not move a target.
            Ok(found) if self.last_good.is_some_and(|present| found.contains(&present)) => return,
            Ok([first, ..]) => {
                self.last_good = Some(*first);
                return;
            }
            Ok([]) => &io::Error::from(io::ErrorKind::NotFound),
            Err(error) => error,
        };
        if self.quiet {
            return;
        }
        if target.meters.dial_errors.get() == 0 {
            let address = self.address.to_string();
            tracing::warn!(%error, tier = target.tier, address, "cannot resolve target");
        }
        target.meters.dial_errors.add(1);
    }
}

/// A growing, jittered pause between two attempts, so that routers do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Between half and all of the present step; the step doubles up to ten seconds.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(Self::LONGEST);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The attempt succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_found_and_the_last_good_address_outlives_the_resolver() {
        let plan = crate::pipeline::tests::tier("t", crate::plan::TargetProtocol::LineTcp, 1, 1);
        let target = Target::new(&plan, &plan.targets[0], &crate::telemetry::Registry::default());
        let mut place = Place::new(&Address { host: "localhost".to_owned(), port: 7 });
        let found = place.find(&target).await.unwrap();
        assert!(found.ip().is_loopback() && found.port() == 7);
        place.address.host = "no-such-host.invalid".to_owned();
        assert_eq!(place.find(&target).await, Some(found));
        assert_eq!(target.meters.dial_errors.get(), 1);
    }

    #[test]
    fn the_pause_grows_to_its_longest_and_starts_again() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= Duration::from_millis(50) && pauses[0] <= Backoff::FIRST);
        assert!(pauses[9] >= Backoff::LONGEST / 2 && pauses[9] <= Backoff::LONGEST);
        backoff.reset();
        assert!(backoff.pause() <= Backoff::FIRST);
    }
}
