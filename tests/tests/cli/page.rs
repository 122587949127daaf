//! The page of `do --report`: of a real run, and in a real browser where there is one.

use ringwall_tests::outcome::outcome;
use ringwall_tests::{native, verb};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

/// Runs a script of sh inside with a page at its end; returns the page.
fn page(path: &Path, script: &str, code: i32) -> String {
    let outcome = outcome(verb(["do", "--vcpus", "1", "--report"]).arg(path).args(["--", "sh", "-c", script]));
    assert_eq!(outcome.code, code, "{outcome:?}");
    std::fs::read_to_string(path).expect("a page")
}

#[test]
fn a_page_has_what_the_program_did_to_its_last_call() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("page.html");
    let page = page(&path, "i=0; while [ $i -lt 60 ]; do test -e /none/$i; i=$((i+1)); done; exit 7 # </title><b>", 7);
    for part in
        ["What stands out", "Calls by count", "<svg", "exit_group", "ENOENT", "&lt;/title&gt;&lt;b&gt;", "</html>"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("<b>sh") && !page.contains("http-equiv=\"refresh"));
    // Nothing else was left beside it.
    assert_eq!(std::fs::read_dir(directory.path()).expect("a list").count(), 1);
}

#[test]
fn a_page_that_cannot_be_written_is_one_error_before_the_program_runs() {
    let command = &mut verb(["do", "--report", "/none/page.html", "--", "echo", "ran"]);
    outcome(command).assert_refused("cannot write /none/page.html: No such file or directory");
    let command = &mut verb(["do", "--report", "/tmp", "--", "echo", "ran"]);
    outcome(command).assert_refused("cannot write /tmp: ");
    let command = &mut verb(["do", "--report", "/tmp/x.html", "--report-interval", "0", "--", "echo", "ran"]);
    outcome(command).assert_refused("--report-interval 0");
}

#[test]
fn a_page_on_a_full_disk_is_one_error_after_the_program_ran() {
    let outcome = outcome(&mut verb(["do", "--report", "/dev/full", "--", "echo", "ran"]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (125, "ran\n"), "{outcome:?}");
    assert_eq!(outcome.stderr, "ringwall: cannot write /dev/full: No space left on device (os error 28)\n");
}

#[test]
fn a_browser_shows_the_page() {
    // Set where one is installed and the machine is not emulated.
    let Some(browser) = std::env::var_os("RINGWALL_BROWSER") else { return };
    let directory = TempDir::new().expect("a directory");
    // One that was made elsewhere, or one of our own.
    let made = std::env::var_os("RINGWALL_PAGE").map(PathBuf::from);
    let path = made.clone().unwrap_or_else(|| directory.path().join("page.html"));
    let page = match &made {
        Some(path) => std::fs::read_to_string(path).expect("a page"),
        None => page(&path, "ls / >/dev/null; test -e /none; sleep 0.6", 0),
    };
    let picture = directory.path().join("page.png");
    let options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1040,3200", "--dump-dom"];
    let mut command = native([browser]);
    command.args(options).args(["--enable-logging=stderr", "--log-level=0", "--disable-dev-shm-usage"]);
    command.arg(format!("--screenshot={}", picture.display())).arg(format!("file://{}", path.display()));
    let shown = outcome(command.current_dir(directory.path()).env("HOME", directory.path()).stdin(Stdio::null()));
    assert_eq!(shown.code, 0, "{shown:?}");
    // What a browser has to say of a page goes to its console.
    let complaints: Vec<&str> = shown.stderr.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    // What is not well-formed a browser puts elsewhere, or mends.
    let count = |part: &str| shown.stdout.matches(part).count();
    for part in ["<h1", "<h2", "<svg", "</svg>", "<rect", "<tr>", "<li>", "<figure>", "<title>"] {
        assert_eq!(count(part), page.matches(part).count(), "{part}");
    }
    // Charts with marks in them, and rows.
    assert!(count("<svg") >= 4 && count("<rect") >= 10 && count("<tr>") >= 10 && count("<h2") >= 4, "{}", shown.stdout);
    for part in ["Calls by count", "ENOENT", "execve"] {
        assert!(shown.stdout.contains(part), "{part}");
    }
    assert!(shown.stdout.trim_end().ends_with("</body></html>"));
    let picture = std::fs::read(picture).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
}
