//! add_key, request_key, keyctl. Behaviour is in `crate::keys`.

use super::table::{Level, Row, arg, finish, row};
use super::{UserPtr, UserStr};
use crate::errno::Errno;
use crate::keys::{self, PAYLOAD_LIMIT, control};
use crate::task::Current;
use alloc::vec::Vec;
use linker::addr::UserVa;
use syscalls::Sysno;

// keyctl(2)'s operations (linux/keyctl.h); linux-raw-sys does not export them.
const KEYCTL_GET_KEYRING_ID: u32 = 0;
const KEYCTL_JOIN_SESSION_KEYRING: u32 = 1;
const KEYCTL_UPDATE: u32 = 2;
const KEYCTL_REVOKE: u32 = 3;
const KEYCTL_CHOWN: u32 = 4;
const KEYCTL_SETPERM: u32 = 5;
const KEYCTL_DESCRIBE: u32 = 6;
const KEYCTL_CLEAR: u32 = 7;
const KEYCTL_LINK: u32 = 8;
const KEYCTL_UNLINK: u32 = 9;
const KEYCTL_SEARCH: u32 = 10;
const KEYCTL_READ: u32 = 11;
const KEYCTL_INSTANTIATE: u32 = 12;
const KEYCTL_NEGATE: u32 = 13;
const KEYCTL_SET_REQKEY_KEYRING: u32 = 14;
const KEYCTL_SET_TIMEOUT: u32 = 15;
const KEYCTL_ASSUME_AUTHORITY: u32 = 16;
const KEYCTL_GET_SECURITY: u32 = 17;
const KEYCTL_REJECT: u32 = 19;
const KEYCTL_INSTANTIATE_IOV: u32 = 20;
const KEYCTL_INVALIDATE: u32 = 21;
const KEYCTL_MOVE: u32 = 30;
const KEYCTL_CAPABILITIES: u32 = 31;
const KEYCTL_MOVE_EXCL: u32 = 1;
// What KEYCTL_CAPABILITIES says: keyctl itself, big_key, invalidation, moving.
const CAPABILITIES: [u8; 2] = [0x01 | 0x10 | 0x20 | 0x80, 0];

/// A type's name is shorter than this, a description than a page (security/keys/keyctl.c).
const TYPE_LIMIT: usize = 32;
const DESCRIPTION_LIMIT: usize = 4096;

fn kind(current: &Current, name: UserStr) -> Result<Vec<u8>, Errno> {
    let name = name.read(current, TYPE_LIMIT, Errno::EINVAL)?;
    match name.first() {
        None => Err(Errno::EINVAL),
        // The kernel's own.
        Some(b'.') => Err(Errno::EPERM),
        Some(_) => Ok(name),
    }
}

fn description(current: &Current, text: UserStr) -> Result<Vec<u8>, Errno> {
    text.read(current, DESCRIPTION_LIMIT, Errno::EINVAL)
}

fn payload(current: &Current, at: UserPtr<u8>, len: usize) -> Result<Vec<u8>, Errno> {
    if len >= PAYLOAD_LIMIT {
        return Err(Errno::EINVAL);
    }
    at.read_vec(current, len)
}

/// add_key(2).
pub fn add_key(
    current: &mut Current,
    name: UserStr,
    about: UserStr,
    from: UserPtr<u8>,
    len: usize,
    ring: i32,
) -> Result<i32, Errno> {
    if len >= PAYLOAD_LIMIT {
        return Err(Errno::EINVAL);
    }
    let kind = kind(current, name)?;
    let about = if about.is_null() { Vec::new() } else { description(current, about)? };
    if kind == b"keyring" && about.first() == Some(&b'.') {
        return Err(Errno::EPERM);
    }
    let payload = payload(current, from, len)?;
    if about.is_empty() && keys::Kind::from_name(&kind).is_some() {
        return Err(Errno::EINVAL);
    }
    keys::add(current, &kind, &about, payload, ring)
}

/// request_key(2).
pub fn request_key(
    current: &mut Current,
    name: UserStr,
    about: UserStr,
    callout: UserStr,
    ring: i32,
) -> Result<i32, Errno> {
    let kind = kind(current, name)?;
    let about = description(current, about)?;
    if !callout.is_null() {
        description(current, callout)?;
    }
    keys::request(current, &kind, &about, !callout.is_null(), ring)
}

/// keyctl(2).
pub fn keyctl(current: &mut Current, operation: u32, a: u64, b: u64, c: u64, d: u64) -> Result<i64, Errno> {
    let id = a as i32;
    let string = |raw: u64| UserStr::new(UserVa::new(raw));
    let serial = |result: Result<i32, Errno>| result.map(i64::from);
    let nothing = |result: Result<(), Errno>| result.map(|()| 0);
    match operation {
        KEYCTL_GET_KEYRING_ID => serial(control::number(current, id, b as i32 != 0)),
        KEYCTL_JOIN_SESSION_KEYRING => {
            let name = if a == 0 { None } else { Some(description(current, string(a))?) };
            if name.as_ref().is_some_and(|name| name.first() == Some(&b'.')) {
                return Err(Errno::EPERM);
            }
            serial(control::join_session(current, name.as_deref()))
        }
        KEYCTL_UPDATE => {
            let payload = payload(current, UserPtr::new(UserVa::new(b)), usize::try_from(c).unwrap_or(usize::MAX))?;
            nothing(control::update(current, id, payload))
        }
        KEYCTL_REVOKE => nothing(control::revoke(current, id)),
        KEYCTL_CHOWN => nothing(control::set_owner(current, id, b as u32, c as u32)),
        KEYCTL_SETPERM => nothing(control::set_permissions(current, id, b as u32)),
        KEYCTL_DESCRIBE => {
            let text = control::describe(current, id)?;
            copy_out(current, &text, b, c)
        }
        KEYCTL_CLEAR => nothing(control::clear(current, id)),
        KEYCTL_LINK => nothing(control::link(current, id, b as i32)),
        KEYCTL_UNLINK => nothing(control::unlink(current, id, b as i32)),
        KEYCTL_SEARCH => {
            let (kind, about) = (kind(current, string(b))?, description(current, string(c))?);
            serial(control::search_ring(current, id, &kind, &about, d as i32))
        }
        KEYCTL_READ => {
            let content = control::read(current, id)?;
            copy_out(current, &content, b, c)
        }
        // Only who answers a request may; nobody is ever asked.
        KEYCTL_INSTANTIATE | KEYCTL_NEGATE | KEYCTL_REJECT | KEYCTL_INSTANTIATE_IOV => Err(Errno::EPERM),
        KEYCTL_ASSUME_AUTHORITY => match id {
            0 => Ok(0),
            ..0 => Err(Errno::EINVAL),
            _ => Err(Errno::ENOKEY),
        },
        KEYCTL_SET_REQKEY_KEYRING => serial(control::set_default(current, id)),
        KEYCTL_SET_TIMEOUT => nothing(control::set_timeout(current, id, b as u32)),
        KEYCTL_GET_SECURITY => {
            control::look(current, id)?;
            // No security module has anything to say.
            copy_out(current, b"\0", b, c)
        }
        KEYCTL_INVALIDATE => nothing(control::invalidate(current, id)),
        KEYCTL_MOVE => {
            if d as u32 & !KEYCTL_MOVE_EXCL != 0 {
                return Err(Errno::EINVAL);
            }
            nothing(control::move_link(current, id, b as i32, c as i32, d as u32 & KEYCTL_MOVE_EXCL != 0))
        }
        KEYCTL_CAPABILITIES => {
            let len = usize::try_from(b).unwrap_or(usize::MAX).min(CAPABILITIES.len());
            let to: UserPtr<u8> = UserPtr::new(UserVa::new(a));
            to.write_slice(current, CAPABILITIES.get(..len).unwrap_or_default())?;
            Ok(CAPABILITIES.len() as i64)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// The whole content where it fits, and its length.
fn copy_out(current: &Current, content: &[u8], to: u64, room: u64) -> Result<i64, Errno> {
    let to: UserPtr<u8> = UserPtr::new(UserVa::new(to));
    if !to.is_null() && content.len() as u64 <= room {
        to.write_slice(current, content)?;
    }
    Ok(content.len() as i64)
}

pub(super) const ROWS: &[Row] = &[
    row!(add_key = add_key(5), Partial, "types keyring, user, logon and big_key"),
    row!(request_key = request_key(4), Partial, "nobody is asked for a key that is not there"),
    row!(keyctl = keyctl(5), Partial, "no restrictions, no public-key operations, no persistent keyrings: EOPNOTSUPP"),
];
