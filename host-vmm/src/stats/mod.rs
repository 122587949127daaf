//! What `ringwall stats` shows: a sandbox's counters of system calls (`linker::statistics`) in people's and programs' terms.
//! Numbers come from the sandbox, which may say anything; nothing here can go wrong by them.

pub mod latency;
mod metrics;
mod table;

pub use metrics::metrics;
pub use table::{Sort, table};

use latency::Latency;
use linker::statistics::{CallStatistics, Statistics, UNKNOWN};
use serde_json::{Value, json};
use syscalls::Sysno;

/// The name of a call.
pub fn name(number: u32) -> String {
    match Sysno::new(number as usize) {
        Some(call) => call.name().into(),
        None if number == UNKNOWN => "unknown".into(),
        None => format!("syscall_{number:#x}"),
    }
}

/// The name of an errno; 0 stands for calls that a signal ended and that were made again.
pub fn errno_name(errno: u16) -> String {
    match errno {
        0 => "interrupted".into(),
        errno => match nix::errno::Errno::from_raw(errno.into()) {
            nix::errno::Errno::UnknownErrno => format!("errno_{errno}"),
            known => format!("{known:?}"),
        },
    }
}

/// Whether what a call returns is a number of bytes.
pub fn returns_bytes(number: u32) -> bool {
    const BYTES: [Sysno; 31] = [
        Sysno::read,
        Sysno::write,
        Sysno::pread64,
        Sysno::pwrite64,
        Sysno::readv,
        Sysno::writev,
        Sysno::preadv,
        Sysno::pwritev,
        Sysno::preadv2,
        Sysno::pwritev2,
        Sysno::sendto,
        Sysno::recvfrom,
        Sysno::sendmsg,
        Sysno::recvmsg,
        Sysno::sendfile,
        Sysno::splice,
        Sysno::tee,
        Sysno::vmsplice,
        Sysno::copy_file_range,
        Sysno::getdents,
        Sysno::getdents64,
        Sysno::getrandom,
        Sysno::readlink,
        Sysno::readlinkat,
        Sysno::getxattr,
        Sysno::lgetxattr,
        Sysno::fgetxattr,
        Sysno::mq_timedreceive,
        Sysno::msgrcv,
        Sysno::process_vm_readv,
        Sysno::process_vm_writev,
    ];
    BYTES.iter().any(|call| call.id().cast_unsigned() == number)
}

/// Everything, for programs.
pub fn json(found: &Statistics) -> Value {
    json!({
        "countedNs": found.counted_ns,
        "calls": found.calls.iter().map(|row| call_json(row, found.ticks_per_ms)).collect::<Vec<_>>(),
        "threads": found.threads.iter().map(|thread| json!({
            "tid": thread.tid,
            "pid": thread.pid,
            "name": String::from_utf8_lossy(&thread.name),
            "calls": thread.calls.iter().map(|row| call_json(row, found.ticks_per_ms)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn call_json(row: &CallStatistics, ticks_per_ms: u64) -> Value {
    let errors: serde_json::Map<_, _> =
        row.errors.iter().map(|(errno, count)| (errno_name(*errno), json!(count))).collect();
    let mut value = json!({
        "name": name(row.number),
        "number": row.number,
        "count": row.count,
        "totalNs": latency::ns(row.ticks, ticks_per_ms),
        "exits": row.exits,
        "errors": errors,
    });
    let Some(fields) = value.as_object_mut() else { return value };
    if returns_bytes(row.number) {
        fields.insert("bytes".into(), json!(row.returned));
    }
    if let Some(latency) = Latency::of(&row.histogram, ticks_per_ms) {
        fields.insert("medianNs".into(), json!(latency.at(50.0)));
        fields.insert("p99Ns".into(), json!(latency.at(99.0)));
        fields.insert("maxNs".into(), json!(latency.at(100.0)));
        let buckets: Vec<_> = latency.buckets().map(|(below_ns, count)| json!([below_ns, count])).collect();
        fields.insert("belowNs".into(), json!(buckets));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{errno_name, json, name};
    use linker::statistics::{CallStatistics, Statistics, UNKNOWN};

    #[test]
    fn calls_and_errors_have_their_names() {
        assert_eq!(
            (name(0).as_str(), name(UNKNOWN).as_str(), name(400).as_str()),
            ("read", "unknown", "syscall_0x190")
        );
        assert_eq!((errno_name(2).as_str(), errno_name(0).as_str()), ("ENOENT", "interrupted"));
    }

    #[test]
    fn bytes_are_of_calls_that_return_bytes() {
        let row = |number| CallStatistics { number, count: 1, returned: 7, ..CallStatistics::default() };
        let found = Statistics { ticks_per_ms: 1, calls: vec![row(0), row(39)], ..Statistics::default() };
        let value = json(&found);
        assert_eq!(value["calls"][0]["bytes"], 7);
        assert!(value["calls"][1].get("bytes").is_none());
    }
}
