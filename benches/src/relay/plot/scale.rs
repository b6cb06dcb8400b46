//! Small plots side by side, one for each axis: the cost of a line over how much there is.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{ACCENT, GRID, INK, OTHER, short, text};
use crate::relay::{
    cases::{AXES, Axis, Shows},
    report::Report,
};

const SIZE: (u32, u32) = (1080, 720);
const HEAD_PIXELS: u32 = 64;
const COLUMNS: usize = 3;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn draw(report: &Report, file: &Path, caption: &str) -> anyhow::Result<()> {
    let plots: Vec<_> = AXES
        .iter()
        .map(|axis| (axis, points(report, axis)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    if plots.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD_PIXELS);
    let left = Pos::new(HPos::Left, VPos::Top);
    head.draw_text(
        "Coco: what a Graphite line costs as everything grows",
        &text(22, INK, left),
        (16, 12),
    )?;
    head.draw_text(caption, &text(13, OTHER, left), (16, 42))?;
    let areas = body.split_evenly((plots.len().div_ceil(COLUMNS), COLUMNS));
    for (area, (axis, points)) in areas.iter().zip(&plots) {
        draw_one(area, axis, points)?;
    }
    root.present()?;
    Ok(())
}

/// The medians of an axis.
fn points(report: &Report, axis: &Axis) -> Vec<(f64, f64)> {
    let unit = if axis.shows == Shows::Nanos { "ns/line" } else { "k/s" };
    let median = |name| report.median(axis.case, "coco", name, unit);
    let point = |(x, scenario): &(u32, crate::relay::scenario::Scenario)| {
        Some((f64::from(*x), median(scenario.name)?))
    };
    axis.points.iter().filter_map(point).collect()
}

fn draw_one(area: &Area<'_>, axis: &Axis, points: &[(f64, f64)]) -> anyhow::Result<()> {
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        points.iter().map(of).fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((x_low, x_high), (_, y_high)) = (bounds(|p| p.0), bounds(|p| p.1));
    let title = match axis.shows {
        Shows::Nanos => "CPU, ns a line",
        Shows::Rate => "thousand lines a second",
    };
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(title, text(15, INK, Pos::new(HPos::Left, VPos::Top)))
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d((x_low / 1.5..x_high * 1.5).log_scale(), 0.0..y_high * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_desc(axis.label)
        .x_labels(1)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
        .x_label_formatter(&|_| String::new())
        .y_labels(5)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(text(13, INK, Pos::default()))
        .axis_desc_style(text(14, INK, Pos::default()))
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), ACCENT.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, ACCENT.filled())))?;
    let above = text(13, INK, Pos::new(HPos::Center, VPos::Bottom));
    // Labels stand at the points themselves, and not at powers of ten.
    let below = text(13, INK, Pos::new(HPos::Center, VPos::Top));
    let (left, top) = area.get_base_pixel();
    for &(x, y) in points {
        let (point, foot) = (chart.backend_coord(&(x, y)), chart.backend_coord(&(x, 0.0)));
        area.draw_text(&format!("{y:.0}"), &above, (point.0 - left, point.1 - top - 8))?;
        area.draw_text(&short(x), &below, (foot.0 - left, foot.1 - top + 6))?;
    }
    Ok(())
}
