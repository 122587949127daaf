//! seccomp(2), and prctl(2)'s older ways to the same.

use super::UserPtr;
use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::seccomp::{Filters, Instruction, Mode, Program, install, listener, status};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::ptrace as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// struct sock_fprog.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ProgramArg {
    len: u16,
    pad: [u16; 3],
    code: u64,
}

const _: () = assert!(size_of::<ProgramArg>() == size_of::<raw::sock_fprog>());

/// Flags of SECCOMP_SET_MODE_FILTER that are known here.
const FLAGS: u32 = raw::SECCOMP_FILTER_FLAG_TSYNC
    | raw::SECCOMP_FILTER_FLAG_LOG
    | raw::SECCOMP_FILTER_FLAG_SPEC_ALLOW
    | raw::SECCOMP_FILTER_FLAG_NEW_LISTENER
    | raw::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;

/// seccomp(2).
pub fn seccomp(current: &mut Current, operation: u32, flags: u32, at: UserVa) -> Result<u64, Errno> {
    match operation {
        raw::SECCOMP_SET_MODE_STRICT if flags == 0 && at.raw() == 0 => set_strict(current),
        raw::SECCOMP_SET_MODE_FILTER => set_filter(current, flags, at),
        raw::SECCOMP_GET_ACTION_AVAIL if flags == 0 => match UserPtr::<u32>::new(at).read(current)? {
            raw::SECCOMP_RET_KILL_PROCESS
            | raw::SECCOMP_RET_KILL_THREAD
            | raw::SECCOMP_RET_TRAP
            | raw::SECCOMP_RET_ERRNO
            | raw::SECCOMP_RET_TRACE
            | raw::SECCOMP_RET_LOG
            | raw::SECCOMP_RET_USER_NOTIF
            | raw::SECCOMP_RET_ALLOW => Ok(0),
            _ => Err(Errno::EOPNOTSUPP),
        },
        raw::SECCOMP_GET_NOTIF_SIZES if flags == 0 => {
            let sizes = [size_of::<raw::seccomp_notif>(), size_of::<raw::seccomp_notif_resp>()];
            let sizes = [sizes[0] as u16, sizes[1] as u16, size_of::<raw::seccomp_data>() as u16];
            UserPtr::<[u16; 3]>::new(at).write(current, &sizes)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// PR_SET_SECCOMP.
pub(super) fn set_mode(current: &mut Current, mode: u64, at: u64) -> Result<u64, Errno> {
    match u32::try_from(mode) {
        Ok(raw::SECCOMP_MODE_STRICT) => set_strict(current),
        Ok(raw::SECCOMP_MODE_FILTER) => set_filter(current, 0, UserVa::new(at)),
        _ => Err(Errno::EINVAL),
    }
}

/// PR_GET_SECCOMP. (In strict mode nobody gets to ask.)
pub(super) fn mode(current: &Current) -> u64 {
    u64::from(status(Some(&current.task.spaces()), current.task.filters().as_deref()).0)
}

fn set_strict(current: &mut Current) -> Result<u64, Errno> {
    if current.task.filters().is_some_and(|filters| filters.mode() == Mode::Filter) {
        return Err(Errno::EINVAL);
    }
    current.task.set_filters(Some(Arc::new(Filters::strict())));
    super::policy::activate();
    Ok(0)
}

fn set_filter(current: &mut Current, flags: u32, at: UserVa) -> Result<u64, Errno> {
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let program = read_program(current, at)?;
    // The filter of a program that then gains privileges could deceive it.
    if !current.creds.no_new_privs && !current.creds.has_own(Cap::SysAdmin) {
        return Err(Errno::EACCES);
    }
    let has = |flag| flags & flag != 0;
    let (listens, all) = (has(raw::SECCOMP_FILTER_FLAG_NEW_LISTENER), has(raw::SECCOMP_FILTER_FLAG_TSYNC));
    // One result cannot be a descriptor and a thread.
    if listens && all && !has(raw::SECCOMP_FILTER_FLAG_TSYNC_ESRCH) {
        return Err(Errno::EINVAL);
    }
    let (file, token) = if listens { Some(listener::new()) } else { None }.unzip();
    // The descriptor first: once the filter is there, it may not allow anything.
    let number = file.map(|file| current.add_file(file, true)).transpose()?;
    let installed = install(current, program, all, token);
    if let (Some(number), Err(_) | Ok(Some(_))) = (number, &installed) {
        drop(current.files.remove(number));
    }
    match installed? {
        None => Ok(number.map_or(0, |number| number.raw() as u64)),
        Some(_) if flags & raw::SECCOMP_FILTER_FLAG_TSYNC_ESRCH != 0 => Err(Errno::ESRCH),
        Some(task) => Ok(u64::from(task.shown_tid().raw())),
    }
}

fn read_program(current: &Current, at: UserVa) -> Result<Program, Errno> {
    let program = UserPtr::<ProgramArg>::new(at).read(current)?;
    if program.len == 0 || u32::from(program.len) > raw::BPF_MAXINSNS {
        return Err(Errno::EINVAL);
    }
    let mut code: Vec<Instruction> = vec![Instruction::default(); usize::from(program.len)];
    current.copy_in(UserVa::new(program.code), code.as_mut_slice().as_mut_bytes())?;
    Program::new(code)
}

/// Rows of this family.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row!(seccomp = seccomp(3), Partial, "no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
];
