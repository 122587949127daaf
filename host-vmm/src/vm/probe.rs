//! A VM of seven pages that executes four instructions in ring 3, to see what this KVM makes of a SYSCALL and of CPUID there.
//! Much cheaper than starting a kernel, and nothing is concluded from names or versions.

use crate::vm::{Error, Memory, cpu, kvm, kvm::map_region};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, Msrs, kvm_dtable, kvm_msr_entry, kvm_segment};
use kvm_ioctls::{Kvm, VcpuExit};
use linker::boot::Quirks;
use vm_memory::{Bytes, GuestAddress};

// The seven pages, mapped one to one.
const TABLES: u64 = 0x0000; // four levels, one page each
const DESCRIPTORS: u64 = 0x4000; // GDT, IDT and TSS, 1 KiB each but the last
const KERNEL: u64 = 0x5000; // what ring 0 executes
const USER: u64 = 0x6000; // what ring 3 executes
const BYTES: usize = 0x20_0000;

const GDT: u64 = DESCRIPTORS;
const IDT: u64 = DESCRIPTORS + 0x400;
const TSS: u64 = DESCRIPTORS + 0x800;
const STACK_TOP: u64 = DESCRIPTORS + 0x1000;
const ON_SYSCALL: u64 = KERNEL;
const ON_PAGE_FAULT: u64 = KERNEL + 0x100;

/// `out %al, $0x10` and `out %al, $0x11`: which way ring 0 was entered.
const SYSCALL_PORT: u16 = 0x10;
const PAGE_FAULT_PORT: u16 = 0x11;
const SYSCALL_CODE: [u8; 2] = [0xe6, SYSCALL_PORT as u8];
const PAGE_FAULT_CODE: [u8; 2] = [0xe6, PAGE_FAULT_PORT as u8];
/// `mov $1, %eax; cpuid; mov %ecx, %ebx; syscall`.
const USER_CODE: [u8; 11] = [0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x89, 0xcb, 0x0f, 0x05];

/// CPUID.1:ECX.OSXSAVE: user mode has state that only XSAVE switches.
const OSXSAVE: u64 = 1 << 27;
// MSRs: Intel SDM vol. 4, table 2-2.
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

/// Finds out.
pub fn run(kvm_fd: &Kvm) -> Result<Quirks, Error> {
    let cpuid = kvm_fd.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(kvm("supported CPUID"))?;
    let vm = kvm_fd.create_vm().map_err(kvm("create VM"))?;
    let memory = Memory::from_ranges(&[(GuestAddress(0), BYTES)]).map_err(|source| Error::Memory { mib: 2, source })?;
    for region in vm_memory::GuestMemoryBackend::iter(&memory) {
        map_region(&vm, 0, region).map_err(kvm("set memory region"))?;
    }
    fill(&memory)?;

    let mut vcpu = vm.create_vcpu(0).map_err(kvm("create vCPU"))?;
    vcpu.set_cpuid2(&cpuid).map_err(kvm("set CPUID"))?;
    let mut sregs = vcpu.get_sregs().map_err(kvm("get special registers"))?;
    cpu::long_mode(&mut sregs, TABLES);
    let user = kvm_segment { dpl: 3, ..cpu::flat() };
    sregs.cs = kvm_segment { selector: 0x33, type_: 0b1011, l: 1, ..user };
    let data = kvm_segment { selector: 0x2b, type_: 0b0011, db: 1, ..user };
    (sregs.ds, sregs.es, sregs.ss, sregs.fs, sregs.gs) = (data, data, data, data, data);
    sregs.gdt = kvm_dtable { base: GDT, limit: 0x4f, ..Default::default() };
    sregs.idt = kvm_dtable { base: IDT, limit: 0x3ff, ..Default::default() };
    sregs.tr = kvm_segment { selector: 0x40, base: TSS, limit: 0x67, type_: 0b1011, present: 1, ..Default::default() };
    vcpu.set_sregs(&sregs).map_err(kvm("set special registers"))?;
    let msr = |index, data| kvm_msr_entry { index, data, ..Default::default() };
    let entries = [msr(MSR_STAR, 0x23 << 48 | 0x10 << 32), msr(MSR_LSTAR, ON_SYSCALL), msr(MSR_SFMASK, 0x200)];
    if let Ok(msrs) = Msrs::from_entries(&entries) {
        vcpu.set_msrs(&msrs).map_err(kvm("set MSRs"))?;
    }
    let mut regs = vcpu.get_regs().map_err(kvm("get registers"))?;
    (regs.rip, regs.rsp, regs.rflags) = (USER, STACK_TOP, 1 << 1);
    vcpu.set_regs(&regs).map_err(kvm("set registers"))?;

    let port = match vcpu.run().map_err(kvm("run the probe"))? {
        VcpuExit::IoOut(port, _) => port,
        other => return Err(Error::Probe(format!("{other:?}"))),
    };
    let user_ecx = vcpu.get_regs().map_err(kvm("get registers"))?.rbx;
    let mut quirks = Quirks::empty();
    match port {
        SYSCALL_PORT => {}
        PAGE_FAULT_PORT => quirks |= Quirks::SYSCALL_AS_FAULT,
        other => return Err(Error::Probe(format!("output on port {other:#x}"))),
    }
    // CR4.OSXSAVE was never set here: on a CPU that is all the guest's, user mode cannot see it.
    quirks.set(Quirks::HOST_VECTOR_SWITCH, user_ecx & OSXSAVE != 0);
    Ok(quirks)
}

/// Writes page tables, descriptors and code.
fn fill(memory: &Memory) -> Result<(), Error> {
    let put = |address: u64, value: u64| memory.write_obj(value, GuestAddress(address));
    // Present, writable, user on the way down; the leaf decides.
    for level in 0..3 {
        put(TABLES + level * 0x1000, (TABLES + (level + 1) * 0x1000) | 7)?;
    }
    for page in 0..7u64 {
        let user = if page * 0x1000 == USER { 4 } else { 0 };
        put(TABLES + 0x3000 + page * 8, page * 0x1000 | 3 | user)?;
    }
    // Linux's selectors: 0x10 kernel code, 0x18 kernel data, 0x2b user data, 0x33 user code, 0x40 TSS.
    put(GDT + 0x10, 0x00af_9b00_0000_ffff)?;
    put(GDT + 0x18, 0x00cf_9300_0000_ffff)?;
    put(GDT + 0x28, 0x00cf_f300_0000_ffff)?;
    put(GDT + 0x30, 0x00af_fb00_0000_ffff)?;
    put(GDT + 0x40, 0x0000_8b00_0000_0067 | TSS << 16)?;
    // An interrupt gate for #PF (Intel SDM vol. 3, figure 7-8), and RSP0.
    put(IDT + 14 * 16, ON_PAGE_FAULT & 0xffff | 0x10 << 16 | 0x8e00 << 32)?;
    put(TSS + 4, STACK_TOP)?;
    memory.write_slice(&SYSCALL_CODE, GuestAddress(ON_SYSCALL))?;
    memory.write_slice(&PAGE_FAULT_CODE, GuestAddress(ON_PAGE_FAULT))?;
    memory.write_slice(&USER_CODE, GuestAddress(USER))?;
    Ok(())
}
