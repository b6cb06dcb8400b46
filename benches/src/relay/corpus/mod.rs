//! The load: prepared once, sent many times.

mod collectd;
mod line;
mod load;
mod many;

pub use collectd::{Fleet, HOST_DATAGRAMS, HOST_SERIES, LISTS};
pub use line::Lines;
pub use load::{Load, Source};
pub use many::ManyNames;
