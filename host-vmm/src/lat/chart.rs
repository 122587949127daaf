//! The distributions as a chart: a line from the shortest to the longest, a bar from the median to p99, on a scale of powers of ten.

use super::Compared;
use super::distribution::Distribution;
use crate::machine::Machine;
use crate::page::html::{escape, time};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 840.0;
const TOP: f64 = 62.0;
/// A call has two of these, one for its parts, and a gap.
const ROW: f64 = 14.0;
const CALL: f64 = 3.0 * ROW + 8.0;
/// Where the chart stands alone it brings its own colours.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1b2733}.d{fill:#5b6b7b;font-size:11px}.n{text-anchor:end}\
    .g{stroke:#d5dce3}.native{fill:#93a1ae;stroke:#93a1ae}.inside{fill:#2f6db5;stroke:#2f6db5}";

/// A file of its own.
pub fn chart(machine: &Machine, compared: &[Compared]) -> String {
    let height = TOP + CALL * compared.len() as f64 + 30.0;
    let all = || compared.iter().flat_map(|call| [&call.native, &call.inside]);
    // Whole powers of ten; nothing is shorter than a ns.
    let low = all().map(|times| times.min_ns.max(1)).min().unwrap_or(1).ilog10();
    let high = all().map(|times| times.max_ns.max(1)).max().unwrap_or(1).ilog10() + 1;
    let x = |ns: u64| {
        let place = (ns.max(1) as f64).log10() - f64::from(low);
        LEFT + (RIGHT - LEFT) * (place / f64::from(high - low)).clamp(0.0, 1.0)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"10\" y=\"18\">System calls, natively and inside ringwall {}</text>\
         <text class=\"d\" x=\"10\" y=\"34\">{}; {}; KVM {}</text>\
         <text class=\"d\" x=\"10\" y=\"49\">line: shortest to longest, bar: median to p99, mark: p99.9; in words: parts of it inside, medians</text>\
         <rect class=\"native\" x=\"640\" y=\"8\" width=\"10\" height=\"10\"/><text x=\"655\" y=\"18\">native</text>\
         <rect class=\"inside\" x=\"720\" y=\"8\" width=\"10\" height=\"10\"/><text x=\"735\" y=\"18\">inside</text>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&machine.cpu),
        escape(&machine.kernel),
        escape(machine.kvm),
    );
    for power in low..=high {
        let ns = 10_u64.saturating_pow(power);
        let _ = writeln!(
            svg,
            "<line class=\"g\" x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{1:.1}\"/>\
             <text class=\"d\" x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            x(ns),
            height - 26.0,
            height - 10.0,
            time(ns)
        );
    }
    for (index, call) in compared.iter().enumerate() {
        let y = TOP + CALL * index as f64;
        let _ = write!(
            svg,
            "<text class=\"n\" x=\"{}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            y + ROW + 4.0,
            escape(call.name)
        );
        side(&mut svg, "native", y + ROW / 2.0, &call.native, x);
        side(&mut svg, "inside", y + ROW * 1.5, &call.inside, x);
        if let Some(parts) = &call.parts {
            let (words, y) = (parts.words(), y + ROW * 2.7);
            let _ = writeln!(svg, "<text class=\"d\" x=\"{LEFT}\" y=\"{y:.1}\">{words}</text>");
        }
    }
    svg + "</svg>\n"
}

fn side(svg: &mut String, class: &str, y: f64, times: &Distribution, x: impl Fn(u64) -> f64) {
    let [min, p50, p99, p999, max] = times.values().map(&x);
    let said = times.values().map(time).join(", ");
    let _ = writeln!(
        svg,
        "<g class=\"{class}\"><title>{class}: {said}</title><line x1=\"{min:.1}\" y1=\"{y:.1}\" x2=\"{max:.1}\" y2=\"{y:.1}\"/>\
         <rect x=\"{p50:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"8\" stroke=\"none\"/>\
         <line x1=\"{p999:.1}\" y1=\"{:.1}\" x2=\"{p999:.1}\" y2=\"{:.1}\" stroke-width=\"2\"/></g>",
        y - 4.0,
        (p99 - p50).max(2.0),
        y - 4.0,
        y + 4.0,
    );
}
