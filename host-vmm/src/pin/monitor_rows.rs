//! What a container's monitor, and a stand-in of `exec`, may ask of the host once they are set up: they pass messages on, wait for
//! children, and end as somebody else ended.

use crate::pin::filter::{Arg, Row};
use linux_raw_sys::ioctl::TIOCGWINSZ;
use syscalls::Sysno;

const ANY: &[&[Arg]] = &[];

/// One row a call.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { call: Sysno::poll,            when: ANY, why: "sleep until somebody says something" },
    Row { call: Sysno::ppoll,           when: ANY, why: "the same, with a deadline" },
    Row { call: Sysno::restart_syscall, when: ANY, why: "sleep on after the container was paused" },
    Row { call: Sysno::read,            when: ANY, why: "signals" },
    Row { call: Sysno::recvmsg,         when: ANY, why: "commands, with descriptors; answers and reports" },
    Row { call: Sysno::sendmsg,         when: ANY, why: "the same, passed on" },
    Row { call: Sysno::recvfrom,        when: ANY, why: "what create says" },
    Row { call: Sysno::sendto,          when: ANY, why: "what create is told" },
    Row { call: Sysno::accept4,         when: ANY, why: "verbs" },
    Row { call: Sysno::close,           when: ANY, why: "verbs that are done; descriptors that were passed on" },
    Row { call: Sysno::waitid,          when: ANY, why: "the end of sandbox process and gofer" },
    Row { call: Sysno::kill,            when: ANY, why: "their end, made; without a capability, nobody else's of another user" },
    Row { call: Sysno::ioctl,           when: &[&[Arg::Is(1, TIOCGWINSZ)]], why: "a terminal's size" },
    Row { call: Sysno::pwritev2,        when: ANY, why: "a line for the log" },
    Row { call: Sysno::brk,             when: ANY, why: "malloc" },
    Row { call: Sysno::madvise,         when: &[&[Arg::Is(2, linux_raw_sys::general::MADV_DONTNEED)]],
                                                   why: "code given back that only starting needed" },
    Row { call: Sysno::clock_gettime,   when: ANY, why: "deadlines, where the vDSO cannot tell" },
    Row { call: Sysno::clock_nanosleep, when: ANY, why: "not at full speed when poll fails" },
    Row { call: Sysno::prctl,           when: ANY, why: "no core of ours when the container's program has none" },
    Row { call: Sysno::rt_sigaction,    when: ANY, why: "to end by a signal" },
    Row { call: Sysno::rt_sigprocmask,  when: ANY, why: "the same" },
    Row { call: Sysno::rt_sigreturn,    when: ANY, why: "the same" },
    Row { call: Sysno::getpid,          when: ANY, why: "the same" },
    Row { call: Sysno::gettid,          when: ANY, why: "the same" },
    Row { call: Sysno::tgkill,          when: ANY, why: "the same" },
    Row { call: Sysno::exit_group,      when: ANY, why: "the end" },
];
