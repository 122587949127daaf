//! `ringwall syscalls`: which system calls are served inside, from the table that dispatches them.

use sentry::syscall::table::{DESCRIPTIONS, Level};
use serde_json::json;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Prints the table.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut rows = DESCRIPTIONS;
    rows.sort_by_key(|row| row.number);
    let level = |level| match level {
        Level::Full => "full",
        Level::Partial => "partial",
        Level::Unsupported => "unsupported",
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "number": row.number, "name": row.name, "support": level(row.level), "note": row.note,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        for row in rows {
            let line = format!("{:>3} {:<24} {:<11} {}", row.number, row.name, level(row.level), row.note);
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(0)
}
