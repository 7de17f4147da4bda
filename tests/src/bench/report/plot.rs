//! One SVG for each scenario: for each figure and contestant a line from the least to the
//! greatest value with a dot at the median, and marks at Harrier's goals.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea as _},
    element::{Circle, PathElement, Rectangle, Text},
    style::{
        Color as _, IntoFont as _, RGBColor, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{number, text::verdicts_of};
use crate::bench::{
    Contestant,
    figure::{Figure, Outcome, Statistic, Unit, Verdict},
};

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 960;
/// Where values are drawn: from `LEFT` to `RIGHT`; names left of it, numbers right of it.
const LEFT: i32 = 190;
const RIGHT: i32 = 730;
const ROW: i32 = 20;
const HEAD: i32 = 26;
const TITLE: i32 = 58;
const AXIS: i32 = 40;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0xd8, 0xd8, 0xd8);
const BAND: RGBColor = RGBColor(0xf5, 0xf5, 0xf5);
const GOAL: RGBColor = RGBColor(0x00, 0x8a, 0x3c);

/// Colours that people who see few colours can tell apart too.
const fn colour(contestant: Contestant) -> RGBColor {
    match contestant {
        Contestant::Harrier => RGBColor(0x00, 0x5f, 0xb8),
        Contestant::Keepalived => RGBColor(0xe0, 0x8e, 0x00),
        Contestant::KeepalivedRealTime => RGBColor(0xb8, 0x3a, 0x00),
        Contestant::Frr => RGBColor(0x70, 0x70, 0x70),
    }
}

/// The figures of one unit, which share an axis.
struct Panel<'a> {
    unit: Unit,
    figures: Vec<&'a Figure>,
    scale: Scale,
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        let rows: usize = self.figures.iter().map(|figure| figure.series.len()).sum();
        to_pixels(self.figures.len()) * HEAD + to_pixels(rows) * ROW + AXIS
    }
}

fn to_pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// From the first to the second number.
    Linear(f64, f64),
    /// Between these powers of ten.
    Log(i32, i32),
}

impl Scale {
    /// One that `values` fit in, by powers of ten if they are far apart.
    fn of(values: &[f64]) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(0.0, f64::max);
        let smallest = values
            .iter()
            .copied()
            .filter(|value| *value > 0.0)
            .fold(f64::INFINITY, f64::min);
        if greatest > 20.0 * smallest {
            // No figure here has use for less than a thousandth.
            let low = power(smallest.log10().floor()).max(-3);
            Self::Log(low, power(greatest.log10().ceil()).max(low + 1))
        } else {
            let least = least.min(0.0);
            let span = if greatest > least {
                greatest - least
            } else {
                1.0
            };
            Self::Linear(least, least + span * 1.05)
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a pixel of the plot")]
    fn pixel(self, value: f64) -> i32 {
        let part = match self {
            Self::Linear(low, high) => (value - low) / (high - low),
            Self::Log(low, high) => {
                let (low, high) = (f64::from(low), f64::from(high));
                // What is not above 0 has no place: the left edge.
                (value.max(f64::MIN_POSITIVE).log10() - low) / (high - low)
            }
        };
        LEFT + (part.clamp(0.0, 1.0) * f64::from(RIGHT - LEFT)).round() as i32
    }

    fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(low, high) => {
                let raw = (high - low) / 5.0;
                let magnitude = 10f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .map(|factor| factor * magnitude)
                    .into_iter()
                    .find(|step| *step >= raw)
                    .unwrap_or(raw);
                let first = (low / step).ceil();
                (0..12)
                    .map(|index| (first + f64::from(index)) * step)
                    .take_while(|tick| *tick <= high)
                    .collect()
            }
            Self::Log(low, high) => (low..=high).map(|power| 10f64.powi(power)).collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a float")]
fn power(value: f64) -> i32 {
    value as i32
}

/// Draws `outcome` into the file `path`; nothing if there are no figures.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(outcome: &Outcome, path: &Path) -> Result<()> {
    let verdicts = outcome.verdicts();
    let panels = panels(outcome, &verdicts);
    if panels.is_empty() {
        return Ok(());
    }
    let height = TITLE + panels.iter().map(Panel::height).sum::<i32>() + ROW;
    let size = (WIDTH, u32::try_from(height).unwrap_or(u32::MAX));
    let area = SVGBackend::new(path, size).into_drawing_area();
    paint(&area, outcome, &panels, &verdicts)
        .and_then(|()| area.present().map_err(anyhow::Error::from))
        .with_context(|| format!("cannot draw {}", path.display()))
}

fn panels<'a>(outcome: &'a Outcome, verdicts: &[Verdict]) -> Vec<Panel<'a>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for figure in &outcome.figures {
        match panels.iter_mut().find(|panel| panel.unit == figure.unit) {
            Some(panel) => panel.figures.push(figure),
            None => panels.push(Panel {
                unit: figure.unit,
                figures: vec![figure],
                scale: Scale::Linear(0.0, 1.0),
            }),
        }
    }
    for panel in &mut panels {
        let mut values = Vec::new();
        for figure in &panel.figures {
            values.extend(figure.series.iter().flat_map(|series| &series.values));
            values.extend(verdicts_of(verdicts, figure).map(|verdict| verdict.limit_value));
        }
        panel.scale = Scale::of(&values);
    }
    panels
}

fn paint(
    area: &Canvas<'_>,
    outcome: &Outcome,
    panels: &[Panel<'_>],
    verdicts: &[Verdict],
) -> Result<()> {
    area.fill(&WHITE)?;
    write(area, &outcome.name, (12, 16), 17, INK, HPos::Left)?;
    write(area, &outcome.title, (12, 38), 13, INK, HPos::Left)?;
    let mut top = TITLE;
    for panel in panels {
        paint_panel(area, panel, verdicts, top)?;
        top += panel.height();
    }
    let legend = "line: least to greatest; dot and number: median; green: Harrier's goal \
                  (full height for the median, half for the greatest or the least)";
    write(area, legend, (12, top + 4), 11, INK, HPos::Left)
}

fn paint_panel(area: &Canvas<'_>, panel: &Panel<'_>, verdicts: &[Verdict], top: i32) -> Result<()> {
    let bottom = top + panel.height() - AXIS;
    for tick in panel.scale.ticks() {
        let x = panel.scale.pixel(tick);
        area.draw(&PathElement::new(vec![(x, top), (x, bottom)], FAINT))?;
        let label = axis_number(tick);
        write(area, &label, (x, bottom + 10), 11, INK, HPos::Center)?;
    }
    let sign = panel.unit.sign();
    write(area, sign, (RIGHT + 20, bottom + 10), 11, INK, HPos::Left)?;
    let mut y = top;
    for figure in &panel.figures {
        let band = [(8, y + 3), (WIDTH.cast_signed() - 8, y + HEAD - 3)];
        area.draw(&Rectangle::new(band, BAND.filled()))?;
        write(area, &figure.name, (12, y + HEAD / 2), 13, INK, HPos::Left)?;
        y += HEAD;
        for series in &figure.series {
            let middle = y + ROW / 2;
            let colour = colour(series.contestant);
            let x = |statistic| panel.scale.pixel(series.get(statistic));
            write(
                area,
                series.contestant.title(),
                (LEFT - 12, middle),
                12,
                colour,
                HPos::Right,
            )?;
            area.draw(&PathElement::new(
                vec![(x(Statistic::Min), middle), (x(Statistic::Max), middle)],
                colour.stroke_width(3),
            ))?;
            area.draw(&Circle::new(
                (x(Statistic::Median), middle),
                5,
                colour.filled(),
            ))?;
            write(
                area,
                &summary(figure, series.contestant),
                (RIGHT + 20, middle),
                12,
                colour,
                HPos::Left,
            )?;
            if series.contestant == Contestant::Harrier {
                for verdict in verdicts_of(verdicts, figure) {
                    let x = panel.scale.pixel(verdict.limit_value);
                    let from = if verdict.goal.statistic == Statistic::Median {
                        y + 1
                    } else {
                        middle
                    };
                    area.draw(&PathElement::new(
                        vec![(x, from), (x, y + ROW - 1)],
                        GOAL.stroke_width(2),
                    ))?;
                }
            }
            y += ROW;
        }
    }
    Ok(())
}

/// `0.034 ms  (0.31 ×)`
fn summary(figure: &Figure, contestant: Contestant) -> String {
    let Some(series) = figure.of(contestant) else {
        return String::new();
    };
    let median = number(series.get(Statistic::Median), figure.unit);
    match figure.ratio(contestant) {
        Some(ratio) if contestant != Contestant::Keepalived => {
            format!("{median}   ({} × keepalived)", super::ratio(ratio))
        }
        _ => median,
    }
}

fn axis_number(value: f64) -> String {
    let text = format!("{value:.3}");
    match text.split_once('.') {
        Some((whole, part)) => {
            let part = part.trim_end_matches('0');
            if part.is_empty() {
                whole.to_owned()
            } else {
                format!("{whole}.{part}")
            }
        }
        None => text,
    }
}

fn write(
    area: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    side: HPos,
) -> Result<()> {
    let style = ("sans-serif", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_its_values() {
        for values in [
            vec![0.01, 300.0],
            vec![0.0, 5.0],
            vec![-0.5, 2.0],
            vec![0.0, 0.0],
            vec![7.0],
        ] {
            let scale = Scale::of(&values);
            let ticks = scale.ticks();
            assert!((2..=12).contains(&ticks.len()), "{values:?}: {ticks:?}");
            let pixels: Vec<i32> = values.iter().map(|value| scale.pixel(*value)).collect();
            assert!(pixels.is_sorted(), "{values:?}: {pixels:?}");
            assert!(pixels.iter().all(|pixel| (LEFT..=RIGHT).contains(pixel)));
        }
        assert!(matches!(Scale::of(&[0.01, 300.0]), Scale::Log(-2, 3)));
        assert!(matches!(Scale::of(&[1.0, 3.0]), Scale::Linear(..)));
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        assert_eq!(axis_number(0.001), "0.001");
        assert_eq!(axis_number(100.0), "100");
        assert_eq!(axis_number(2.5), "2.5");
    }
}
