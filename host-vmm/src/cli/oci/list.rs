//! `list`.

use super::Runtime;
use crate::container::state;
use crate::container::status::{self, Status};
use clap::ValueEnum;
use serde_json::Value;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// How
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Names only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

/// Prints the list.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    // One that goes meanwhile, or that `create` did not finish, is none.
    let names = state::all(&runtime.root)?;
    let found: Vec<_> = names.iter().filter_map(|id| runtime.find_unlocked(id).ok()).collect();
    if args.quiet {
        for (state, _) in &found {
            writeln!(out, "{}", state.id)?;
        }
        return Ok(0);
    }
    match args.format {
        Format::Json => {
            let documents: Vec<Value> = found
                .iter()
                .map(|(state, status)| {
                    let mut document = status::document(state, *status);
                    if let Some(fields) = document.as_object_mut() {
                        fields.insert("owner".into(), status::user_name(state.owner).into());
                    }
                    document
                })
                .collect();
            write!(out, "{}", serde_json::to_string(&documents)?)?;
        }
        Format::Table => {
            let rows = found.into_iter().map(|(state, status)| {
                let pid = if status == Status::Stopped { 0 } else { state.pid };
                let bundle = state.bundle.display().to_string();
                let owner = status::user_name(state.owner);
                [state.id, pid.to_string(), status.name().into(), bundle, state.created, owner]
            });
            write!(out, "{}", table(rows.collect()))?;
        }
    }
    Ok(0)
}

/// Columns as wide as they must be, three blanks between them, as Go's tabwriter makes them for runc.
fn table(rows: Vec<[String; 6]>) -> String {
    const LEAST: usize = 12;
    const BETWEEN: usize = 3;
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(String::from)).chain(rows).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let widest = rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
                let width = (widest + BETWEEN).max(LEAST);
                text.extend(std::iter::repeat_n(' ', width - cell.len()));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let row = ["t1", "14255", "running", "/tmp/ocitest", "2026", "root"].map(String::from);
        let expected = "\
ID          PID         STATUS      BUNDLE         CREATED     OWNER
t1          14255       running     /tmp/ocitest   2026        root
";
        assert_eq!(table(vec![row]), expected);
    }
}
