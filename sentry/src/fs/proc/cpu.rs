//! `/proc/cpuinfo`, from CPUID.

use super::System;
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::Current;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::fmt::Write;

/// CPUID leaves (Intel SDM vol. 2, CPUID).
mod leaf {
    pub const VENDOR: u32 = 0;
    pub const MODEL: u32 = 1;
    pub const FEATURES: u32 = 7;
    pub const XSAVE: u32 = 0xd;
    pub const EXTENDED: u32 = 0x8000_0000;
    pub const EXTENDED_FEATURES: u32 = 0x8000_0001;
    pub const BRAND: u32 = 0x8000_0002;
    pub const ADDRESSES: u32 = 0x8000_0008;
}

/// Names of feature bits as Linux prints them (arch/x86/include/asm/cpufeatures.h), from bit 0 on; "" is not printed.
type Names = [&'static str; 32];

const MODEL_EDX: Names = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov",
    "pat", "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe",
];
const MODEL_ECX: Names = [
    "pni",
    "pclmulqdq",
    "dtes64",
    "monitor",
    "ds_cpl",
    "vmx",
    "smx",
    "est",
    "tm2",
    "ssse3",
    "cid",
    "sdbg",
    "fma",
    "cx16",
    "xtpr",
    "pdcm",
    "",
    "pcid",
    "dca",
    "sse4_1",
    "sse4_2",
    "x2apic",
    "movbe",
    "popcnt",
    "tsc_deadline_timer",
    "aes",
    "xsave",
    "",
    "avx",
    "f16c",
    "rdrand",
    "hypervisor",
];
const EXTENDED_EDX: Names = [
    "", "", "", "", "", "", "", "", "", "", "", "syscall", "", "", "", "", "", "", "", "mp", "nx", "", "mmxext", "",
    "", "fxsr_opt", "pdpe1gb", "rdtscp", "", "lm", "3dnowext", "3dnow",
];
const EXTENDED_ECX: Names = [
    "lahf_lm",
    "cmp_legacy",
    "svm",
    "extapic",
    "cr8_legacy",
    "abm",
    "sse4a",
    "misalignsse",
    "3dnowprefetch",
    "osvw",
    "ibs",
    "xop",
    "skinit",
    "wdt",
    "",
    "lwp",
    "fma4",
    "tce",
    "",
    "nodeid_msr",
    "",
    "tbm",
    "topoext",
    "perfctr_core",
    "perfctr_nb",
    "",
    "bpext",
    "ptsc",
    "perfctr_llc",
    "mwaitx",
    "",
    "",
];
const FEATURES_EBX: Names = [
    "fsgsbase",
    "tsc_adjust",
    "sgx",
    "bmi1",
    "hle",
    "avx2",
    "",
    "smep",
    "bmi2",
    "erms",
    "invpcid",
    "rtm",
    "cqm",
    "",
    "mpx",
    "rdt_a",
    "avx512f",
    "avx512dq",
    "rdseed",
    "adx",
    "smap",
    "avx512ifma",
    "",
    "clflushopt",
    "clwb",
    "intel_pt",
    "avx512pf",
    "avx512er",
    "avx512cd",
    "sha_ni",
    "avx512bw",
    "avx512vl",
];
const FEATURES_ECX: Names = [
    "",
    "avx512vbmi",
    "umip",
    "pku",
    "ospke",
    "waitpkg",
    "avx512_vbmi2",
    "",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "avx512_vnni",
    "avx512_bitalg",
    "tme",
    "avx512_vpopcntdq",
    "",
    "la57",
    "",
    "",
    "",
    "",
    "",
    "rdpid",
    "",
    "bus_lock_detect",
    "cldemote",
    "",
    "movdiri",
    "movdir64b",
    "enqcmd",
    "sgx_lc",
    "",
];
const FEATURES_EDX: Names = [
    "",
    "",
    "avx512_4vnniw",
    "avx512_4fmaps",
    "fsrm",
    "",
    "",
    "",
    "avx512_vp2intersect",
    "",
    "md_clear",
    "",
    "",
    "",
    "serialize",
    "",
    "tsxldtrk",
    "",
    "pconfig",
    "arch_lbr",
    "",
    "",
    "amx_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "",
    "",
    "flush_l1d",
    "arch_capabilities",
    "",
    "",
];
const XSAVE_EAX: Names = [
    "xsaveopt", "xsavec", "xgetbv1", "xsaves", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "",
    "", "", "", "", "", "", "", "", "", "",
];

fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// The highest leaf of the range that `leaf` begins, and whether `wanted` is in it.
fn has(leaf: u32, wanted: u32) -> bool {
    cpuid(leaf, 0).eax >= wanted
}

/// The registers' bytes as text, without NULs.
fn text(registers: &[u32]) -> String {
    let bytes: Vec<u8> =
        registers.iter().flat_map(|register| register.to_le_bytes()).filter(|byte| *byte != 0).collect();
    String::from(String::from_utf8_lossy(&bytes).trim())
}

/// CPU features that user programs may rely on, separated by blanks.
fn flags() -> String {
    let one = cpuid(leaf::MODEL, 0);
    let mut words = Vec::from([(one.edx, &MODEL_EDX)]);
    let extended = has(leaf::EXTENDED, leaf::EXTENDED_FEATURES).then(|| cpuid(leaf::EXTENDED_FEATURES, 0));
    words.extend(extended.map(|leaf| (leaf.edx, &EXTENDED_EDX)));
    words.push((one.ecx, &MODEL_ECX));
    words.extend(extended.map(|leaf| (leaf.ecx, &EXTENDED_ECX)));
    if has(leaf::VENDOR, leaf::FEATURES) {
        let seven = cpuid(leaf::FEATURES, 0);
        words.extend([(seven.ebx, &FEATURES_EBX), (seven.ecx, &FEATURES_ECX), (seven.edx, &FEATURES_EDX)]);
    }
    if has(leaf::VENDOR, leaf::XSAVE) {
        words.push((cpuid(leaf::XSAVE, 1).eax, &XSAVE_EAX));
    }
    let mut flags = String::new();
    for (bits, names) in words {
        for (bit, name) in names.iter().enumerate() {
            if bits >> bit & 1 != 0 && !name.is_empty() {
                let separator = if flags.is_empty() { "" } else { " " };
                let _ = write!(flags, "{separator}{name}");
            }
        }
    }
    flags
}

/// `/proc/cpuinfo`.
pub fn info(_: &Current, _: &System) -> Result<Vec<u8>, Errno> {
    let vendor = cpuid(leaf::VENDOR, 0);
    let one = cpuid(leaf::MODEL, 0);
    let (base_family, base_model, stepping) = (one.eax >> 8 & 15, one.eax >> 4 & 15, one.eax & 15);
    let family = if base_family == 15 { base_family + (one.eax >> 20 & 255) } else { base_family };
    let model = if matches!(base_family, 6 | 15) { base_model | (one.eax >> 16 & 15) << 4 } else { base_model };
    let brand = if has(leaf::EXTENDED, leaf::BRAND + 2) {
        let leaves = [0, 1, 2].map(|part| cpuid(leaf::BRAND + part, 0));
        text(&leaves.map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]).concat())
    } else {
        String::from("unknown")
    };
    let (physical, linear) = if has(leaf::EXTENDED, leaf::ADDRESSES) {
        let sizes = cpuid(leaf::ADDRESSES, 0).eax;
        (sizes & 255, sizes >> 8 & 255)
    } else {
        (36, 48)
    };
    let khz = platform().boot_info().tsc_khz;
    let (cpus, flags) = (platform().cpus(), flags());
    let vendor_name = text(&[vendor.ebx, vendor.edx, vendor.ecx]);
    let cache_line = (one.ebx >> 8 & 255) * 8;
    let mut out = String::new();
    for cpu in 0..cpus {
        let _ = write!(
            out,
            "processor\t: {cpu}\nvendor_id\t: {vendor_name}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: {brand}\nstepping\t: {stepping}\ncpu MHz\t\t: {}.{:03}\nphysical id\t: 0\nsiblings\t: {cpus}\n\
             core id\t\t: {cpu}\ncpu cores\t: {cpus}\napicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes\n\
             fpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes\nflags\t\t: {flags}\nbugs\t\t:\n\
             bogomips\t: {}.{:02}\nclflush size\t: {cache_line}\ncache_alignment\t: {cache_line}\n\
             address sizes\t: {physical} bits physical, {linear} bits virtual\npower management:\n\n",
            khz / 1000,
            khz % 1000,
            vendor.eax,
            khz / 500,
            khz / 5 % 100,
        );
    }
    Ok(out.into_bytes())
}
