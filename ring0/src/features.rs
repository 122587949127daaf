//! What this CPU offers, read from CPUID once at boot. Nothing here depends on the vendor or on a name.

use crate::quirk;
use crate::x86::cpuid;
use spin::Once;

/// Features that ring0 makes use of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// Supervisor mode execution prevention.
    pub smep: bool,
    /// Supervisor mode access prevention.
    pub smap: bool,
    /// User mode instruction prevention.
    pub umip: bool,
    /// RDFSBASE and its kin.
    pub fsgsbase: bool,
    /// LAPIC registers as MSRs.
    pub x2apic: bool,
    /// LAPIC timer by TSC value.
    pub tsc_deadline: bool,
    /// XSAVE and XCR0.
    pub xsave: bool,
    /// XSAVEOPT.
    pub xsaveopt: bool,
    /// User state components that XCR0 can hold.
    pub xcr0: u64,
}

static FEATURES: Once<Features> = Once::new();

/// The features of this machine's CPUs; all of them are the same.
#[inline]
pub fn features() -> &'static Features {
    FEATURES.call_once(|| quirk::mask_features(detect()))
}

/// Reads CPUID (Intel SDM vol. 2A, CPUID).
fn detect() -> Features {
    let bit = |register: u32, bit: u32| register >> bit & 1 != 0;
    let highest = cpuid(0, 0).eax;
    let one = cpuid(1, 0);
    let (seven_b, seven_c) = if highest >= 7 { (cpuid(7, 0).ebx, cpuid(7, 0).ecx) } else { (0, 0) };
    let xsave = bit(one.ecx, 26) && highest >= 0xd;
    let mut features = Features {
        smep: bit(seven_b, 7),
        smap: bit(seven_b, 20),
        umip: bit(seven_c, 2),
        fsgsbase: bit(seven_b, 0),
        x2apic: bit(one.ecx, 21),
        tsc_deadline: bit(one.ecx, 24),
        xsave,
        ..Features::default()
    };
    if xsave {
        let components = cpuid(0xd, 0);
        features.xcr0 = u64::from(components.edx) << 32 | u64::from(components.eax);
        features.xsaveopt = bit(cpuid(0xd, 1).eax, 0);
    }
    features
}
