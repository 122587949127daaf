//! A record as JSON: one object a record.

use super::format::{Call, errno, errno_name};
use super::record::Record;
use super::signals::{self, Status};
use linker::trace::Kind;
use serde_json::{Value, json};

/// The object. `kind` is "call", "entry" (a call that has not returned, whose result is null), "lost" or "end". `result` is
/// what the kernel returned, a negative errno where `errno` is not null.
pub fn json(record: &Record) -> Value {
    let head = &record.head;
    match record.kind {
        Kind::Call | Kind::Entry => {
            let call = Call::of(record);
            let returned = record.kind == Kind::Call;
            json!({
                "kind": if returned { "call" } else { "entry" },
                "pid": head.pid,
                "tid": head.tid,
                "time_ns": head.start_ns,
                "duration_ns": head.duration_ns,
                "exits": head.exits,
                "name": call.name,
                "number": head.number,
                "args": call.arguments,
                "result": returned.then_some(head.result),
                "errno": errno(record).map(errno_name),
            })
        }
        Kind::Lost => json!({ "kind": "lost", "time_ns": head.start_ns, "lost": head.args[0] }),
        Kind::End => {
            let (code, signal) = match Status::of(head.result as i32) {
                Status::Exited(code) => (Some(code), None),
                Status::Killed { signal, .. } => (None, Some(signals::name(signal))),
                Status::Stopped(_) | Status::Continued => (None, None),
            };
            json!({
                "kind": "end",
                "pid": head.pid,
                "tid": head.tid,
                "time_ns": head.start_ns,
                "exit_code": code,
                "signal": signal,
            })
        }
    }
}
