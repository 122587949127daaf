//! The picture of `ringwall top` in docs/observing.md: what it draws on a terminal, cell by cell, as SVG. `RINGWALL_PICTURE=FILE` has the
//! test write it; otherwise it compares the committed one.
//!
//! The first container does in a second what nginx did in `docs/studies/nginx.md`; the others are made up.

use super::View;
use crate::page::html::escape;
use linker::statistics::{CallStatistics, Statistics};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Modifier;
use ratatui::widgets::TableState;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use syscalls::Sysno;

/// Of the terminal.
const SIZE: (u16, u16) = (92, 24);
/// Of a cell.
const CELL: (f64, f64) = (8.4, 17.0);
const MARGIN: f64 = 10.0;
const STYLE: &str = "text{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d7dde4;white-space:pre}\
    .bold{font-weight:bold}.back{fill:#d7dde4}.reversed{fill:#10161d}";

/// Call, times, exits for it, errors, microseconds.
type Row = (Sysno, u64, u64, u64, u64);

const WEB: &[Row] = &[
    (Sysno::epoll_wait, 467, 0, 0, 611_000),
    (Sysno::close, 322, 0, 0, 900),
    (Sysno::recvfrom, 302, 7, 0, 2_400),
    (Sysno::epoll_ctl, 209, 0, 0, 300),
    (Sysno::sendfile, 201, 248, 0, 38_000),
    (Sysno::write, 181, 0, 0, 700),
    (Sysno::writev, 181, 142, 0, 9_100),
    (Sysno::openat, 171, 567, 20, 41_000),
    (Sysno::newfstatat, 159, 11, 0, 1_900),
    (Sysno::accept4, 141, 0, 0, 500),
    (Sysno::setsockopt, 122, 0, 0, 200),
    (Sysno::mmap, 58, 0, 0, 300),
];

const DATABASE: &[Row] =
    &[(Sysno::futex, 88, 0, 31, 940_000), (Sysno::pwrite64, 40, 40, 0, 7_000), (Sysno::fdatasync, 12, 12, 0, 130_000)];

const BATCH: &[Row] =
    &[(Sysno::read, 14_200, 220, 0, 64_000), (Sysno::write, 14_050, 0, 0, 71_000), (Sysno::wait4, 3, 0, 1, 400_000)];

fn statistics(rows: &[Row]) -> Statistics {
    let calls = rows.iter().map(|(call, count, exits, errors, us)| CallStatistics {
        number: call.id().cast_unsigned(),
        count: *count,
        ticks: us * 1_000,
        exits: *exits,
        errors: (*errors != 0).then_some((2, *errors)).into_iter().collect(),
        ..CallStatistics::default()
    });
    Statistics { ticks_per_ms: 1_000_000, calls: calls.collect(), ..Statistics::default() }
}

fn drawn() -> Buffer {
    let mut view = View { before: HashMap::new(), lines: Vec::new(), chosen: TableState::default().with_selected(1) };
    let found = [("web", WEB), ("database", DATABASE), ("batch", BATCH)];
    view.look(found.map(|(id, rows)| (id.to_owned(), statistics(rows))).into(), 1.0);
    let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a terminal");
    terminal.draw(|frame| view.draw(frame)).expect("drawn");
    terminal.backend().buffer().clone()
}

/// Runs of cells with one style each, a row a line.
fn svg(buffer: &Buffer) -> String {
    let (width, height) = (f64::from(SIZE.0) * CELL.0 + 2.0 * MARGIN, f64::from(SIZE.1) * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\
         <title>ringwall top on a terminal</title><style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#10161d\"/>\n"
    );
    for (row, cells) in buffer.content().chunks(usize::from(SIZE.0)).enumerate() {
        let y = MARGIN + row as f64 * CELL.1;
        let mut column = 0;
        for run in cells.chunk_by(|a, b| a.modifier == b.modifier) {
            let text: String = run.iter().map(Cell::symbol).collect();
            let (x, width) = (MARGIN + column as f64 * CELL.0, run.len() as f64 * CELL.0);
            column += run.len();
            let modifier = run.first().map_or(Modifier::empty(), |cell| cell.modifier);
            let reversed = modifier.contains(Modifier::REVERSED);
            if reversed {
                let _ = write!(
                    svg,
                    "<rect class=\"back\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\"/>",
                    CELL.1
                );
            }
            if !text.trim().is_empty() {
                let class = match (reversed, modifier.contains(Modifier::BOLD)) {
                    (true, _) => " class=\"reversed\"",
                    (false, true) => " class=\"bold\"",
                    (false, false) => "",
                };
                let _ = write!(
                    svg,
                    "<text{class} x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\">{}</text>",
                    y + 13.0,
                    escape(&text)
                );
            }
        }
        svg.push('\n');
    }
    svg + "</svg>\n"
}

#[test]
fn the_committed_picture_is_what_top_draws() {
    let buffer = drawn();
    let text: String = buffer.content().iter().map(Cell::symbol).collect();
    for part in ["container", "busiest", "batch", "28.3k", "web", "epoll_wait", "sendfile", "61.1 %", "database"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let picture = svg(&buffer);
    if let Some(path) = std::env::var_os("RINGWALL_PICTURE") {
        let path = workspace().join(PathBuf::from(path));
        std::fs::write(path, &picture).expect("a picture");
        return;
    }
    let committed = std::fs::read_to_string(workspace().join("docs/top.svg")).expect("docs/top.svg");
    assert!(committed == picture, "docs/top.svg is old: RINGWALL_PICTURE=docs/top.svg cargo test -p host-vmm picture");
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}
