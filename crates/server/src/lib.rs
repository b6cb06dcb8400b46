//! The process around the router: configuration, HTTP API, life cycle, command line. Thin.
//!
//! Nothing here looks at a sample. `Config -> Bound -> Running -> Drained`: each step consumes the one
//! before, and the order of the stop stands in [`run`](mod@run).

mod api;
pub mod cli;
pub mod config;
pub mod lookup;
pub mod run;
