//! add_key and request_key: keys come into being here, and get their first link.

use super::find::{Found, How, find, owner, permit, search_own};
use super::table::{State, TABLE};
use super::{GROUP, Kind, LINK, POSSESSOR, READ, SEARCH, SETATTR, USER, VIEW, WRITE};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::Current;
use alloc::vec::Vec;

/// How long a key that could not be had is remembered (key_negative_timeout), ns.
const NEGATIVE_NS: u64 = 60_000_000_000;

const DEFAULT_THREAD: u32 = 1;
const DEFAULT_USER_SESSION: u32 = 5;

/// add_key(2): a new key in a keyring, or a new payload for the one that is there.
pub fn add(current: &mut Current, kind: &[u8], description: &[u8], payload: Vec<u8>, ring: i32) -> Result<i32, Errno> {
    let ring = find(current, ring, How { create: true, any_state: false }, WRITE)?;
    let kind = Kind::from_name(kind).ok_or(Errno::ENODEV)?;
    kind.check(description, &payload)?;
    let mut table = TABLE.lock();
    let within = table.key(ring.serial)?;
    if within.kind != Kind::Keyring {
        return Err(Errno::ENOTDIR);
    }
    let namesake = |serial: &&i32| {
        table.key(**serial).is_ok_and(|key| key.kind == kind && key.description == description && key.check().is_ok())
    };
    let there = within.links.iter().find(namesake).copied().filter(|_| kind.updatable());
    if let Some(serial) = there {
        permit(&current.creds, table.key(serial)?, ring.possessed, WRITE)?;
        table.set_payload(serial, payload)?;
        return Ok(serial);
    }
    let serial = table.make(kind, description, owner(current), initial(kind), payload)?;
    table.link(ring.serial, serial).inspect_err(|_| table.sweep())?;
    Ok(serial)
}

/// What a new key of a kind allows.
fn initial(kind: Kind) -> u32 {
    let mut possessor = VIEW | SEARCH | LINK | SETATTR;
    if kind.readable() {
        possessor |= READ;
    }
    // Keyrings take links.
    possessor |= WRITE;
    possessor << POSSESSOR | VIEW << USER
}

/// request_key(2). There is nobody to ask for a key that is not there: with `ask` the answer is kept for a while, as where
/// /sbin/request-key finds nothing.
pub fn request(current: &mut Current, kind: &[u8], description: &[u8], ask: bool, ring: i32) -> Result<i32, Errno> {
    let how = How { create: true, any_state: false };
    let to = if ring == 0 { None } else { Some(find(current, ring, how, WRITE)?) };
    let kind = Kind::from_name(kind).ok_or(Errno::ENOKEY)?;
    let found = search_own(&TABLE.lock(), &current.creds, kind, description);
    match found {
        Ok(serial) => {
            if let Some(to) = to {
                link(current, Found { serial, possessed: true }, to)?;
            }
            Ok(serial)
        }
        Err(Errno::ENOKEY) if ask => {
            if kind == Kind::Keyring {
                return Err(Errno::EPERM);
            }
            let to = match to {
                Some(to) => to,
                None => default_ring(current)?,
            };
            let mut table = TABLE.lock();
            let perm = (VIEW | SEARCH | LINK | SETATTR) << POSSESSOR | VIEW << USER;
            let serial = table.make(kind, description, owner(current), perm, Vec::new())?;
            let key = table.key_mut(serial)?;
            key.state = State::Negative;
            key.expires_ns = Some(platform().monotonic_ns().saturating_add(NEGATIVE_NS));
            table.link(to.serial, serial)?;
            Err(Errno::ENOKEY)
        }
        Err(errno) => Err(errno),
    }
}

/// Where request_key puts a key when it is not told (KEYCTL_SET_REQKEY_KEYRING).
fn default_ring(current: &mut Current) -> Result<Found, Errno> {
    let how = How { create: true, any_state: false };
    let rings = &current.creds.rings;
    let chosen = match rings.default {
        number @ DEFAULT_THREAD..=DEFAULT_USER_SESSION => -number.cast_signed(),
        _ if rings.thread.is_some() => -1,
        _ if rings.process.is_some() => -2,
        _ if rings.session.is_some() => -3,
        _ => -5,
    };
    find(current, chosen, how, WRITE)
}

/// Links a key to a keyring (KEYCTL_LINK). EDEADLK where that would make a circle.
pub(super) fn link(current: &Current, key: Found, ring: Found) -> Result<(), Errno> {
    let mut table = TABLE.lock();
    permit(&current.creds, table.key(key.serial)?, key.possessed, LINK)?;
    if table.key(ring.serial)?.kind != Kind::Keyring {
        return Err(Errno::ENOTDIR);
    }
    if table.key(key.serial)?.kind == Kind::Keyring && leads_to(&table, key.serial, ring.serial, super::find::DEPTH)? {
        return Err(Errno::EDEADLK);
    }
    table.link(ring.serial, key.serial)
}

/// Whether `from` is `to` or leads to it. ELOOP where keyrings are in keyrings too deep to say.
fn leads_to(table: &super::table::Table, from: i32, to: i32, depth: usize) -> Result<bool, Errno> {
    if from == to {
        return Ok(true);
    }
    let key = table.key(from)?;
    if key.kind != Kind::Keyring || key.links.is_empty() {
        return Ok(false);
    }
    if depth == 0 {
        return Err(Errno::ELOOP);
    }
    for serial in &key.links {
        if table.key(*serial).is_ok_and(|key| key.kind == Kind::Keyring) && leads_to(table, *serial, to, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Permission bits that exist (KEYCTL_SETPERM).
pub(super) const PERMISSIONS: u32 = super::ALL << POSSESSOR | super::ALL << USER | super::ALL << GROUP | super::ALL;
