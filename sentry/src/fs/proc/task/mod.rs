//! `/proc/PID` and `/proc/PID/task/TID`.
//!
//! `Subject` says which process or thread the files are about; every access looks whether it is still there. `access` is who may
//! see what; `status`, `memory`, `files` and `mounts` make the contents.

mod access;
mod files;
mod memory;
mod misc;
mod mounts;
mod pagemap;
pub(in crate::fs) mod status;

use crate::errno::Errno;
use crate::fs::proc::System;
use crate::fs::proc::net;
use crate::fs::pseudo::{Context, Item, Node, PseudoFs, What, directory, file};
use crate::fs::{Inode, MOUNT_CHANGES};
use crate::mm::AddressSpace;
use crate::task::{Current, PidSpace, Process, Task, Tid, registry};
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// The process or thread that files are about. Weak: a cached name keeps nothing alive.
#[derive(Clone)]
pub struct Subject {
    process: Weak<Process>,
    /// For `/proc/PID/task/TID`.
    thread: Option<Weak<Task>>,
    /// The namespace whose numbers are shown.
    pids: PidSpace,
}

impl Subject {
    /// The process; ESRCH once it is reaped.
    pub fn process(&self) -> Result<Arc<Process>, Errno> {
        self.process.upgrade().ok_or(Errno::ESRCH)
    }

    /// The thread, or the process's first; ESRCH where there is none (any more).
    pub fn task(&self) -> Result<Arc<Task>, Errno> {
        match &self.thread {
            Some(thread) => thread.upgrade().ok_or(Errno::ESRCH),
            None => self.process()?.leader().ok_or(Errno::ESRCH),
        }
    }

    /// The number to show for `tid`.
    pub fn shown(&self, tid: Tid) -> Tid {
        registry().shown(tid, &self.pids)
    }

    /// The namespace whose numbers are shown.
    pub fn pids(&self) -> &PidSpace {
        &self.pids
    }

    /// Whether it is one thread's directory.
    pub fn is_thread(&self) -> bool {
        self.thread.is_some()
    }
}

impl Context for Subject {
    const PERMANENT: bool = false;

    fn owner(&self) -> (u32, u32) {
        match (self.process(), self.task()) {
            (Ok(process), Ok(task)) if process.dumpable() == 1 => {
                let creds = task.creds();
                (creds.euid, creds.egid)
            }
            _ => (0, 0),
        }
    }

    fn check(&self) -> Result<(), Errno> {
        let process = self.process()?;
        let there = match &self.thread {
            Some(thread) => {
                let thread = thread.upgrade().ok_or(Errno::ESRCH)?;
                registry().task(thread.tid()).is_some_and(|found| Arc::ptr_eq(&found, &thread))
            }
            None => registry().process(process.pid()).is_some_and(|found| Arc::ptr_eq(&found, &process)),
        };
        if there { Ok(()) } else { Err(Errno::ESRCH) }
    }
}

/// The processes, as entries of `/proc`.
pub fn list(_: &Current, system: &System) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    let mut pids: Vec<Tid> = {
        let tables = registry().lock();
        tables.all().map(|process| tables.shown(process.pid(), &system.pids)).filter(|pid| pid.raw() != 0).collect()
    };
    pids.sort_unstable();
    Ok(pids.into_iter().map(|pid| (number(pid), raw::DT_DIR)).collect())
}

/// `/proc/PID`. A thread's number finds its process too, though it is not listed.
pub fn find(fs: &Arc<PseudoFs>, parent: u64, system: &System, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    let shown = parse(name)?;
    let tid = system.pids.as_ref().map_or(Some(shown), |ns| ns.global(shown)).ok_or(Errno::ENOENT)?;
    let process = match registry().process(tid) {
        Some(process) => process,
        None => registry().task(tid).map(|task| task.process().clone()).ok_or(Errno::ENOENT)?,
    };
    let subject = Subject { process: Arc::downgrade(&process), thread: None, pids: system.pids.clone() };
    Ok(fs.node(&PROCESS, &subject, parent, &number(process.pid()), process.start_ns()))
}

fn number(tid: Tid) -> Vec<u8> {
    format!("{}", tid.raw()).into_bytes()
}

/// A task's number, as a name: digits, no leading zero.
fn parse(name: &[u8]) -> Result<Tid, Errno> {
    let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Errno::ENOENT);
    }
    text.parse().map(Tid::new).map_err(|_| Errno::ENOENT)
}

fn list_threads(_: &Current, subject: &Subject) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    let mut tids: Vec<Tid> = subject.process()?.threads().iter().map(|task| subject.shown(task.tid())).collect();
    tids.sort_unstable();
    Ok(tids.into_iter().map(|tid| (number(tid), raw::DT_DIR)).collect())
}

fn find_thread(fs: &Arc<PseudoFs>, parent: u64, subject: &Subject, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    let tid = parse(name)?;
    let task =
        subject.process()?.threads().into_iter().find(|task| subject.shown(task.tid()) == tid).ok_or(Errno::ENOENT)?;
    let salt = Arc::as_ptr(&task) as usize as u64;
    let thread =
        Subject { process: subject.process.clone(), thread: Some(Arc::downgrade(&task)), pids: subject.pids.clone() };
    Ok(fs.node(&THREAD, &thread, parent, name, salt))
}

static PROCESS: Item<Subject> = Item { name: "", mode: 0o555, what: What::Directory(PROCESS_ENTRIES) };
static THREAD: Item<Subject> = Item { name: "", mode: 0o555, what: What::Directory(THREAD_ENTRIES) };

/// The auxiliary vector of a program, as it found it.
pub fn auxv(mm: &AddressSpace) -> Vec<u8> {
    memory::auxiliary_vector(mm)
}

/// The process whose directory (`/proc/PID`) this is; ESRCH once it is reaped, EBADF where it is something else.
pub fn process_of(directory: &dyn Inode) -> Result<Arc<Process>, Errno> {
    let subject = Node::context_of(directory, &PROCESS).ok_or(Errno::EBADF)?;
    subject.check()?;
    subject.process()
}

/// A file that only those may open who may see the task's memory.
const fn guarded(name: &'static str, mode: u32, read: crate::fs::pseudo::Read<Subject>) -> Item<Subject> {
    Item { name, mode, what: What::Guarded(access::may_read, read) }
}

macro_rules! entries {
    ($($own:expr),* $(,)?) => {
        &[
            directory("attr", misc::ATTR),
            guarded("auxv", 0o400, memory::auxv),
            file("cgroup", |_, _| Ok(b"0::/\n".to_vec())),
            file("cmdline", memory::cmdline),
            Item { name: "comm", mode: 0o644, what: What::Writable(misc::comm, misc::set_comm) },
            Item {
                name: "coredump_filter",
                mode: 0o644,
                what: What::Writable(misc::coredump_filter, misc::set_coredump_filter),
            },
            file("cpuset", |_, _| Ok(b"/\n".to_vec())),
            Item { name: "cwd", mode: 0o777, what: What::Magic(files::cwd) },
            guarded("environ", 0o400, memory::environ),
            Item { name: "exe", mode: 0o777, what: What::Magic(files::exe) },
            Item { name: "fd", mode: 0o500, what: What::Dynamic(&[], files::list, files::find) },
            Item { name: "fdinfo", mode: 0o555, what: What::Dynamic(&[], files::list_info, files::find_info) },
            Item { name: "gid_map", mode: 0o644, what: What::Writable(misc::gid_map, misc::set_gid_map) },
            guarded("io", 0o400, misc::io),
            file("limits", misc::limits),
            file("loginuid", |_, _| Ok(b"4294967295".to_vec())),
            guarded("maps", 0o444, memory::maps),
            Item { name: "mem", mode: 0o600, what: What::Special(memory::open_mem) },
            Item { name: "mountinfo", mode: 0o444, what: What::Watched(mounts::mountinfo, &MOUNT_CHANGES) },
            Item { name: "mounts", mode: 0o444, what: What::Watched(mounts::mounts, &MOUNT_CHANGES) },
            Item { name: "mountstats", mode: 0o400, what: What::File(mounts::mountstats) },
            directory("net", net::Net::<Subject>::ITEMS),
            Item { name: "ns", mode: 0o511, what: What::Directory(misc::NAMESPACES) },
            file("oom_score", misc::oom_score),
            Item { name: "oom_score_adj", mode: 0o644, what: What::Writable(misc::oom_score_adj, misc::set_oom_score_adj) },
            Item { name: "pagemap", mode: 0o400, what: What::Special(pagemap::open) },
            guarded("personality", 0o400, |_, _| Ok(b"00000000\n".to_vec())),
            Item { name: "projid_map", mode: 0o644, what: What::Writable(misc::projid_map, misc::set_projid_map) },
            Item { name: "root", mode: 0o777, what: What::Magic(files::root) },
            file("schedstat", misc::schedstat),
            file("sessionid", |_, _| Ok(b"4294967295".to_vec())),
            Item { name: "setgroups", mode: 0o644, what: What::Writable(misc::setgroups, misc::set_setgroups) },
            guarded("smaps", 0o444, memory::smaps),
            guarded("smaps_rollup", 0o444, memory::smaps_rollup),
            guarded("stack", 0o400, |_, _| Ok(Vec::new())),
            file("stat", status::stat),
            file("statm", status::statm),
            file("status", status::status),
            guarded("syscall", 0o400, |_, _| Ok(b"running\n".to_vec())),
            Item { name: "uid_map", mode: 0o644, what: What::Writable(misc::uid_map, misc::set_uid_map) },
            file("wchan", |_, _| Ok(b"0".to_vec())),
            $($own,)*
        ]
    };
}

const PROCESS_ENTRIES: &[Item<Subject>] = entries![
    Item { name: "task", mode: 0o555, what: What::Dynamic(&[], list_threads, find_thread) },
    file("timers", |_, _| Ok(Vec::new())),
];
const THREAD_ENTRIES: &[Item<Subject>] = entries![file("children", misc::children)];
