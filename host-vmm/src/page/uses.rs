//! What a program does with which file, out of records of its calls: which descriptor is which file is followed from the calls that
//! open, copy and close it, as far as they were recorded.

use crate::trace::record::Record;
use linker::calls::{Arg, Returns, Signature, signature};
use linker::trace::Kind;
use std::collections::{BTreeMap, HashMap};
use syscalls::Sysno;

/// Files, and lengths of each, that are told apart; a program with more has its time spread too thin to advise on.
const MOST: usize = 4096;
const MOST_LENGTHS: usize = 64;

/// The calls to be recorded: those on files, and those that say what a descriptor is.
pub const RECORDED: [Sysno; 46] = [
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
    Sysno::getdents64,
    Sysno::lseek,
    Sysno::fsync,
    Sysno::fdatasync,
    Sysno::ftruncate,
    Sysno::fstat,
    Sysno::ioctl,
    Sysno::stat,
    Sysno::lstat,
    Sysno::newfstatat,
    Sysno::statx,
    Sysno::access,
    Sysno::faccessat,
    Sysno::faccessat2,
    Sysno::readlink,
    Sysno::readlinkat,
    Sysno::open,
    Sysno::openat,
    Sysno::openat2,
    Sysno::creat,
    Sysno::close,
    Sysno::dup,
    Sysno::dup2,
    Sysno::dup3,
    Sysno::socket,
    Sysno::accept,
    Sysno::accept4,
    Sysno::clone,
    Sysno::clone3,
    Sysno::fork,
    Sysno::vfork,
];

/// A call on a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub ns: u64,
    /// How often it failed.
    pub failed: u64,
    /// The lengths that were asked for, and how often each.
    lengths: BTreeMap<u64, u64>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    open: HashMap<(u32, i32), String>,
    found: HashMap<(u32, String), Use>,
    /// Records that were looked at, and those that were lost.
    pub records: u64,
    /// See `records`.
    pub lost: u64,
}

impl Use {
    /// The length that at least half of the calls asked for.
    pub fn length(&self) -> Option<u64> {
        let (length, times) = self.lengths.iter().max_by_key(|(_, times)| **times)?;
        (times.saturating_mul(2) >= self.count).then_some(*length)
    }
}

impl Uses {
    /// Takes a record.
    pub fn take(&mut self, record: &Record) {
        let head = &record.head;
        match record.kind {
            Kind::Lost => self.lost = self.lost.saturating_add(head.args[0]),
            Kind::Call => {
                let Some(signature) = signature(head.number).map(|signature| signature.with(&head.args)) else {
                    return;
                };
                self.records += 1;
                self.count(record, &signature);
                self.follow(record, &signature);
            }
            Kind::Entry | Kind::End => {}
        }
    }

    /// What a call was made on, most time first.
    pub fn of(&self, number: u32) -> Vec<(&str, &Use)> {
        let mut found: Vec<_> =
            self.found.iter().filter(|((call, _), _)| *call == number).map(|((_, file), one)| (&**file, one)).collect();
        found.sort_by(|a, b| b.1.ns.cmp(&a.1.ns).then(a.0.cmp(b.0)));
        found
    }

    fn count(&mut self, record: &Record, signature: &Signature) {
        let head = &record.head;
        let Some(file) = self.file(record, signature) else { return };
        if self.found.len() >= MOST && !self.found.contains_key(&(head.number, file.clone())) {
            return;
        }
        let one = self.found.entry((head.number, file)).or_default();
        one.count += 1;
        one.ns = one.ns.saturating_add(head.duration_ns);
        one.failed += u64::from(head.result < 0);
        if let Some(length) = length(record, signature)
            && (one.lengths.len() < MOST_LENGTHS || one.lengths.contains_key(&length))
        {
            *one.lengths.entry(length).or_default() += 1;
        }
    }

    /// The file that a call is about.
    fn file(&self, record: &Record, signature: &Signature) -> Option<String> {
        if let Some(path) = path(record, signature) {
            return Some(path);
        }
        let index = signature.args.iter().position(|arg| *arg == Arg::Fd)?;
        let fd = *record.head.args.get(index)? as i32;
        Some(match (self.open.get(&(record.head.pid, fd)), fd) {
            (Some(file), _) => file.clone(),
            (None, 0) => "standard input".into(),
            (None, 1) => "standard output".into(),
            (None, 2) => "standard error".into(),
            (None, fd) => format!("descriptor {fd} of process {}", record.head.pid),
        })
    }

    /// What descriptors are from now on.
    fn follow(&mut self, record: &Record, signature: &Signature) {
        let head = &record.head;
        let (Ok(result), pid) = (i32::try_from(head.result), head.pid) else { return };
        if result < 0 {
            return;
        }
        let old = head.args[0] as i32;
        match signature.call {
            Sysno::close => drop(self.open.remove(&(pid, old))),
            Sysno::dup | Sysno::dup2 | Sysno::dup3 => {
                let file = self.file(record, signature);
                self.name(pid, result, file);
            }
            Sysno::accept | Sysno::accept4 => self.name(pid, result, Some("a connection that was accepted".into())),
            Sysno::socket => self.name(pid, result, Some("a socket".into())),
            Sysno::clone | Sysno::clone3 | Sysno::fork | Sysno::vfork => self.inherit(pid, result.cast_unsigned()),
            _ if signature.returns == Returns::Fd => self.name(pid, result, path(record, signature)),
            _ => {}
        }
    }

    fn name(&mut self, pid: u32, fd: i32, file: Option<String>) {
        match file {
            Some(file) if self.open.len() < MOST => drop(self.open.insert((pid, fd), file)),
            _ => drop(self.open.remove(&(pid, fd))),
        }
    }

    /// A child has what its parent has. (What it opened before its parent heard of it stays.)
    fn inherit(&mut self, parent: u32, child: u32) {
        let have: Vec<_> = self.open.iter().filter(|((pid, _), _)| *pid == parent).collect();
        let have: Vec<_> = have.into_iter().map(|((_, fd), file)| ((child, *fd), file.clone())).collect();
        for (key, file) in have {
            if self.open.len() < MOST {
                self.open.entry(key).or_insert(file);
            }
        }
    }
}

/// The path that a call names, as it names it.
fn path(record: &Record, signature: &Signature) -> Option<String> {
    let index = signature.args.iter().position(|arg| *arg == Arg::Path)?;
    let (_, bytes) = record.captures.iter().find(|(capture, _)| usize::from(capture.argument) == index)?;
    let path = bytes.split(|byte| *byte == 0).next().unwrap_or(bytes);
    (!path.is_empty()).then(|| String::from_utf8_lossy(path).into_owned())
}

/// How many bytes a call asked for.
fn length(record: &Record, signature: &Signature) -> Option<u64> {
    signature.args.iter().find_map(|arg| match arg {
        Arg::BytesIn(index) | Arg::BytesOut(index) => record.head.args.get(usize::from(*index)).copied(),
        Arg::VectorIn(_) | Arg::VectorOut(_) => u64::try_from(record.head.result).ok(),
        _ => None,
    })
}

#[cfg(test)]
pub mod tests {
    use super::Uses;
    use crate::trace::record::Record;
    use linker::trace::{Capture, Head, Kind};
    use syscalls::Sysno;

    /// A call of a process, of 1 µs, with a path for its `at`th argument.
    pub fn call(pid: u32, call: Sysno, args: [u64; 6], path: Option<(u8, &str)>, result: i64) -> Record {
        let number = call.id().cast_unsigned();
        let head = Head { pid, tid: pid, number, args, result, duration_ns: 1_000, ..Head::default() };
        let captures = path.map(|(argument, path)| {
            (Capture { argument, flags: 0, element: 0, len: path.len() as u32 }, path.as_bytes().to_vec())
        });
        Record { head, captures: captures.into_iter().collect(), kind: Kind::Call }
    }

    #[test]
    fn reads_are_put_down_to_the_file_they_were_of() {
        let mut uses = Uses::default();
        uses.take(&call(1, Sysno::openat, [0; 6], Some((1, "/big")), 3));
        uses.take(&call(1, Sysno::fork, [0; 6], None, 7));
        uses.take(&call(7, Sysno::dup2, [3, 9, 0, 0, 0, 0], None, 9));
        for _ in 0..3 {
            uses.take(&call(7, Sysno::read, [9, 0, 4096, 0, 0, 0], None, 4096));
        }
        uses.take(&call(7, Sysno::close, [9, 0, 0, 0, 0, 0], None, 0));
        uses.take(&call(7, Sysno::read, [9, 0, 1, 0, 0, 0], None, -9));
        let read = Sysno::read.id().cast_unsigned();
        let found = uses.of(read);
        assert_eq!((found[0].0, found[0].1.count, found[0].1.length()), ("/big", 3, Some(4096)));
        assert_eq!((found[1].0, found[1].1.failed), ("descriptor 9 of process 7", 1));
    }

    #[test]
    fn lost_records_are_counted() {
        let mut lost = call(1, Sysno::read, [5, 0, 0, 0, 0, 0], None, 0);
        lost.kind = Kind::Lost;
        let mut uses = Uses::default();
        uses.take(&lost);
        assert_eq!((uses.lost, uses.records), (5, 0));
    }
}
