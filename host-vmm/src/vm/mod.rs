//! The virtual machine: guest memory with the kernel image, its page tables and the boot page, and one vCPU a thread.
//!
//! Entry: `Machine::create`, then `vcpu::run` on each vCPU's thread. Neighbours: `serve` answers what the guest asks,
//! `quirk` knows what this host's KVM does differently.

pub mod boot;
pub mod cpu;
pub mod exit;
pub mod guest_io;
pub mod image;
pub mod kvm;
pub mod memory;
pub mod probe;
pub mod tables;

use crate::vm::image::Image;
use kvm_bindings::{KVM_CAP_SPLIT_IRQCHIP, KVM_MP_STATE_RUNNABLE, kvm_enable_cap, kvm_mp_state, kvm_msi};
use kvm_ioctls::{Cap, IoEventAddress, Kvm, VcpuFd, VmFd};
use linker::boot::{BootFlags, Quirks};
use linker::layout::{MAX_CPUS, PORT_DOORBELL_ASYNC, VECTOR_HOST, frame_table};
use std::os::fd::OwnedFd;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

/// Guest memory.
pub type Memory = GuestMemoryMmap<()>;

/// What can go wrong before the first guest instruction.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `/dev/kvm` cannot be opened.
    #[error("/dev/kvm: {0}")]
    NoKvm(kvm_ioctls::Error),
    /// Not the KVM that the interface was frozen with.
    #[error("/dev/kvm speaks API version {0}, not 12")]
    Api(i32),
    /// A KVM call failed.
    #[error("KVM: {what}: {source}")]
    Kvm {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: kvm_ioctls::Error,
    },
    /// Guest memory could not be had.
    #[error("guest memory of {mib} MiB: {source}")]
    Memory {
        /// Its size.
        mib: u64,
        /// Why.
        source: vm_memory::mmap::FromRangesError,
    },
    /// An access to guest memory during set-up.
    #[error("guest memory: {0}")]
    Access(#[from] vm_memory::GuestMemoryError),
    /// The kernel image.
    #[error("kernel image: {0}")]
    Image(#[from] image::Error),
    /// An eventfd.
    #[error("eventfd: {0}")]
    EventFd(std::io::Error),
    /// Entropy.
    #[error("entropy for the guest: {0}")]
    Entropy(rustix::io::Errno),
    /// The probe did not come back as expected.
    #[error("the probe of this KVM ended with {0}")]
    Probe(String),
    /// Too many vCPUs.
    #[error("{0} vCPUs: at least 1 and at most {MAX_CPUS} are possible")]
    Cpus(usize),
}

/// Whether a machine can have so many vCPUs.
pub fn check_cpus(cpus: usize) -> Result<(), Error> {
    if (1..=MAX_CPUS).contains(&cpus) { Ok(()) } else { Err(Error::Cpus(cpus)) }
}

/// Turns a KVM error into one that says what was tried.
fn kvm(what: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Error {
    move |source| Error::Kvm { what, source }
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Config<'a> {
    /// vCPUs.
    pub cpus: usize,
    /// Bytes of RAM.
    pub memory_bytes: u64,
    /// The kernel, an ELF file.
    pub image: &'static [u8],
    /// The encoded start specification.
    pub spec: &'a [u8],
    /// What this host's KVM does differently.
    pub quirks: Quirks,
    /// `BootInfo::flags`, as far as the caller decides.
    pub flags: BootFlags,
}

/// A machine that is ready to run.
#[derive(Debug)]
pub struct Machine {
    /// The VM.
    pub vm: VmFd,
    /// Guest memory.
    pub memory: Memory,
    /// The vCPUs in order.
    pub vcpus: Vec<VcpuFd>,
    /// Their doorbells, in the same order: each becomes readable when the guest rings `PORT_DOORBELL_ASYNC`.
    pub doorbells: Vec<OwnedFd>,
}

/// Opens `/dev/kvm` and checks its version.
pub fn open_kvm() -> Result<Kvm, Error> {
    let kvm = Kvm::new().map_err(Error::NoKvm)?;
    // Documentation/virt/kvm/api.rst, 4.1: applications should refuse to run with another version.
    match kvm.get_api_version() {
        12 => Ok(kvm),
        other => Err(Error::Api(other)),
    }
}

/// Makes a VM with nothing in it.
pub fn create(kvm_fd: &Kvm) -> Result<VmFd, Error> {
    kvm_fd.create_vm().map_err(kvm("create VM"))
}

impl Machine {
    /// Makes a machine of an empty VM, with the kernel loaded and every vCPU about to execute its first instruction.
    pub fn create(kvm_fd: &Kvm, vm: VmFd, config: &Config<'_>) -> Result<Self, Error> {
        check_cpus(config.cpus)?;
        let image = Image::parse(config.image)?;
        let memory = memory::create(config.memory_bytes)?;
        for (slot, region) in vm_memory::GuestMemoryBackend::iter(&memory).enumerate() {
            kvm::map_region(&vm, slot as u32, region).map_err(kvm("set memory region"))?;
        }
        let mut cpuid =
            kvm_fd.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES).map_err(kvm("supported CPUID"))?;
        let tables = tables::build(&memory, &image, cpu::has_giant_pages(&cpuid));
        let ram_end = memory.last_addr().raw_value() + 1;
        let (_, table_end) = frame_table(boot::free(tables.end(), config.spec), ram_end);
        kvm::advise_pages(&memory, table_end);
        image.load(&memory)?;
        kvm::forget(config.image);
        tables.write(&memory)?;
        create_irqchip(&vm)?;

        let mut vcpus = Vec::with_capacity(config.cpus);
        let mut doorbells = Vec::with_capacity(config.cpus);
        let mut host_tsc = true;
        for index in 0..config.cpus {
            let vcpu = vm.create_vcpu(index as u64).map_err(kvm("create vCPU"))?;
            cpu::fix_cpuid(&mut cpuid, index as u32, config.cpus as u32);
            host_tsc &= cpu::set_up(&vcpu, &cpuid, &tables, image.entry(), index)?;
            vcpu.set_mp_state(kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE }).map_err(kvm("set vCPU state"))?;
            doorbells.push(connect(&vm, index)?);
            vcpus.push(vcpu);
        }
        let shared = if host_tsc { BootFlags::HOST_TSC } else { BootFlags::empty() };
        boot::write(&memory, &image, tables.end(), vcpus.first(), config, shared)?;
        Ok(Self { vm, memory, vcpus, doorbells })
    }
}

/// Pins that a split irqchip leaves to an I/O APIC; there is none, but KVM wants a number.
const IOAPIC_PINS: u64 = 24;

/// Raises `VECTOR_HOST` on a vCPU: an MSI, without the detour over an irqfd, whose removal would cost a sandbox's end milliseconds.
pub fn interrupt(vm: &VmFd, cpu: usize) {
    // Intel SDM vol. 3, 12.11: fixed delivery, physical destination in bits 12–19 of the address.
    let address_lo = 0xfee0_0000 | (cpu as u32) << 12;
    // It fails only for a vCPU that is not there.
    let _ = vm.signal_msi(kvm_msi { address_lo, data: u32::from(VECTOR_HOST), ..Default::default() });
}

/// An in-kernel interrupt controller: LAPICs only where KVM can, else the whole PC set.
fn create_irqchip(vm: &VmFd) -> Result<(), Error> {
    if vm.check_extension(Cap::SplitIrqchip) {
        let cap = kvm_enable_cap { cap: KVM_CAP_SPLIT_IRQCHIP, args: [IOAPIC_PINS, 0, 0, 0], ..Default::default() };
        if vm.enable_cap(&cap).is_ok() {
            return Ok(());
        }
    }
    vm.create_irq_chip().map_err(kvm("create irqchip"))
}

/// The doorbell of one vCPU.
fn connect(vm: &VmFd, cpu: usize) -> Result<OwnedFd, Error> {
    let doorbell = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::EventFd)?;
    vm.register_ioevent(&doorbell, &IoEventAddress::Pio(u64::from(PORT_DOORBELL_ASYNC)), cpu as u32)
        .map_err(kvm("connect doorbell"))?;
    Ok(kvm::into_owned(doorbell))
}
