//! `ringwall syscalls`: which system calls are served inside, from the table that dispatches them.

use sentry::syscall::table::{DESCRIPTIONS, Description, Level};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// As the page docs/syscalls.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Prints the table.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let rows = by_number();
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "number": row.number, "name": row.name, "support": word(row.level), "note": row.note,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else if args.markdown {
        out.write_all(page(&rows).as_bytes())?;
    } else {
        for row in rows {
            let line = format!("{:>3} {:<24} {:<11} {}", row.number, row.name, word(row.level), row.note);
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(0)
}

fn by_number() -> Vec<Description> {
    let mut rows = DESCRIPTIONS.to_vec();
    rows.sort_by_key(|row| row.number);
    rows
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Full => "full",
        Level::Partial => "partial",
        Level::Unsupported => "unsupported",
    }
}

/// `docs/syscalls.md`.
fn page(rows: &[Description]) -> String {
    let count = |level| rows.iter().filter(|row| row.level == level).count();
    let mut text = format!(
        "# System calls\n\n\
         <!-- Made by `cargo xtask docs` from the rows in sentry/src/syscall; a test refuses an old one. -->\n\n\
         Of the {} system calls of x86-64:\n\n\
         - {} are **full**: as Linux, shown by a program of `tests/guest` that prints the same on both;\n\
         - {} are **partial**: the note says what is missing;\n\
         - {} are **unsupported**: the note says why, and which error they get.\n\n\
         A number that is not here gets ENOSYS. `ringwall syscalls` prints the same list, `--json` for programs. What is missing beyond\n\
         single calls is in [limits.md](limits.md).\n\n\
         | number | name | support | note |\n| ---: | --- | --- | --- |\n",
        rows.len(),
        count(Level::Full),
        count(Level::Partial),
        count(Level::Unsupported),
    );
    for Description { number, name, level, note } in rows {
        let line = format!("| {number} | `{name}` | {} | {} |", word(*level), note.replace('|', "\\|"));
        let _ = writeln!(text, "{}", line.replace("|  |", "| |"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{by_number, page};

    #[test]
    fn the_committed_page_is_made_from_the_table() {
        let committed = include_str!("../../../docs/syscalls.md");
        assert!(committed == page(&by_number()), "docs/syscalls.md is old: cargo xtask docs");
    }
}
