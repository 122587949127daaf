//! shmget, shmat, shmdt, shmctl: System V shared memory.

use super::UserPtr;
use super::ipc::IpcPerm;
use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::mm::Place;
use crate::mm::shm::{self, Segment};
use crate::platform::Prot;
use crate::task::Current;
use core::mem::{offset_of, size_of};
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Flags and commands of linux/ipc.h and linux/shm.h, which linux-raw-sys does not carry.
mod raw {
    pub const IPC_CREAT: u32 = 0o1000;
    pub const IPC_EXCL: u32 = 0o2000;
    pub const SHM_HUGETLB: u32 = 0o4000;
    pub const IPC_RMID: u32 = 0;
    pub const IPC_SET: u32 = 1;
    pub const IPC_STAT: u32 = 2;
    pub const IPC_INFO: u32 = 3;
    pub const SHM_LOCK: u32 = 11;
    pub const SHM_UNLOCK: u32 = 12;
    pub const SHM_STAT: u32 = 13;
    pub const SHM_INFO: u32 = 14;
    pub const SHM_STAT_ANY: u32 = 15;
    pub const SHM_RDONLY: u32 = 0o10000;
    pub const SHM_RND: u32 = 0o20000;
    pub const SHM_REMAP: u32 = 0o40000;
    pub const SHM_EXEC: u32 = 0o100_000;
}

/// `struct shmid64_ds` with its `struct ipc64_perm` (asm-generic/shmbuf.h, asm-generic/ipcbuf.h).
#[derive(FromBytes, IntoBytes, Immutable, Default)]
#[repr(C)]
pub struct ShmidDs {
    perm: IpcPerm,
    segsz: u64,
    atime: i64,
    dtime: i64,
    ctime: i64,
    cpid: u32,
    lpid: u32,
    nattch: u64,
    unused_end: [u64; 2],
}

const _: () = {
    assert!(size_of::<ShmidDs>() == 112);
    assert!(offset_of!(ShmidDs, segsz) == 48 && offset_of!(ShmidDs, nattch) == 88);
};

impl ShmidDs {
    fn of(current: &Current, segment: &Segment) -> Self {
        Self {
            perm: IpcPerm::of(current, &segment.perm),
            segsz: segment.bytes,
            atime: segment.attach_time,
            dtime: segment.detach_time,
            ctime: segment.change_time,
            cpid: segment.creator,
            lpid: segment.last,
            nattch: segment.attached,
            ..Self::default()
        }
    }
}

/// shmget(2).
pub fn shmget(current: &mut Current, key: i32, bytes: u64, flags: u32) -> Result<i32, Errno> {
    if flags & raw::SHM_HUGETLB != 0 {
        // No pool of huge pages.
        return Err(Errno::ENOMEM);
    }
    shm::get(current, key, bytes, flags & raw::IPC_CREAT != 0, flags & raw::IPC_EXCL != 0, flags & 0o777)
}

/// shmat(2).
pub fn shmat(current: &mut Current, id: i32, at: u64, flags: u32) -> Result<u64, Errno> {
    let aligned = at / PAGE_SIZE * PAGE_SIZE;
    let place = match (aligned, flags & raw::SHM_REMAP != 0) {
        (0, true) => return Err(Errno::EINVAL),
        (0, false) if at == 0 => Place::Hint(0),
        _ if aligned != at && flags & raw::SHM_RND == 0 => return Err(Errno::EINVAL),
        (_, true) => Place::Fixed(aligned),
        (_, false) => Place::FixedFree(aligned),
    };
    let prot = Prot { read: true, write: flags & raw::SHM_RDONLY == 0, execute: flags & raw::SHM_EXEC != 0 };
    shm::attach(current, id, place, prot).map(UserVa::raw)
}

/// shmdt(2).
pub fn shmdt(current: &mut Current, at: UserVa) -> Result<(), Errno> {
    if at.page_offset() != 0 {
        return Err(Errno::EINVAL);
    }
    shm::detach(current, at)
}

/// shmctl(2).
pub fn shmctl(current: &mut Current, id: i32, command: u32, buffer: UserPtr<ShmidDs>) -> Result<i32, Errno> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        raw::IPC_STAT => {
            let segment = shm::stat(current, id, false)?;
            buffer.write(current, &ShmidDs::of(current, &segment))?;
            Ok(0)
        }
        raw::SHM_STAT | raw::SHM_STAT_ANY => {
            let found = shm::TABLES.at(current, id)?;
            let segment = shm::stat(current, found, command == raw::SHM_STAT_ANY)?;
            buffer.write(current, &ShmidDs::of(current, &segment))?;
            Ok(found)
        }
        raw::IPC_SET => {
            let new = buffer.read(current)?;
            let (uid, gid) = new.perm.owner(current)?;
            shm::set(current, id, uid, gid, new.perm.mode).map(|()| 0)
        }
        raw::IPC_RMID => shm::remove(current, id).map(|()| 0),
        raw::SHM_LOCK | raw::SHM_UNLOCK => shm::lock(current, id, command == raw::SHM_LOCK).map(|()| 0),
        raw::IPC_INFO => {
            // `struct shminfo64`: shmmax, shmmin, shmmni, shmseg, shmall, four unused.
            let (bytes, pages) = (shm::MAX_BYTES.load(Ordering::Relaxed), shm::MAX_PAGES.load(Ordering::Relaxed));
            let most = u64::from(shm::MAX_SEGMENTS.load(Ordering::Relaxed));
            let info = [bytes, 1, most, most, pages, 0, 0, 0, 0];
            buffer.cast::<[u64; 9]>().write(current, &info)?;
            Ok(shm::TABLES.highest(current))
        }
        raw::SHM_INFO => {
            // `struct shm_info`: used_ids, shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes.
            let list = shm::list(current);
            let total = list.iter().map(|segment| segment.bytes.div_ceil(PAGE_SIZE)).sum();
            let resident = list.iter().map(|segment| segment.resident_pages).sum();
            let info = [list.len() as u64, total, resident, 0, 0, 0];
            buffer.cast::<[u64; 6]>().write(current, &info)?;
            Ok(shm::TABLES.highest(current))
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) const ROWS: &[Row] = &[
    row!(shmget = shmget(3), Full, ""),
    row!(shmat = shmat(3), Full, ""),
    row!(shmdt = shmdt(1), Full, ""),
    row!(shmctl = shmctl(3), Full, ""),
];
