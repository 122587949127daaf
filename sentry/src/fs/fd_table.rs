//! A process's descriptors.

use super::OpenFile;
use crate::errno::Errno;
use crate::sync::{Rank, RwLock};
use crate::syscall::Fd;
use alloc::sync::Arc;
use alloc::vec::Vec;

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
    entries: Vec<Option<Slot>>,
    /// No slot below is free.
    first_free: usize,
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

    /// A copy for fork.
    pub fn duplicate(&self) -> Self {
        Self { slots: RwLock::new(Rank::FdTable, self.slots.read().clone()) }
    }

    /// The file behind `fd`; EBADF if there is none. (O_PATH files included: what reads or writes checks access.)
    #[inline]
    pub fn get(&self, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
        let slots = self.slots.read();
        let slot = usize::try_from(fd.raw()).ok().and_then(|index| slots.entries.get(index)).and_then(Option::as_ref);
        slot.map(|slot| slot.file.clone()).ok_or(Errno::EBADF)
    }

    /// Puts `file` in the lowest free slot from `from` on, below `limit` (RLIMIT_NOFILE); EMFILE if there is none.
    pub fn add(&self, file: Arc<OpenFile>, close_on_exec: bool, from: usize, limit: usize) -> Result<Fd, Errno> {
        let mut slots = self.slots.write();
        let mut index = from.max(slots.first_free);
        while slots.entries.get(index).is_some_and(Option::is_some) {
            index += 1;
        }
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        if index >= slots.entries.len() {
            slots.entries.resize(index + 1, None);
        }
        slots.entries[index] = Some(Slot { file, close_on_exec });
        if from <= slots.first_free {
            slots.first_free = index + 1;
        }
        i32::try_from(index).map(Fd::new).map_err(|_| Errno::EMFILE)
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
        let mut slots = self.slots.write();
        if index >= slots.entries.len() {
            slots.entries.resize(index + 1, None);
        }
        let old = slots.entries[index].replace(Slot { file, close_on_exec });
        Ok(old.map(|slot| slot.file))
    }

    /// Takes `fd` out; EBADF if there is none.
    pub fn remove(&self, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
        let index = usize::try_from(fd.raw()).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.write();
        let slot = slots.entries.get_mut(index).and_then(Option::take).ok_or(Errno::EBADF)?;
        slots.first_free = slots.first_free.min(index);
        Ok(slot.file)
    }

    /// FD_CLOEXEC of `fd`.
    pub fn close_on_exec(&self, fd: Fd) -> Result<bool, Errno> {
        let slots = self.slots.read();
        let slot = usize::try_from(fd.raw()).ok().and_then(|index| slots.entries.get(index)).and_then(Option::as_ref);
        slot.map(|slot| slot.close_on_exec).ok_or(Errno::EBADF)
    }

    /// Sets FD_CLOEXEC of `fd`.
    pub fn set_close_on_exec(&self, fd: Fd, on: bool) -> Result<(), Errno> {
        let mut slots = self.slots.write();
        let slot =
            usize::try_from(fd.raw()).ok().and_then(|index| slots.entries.get_mut(index)).and_then(Option::as_mut);
        slot.map(|slot| slot.close_on_exec = on).ok_or(Errno::EBADF)
    }

    /// Takes out what `pick` (number, close-on-exec) says; returns the files, for the caller to drop.
    pub fn take(&self, mut pick: impl FnMut(Fd, bool) -> bool) -> Vec<Arc<OpenFile>> {
        let mut taken = Vec::new();
        let mut slots = self.slots.write();
        for index in 0..slots.entries.len() {
            let fd = Fd::new(i32::try_from(index).unwrap_or(i32::MAX));
            if slots.entries[index].as_ref().is_some_and(|slot| pick(fd, slot.close_on_exec)) {
                taken.extend(slots.entries[index].take().map(|slot| slot.file));
                slots.first_free = slots.first_free.min(index);
            }
        }
        taken
    }

    /// The numbers in use, in order.
    pub fn numbers(&self) -> Vec<Fd> {
        let slots = self.slots.read();
        let used = slots.entries.iter().enumerate().filter(|(_, slot)| slot.is_some());
        used.filter_map(|(index, _)| i32::try_from(index).ok().map(Fd::new)).collect()
    }
}
