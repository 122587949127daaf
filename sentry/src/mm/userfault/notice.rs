//! Events: what happens to areas that a userfaultfd answers for. Made while the areas are written, told once they are not,
//! and the thread goes on when they were read.

use super::{CHOSEN, Message, Userfault, Waiting, raw, this_task};
use crate::mm::address_space::AddressSpace;
use crate::mm::vma::Vma;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Something that is to be told. Nothing is filled in until it was.
pub(in crate::mm) struct Notice {
    to: Arc<Userfault>,
    message: Message,
    child: Option<Arc<Userfault>>,
}

impl Notice {
    fn new(to: &Arc<Userfault>, event: u32, words: [u64; 3], child: Option<Arc<Userfault>>) -> Self {
        to.changing.fetch_add(1, Ordering::AcqRel);
        Self { to: to.clone(), message: Message { event, words }, child }
    }

    /// MADV_DONTNEED and the like are about to empty part of an area.
    pub(in crate::mm) fn removed(vma: &Vma, start: u64, end: u64) -> Option<Self> {
        let by = wants(vma, raw::UFFD_FEATURE_EVENT_REMOVE)?;
        Some(Self::new(by, raw::UFFD_EVENT_REMOVE, [vma.start.max(start), vma.end.min(end), 0], None))
    }

    /// `[start, end)` was unmapped, and these areas with it.
    pub(in crate::mm) fn unmapped(gone: &[Vma], start: u64, end: u64) -> Vec<Self> {
        let mut told: Vec<Self> = Vec::new();
        for by in gone.iter().filter_map(|vma| wants(vma, raw::UFFD_FEATURE_EVENT_UNMAP)) {
            if !told.iter().any(|notice| Arc::ptr_eq(&notice.to, by)) {
                told.push(Self::new(by, raw::UFFD_EVENT_UNMAP, [start, end, 0], None));
            }
        }
        told
    }

    /// An area moved; it says whether it is still answered for.
    pub(in crate::mm) fn moved(vma: &Vma, from: u64, to: u64, len: u64) -> Option<Self> {
        let by = wants(vma, raw::UFFD_FEATURE_EVENT_REMAP)?;
        Some(Self::new(by, raw::UFFD_EVENT_REMAP, [from, to, len], None))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.to.changing.fetch_sub(1, Ordering::AcqRel);
    }
}

fn wants(vma: &Vma, feature: u32) -> Option<&Arc<Userfault>> {
    vma.userfault.as_ref().map(|registered| &registered.by).filter(|by| by.has(feature))
}

/// Tells them, one after the other, with no lock held.
pub(in crate::mm) fn tell(notices: Vec<Notice>) {
    if notices.is_empty() {
        return;
    }
    let task = this_task();
    let doomed = || task.as_ref().is_some_and(|task| task.is_doomed());
    for notice in notices {
        let waiting = Arc::new(Waiting::new(notice.message, 0, notice.child.clone()));
        notice.to.wait(&waiting, false, &doomed, || true);
        if let Some(child) = &notice.child
            && !waiting.was_read.load(Ordering::Acquire)
        {
            child.release();
        }
    }
}

/// For fork: the child's area is answered for by a userfaultfd of its own, where the parent's wants to know, or by nobody.
pub(in crate::mm) fn fork_all(child: &mut Vma, notices: &mut Vec<Notice>) {
    let Some(registered) = &mut child.userfault else { return };
    if !registered.by.has(raw::UFFD_FEATURE_EVENT_FORK) {
        child.userfault = None;
        return;
    }
    let known = notices.iter().find(|notice| Arc::ptr_eq(&notice.to, &registered.by));
    let own = known.and_then(|notice| notice.child.clone()).unwrap_or_else(|| {
        let features = registered.by.features.load(Ordering::Acquire) | CHOSEN;
        let own = Arc::new(Userfault::unbound(registered.by.user_only, features));
        notices.push(Notice::new(&registered.by, raw::UFFD_EVENT_FORK, [0; 3], Some(own.clone())));
        own
    });
    registered.by = own;
}

/// The children's userfaultfds are about the child's memory.
pub(in crate::mm) fn settle(notices: &[Notice], child: &Arc<AddressSpace>) {
    for own in notices.iter().filter_map(|notice| notice.child.as_ref()) {
        own.mm.call_once(|| Arc::downgrade(child));
    }
}
