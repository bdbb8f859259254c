//! Charts of the results for `docs/bench`.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::contestants::Name;
use crate::machine::Machine;
use crate::pairs::{self, TASKS};
use crate::report::FOLDER;
use crate::samples::Samples;
use crate::table::short;

const FONT: &str = "sans-serif";
const COLORS: [RGBColor; 6] = [
    RGBColor(120, 120, 120),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
];

/// Contenders of one process that do not hold the lock longer than it takes to give it back.
const CONTENDERS: [usize; 6] = [1, 2, 3, 10, 100, 1_000];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A named line and its points.
struct Line {
    name: String,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

struct Axes {
    title: &'static str,
    x: &'static str,
    y: &'static str,
}

pub(crate) fn draw(samples: &Samples, machine: &Machine) {
    fs::create_dir_all(FOLDER).expect("the folder can be made");
    pairs(samples, machine).expect("the chart of the pairs can be drawn");
    contended(samples, machine).expect("the chart of the hand-offs can be drawn");
}

fn pairs(samples: &Samples, machine: &Machine) -> Result<(), Box<dyn Error>> {
    let path = Path::new(FOLDER).join("redis-pairs.svg");
    let area = page(&path, (860, 520), machine)?;
    let line = |(name, color): (&Name, &RGBColor)| Line {
        name: name.text().to_owned(),
        color: *color,
        points: points(&TASKS, |tasks| samples.median(&format!("pair/{tasks}/{}/p50", name.id()))),
    };
    let lines: Vec<_> = pairs::CONTESTANTS.iter().zip(&COLORS).map(line).collect();
    let axes = Axes { title: "Acquire and release: p50", x: "tasks at once", y: "us" };
    chart(&area, &axes, &lines)?;
    area.present()?;
    Ok(())
}

fn contended(samples: &Samples, machine: &Machine) -> Result<(), Box<dyn Error>> {
    let path = Path::new(FOLDER).join("redis-contended.svg");
    let area = page(&path, (1560, 520), machine)?;
    let (left, rest) = area.split_horizontally(520);
    let (middle, right) = rest.split_horizontally(520);
    let lines = |what: &str, scale: f64| {
        let names = [Name::Trait, Name::Guard, Name::Rslock].into_iter().zip(&COLORS[3..]);
        let line = |(name, color): (Name, &RGBColor)| Line {
            name: name.text().to_owned(),
            color: *color,
            points: points(&CONTENDERS, |workers| {
                samples.median(&format!("contend/{workers}/0ms/{}/{what}", name.id())) * scale
            }),
        };
        names.map(line).collect::<Vec<_>>()
    };
    let x = "contenders for one lock";
    let axes = Axes { title: "Locks acquired a second", x, y: "acquired/s" };
    chart(&left, &axes, &lines("acquisitions", 1.0))?;
    let axes = Axes { title: "Of these handed on to another", x, y: "handed on/s" };
    chart(&middle, &axes, &lines("handoffs", 1.0))?;
    let axes = Axes { title: "Wait: p99", x, y: "ms" };
    chart(&right, &axes, &lines("wait", 1e-3))?;
    area.present()?;
    Ok(())
}

fn points(at: &[usize], value: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
    let points = at.iter().map(|at| (*at as f64, value(*at)));
    points.filter(|(_, value)| value.is_finite() && *value > 0.0).collect()
}

/// An empty page with the machine's description at its foot.
fn page<'a>(
    path: &'a Path,
    size: (u32, u32),
    machine: &Machine,
) -> Result<Area<'a>, Box<dyn Error>> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (body, foot) = area.split_vertically(size.1 - 28);
    let style = (FONT, 12).into_font().color(&RGBColor(90, 90, 90));
    foot.draw(&Text::new(machine.to_string(), (12, 6), style))?;
    Ok(body)
}

fn chart(area: &Area<'_>, axes: &Axes, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let span = |of: fn(&(f64, f64)) -> f64| {
        all().map(of).fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)))
    };
    let ((left, right), (low, high)) = (span(|point| point.0), span(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (left * 0.9..right * 1.1).log_scale(),
            (low * 0.7..high * 4.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| short(*value))
        .label_style((FONT, 13))
        .draw()?;
    for line in lines {
        let color = line.color;
        chart
            .draw_series(LineSeries::new(line.points.clone(), color.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart
            .draw_series(line.points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}
