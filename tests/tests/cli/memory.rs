//! Memory that a program used and freed goes back to the host.

use ringwall_tests::outcome::{code, start, wait};
use ringwall_tests::{PATIENCE, inside, is_interpreted};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// KiB of memory that the processes below `parent` have, and the most that one of them ever had.
fn resident(parent: u32) -> (u64, u64) {
    let mut statuses: HashMap<u32, (u32, u64, u64)> = HashMap::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        statuses.insert(process, (field("PPid:") as u32, field("VmRSS:"), field("VmHWM:")));
    }
    let is_below = |mut process: u32| {
        while process != parent {
            match statuses.get(&process) {
                Some((above, ..)) => process = *above,
                None => return false,
            }
        }
        true
    };
    let ours = statuses.iter().filter(|(process, _)| is_below(**process)).map(|(_, status)| status);
    ours.fold((0, 0), |(now, most), (_, rss, peak)| (now + rss, most.max(*peak)))
}

#[test]
fn what_a_program_used_and_freed_goes_back_to_the_host() {
    let kib = if is_interpreted() { 8 << 10 } else { 64 << 10 };
    // tail keeps all of it until the end comes.
    let script =
        format!("sum() {{ head -c {kib}K /dev/zero | tr '\\0' a | tail -c {kib}K | md5sum; }}; sum; read -r line; sum");
    let mut child = start(inside(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    output.read_line(&mut first).expect("a line");

    let start = Instant::now();
    loop {
        let (now, peak) = resident(child.id());
        assert!(peak > kib, "a program used {kib} KiB, but at most {peak} were there");
        if now < peak - kib / 4 * 3 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{now} KiB are still there of {peak}");
        std::thread::sleep(Duration::from_millis(200));
    }

    // It is as good as it was.
    child.stdin.take().expect("piped").write_all(b"\n").expect("a running program");
    let mut second = String::new();
    output.read_line(&mut second).expect("a line");
    assert_eq!(first, second);
    assert_eq!(code(wait(&mut child)), 0);
}
