//! Charts as SVG that stands in a page. Colours and type come from the page's style; every mark says its value when pointed at.

use super::html::{count, escape, time};
use std::fmt::Write;

/// Units of a chart across; the page scales it.
const WIDTH: f64 = 760.0;
const ROW: f64 = 22.0;
/// Where bars begin and end: before is the name, behind the value.
const BARS: (f64, f64) = (150.0, 560.0);

/// A bar.
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// What is said behind it.
    pub text: String,
}

/// Horizontal bars, in order.
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let height = ROW * bars.len() as f64 + 6.0;
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut svg = open(title, WIDTH, height);
    for (index, bar) in bars.iter().enumerate() {
        let y = ROW * index as f64 + 3.0;
        let width = ((BARS.1 - BARS.0) * bar.value / most).max(1.0);
        let (name, text) = (escape(&bar.name), escape(&bar.text));
        let _ = write!(
            svg,
            "<g><title>{name}: {text}</title>\
             <text class=\"name\" x=\"{:.0}\" y=\"{:.0}\">{name}</text>\
             <rect class=\"c0\" x=\"{:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\" rx=\"2\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.0}\">{text}</text></g>",
            BARS.0 - 8.0,
            y + 14.0,
            BARS.0,
            ROW - 4.0,
            BARS.0 + width + 6.0,
            y + 14.0,
        );
    }
    svg + "</svg>"
}

/// A histogram whose columns are powers of two: the upper ends in ns, and how many. `marks` are lines with a name.
pub fn histogram(title: &str, buckets: &[(u64, u64)], marks: &[(&str, u64)]) -> String {
    let (width, height, left, top, bottom) = (360.0, 150.0, 8.0, 18.0, 122.0);
    // Few columns are not drawn as wide as the chart.
    let step = ((width - 2.0 * left) / buckets.len().max(8) as f64).min(36.0);
    // Names of columns must not run into each other.
    let labelled = (60.0 / step).ceil() as usize;
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
    let mut svg = open(title, width, height);
    for (index, (end_ns, calls)) in buckets.iter().enumerate() {
        let x = left + step * index as f64;
        // A single call is to be seen beside a million.
        let tall = if *calls == 0 { 0.0 } else { ((bottom - top) * (*calls as f64) / most).max(1.5) };
        let _ = write!(
            svg,
            "<rect class=\"c0\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\">\
             <title>{} to {}: {} calls</title></rect>",
            x + 1.0,
            bottom - tall,
            (step - 2.0).max(1.0),
            time(end_ns / 2),
            time(*end_ns),
            count(*calls),
        );
        if index.is_multiple_of(labelled) {
            let _ =
                write!(svg, "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.0}\">{}</text>", bottom + 14.0, time(end_ns / 2));
        }
    }
    for (place, (name, end_ns)) in marks.iter().enumerate() {
        let Some(index) = buckets.iter().position(|(end, _)| end == end_ns) else { continue };
        let x = left + step * (index as f64 + 0.5);
        let y = top - 6.0 + 11.0 * place as f64;
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{y:.0}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.0}\">{name} &lt; {}</text>",
            x + 3.0,
            y + 4.0,
            time(*end_ns),
        );
    }
    let _ = write!(svg, "<line class=\"base\" x1=\"{left}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\"/>", width - left);
    svg + "</svg>"
}

/// What a timeline shows: times in seconds, and for each series its name and a value a time.
pub struct Timeline {
    /// Upper ends of the intervals, in seconds.
    pub seconds: Vec<f64>,
    /// From the bottom to the top.
    pub series: Vec<(String, Vec<f64>)>,
}

/// Areas on top of each other over time.
pub fn timeline(title: &str, shown: &Timeline) -> String {
    let (height, left, right, top, bottom) = (190.0, 60.0, WIDTH - 170.0, 10.0, 160.0);
    let mut svg = open(title, WIDTH, height);
    let end = shown.seconds.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let sum = |index: usize| shown.series.iter().filter_map(|(_, values)| values.get(index)).sum::<f64>();
    let most = (0..shown.seconds.len()).map(sum).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let x = |seconds: f64| left + (right - left) * seconds / end;
    let y = |value: f64| bottom - (bottom - top) * value / most;
    let mut below = vec![0.0; shown.seconds.len()];
    for (index, (name, values)) in shown.series.iter().enumerate() {
        let above: Vec<f64> = below.iter().zip(values).map(|(below, value)| below + value).collect();
        let mut path = String::new();
        let edges = |levels: &[f64]| {
            let starts = std::iter::once(0.0).chain(shown.seconds.iter().copied());
            let steps = starts.zip(&shown.seconds).zip(levels);
            steps.flat_map(|((from, to), level)| [(x(from), y(*level)), (x(*to), y(*level))]).collect::<Vec<_>>()
        };
        for (x, y) in edges(&above).into_iter().chain(edges(&below).into_iter().rev()) {
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        let _ = write!(
            svg,
            "<polygon class=\"c{index}\" points=\"{}\"><title>{1}</title></polygon>\
             <rect class=\"c{index}\" x=\"{2:.0}\" y=\"{3:.0}\" width=\"10\" height=\"10\"/>\
             <text class=\"value\" x=\"{4:.0}\" y=\"{5:.0}\">{1}</text>",
            path.trim_end(),
            escape(name),
            right + 14.0,
            top + 18.0 * index as f64,
            right + 30.0,
            top + 9.0 + 18.0 * index as f64,
        );
        below = above;
    }
    let _ = write!(
        svg,
        "<line class=\"base\" x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
         <text class=\"name\" x=\"{:.0}\" y=\"{:.0}\">{}/s</text><text class=\"name\" x=\"{:.0}\" y=\"{bottom}\">0</text>\
         <text class=\"axis\" x=\"{left}\" y=\"{:.0}\">0 s</text>\
         <text class=\"axis end\" x=\"{right}\" y=\"{:.0}\">{end:.1} s</text></svg>",
        left - 6.0,
        top + 8.0,
        count(most.round() as u64),
        left - 6.0,
        bottom + 16.0,
        bottom + 16.0,
    );
    svg
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\" xmlns=\"http://www.w3.org/2000/svg\">"
    )
}

#[cfg(test)]
mod tests {
    use super::{Bar, Timeline, bars, histogram, timeline};

    #[test]
    fn a_bar_of_nothing_is_drawn_and_names_are_text() {
        let svg = bars("b", &[Bar { name: "<read>".into(), value: 0.0, text: "0".into() }]);
        assert!(svg.contains("&lt;read&gt;") && !svg.contains("<read>") && !svg.contains("NaN"), "{svg}");
        assert!(bars("none", &[]).ends_with("</svg>"));
    }

    #[test]
    fn a_histogram_has_a_column_a_bucket() {
        let svg = histogram("h", &[(256, 1), (512, 0), (1024, 1_000_000)], &[("p50", 1024), ("p99", 4)]);
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"mark\"").count()), (3, 1));
        assert!(svg.contains("height=\"1.5\"") && svg.contains("512 ns to 1.02 µs: 1,000,000 calls"), "{svg}");
    }

    #[test]
    fn a_timeline_of_nothing_has_no_infinities() {
        for seconds in [vec![], vec![0.0], vec![1.0, 2.0]] {
            let values = vec![0.0; seconds.len()];
            let svg = timeline("t", &Timeline { seconds, series: vec![("a".into(), values)] });
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
