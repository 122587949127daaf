//! User and group ids, capabilities.

use super::table::{Level, Row, arg, finish, row};
use super::{FromArg, UserPtr};
use crate::errno::Errno;
use crate::task::{Cap, Credentials, Current, LAST_CAP, SECBIT_KEEP_CAPS, Tid, ids, registry};
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An id, or -1 for "leave it".
pub struct OptionalId(Option<u32>);

impl FromArg for OptionalId {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self((raw as u32 != u32::MAX).then_some(raw as u32)))
    }
}

impl OptionalId {
    fn uid(&self, current: &Current) -> Result<Option<u32>, Errno> {
        self.0.map(|uid| current.creds.global_uid(uid)).transpose()
    }

    fn gid(&self, current: &Current) -> Result<Option<u32>, Errno> {
        self.0.map(|gid| current.creds.global_gid(gid)).transpose()
    }
}

/// Changes a copy of the credentials and installs it.
fn change<T>(current: &mut Current, how: impl FnOnce(&mut Credentials) -> Result<T, Errno>) -> Result<T, Errno> {
    let mut creds = (*current.creds).clone();
    let result = how(&mut creds)?;
    if creds.euid != current.creds.euid || creds.egid != current.creds.egid {
        current.process.set_dumpable(0);
    }
    current.process.set_last_uid(creds.uid);
    current.creds = Arc::new(creds);
    current.publish();
    Ok(result)
}

/// An id that must not be -1.
fn valid(id: u32) -> Result<u32, Errno> {
    if id == u32::MAX { Err(Errno::EINVAL) } else { Ok(id) }
}

/// getuid(2).
pub fn getuid(current: &mut Current) -> Result<u32, Errno> {
    Ok(current.creds.shown_uid(current.creds.uid))
}

/// geteuid(2).
pub fn geteuid(current: &mut Current) -> Result<u32, Errno> {
    Ok(current.creds.shown_uid(current.creds.euid))
}

/// getgid(2).
pub fn getgid(current: &mut Current) -> Result<u32, Errno> {
    Ok(current.creds.shown_gid(current.creds.gid))
}

/// getegid(2).
pub fn getegid(current: &mut Current) -> Result<u32, Errno> {
    Ok(current.creds.shown_gid(current.creds.egid))
}

/// setuid(2).
pub fn setuid(current: &mut Current, uid: u32) -> Result<(), Errno> {
    let uid = current.creds.global_uid(valid(uid)?)?;
    change(current, |creds| ids::set_uid(creds, uid))
}

/// setgid(2).
pub fn setgid(current: &mut Current, gid: u32) -> Result<(), Errno> {
    let gid = current.creds.global_gid(valid(gid)?)?;
    change(current, |creds| ids::set_gid(creds, gid))
}

/// setreuid(2).
pub fn setreuid(current: &mut Current, real: OptionalId, effective: OptionalId) -> Result<(), Errno> {
    let (real, effective) = (real.uid(current)?, effective.uid(current)?);
    change(current, |creds| ids::set_reuid(creds, real, effective))
}

/// setregid(2).
pub fn setregid(current: &mut Current, real: OptionalId, effective: OptionalId) -> Result<(), Errno> {
    let (real, effective) = (real.gid(current)?, effective.gid(current)?);
    change(current, |creds| ids::set_regid(creds, real, effective))
}

/// setresuid(2).
pub fn setresuid(
    current: &mut Current,
    real: OptionalId,
    effective: OptionalId,
    saved: OptionalId,
) -> Result<(), Errno> {
    let ids = [real.uid(current)?, effective.uid(current)?, saved.uid(current)?];
    change(current, |creds| ids::set_resuid(creds, ids))
}

/// setresgid(2).
pub fn setresgid(
    current: &mut Current,
    real: OptionalId,
    effective: OptionalId,
    saved: OptionalId,
) -> Result<(), Errno> {
    let ids = [real.gid(current)?, effective.gid(current)?, saved.gid(current)?];
    change(current, |creds| ids::set_resgid(creds, ids))
}

/// getresuid(2).
pub fn getresuid(
    current: &mut Current,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Errno> {
    let creds = &current.creds;
    real.write(current, &creds.shown_uid(creds.uid))?;
    effective.write(current, &creds.shown_uid(creds.euid))?;
    saved.write(current, &creds.shown_uid(creds.suid))
}

/// getresgid(2).
pub fn getresgid(
    current: &mut Current,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Errno> {
    let creds = &current.creds;
    real.write(current, &creds.shown_gid(creds.gid))?;
    effective.write(current, &creds.shown_gid(creds.egid))?;
    saved.write(current, &creds.shown_gid(creds.sgid))
}

/// setfsuid(2).
pub fn setfsuid(current: &mut Current, uid: u32) -> Result<u32, Errno> {
    // An id without a translation changes nothing.
    let Ok(uid) = current.creds.global_uid(uid) else { return Ok(current.creds.shown_uid(current.creds.fsuid)) };
    let old = change(current, |creds| Ok(ids::set_fsuid(creds, uid)))?;
    Ok(current.creds.shown_uid(old))
}

/// setfsgid(2).
pub fn setfsgid(current: &mut Current, gid: u32) -> Result<u32, Errno> {
    let Ok(gid) = current.creds.global_gid(gid) else { return Ok(current.creds.shown_gid(current.creds.fsgid)) };
    let old = change(current, |creds| Ok(ids::set_fsgid(creds, gid)))?;
    Ok(current.creds.shown_gid(old))
}

/// getgroups(2).
pub fn getgroups(current: &mut Current, size: i32, list: UserPtr<u32>) -> Result<usize, Errno> {
    let groups = &current.creds.groups;
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size != 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL);
        }
        let shown: alloc::vec::Vec<u32> = groups.iter().map(|gid| current.creds.shown_gid(*gid)).collect();
        list.write_slice(current, &shown)?;
    }
    Ok(groups.len())
}

/// setgroups(2).
pub fn setgroups(current: &mut Current, size: usize, list: UserPtr<u32>) -> Result<(), Errno> {
    // NGROUPS_MAX (include/uapi/linux/limits.h).
    const NGROUPS_MAX: usize = 65_536;
    let may = current.creds.user.as_ref().is_none_or(|ns| ns.may_set_groups());
    if !current.creds.has_own(Cap::Setgid) || !may {
        return Err(Errno::EPERM);
    }
    if size > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut groups = list.read_vec(current, size)?;
    for gid in &mut groups {
        *gid = current.creds.global_gid(*gid)?;
    }
    groups.sort_unstable();
    change(current, |creds| {
        creds.groups = groups;
        Ok(())
    })
}

/// struct __user_cap_header_struct.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapHeader {
    version: u32,
    pid: i32,
}

/// struct __user_cap_data_struct.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// How many `CapData` the header's version has. An unknown version is answered with the preferred one.
fn cap_words(current: &Current, at: UserPtr<CapHeader>) -> Result<(CapHeader, usize), Errno> {
    let header = at.read(current)?;
    match header.version {
        raw::_LINUX_CAPABILITY_VERSION_1 => Ok((header, 1)),
        raw::_LINUX_CAPABILITY_VERSION_2 | raw::_LINUX_CAPABILITY_VERSION_3 => Ok((header, 2)),
        _ => {
            at.write(current, &CapHeader { version: raw::_LINUX_CAPABILITY_VERSION_3, ..header })?;
            Err(Errno::EINVAL)
        }
    }
}

/// capget(2).
pub fn capget(current: &mut Current, header: UserPtr<CapHeader>, data: UserPtr<CapData>) -> Result<(), Errno> {
    let (given, words) = match cap_words(current, header) {
        // With no data pointer this is the way to ask for the version.
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        result => result?,
    };
    if given.pid < 0 {
        return Err(Errno::EINVAL);
    }
    let caps = match given.pid {
        0 => current.creds.caps,
        pid => registry().task(current.meant(Tid::new(pid as u32))).ok_or(Errno::ESRCH)?.creds().caps,
    };
    for word in 0..words {
        let part = |set: u64| (set >> (32 * word)) as u32;
        let value = CapData {
            effective: part(caps.effective),
            permitted: part(caps.permitted),
            inheritable: part(caps.inheritable),
        };
        data.nth(word).write(current, &value)?;
    }
    Ok(())
}

/// capset(2).
pub fn capset(current: &mut Current, header: UserPtr<CapHeader>, data: UserPtr<CapData>) -> Result<(), Errno> {
    let (given, words) = cap_words(current, header)?;
    if given.pid != 0 && given.pid as u32 != current.task.shown_tid().raw() {
        return Err(Errno::EPERM);
    }
    let (mut effective, mut permitted, mut inheritable) = (0u64, 0u64, 0u64);
    for word in 0..words {
        let value = data.nth(word).read(current)?;
        effective |= u64::from(value.effective) << (32 * word);
        permitted |= u64::from(value.permitted) << (32 * word);
        inheritable |= u64::from(value.inheritable) << (32 * word);
    }
    let known = (1u64 << (LAST_CAP + 1)) - 1;
    let (effective, permitted, inheritable) = (effective & known, permitted & known, inheritable & known);
    let may_inherit = current.creds.has_own(Cap::Setpcap);
    change(current, |creds| {
        let old = creds.caps;
        let inherit_beyond = inheritable & !(old.inheritable | old.permitted) != 0 && !may_inherit;
        if inherit_beyond
            || inheritable & !(old.inheritable | old.bounding) != 0
            || permitted & !old.permitted != 0
            || effective & !permitted != 0
        {
            return Err(Errno::EPERM);
        }
        creds.caps.effective = effective;
        creds.caps.permitted = permitted;
        creds.caps.inheritable = inheritable;
        creds.caps.ambient &= permitted & inheritable;
        Ok(())
    })
}

/// PR_SET_KEEPCAPS.
pub(super) fn set_keep_caps(current: &mut Current, on: u64) -> Result<(), Errno> {
    match on {
        0 => change(current, |creds| {
            creds.securebits &= !SECBIT_KEEP_CAPS;
            Ok(())
        }),
        1 => change(current, |creds| {
            creds.securebits |= SECBIT_KEEP_CAPS;
            Ok(())
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// Changes credentials from prctl(2).
pub(super) fn change_credentials(
    current: &mut Current,
    how: impl FnOnce(&mut Credentials) -> Result<(), Errno>,
) -> Result<(), Errno> {
    change(current, how)
}

pub(super) const ROWS: &[Row] = &[
    row!(getuid = getuid(), Full, ""),
    row!(geteuid = geteuid(), Full, ""),
    row!(getgid = getgid(), Full, ""),
    row!(getegid = getegid(), Full, ""),
    row!(setuid = setuid(1), Full, ""),
    row!(setgid = setgid(1), Full, ""),
    row!(setreuid = setreuid(2), Full, ""),
    row!(setregid = setregid(2), Full, ""),
    row!(setresuid = setresuid(3), Full, ""),
    row!(setresgid = setresgid(3), Full, ""),
    row!(getresuid = getresuid(3), Full, ""),
    row!(getresgid = getresgid(3), Full, ""),
    row!(setfsuid = setfsuid(1), Full, ""),
    row!(setfsgid = setfsgid(1), Full, ""),
    row!(getgroups = getgroups(2), Full, ""),
    row!(setgroups = setgroups(2), Full, ""),
    row!(capget = capget(2), Full, ""),
    row!(capset = capset(2), Full, ""),
];
