//! The data path of Coco: from a datagram or a line to the targets that own it.
//!
//! ```text
//!  clients        shard (one thread, one runtime)                       target's shard
//!  ───────   ┌──────────────────────────────────────────────┐   ┌───────────────────────────┐
//!  UDP  ───▶ │ listen::udp    ┐                             │   │ target::worker            │
//!            │ listen::line   ├─▶ pipeline ─▶ open chunks ──┼─▶ queue ─▶ stream | datagram  ├─▶ target
//!  TCP  ───▶ │ listen::pickle ┘   decode, filter, owners    │   │              | embedded   │
//!            └──────────────────────────────────────────────┘   └───────────────────────────┘
//!                     tally ─▶ counters, once per batch ─▶ ledger ◀─ settled by the worker
//! ```
//!
//! Batches, never samples, cross a boundary. [`Routes`] is immutable and loaded once per batch. Every
//! sample meets exactly one fate in each tier, and every fate is a counter: see [`Ledger`].
//!
//! This crate knows no configuration file, no HTTP and no command line.

pub mod canary;
mod census;
mod chunk;
mod control;
mod doubt;
#[cfg(feature = "faults")]
mod faults;
mod handle;
pub mod handover;
mod health;
mod inlet;
mod ledger;
mod listen;
mod loops;
mod memory;
pub mod offline;
mod pipeline;
pub mod plan;
mod reload;
mod roll;
mod router;
mod routes;
mod shard;
mod shared;
#[cfg(test)]
mod sim;
mod spooler;
mod stage;
mod tally;
mod target;
pub mod telemetry;
mod watch;

pub use handle::{Bounds, Handle, SeriesSeen, TierView};
pub use health::{TargetHealth, TierHealth};
pub use ledger::{Ledger, ListenerCounts, SampleFates, SpoolFacts, TargetFates, TierFates};
pub use listen::bind::BindError;
pub use reload::{Change, Changes, ReloadError, TargetChange};
pub use router::{Bound, Drained, Running, StartError};
pub use routes::{
    Routes, TierOwners,
    explain::{Explained, Owner, PlacedName, TakenAs, TierExplained},
};
pub use target::{
    Shed, State,
    embedded::{Point, Series},
};
