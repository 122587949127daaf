//! User namespaces (user_namespaces(7)): which ids a program sees, and over whom its capabilities hold.
//!
//! Every id inside the sentry is one of the first namespace; those of a nested one are translated where user space names or
//! sees them. `None` in a `UserSpace` is the first namespace, so that programs that know of no other pay nothing.

use super::{Cap, Credentials};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::uts::namespace_number;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// A user namespace, `None` for the first.
pub type UserSpace = Option<Arc<UserNs>>;

/// The first one's number in `/proc/PID/ns` (include/linux/proc_ns.h: PROC_USER_INIT_INO).
const INITIAL_NUMBER: u32 = 0xefff_fffd;
/// How deep they nest (user_namespaces(7)).
const MOST_LEVELS: u32 = 32;
/// What an id without a translation looks like (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65_534;
/// Lines of a map (user_namespaces(7): UID_GID_MAP_MAX_EXTENTS).
const MOST_EXTENTS: usize = 340;

/// How many there may be (`/proc/sys/user/max_user_namespaces`; Linux counts them by user).
pub static MOST: AtomicU32 = AtomicU32::new(super::THREADS_MAX as u32);
/// How many there are.
static LIVE: AtomicU32 = AtomicU32::new(0);

/// A nested user namespace.
pub struct UserNs {
    number: u32,
    level: u32,
    parent: UserSpace,
    /// Who made it: an id of the first namespace.
    owner: (u32, u32),
    ids: Lock<Ids>,
}

struct Ids {
    maps: [Vec<Extent>; 3],
    setgroups: bool,
}

/// Which ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Users.
    User = 0,
    /// Groups.
    Group = 1,
    /// Projects, which no file system here has.
    Project = 2,
}

/// `count` ids from `inside` on are those of the first namespace from `global` on, and the parent's from `outside` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    inside: u32,
    outside: u32,
    global: u32,
    count: u32,
}

impl Drop for UserNs {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl UserNs {
    /// A namespace of the program's own, by who `creds` are. ENOSPC below too many others.
    pub fn new(creds: &Credentials) -> Result<Arc<Self>, Errno> {
        let parent = creds.user.clone();
        let level = level_of(&parent) + 1;
        if level > MOST_LEVELS {
            return Err(Errno::ENOSPC);
        }
        if to_shown(&parent, Kind::User, creds.euid).is_none() || to_shown(&parent, Kind::Group, creds.egid).is_none() {
            return Err(Errno::EPERM);
        }
        if LIVE.fetch_add(1, Ordering::Relaxed) >= MOST.load(Ordering::Relaxed) {
            LIVE.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        let setgroups = parent.as_ref().is_none_or(|parent| parent.ids.lock().setgroups);
        Ok(Arc::new(Self {
            number: namespace_number(),
            level,
            parent,
            owner: (creds.euid, creds.egid),
            ids: Lock::new(Rank::Leaf, Ids { maps: [Vec::new(), Vec::new(), Vec::new()], setgroups }),
        }))
    }

    /// What is around it.
    pub fn parent(&self) -> &UserSpace {
        &self.parent
    }

    /// The user that made it, an id of the first namespace.
    pub fn owner_uid(&self) -> u32 {
        self.owner.0
    }

    /// Whether setgroups(2) may be used: groups are mapped, and nobody denied it.
    pub fn may_set_groups(&self) -> bool {
        let ids = self.ids.lock();
        ids.setgroups && !ids.maps[Kind::Group as usize].is_empty()
    }

    /// `/proc/PID/setgroups`.
    pub fn shows_setgroups(&self) -> bool {
        self.ids.lock().setgroups
    }

    /// Forbids setgroups(2), or says that it is allowed.
    pub fn set_setgroups(&self, allow: bool) -> Result<(), Errno> {
        let mut ids = self.ids.lock();
        match (allow, ids.setgroups) {
            (true, false) => Err(Errno::EPERM),
            (false, true) if !ids.maps[Kind::Group as usize].is_empty() => Err(Errno::EPERM),
            _ => {
                ids.setgroups = allow;
                Ok(())
            }
        }
    }

    fn to_global(&self, kind: Kind, id: u32) -> Option<u32> {
        let ids = self.ids.lock();
        let extent = ids.maps[kind as usize].iter().find(|extent| id.wrapping_sub(extent.inside) < extent.count)?;
        Some(extent.global + (id - extent.inside))
    }

    fn to_shown(&self, kind: Kind, id: u32) -> Option<u32> {
        let ids = self.ids.lock();
        let extent = ids.maps[kind as usize].iter().find(|extent| id.wrapping_sub(extent.global) < extent.count)?;
        Some(extent.inside + (id - extent.global))
    }

    /// Sets a map, once: what was written to `/proc/PID/uid_map` and the like by who `creds` are.
    pub fn set_map(&self, creds: &Credentials, this: &Arc<Self>, kind: Kind, text: &[u8]) -> Result<(), Errno> {
        if !self.ids.lock().maps[kind as usize].is_empty() {
            return Err(Errno::EPERM);
        }
        if !creds.has_in(&Some(this.clone()), Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if !same(&creds.user, &Some(this.clone())) && !same(&creds.user, &self.parent) {
            return Err(Errno::EPERM);
        }
        let mut extents = parse(text)?;
        if !self.may_map(creds, kind, &extents) {
            return Err(Errno::EPERM);
        }
        for extent in &mut extents {
            // Both ends in one piece of the parent's map.
            let first = to_global(&self.parent, kind, extent.outside).ok_or(Errno::EPERM)?;
            let last = to_global(&self.parent, kind, extent.outside + (extent.count - 1)).ok_or(Errno::EPERM)?;
            if last.wrapping_sub(first) != extent.count - 1 {
                return Err(Errno::EPERM);
            }
            extent.global = first;
        }
        let mut ids = self.ids.lock();
        let map = &mut ids.maps[kind as usize];
        if !map.is_empty() {
            return Err(Errno::EPERM);
        }
        *map = extents;
        Ok(())
    }

    /// Anybody may map the own id; more takes the capability around the namespace.
    fn may_map(&self, creds: &Credentials, kind: Kind, extents: &[Extent]) -> bool {
        if let [only] = extents
            && only.count == 1
        {
            let global = to_global(&self.parent, kind, only.outside);
            let own = match kind {
                Kind::User => self.owner.0 == creds.euid && global == Some(creds.euid),
                Kind::Group => self.owner.0 == creds.euid && global == Some(creds.egid) && !self.ids.lock().setgroups,
                Kind::Project => false,
            };
            if own {
                return true;
            }
        }
        let cap = match kind {
            Kind::User => Cap::Setuid,
            Kind::Group => Cap::Setgid,
            Kind::Project => return true,
        };
        creds.has_in(&self.parent, cap)
    }
}

/// The lines of a map: first inside, first outside, how many. EINVAL where they overlap or make no sense.
fn parse(text: &[u8]) -> Result<Vec<Extent>, Errno> {
    if text.len() >= linker::layout::PAGE_SIZE as usize {
        return Err(Errno::EINVAL);
    }
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let mut extents: Vec<Extent> = Vec::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let mut fields = line.split_ascii_whitespace().map(|field| field.parse::<u32>().map_err(|_| Errno::EINVAL));
        let mut next = || fields.next().unwrap_or(Err(Errno::EINVAL));
        let (inside, outside, count) = (next()?, next()?, next()?);
        if fields.next().is_some() || inside == u32::MAX || outside == u32::MAX || count == 0 {
            return Err(Errno::EINVAL);
        }
        let end = |first: u32| first.checked_add(count).ok_or(Errno::EINVAL);
        let (inside_end, outside_end) = (end(inside)?, end(outside)?);
        let overlaps = extents.iter().any(|other| {
            inside < other.inside + other.count && other.inside < inside_end
                || outside < other.outside + other.count && other.outside < outside_end
        });
        if overlaps || extents.len() == MOST_EXTENTS {
            return Err(Errno::EINVAL);
        }
        extents.push(Extent { inside, outside, global: outside, count });
    }
    Ok(extents)
}

/// What `/proc/PID/uid_map` and the like say to a reader in `reader`.
pub fn map_text(space: &UserSpace, kind: Kind, reader: &UserSpace) -> String {
    let Some(ns) = space else { return String::from("         0          0 4294967295\n") };
    let ids = ns.ids.lock();
    let extents = ids.maps[kind as usize].clone();
    drop(ids);
    let line = |extent: &Extent| {
        let outside = if same(space, reader) {
            extent.outside
        } else {
            to_shown(reader, kind, extent.global).unwrap_or(u32::MAX)
        };
        format!("{:>10} {outside:>10} {:>10}\n", extent.inside, extent.count)
    };
    extents.iter().map(line).collect()
}

/// The number in `/proc/PID/ns`.
pub fn number(space: &UserSpace) -> u32 {
    space.as_ref().map_or(INITIAL_NUMBER, |ns| ns.number)
}

/// Whether both are one.
pub fn same(one: &UserSpace, other: &UserSpace) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

impl core::fmt::Debug for UserNs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "user:[{}]", self.number)
    }
}

fn level_of(space: &UserSpace) -> u32 {
    space.as_ref().map_or(0, |ns| ns.level)
}

/// The first namespace's id for one of `space`.
#[inline]
pub fn to_global(space: &UserSpace, kind: Kind, id: u32) -> Option<u32> {
    match space {
        None => Some(id),
        Some(ns) => ns.to_global(kind, id),
    }
}

/// The id in `space` for one of the first namespace.
#[inline]
pub fn to_shown(space: &UserSpace, kind: Kind, id: u32) -> Option<u32> {
    match space {
        None => Some(id),
        Some(ns) => ns.to_shown(kind, id),
    }
}

impl Credentials {
    /// Whether the capability holds over what belongs to `target` (capabilities are of a user namespace and what is below it).
    pub fn has_in(&self, target: &UserSpace, cap: Cap) -> bool {
        let mut at = target;
        loop {
            if same(at, &self.user) {
                return self.has_own(cap);
            }
            let Some(ns) = at else { return false };
            if ns.level <= level_of(&self.user) {
                return false;
            }
            if same(&ns.parent, &self.user) && ns.owner.0 == self.euid {
                return true;
            }
            at = &ns.parent;
        }
    }

    /// Whether the capability holds over a file of these owners: both must have a name in the namespace.
    pub fn has_over(&self, cap: Cap, uid: u32, gid: u32) -> bool {
        self.has_own(cap)
            && to_shown(&self.user, Kind::User, uid).is_some()
            && to_shown(&self.user, Kind::Group, gid).is_some()
    }

    /// How user `uid` looks to the program.
    #[inline]
    pub fn shown_uid(&self, uid: u32) -> u32 {
        match &self.user {
            None => uid,
            Some(ns) => ns.to_shown(Kind::User, uid).unwrap_or(OVERFLOW),
        }
    }

    /// How group `gid` looks to the program.
    #[inline]
    pub fn shown_gid(&self, gid: u32) -> u32 {
        match &self.user {
            None => gid,
            Some(ns) => ns.to_shown(Kind::Group, gid).unwrap_or(OVERFLOW),
        }
    }

    /// The user that the program names. EINVAL where there is none.
    #[inline]
    pub fn global_uid(&self, uid: u32) -> Result<u32, Errno> {
        to_global(&self.user, Kind::User, uid).ok_or(Errno::EINVAL)
    }

    /// The group that the program names. EINVAL where there is none.
    #[inline]
    pub fn global_gid(&self, gid: u32) -> Result<u32, Errno> {
        to_global(&self.user, Kind::Group, gid).ok_or(Errno::EINVAL)
    }

    /// The user that has root's privileges by being who it is, `u32::MAX` where there is none.
    pub fn root_uid(&self) -> u32 {
        to_global(&self.user, Kind::User, 0).unwrap_or(u32::MAX)
    }

    /// The same in a new namespace: every capability there, none elsewhere.
    pub fn enter(&mut self, space: UserSpace) {
        let all = (1 << (super::LAST_CAP + 1)) - 1;
        self.securebits = 0;
        self.caps.inheritable = 0;
        self.caps.ambient = 0;
        (self.caps.permitted, self.caps.effective, self.caps.bounding) = (all, all, all);
        self.user = space;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn user(uid: u32) -> Credentials {
        Credentials { uid, euid: uid, suid: uid, fsuid: uid, gid: uid, egid: uid, ..Credentials::default() }
    }

    fn nested(mut creds: Credentials) -> (Credentials, Arc<UserNs>) {
        let ns = UserNs::new(&creds).unwrap();
        creds.enter(Some(ns.clone()));
        (creds, ns)
    }

    #[test]
    fn a_user_may_map_itself_and_is_root_there_alone() {
        let (creds, ns) = nested(user(1000));
        assert_eq!(creds.shown_uid(1000), OVERFLOW);
        assert_eq!(ns.set_map(&creds, &ns, Kind::User, b"0 1001 1"), Err(Errno::EPERM));
        assert_eq!(ns.set_map(&creds, &ns, Kind::User, b"0 1000 2\n"), Err(Errno::EPERM));
        assert_eq!(ns.set_map(&creds, &ns, Kind::User, b"0 1000 1\n"), Ok(()));
        assert_eq!(ns.set_map(&creds, &ns, Kind::User, b"0 1000 1\n"), Err(Errno::EPERM));
        assert_eq!((creds.shown_uid(1000), creds.shown_uid(0), creds.root_uid()), (0, OVERFLOW, 1000));
        assert_eq!(ns.set_map(&creds, &ns, Kind::Group, b"0 1000 1\n"), Err(Errno::EPERM));
        assert_eq!(ns.set_setgroups(false), Ok(()));
        assert_eq!(ns.set_map(&creds, &ns, Kind::Group, b"0 1000 1\n"), Ok(()));
        assert!(creds.has_in(&Some(ns), Cap::SysAdmin));
        assert!(!creds.has(Cap::SysAdmin) && !creds.has_in(&None, Cap::SysAdmin));
        assert!(creds.has_over(Cap::Chown, 1000, 1000) && !creds.has_over(Cap::Chown, 0, 0));
    }

    #[test]
    fn who_made_a_namespace_has_every_capability_in_it() {
        let (_, ns) = nested(user(1000));
        assert!(user(1000).has_in(&Some(ns.clone()), Cap::Kill));
        assert!(!user(1001).has_in(&Some(ns.clone()), Cap::Kill));
        assert!(fake::credentials().has_in(&Some(ns), Cap::Kill));
    }

    #[test]
    fn maps_that_make_no_sense_are_refused() {
        for text in ["", "0 0", "0 0 0", "0 0 1 1", "a 0 1", "0 0 10\n5 20 1", "0 0 10\n20 5 1", "4294967290 0 10"] {
            assert_eq!(parse(text.as_bytes()).err(), Some(Errno::EINVAL), "{text}");
        }
        assert_eq!(parse(b"0 100 10\n10 200 5\n").map(|extents| extents.len()), Ok(2));
    }
}
