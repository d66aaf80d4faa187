//! Charts of the report as inline SVG: a line over time, with marks on it.

use std::fmt::Write;

use crate::page::escaped;

/// Of the drawing, in its own units; the page scales it.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers at the left and the times below.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// More points than this cannot be told apart.
const POINTS: usize = 1200;

/// A line with one value a bar; where a value is no number there is a gap.
pub(crate) struct Chart<'a> {
    /// What it shows, for those who cannot see it.
    pub(crate) title: &'a str,
    pub(crate) values: &'a [Option<f64>],
    /// One a bar.
    pub(crate) times: &'a [String],
    /// Fill the space between the line and this value.
    pub(crate) filled_to: Option<f64>,
    pub(crate) marks: Vec<Mark>,
    /// What stands behind each number.
    pub(crate) unit: &'static str,
}

/// A point worth looking at.
pub(crate) struct Mark {
    pub(crate) bar: usize,
    pub(crate) value: f64,
    pub(crate) kind: MarkKind,
    /// Shown when one points at it.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkKind {
    Long,
    Short,
    Exit,
}

impl Chart<'_> {
    /// Empty if there is nothing to draw.
    pub(crate) fn svg(&self) -> String {
        let marked = self.marks.iter().map(|mark| mark.value);
        let numbers = self.values.iter().flatten().copied().chain(self.filled_to).chain(marked);
        let (mut low, mut high) = numbers
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if !(low.is_finite() && high.is_finite()) {
            return String::new();
        }
        if high - low < f64::EPSILON * high.abs().max(1.0) {
            (low, high) = (low - 1.0, high + 1.0);
        }
        let last = self.values.len().saturating_sub(1).max(1) as f64;
        let x = |bar: usize| LEFT + (WIDTH - LEFT - RIGHT) * bar as f64 / last;
        let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(self.title)
        );
        for step in 0..=4 {
            let value = low + (high - low) * f64::from(step) / 4.0;
            let at = y(value);
            write_to(
                &mut svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}{}</text>\n",
                    WIDTH - RIGHT,
                    LEFT - 6.0,
                    at + 4.0,
                    number(value),
                    self.unit,
                ),
            );
        }
        for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
            let bar = (last * part) as usize;
            let Some(time) = self.times.get(bar) else { continue };
            let day = time.split('T').next().unwrap_or(time);
            write_to(
                &mut svg,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
                    x(bar),
                    HEIGHT - 6.0,
                    escaped(day),
                ),
            );
        }
        let points = thinned(self.values);
        if let Some(base) = self.filled_to
            && let (Some((first, _)), Some((end, _))) = (points.first(), points.last())
        {
            let line: String =
                points.iter().map(|(bar, value)| format!("L{:.1} {:.1}", x(*bar), y(*value))).collect();
            write_to(
                &mut svg,
                format_args!(
                    "<path class=\"area\" d=\"M{:.1} {:.1}{line}L{:.1} {:.1}Z\"/>\n",
                    x(*first),
                    y(base),
                    x(*end),
                    y(base),
                ),
            );
        }
        let line: Vec<String> =
            points.iter().map(|(bar, value)| format!("{:.1},{:.1}", x(*bar), y(*value))).collect();
        write_to(&mut svg, format_args!("<polyline class=\"line\" points=\"{}\"/>\n", line.join(" ")));
        for mark in &self.marks {
            let (at, height) = (x(mark.bar), y(mark.value));
            let (class, shape) = match mark.kind {
                MarkKind::Long => ("long", format!("M{at:.1} {height:.1}l-5 9h10Z")),
                MarkKind::Short => ("short", format!("M{at:.1} {height:.1}l-5 -9h10Z")),
                MarkKind::Exit => ("exit", format!("M{:.1} {:.1}l6 6m0 -6l-6 6", at - 3.0, height - 3.0)),
            };
            write_to(
                &mut svg,
                format_args!(
                    "<path class=\"{class}\" d=\"{shape}\"><title>{}</title></path>\n",
                    escaped(&mark.text)
                ),
            );
        }
        svg + "</svg>\n"
    }
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments); // a String takes all
}

/// The lowest and the highest of each stretch, so that no peak gets lost.
fn thinned(values: &[Option<f64>]) -> Vec<(usize, f64)> {
    let all: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(bar, value)| Some((bar, (*value)?))).collect();
    if all.len() <= POINTS {
        return all;
    }
    let stretch = (all.len() * 2).div_ceil(POINTS);
    let mut kept = Vec::with_capacity(POINTS + 2);
    for part in all.chunks(stretch) {
        let low = part.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        let high = part.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let mut both: Vec<(usize, f64)> = [low, high].into_iter().flatten().copied().collect();
        both.sort_by_key(|(bar, _)| *bar);
        both.dedup_by_key(|(bar, _)| *bar);
        kept.extend(both);
    }
    kept
}

/// With as many decimals as help.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 || size == 0.0 => 0,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> String {
        let times: Vec<String> =
            (0..values.len()).map(|bar| format!("2024-01-{:02}T00:00:00", bar + 1)).collect();
        Chart { title: "a < b", values, times: &times, filled_to: None, marks: Vec::new(), unit: " %" }.svg()
    }

    #[test]
    fn the_line_fills_the_drawing_and_the_axes_have_numbers_and_days() {
        let svg = chart(&[Some(1.0), None, Some(3.0)]);
        assert!(svg.contains("points=\"72.0,216.0 948.0,10.0\""), "{svg}");
        assert!(svg.contains(">1.00 %</text>") && svg.contains(">3.00 %</text>"), "{svg}");
        assert!(svg.contains(">2024-01-01</text>") && svg.contains(">2024-01-03</text>"), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt; b\""), "{svg}");
    }

    #[test]
    fn nothing_and_a_flat_line_break_nothing() {
        assert_eq!(chart(&[]), "");
        assert_eq!(chart(&[None]), "");
        assert!(!chart(&[Some(5.0), Some(5.0)]).contains("NaN"));
    }

    #[test]
    fn a_peak_survives_thinning() {
        let mut values = vec![Some(1.0); 50_000];
        values[31_234] = Some(9.0);
        let points = thinned(&values);
        assert!(points.len() <= POINTS + 2 && points.contains(&(31_234, 9.0)), "{}", points.len());
    }
}
