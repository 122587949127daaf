//! A VM of seven pages that executes a few instructions in ring 3, to see what this KVM makes of SYSCALL and of AVX there,
//! and for `ringwall doctor` a few in ring 0, to see what they cost. Much cheaper than starting a kernel, and nothing is
//! concluded from names or versions.

use crate::vm::{Error, Memory, cpu, kvm, kvm::map_region};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, Msrs, kvm_dtable, kvm_msr_entry, kvm_segment};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use linker::boot::Quirks;
use std::time::Instant;
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
const ON_UNDEFINED: u64 = KERNEL + 0x180;

/// `out %al, $0x10` and so on: which way ring 0 was entered.
const SYSCALL_PORT: u16 = 0x10;
const PAGE_FAULT_PORT: u16 = 0x11;
const UNDEFINED_PORT: u16 = 0x12;
const SYSCALL_CODE: [u8; 2] = [0xe6, SYSCALL_PORT as u8];
const PAGE_FAULT_CODE: [u8; 2] = [0xe6, PAGE_FAULT_PORT as u8];
const UNDEFINED_CODE: [u8; 2] = [0xe6, UNDEFINED_PORT as u8];
/// `syscall`.
const USER_CODE: [u8; 2] = [0x0f, 0x05];
const USER_AVX: u64 = USER + 0x100;
/// `vxorps %ymm0, %ymm0, %ymm0; syscall`.
const USER_AVX_CODE: [u8; 6] = [0xc5, 0xfc, 0x57, 0xc0, 0x0f, 0x05];

const EXIT_LOOP: u64 = KERNEL + 0x200;
const COUNT_LOOP: u64 = KERNEL + 0x300;
/// `out %al, $0x10; jmp` back.
const EXIT_LOOP_CODE: [u8; 4] = [0xe6, SYSCALL_PORT as u8, 0xeb, 0xfc];
/// Rounds of the counting loop, two instructions each.
const COUNT: u32 = 10_000;
/// `mov $COUNT, %ecx; dec %ecx; jnz` back`; out %al, $0x10`.
const COUNT_LOOP_CODE: [u8; 11] = {
    let count = COUNT.to_le_bytes();
    [0xb9, count[0], count[1], count[2], count[3], 0xff, 0xc9, 0x75, 0xfc, 0xe6, SYSCALL_PORT as u8]
};

// MSRs: Intel SDM vol. 4, table 2-2.
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

/// What a probe found, and what things cost here.
#[derive(Clone, Copy, Debug)]
pub struct Findings {
    /// For the boot page.
    pub quirks: Quirks,
    /// An exit to this process and back.
    pub exit_ns: u64,
    /// An instruction in ring 0, in hundredths of ns.
    pub instruction_centi_ns: u64,
}

/// Finds the quirks.
pub fn quirks(kvm_fd: &Kvm) -> Result<Quirks, Error> {
    let mut probe = Probe::new(kvm_fd)?;
    probe.start(USER, 3)?;
    let port = probe.run()?;
    let mut quirks = Quirks::empty();
    match port {
        SYSCALL_PORT => {}
        PAGE_FAULT_PORT => quirks |= Quirks::SYSCALL_AS_FAULT,
        other => return Err(Error::Probe(format!("output on port {other:#x}"))),
    }
    // CR4.OSXSAVE is not set here: where that means nothing to ring 3, it has state that the guest's kernel cannot switch.
    probe.start(USER_AVX, 3)?;
    quirks.set(Quirks::HOST_VECTOR_SWITCH, probe.run()? != UNDEFINED_PORT);
    Ok(quirks)
}

/// Finds the quirks, and measures.
pub fn measure(kvm_fd: &Kvm) -> Result<Findings, Error> {
    const EXITS: u64 = 200;
    let quirks = quirks(kvm_fd)?;
    let mut probe = Probe::new(kvm_fd)?;
    probe.start(EXIT_LOOP, 0)?;
    probe.run()?;
    let begin = Instant::now();
    for _ in 0..EXITS {
        probe.run()?;
    }
    let exit_ns = begin.elapsed().as_nanos() as u64 / EXITS;
    probe.start(COUNT_LOOP, 0)?;
    let begin = Instant::now();
    probe.run()?;
    let spent = (begin.elapsed().as_nanos() as u64).saturating_sub(exit_ns);
    Ok(Findings { quirks, exit_ns, instruction_centi_ns: spent * 100 / u64::from(2 * COUNT) })
}

/// The small VM.
struct Probe {
    // Dropped in this order: the vCPU before the VM, the VM before its memory.
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: Memory,
}

impl Probe {
    fn new(kvm_fd: &Kvm) -> Result<Self, Error> {
        let cpuid = kvm_fd.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(kvm("supported CPUID"))?;
        let vm = kvm_fd.create_vm().map_err(kvm("create VM"))?;
        let memory =
            Memory::from_ranges(&[(GuestAddress(0), BYTES)]).map_err(|source| Error::Memory { mib: 2, source })?;
        for region in vm_memory::GuestMemoryBackend::iter(&memory) {
            map_region(&vm, 0, region).map_err(kvm("set memory region"))?;
        }
        fill(&memory)?;
        let vcpu = vm.create_vcpu(0).map_err(kvm("create vCPU"))?;
        vcpu.set_cpuid2(&cpuid).map_err(kvm("set CPUID"))?;
        Ok(Self { vcpu, _vm: vm, _memory: memory })
    }

    /// Puts the vCPU before an instruction in ring 0 or 3.
    fn start(&mut self, rip: u64, ring: u8) -> Result<(), Error> {
        let mut sregs = self.vcpu.get_sregs().map_err(kvm("get special registers"))?;
        cpu::long_mode(&mut sregs, TABLES);
        let (code, data) = if ring == 0 { (0x10, 0x18) } else { (0x33, 0x2b) };
        let base = kvm_segment { dpl: ring, ..cpu::flat() };
        sregs.cs = kvm_segment { selector: code, type_: 0b1011, l: 1, ..base };
        let data = kvm_segment { selector: data, type_: 0b0011, db: 1, ..base };
        (sregs.ds, sregs.es, sregs.ss, sregs.fs, sregs.gs) = (data, data, data, data, data);
        sregs.gdt = kvm_dtable { base: GDT, limit: 0x4f, ..Default::default() };
        sregs.idt = kvm_dtable { base: IDT, limit: 0x3ff, ..Default::default() };
        let (selector, base, limit) = (0x40, TSS, 0x67);
        sregs.tr = kvm_segment { selector, base, limit, type_: 0b1011, present: 1, ..Default::default() };
        self.vcpu.set_sregs(&sregs).map_err(kvm("set special registers"))?;
        let msr = |index, data| kvm_msr_entry { index, data, ..Default::default() };
        let entries = [msr(MSR_STAR, 0x23 << 48 | 0x10 << 32), msr(MSR_LSTAR, ON_SYSCALL), msr(MSR_SFMASK, 0x200)];
        if let Ok(msrs) = Msrs::from_entries(&entries) {
            self.vcpu.set_msrs(&msrs).map_err(kvm("set MSRs"))?;
        }
        let mut regs = self.vcpu.get_regs().map_err(kvm("get registers"))?;
        (regs.rip, regs.rsp, regs.rflags) = (rip, STACK_TOP, 1 << 1);
        self.vcpu.set_regs(&regs).map_err(kvm("set registers"))
    }

    /// Runs to the next output and says on which port it was.
    fn run(&mut self) -> Result<u16, Error> {
        match self.vcpu.run().map_err(kvm("run the probe"))? {
            VcpuExit::IoOut(port, _) => Ok(port),
            other => Err(Error::Probe(format!("{other:?}"))),
        }
    }
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
        put(TABLES + 0x3000 + page * 8, (page * 0x1000) | 3 | user)?;
    }
    // Linux's selectors: 0x10 kernel code, 0x18 kernel data, 0x2b user data, 0x33 user code, 0x40 TSS.
    put(GDT + 0x10, 0x00af_9b00_0000_ffff)?;
    put(GDT + 0x18, 0x00cf_9300_0000_ffff)?;
    put(GDT + 0x28, 0x00cf_f300_0000_ffff)?;
    put(GDT + 0x30, 0x00af_fb00_0000_ffff)?;
    put(GDT + 0x40, 0x0000_8b00_0000_0067 | TSS << 16)?;
    // Interrupt gates for #UD and #PF (Intel SDM vol. 3, figure 7-8), and RSP0.
    for (vector, handler) in [(6, ON_UNDEFINED), (14, ON_PAGE_FAULT)] {
        put(IDT + vector * 16, handler & 0xffff | 0x10 << 16 | 0x8e00 << 32)?;
    }
    put(TSS + 4, STACK_TOP)?;
    memory.write_slice(&SYSCALL_CODE, GuestAddress(ON_SYSCALL))?;
    memory.write_slice(&PAGE_FAULT_CODE, GuestAddress(ON_PAGE_FAULT))?;
    memory.write_slice(&EXIT_LOOP_CODE, GuestAddress(EXIT_LOOP))?;
    memory.write_slice(&COUNT_LOOP_CODE, GuestAddress(COUNT_LOOP))?;
    memory.write_slice(&UNDEFINED_CODE, GuestAddress(ON_UNDEFINED))?;
    memory.write_slice(&USER_CODE, GuestAddress(USER))?;
    memory.write_slice(&USER_AVX_CODE, GuestAddress(USER_AVX))?;
    Ok(())
}
