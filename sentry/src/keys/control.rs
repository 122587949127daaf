//! keyctl(2)'s operations, but for adding and asking.

use super::change::{PERMISSIONS, link as link_found};
use super::find::{Found, How, find, install, new_session, permit, search};
use super::table::{State, TABLE};
use super::{Kind, READ, SEARCH, SETATTR, VIEW, WRITE};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::{Cap, Current};
use alloc::format;
use alloc::vec::Vec;

const CREATE: How = How { create: true, any_state: false };
const ANY: How = How { create: true, any_state: true };
const EXISTING: How = How { create: false, any_state: false };

const NS_PER_SEC: u64 = 1_000_000_000;

/// KEYCTL_GET_KEYRING_ID.
pub fn number(current: &mut Current, id: i32, create: bool) -> Result<i32, Errno> {
    find(current, id, How { create, any_state: false }, SEARCH).map(|found| found.serial)
}

/// KEYCTL_JOIN_SESSION_KEYRING: one of that name that the caller may search, or a new one.
pub fn join_session(current: &mut Current, name: Option<&[u8]>) -> Result<i32, Errno> {
    let Some(name) = name else { return new_session(current) };
    let token = {
        let mut table = TABLE.lock();
        let fits = |key: &super::table::Key| {
            key.kind == Kind::Keyring
                && key.description == name
                && key.check().is_ok()
                && permit(&current.creds, key, false, SEARCH).is_ok()
        };
        let there = table.keys.iter().find(|(_, key)| fits(key)).map(|(serial, _)| *serial);
        match there {
            Some(serial) => table.hold(serial)?,
            None => {
                let perm = super::table::SESSION_RING | super::LINK << super::USER;
                table.make_held(name, (current.creds.uid, current.creds.gid), perm)?
            }
        }
    };
    let serial = token.0;
    install(current, |rings| rings.session = Some(token));
    Ok(serial)
}

/// KEYCTL_UPDATE.
pub fn update(current: &mut Current, id: i32, payload: Vec<u8>) -> Result<(), Errno> {
    let found = find(current, id, EXISTING, WRITE)?;
    let mut table = TABLE.lock();
    let key = table.key(found.serial)?;
    if !key.kind.updatable() {
        return Err(Errno::EOPNOTSUPP);
    }
    key.kind.check(&key.description, &payload)?;
    table.set_payload(found.serial, payload)
}

/// KEYCTL_REVOKE.
pub fn revoke(current: &mut Current, id: i32) -> Result<(), Errno> {
    let found = match find(current, id, EXISTING, WRITE) {
        Err(Errno::EACCES) => find(current, id, EXISTING, SETATTR)?,
        found => found?,
    };
    let mut table = TABLE.lock();
    table.key_mut(found.serial)?.state = State::Revoked;
    table.set_payload(found.serial, Vec::new())?;
    table.unlink(found.serial, |_| true)?;
    Ok(())
}

/// KEYCTL_INVALIDATE: it is as if it were not there any more.
pub fn invalidate(current: &mut Current, id: i32) -> Result<(), Errno> {
    let found = find(current, id, EXISTING, SEARCH)?;
    let mut table = TABLE.lock();
    table.key_mut(found.serial)?.state = State::Invalid;
    table.sweep();
    Ok(())
}

/// KEYCTL_CHOWN; `u32::MAX` leaves an id as it is.
pub fn set_owner(current: &mut Current, id: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    if uid == u32::MAX && gid == u32::MAX {
        return Ok(());
    }
    let found = find(current, id, ANY, SETATTR)?;
    let mut table = TABLE.lock();
    let key = table.key(found.serial)?;
    let creds = &current.creds;
    if !creds.has(Cap::SysAdmin) {
        let foreign_user = uid != u32::MAX && uid != key.uid;
        let foreign_group = gid != u32::MAX && gid != key.gid && !creds.in_group(gid);
        if foreign_user || foreign_group {
            return Err(Errno::EACCES);
        }
    }
    if uid != u32::MAX {
        table.set_owner(found.serial, uid)?;
    }
    if gid != u32::MAX {
        table.key_mut(found.serial)?.gid = gid;
    }
    Ok(())
}

/// KEYCTL_SETPERM.
pub fn set_permissions(current: &mut Current, id: i32, perm: u32) -> Result<(), Errno> {
    if perm & !PERMISSIONS != 0 {
        return Err(Errno::EINVAL);
    }
    let found = find(current, id, ANY, SETATTR)?;
    let mut table = TABLE.lock();
    let key = table.key_mut(found.serial)?;
    if !current.creds.has(Cap::SysAdmin) && key.uid != current.creds.fsuid {
        return Err(Errno::EACCES);
    }
    key.perm = perm;
    Ok(())
}

/// KEYCTL_DESCRIBE: `type;uid;gid;permissions;description`.
pub fn describe(current: &mut Current, id: i32) -> Result<Vec<u8>, Errno> {
    let found = find(current, id, How { create: false, any_state: true }, VIEW)?;
    let table = TABLE.lock();
    let key = table.key(found.serial)?;
    let head = format!("{};{};{};{:08x};", key.kind.name(), key.uid.cast_signed(), key.gid.cast_signed(), key.perm);
    Ok([head.as_bytes(), &key.description, b"\0"].concat())
}

/// KEYCTL_CLEAR.
pub fn clear(current: &mut Current, id: i32) -> Result<(), Errno> {
    let found = find(current, id, CREATE, WRITE)?;
    let mut table = TABLE.lock();
    if table.key(found.serial)?.kind != Kind::Keyring {
        return Err(Errno::ENOTDIR);
    }
    table.unlink(found.serial, |_| true).map(|_| ())
}

/// KEYCTL_LINK.
pub fn link(current: &mut Current, id: i32, ring: i32) -> Result<(), Errno> {
    let ring = find(current, ring, CREATE, WRITE)?;
    let key = find(current, id, CREATE, super::LINK)?;
    link_found(current, key, ring)
}

/// KEYCTL_UNLINK.
pub fn unlink(current: &mut Current, id: i32, ring: i32) -> Result<(), Errno> {
    let ring = find(current, ring, EXISTING, WRITE)?;
    let key = find(current, id, How { create: false, any_state: true }, 0)?;
    let mut table = TABLE.lock();
    if table.key(ring.serial)?.kind != Kind::Keyring {
        return Err(Errno::ENOTDIR);
    }
    match table.unlink(ring.serial, |serial| serial == key.serial)? {
        0 => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

/// KEYCTL_MOVE; `exclusive`: EEXIST where one of its name is there.
pub fn move_link(current: &mut Current, id: i32, from: i32, to: i32, exclusive: bool) -> Result<(), Errno> {
    let key = find(current, id, CREATE, super::LINK)?;
    let from = find(current, from, EXISTING, WRITE)?;
    let to = find(current, to, CREATE, WRITE)?;
    {
        let table = TABLE.lock();
        let moved = table.key(key.serial)?;
        if !table.key(from.serial)?.links.contains(&key.serial) {
            return Err(Errno::ENOENT);
        }
        if from.serial == to.serial {
            return Ok(());
        }
        let namesake = |serial: &i32| {
            table.key(*serial).is_ok_and(|it| it.kind == moved.kind && it.description == moved.description)
        };
        if exclusive && table.key(to.serial)?.links.iter().any(namesake) {
            return Err(Errno::EEXIST);
        }
    }
    link_found(current, key, to)?;
    TABLE.lock().unlink(from.serial, |serial| serial == key.serial).map(|_| ())
}

/// KEYCTL_SEARCH; links what it finds to `to`, unless that is 0.
pub fn search_ring(current: &mut Current, ring: i32, kind: &[u8], description: &[u8], to: i32) -> Result<i32, Errno> {
    let ring = find(current, ring, EXISTING, SEARCH)?;
    let to = if to == 0 { None } else { Some(find(current, to, CREATE, WRITE)?) };
    let kind = Kind::from_name(kind).ok_or(Errno::ENOKEY)?;
    let serial = {
        let table = TABLE.lock();
        if table.key(ring.serial)?.kind != Kind::Keyring {
            return Err(Errno::ENOTDIR);
        }
        search(&table, &current.creds, ring, kind, description)?
    };
    if let Some(to) = to {
        link_found(current, Found { serial, possessed: ring.possessed }, to)?;
    }
    Ok(serial)
}

/// KEYCTL_READ: the payload, or the numbers in a keyring.
pub fn read(current: &mut Current, id: i32) -> Result<Vec<u8>, Errno> {
    let found = find(current, id, EXISTING, 0)?;
    let table = TABLE.lock();
    let key = table.key(found.serial)?;
    if permit(&current.creds, key, found.possessed, READ).is_err() {
        // Who has it and could find it may read it.
        if !found.possessed {
            return Err(Errno::EACCES);
        }
        permit(&current.creds, key, found.possessed, SEARCH)?;
    }
    match key.kind {
        Kind::Keyring => Ok(key.links.iter().flat_map(|serial| serial.to_ne_bytes()).collect()),
        kind if kind.readable() => Ok(key.payload.clone()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// KEYCTL_SET_REQKEY_KEYRING: where request_key puts keys; the setting before.
pub fn set_default(current: &mut Current, choice: i32) -> Result<i32, Errno> {
    /// KEY_REQKEY_DEFL_NO_CHANGE, and the highest that is a keyring; the group's and the requestor's are not there.
    const NO_CHANGE: i32 = -1;
    const LAST: i32 = 5;
    let old = current.creds.rings.default.cast_signed();
    match choice {
        NO_CHANGE => {}
        0..=LAST => {
            if matches!(choice, 1 | 2) {
                find(current, -choice, CREATE, 0)?;
            }
            install(current, |rings| rings.default = choice.cast_unsigned());
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(old)
}

/// KEYCTL_SET_TIMEOUT, in seconds from now; 0 for none.
pub fn set_timeout(current: &mut Current, id: i32, seconds: u32) -> Result<(), Errno> {
    let found = find(current, id, ANY, SETATTR)?;
    let at = platform().monotonic_ns().saturating_add(u64::from(seconds) * NS_PER_SEC);
    TABLE.lock().key_mut(found.serial)?.expires_ns = (seconds > 0).then_some(at);
    Ok(())
}

/// Whether there is a key of that number to look at (KEYCTL_GET_SECURITY).
pub fn look(current: &mut Current, id: i32) -> Result<(), Errno> {
    find(current, id, How { create: false, any_state: true }, VIEW).map(|_| ())
}
