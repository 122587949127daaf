//! uname, sysinfo, getrandom, host and domain name, the kernel log, getcpu: the system as a whole.

use super::table::{Level, Row, arg, finish, row};
use super::{UserBuf, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::{self, Mount, Sink};
use crate::platform::platform;
use crate::task::{Cap, Current, registry};
use crate::{kmsg, load, random, uts};
use alloc::sync::Arc;
use core::mem::{offset_of, size_of};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::{general, system};
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of one field of `struct new_utsname`, its NUL included.
const UTS_FIELD: usize = uts::MAX_NAME + 1;

/// `struct new_utsname`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Utsname {
    sysname: [u8; UTS_FIELD],
    nodename: [u8; UTS_FIELD],
    release: [u8; UTS_FIELD],
    version: [u8; UTS_FIELD],
    machine: [u8; UTS_FIELD],
    domainname: [u8; UTS_FIELD],
}

const _: () = {
    assert!(size_of::<Utsname>() == size_of::<system::new_utsname>());
    assert!(offset_of!(Utsname, domainname) == offset_of!(system::new_utsname, domainname));
};

/// `struct sysinfo`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Sysinfo {
    uptime: i64,
    loads: [u64; 3],
    totalram: u64,
    freeram: u64,
    sharedram: u64,
    bufferram: u64,
    totalswap: u64,
    freeswap: u64,
    procs: u16,
    pad: [u16; 3],
    totalhigh: u64,
    freehigh: u64,
    mem_unit: u32,
    pad_end: u32,
}

const _: () = {
    assert!(size_of::<Sysinfo>() == size_of::<system::sysinfo>());
    assert!(offset_of!(Sysinfo, procs) == offset_of!(system::sysinfo, procs));
    assert!(offset_of!(Sysinfo, mem_unit) == offset_of!(system::sysinfo, mem_unit));
};

fn field(text: &[u8]) -> [u8; UTS_FIELD] {
    let mut field = [0; UTS_FIELD];
    for (to, from) in field.iter_mut().zip(text.iter().take(uts::MAX_NAME)) {
        *to = *from;
    }
    field
}

/// The personality proper, without its flags (linux/personality.h, PER_MASK; nobody exports it).
const PERSONALITIES: u32 = 0xff;
/// PER_LINUX32: for programs that are to take the machine for its 32-bit kind.
const LINUX32: u32 = 8;
/// What it is called then.
const MACHINE32: &str = "i686";

/// uname(2).
pub fn uname(current: &mut Current, to: UserPtr<Utsname>) -> Result<(), Errno> {
    let names = Utsname {
        sysname: field(uts::SYSNAME.as_bytes()),
        nodename: field(&current.task.uts().host()),
        release: field(uts::release().as_bytes()),
        version: field(uts::VERSION.as_bytes()),
        machine: field(
            if current.personality & PERSONALITIES == LINUX32 { MACHINE32 } else { uts::MACHINE }.as_bytes(),
        ),
        domainname: field(&current.task.uts().domain()),
    };
    to.write(current, &names)
}

/// sysinfo(2).
pub fn sysinfo(current: &mut Current, to: UserPtr<Sysinfo>) -> Result<(), Errno> {
    let memory = platform().memory_info();
    let info = Sysinfo {
        uptime: i64::try_from(load::uptime_ns() / 1_000_000_000).unwrap_or(i64::MAX),
        loads: load::averages().map(|load| load << (system::SI_LOAD_SHIFT - load::SHIFT)),
        totalram: memory.total_pages * PAGE_SIZE,
        freeram: memory.free_pages * PAGE_SIZE,
        sharedram: 0,
        bufferram: 0,
        totalswap: 0,
        freeswap: 0,
        procs: u16::try_from(registry().counts().0).unwrap_or(u16::MAX),
        pad: [0; 3],
        totalhigh: 0,
        freehigh: 0,
        // Linux says bytes as long as they fit, and programs rely on it.
        mem_unit: 1,
        pad_end: 0,
    };
    to.write(current, &info)
}

/// getrandom(2).
pub fn getrandom(current: &mut Current, to: UserVa, len: usize, flags: u32) -> Result<usize, Errno> {
    let (random, insecure) = (general::GRND_RANDOM, general::GRND_INSECURE);
    if flags & !(general::GRND_NONBLOCK | random | insecure) != 0 || flags & (random | insecure) == random | insecure {
        return Err(Errno::EINVAL);
    }
    let pieces = [UserBuf { addr: to, len: len.min(isize::MAX as usize) }];
    random::fill_sink(&mut Sink::user(current, &pieces))
}

fn read_name(current: &Current, from: UserVa, len: i64) -> Result<alloc::vec::Vec<u8>, Errno> {
    if !current.creds.has_in(current.task.uts().owner(), Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= uts::MAX_NAME).ok_or(Errno::EINVAL)?;
    UserPtr::<u8>::new(from).read_vec(current, len)
}

/// sethostname(2).
pub fn sethostname(current: &mut Current, from: UserVa, len: i32) -> Result<(), Errno> {
    let name = read_name(current, from, i64::from(len))?;
    current.task.uts().set_host(&name);
    Ok(())
}

/// setdomainname(2).
pub fn setdomainname(current: &mut Current, from: UserVa, len: i32) -> Result<(), Errno> {
    let name = read_name(current, from, i64::from(len))?;
    current.task.uts().set_domain(&name);
    Ok(())
}

/// Actions of syslog(2), whose manual numbers them in its section "The type argument".
mod action {
    pub const CLOSE: u32 = 0;
    pub const OPEN: u32 = 1;
    pub const READ: u32 = 2;
    pub const READ_ALL: u32 = 3;
    pub const READ_CLEAR: u32 = 4;
    pub const CLEAR: u32 = 5;
    pub const CONSOLE_OFF: u32 = 6;
    pub const CONSOLE_ON: u32 = 7;
    pub const CONSOLE_LEVEL: u32 = 8;
    pub const SIZE_UNREAD: u32 = 9;
    pub const SIZE_BUFFER: u32 = 10;
}

/// syslog(2): the log is short, fixed and may be read by all.
pub fn syslog(current: &mut Current, action: u32, to: UserVa, len: i32) -> Result<usize, Errno> {
    let privileged = current.creds.has(Cap::SysAdmin) || current.creds.has(Cap::Syslog);
    if !privileged && !matches!(action, action::READ_ALL | action::SIZE_BUFFER) {
        return Err(Errno::EPERM);
    }
    match action {
        action::CLOSE | action::OPEN | action::CLEAR | action::CONSOLE_OFF | action::CONSOLE_ON => Ok(0),
        action::READ | action::READ_ALL | action::READ_CLEAR => {
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if to.raw() == 0 {
                return Err(Errno::EINVAL);
            }
            // What was read once is not read again; the log never grows, so READ would wait for ever: it says "nothing" instead.
            let text = if action == action::READ { alloc::string::String::new() } else { kmsg::text() };
            let text = text.as_bytes();
            let tail = text.get(text.len().saturating_sub(len)..).unwrap_or_default();
            current.copy_out(to, tail)?;
            Ok(tail.len())
        }
        action::CONSOLE_LEVEL => {
            if (1..=8).contains(&len) {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            }
        }
        action::SIZE_UNREAD => Ok(0),
        action::SIZE_BUFFER => Ok(kmsg::BUFFER_BYTES),
        _ => Err(Errno::EINVAL),
    }
}

/// getcpu(2).
pub fn getcpu(current: &mut Current, cpu: UserPtr<u32>, node: UserPtr<u32>) -> Result<(), Errno> {
    let number = u32::try_from(platform().current_thread().cpu()).unwrap_or(0);
    if let Some(cpu) = cpu.non_null() {
        cpu.write(current, &number)?;
    }
    if let Some(node) = node.non_null() {
        node.write(current, &0)?;
    }
    Ok(())
}

/// Bytes of a module's name (linux/module.h: MODULE_NAME_LEN); what is longer is cut.
const MODULE_NAME: usize = 56;

/// delete_module(2): no module is ever loaded, so none is found.
pub fn delete_module(current: &mut Current, name: UserStr, _flags: u32) -> Result<(), Errno> {
    if !current.creds.has(Cap::SysModule) {
        return Err(Errno::EPERM);
    }
    match name.read(current, MODULE_NAME, Errno::ENOENT) {
        Err(errno) => Err(errno),
        Ok(_) => Err(Errno::ENOENT),
    }
}

/// Ports that there are.
const PORTS: u64 = 1 << 16;

/// iopl(2): there are no ports to be had, as on a kernel in lockdown.
pub fn iopl(_: &mut Current, level: u32) -> Result<(), Errno> {
    match level {
        0 => Ok(()),
        1..=3 => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// ioperm(2), likewise; ports that nobody had can be given back.
pub fn ioperm(_: &mut Current, from: u64, count: u64, on: i32) -> Result<(), Errno> {
    match from.checked_add(count) {
        Some(end) if end > from && end <= PORTS => {}
        _ => return Err(Errno::EINVAL),
    }
    if on == 0 { Ok(()) } else { Err(Errno::EPERM) }
}

/// sysfs(2): the numbers and names of kinds of file systems.
pub fn sysfs(current: &mut Current, option: u32, first: u64, second: u64) -> Result<u64, Errno> {
    let kinds = fs::FILE_SYSTEMS;
    match option {
        1 => {
            let name = UserStr::new(UserVa::new(first)).read(current, PAGE_SIZE as usize, Errno::EINVAL)?;
            let index = kinds.iter().position(|kind| kind.as_bytes() == name);
            index.map(|index| index as u64).ok_or(Errno::EINVAL)
        }
        2 => {
            let index = usize::try_from(first as u32).map_err(|_| Errno::EINVAL)?;
            let name = kinds.get(index).ok_or(Errno::EINVAL)?;
            let text = [name.as_bytes(), b"\0"].concat();
            current.copy_out(UserVa::new(second), &text)?;
            Ok(0)
        }
        3 => Ok(kinds.len() as u64),
        _ => Err(Errno::EINVAL),
    }
}

/// `struct ustat` (ustat(2)), which nobody exports.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Ustat {
    free_blocks: i32,
    pad: u32,
    free_inodes: u64,
    names: [u8; 12],
    pad_end: u32,
}

/// ustat(2): what is free on the file system with a device's number, if it is mounted. It has no names.
pub fn ustat(current: &mut Current, device: u32, to: UserPtr<Ustat>) -> Result<(), Errno> {
    let device = super::stat::decode_device(device);
    let mounts = current.fs.namespace().mounts();
    let on = |mount: &&Arc<Mount>| mount.root().inode().attr().is_ok_and(|attr| attr.dev == device);
    let numbers = mounts.iter().find(on).ok_or(Errno::EINVAL)?.root().inode().stat_fs()?;
    let (free_blocks, free_inodes) = (numbers.bfree as i32, numbers.ffree);
    to.write(current, &Ustat { free_blocks, pad: 0, free_inodes, names: [0; 12], pad_end: 0 })
}

pub(super) const ROWS: &[Row] = &[
    row!(sysfs = sysfs(3), Partial, "the kinds that programs can mount"),
    row!(ustat = ustat(2), Full, ""),
    row!(uname = uname(1), Full, ""),
    row!(sysinfo = sysinfo(1), Full, ""),
    row!(getrandom = getrandom(3), Full, ""),
    row!(sethostname = sethostname(2), Full, ""),
    row!(setdomainname = setdomainname(2), Full, ""),
    row!(syslog = syslog(3), Partial, "a fixed log"),
    row!(getcpu = getcpu(2), Full, ""),
    row!(iopl = iopl(1), Unsupported, "no ports, as in lockdown: EPERM"),
    row!(ioperm = ioperm(3), Unsupported, "no ports, as in lockdown: EPERM"),
    row!(delete_module = delete_module(2), Unsupported, "no kernel modules: ENOENT, or EPERM without CAP_SYS_MODULE"),
];
