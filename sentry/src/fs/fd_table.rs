//! A process's descriptors, in chunks: a number may be as high as RLIMIT_NOFILE allows without a slot for each one below.

use super::OpenFile;
use crate::errno::Errno;
use crate::sync::{Rank, RwLock};
use crate::syscall::Fd;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// `/proc/sys/fs/nr_open`: numbers that a table grows to at most, whatever RLIMIT_NOFILE says.
pub static MOST_DESCRIPTORS: AtomicU32 = AtomicU32::new(1 << 20);

fn most_descriptors() -> usize {
    MOST_DESCRIPTORS.load(Ordering::Relaxed) as usize
}

/// Descriptors in a chunk.
const CHUNK: usize = 64;

/// One descriptor.
#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

/// The table, shared with CLONE_FILES. Files are dropped outside its lock.
pub struct FdTable {
    slots: RwLock<Slots>,
}

#[derive(Clone, Default)]
struct Slots {
    chunks: Vec<Option<Box<[Option<Slot>; CHUNK]>>>,
    /// No slot below is free.
    first_free: usize,
}

impl Slots {
    #[inline]
    fn get(&self, fd: Fd) -> Option<&Slot> {
        let index = usize::try_from(fd.raw()).ok()?;
        self.chunks.get(index / CHUNK)?.as_ref()?[index % CHUNK].as_ref()
    }

    fn get_mut(&mut self, fd: Fd) -> Option<&mut Option<Slot>> {
        let index = usize::try_from(fd.raw()).ok()?;
        Some(&mut self.chunks.get_mut(index / CHUNK)?.as_mut()?[index % CHUNK])
    }

    /// Whether a number is in use.
    fn is_used(&self, index: usize) -> bool {
        i32::try_from(index).is_ok_and(|number| self.get(Fd::new(number)).is_some())
    }

    /// The lowest number from `from` on that is not in use; EMFILE if it is not below `limit`.
    fn free(&self, from: usize, limit: usize) -> Result<Fd, Errno> {
        let mut index = from.max(self.first_free);
        while self.is_used(index) {
            index += 1;
        }
        let fd = (index < limit).then(|| i32::try_from(index).ok()).flatten();
        fd.map(Fd::new).ok_or(Errno::EMFILE)
    }

    /// The place of a number, with a chunk made for it if need be; EMFILE and ENOMEM where there is no room for the table.
    fn place(&mut self, index: usize) -> Result<&mut Option<Slot>, Errno> {
        let chunk = index / CHUNK;
        if chunk >= self.chunks.len() {
            if index >= most_descriptors() {
                return Err(Errno::EMFILE);
            }
            let more = chunk + 1 - self.chunks.len();
            self.chunks.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.chunks.resize_with(chunk + 1, || None);
        }
        Ok(&mut self.chunks[chunk].get_or_insert_with(|| Box::new([const { None }; CHUNK]))[index % CHUNK])
    }

    /// What is open, by number.
    fn used(&self) -> impl DoubleEndedIterator<Item = (Fd, &Slot)> {
        let chunks = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at * CHUNK, chunk.as_ref()?)));
        chunks.flat_map(|(first, chunk)| {
            let slots = chunk.iter().enumerate();
            slots.filter_map(move |(at, slot)| {
                let number = i32::try_from(first + at).ok()?;
                slot.as_ref().map(|slot| (Fd::new(number), slot))
            })
        })
    }
}

impl Default for FdTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        super::lock::table_gone(self);
    }
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Self {
        Self { slots: RwLock::new(Rank::FdTable, Slots::default()) }
    }

    /// A copy for a program that must have one.
    pub fn copy(&self) -> Self {
        Self { slots: RwLock::new(Rank::FdTable, self.slots.read().clone()) }
    }

    /// A copy. EMFILE where a number is in use that no table grows to any more.
    pub fn duplicate(&self) -> Result<Self, Errno> {
        let copy = self.slots.read().clone();
        let last = if copy.chunks.len() * CHUNK > most_descriptors() { copy.used().next_back() } else { None };
        if last.is_some_and(|(fd, _)| usize::try_from(fd.raw()).is_ok_and(|last| last >= most_descriptors())) {
            return Err(Errno::EMFILE);
        }
        Ok(Self { slots: RwLock::new(Rank::FdTable, copy) })
    }

    /// The file behind `fd`; EBADF if there is none. (O_PATH files included: what reads or writes checks access.)
    #[inline]
    pub fn get(&self, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
        self.slots.read().get(fd).map(|slot| slot.file.clone()).ok_or(Errno::EBADF)
    }

    /// EMFILE if no slot below `limit` is free.
    pub fn check_room(&self, limit: usize) -> Result<(), Errno> {
        self.slots.read().free(0, limit).map(drop)
    }

    /// Puts `file` in the lowest free slot from `from` on, below `limit` (RLIMIT_NOFILE); EMFILE if there is none.
    pub fn add(&self, file: Arc<OpenFile>, close_on_exec: bool, from: usize, limit: usize) -> Result<Fd, Errno> {
        let mut slots = self.slots.write();
        let fd = slots.free(from, limit)?;
        let index = fd.raw() as usize;
        *slots.place(index)? = Some(Slot { file, close_on_exec });
        if from <= slots.first_free {
            slots.first_free = index + 1;
        }
        Ok(fd)
    }

    /// Puts `file` at `fd` (dup2), returning what was there. EBADF outside `limit`.
    pub fn set(
        &self,
        fd: Fd,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: usize,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let index = usize::try_from(fd.raw()).ok().filter(|index| *index < limit).ok_or(Errno::EBADF)?;
        // What is no number for want of room is none at all here, as on Linux.
        let full = |errno| if errno == Errno::EMFILE { Errno::EBADF } else { errno };
        let old = self.slots.write().place(index).map_err(full)?.replace(Slot { file, close_on_exec });
        Ok(old.map(|slot| slot.file))
    }

    /// Takes `fd` out; EBADF if there is none.
    pub fn remove(&self, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
        let mut slots = self.slots.write();
        let slot = slots.get_mut(fd).and_then(Option::take).ok_or(Errno::EBADF)?;
        slots.first_free = slots.first_free.min(usize::try_from(fd.raw()).unwrap_or(0));
        Ok(slot.file)
    }

    /// FD_CLOEXEC of `fd`.
    pub fn close_on_exec(&self, fd: Fd) -> Result<bool, Errno> {
        self.slots.read().get(fd).map(|slot| slot.close_on_exec).ok_or(Errno::EBADF)
    }

    /// Sets FD_CLOEXEC of `fd`.
    pub fn set_close_on_exec(&self, fd: Fd, on: bool) -> Result<(), Errno> {
        let mut slots = self.slots.write();
        let slot = slots.get_mut(fd).and_then(Option::as_mut);
        slot.map(|slot| slot.close_on_exec = on).ok_or(Errno::EBADF)
    }

    /// Takes out what `pick` (number, close-on-exec) says; returns the files, for the caller to drop.
    pub fn take(&self, mut pick: impl FnMut(Fd, bool) -> bool) -> Vec<Arc<OpenFile>> {
        let mut slots = self.slots.write();
        let picked = slots.used().filter(|(fd, slot)| pick(*fd, slot.close_on_exec)).map(|(fd, _)| fd);
        let picked: Vec<Fd> = picked.collect();
        if let Some(first) = picked.first() {
            slots.first_free = slots.first_free.min(usize::try_from(first.raw()).unwrap_or(0));
        }
        picked.into_iter().filter_map(|fd| slots.get_mut(fd)?.take()).map(|slot| slot.file).collect()
    }

    /// The numbers in use, in order.
    pub fn numbers(&self) -> Vec<Fd> {
        self.slots.read().used().map(|(fd, _)| fd).collect()
    }

    /// How many are in use.
    pub fn count(&self) -> usize {
        self.slots.read().used().count()
    }

    /// The highest number in use.
    pub fn last(&self) -> Option<Fd> {
        self.slots.read().used().next_back().map(|(fd, _)| fd)
    }
}

#[cfg(test)]
mod tests {
    use super::FdTable;
    use crate::errno::Errno;
    use crate::fake::current;
    use crate::fs::OpenFlags;
    use crate::fs::pipe::new_pipe;
    use crate::syscall::Fd;

    #[test]
    fn the_highest_number_costs_no_slot_for_those_below() {
        let (file, _) = new_pipe(&current(), OpenFlags::empty()).unwrap();
        let table = FdTable::new();
        let (limit, high) = (1 << 20, Fd::new((1 << 20) - 1));
        assert!(table.set(high, file.clone(), true, limit).expect("in the limit").is_none());
        assert_eq!(table.set(Fd::new(1 << 20), file.clone(), true, limit).err(), Some(Errno::EBADF));
        assert_eq!(table.add(file.clone(), false, 0, limit), Ok(Fd::new(0)));
        assert_eq!(table.add(file.clone(), false, 70, limit), Ok(Fd::new(70)));
        assert_eq!(table.add(file, false, 0, limit), Ok(Fd::new(1)));
        assert_eq!((table.count(), table.last()), (4, Some(high)));
        assert_eq!(table.duplicate().expect("room").take(|_, close_on_exec| close_on_exec).len(), 1);
        assert_eq!(table.numbers(), [0, 1, 70, high.raw()].map(Fd::new));
        assert_eq!(table.slots.read().chunks.iter().flatten().count(), 3);
    }
}
