//! The router as a whole: bound, running, drained. Each step consumes the one before.

mod bound;
mod running;

pub use bound::{Bound, StartError};
pub(crate) use running::DRY_MAX;
pub use running::{Drained, Running};
#[cfg(test)]
pub(crate) use running::{GRACE, end};
