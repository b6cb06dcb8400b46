//! A bar on standard error while names are read.
//!
//! Invariant: nothing is drawn unless a person watches, and never on standard output.

use indicatif::{ProgressBar, ProgressStyle};

use super::is_watched;

/// How far reading is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Bytes since the bar was told.
    bytes: u64,
    names: u64,
}

impl Progress {
    /// A bar for so many bytes, or a count of names if that is not known.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let (bar, template) = match bytes {
            _ if !is_watched() => (ProgressBar::hidden(), ""),
            Some(bytes) => (ProgressBar::new(bytes), BYTES),
            None => (ProgressBar::new_spinner(), NAMES),
        };
        // A template that cannot be read costs the look only.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, bytes: 0, names: 0 }
    }

    /// One more name, of so many bytes with its line feed.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.names += 1;
        self.bytes += u64::try_from(bytes).unwrap_or_default();
        if self.bytes >= STEP_BYTES {
            self.bar.inc(self.bytes);
            self.bar.set_message(super::figures::count(self.names));
            self.bytes = 0;
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

const BYTES: &str = "{wide_bar} {percent:>3} %  {msg} names  {eta} to go";
const NAMES: &str = "{spinner} {msg} names  {elapsed}";

/// Often enough for the eye.
const STEP_BYTES: u64 = 1 << 18;
