//! Names: other relays' answers, and what holds for any bytes.

mod properties;
mod recorded;
