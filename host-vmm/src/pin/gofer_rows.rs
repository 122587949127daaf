//! What the gofer may ask of the host: names beneath open directories, attributes, and answers to the sandbox process.

use crate::pin::filter::{Arg, Row};
use syscalls::Sysno;

const ANY: &[&[Arg]] = &[];

/// One row a call.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { call: Sysno::openat2,     when: ANY, why: "names beneath a directory; an O_PATH descriptor, opened for data" },
    Row { call: Sysno::close,       when: ANY, why: "forgotten nodes, donated files" },
    Row { call: Sysno::statx,       when: ANY, why: "attributes" },
    Row { call: Sysno::fstatfs,     when: ANY, why: "statfs" },
    Row { call: Sysno::getdents64,  when: ANY, why: "directory entries" },
    Row { call: Sysno::lseek,       when: ANY, why: "where a listing goes on" },
    Row { call: Sysno::pread64,     when: ANY, why: "what small files contain, along with their names" },
    Row { call: Sysno::readlinkat,  when: ANY, why: "symbolic links, which the sentry follows" },
    Row { call: Sysno::fchmodat,    when: ANY, why: "permissions, on writable exports" },
    Row { call: Sysno::fchownat,    when: ANY, why: "owners, on writable exports" },
    Row { call: Sysno::utimensat,   when: ANY, why: "times, on writable exports" },
    Row { call: Sysno::mkdirat,     when: ANY, why: "new directories" },
    Row { call: Sysno::mknodat,     when: ANY, why: "new FIFOs, sockets, devices" },
    Row { call: Sysno::symlinkat,   when: ANY, why: "new symbolic links" },
    Row { call: Sysno::linkat,      when: ANY, why: "new hard links" },
    Row { call: Sysno::unlinkat,    when: ANY, why: "names that go" },
    Row { call: Sysno::renameat2,   when: ANY, why: "names that change" },
    Row { call: Sysno::getxattr,    when: ANY, why: "extended attributes, by /proc/self/fd" },
    Row { call: Sysno::setxattr,    when: ANY, why: "extended attributes" },
    Row { call: Sysno::listxattr,   when: ANY, why: "extended attributes" },
    Row { call: Sysno::removexattr, when: ANY, why: "extended attributes" },
    Row { call: Sysno::recvmsg,     when: ANY, why: "calls" },
    Row { call: Sysno::sendmsg,     when: ANY, why: "answers, with donated files; a violation's report" },
    Row { call: Sysno::brk,         when: ANY, why: "malloc" },
    Row { call: Sysno::exit_group,  when: ANY, why: "the end" },
];
