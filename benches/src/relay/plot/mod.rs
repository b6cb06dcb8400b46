//! The pictures beside a record: cost over scale, and cost beside others.

mod bars;
mod scale;

use std::path::Path;

use anyhow::Context as _;
use plotters::{prelude::*, style::text_anchor::*};

use super::report::Report;

/// What belongs to Coco.
const ACCENT: RGBColor = RGBColor(0, 95, 158);
/// What belongs to others.
const OTHER: RGBColor = RGBColor(150, 150, 150);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const FONT: &str = "sans-serif";

/// Draws what there are rows for: `FILE.svg` and `FILE-peers.svg`, where `file` is the record.
///
/// # Errors
/// A file cannot be written.
pub fn write(report: &Report, file: &Path, caption: &str) -> anyhow::Result<()> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).context("no file name")?;
    scale::draw(report, &file.with_extension("svg"), caption)?;
    bars::draw(report, &file.with_file_name(format!("{stem}-peers.svg")), caption)
}

/// Text of a size in pixels, on a point that `pos` describes.
fn text(pixels: i32, color: RGBColor, pos: Pos) -> TextStyle<'static> {
    (FONT, pixels).into_font().color(&color).pos(pos)
}

/// A number with as many digits as a reader needs.
fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{} M", round(n / 1e6)),
        n if n >= 1e4 => format!("{} k", round(n / 1e3)),
        n => format!("{n:.0}"),
    }
}

fn round(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([4.0, 1000.0, 10_000.0, 2_500_000.0].map(short), ["4", "1000", "10 k", "2.5 M"]);
    }

    #[test]
    fn nothing_is_drawn_without_rows() {
        let folder = tempfile::tempdir().unwrap();
        write(&Report::default(), &folder.path().join("a.csv"), "").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
