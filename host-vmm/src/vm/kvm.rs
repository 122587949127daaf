//! The KVM calls that take raw addresses. One of the three files of this crate that may contain unsafe code.

use crate::idle;
use crate::vm::Memory;
use kvm_bindings::{
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, kvm_device_attr, kvm_userspace_memory_region, kvm_xsave,
};
use kvm_ioctls::{VcpuFd, VmFd};
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, mmap_anonymous, mprotect, mremap, mremap_fixed,
};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::null_mut;
use vm_memory::mmap::{FromRangesError, MmapRegion, MmapRegionError};
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::{ioctl::ioctl_with_ref, ioctl_iow_nr};

/// Guest memory that is backed by small host pages, in bytes from where ring 0 begins to hand it out.
const SMALL_PAGES: u64 = 4 << 20;

ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

/// Gives a region of guest memory to the VM.
pub fn map_region(vm: &VmFd, slot: u32, region: &impl GuestMemoryRegion) -> Result<(), kvm_ioctls::Error> {
    let host = region.get_host_address(MemoryRegionAddress(0)).map_err(|_| kvm_ioctls::Error::new(libc::EFAULT))?;
    let slot = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: region.start_addr().raw_value(),
        memory_size: region.len(),
        userspace_addr: host as u64,
    };
    // SAFETY: the region is a whole mapping of ours that vm-memory keeps until the process ends; the VM writes only there.
    unsafe { vm.set_user_memory_region(slot) }
}

/// Reserves private anonymous memory that begins at a multiple of a large page, as its guest-physical addresses do: KVM maps
/// nothing large in a slot whose two addresses disagree below that. It lasts as long as the process.
pub fn reserve(len: usize) -> Result<MmapRegion<()>, FromRangesError> {
    let large = LARGE_PAGE_SIZE as usize;
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    let failed = |errno: rustix::io::Errno| FromRangesError::MmapRegion(MmapRegionError::Mmap(errno.into()));
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let start = unsafe { mmap_anonymous(null_mut(), len + large, prot, flags) }.map_err(failed)?;
    let skipped = (start as usize).wrapping_neg() % large;
    let aligned = start.wrapping_byte_add(skipped).cast();
    // SAFETY: `skipped` is less than `large`, so `len` bytes of the mapping follow; nobody else knows it.
    unsafe { MmapRegion::build_raw(aligned, len, prot.bits() as i32, flags.bits() as i32 | libc::MAP_ANONYMOUS) }
        .map_err(FromRangesError::MmapRegion)
}

/// Says which of the host's pages are to be behind guest memory, before anything is written there. Large ones from some way behind
/// `table_end`, the end of ring 0's table of frames: one host fault for 2 MiB instead of 512. Below it lies what every sandbox touches,
/// here and there; a short-lived one has ended before clearing 2 MiB at a time has paid, and an idle one stays small, even on a host
/// that gives everybody large pages. Where memory is handed out first, which booting alone uses, a large one all the same.
pub fn advise_pages(memory: &Memory, table_end: u64) {
    for region in memory.iter() {
        let small = if region.start_addr().raw_value() == 0 { (table_end + SMALL_PAGES).min(region.len()) } else { 0 };
        advise(region, 0, small, Advice::LinuxNoHugepage);
        advise(region, small, region.len(), Advice::LinuxHugepage);
        if small > 0 {
            advise(region, table_end, (table_end + LARGE_PAGE_SIZE).min(small), Advice::LinuxHugepage);
        }
    }
}

fn advise(region: &impl GuestMemoryRegion, start: u64, end: u64, advice: Advice) {
    if start < end
        && let Ok(host) = region.get_host_address(MemoryRegionAddress(start))
    {
        // SAFETY: advice about part of a mapping of ours; it changes no content. A host that refuses it is only slower.
        let _ = unsafe { rustix::mm::madvise(host.cast(), (end - start) as usize, advice) };
    }
}

/// Maps whole pages of a constant of this program where guest memory is that nobody uses yet: the file's, until somebody writes to them.
/// `Ok(false)`: it cannot be done here, and nothing has changed.
pub fn show(memory: &Memory, at: GuestAddress, pages: &'static [u8]) -> Result<bool, rustix::io::Errno> {
    let (start, len, page) = (pages.as_ptr().cast_mut(), pages.len(), PAGE_SIZE as usize);
    let Ok(slice) = memory.get_slice(at, len) else { return Ok(false) };
    if len == 0 || !(start as usize).is_multiple_of(page) || !len.is_multiple_of(page) {
        return Ok(false);
    }
    let to = slice.ptr_guard_mut().as_ptr();
    // SAFETY: the first mapping stays, but for pages that come back from the file when they are read. Nobody else knows the second one,
    // which is private: a write there changes neither file nor constant. It takes the place of guest memory, which Rust code reaches
    // only through volatile accesses.
    unsafe {
        // Linux before 5.13 maps no file's pages twice.
        let Ok(copy) = mremap(start.cast(), len, len, MremapFlags::MAYMOVE | MremapFlags::DONTUNMAP) else {
            return Ok(false);
        };
        mprotect(copy, len, MprotectFlags::READ | MprotectFlags::WRITE)?;
        mremap_fixed(copy, len, len, MremapFlags::MAYMOVE, to.cast())?;
    }
    idle::also(to as usize..to as usize + len);
    Ok(true)
}

/// Unmaps what lies within a constant of this program, which nobody is expected to read again; if somebody does, it comes back from
/// the file. It is no memory of this process's any more then.
pub fn forget(constant: &'static [u8]) {
    let page = PAGE_SIZE as usize;
    let range = constant.as_ptr_range();
    let start = range.start.wrapping_add(range.start.align_offset(page));
    let len = (range.end as usize).saturating_sub(start as usize) / page * page;
    if len > 0 {
        // SAFETY: the pages are a file's, mapped privately and never written: constants without pointers are not relocated.
        let _ = unsafe { rustix::mm::madvise(start.cast_mut().cast(), len, Advice::LinuxDontNeed) };
    }
}

/// Unmaps a range of pages that come back from their file. The range is one of /proc/self/maps, private, of a file, never written and not
/// writable; or one that `show` made.
pub fn forget_pages(range: std::ops::Range<usize>) {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: what is there stays the same, but for what a guest wrote to its own kernel, which none has a reason to do: guest memory
    // may change at any time.
    let _ = unsafe { rustix::mm::madvise(start, range.len(), Advice::LinuxDontNeed) };
}

/// Leaves a large page of guest memory to small ones of the host's from now on. Otherwise Linux soon puts a large one where some of its
/// pages are in use, and what was given back of it is memory again (khugepaged).
pub fn use_small_pages(memory: &Memory, start: GuestAddress) {
    if let Ok(slice) = memory.get_slice(start, LARGE_PAGE_SIZE as usize) {
        let host = slice.ptr_guard_mut().as_ptr();
        // SAFETY: advice about part of a mapping of ours; it changes no content. A host that refuses it takes more memory.
        let _ = unsafe { rustix::mm::madvise(host.cast(), LARGE_PAGE_SIZE as usize, Advice::LinuxNoHugepage) };
    }
}

/// Gives pages back to the host; they read as zero from then on. The caller checked that the range is page-aligned.
pub fn drop_pages(memory: &Memory, start: GuestAddress, len: usize) -> Result<(), rustix::io::Errno> {
    let slice = memory.get_slice(start, len).map_err(|_| rustix::io::Errno::FAULT)?;
    let host = slice.ptr_guard_mut().as_ptr();
    // SAFETY: the range lies in one mapping of guest memory (`get_slice` checked it), which Rust code reaches only through
    // volatile accesses, so that its content may change at any time.
    unsafe { rustix::mm::madvise(host.cast(), len, Advice::LinuxDontNeed) }
}

/// Makes the guest's TSC the host's own. False where KVM has no such control; the guest's TSC then begins near 0.
pub fn share_host_tsc(vcpu: &VcpuFd) -> bool {
    let offset: u64 = 0;
    let attr = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: std::ptr::from_ref(&offset) as u64,
    };
    // SAFETY: KVM reads `attr` and the u64 behind `addr`, both alive until the call returns.
    unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attr) == 0 }
}

/// Loads a vCPU's vector state. A state that KVM finds invalid is an error and changes nothing.
pub fn set_xsave(vcpu: &VcpuFd, state: &kvm_xsave) -> Result<(), kvm_ioctls::Error> {
    // SAFETY: KVM reads 4 KiB unless dynamically enabled features make the area larger; this process enables none.
    unsafe { vcpu.set_xsave(state) }
}

/// The descriptor of an eventfd, owned.
pub fn into_owned(event: EventFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the one owner of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(event.into_raw_fd()) }
}
