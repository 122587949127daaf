//! The boot page and the start specification, written before the first instruction.

use crate::vm::image::Image;
use crate::vm::{Config, Error, Memory, kvm};
use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;
use linker::addr::GuestPa;
use linker::boot::{BootFlags, BootInfo, MAGIC, PhysRange, VERSION};
use linker::layout::{BOOT_INFO, PAGE_SIZE};
use rustix::time::{ClockId, clock_gettime};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};
use zerocopy::IntoBytes;

/// IA32_TIME_STAMP_COUNTER (Intel SDM vol. 4, table 2-2).
const MSR_TSC: u32 = 0x10;

/// Writes both. `tables_end` is the first free byte behind the page tables.
pub fn write(
    memory: &Memory,
    image: &Image,
    tables_end: u64,
    first: Option<&VcpuFd>,
    config: &Config<'_>,
    shared: BootFlags,
) -> Result<(), Error> {
    memory.write_slice(config.spec, GuestAddress(tables_end))?;
    let spec = PhysRange { start: GuestPa::new(tables_end), len: config.spec.len() as u64 };
    let free = free(tables_end, config.spec);

    let mut ram = [PhysRange::default(); 2];
    for (entry, region) in ram.iter_mut().zip(memory.iter()) {
        *entry = PhysRange { start: GuestPa::new(region.start_addr().raw_value()), len: region.len() };
    }
    let (image_start, image_end) = image.span();
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()).map_err(Error::Entropy)?;
    let (tsc_khz, tsc_base) = match first {
        Some(vcpu) => (vcpu.get_tsc_khz().map_err(kvm("get TSC frequency"))?, guest_tsc(vcpu)),
        None => (0, 0),
    };
    let info = BootInfo {
        magic: MAGIC,
        version: VERSION,
        cpus: config.cpus as u32,
        ram,
        image: PhysRange { start: GuestPa::new(image_start), len: image_end - image_start },
        free: GuestPa::new(free),
        spec,
        quirks: config.quirks.bits(),
        tsc_khz,
        realtime_ns: now_ns(ClockId::Realtime),
        monotonic_ns: now_ns(ClockId::Monotonic),
        tsc_base,
        seed,
        trace_bytes: 0,
        flags: (config.flags | shared).bits(),
        pad: 0,
    };
    memory.write_slice(info.as_bytes(), GuestAddress(BOOT_INFO.raw()))?;
    Ok(())
}

/// The first byte that nobody has a use for, behind page tables and start specification.
pub fn free(tables_end: u64, spec: &[u8]) -> u64 {
    (tables_end + spec.len() as u64).next_multiple_of(PAGE_SIZE)
}

/// The guest's TSC now, or 0 when KVM does not say.
fn guest_tsc(vcpu: &VcpuFd) -> u64 {
    let Ok(mut msrs) = Msrs::from_entries(&[kvm_msr_entry { index: MSR_TSC, ..Default::default() }]) else { return 0 };
    match vcpu.get_msrs(&mut msrs) {
        Ok(1) => msrs.as_slice().first().map_or(0, |entry| entry.data),
        _ => 0,
    }
}

/// A host clock in ns.
pub fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}
