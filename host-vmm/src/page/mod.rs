//! `ringwall report`: a sandbox's counters as one page that needs nothing else: charts are SVG inside it (`svg`), what stands out
//! is said in words (`advice`), nothing is a script. `watch` takes the samples (`samples`) and records (`uses`); `file` puts the page
//! in its place. Names come from the container and are nobody's markup (`html`).

mod advice;
pub mod file;
pub mod html;
pub mod samples;
mod sections;
pub mod svg;
pub mod uses;
pub mod watch;

use crate::machine::Machine;
use html::escape;
use samples::Samples;
use uses::Uses;

/// What a page shows.
#[derive(Debug)]
pub struct Page<'a> {
    /// The container's name, or the program's words.
    pub title: &'a str,
    /// What it ran on.
    pub machine: &'a Machine,
    /// The counters over time.
    pub samples: &'a Samples,
    /// What was done with which file.
    pub uses: &'a Uses,
    /// The sandbox had ended when the last sample was taken.
    pub ended: bool,
}

impl Page<'_> {
    /// The page.
    pub fn render(&self) -> String {
        let title = escape(self.title);
        let body: String = [
            sections::head(self),
            sections::advised(self),
            sections::by_count(self),
            sections::by_time(self),
            sections::over_time(self),
            sections::latencies(self),
            sections::exits(self),
            sections::errors(self),
            sections::table(self),
            sections::threads(self),
        ]
        .concat();
        // Nothing in the page may load or run anything, whatever else is wrong with it.
        let (head, style) = (include_str!("head.html"), include_str!("style.css"));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head>{head}<title>{title}: system calls</title>\n\
             <style>\n{style}</style></head>\n<body>\n{body}</body></html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, Page, Samples, Uses};
    use linker::statistics::{CallStatistics, Statistics, ThreadStatistics};
    use std::time::Duration;

    fn page(statistics: Statistics) -> String {
        let machine = Machine { cpu: "a <CPU>".into(), kernel: "Linux 6".into(), kvm: "native" };
        let mut samples = Samples::from_the_start();
        samples.take(Duration::from_secs(1), statistics);
        Page { title: "<b>x</b>", machine: &machine, samples: &samples, uses: &Uses::default(), ended: true }.render()
    }

    fn row(number: u32, count: u64) -> CallStatistics {
        CallStatistics {
            number,
            count,
            ticks: count * 500,
            exits: 2,
            histogram: vec![0, 0, 0, 0, 0, 0, 0, 0, count],
            errors: vec![(2, 1), (38, 1)],
            ..CallStatistics::default()
        }
    }

    #[test]
    fn a_page_has_every_section_and_needs_nothing_else() {
        let page =
            page(Statistics { ticks_per_ms: 1_000_000, calls: vec![row(0, 30), row(1, 10)], ..Statistics::default() });
        for part in
            ["by count", "by time", "Over time", "How long", "Exits", "Errors", "ENOSYS", "ENOENT", "read", "write"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(
            !page.contains("<script") && !page.contains("src=") && !page.contains("href=") && !page.contains("url(")
        );
        assert!(page.len() < 200_000 && !page.contains("NaN"));
    }

    #[test]
    fn names_of_the_containers_are_no_markup() {
        let thread =
            ThreadStatistics { tid: 1, pid: 1, name: b"</td><script>\xff\x1b".to_vec(), calls: vec![row(0, 1)] };
        let page = page(Statistics { ticks_per_ms: 1, threads: vec![thread], ..Statistics::default() });
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && !page.contains('\x1b'));
        assert!(page.contains("&lt;b&gt;x&lt;/b&gt;") && !page.contains("<b>x") && page.contains("a &lt;CPU&gt;"));
    }

    #[test]
    fn figures_that_make_no_sense_make_a_page() {
        let broken = CallStatistics {
            number: u32::MAX,
            count: u64::MAX,
            ticks: u64::MAX,
            exits: u64::MAX,
            histogram: vec![u64::MAX; 100],
            errors: vec![(u16::MAX, u64::MAX); 3],
            ..CallStatistics::default()
        };
        let page = page(Statistics { ticks_per_ms: 1, calls: vec![broken.clone(), broken], ..Statistics::default() });
        assert!(page.ends_with("</html>\n") && !page.contains("NaN") && !page.contains("inf"));
    }
}
