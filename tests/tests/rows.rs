//! Each row of the system call table that says `full` has a fact: a program of tests/guest makes the call, and what it prints inside is
//! compared with what it prints on Linux.

use sentry::syscall::table::{Level, rows};
use std::collections::HashSet;
use std::path::Path;

/// The words of a line of C that are names, with what follows each.
fn names(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = line.split("//").next().unwrap_or_default();
    let mut rest = code;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| c.is_alphabetic() || c == '_')?;
        let word = &rest[start..];
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        rest = after;
        Some((name, after))
    })
}

/// Calls that a program makes: by number (`SYS_name`), or by the C library's function of the same name.
fn calls(text: &str) -> HashSet<String> {
    let mut calls = HashSet::new();
    for (name, after) in text.lines().filter(|line| !line.starts_with('#')).flat_map(names) {
        if let Some(call) = name.strip_prefix("SYS_") {
            calls.insert(call.to_owned());
        } else if after.starts_with('(') {
            calls.insert(name.to_owned());
        }
    }
    calls
}

#[test]
fn every_full_row_has_a_fact_that_is_compared_with_linux() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let mut made = HashSet::new();
    for entry in std::fs::read_dir(folder).expect("tests/guest") {
        let path = entry.expect("tests/guest").path();
        if path.extension().is_some_and(|extension| extension == "c") {
            made.extend(calls(&std::fs::read_to_string(&path).expect("a program")));
        }
    }
    let full = rows().filter(|row| row.level == Level::Full);
    let missing: Vec<&str> = full.map(|row| row.name).filter(|name| !made.contains(*name)).collect();
    assert!(missing.is_empty(), "full, and no fact in tests/guest/*.c: {missing:?}");
}

#[test]
fn a_call_in_a_comment_or_a_longer_name_is_none() {
    let calls = calls("// dup(1)\n  F(syscall(SYS_tee, 1)); my_read(3);\n#define SYS_x 1\n");
    assert!(calls.contains("tee") && calls.contains("my_read"));
    assert!(!calls.contains("dup") && !calls.contains("read") && !calls.contains("x"));
}
