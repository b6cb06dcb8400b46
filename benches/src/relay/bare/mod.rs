//! The least that a router has to do, as a program of its own: what Coco's cost is compared with.
//!
//! No counters, no filter, no back-pressure, no second tier, no error handling but giving up. It says
//! on standard error where it listens, in the words of Coco's log.

mod datagram;
mod line;

use std::net::SocketAddr;

use anyhow::ensure;
use twox_hash::XxHash3_64;

pub use datagram::route as datagrams;
pub use line::route as lines;

/// Targets of a bare loop; a constant, as a program that does only this would have it.
pub const TARGETS: usize = 4;

/// Which target a key goes to.
#[inline]
pub fn owner(key: &[u8]) -> usize {
    // The top bits, spread over the targets without a division.
    let share = u128::from(XxHash3_64::oneshot(key)) * TARGETS as u128;
    usize::try_from(share >> 64).unwrap_or_default()
}

/// As Coco's log does: the bench reads the address there.
fn announce(protocol: &str, address: SocketAddr) {
    eprintln!("listening protocol={protocol:?} address={address}");
}

fn check(targets: &[SocketAddr]) -> anyhow::Result<()> {
    ensure!(targets.len() == TARGETS, "a bare loop has {TARGETS} targets, not {}", targets.len());
    Ok(())
}
