//! Bars: what a line costs Coco, the bare loop and the peers.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{ACCENT, GRID, INK, OTHER, short, text};
use crate::relay::{contender::Contender, report::Report};

const WIDTH: u32 = 860;
const HEAD_PIXELS: u32 = 64;
const BAR_PIXELS: u32 = 52;
const FOOT_PIXELS: u32 = 70;

const CONTENDERS: [Contender; 4] =
    [Contender::Bare, Contender::Coco, Contender::CarbonCRelay, Contender::CarbonPy];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn draw(report: &Report, file: &Path, caption: &str) -> anyhow::Result<()> {
    let median = |contender: Contender| {
        Some((contender, report.median("line", contender.name(), "CPU", "ns/line")?))
    };
    let bars: Vec<_> = CONTENDERS.into_iter().filter_map(median).collect();
    if bars.is_empty() {
        return Ok(());
    }
    let count = u32::try_from(bars.len())?;
    let size = (WIDTH, HEAD_PIXELS + count * BAR_PIXELS + FOOT_PIXELS);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD_PIXELS);
    let left = Pos::new(HPos::Left, VPos::Top);
    let title = "A Graphite line, TCP in, 4 targets out: CPU of the whole process";
    head.draw_text(title, &text(20, INK, left), (16, 12))?;
    head.draw_text(caption, &text(13, OTHER, left), (16, 42))?;
    draw_bars(&body, &bars)?;
    root.present()?;
    Ok(())
}

fn draw_bars(body: &Area<'_>, bars: &[(Contender, f64)]) -> anyhow::Result<()> {
    let count = u32::try_from(bars.len())?;
    let most = bars.iter().map(|bar| bar.1).fold(100.0, f64::max);
    let mut chart = ChartBuilder::on(body)
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(130)
        .build_cartesian_2d((10.0..most * 3.0).log_scale(), 0.0..f64::from(count))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .y_labels(0)
        .x_desc("ns a line (each step ten times the one before)")
        .x_label_formatter(&|x| short(*x))
        .label_style(text(13, INK, Pos::default()))
        .axis_desc_style(text(14, INK, Pos::default()))
        .draw()?;
    let (base_x, base_y) = body.get_base_pixel();
    for (at, (contender, nanos)) in (0..count).rev().zip(bars) {
        let (low, high) = (f64::from(at) + 0.2, f64::from(at) + 0.8);
        let color = if *contender == Contender::Coco { ACCENT } else { OTHER };
        chart.draw_series([Rectangle::new([(10.0, low), (*nanos, high)], color.filled())])?;
        let (x, y) = chart.backend_coord(&(*nanos, f64::midpoint(low, high)));
        let beside = text(14, INK, Pos::new(HPos::Left, VPos::Center));
        body.draw_text(&format!("{nanos:.0}"), &beside, (x - base_x + 8, y - base_y))?;
        let (x, _) = chart.backend_coord(&(10.0, low));
        let before = text(14, INK, Pos::new(HPos::Right, VPos::Center));
        let name = if *contender == Contender::Bare { "bare loop" } else { contender.name() };
        body.draw_text(name, &before, (x - base_x - 10, y - base_y))?;
    }
    Ok(())
}
