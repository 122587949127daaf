//! Whoever of a sandbox is killed: nothing is left of it.

use ringwall_tests::inside;
use ringwall_tests::leftovers::Mark;
use ringwall_tests::outcome::{code, start, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

/// A program inside that says when it runs, and goes on with a line on its stdin.
fn running(script: &str) -> (Child, Mark) {
    let script = format!("echo ready; read -r line; {script}");
    let mut command = inside(["bash", "-c", &script]);
    let mark = Mark::put(&mut command);
    let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut line = Vec::new();
    let stdout = child.stdout.as_mut().expect("piped");
    // Byte by byte, as a buffer would take more.
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("a line");
        line.push(byte[0]);
    }
    assert_eq!(line, b"ready\n");
    (child, mark)
}

fn kill(process: u32) {
    let process = Pid::from_raw(i32::try_from(process).expect("a process id")).expect("a process id");
    kill_process(process, Signal::KILL).expect("a running process");
}

fn lines(stream: Option<impl Read>) -> Vec<String> {
    BufReader::new(stream.expect("piped")).lines().map_while(Result::ok).collect()
}

#[test]
fn a_killed_parent_takes_everything_along() {
    let (mut child, mark) = running("sleep 100");
    mark.sandbox();
    child.kill().expect("a running program");
    assert_eq!(code(wait(&mut child)), 137);
    mark.assert_nothing_left();
}

#[test]
fn a_parent_that_is_killed_at_any_moment_of_the_start_takes_everything_along() {
    for milliseconds in [0, 3, 10, 30, 60, 100, 150, 200, 300, 400] {
        let mut command = inside(["sleep", "100"]);
        let mark = Mark::put(&mut command);
        let mut child = start(command.stdin(Stdio::null()));
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().expect("a running program");
        wait(&mut child);
        mark.assert_nothing_left();
    }
}

#[test]
fn a_killed_sandbox_process_is_reported_and_leaves_nothing() {
    let (mut child, mark) = running("sleep 100");
    kill(mark.sandbox().sandbox);
    assert_eq!(code(wait(&mut child)), 125);
    assert_eq!(lines(child.stderr.take()), ["ringwall: the sandbox process was killed by signal 9"]);
    mark.assert_nothing_left();
}

#[test]
fn a_killed_gofer_is_reported_and_files_of_the_host_give_eio() {
    let (mut child, mark) =
        running("/bin/cat /etc/debian_version; /bin/cat /usr/share/common-licenses/GPL-3; echo code $?; exit 3");
    kill(mark.sandbox().gofer);
    let report = lines_until(&mut child, "gofer");
    assert!(report.starts_with("ringwall: ") && report.contains("killed by signal 9"), "{report}");
    child.stdin.take().expect("piped").write_all(b"\n").expect("a program that reads");
    let output = lines(child.stdout.take());
    let errors = lines(child.stderr.take()).join("\n");
    assert!(output.iter().any(|line| line.starts_with("code ") && line != "code 0"), "{output:?} {errors}");
    assert!(errors.contains("Input/output error"), "{errors}");
    // The shell itself is in memory already and ends as it likes.
    assert_eq!(code(wait(&mut child)), 3, "{errors}");
    mark.assert_nothing_left();
}

/// The first line on stderr that contains `part`.
fn lines_until(child: &mut Child, part: &str) -> String {
    let stderr = child.stderr.as_mut().expect("piped");
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("a line");
        if byte[0] != b'\n' {
            line.push(byte[0]);
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        if text.contains(part) {
            return text;
        }
        line.clear();
    }
}
