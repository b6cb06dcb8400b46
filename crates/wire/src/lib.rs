//! The protocols that Coco speaks, and nothing else: collectd's binary datagrams, Graphite lines and
//! Graphite pickles.
//!
//! Invariants: no input makes this crate panic or read out of bounds; what comes before the first
//! fault of a datagram or frame is kept; work and memory are linear in the input. Decoded names and
//! values are borrowed from the input and never converted, so that what is sent on is what was
//! received.
//!
//! What it deliberately does not do: no I/O, no clock (the caller knows the arrival second), no
//! async, no logging, no serde, no choice of a target. It knows neither tiers nor targets.
//!
//! | module | protocol | decode | encode |
//! | --- | --- | --- | --- |
//! | [`collectd`] | collectd 5 network plugin, one datagram at a time | [`collectd::Decoder`] | [`collectd::Packer`] |
//! | [`line`](mod@line) | `name value time`, one line at a time | [`line::parse`] | the client's own bytes |
//! | [`names`] | the name of a line, as other relays treat it | [`names::Names::parse`] | [`names::Names::apply`] |
//! | [`pickle`] | `[(name, (time, value)), …]` frames | [`pickle::decode()`] | [`pickle::FrameWriter`] |

pub mod collectd;
pub mod line;
pub mod names;
pub mod pickle;
