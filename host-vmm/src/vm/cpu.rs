//! A vCPU's first state: CPUID with this VM's topology, long mode on the VMM's page tables, x2APIC on.

use crate::vm::tables::Tables;
use crate::vm::{Error, kvm};
use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_dtable, kvm_segment, kvm_sregs, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::VcpuFd;
use linker::boot::vector_components;

// CPUID: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
const LEAF_FEATURES: u32 = 1;
const LEAF_CACHES: u32 = 4;
const LEAF_TOPOLOGY: u32 = 0xb;
const LEAF_XSAVE: u32 = 0xd;
const LEAF_TOPOLOGY_V2: u32 = 0x1f;
const LEAF_EXTENDED: u32 = 0x8000_0001;
const LEAF_AMD_SIZES: u32 = 0x8000_0008;
const LEAF_AMD_TOPOLOGY: u32 = 0x8000_001e;
const ECX_X2APIC: u32 = 1 << 21;
const ECX_TSC_DEADLINE: u32 = 1 << 24;
const ECX_XSAVE: u32 = 1 << 26;
const ECX_HYPERVISOR: u32 = 1 << 31;
const EDX_HTT: u32 = 1 << 28;
const EDX_GIANT_PAGES: u32 = 1 << 26;

// Control registers: Intel SDM vol. 3, 2.5.
const CR0: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1 << 0; // PG WP NE ET MP PE
const CR4: u64 = 1 << 10 | 1 << 9 | 1 << 5; // OSXMMEXCPT OSFXSR PAE
const EFER: u64 = 1 << 11 | 1 << 10 | 1 << 8 | 1 << 0; // NXE LMA LME SCE
const APIC_BASE: u64 = 0xfee0_0000 | 1 << 11 | 1 << 10; // enabled, x2APIC
const APIC_BASE_BSP: u64 = 1 << 8;

/// Whether 1 GiB pages are offered.
pub fn has_giant_pages(cpuid: &CpuId) -> bool {
    cpuid.as_slice().iter().any(|entry| entry.function == LEAF_EXTENDED && entry.edx & EDX_GIANT_PAGES != 0)
}

/// Whether the CPU that this process runs on has state that XSAVE switches, but KVM does not offer XSAVE to guests: a hint that
/// ring 3 of a guest may see more than the guest knows of.
pub fn hides_xsave(cpuid: &CpuId) -> bool {
    let offered = cpuid.as_slice().iter().any(|entry| entry.function == LEAF_FEATURES && entry.ecx & ECX_XSAVE != 0);
    std::arch::is_x86_feature_detected!("xsave") && !offered
}

/// Makes the supported CPUID that of vCPU `cpu` of `cpus`: one socket, a core a vCPU. Can be called again for the next one.
pub fn fix_cpuid(cpuid: &mut CpuId, cpu: u32, cpus: u32) {
    let bits = cpus.next_power_of_two().trailing_zeros();
    let mut max_leaf = 0;
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            0 => max_leaf = entry.eax,
            LEAF_FEATURES => {
                entry.ecx |= ECX_X2APIC | ECX_TSC_DEADLINE | ECX_HYPERVISOR;
                entry.ebx = entry.ebx & 0xffff | cpus << 16 | cpu << 24;
                entry.edx = if cpus > 1 { entry.edx | EDX_HTT } else { entry.edx & !EDX_HTT };
            }
            LEAF_CACHES if entry.eax & 0x1f != 0 => {
                // The last-level cache is shared by all, the others by none.
                let sharing = if entry.eax >> 5 & 7 >= 3 { (1 << bits) - 1 } else { 0 };
                entry.eax = entry.eax & 0x3fff | sharing << 14 | ((1u32 << bits) - 1) << 26;
            }
            LEAF_AMD_SIZES => entry.ecx = entry.ecx & !0xf0ff | bits << 12 | (cpus - 1),
            LEAF_AMD_TOPOLOGY => {
                entry.eax = cpu;
                entry.ebx = cpu;
                entry.ecx = 0;
            }
            _ => {}
        }
    }
    for leaf in [LEAF_TOPOLOGY, LEAF_TOPOLOGY_V2] {
        // Where the leaf is not offered, software must not find it.
        if leaf <= max_leaf && (leaf == LEAF_TOPOLOGY || cpuid.as_slice().iter().any(|entry| entry.function == leaf)) {
            cpuid.retain(|entry| entry.function != leaf);
            for (index, (shift, count, kind)) in [(0, 1, 1), (bits, cpus, 2), (0, 0, 0)].into_iter().enumerate() {
                let entry = kvm_cpuid_entry2 {
                    function: leaf,
                    index: index as u32,
                    flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                    eax: shift,
                    ebx: count,
                    ecx: index as u32 | kind << 8,
                    edx: cpu,
                    ..Default::default()
                };
                // A full list keeps what it has: the leaf is then missing, which is allowed.
                let _ = cpuid.push(entry);
            }
        }
    }
}

/// Puts a vCPU before the kernel's first instruction. Whether its TSC is the host's.
pub fn set_up(vcpu: &VcpuFd, cpuid: &CpuId, tables: &Tables, entry: u64, cpu: usize) -> Result<bool, Error> {
    vcpu.set_cpuid2(cpuid).map_err(kvm("set CPUID"))?;
    let host_tsc = kvm::share_host_tsc(vcpu);
    set_vector_components(vcpu, cpuid)?;

    let mut sregs = vcpu.get_sregs().map_err(kvm("get special registers"))?;
    // Linux's selectors; ring0 loads its own table before anything reloads a segment.
    let code = kvm_segment { selector: 0x10, type_: 0b1011, l: 1, db: 0, ..flat() };
    let data = kvm_segment { selector: 0x18, type_: 0b0011, l: 0, db: 1, ..flat() };
    sregs.cs = code;
    (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
    (sregs.fs, sregs.gs) = (data, data);
    sregs.gdt = kvm_dtable::default();
    sregs.idt = kvm_dtable::default();
    long_mode(&mut sregs, tables.root);
    sregs.apic_base = APIC_BASE | if cpu == 0 { APIC_BASE_BSP } else { 0 };
    vcpu.set_sregs(&sregs).map_err(kvm("set special registers"))?;

    let mut regs = vcpu.get_regs().map_err(kvm("get registers"))?;
    regs.rip = entry;
    regs.rdi = cpu as u64;
    regs.rflags = 1 << 1; // the bit that is always set; interrupts off
    vcpu.set_regs(&regs).map_err(kvm("set registers"))?;
    Ok(host_tsc)
}

/// Sets XCR0, where there is one.
fn set_vector_components(vcpu: &VcpuFd, cpuid: &CpuId) -> Result<(), Error> {
    let leaf = |function| cpuid.as_slice().iter().find(|entry| entry.function == function && entry.index == 0);
    let has_xsave = leaf(LEAF_FEATURES).is_some_and(|entry| entry.ecx & ECX_XSAVE != 0);
    let Some(components) = leaf(LEAF_XSAVE).filter(|_| has_xsave) else { return Ok(()) };
    let value = vector_components(u64::from(components.edx) << 32 | u64::from(components.eax));
    let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
    xcrs.xcrs[0] = kvm_xcr { xcr: 0, value, ..Default::default() };
    vcpu.set_xcrs(&xcrs).map_err(kvm("set XCR0"))
}

/// Long mode on these page tables.
pub fn long_mode(sregs: &mut kvm_sregs, root: u64) {
    sregs.cr0 = CR0;
    sregs.cr3 = root;
    sregs.cr4 = CR4;
    sregs.efer = EFER;
}

/// A present, flat, ring-0 code or data segment.
pub fn flat() -> kvm_segment {
    kvm_segment { base: 0, limit: u32::MAX, present: 1, dpl: 0, s: 1, g: 1, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(cpuid: &CpuId, function: u32, index: u32) -> kvm_cpuid_entry2 {
        *cpuid.as_slice().iter().find(|e| e.function == function && e.index == index).expect("leaf")
    }

    #[test]
    fn each_vcpu_sees_its_own_apic_id_in_every_leaf() {
        let entry = |function, eax| kvm_cpuid_entry2 { function, eax, ..Default::default() };
        let mut cpuid = CpuId::from_entries(&[entry(0, 0xd), entry(1, 0), entry(0x8000_001e, 0)]).expect("few entries");
        for cpu in 0..3 {
            fix_cpuid(&mut cpuid, cpu, 3);
            assert_eq!(leaf(&cpuid, 1, 0).ebx >> 24, cpu);
            assert_eq!(leaf(&cpuid, 0xb, 0).edx, cpu);
            assert_eq!(leaf(&cpuid, 0xb, 1).ebx, 3);
            assert_eq!(leaf(&cpuid, 0xb, 1).eax, 2);
            assert_eq!(leaf(&cpuid, 0x8000_001e, 0).eax, cpu);
        }
        assert_eq!(cpuid.as_slice().iter().filter(|e| e.function == 0xb).count(), 3);
    }
}
