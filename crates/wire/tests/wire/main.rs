//! What the protocols promise, checked against recordings of the programs that speak them, and on
//! arbitrary input. The data and its origin: `tests/data` in the workspace.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

mod collectd;
mod data;
mod line;
mod names;
mod pickle;
