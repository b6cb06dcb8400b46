//! Finding a target's address and trying again: names are resolved off the data path, and the last
//! good address is kept when the resolver fails.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{plan::Address, target::Target};

/// How often the address of a name is looked up again while datagrams flow.
pub(crate) const RESOLVE_INTERVAL: Duration = Duration::from_secs(60);

/// A target's address, as far as it is known.
#[derive(Debug)]
pub(crate) struct Place {
    address: Address,
    last_good: Option<SocketAddr>,
}

impl Place {
    pub(crate) fn new(address: &Address) -> Self {
        let ip: Option<IpAddr> = address.host.parse().ok();
        let last_good = ip.map(|ip| SocketAddr::new(ip, address.port));
        Self { address: address.clone(), last_good }
    }

    /// The name is an address, so that there is nothing to look up.
    pub(crate) fn is_fixed(&self) -> bool {
        self.address.host.parse::<IpAddr>().is_ok()
    }

    /// Looks the name up; the first address counts. On failure the last good one stands.
    pub(crate) async fn find(&mut self, target: &Target) -> Option<SocketAddr> {
        if self.is_fixed() {
            return self.last_good;
        }
        let name = (self.address.host.as_str(), self.address.port);
        match tokio::net::lookup_host(name).await {
            Ok(mut found) => self.last_good = found.next().or(self.last_good),
            Err(error) => {
                if target.meters.dial_errors.get() == 0 {
                    let address = self.address.to_string();
                    tracing::warn!(%error, tier = target.tier, address, "cannot resolve target");
                }
                target.meters.dial_errors.add(1);
            }
        }
        self.last_good
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
