//! A result as tables: aligned for the terminal, or as Markdown for the docs.

use super::bounds::{self, NATIVE, verdict};
use super::looking::LOOKS;
use super::outcome::{Counts, Workload, Workloads};
use super::workloads::{self, PEERS};

/// Rows of cells; the first is the head.
pub type Table = Vec<Vec<String>>;

/// Instructions, exits and calls by operation.
pub fn counts(counts: &Counts) -> Table {
    let mut table = vec![words(&["", "native", "ringwall", "of native", "exits", "host calls", "at most", ""])];
    for row in &counts.rows {
        let bound = bounds::of_count(&row.name);
        let native = row.native.map(|value| value as f64);
        let inside = row.inside.map(|value| value as f64);
        table.push(vec![
            row.name.clone(),
            shown(native),
            shown(inside),
            ratio(inside, native),
            shown(row.exits),
            shown(row.host_calls),
            bound.words(),
            verdict(bound, inside, |peer| native.filter(|_| peer == NATIVE)).to_owned(),
        ]);
    }
    table
}

/// What it costs a getppid that somebody looks.
pub fn looking(counts: &Counts) -> Table {
    let mut table = vec![words(&["looking at a getppid", "in all", "for it", "at most", ""])];
    for look in LOOKS {
        let cost = look.cost(&counts.looking);
        let whole = look.than.and_then(|_| counts.looking.get(look.figure));
        let verdict = match cost {
            Some(cost) if cost <= look.most => "ok",
            Some(_) => "MORE",
            None => "not measured",
        };
        table.push(vec![
            look.name.to_owned(),
            whole.map_or_else(String::new, u64::to_string),
            cost.map_or_else(|| "–".to_owned(), |cost| cost.to_string()),
            look.most.to_string(),
            verdict.to_owned(),
        ]);
    }
    table
}

/// Start to exit, and a sandbox that idles.
pub fn rest(counts: &Counts) -> Table {
    let start = |name: &str| counts.start.get(name).map(|value| *value as f64);
    let idle = |name: &str| counts.idle.get(name).map(|value| *value as f64);
    let of = |value: Option<f64>, other: Option<f64>| ratio(value, other);
    vec![
        words(&["", "runc", "ringwall", "of runc"]),
        vec![
            "start to exit of /bin/true".to_owned(),
            shown(start("runc")),
            shown(start("ringwall")),
            of(start("ringwall"), start("runc")),
        ],
        vec!["idle: CPU in 10 s".to_owned(), String::new(), shown(idle("cpu in 10 s")), String::new()],
        vec![
            "idle: memory of its processes, KiB".to_owned(),
            String::new(),
            shown(idle("memory in KiB")),
            String::new(),
        ],
    ]
}

/// The medians by peer, ratios of ours, and whether they are where they must be.
pub fn workloads(workloads: &Workloads) -> Table {
    let mut head = words(&["", "unit"]);
    head.extend(PEERS.iter().map(|peer| (*peer).to_owned()));
    head.extend(words(&["of native", "of runc", "at most", ""]));
    let mut table = vec![head];
    for row in &workloads.rows {
        let median = |peer: &str| median(row, peer);
        let bound = workloads::bound(&row.name);
        let mut cells = vec![row.name.clone(), row.unit.clone()];
        cells.extend(PEERS.iter().map(|peer| cell(row, peer)));
        let ours = median(workloads::OURS);
        cells.push(ratio(ours, median(NATIVE)));
        cells.push(ratio(ours, median("runc")));
        cells.push(bound.words());
        cells.push(verdict(bound, ours, median).to_owned());
        table.push(cells);
    }
    table
}

fn median(row: &Workload, peer: &str) -> Option<f64> {
    row.peers.get(peer)?.median()
}

/// A peer that could not run is no gap: its error is told below the table.
fn cell(row: &Workload, peer: &str) -> String {
    match row.peers.get(peer) {
        None => "–".to_owned(),
        Some(measured) => measured.median().map_or_else(|| "failed".to_owned(), |value| shown(Some(value))),
    }
}

/// What went wrong, a line a peer and workload.
pub fn errors(workloads: &Workloads) -> Vec<String> {
    let errors = workloads.rows.iter().flat_map(|row| {
        row.peers.iter().filter_map(move |(peer, measured)| {
            let runs = measured.runs.len();
            measured.error.as_ref().map(|error| format!("{}, {peer} ({runs} runs passed): {error}", row.name))
        })
    });
    errors.collect()
}

/// For the terminal: the first column to the left, figures to the right.
pub fn plain(table: &Table) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in table {
        let cells: Vec<String> = (0..)
            .zip(row)
            .map(|(column, cell)| match column {
                0 => format!("{cell:<0$}", widths[column]),
                _ => format!("{cell:>0$}", widths[column]),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// For the docs.
pub fn markdown(table: &Table) -> String {
    let mut text = String::new();
    for (number, row) in table.iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if number == 0 {
            let rules: Vec<&str> = (0..row.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
            text.push_str(&format!("| {} |\n", rules.join(" | ")));
        }
    }
    text
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whole numbers whole, small ones with two digits behind the point.
pub fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.fract() == 0.0 || value >= 1000.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn ratio(value: Option<f64>, reference: Option<f64>) -> String {
    match (value, reference) {
        (Some(value), Some(reference)) if reference > 0.0 => format!("{:.2}", value / reference),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{markdown, plain, shown};

    #[test]
    fn tables_line_up() {
        let table = vec![vec!["a".to_owned(), "n".to_owned()], vec!["long".to_owned(), "12".to_owned()]];
        assert_eq!(plain(&table), "a      n\nlong  12\n");
        assert_eq!(markdown(&table), "| a | n |\n| --- | ---: |\n| long | 12 |\n");
    }

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        assert_eq!(shown(Some(1234.5)), "1234");
        assert_eq!(shown(Some(3.0)), "3");
        assert_eq!(shown(Some(0.126)), "0.13");
        assert_eq!(shown(None), "–");
    }
}
