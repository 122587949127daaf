//! What calls brought to life: descriptors by what is behind them, processes, and numbers of other kinds. A thread has its own.

use crate::raw::sys;
use crate::rng::Rng;
use syscalls::Sysno;

/// What is behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    File,
    Dir,
    Path,
    Pipe,
    Unix,
    Inet,
    Netlink,
    Epoll,
    Event,
    Timer,
    SignalFd,
    Inotify,
    Memory,
    PidFd,
    Ring,
    Queue,
    Space,
    Tty,
    Proc,
    Listener,
    Other,
}

/// As many descriptors are kept; older ones are closed.
const MOST_FDS: usize = 64;
/// The descriptor that a trace is written to; no call names it.
pub const TRACE_FD: u64 = 250;

/// Ids and descriptors that are, or were, alive.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    fds: Vec<(i32, Class)>,
    pids: Vec<i32>,
    /// By kind: shared memory, semaphores, message queues, timers, watches, keys.
    ids: [Vec<i32>; 6],
    /// Memory that mmap and shmat gave.
    pub areas: Vec<u64>,
    /// A ring that is mapped: descriptor, rings, requests; where in the rings their numbers are.
    pub ring: Option<(i32, u64, u64, (u32, u32, u32, u32, u32))>,
}

/// Index into `Pool::ids`.
#[derive(Clone, Copy, Debug)]
pub enum Id {
    Shm,
    Sem,
    Msg,
    Timer,
    Watch,
    Key,
}

impl Pool {
    /// A descriptor came.
    pub fn add(&mut self, fd: i64, class: Class) {
        if !(0..TRACE_FD as i64).contains(&fd) {
            return;
        }
        self.fds.retain(|(old, _)| *old != fd as i32);
        if self.fds.len() >= MOST_FDS {
            let (old, _) = self.fds.remove(40);
            sys(Sysno::close, &[old as u64]);
        }
        self.fds.push((fd as i32, class));
    }

    /// A process came.
    pub fn add_pid(&mut self, pid: i64) {
        if pid > 1 {
            if self.pids.len() >= 8 {
                self.pids.remove(0);
            }
            self.pids.push(pid as i32);
        }
    }

    /// An id of another kind came.
    pub fn add_id(&mut self, kind: Id, id: i64) {
        let ids = &mut self.ids[kind as usize];
        if id >= 0 && ids.len() < 16 {
            ids.push(id as i32);
        }
    }

    /// A descriptor of a class, if there is one and mostly; else of any; else none that could be.
    pub fn fd(&self, rng: &mut Rng, class: Option<&[Class]>) -> u64 {
        let roll = rng.below(100);
        if roll < 92
            && let Some(classes) = class
        {
            let fitting: Vec<i32> =
                self.fds.iter().filter(|(_, class)| classes.contains(class)).map(|(fd, _)| *fd).collect();
            if !fitting.is_empty() {
                return rng.pick(&fitting) as u64;
            }
        }
        match roll {
            0..92 if !self.fds.is_empty() => rng.pick(&self.fds).0 as u64,
            92..94 => rng.below(3),
            94 => libc::AT_FDCWD as u64,
            95 => u64::MAX,
            96 => rng.pick(&[0x7fff_ffff, 1 << 31, 1024, 1 << 20, 0xffff_ffff_0000_0003]),
            _ => rng.below(64),
        }
    }

    /// A process or thread.
    pub fn pid(&self, rng: &mut Rng) -> u64 {
        match rng.below(20) {
            0..8 if !self.pids.is_empty() => rng.pick(&self.pids) as u64,
            8..10 => sys(Sysno::getpid, &[]) as u64,
            10..12 => sys(Sysno::gettid, &[]) as u64,
            12 => (-sys(Sysno::getpid, &[])) as u64,
            13 => u64::MAX,
            14 => rng.pick(&[99_999, 1 << 31, 0x7fff_ffff, 4 << 20]),
            15 => rng.below(12),
            16 => sys(Sysno::getppid, &[]) as u64,
            _ => 0,
        }
    }

    /// An id of another kind.
    pub fn id(&self, rng: &mut Rng, kind: Id) -> u64 {
        let ids = &self.ids[kind as usize];
        if !ids.is_empty() && rng.chance(85) {
            return rng.pick(ids) as u64;
        }
        match rng.below(4) {
            0 => u64::MAX,
            1 => rng.next(),
            _ => rng.below(6),
        }
    }
}
