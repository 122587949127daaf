//! One process's memory map.
//!
//! Lock: `areas` (rank AddressSpace), taken before a `Mapping`'s. Reading it, pages are added to the page table; only with
//! it written are pages replaced or taken away. Areas that go away are dropped after the lock is released, because that may
//! close a file.

use super::areas::{Areas, Layout};
use super::userfault::{Guards, Notice, fork_all, settle, tell};
use super::vma::{Backing, Vma, VmaFlags};
use crate::fs::aio::Contexts;
use crate::fs::text::Claim;
use crate::platform::{NoMemory, PageTable, platform};
use crate::sync::{Rank, RwLock};
use crate::task::{Cap, Current, Limits, UNLIMITED};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// An address space, shared by the threads of a process (and by CLONE_VM children).
pub struct AddressSpace {
    pub(in crate::mm) table: Arc<dyn PageTable>,
    pub(in crate::mm) areas: RwLock<Areas>,
    /// Pages in the page table.
    rss: AtomicU64,
    peak_rss: AtomicU64,
    /// RLIMIT_STACK of the process that runs here, for faults.
    pub(in crate::mm) stack_limit: AtomicU64,
    /// membarrier(2) registrations.
    pub(in crate::mm) barriers: AtomicU32,
    /// The program's file, which nobody may write to.
    text: spin::Once<Arc<Claim>>,
    /// Asynchronous I/O.
    aio: Contexts,
    /// What userfaultfds write-protect.
    pub(in crate::mm) guards: Guards,
}

/// Why a page cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryFault {
    /// SIGSEGV, SEGV_MAPERR: nothing is mapped there.
    NotMapped,
    /// SIGSEGV, SEGV_ACCERR: the area does not allow it.
    NotAllowed,
    /// SIGBUS, BUS_ADRERR: beyond the end of the file, or it could not be read.
    BeyondEnd,
    /// No memory: the OOM killer's business.
    OutOfMemory,
}

impl From<NoMemory> for MemoryFault {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

/// How far a process's memory may grow.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// RLIMIT_AS, in pages.
    pub total_pages: u64,
    /// RLIMIT_DATA, in bytes.
    pub data: u64,
    /// RLIMIT_STACK, in bytes.
    pub stack: u64,
    /// RLIMIT_MEMLOCK, in pages; unlimited with CAP_IPC_LOCK.
    pub locked_pages: u64,
    /// Whether it may lock memory at all: a limit of less than a page allows asking, and nothing more.
    pub may_lock: bool,
}

impl Bounds {
    /// The bounds of the running process.
    pub fn of(current: &Current) -> Self {
        Self::new(&current.process.limits(), current.creds.has(Cap::IpcLock))
    }

    /// From limits; `may_lock`: CAP_IPC_LOCK.
    pub fn new(limits: &Limits, may_lock: bool) -> Self {
        Self {
            total_pages: limits.soft(raw::RLIMIT_AS) / PAGE_SIZE,
            data: limits.soft(raw::RLIMIT_DATA),
            stack: limits.soft(raw::RLIMIT_STACK),
            may_lock: may_lock || limits.soft(raw::RLIMIT_MEMLOCK) != 0,
            locked_pages: if may_lock { UNLIMITED } else { limits.soft(raw::RLIMIT_MEMLOCK) / PAGE_SIZE },
        }
    }
}

/// Sums for `/proc/PID/{statm,status,stat}`, in pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Mapped (VmSize).
    pub total: u64,
    /// The most there ever was (VmPeak).
    pub peak_total: u64,
    /// Present (VmRSS).
    pub resident: u64,
    /// The most there ever was (VmHWM).
    pub peak_resident: u64,
    /// Private and writable (VmData).
    pub data: u64,
    /// Stack (VmStk).
    pub stack: u64,
    /// Executable (VmExe + VmLib).
    pub executable: u64,
    /// Of files and shared memory, as far as mapped.
    pub shared: u64,
    /// Locked (VmLck).
    pub locked: u64,
}

impl AddressSpace {
    /// An empty address space.
    pub fn new() -> Result<Arc<Self>, NoMemory> {
        let mut areas = Areas::default();
        areas.layout.mmap_base = linker::layout::USER_END;
        Ok(Arc::new(Self::with(platform().new_page_table()?, areas)))
    }

    fn with(table: Arc<dyn PageTable>, areas: Areas) -> Self {
        Self {
            table,
            areas: RwLock::new(Rank::AddressSpace, areas),
            rss: AtomicU64::new(0),
            peak_rss: AtomicU64::new(0),
            stack_limit: AtomicU64::new(8 << 20),
            barriers: AtomicU32::new(0),
            text: spin::Once::new(),
            aio: Contexts::default(),
            guards: Guards::new(),
        }
    }

    /// The page tables, for `Platform::use_page_table`.
    pub fn table(&self) -> &Arc<dyn PageTable> {
        &self.table
    }

    /// Its asynchronous I/O contexts.
    pub fn aio(&self) -> &Contexts {
        &self.aio
    }

    /// A copy for fork: private memory is copied when it is written to, shared memory stays shared.
    pub fn fork(self: &Arc<Self>) -> Result<Arc<Self>, NoMemory> {
        let table = platform().new_page_table()?;
        // Held throughout, the registration with files included (see `Mapping::for_each_mapper`).
        let areas = self.areas.write();
        let mut copy = Areas::default();
        copy.layout = areas.layout;
        copy.any_sealed = areas.any_sealed;
        let mut resident = 0;
        let (mut notices, guards) = (Vec::new(), Guards::new());
        for vma in areas.iter() {
            if vma.flags.contains(VmaFlags::DONT_FORK) {
                continue;
            }
            let mut child = vma.clone();
            child.flags -= VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT;
            fork_all(&mut child, &mut notices);
            if child.userfault.is_some() {
                self.guards.within(child.start, child.end).into_iter().for_each(|(start, end)| guards.add(start, end));
            }
            // Pages of files and shared memory come back by a fault; what only the page table knows has to be copied.
            let copies = match &vma.backing {
                Backing::Anonymous => !vma.flags.contains(VmaFlags::WIPE_ON_FORK),
                Backing::File(file) => !vma.is_shared() && file.has_copies(),
                Backing::Special { .. } => false,
            };
            if copies {
                let (start, end) = (UserVa::new(vma.start), UserVa::new(vma.end));
                resident += self.table.fork_into(&*table, start, end, true)?;
            }
            copy.insert(child);
        }
        let child = Arc::new(Self { guards, ..Self::with(table, copy) });
        child.stack_limit.store(self.stack_limit.load(Ordering::Relaxed), Ordering::Relaxed);
        child.barriers.store(self.barriers.load(Ordering::Relaxed), Ordering::Relaxed);
        child.add_resident(resident as u64);
        if let Some(text) = self.text.get() {
            child.runs(text.clone());
        }
        for vma in areas.iter() {
            if let Backing::File(file) = &vma.backing {
                file.mapping.add_mapper(&child);
            }
        }
        settle(&notices, &child);
        drop(areas);
        tell(notices);
        Ok(child)
    }

    /// It runs the program that `text` is claimed of.
    pub fn runs(&self, text: Arc<Claim>) {
        self.text.call_once(|| text);
    }

    /// Sets the bound that stack growth keeps to (execve, setrlimit).
    pub fn set_stack_limit(&self, bytes: u64) {
        self.stack_limit.store(bytes, Ordering::Relaxed);
    }

    /// Where the parts of the program are.
    pub fn layout(&self) -> Layout {
        self.areas.read().layout
    }

    /// Changes that (execve, prctl(PR_SET_MM)).
    pub fn set_layout(&self, layout: Layout) {
        self.areas.write().layout = layout;
    }

    #[inline]
    pub(in crate::mm) fn add_resident(&self, pages: u64) {
        self.rss.fetch_add(pages, Ordering::Relaxed);
    }

    pub(in crate::mm) fn sub_resident(&self, pages: u64) {
        let before = self.rss.fetch_sub(pages, Ordering::Relaxed);
        self.peak_rss.fetch_max(before, Ordering::Relaxed);
    }

    /// Unmaps pages; the caller writes the areas.
    pub(in crate::mm) fn drop_pages(&self, start: u64, end: u64) {
        self.guards.remove(start, end);
        self.drop_mapped(start, end);
    }

    /// The same for what can come back: write protection stays.
    pub(in crate::mm) fn drop_mapped(&self, start: u64, end: u64) {
        let gone = self.table.unmap(UserVa::new(start), UserVa::new(end));
        self.sub_resident(gone as u64);
    }

    /// Takes areas out with their pages. The caller drops what is returned, and tells of it, without the lock.
    pub(in crate::mm) fn cut_out(&self, areas: &mut Areas, start: u64, end: u64) -> (Vec<Vma>, Vec<Notice>) {
        let gone = areas.remove(start, end);
        if !gone.is_empty() {
            self.drop_pages(start, end);
        }
        let notices = Notice::unmapped(&gone, start, end);
        (gone, notices)
    }

    /// Resident pages, now and at most.
    pub fn resident_pages(&self) -> (u64, u64) {
        let now = self.rss.load(Ordering::Relaxed);
        (now, self.peak_rss.load(Ordering::Relaxed).max(now))
    }

    /// Sums for `/proc`.
    pub fn totals(&self) -> Totals {
        let (resident, peak_resident) = self.resident_pages();
        let areas = self.areas.read();
        let executable = areas.iter().filter(|vma| vma.prot.execute).map(Vma::pages).sum();
        let files: Vec<(u64, u64)> =
            areas.iter().filter(|vma| !vma.is_anonymous()).map(|vma| (vma.start, vma.end)).collect();
        let mut totals = Totals {
            total: areas.total_pages,
            peak_total: areas.peak_pages,
            resident,
            peak_resident,
            data: areas.data_pages,
            stack: areas.stack_pages,
            executable,
            shared: 0,
            locked: areas.locked_pages,
        };
        drop(areas);
        for (start, end) in files {
            self.table.scan(UserVa::new(start), UserVa::new(end), false, &mut |_, _, _| totals.shared += 1);
        }
        totals
    }
}
