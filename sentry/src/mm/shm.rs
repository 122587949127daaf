//! System V shared memory: segments by key and number (sysvipc(7)).
//!
//! A segment is a memory-only `Mapping`. Who has it attached is counted by the references to its name, which every area that
//! maps it holds. A removed segment keeps only weak references, so that it goes with its last area.
//!
//! Lock: the table, before a mapping; mappings are made and dropped outside.

use super::vma::Backing;
use super::{AddressSpace, Bounds, MapRequest, Mapping, Object, Place, may_commit};
use crate::errno::Errno;
use crate::ipc::ids::Ids;
use crate::ipc::tables::{self, Tables};
use crate::ipc::{IpcNs, PRIVATE, Perm, READ, WRITE, now, wanted};
use crate::platform::Prot;
use crate::task::{Cap, Current};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

/// Segments at most (`/proc/sys/kernel/shmmni`).
pub static MAX_SEGMENTS: AtomicU32 = AtomicU32::new(4096);
/// The number that the next segment gets (`/proc/sys/kernel/shm_next_id`), -1 for any.
pub static NEXT_ID: AtomicI32 = AtomicI32::new(-1);
/// Bytes of one at most (`/proc/sys/kernel/shmmax`).
pub static MAX_BYTES: AtomicU64 = AtomicU64::new(u64::MAX - (1 << 24));
/// Pages of all together at most (`/proc/sys/kernel/shmall`).
pub static MAX_PAGES: AtomicU64 = AtomicU64::new(u64::MAX - (1 << 24));

/// A segment as shmctl(2) shows it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Segment {
    /// Its mode with SHM_DEST and SHM_LOCKED.
    pub perm: Perm,
    pub bytes: u64,
    pub attach_time: i64,
    pub detach_time: i64,
    pub change_time: i64,
    pub creator: u32,
    pub last: u32,
    pub attached: u64,
    pub resident_pages: u64,
}

struct Entry {
    about: Segment,
    /// `None` once it is removed.
    held: Option<(Arc<Mapping>, Arc<[u8]>)>,
    mapping: Weak<Mapping>,
    name: Weak<[u8]>,
}

/// SHM_DEST: removed, and gone with its last user (linux/shm.h).
pub const DEST: u32 = 0o1000;
/// SHM_LOCKED (linux/shm.h).
pub const LOCKED: u32 = 0o2000;

/// By namespace.
pub static TABLES: Tables<Table> = Tables::new();

impl tables::Table for Table {
    fn ids(&self) -> &Ids {
        &self.ids
    }
}

/// What there is in one namespace.
#[derive(Default)]
pub struct Table {
    entries: BTreeMap<i32, Entry>,
    ids: Ids,
}

impl Entry {
    fn attached(&self) -> u64 {
        self.name.strong_count() as u64 - u64::from(self.held.is_some())
    }

    fn show(&self) -> Segment {
        let resident_pages = self.mapping.upgrade().map_or(0, |mapping| mapping.cached_pages());
        Segment { attached: self.attached(), resident_pages, ..self.about.clone() }
    }
}

impl Table {
    /// Forgets removed segments that nobody uses any more.
    fn sweep(&mut self) {
        let Self { entries, ids } = self;
        entries.retain(|id, entry| {
            let used = entry.held.is_some() || entry.attached() > 0;
            if !used {
                ids.free(*id);
            }
            used
        });
    }

    fn get(&mut self, id: i32) -> Result<&mut Entry, Errno> {
        self.sweep();
        self.entries.get_mut(&id).ok_or(Errno::EINVAL)
    }
}

/// shmget(2): the segment with `key`, made if need be and `create` says so.
pub fn get(current: &Current, key: i32, bytes: u64, create: bool, exclusive: bool, mode: u32) -> Result<i32, Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    table.sweep();
    let found =
        table.entries.values().find(|entry| key != PRIVATE && entry.held.is_some() && entry.about.perm.key == key);
    if let Some(entry) = found {
        if create && exclusive {
            return Err(Errno::EEXIST);
        }
        if !entry.about.perm.may(current, wanted(mode)) {
            return Err(Errno::EACCES);
        }
        return if bytes > entry.about.bytes { Err(Errno::EINVAL) } else { Ok(entry.about.perm.id) };
    }
    if key != PRIVATE && !create {
        return Err(Errno::ENOENT);
    }
    if bytes == 0 || bytes > MAX_BYTES.load(Ordering::Relaxed) {
        return Err(Errno::EINVAL);
    }
    if table.entries.len() >= MAX_SEGMENTS.load(Ordering::Relaxed) as usize {
        return Err(Errno::ENOSPC);
    }
    let used: u64 = table.entries.values().map(|entry| entry.about.bytes.div_ceil(PAGE_SIZE)).sum();
    if used.saturating_add(bytes.div_ceil(PAGE_SIZE)) > MAX_PAGES.load(Ordering::Relaxed) {
        return Err(Errno::ENOSPC);
    }
    may_commit(bytes.div_ceil(PAGE_SIZE))?;
    let id = table.ids.take(&NEXT_ID).ok_or(Errno::ENOSPC)?;
    let mapping = Mapping::in_memory(bytes.next_multiple_of(PAGE_SIZE), None);
    let name: Arc<[u8]> = Arc::from(format!("/SYSV{key:08x} (deleted)").into_bytes());
    let about = Segment {
        perm: Perm::new(current, id, key, mode),
        bytes,
        change_time: now(),
        creator: current.process.shown_pid().raw(),
        ..Segment::default()
    };
    let (weak, weak_name) = (Arc::downgrade(&mapping), Arc::downgrade(&name));
    table.entries.insert(id, Entry { about, held: Some((mapping, name)), mapping: weak, name: weak_name });
    Ok(id)
}

/// shmat(2): maps a segment.
pub fn attach(current: &Current, id: i32, place: Place, prot: Prot) -> Result<UserVa, Errno> {
    let space = IpcNs::of(current);
    let (mapping, name, bytes) = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let entry = table.get(id)?;
        let wanted = READ | if prot.write { WRITE } else { 0 } | u32::from(prot.execute);
        if !entry.about.perm.may(current, wanted) {
            return Err(Errno::EACCES);
        }
        let found = entry.mapping.upgrade().zip(entry.name.upgrade());
        let (mapping, name) = found.ok_or(Errno::EIDRM)?;
        (mapping, name, entry.about.bytes)
    };
    let object = Object::File { mapping, file: None, name: Some(name), offset: 0 };
    let len = bytes.next_multiple_of(PAGE_SIZE);
    let may = Prot { write: prot.write, ..super::ALL };
    let request = MapRequest { object, shared: true, may, ..MapRequest::anonymous(place, len, prot) };
    let at = current.mm.map(&request, &Bounds::of(current)).map_err(|errno| match errno {
        Errno::EEXIST => Errno::EINVAL,
        other => other,
    })?;
    if let Ok(entry) = TABLES.lock().entry(space).or_default().get(id) {
        entry.about.attach_time = now();
        entry.about.last = current.process.shown_pid().raw();
    }
    Ok(at)
}

/// shmdt(2): unmaps the segment that was attached at `at`.
pub fn detach(current: &Current, at: UserVa) -> Result<(), Errno> {
    let mapping = current.mm.detach(at.raw())?;
    let mut tables = TABLES.lock();
    // It may have been attached in another namespace.
    let mut entries = tables.values_mut().flat_map(|table| table.entries.values_mut());
    let known = entries.find(|entry| entry.mapping.as_ptr() == Arc::as_ptr(&mapping));
    if let Some(entry) = known {
        entry.about.detach_time = now();
        entry.about.last = current.process.shown_pid().raw();
    }
    tables.values_mut().for_each(Table::sweep);
    drop(tables);
    Ok(())
}

/// Shows a segment (IPC_STAT); `any`: whoever asks.
pub fn stat(current: &Current, id: i32, any: bool) -> Result<Segment, Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let entry = table.get(id)?;
    if any || entry.about.perm.may(current, READ) { Ok(entry.show()) } else { Err(Errno::EACCES) }
}

/// Changes owner, group and permissions (IPC_SET).
pub fn set(current: &Current, id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let entry = table.get(id)?;
    if !entry.about.perm.owned_by(current) {
        return Err(Errno::EPERM);
    }
    entry.about.perm.set(uid, gid, mode);
    entry.about.change_time = now();
    Ok(())
}

/// Removes a segment (IPC_RMID); it goes when nobody has it attached.
pub fn remove(current: &Current, id: i32) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let entry = table.get(id)?;
    if !entry.about.perm.owned_by(current) {
        return Err(Errno::EPERM);
    }
    entry.about.perm.mode |= DEST;
    entry.about.perm.key = PRIVATE;
    let held = entry.held.take();
    table.sweep();
    drop(tables);
    drop(held);
    Ok(())
}

/// Marks a segment locked in memory or not (SHM_LOCK); there is no swap, so that is all.
pub fn lock(current: &Current, id: i32, on: bool) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let entry = table.get(id)?;
    if !entry.about.perm.owned_by(current) && !current.creds.has(Cap::IpcLock) {
        return Err(Errno::EPERM);
    }
    let mode = &mut entry.about.perm.mode;
    *mode = if on { *mode | LOCKED } else { *mode & !LOCKED };
    Ok(())
}

/// All segments, by number.
pub fn list(current: &Current) -> Vec<Segment> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    table.sweep();
    table.entries.values().map(Entry::show).collect()
}

/// `/proc/sysvipc/shm`.
pub fn proc_text(current: &Current) -> Vec<u8> {
    let mut text = format!(
        "{:>10} {:>10} {:>5} {:>21} {:>5} {:>5} {:>6} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}\n",
        "key",
        "shmid",
        "perms",
        "size",
        "cpid",
        "lpid",
        "nattch",
        "uid",
        "gid",
        "cuid",
        "cgid",
        "atime",
        "dtime",
        "ctime",
        "rss",
        "swap"
    );
    for s in list(current) {
        text += &format!(
            "{:>10} {:>10}  {:>4o} {:>21} {:>5} {:>5}  {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}\n",
            s.perm.key,
            s.perm.id,
            s.perm.mode,
            s.bytes,
            s.creator,
            s.last,
            s.attached,
            s.perm.uid,
            s.perm.gid,
            s.perm.creator_uid,
            s.perm.creator_gid,
            s.attach_time,
            s.detach_time,
            s.change_time,
            s.resident_pages * PAGE_SIZE,
            0
        );
    }
    text.into_bytes()
}

impl AddressSpace {
    /// Unmaps the segment whose beginning was attached at `at`, all parts of it that are left.
    fn detach(&self, at: u64) -> Result<Arc<Mapping>, Errno> {
        let areas = self.areas.read();
        let mut mapping: Option<Arc<Mapping>> = None;
        let mut parts = Vec::new();
        for vma in areas.overlapping(at, linker::layout::USER_END) {
            let Backing::File(file) = &vma.backing else { continue };
            let sysv = file.file.is_none() && file.name.as_ref().is_some_and(|name| name.starts_with(b"/SYSV"));
            if !sysv || vma.start.checked_sub(file.offset) != Some(at) {
                continue;
            }
            let found = mapping.get_or_insert_with(|| file.mapping.clone());
            if Arc::ptr_eq(found, &file.mapping) {
                parts.push((vma.start, vma.len()));
            }
        }
        drop(areas);
        for (start, len) in parts {
            // What is sealed stays, and nobody is told.
            match self.unmap(UserVa::new(start), len) {
                Ok(()) | Err(Errno::EPERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        mapping.ok_or(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::{DEST, attach, detach, get, lock, remove, stat};
    use crate::errno::Errno;
    use crate::fake::{current, read_user, write_user};
    use crate::mm::Place;
    use crate::platform::Prot;
    use linker::addr::UserVa;

    const RW: Prot = Prot { read: true, write: true, execute: false };

    #[test]
    fn a_segment_lives_until_it_is_removed_and_nobody_has_it_attached() {
        let current = current();
        let id = get(&current, 0x7701, 5000, true, true, 0o600).unwrap();
        assert_eq!(get(&current, 0x7701, 5000, true, true, 0o600), Err(Errno::EEXIST));
        assert_eq!(get(&current, 0x7701, 5001, false, false, 0), Err(Errno::EINVAL));
        assert_eq!(get(&current, 0x7701, 0, false, false, 0o600), Ok(id));
        let (one, two) =
            (attach(&current, id, Place::Hint(0), RW).unwrap(), attach(&current, id, Place::Hint(0), RW).unwrap());
        write_user(&current, one, b"both");
        assert_eq!(read_user(&current, two, 4), b"both");
        assert_eq!(stat(&current, id, false).unwrap().attached, 2);
        let child = current.mm.fork().unwrap();
        assert_eq!(stat(&current, id, false).unwrap().attached, 4);
        drop(child);
        remove(&current, id).unwrap();
        assert_eq!(stat(&current, id, false).unwrap().perm.mode & DEST, DEST);
        assert_eq!(get(&current, 0x7701, 1, false, false, 0), Err(Errno::ENOENT));
        detach(&current, one).unwrap();
        assert_eq!(detach(&current, one), Err(Errno::EINVAL));
        assert_eq!(read_user(&current, two, 4), b"both");
        detach(&current, two).unwrap();
        assert_eq!(stat(&current, id, false).err(), Some(Errno::EINVAL));
    }

    #[test]
    fn segments_have_permissions() {
        let owner = current();
        let id = get(&owner, 0x7702, 1, true, false, 0o640).unwrap();
        let mut other = current();
        let mut creds = (*other.creds).clone();
        (creds.uid, creds.euid, creds.fsuid, creds.fsgid) = (5, 5, 5, 5);
        creds.caps.effective = 0;
        other.creds = alloc::sync::Arc::new(creds);
        assert_eq!(attach(&other, id, Place::Hint(0), RW).err(), Some(Errno::EACCES));
        assert_eq!(remove(&other, id), Err(Errno::EPERM));
        assert_eq!(lock(&owner, id, true), Ok(()));
        assert_eq!(attach(&owner, id, Place::FixedFree(crate::fake::USER_MEMORY.raw()), RW).err(), Some(Errno::EINVAL));
        assert_eq!(detach(&owner, UserVa::new(0x1000)), Err(Errno::EINVAL));
        remove(&owner, id).unwrap();
    }
}
