//! Standard streams of every kind, and much data through them.

use ringwall_tests::outcome::{code, outcome, outcome_with, start, wait};
use ringwall_tests::{inside, is_interpreted, native, ringwall, verb};
use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// Runs a script of bash natively and inside, where `$R` becomes `ringwall do --` or nothing.
fn same_in_a_shell(script: &str) {
    let shell = |prefix: &str| {
        let mut command = native(["bash", "-c", script]);
        outcome(command.env("R", prefix))
    };
    let inside = format!("{} do --vcpus 1 --", ringwall().display());
    assert_eq!(shell(&inside), shell(""), "inside (left) differs from native (right)");
}

#[test]
fn closed_streams_stay_closed() {
    same_in_a_shell("$R sh -c 'echo x' >&-; echo $?");
    same_in_a_shell("$R cat <&- 2>&1; echo $?");
    same_in_a_shell("$R sh -c 'echo y; echo x >&2' 2>&-; echo $?");
}

#[test]
fn stdin_may_be_a_file_a_pipe_or_nothing() {
    same_in_a_shell("$R sh -c 'head -n 2; echo; cat | wc -c' </usr/share/common-licenses/BSD");
    same_in_a_shell("seq 1 5 | $R sh -c 'read a; read b; echo $a $b; cat'");
    same_in_a_shell("$R cat </dev/null; echo $?");
    same_in_a_shell("$R sh -c 'test -t 0; echo $?; test -p /dev/stdin; echo $?' </dev/null");
    same_in_a_shell("echo here | $R sh -c 'test -p /dev/stdin; echo $?; readlink /proc/self/fd/0 | tr -d 0-9'");
}

#[test]
fn output_to_a_file_goes_where_the_shell_points() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("out");
    std::fs::write(&file, "first\n").expect("a file");
    let appended = File::options().append(true).open(&file).expect("the file");
    let mut child = start(inside(["sh", "-c", "echo second; echo third"]).stdout(appended));
    assert_eq!(code(wait(&mut child)), 0);
    assert_eq!(std::fs::read_to_string(&file).expect("text"), "first\nsecond\nthird\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_writer() {
    same_in_a_shell("$R yes | head -n 2; echo ${PIPESTATUS[@]}");
    same_in_a_shell(
        "$R sh -c 'trap \"\" PIPE; while echo x 2>/dev/null; do :; done; echo $? >&2' | true; echo ${PIPESTATUS[@]}",
    );
}

#[test]
fn a_slow_reader_gets_everything() {
    let mut child = start(inside(["seq", "1", "60000"]).stdout(Stdio::piped()));
    let mut output = child.stdout.take().expect("piped");
    let mut all = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        all.extend_from_slice(&buffer[..count]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(code(wait(&mut child)), 0);
    assert_eq!(all, outcome(&mut native(["seq", "1", "60000"])).stdout.into_bytes());
}

#[test]
fn input_and_output_go_both_ways_at_once() {
    let input: Vec<u8> = (0..2 << 20).map(|index: u32| b'a' + (index % 23) as u8).collect();
    let outcome = outcome_with(&mut inside(["cat"]), &input);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.as_bytes() == input, "{} bytes came back", outcome.stdout.len());
}

#[test]
fn megabytes_go_through_a_pipeline_inside_again_and_again() {
    // Pipes that are full and empty by turns, tasks that wait for each other on two CPUs.
    let bytes = if is_interpreted() { 4 << 20 } else { 64 << 20 };
    let script = format!("for i in 1 2 3; do head -c {bytes} /dev/zero | cat | cat | wc -c; done");
    let mut command = verb(["do", "--vcpus", "2", "--", "sh", "-c", &script]);
    assert_eq!(outcome(&mut command).stdout, format!("{bytes}\n").repeat(3));
}

#[test]
fn megabytes_go_through_a_pipeline_across_the_boundary() {
    let bytes = if is_interpreted() { 2 << 20 } else { 32 << 20 };
    same_in_a_shell(&format!("head -c {bytes} /dev/zero | $R cat | wc -c; $R head -c {bytes} /dev/zero | wc -c"));
}
