//! `SigInfo`: what is known about one signal, in the layout that user space sees.

use super::number::Signal;
use crate::task::{ExitStatus, Tid, Usage};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// siginfo_t without its tail of zeroes: the part that any kind of signal uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigInfo {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    /// `_sifields`: pid and uid, or address, or band …
    fields: [u32; 8],
}

/// Bytes of siginfo_t in user memory.
pub const ABI_SIZE: usize = raw::SI_MAX_SIZE as usize;

const _: () = {
    assert!(size_of::<SigInfo>() == 48);
    assert!(size_of::<raw::siginfo>() == ABI_SIZE);
    assert!(
        core::mem::offset_of!(SigInfo, code)
            == core::mem::offset_of!(raw::siginfo__bindgen_ty_1__bindgen_ty_1, si_code)
    );
    assert!(
        core::mem::offset_of!(SigInfo, fields)
            == core::mem::offset_of!(raw::siginfo__bindgen_ty_1__bindgen_ty_1, _sifields)
    );
};

/// How a child changed: CLD_*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(i32)]
pub enum ChildCode {
    Exited = raw::CLD_EXITED as i32,
    Killed = raw::CLD_KILLED as i32,
    Dumped = raw::CLD_DUMPED as i32,
    Trapped = raw::CLD_TRAPPED as i32,
    Stopped = raw::CLD_STOPPED as i32,
    Continued = raw::CLD_CONTINUED as i32,
}

/// `SIGCHLD`'s details.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChildInfo {
    /// What happened.
    pub code: ChildCode,
    /// The child.
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// Exit code or signal number.
    pub status: i32,
    /// Its CPU time in user mode, in clock ticks (1/100 s).
    pub utime: u64,
    /// Its CPU time in the kernel, in clock ticks.
    pub stime: u64,
}

impl ChildInfo {
    /// The details, CPU times as clock ticks.
    pub fn new(code: ChildCode, pid: Tid, uid: u32, status: i32, usage: &Usage) -> Self {
        const NS_PER_TICK: u64 = 10_000_000;
        let (utime, stime) = (usage.user_ns / NS_PER_TICK, usage.system_ns / NS_PER_TICK);
        Self { code, pid: pid.raw(), uid, status, utime, stime }
    }
}

impl SigInfo {
    const fn new(signal: Signal, code: i32, fields: [u32; 8]) -> Self {
        Self { signo: signal.number() as i32, errno: 0, code, pad: 0, fields }
    }

    /// From the kernel, without details.
    pub const fn kernel(signal: Signal) -> Self {
        Self::new(signal, raw::SI_KERNEL as i32, [0; 8])
    }

    /// kill(2): the sender's process and real user.
    pub const fn kill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::new(signal, raw::SI_USER as i32, [pid, uid, 0, 0, 0, 0, 0, 0])
    }

    /// A stop that only a tracer sees: `code` is what wait4 tells of it.
    pub const fn trap(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        Self::new(signal, code, [pid, uid, 0, 0, 0, 0, 0, 0])
    }

    /// tkill(2), tgkill(2).
    pub const fn tkill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::new(signal, raw::SI_TKILL, [pid, uid, 0, 0, 0, 0, 0, 0])
    }

    /// sigqueue(3): with a value.
    pub const fn queue(signal: Signal, pid: u32, uid: u32, value: u64) -> Self {
        Self::new(signal, raw::SI_QUEUE, [pid, uid, value as u32, (value >> 32) as u32, 0, 0, 0, 0])
    }

    /// A message came to a POSIX message queue.
    pub const fn message(signal: Signal, pid: u32, uid: u32, value: u64) -> Self {
        Self::new(signal, raw::SI_MESGQ, [pid, uid, value as u32, (value >> 32) as u32, 0, 0, 0, 0])
    }

    /// A child stopped, continued or died.
    pub const fn child(signal: Signal, child: &ChildInfo) -> Self {
        let (user, system) = (child.utime, child.stime);
        let times = [user as u32, (user >> 32) as u32, system as u32, (system >> 32) as u32];
        let fields = [child.pid, child.uid, child.status as u32, 0, times[0], times[1], times[2], times[3]];
        Self::new(signal, child.code as i32, fields)
    }

    /// A child ended; `signal` is what it was made to send then.
    pub fn child_exit(signal: Signal, pid: Tid, uid: u32, status: ExitStatus, usage: &Usage) -> Self {
        let (code, status) = match status {
            ExitStatus::Code(code) => (ChildCode::Exited, i32::from(code)),
            ExitStatus::Signal { number, core: false } => (ChildCode::Killed, i32::from(number)),
            ExitStatus::Signal { number, core: true } => (ChildCode::Dumped, i32::from(number)),
        };
        Self::child(signal, &ChildInfo::new(code, pid, uid, status, usage))
    }

    /// A synchronous fault at `address`.
    pub const fn fault(signal: Signal, code: u32, address: u64) -> Self {
        Self::new(signal, code as i32, [address as u32, (address >> 32) as u32, 0, 0, 0, 0, 0, 0])
    }

    /// A POSIX timer expired; `overrun` expirations were missed.
    pub const fn timer(signal: Signal, id: i32, overrun: i32, value: u64) -> Self {
        Self::new(signal, raw::SI_TIMER, [id as u32, overrun as u32, value as u32, (value >> 32) as u32, 0, 0, 0, 0])
    }

    /// A descriptor became ready (F_SETOWN, F_SETSIG); `code` is one of POLL_*.
    pub const fn poll(signal: Signal, code: u32, band: u64, fd: i32) -> Self {
        Self::new(signal, code as i32, [band as u32, (band >> 32) as u32, fd as u32, 0, 0, 0, 0, 0])
    }

    /// A system call that a filter refused; `reason` goes to `si_errno`.
    pub const fn syscall(call_address: u64, number: i32, arch: u32, reason: i32) -> Self {
        let fields = [call_address as u32, (call_address >> 32) as u32, number as u32, arch, 0, 0, 0, 0];
        // SYS_SECCOMP is 1 (asm-generic/siginfo.h); linux-raw-sys does not export it.
        let mut info = Self::new(Signal::SIGSYS, 1, fields);
        info.errno = reason;
        info
    }

    /// What a caller of rt_sigqueueinfo(2) made up, for `signal`.
    pub const fn from_user(mut self, signal: Signal) -> Self {
        self.signo = signal.number() as i32;
        self.pad = 0;
        self
    }

    /// The signal. (SIGKILL where the number is none, which cannot be: every constructor takes a `Signal`.)
    pub const fn signal(&self) -> Signal {
        match Signal::new(self.signo as u32) {
            Some(signal) => signal,
            None => Signal::SIGKILL,
        }
    }

    /// `si_code`.
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// `si_errno`.
    pub const fn errno(&self) -> i32 {
        self.errno
    }

    /// `si_pid` and `si_uid`, or whatever stands there (signalfd).
    pub const fn pid_uid(&self) -> (u32, u32) {
        (self.fields[0], self.fields[1])
    }

    /// `si_status` of SIGCHLD.
    pub const fn status(&self) -> i32 {
        self.fields[2] as i32
    }

    /// `si_utime` and `si_stime` of SIGCHLD.
    pub const fn times(&self) -> (u64, u64) {
        (self.word(4), self.word(6))
    }

    /// `si_addr` of a fault, `si_band` of SIGIO.
    pub const fn address(&self) -> u64 {
        self.word(0)
    }

    /// `si_fd` of SIGIO.
    pub const fn fd(&self) -> i32 {
        self.fields[2] as i32
    }

    /// `si_value` of SI_QUEUE and SI_TIMER.
    pub const fn value(&self) -> u64 {
        self.word(2)
    }

    /// `si_timerid` and `si_overrun` of SI_TIMER.
    pub const fn timer_fields(&self) -> (i32, i32) {
        (self.fields[0] as i32, self.fields[1] as i32)
    }

    /// Replaces `si_pid` and `si_uid` of kill(2) and its like.
    pub(super) fn set_sender(&mut self, pid: u32, uid: u32) {
        (self.fields[0], self.fields[1]) = (pid, uid);
    }

    /// Replaces `si_overrun`.
    pub(crate) fn set_overrun(&mut self, overrun: i32) {
        self.fields[1] = overrun as u32;
    }

    /// An instruction of the receiving thread caused it.
    pub(super) const fn is_synchronous(&self) -> bool {
        self.code > raw::SI_USER as i32
    }

    /// A process sent it (kill, sigqueue …): counts against RLIMIT_SIGPENDING.
    pub const fn is_from_user(&self) -> bool {
        self.code <= 0
    }

    /// siginfo_t as user space sees it.
    pub fn to_abi(&self) -> [u8; ABI_SIZE] {
        let mut bytes = [0; ABI_SIZE];
        bytes[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        bytes
    }

    /// What siginfo_t in user memory says; `None` where its kind is not known, and something stands behind what any kind uses.
    pub fn from_abi(bytes: &[u8; ABI_SIZE]) -> Option<Self> {
        let (info, tail) = Self::read_from_prefix(bytes).ok()?;
        let code = info.code();
        let known = (raw::SI_DETHREAD..=0).contains(&code) || code == raw::SI_ASYNCNL || code == raw::SI_KERNEL as i32;
        (known || tail.iter().all(|byte| *byte == 0)).then_some(info)
    }

    const fn word(&self, index: usize) -> u64 {
        self.fields[index] as u64 | (self.fields[index + 1] as u64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_details_stand_where_user_space_looks() {
        let child = ChildInfo { code: ChildCode::Exited, pid: 7, uid: 8, status: 9, utime: 10, stime: 1 << 40 };
        let bytes = SigInfo::child(Signal::SIGCHLD, &child).to_abi();
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        assert_eq!((word(0), word(8), word(16), word(20), word(24)), (17, 1, 7, 8, 9));
        assert_eq!((word(32), word(44)), (10, 1 << 8));
        assert!(bytes[48..].iter().all(|byte| *byte == 0));
    }
}
