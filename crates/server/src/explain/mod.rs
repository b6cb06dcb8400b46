//! `coco explain` and `/explain`: all that decides about one name, for people and for programs.
//!
//! The facts come from [`Routes::explain`](coco_router::Routes::explain), which asks the code that
//! routes; here they are only written down.

mod command;
mod json;
mod text;

pub use command::explain;

pub(crate) use json::json;
pub(crate) use text::text;

use coco_ring::Located;
use coco_router::TakenAs;
use coco_wire::names::Names;

/// Where the facts are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A configuration file: no target has a state.
    File,
    /// This process.
    Running,
}

/// What a name was taken for, in words.
fn taken_as(taken_as: TakenAs) -> &'static str {
    match taken_as {
        TakenAs::GraphiteName => "Graphite name",
        TakenAs::Host => "host of collectd samples",
        TakenAs::Identifier => "collectd identifier",
    }
}

/// The rule for names as the configuration writes it, with what belongs to it.
pub(crate) fn names_text(names: &Names) -> String {
    match names {
        Names::Sorted => "sorted-tags".to_owned(),
        Names::AsIs => "as-is".to_owned(),
        Names::Carbon { normalize_tags: false } => "carbon".to_owned(),
        Names::Carbon { normalize_tags: true } => "carbon, normalize_tags".to_owned(),
        Names::CRelay(allowed) => format!("c-relay, allowed {:?}", allowed.characters()),
        Names::Nanotube => "nanotube".to_owned(),
    }
}

/// The hash in hexadecimal, all of its digits.
fn hash_text(at: &Located<'_>) -> String {
    let digits = usize::try_from(at.space.hash_bits() / 4).unwrap_or_default();
    format!("{:#0width$x}", at.hash, width = digits + 2)
}

/// Bytes of a name for a terminal: what is not printable ASCII or UTF-8 is escaped.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}
