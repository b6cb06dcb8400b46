//! The process around the router: configuration, HTTP API, life cycle, command line. Thin.
//!
//! Nothing here looks at a sample. `Config -> Bound -> Running -> Drained`: each step consumes the one
//! before, and the order of the stop stands in [`run`](mod@run).

mod api;
mod ask;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
mod ending;
pub mod explain;
mod handover;
mod history;
pub mod ks;
mod listen_fds;
mod log;
pub mod lookup;
mod notify;
pub mod plan;
mod reload;
mod rows;
pub mod run;
mod screen;
pub mod spool;
pub mod stdout;
pub mod verify;

/// The version of this program: `2.0.0`, or `2.0.0+BUILD` if `COCO_BUILD` was set when it was built.
pub const VERSION: &str = env!("COCO_VERSION");

/// What a check or a gate watches is not so; the message tells what it is. Exit status 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAsAsked(pub String);
