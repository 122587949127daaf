//! The verbs that look at a container's system calls, each against one that runs: what they show, and that it does not notice.

use ringwall_tests::container::{Bundle, Container};
use ringwall_tests::outcome::{Outcome, code, outcome, start, wait};
use ringwall_tests::terminal::Terminal;
use ringwall_tests::{guest_program, inside, native, verb};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Asks about a file that is not there, without end; a second process about another. Ends with its stdin.
const BUSY: &str = "test -e /none/first; (while :; do test -e /none/second; sleep 0.05; done) & echo ready; echo $!
    (while :; do test -e /none/first; sleep 0.02; done) & read -r line; exit 5";

fn busy() -> (Container, String) {
    let mut container = Container::start(BUSY);
    let second = container.line();
    (container, second)
}

/// Somebody who watches.
struct Watcher {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Watcher {
    fn start(command: &mut Command) -> Self {
        let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    /// The first lines for which `wanted` holds.
    fn lines(&mut self, count: usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.output.by_ref().lines().map(|line| line.expect("text"));
        lines.filter(|line| wanted(line)).take(count).collect()
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("a running program");
    }

    /// Its exit code, what else it showed, and what it said.
    fn end(mut self) -> (i32, String, String) {
        let (mut shown, mut said) = (String::new(), String::new());
        self.output.read_to_string(&mut shown).expect("text");
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        (code(wait(&mut self.child)), shown, said)
    }
}

#[test]
fn top_shows_containers_live_and_leaves_the_terminal_as_it_was() {
    let (mut container, _) = busy();
    let mut terminal = Terminal::start(&container.bundle.verb(["top", "--delay", "0.3"]));
    // Only what changes is drawn, and blanks do not.
    terminal.wait_for("errors/s");
    terminal.wait_for(&container.bundle.id);
    terminal.wait_for("newfstatat");
    // Keys and another size do no harm.
    terminal.send("j\x1b[A?");
    terminal.resize(12, 60);
    terminal.wait_for("errors/s");
    terminal.wait_for(&container.bundle.id);
    terminal.wait_for("newfstatat");
    assert_eq!(container.finish(), 5);
    terminal.wait_for("no ");
    terminal.send("q");
    let (code, shown) = terminal.end_restored();
    assert!(code == 0 && shown.contains("\x1b[?1049h") && shown.contains("\x1b[?1049l"), "{code} {shown:?}");
}

#[test]
fn top_ends_with_an_interrupt_and_says_what_it_needs() {
    let bundle = Bundle::new("true");
    let mut terminal = Terminal::start(&bundle.verb(["top"]));
    terminal.wait_for("\u{250c}no");
    terminal.send("\x03");
    assert_eq!(terminal.end_restored().0, 0);
    outcome(&mut bundle.verb(["top"])).assert_refused_like_runc("standard output is no terminal");
}

#[test]
fn stats_are_shown_again_every_second_until_the_container_ends() {
    let (container, _) = busy();
    let mut watching = Watcher::start(&mut container.verb(&["stats", "--watch", "--sort", "count"]));
    let heads = watching.lines(2, |line| line.contains("% time"));
    assert!(heads.iter().all(|line| line.starts_with("\x1b[H\x1b[2J% time")), "{heads:?}");
    assert_eq!(container.end(), 5);
    let (code, shown, said) = watching.end();
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(shown.contains("newfstatat, ENOENT ") && shown.ends_with("  total\n"), "{shown}");
}

#[test]
fn stats_are_in_the_order_that_is_asked_for() {
    let (container, _) = busy();
    let column = |sort: &str, column: usize| -> Vec<String> {
        let outcome = outcome(&mut container.verb(&["stats", "--sort", sort]));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        let [head, rows @ .., total] = &lines[..] else { panic!("{outcome:?}") };
        assert!(head.starts_with("% time ") && total.ends_with("  total") && rows.len() > 10, "{outcome:?}");
        rows.iter().filter_map(|row| row.split_whitespace().nth(column)).map(str::to_owned).collect()
    };
    for (sort, index) in [("time", 1), ("count", 2), ("exits", 3)] {
        let numbers: Vec<f64> = column(sort, index).iter().filter_map(|number| number.parse().ok()).collect();
        assert!(numbers.len() > 10 && numbers.is_sorted_by(|a, b| a >= b), "{sort}: {numbers:?}");
    }
    assert!(column("name", 7).is_sorted());
}

#[test]
fn a_trace_of_one_process_is_of_that_one_and_comes_and_goes_unnoticed() {
    let (container, second) = busy();
    // More often than there may be readers at once.
    for round in 0..10 {
        let words = ["trace", "--pid", &second, "--failed", "--syscalls", "newfstatat,stat"];
        let mut watching = Watcher::start(&mut container.verb(&words));
        let shown = watching.lines(2, |_| true);
        watching.interrupt();
        assert_eq!(watching.end().0, 130);
        let right = |line: &String| {
            line.starts_with(&format!("[pid {second}] "))
                && line.contains("\"/none/second\"")
                && line.contains(" = -1 ENOENT ")
        };
        assert!(shown.iter().all(right), "{round}: {shown:?}");
    }
    let nobody = Watcher::start(&mut container.verb(&["trace", "--pid", "99999"]));
    std::thread::sleep(Duration::from_millis(500));
    nobody.interrupt();
    assert_eq!(nobody.end(), (130, String::new(), String::new()));
    assert_eq!(container.end(), 5);
}

#[test]
fn a_trace_ends_with_the_container_and_has_its_last_call() {
    let (mut container, _) = busy();
    let mut watching = Watcher::start(&mut container.verb(&["trace", "--no-time", "--no-duration"]));
    watching.lines(1, |_| true);
    assert_eq!(container.finish(), 5);
    let (code, shown, said) = watching.end();
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(shown.contains("[pid 1] exit_group(5) = ?\n"), "{shown}");
    assert!(shown.contains("[pid 1] +++ exited with 5 +++\n"), "{shown}");
}

/// What stands before the result, without addresses.
fn call(line: &str) -> String {
    let (call, _) = line.rsplit_once(" = ").unwrap_or((line, ""));
    let call = call.trim_end();
    let mut parts = call.split("0x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        // Short numbers are none.
        text += if digits > 4 { "0xADDRESS" } else { "0x" };
        text += if digits > 4 { &part[digits..] } else { part };
    }
    text
}

#[test]
fn arguments_are_shown_as_strace_shows_them() {
    let program = guest_program("arguments");
    let theirs = outcome(&mut native(["strace".as_ref(), "-qq".as_ref(), program.as_os_str()])).stderr;
    let mut command = verb(["do", "--vcpus", "1", "--strace", "--"]);
    let ours = outcome(command.arg(&program)).stderr;
    let from_the_mark = |text: &str, cut: fn(&str) -> &str| -> Vec<String> {
        let calls = text.lines().map(|line| call(cut(line)));
        calls.skip_while(|call| !call.starts_with("write(1, \"\", 0")).collect()
    };
    // The result may hold " = " as well: what is left of a timeout.
    let theirs = from_the_mark(&theirs.replace(" (left {tv_sec=", "#"), |line| line);
    // "[pid 1] 12:00:00.000000 " before it, "<0.000001>" behind.
    let ours = from_the_mark(&ours, |line| line.splitn(4, ' ').nth(3).unwrap_or_default());
    let different: Vec<_> = theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours).collect();
    assert!(different.is_empty(), "strace's, ours: {different:#?}");
    assert!(theirs.len() > 60 && ours.len() >= theirs.len(), "{} {}", theirs.len(), ours.len());
}

#[test]
fn metrics_are_openmetrics_text() {
    let (container, _) = busy();
    for command in [&mut container.verb(&["metrics"]), &mut container.bundle.verb(["metrics"])] {
        let Outcome { code, stdout, stderr } = outcome(command);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let (lines, end) = stdout.rsplit_once("# EOF\n").expect("an end");
        assert_eq!(end, "");
        let id = format!("{{id=\"{}\",", container.bundle.id);
        for line in lines.lines() {
            let sample = line.rsplit_once("} ").is_some_and(|(head, value)| {
                head.starts_with("ringwall_syscall_") && head.contains(&id) && value.parse::<f64>().is_ok()
            });
            assert!(sample || line.starts_with("# TYPE ringwall_") || line.starts_with("# HELP ringwall_"), "{line}");
        }
        assert!(lines.contains(",syscall=\"newfstatat\",errno=\"ENOENT\"} "), "{lines}");
    }
}

#[test]
fn an_id_that_does_not_exist_or_has_ended_is_one_message() {
    let (mut container, _) = busy();
    assert_eq!(container.finish(), 5);
    let page = container.bundle.path().join("page.html").display().to_string();
    for words in [
        &["stats"] as &[&str],
        &["stats", "--watch"],
        &["stats", "--host"],
        &["trace"],
        &["metrics"],
        &["policy", "learn"],
        &["report", "-o", &page],
    ] {
        outcome(&mut container.verb(words)).assert_refused_like_runc("container does not exist");
    }
    assert!(!std::fs::exists(&page).expect("a directory"));
}

#[test]
fn a_sandbox_that_is_killed_ends_whoever_watches_it() {
    let (container, _) = busy();
    let mut tracing = Watcher::start(&mut container.verb(&["trace"]));
    tracing.lines(1, |_| true);
    let mut counting = Watcher::start(&mut container.verb(&["stats", "--watch"]));
    counting.lines(1, |_| true);
    assert_eq!(outcome(&mut container.verb(&["delete", "--force"])).code, 0);
    for (watching, name) in [(tracing, "trace"), (counting, "stats")] {
        let (code, _, said) = watching.end();
        assert!(code == 0 && said.is_empty() || code == 1 && said.lines().count() == 1, "{name}: {code} {said}");
    }
}

#[test]
fn what_is_written_inside_never_reaches_the_terminal_raw() {
    let script = "printf '\\033]0;x\\007' >/dev/null; test -e \"$(printf '/\\033[31m\\r')\"; exit 0";
    let shown = outcome(&mut inside(["sh", "-c", script])).stderr;
    assert_eq!(shown, "");
    let mut command = verb(["do", "--vcpus", "1", "--strace", "--", "sh", "-c", script]);
    let shown = outcome(&mut command).stderr;
    assert!(shown.contains("\\33]0;x\\7") && shown.contains("/\\33[31m\\r"), "{shown}");
    assert!(shown.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
}
