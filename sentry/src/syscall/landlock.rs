//! landlock_create_ruleset, landlock_add_rule, landlock_restrict_self. Behaviour is in `crate::landlock`.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr};
use crate::errno::Errno;
use crate::fs::{OpenFile, is_internal};
use crate::landlock::{ABI, ERRATA, Files, Handled, Ports, Ruleset, Scope};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::Flags;
use core::mem::{offset_of, size_of};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::landlock as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// `struct landlock_ruleset_attr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct RulesetAttr {
    files: u64,
    ports: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
const PATH_BENEATH: usize = size_of::<raw::landlock_path_beneath_attr>();

const _: () = {
    assert!(size_of::<RulesetAttr>() == size_of::<raw::landlock_ruleset_attr>());
    assert!(offset_of!(RulesetAttr, scoped) == offset_of!(raw::landlock_ruleset_attr, scoped));
    assert!(PATH_BENEATH == 12 && offset_of!(raw::landlock_path_beneath_attr, parent_fd) == 8);
    assert!(size_of::<raw::landlock_net_port_attr>() == size_of::<[u64; 2]>());
};

/// landlock_create_ruleset(2).
pub fn landlock_create_ruleset(
    current: &mut Current,
    attr: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<u64, Errno> {
    if flags != 0 {
        if !attr.is_null() || size != 0 {
            return Err(Errno::EINVAL);
        }
        return match flags {
            raw::LANDLOCK_CREATE_RULESET_VERSION => Ok(u64::from(ABI)),
            raw::LANDLOCK_CREATE_RULESET_ERRATA => Ok(u64::from(ERRATA)),
            _ => Err(Errno::EINVAL),
        };
    }
    let attr = read_attr(current, attr, size)?;
    let file = Ruleset::open(Handled {
        files: flags_of(attr.files, Files::from_bits)?,
        ports: flags_of(attr.ports, Ports::from_bits)?,
        scope: flags_of(attr.scoped, Scope::from_bits)?,
    })?;
    Ok(current.add_file(file, true)?.raw() as u64)
}

/// Programs of other versions have a shorter structure, or a longer one with zeros.
fn read_attr(current: &Current, at: UserPtr<u8>, size: usize) -> Result<RulesetAttr, Errno> {
    if at.is_null() {
        return Err(Errno::EFAULT);
    }
    if size < size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE as usize {
        return Err(Errno::E2BIG);
    }
    let bytes: Vec<u8> = at.read_vec(current, size)?;
    let mut attr = RulesetAttr::new_zeroed();
    let (known, rest) = bytes.split_at(size.min(size_of::<RulesetAttr>()));
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    attr.as_mut_bytes().iter_mut().zip(known).for_each(|(to, from)| *to = *from);
    Ok(attr)
}

fn flags_of<T>(bits: u64, known: impl FnOnce(u32) -> Option<T>) -> Result<T, Errno> {
    u32::try_from(bits).ok().and_then(known).ok_or(Errno::EINVAL)
}

/// The file behind a descriptor: EBADFD where it is no ruleset.
fn ruleset_file(current: &Current, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
    let file = super::file::open_file(current, fd)?;
    if file.downcast::<Ruleset>().is_some() { Ok(file) } else { Err(Errno::EBADFD) }
}

/// landlock_add_rule(2).
pub fn landlock_add_rule(current: &mut Current, fd: Fd, kind: u32, attr: UserVa, flags: u32) -> Result<(), Errno> {
    const PATH: u32 = raw::landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH as u32;
    const PORT: u32 = raw::landlock_rule_type::LANDLOCK_RULE_NET_PORT as u32;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = ruleset_file(current, fd)?;
    let ruleset = file.downcast::<Ruleset>().ok_or(Errno::EBADFD)?;
    match kind {
        PATH => allow_beneath(current, ruleset, UserPtr::new(attr)),
        PORT => allow_port(current, ruleset, UserPtr::new(attr)),
        _ => Err(Errno::EINVAL),
    }
}

fn allow_beneath(current: &Current, ruleset: &Ruleset, attr: UserPtr<[u8; PATH_BENEATH]>) -> Result<(), Errno> {
    let bytes = attr.read(current)?;
    let (allowed, parent) = bytes.split_first_chunk().ok_or(Errno::EFAULT)?;
    let parent = parent.first_chunk().copied().map_or(-1, i32::from_ne_bytes);
    let allowed = wanted(u64::from_ne_bytes(*allowed), ruleset.handled().files)?;
    let file = current.file(Fd::new(parent))?;
    match file.path() {
        Some(place) if !is_internal(place) => ruleset.allow_beneath(place, allowed),
        _ => Err(Errno::EBADFD),
    }
}

fn allow_port(current: &Current, ruleset: &Ruleset, attr: UserPtr<[u64; 2]>) -> Result<(), Errno> {
    let [allowed, port] = attr.read(current)?;
    let allowed = wanted(allowed, ruleset.handled().ports)?;
    ruleset.allow_port(u16::try_from(port).map_err(|_| Errno::EINVAL)?, allowed)
}

/// What a rule allows: ENOMSG for nothing, EINVAL for what the ruleset is not about.
fn wanted<T: Flags<Bits = u32> + Copy>(bits: u64, handled: T) -> Result<T, Errno> {
    if bits == 0 {
        return Err(Errno::ENOMSG);
    }
    flags_of(bits, T::from_bits)
        .and_then(|wanted| if handled.contains(wanted) { Ok(wanted) } else { Err(Errno::EINVAL) })
}

/// landlock_restrict_self(2). What is logged is said to nobody: there is no audit log.
pub fn landlock_restrict_self(current: &mut Current, fd: Fd, flags: u32) -> Result<(), Errno> {
    const LOGGING: u32 = raw::LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF
        | raw::LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON
        | raw::LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF;
    if !current.creds.no_new_privs && !current.creds.has_own(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    if flags & !LOGGING != 0 {
        return Err(Errno::EINVAL);
    }
    if fd.raw() == -1 && flags == raw::LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF {
        return Ok(());
    }
    let file = ruleset_file(current, fd)?;
    let ruleset = file.downcast::<Ruleset>().ok_or(Errno::EBADFD)?;
    super::ids::change_credentials(current, |creds| {
        creds.landlock = creds.landlock.with(ruleset)?;
        Ok(())
    })
}

pub(super) const ROWS: &[Row] = &[
    row!(landlock_create_ruleset = landlock_create_ruleset(3), Full, ""),
    row!(landlock_add_rule = landlock_add_rule(4), Full, ""),
    row!(landlock_restrict_self = landlock_restrict_self(2), Full, ""),
];
