//! The load: prepared once, sent many times.

mod collectd;
mod line;

pub use collectd::{Fleet, HOST_DATAGRAMS, HOST_SERIES, LISTS};
pub use line::Lines;
