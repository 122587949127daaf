//! The calls that are measured: each prepares what it needs, and is then made again and again.

use crate::process;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;

/// Makes a call once.
pub type Call = Box<dyn FnMut() -> Result<(), Errno>>;

/// What is measured.
pub struct Row {
    /// As `--calls` names it.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Prepares it.
    pub prepare: fn() -> Result<Call, Errno>,
}

/// A page, as a file's.
const PAGE: usize = 4096;
/// A file that every system has and that a root may not change.
const FILE: &str = "/etc/passwd";

/// All of them.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { name: "getppid",     what: "nothing but the call itself",                    prepare: getppid },
    Row { name: "uname",       what: "390 bytes copied out",                           prepare: uname },
    Row { name: "getcwd",      what: "a path copied out",                              prepare: getcwd },
    Row { name: "sched_yield", what: "with nobody to yield to",                        prepare: sched_yield },
    Row { name: "futex",       what: "FUTEX_WAKE of nobody",                           prepare: futex },
    Row { name: "dup",         what: "and close",                                      prepare: dup },
    Row { name: "read",        what: "1 byte of /dev/zero",                            prepare: read },
    Row { name: "write",       what: "1 byte to /dev/null",                            prepare: write },
    Row { name: "pread64",     what: "4 KiB of a file in the page cache",              prepare: pread },
    Row { name: "fstat",       what: "of an open file",                                prepare: fstat },
    Row { name: "stat",        what: "of a path of two names",                         prepare: stat },
    Row { name: "open",        what: "of a path of two names, and close",              prepare: open },
    Row { name: "pipe",        what: "1 byte written and read, without a switch",      prepare: pipe },
    Row { name: "socketpair",  what: "64 bytes sent and received, without a switch",   prepare: socket },
    Row { name: "eventfd",     what: "written and read",                               prepare: event },
    Row { name: "poll",        what: "of one descriptor that is ready",                prepare: poll },
    Row { name: "epoll_wait",  what: "with one descriptor that is ready",              prepare: epoll_wait },
    // Before there is a second thread.
    Row { name: "fork",        what: "a child that ends at once, waited for",          prepare: fork },
    Row { name: "thread",      what: "made, run and joined",                           prepare: thread },
    Row { name: "switch",      what: "to another thread and back, by two pipes",       prepare: switch },
];

fn getppid() -> Result<Call, Errno> {
    Ok(Box::new(|| {
        std::hint::black_box(rustix::process::getppid());
        Ok(())
    }))
}

fn uname() -> Result<Call, Errno> {
    Ok(Box::new(|| {
        std::hint::black_box(rustix::system::uname());
        Ok(())
    }))
}

fn getcwd() -> Result<Call, Errno> {
    let mut space = Vec::with_capacity(PAGE);
    Ok(Box::new(move || {
        let path = rustix::process::getcwd(std::mem::take(&mut space))?;
        space = path.into_bytes();
        Ok(())
    }))
}

fn sched_yield() -> Result<Call, Errno> {
    Ok(Box::new(|| {
        rustix::thread::sched_yield();
        Ok(())
    }))
}

fn futex() -> Result<Call, Errno> {
    let word = AtomicU32::new(0);
    Ok(Box::new(move || rustix::thread::futex::wake(&word, rustix::thread::futex::Flags::PRIVATE, 1).map(drop)))
}

fn open_at(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}

fn dup() -> Result<Call, Errno> {
    let file = open_at("/dev/null", OFlags::RDONLY)?;
    Ok(Box::new(move || rustix::io::dup(&file).map(drop)))
}

fn read() -> Result<Call, Errno> {
    let file = open_at("/dev/zero", OFlags::RDONLY)?;
    Ok(Box::new(move || rustix::io::read(&file, &mut [0_u8; 1]).map(drop)))
}

fn write() -> Result<Call, Errno> {
    let file = open_at("/dev/null", OFlags::WRONLY)?;
    Ok(Box::new(move || rustix::io::write(&file, &[0]).map(drop)))
}

fn pread() -> Result<Call, Errno> {
    // This program's own file has more than a page.
    let file = open_at("/proc/self/exe", OFlags::RDONLY)?;
    let mut page = [0_u8; PAGE];
    Ok(Box::new(move || rustix::io::pread(&file, &mut page, 0).map(drop)))
}

fn fstat() -> Result<Call, Errno> {
    let file = open_at(FILE, OFlags::RDONLY)?;
    Ok(Box::new(move || rustix::fs::fstat(&file).map(drop)))
}

fn stat() -> Result<Call, Errno> {
    Ok(Box::new(|| rustix::fs::stat(FILE).map(drop)))
}

fn open() -> Result<Call, Errno> {
    Ok(Box::new(|| open_at(FILE, OFlags::RDONLY).map(drop)))
}

fn pipe() -> Result<Call, Errno> {
    let (input, output) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok(Box::new(move || {
        rustix::io::write(&output, &[0])?;
        rustix::io::read(&input, &mut [0_u8; 1]).map(drop)
    }))
}

fn socket() -> Result<Call, Errno> {
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    Ok(Box::new(move || {
        rustix::io::write(&a, &[0; 64])?;
        rustix::io::read(&b, &mut [0_u8; 64]).map(drop)
    }))
}

fn event() -> Result<Call, Errno> {
    let event = eventfd(0, EventfdFlags::CLOEXEC)?;
    Ok(Box::new(move || {
        rustix::io::write(&event, &1_u64.to_ne_bytes())?;
        rustix::io::read(&event, &mut [0_u8; 8]).map(drop)
    }))
}

fn poll() -> Result<Call, Errno> {
    let event = eventfd(1, EventfdFlags::CLOEXEC)?;
    Ok(Box::new(move || rustix::event::poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&NOW)).map(drop)))
}

/// Without waiting.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

fn epoll_wait() -> Result<Call, Errno> {
    let (set, event) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, eventfd(1, EventfdFlags::CLOEXEC)?);
    epoll::add(&set, &event, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let mut found = Vec::with_capacity(1);
    Ok(Box::new(move || {
        // The descriptor that the set watches stays open as long as this does.
        let _ = &event;
        found.clear();
        epoll::wait(&set, rustix::buffer::spare_capacity(&mut found), Some(&NOW)).map(drop)
    }))
}

fn switch() -> Result<Call, Errno> {
    let ((their_input, output), (input, their_output)) =
        (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
    // Ends when the other ends of its pipes are closed.
    std::thread::spawn(move || {
        let mut byte = [0_u8; 1];
        while let Ok(1) = rustix::io::read(&their_input, &mut byte) {
            let _ = rustix::io::write(&their_output, &byte);
        }
    });
    Ok(Box::new(move || {
        rustix::io::write(&output, &[0])?;
        rustix::io::read(&input, &mut [0_u8; 1]).map(drop)
    }))
}

fn thread() -> Result<Call, Errno> {
    Ok(Box::new(|| {
        let started = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {});
        started.map_err(|_| Errno::AGAIN)?.join().map_err(|_| Errno::IO)
    }))
}

fn fork() -> Result<Call, Errno> {
    Ok(Box::new(|| {
        let child = process::fork_child(|| 0)?;
        rustix::process::waitid(WaitId::Pid(child), WaitIdOptions::EXITED).map(drop)
    }))
}
