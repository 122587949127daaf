//! `top`: what all running containers call, in a live view.

#[cfg(test)]
mod picture;

use super::Runtime;
use super::metrics::running;
use crate::stats::name;
use anyhow::ensure;
use linker::statistics::{CallStatistics, Statistics};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, Row, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// Seconds between two looks
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1.0)]
    delay: f64,
}

/// What a container did between two looks.
struct Line {
    id: String,
    per_second: f64,
    exits: f64,
    errors: f64,
    calls: Vec<(String, f64, f64)>,
}

/// The view, and what it compares with.
struct View {
    before: HashMap<String, Statistics>,
    lines: Vec<Line>,
    chosen: TableState,
}

/// Shows it until q, Escape or Ctrl-C.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    ensure!(
        std::io::stdout().is_terminal(),
        "top: standard output is no terminal; see ringwall stats and ringwall metrics"
    );
    ensure!(args.delay.is_finite() && args.delay >= 0.1, "--delay: 0.1 seconds at least");
    let mut terminal = ratatui::try_init()?;
    let shown = show(runtime, &mut terminal, Duration::from_secs_f64(args.delay.min(3600.0)));
    ratatui::restore();
    shown.map(|()| 0)
}

fn show(runtime: &Runtime, terminal: &mut DefaultTerminal, delay: Duration) -> anyhow::Result<()> {
    let mut view = View {
        before: running(runtime)?.into_iter().collect(),
        lines: Vec::new(),
        chosen: TableState::default().with_selected(0),
    };
    let mut at = Instant::now();
    let mut next = Instant::now() + delay.min(Duration::from_millis(300));
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        if event::poll(next.saturating_duration_since(Instant::now()))?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Up | KeyCode::Char('k') => view.chosen.select_previous(),
                KeyCode::Down | KeyCode::Char('j') => view.chosen.select_next(),
                _ => {}
            }
        }
        if Instant::now() >= next {
            let found = running(runtime)?;
            let seconds = at.elapsed().as_secs_f64();
            at = Instant::now();
            view.look(found, seconds);
            next = Instant::now() + delay;
        }
    }
}

impl View {
    /// Takes new figures, so long after the last.
    fn look(&mut self, found: Vec<(String, Statistics)>, seconds: f64) {
        let seconds = seconds.max(1e-3);
        let empty = Statistics::default();
        self.lines =
            found.iter().map(|(id, now)| line(id, self.before.get(id).unwrap_or(&empty), now, seconds)).collect();
        self.lines.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
        self.before = found.into_iter().collect();
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([Constraint::Percentage(40), Constraint::Percentage(60)]).split(frame.area());
        let (Some(above), Some(below)) = (areas.first(), areas.get(1)) else { return };
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let rows = self.lines.iter().map(|line| {
            let busiest: Vec<&str> = line.calls.iter().take(3).map(|(name, ..)| name.as_str()).collect();
            Row::new([line.id.clone(), rate(line.per_second), rate(line.exits), rate(line.errors), busiest.join(" ")])
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(10),
            Constraint::Length(10),
            Constraint::Length(10),
            Constraint::Fill(3),
        ];
        let table = Table::new(rows, widths)
            .header(Row::new(["container", "calls/s", "exits/s", "errors/s", "busiest"]).style(bold))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(Block::bordered().title("ringwall top: arrows choose, q ends"));
        frame.render_stateful_widget(table, *above, &mut self.chosen);

        let chosen =
            self.chosen.selected().and_then(|index| self.lines.get(index.min(self.lines.len().saturating_sub(1))));
        let title = chosen.map_or_else(|| "no container".into(), |line| line.id.clone());
        let calls = chosen.map_or(&[][..], |line| &line.calls);
        let rows = calls.iter().map(|(name, per_second, busy)| {
            Row::new([name.clone(), rate(*per_second), format!("{:.1} %", busy * 100.0)])
        });
        let widths = [Constraint::Fill(1), Constraint::Length(10), Constraint::Length(10)];
        let table = Table::new(rows, widths)
            .header(Row::new(["call", "calls/s", "time"]).style(bold))
            .block(Block::bordered().title(title));
        frame.render_widget(table, *below);
    }
}

/// What happened between two looks. Counters that went back are another container's, of the same name: then all of it is new.
fn line(id: &str, before: &Statistics, now: &Statistics, seconds: f64) -> Line {
    let old: HashMap<u32, &CallStatistics> = before.calls.iter().map(|row| (row.number, row)).collect();
    let since = |row: &CallStatistics, of: fn(&CallStatistics) -> u64| {
        let was = old.get(&row.number).map_or(0, |row| of(row));
        of(row).checked_sub(was).unwrap_or_else(|| of(row)) as f64 / seconds
    };
    let sum = |of: fn(&CallStatistics) -> u64| now.calls.iter().map(|row| since(row, of)).sum();
    let ticks = now.ticks_per_ms.max(1) as f64 * 1e3;
    let mut calls: Vec<(String, f64, f64)> = now
        .calls
        .iter()
        .map(|row| (name(row.number), since(row, |row| row.count), since(row, |row| row.ticks) / ticks))
        .filter(|(_, count, _)| *count > 0.0)
        .collect();
    calls.sort_by_key(|(_, count, _)| Reverse((count * 1000.0) as u64));
    Line {
        id: id.into(),
        per_second: sum(|row| row.count),
        exits: sum(|row| row.exits),
        errors: sum(|row| row.errors.iter().map(|(_, count)| count).sum()),
        calls,
    }
}

fn rate(value: f64) -> String {
    match value {
        ..1e4 => format!("{value:.0}"),
        ..1e7 => format!("{:.1}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{View, line, rate};
    use linker::statistics::{CallStatistics, Statistics};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::widgets::TableState;
    use std::collections::HashMap;

    fn statistics(count: u64) -> Statistics {
        let row = CallStatistics { number: 0, count, ticks: count * 1_000, ..CallStatistics::default() };
        Statistics { ticks_per_ms: 1_000_000, calls: vec![row], ..Statistics::default() }
    }

    #[test]
    fn rates_are_what_came_since_the_last_look() {
        let now = line("a", &statistics(100), &statistics(300), 2.0);
        assert_eq!((now.per_second, now.calls[0].0.as_str(), now.calls[0].1), (100.0, "read", 100.0));
        // Another container of the same name.
        assert_eq!(line("a", &statistics(300), &statistics(100), 1.0).per_second, 100.0);
        assert_eq!((rate(999.0).as_str(), rate(12_345.0).as_str()), ("999", "12.3k"));
    }

    #[test]
    fn a_small_terminal_shows_what_fits() {
        for (width, height) in [(80, 24), (20, 5), (3, 1)] {
            let mut view =
                View { before: HashMap::new(), lines: Vec::new(), chosen: TableState::default().with_selected(7) };
            view.look(vec![("web".into(), statistics(5))], 1.0);
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            terminal.draw(|frame| view.draw(frame)).expect("drawn");
            let text = terminal.backend().to_string();
            assert_eq!(text.contains("web") && text.contains("read"), width == 80, "{text}");
        }
    }
}
