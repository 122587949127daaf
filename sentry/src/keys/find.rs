//! Who may reach which key: special numbers, possession, permission, search.

use super::table::{Key, OWN_RING, SESSION_RING, State, TABLE, Table};
use super::{GROUP, Kind, POSSESSOR, Rings, SEARCH, Token, USER};
use crate::errno::Errno;
use crate::task::{Credentials, Current};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

// Special numbers (keyctl(2)).
const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const SESSION: i32 = -3;
const USER_RING: i32 = -4;
const USER_SESSION: i32 = -5;
/// Of a request that is being answered: there never is one.
const REQUEST: [i32; 2] = [-7, -8];

/// Keyrings within keyrings that are looked through (KEYRING_SEARCH_MAX_DEPTH).
pub(super) const DEPTH: usize = 6;

/// A key that a caller reached.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub serial: i32,
    /// One of the caller's keyrings leads to it.
    pub possessed: bool,
}

/// How a number is looked up.
#[derive(Clone, Copy, Default)]
pub(super) struct How {
    /// A special keyring that is not there yet is made.
    pub create: bool,
    /// Also a key that cannot be used.
    pub any_state: bool,
}

/// The key that a program calls `id`, if the caller has the permissions `need` (0: none).
pub(super) fn find(current: &mut Current, id: i32, how: How, need: u32) -> Result<Found, Errno> {
    let found = if id < 0 {
        Found { serial: special(current, id, how.create)?, possessed: true }
    } else if id == 0 {
        return Err(Errno::EINVAL);
    } else {
        let table = TABLE.lock();
        table.key(id)?;
        Found { serial: id, possessed: possesses(&table, &current.creds, id) }
    };
    let table = TABLE.lock();
    let key = table.key(found.serial)?;
    if !how.any_state {
        key.check()?;
    }
    permit(&current.creds, key, found.possessed, need)?;
    Ok(found)
}

/// A special keyring's number.
fn special(current: &mut Current, id: i32, create: bool) -> Result<i32, Errno> {
    let rings = current.creds.rings.clone();
    let serial = |ring: &Option<Arc<Token>>| ring.as_ref().map(|token| token.0);
    match id {
        THREAD | PROCESS => {
            let ring = if id == THREAD { &rings.thread } else { &rings.process };
            if let Some(serial) = serial(ring) {
                return Ok(serial);
            }
            if !create {
                return Err(Errno::ENOKEY);
            }
            let name: &[u8] = if id == THREAD { b"_tid" } else { b"_pid" };
            let token = TABLE.lock().make_held(name, owner(current), OWN_RING)?;
            let serial = token.0;
            install(current, |rings| {
                *(if id == THREAD { &mut rings.thread } else { &mut rings.process }) = Some(token)
            });
            Ok(serial)
        }
        SESSION => {
            let user_session = TABLE.lock().user_rings(current.creds.uid)?.1;
            match serial(&rings.session) {
                Some(serial) if !create || serial != user_session => Ok(serial),
                None if !create => {
                    let token = TABLE.lock().hold(user_session)?;
                    install(current, |rings| rings.session = Some(token));
                    Ok(user_session)
                }
                _ => new_session(current),
            }
        }
        USER_RING => Ok(TABLE.lock().user_rings(current.creds.uid)?.0),
        USER_SESSION => Ok(TABLE.lock().user_rings(current.creds.uid)?.1),
        _ if REQUEST.contains(&id) => Err(Errno::ENOKEY),
        _ => Err(Errno::EINVAL),
    }
}

/// A session keyring of one's own; its number.
pub(super) fn new_session(current: &mut Current) -> Result<i32, Errno> {
    let token = TABLE.lock().make_held(b"_ses", owner(current), SESSION_RING)?;
    let serial = token.0;
    install(current, |rings| rings.session = Some(token));
    Ok(serial)
}

/// Whose a new key is.
pub(super) fn owner(current: &Current) -> (u32, u32) {
    (current.creds.fsuid, current.creds.fsgid)
}

/// Changes the caller's keyrings.
pub(super) fn install(current: &mut Current, how: impl FnOnce(&mut Rings)) {
    let mut creds = (*current.creds).clone();
    how(&mut creds.rings);
    current.creds = Arc::new(creds);
    current.publish();
}

/// EACCES unless all of `need` is granted.
pub(super) fn permit(creds: &Credentials, key: &Key, possessed: bool, need: u32) -> Result<(), Errno> {
    let mut granted = if creds.fsuid == key.uid {
        key.perm >> USER
    } else if creds.in_group(key.gid) {
        key.perm >> GROUP
    } else {
        key.perm
    };
    if possessed {
        granted |= key.perm >> POSSESSOR;
    }
    if need & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
}

/// The caller's keyrings, in the order in which they are searched.
fn roots(table: &Table, creds: &Credentials) -> Vec<i32> {
    let rings = &creds.rings;
    let own = [&rings.thread, &rings.process, &rings.session].into_iter().flatten().map(|token| token.0);
    let default = table.users.get(&creds.uid).filter(|_| rings.session.is_none()).map(|rings| rings.1);
    own.chain(default).collect()
}

fn possesses(table: &Table, creds: &Credentials, serial: i32) -> bool {
    roots(table, creds).into_iter().any(|root| {
        let mut seen = BTreeSet::new();
        let hit = &mut |number: i32, _: &Key| number == serial;
        walk(table, creds, root, true, DEPTH, &mut seen, hit).is_some()
    })
}

/// Looks for a key that `hit` likes in a keyring and those below it that may be searched.
fn walk(
    table: &Table,
    creds: &Credentials,
    ring: i32,
    possessed: bool,
    depth: usize,
    seen: &mut BTreeSet<i32>,
    hit: &mut dyn FnMut(i32, &Key) -> bool,
) -> Option<i32> {
    let key = table.key(ring).ok()?;
    if !seen.insert(ring) {
        return None;
    }
    if hit(ring, key) {
        return Some(ring);
    }
    let searchable = key.kind == Kind::Keyring
        && key.state == State::Live
        && depth > 0
        && permit(creds, key, possessed, SEARCH).is_ok();
    if !searchable {
        return None;
    }
    // What is linked here comes before what is deeper.
    let direct = key.links.iter().find(|serial| table.key(**serial).is_ok_and(|key| hit(**serial, key)));
    direct.copied().or_else(|| {
        let mut below = key.links.iter();
        below.find_map(|serial| walk(table, creds, *serial, possessed, depth - 1, seen, hit))
    })
}

/// A key of that kind and description in a keyring or below. What cannot be used or is not for the caller does not end the
/// search, but is the answer where nothing better comes.
pub(super) fn search(
    table: &Table,
    creds: &Credentials,
    ring: Found,
    kind: Kind,
    description: &[u8],
) -> Result<i32, Errno> {
    let mut worst = Errno::ENOKEY;
    let mut hit = |_: i32, key: &Key| {
        if key.kind != kind || key.description != description || key.state == State::Invalid {
            return false;
        }
        match permit(creds, key, ring.possessed, SEARCH).and_then(|()| key.check()) {
            Ok(()) => true,
            Err(errno) => {
                worst = errno;
                false
            }
        }
    };
    walk(table, creds, ring.serial, ring.possessed, DEPTH, &mut BTreeSet::new(), &mut hit).ok_or(worst)
}

/// `search` in all of the caller's keyrings. As Linux: where one of them has nothing of the kind, that is the answer, whatever
/// stood in the way in another.
pub(super) fn search_own(table: &Table, creds: &Credentials, kind: Kind, description: &[u8]) -> Result<i32, Errno> {
    let mut why = None;
    for root in roots(table, creds) {
        match search(table, creds, Found { serial: root, possessed: true }, kind, description) {
            Ok(serial) => return Ok(serial),
            Err(errno) => why = why.filter(|why| *why == Errno::ENOKEY).or(Some(errno)),
        }
    }
    Err(why.unwrap_or(Errno::ENOKEY))
}
