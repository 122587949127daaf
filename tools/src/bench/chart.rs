//! The workloads as a chart: how many times native each peer takes, on a scale of powers.

use super::bounds::NATIVE;
use super::outcome::{Workload, Workloads};
use super::workloads::{OURS, PEERS};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, Color, DrawingArea, DrawingBackend, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle, SVGBackend,
    Text, WHITE,
};
use std::path::Path;

const WIDTH: u32 = 960;
const LEFT: i32 = 250;
const TOP: i32 = 60;
const BAR: i32 = 11;
const GAP: i32 = 14;
/// The scale, in times native.
const LEAST: f64 = 0.25;
const MOST: f64 = 64.0;

/// Writes an SVG file. Workloads without a native figure are not in it: there is nothing to compare them with.
pub fn write(workloads: &Workloads, path: &Path) -> Result<()> {
    let rows: Vec<&Workload> =
        workloads.rows.iter().filter(|row| native(row).is_some_and(|value| value > 0.0)).collect();
    let peers: Vec<&str> = PEERS.iter().copied().filter(|peer| *peer != NATIVE).collect();
    let group = peers.len() as i32 * BAR + GAP;
    let height = TOP + rows.len() as i32 * group + 20;
    let area = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    draw(&area, &rows, &peers, group, height).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    rows: &[&Workload],
    peers: &[&str],
    group: i32,
    height: i32,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let font = |size: i32| ("sans-serif", size).into_font();
    area.fill(&WHITE)?;
    area.draw(&Text::new("Times native (less is better)", (LEFT, 8), font(16)))?;
    for (number, peer) in (0..).zip(peers) {
        let x = LEFT + number * 130;
        area.draw(&Rectangle::new([(x, 32), (x + 10, 42)], colour(peer).filled()))?;
        area.draw(&Text::new((*peer).to_owned(), (x + 15, 31), font(13)))?;
    }
    for power in -2..=6 {
        let times = f64::from(power).exp2();
        let line = [(across(times), TOP - 4), (across(times), height - 16)];
        let style = if power == 0 { BLACK.mix(0.8) } else { BLACK.mix(0.15) };
        area.draw(&PathElement::new(line, style.stroke_width(1)))?;
        area.draw(&Text::new(format!("{times}"), (across(times) - 4, height - 14), font(11)))?;
    }
    for (number, row) in (0..).zip(rows) {
        let top = TOP + number * group;
        area.draw(&Text::new(row.name.clone(), (8, top + group / 2 - 14), font(14)))?;
        for (place, peer) in (0..).zip(peers) {
            let y = top + place * BAR;
            let measured = row.peers.get(*peer).and_then(|measured| measured.median());
            let (Some(value), Some(native)) = (measured, native(row)) else {
                area.draw(&Text::new("–", (across(1.0) + 3, y - 1), font(10)))?;
                continue;
            };
            let times = value / native;
            let mut ends = [across(1.0), across(times.clamp(LEAST, MOST))];
            ends.sort_unstable();
            area.draw(&Rectangle::new([(ends[0], y), (ends[1].max(ends[0] + 1), y + BAR - 2)], colour(peer).filled()))?;
            area.draw(&Text::new(format!("{times:.2}"), (ends[1] + 3, y - 1), font(10)))?;
        }
    }
    area.present()?;
    Ok(())
}

fn native(row: &Workload) -> Option<f64> {
    row.peers.get(NATIVE)?.median()
}

fn across(times: f64) -> i32 {
    let width = f64::from(WIDTH as i32 - LEFT - 40);
    LEFT + (width * (times / LEAST).log2() / (MOST / LEAST).log2()) as i32
}

fn colour(peer: &str) -> RGBColor {
    match peer {
        OURS => RGBColor(200, 60, 40),
        "runc" => RGBColor(70, 120, 180),
        "crun" => RGBColor(130, 170, 210),
        "runsc-systrap" => RGBColor(120, 160, 80),
        _ => RGBColor(170, 190, 130),
    }
}
