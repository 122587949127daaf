//! What was counted, for people and for programs.

use super::{Call, Calls, Found};
use crate::stats::{Sort, errno_name, name};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::fmt::Write;

/// In the manner of strace -c, a table a process, with what the filter would have let through beside.
pub fn table(found: &Found, sort: Sort) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "host system calls in {:.1} s, seen by {}; times include waiting{}",
        found.time.as_secs_f64(),
        found.how,
        if found.how == "ptrace" { ", and being stopped for it" } else { "" }
    );
    if found.lost != 0 {
        let _ = writeln!(text, "{} events came too fast, and are not counted", found.lost);
    }
    for process in &found.processes {
        let allowed = process.allowed();
        let _ = writeln!(
            text,
            "\n{} (pid {}): {} different calls, of {} that its filter lets through",
            process.process.role.name(),
            process.process.pid,
            process.calls.len(),
            allowed.len()
        );
        let _ = writeln!(text, "% time     seconds  usecs/call      calls  call, errors");
        let all = process.calls.values().map(|call| call.ns).sum::<u64>().max(1);
        for (number, call) in sorted(process, sort) {
            let _ = writeln!(
                text,
                "{:6.2} {:11.6} {:11} {:10}  {}{}",
                call.ns as f64 * 100.0 / all as f64,
                call.ns as f64 / 1e9,
                call.ns / 1000 / call.count.max(1),
                call.count,
                name(number),
                errors(call)
            );
        }
        let made: Vec<String> = process.calls.keys().map(|number| name(*number)).collect();
        let unused: Vec<&str> =
            allowed.into_iter().filter(|name| !made.iter().any(|made| made.as_str() == *name)).collect();
        let _ = writeln!(text, "not called: {}", if unused.is_empty() { "none".into() } else { unused.join(" ") });
    }
    text
}

fn sorted(process: &Calls, sort: Sort) -> Vec<(u32, &Call)> {
    let mut rows: Vec<(u32, &Call)> = process.calls.iter().map(|(number, call)| (*number, call)).collect();
    match sort {
        Sort::Time => rows.sort_by_key(|(_, call)| Reverse(call.ns)),
        // The host's own calls do not leave a machine.
        Sort::Count | Sort::Exits => rows.sort_by_key(|(_, call)| Reverse(call.count)),
        Sort::Name => rows.sort_by_key(|(number, _)| name(*number)),
    }
    rows
}

fn errors(call: &Call) -> String {
    let mut errors: Vec<_> = call.errors.iter().collect();
    errors.sort_by_key(|(errno, count)| (Reverse(**count), **errno));
    errors.into_iter().map(|(errno, count)| format!(", {} {count}", errno_name(*errno))).collect()
}

/// Everything.
pub fn json(found: &Found) -> Value {
    let process = |calls: &Calls| {
        let rows: Vec<Value> = sorted(calls, Sort::Time)
            .into_iter()
            .map(|(number, call)| {
                let errors: Map<_, _> =
                    call.errors.iter().map(|(errno, count)| (errno_name(*errno), json!(count))).collect();
                json!({"name": name(number), "number": number, "count": call.count, "totalNs": call.ns, "errors": errors})
            })
            .collect();
        json!({
            "role": calls.process.role.name(),
            "pid": calls.process.pid,
            "calls": rows,
            "allowed": calls.allowed(),
        })
    };
    json!({
        "how": found.how,
        "lost": found.lost,
        "countedNs": u64::try_from(found.time.as_nanos()).unwrap_or(u64::MAX),
        "ended": found.ended,
        "processes": found.processes.iter().map(process).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::processes::Role;
    use super::super::{Call, Calls, Found, Process};
    use super::{json, table};
    use crate::stats::Sort;
    use std::time::Duration;

    #[test]
    fn what_was_called_stands_beside_what_may_be() {
        let call = Call { count: 4, ns: 8_000, errors: [(11, 1)].into() };
        let process = Process { pid: 7, role: Role::Gofer };
        let calls = Calls { process, calls: [(437, call)].into() };
        let found =
            Found { how: "ptrace", lost: 0, time: Duration::from_secs(1), ended: false, processes: vec![calls] };
        let text = table(&found, Sort::Time);
        assert!(text.contains("gofer (pid 7): 1 different calls, of "), "{text}");
        assert!(text.contains("100.00    0.000008           2          4  openat2, EAGAIN 1"), "{text}");
        assert!(text.contains("not called: ") && !text.contains("not called: openat2"), "{text}");
        let value = json(&found);
        assert_eq!(value["processes"][0]["calls"][0]["errors"]["EAGAIN"], 1);
        assert!(value["processes"][0]["allowed"].as_array().is_some_and(|names| names.len() > 5));
    }
}
