//! From an event to a line: its message is its kind, its message and fields are its text. Both are cut, and
//! control characters are escaped. An event about a metric is a kind of its own for each metric.

use std::fmt::{self, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::ring::{Level, Ring, unix_ms};

/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 400;

/// Longest kind, in bytes.
const KIND_BYTES_MAX: usize = 200;

/// Keeps the events in a ring.
pub(super) struct RingLayer(pub(super) &'static Ring);

impl<S: Subscriber> Layer<S> for RingLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(level) = Level::of(*event.metadata().level()) else { return };
        let mut kind = Fields { of: &[MESSAGE, "metric"], out: Cut::new(KIND_BYTES_MAX) };
        event.record(&mut kind);
        let mut text = Fields { of: &[], out: Cut::new(TEXT_BYTES_MAX) };
        event.record(&mut text);
        self.0.push(level, unix_ms(), &kind.out.text, &text.out.text);
    }
}

/// The field that has the message; an event has it first.
const MESSAGE: &str = "message";

/// The message and other fields of an event.
struct Fields {
    /// Which ones; all if that is empty.
    of: &'static [&'static str],
    out: Cut,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Without the quotes that its `Debug` has.
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            name if !self.of.is_empty() && !self.of.contains(&name) => {}
            MESSAGE => self.out.put(format_args!("{value:?}")),
            name => self.out.put(format_args!(" {name}={value:?}")),
        }
    }
}

/// Text up to a bound, on one line.
struct Cut {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Cut {
    const fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, is_cut: false }
    }

    fn put(&mut self, words: fmt::Arguments<'_>) {
        // Fails when it is cut, which ends the formatting of something large.
        let _cut: fmt::Result = self.write_fmt(words);
    }
}

impl Write for Cut {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        for char in words.chars() {
            let before = self.text.len();
            match char {
                char if char.is_control() => self.text.extend(char.escape_default()),
                char => self.text.push(char),
            }
            if self.is_cut || self.text.len() > self.bytes_max {
                self.text.truncate(before);
                if !self.is_cut {
                    self.is_cut = true;
                    self.text.push('…');
                }
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::{
        super::ring::{Asked, Ring},
        *,
    };

    /// Kind and text of each line that `log` makes.
    fn lines(log: impl FnOnce()) -> Vec<(String, String)> {
        let ring: &'static Ring = Box::leak(Box::new(Ring::new()));
        let subscriber = tracing_subscriber::registry().with(RingLayer(ring));
        tracing::subscriber::with_default(subscriber, log);
        let found = ring.find(Asked { level: Level::Info, since: None });
        found.lines.into_iter().map(|line| (line.kind.to_string(), line.text.to_string())).collect()
    }

    #[test]
    fn the_kind_is_the_message_and_the_text_has_the_fields() {
        let found = lines(|| {
            tracing::warn!(tier = "a", target = %"b:1", count = 3, "target is down");
            tracing::warn!(metric = "coco_x", count = 2, "more trouble");
            tracing::info!("nothing else");
            tracing::debug!("not kept");
        });
        let wanted = [
            ("target is down", "target is down tier=a target=b:1 count=3"),
            ("more trouble metric=coco_x", "more trouble metric=coco_x count=2"),
            ("nothing else", "nothing else"),
        ];
        let found: Vec<_> =
            found.iter().map(|(kind, text)| (kind.as_str(), text.as_str())).collect();
        // The levels come one after the other, in the order of time.
        assert!(wanted.iter().all(|line| found.contains(line)), "{found:?}");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_line_is_one_line_and_is_cut() {
        let found = lines(|| {
            tracing::error!(detail = "a\nb\u{1b}[31m\u{7f}", "x");
            tracing::error!(detail = "ä".repeat(5_000), after = "z", "y");
        });
        assert_eq!(found[0].1, "x detail=a\\nb\\u{1b}[31m\\u{7f}");
        let (kind, text) = &found[1];
        assert_eq!(kind, "y");
        assert!(text.starts_with("y detail=ää") && text.ends_with("ä…"), "{text}");
        assert!((TEXT_BYTES_MAX - 1..=TEXT_BYTES_MAX + 3).contains(&text.len()), "{}", text.len());
    }
}
