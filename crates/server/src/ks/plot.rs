//! Both halves of a window and their distribution functions, drawn in characters.

use coco_checks::split::Halves;
use ratatui_core::{buffer::Buffer, layout::Rect, symbols::Marker, widgets::Widget};
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType, LegendPosition};
use terminal_size::{Width, terminal_size};

use super::line::{escape, figure};

/// Lines of one drawing.
const HEIGHT: u16 = 16;

/// Columns unless the terminal says otherwise.
const WIDTH: u16 = 80;

type Points = Vec<(f64, f64)>;

/// Draws below what is printed already.
pub(super) fn draw(name: &str, halves: &Halves, text: &mut String) {
    let width = terminal_size().map_or(WIDTH, |(Width(columns), _)| columns.clamp(40, 160));
    let all = || halves.before.iter().chain(&halves.after).copied();
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let values = if high > low { [low, high] } else { [low - 1.0, high + 1.0] };
    let name = escape(name).into_owned();

    text.push_str(&format!("\n{name}: rates, in the order of time\n"));
    let (before, after) = in_time(halves);
    let last = after.last().map_or(1.0, |(x, _)| *x);
    picture([&before, &after], GraphType::Line, [0.0, last], values, width, text);

    text.push_str(&format!("\n{name}: share of the rates that are no higher\n"));
    let [before, after] = [&halves.before, &halves.after].map(|half| steps(half, values));
    picture([&before, &after], GraphType::Line, values, [0.0, 1.0], width, text);
}

fn in_time(halves: &Halves) -> (Points, Points) {
    let mut at = 0.0;
    let mut place = |value: &f64| {
        at += 1.0;
        (at - 1.0, *value)
    };
    let before = halves.before.iter().map(&mut place).collect();
    (before, halves.after.iter().map(&mut place).collect())
}

/// The empirical distribution function over this range: up at each value, level between.
fn steps(half: &[f64], [low, high]: [f64; 2]) -> Points {
    let mut sorted = half.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let step = 1.0 / u32::try_from(sorted.len().max(1)).map_or(f64::MAX, f64::from);
    let (mut points, mut share) = (vec![(low, 0.0)], 0.0);
    for value in sorted {
        points.push((value, share));
        share += step;
        points.push((value, share));
    }
    points.push((high, share));
    points
}

fn picture(
    [before, after]: [&Points; 2],
    kind: GraphType,
    x: [f64; 2],
    y: [f64; 2],
    width: u16,
    text: &mut String,
) {
    let set = |name, marker, points| {
        Dataset::default().name(name).marker(marker).graph_type(kind).data(points)
    };
    let axis = |bounds: [f64; 2]| Axis::default().bounds(bounds).labels(bounds.map(figure));
    let sets = vec![set("⠒ before", Marker::Braille, before), set("• after", Marker::Dot, after)];
    let chart = Chart::new(sets)
        .x_axis(axis(x))
        .y_axis(axis(y))
        .legend_position(Some(LegendPosition::TopLeft));
    let area = Rect::new(0, 0, width, HEIGHT);
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    for row in 0..HEIGHT {
        let cells = (0..width).filter_map(|column| buffer.cell((column, row)));
        let line: String = cells.map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_function_goes_up_at_each_value() {
        let points = steps(&[3.0, 1.0], [0.0, 4.0]);
        let wanted = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (3.0, 0.5), (3.0, 1.0), (4.0, 1.0)];
        assert_eq!(points, wanted);
    }

    #[test]
    fn both_halves_are_drawn() {
        let half = |level: f64| (0..30).map(|k| level + f64::from(k % 5)).collect();
        let mut text = String::new();
        draw("a\nb", &Halves { before: half(100.0), after: half(50.0) }, &mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 * (usize::from(HEIGHT) + 2), "{text}");
        assert!(text.contains("a\\nb: rates, in the order of time"), "{text}");
        assert!(text.contains("50.0") && text.contains("104.0"), "{text}");
        assert!(text.matches("before").count() == 2 && text.contains('•'), "{text}");
    }

    #[test]
    fn what_never_changes_can_be_drawn() {
        let mut text = String::new();
        draw("a", &Halves { before: vec![0.0; 30], after: vec![0.0; 30] }, &mut text);
        assert!(text.contains("1.000"), "{text}");
    }
}
