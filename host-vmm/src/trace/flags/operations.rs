//! Names of what single operations of prctl(2), futex(2) and keyctl(2) take.

use super::{CHOICE, Name, number};
use linux_raw_sys::{general, prctl, ptrace};

pub(super) const AMBIENT: &[Name] = names! {
    in (CHOICE) {
        prctl::PR_CAP_AMBIENT_IS_SET, prctl::PR_CAP_AMBIENT_RAISE, prctl::PR_CAP_AMBIENT_LOWER,
        prctl::PR_CAP_AMBIENT_CLEAR_ALL,
    }
};

pub(super) const DISPATCH: &[Name] = names! {
    in (CHOICE) { prctl::PR_SYS_DISPATCH_OFF, prctl::PR_SYS_DISPATCH_ON, prctl::PR_SYS_DISPATCH_INCLUSIVE_ON }
};

/// linux/sched/coredump.h; not exported.
pub(super) const DUMPABLE: &[Name] =
    &[number(0, "SUID_DUMP_DISABLE"), number(1, "SUID_DUMP_USER"), number(2, "SUID_DUMP_ROOT")];

pub(super) const MCE_KILL: &[Name] = names! {
    in (CHOICE) { prctl::PR_MCE_KILL_CLEAR, prctl::PR_MCE_KILL_SET }
};

pub(super) const MCE_KILL_POLICY: &[Name] = names! {
    in (CHOICE) { prctl::PR_MCE_KILL_LATE, prctl::PR_MCE_KILL_EARLY, prctl::PR_MCE_KILL_DEFAULT }
};

pub(super) const MDWE: &[Name] = names! {
    bits { prctl::PR_MDWE_REFUSE_EXEC_GAIN, prctl::PR_MDWE_NO_INHERIT }
};

pub(super) const MM: &[Name] = names! {
    in (CHOICE) {
        prctl::PR_SET_MM_START_CODE, prctl::PR_SET_MM_END_CODE, prctl::PR_SET_MM_START_DATA,
        prctl::PR_SET_MM_END_DATA, prctl::PR_SET_MM_START_STACK, prctl::PR_SET_MM_START_BRK, prctl::PR_SET_MM_BRK,
        prctl::PR_SET_MM_ARG_START, prctl::PR_SET_MM_ARG_END, prctl::PR_SET_MM_ENV_START, prctl::PR_SET_MM_ENV_END,
        prctl::PR_SET_MM_AUXV, prctl::PR_SET_MM_EXE_FILE, prctl::PR_SET_MM_MAP, prctl::PR_SET_MM_MAP_SIZE,
    }
};

pub(super) const SCHED_CORE: &[Name] = names! {
    in (CHOICE) {
        prctl::PR_SCHED_CORE_GET, prctl::PR_SCHED_CORE_CREATE, prctl::PR_SCHED_CORE_SHARE_TO,
        prctl::PR_SCHED_CORE_SHARE_FROM,
    }
};

pub(super) const SECCOMP_MODE: &[Name] = names! {
    in (CHOICE) { ptrace::SECCOMP_MODE_DISABLED, ptrace::SECCOMP_MODE_STRICT, ptrace::SECCOMP_MODE_FILTER }
};

pub(super) const SECURE_BITS: &[Name] = names! {
    bits {
        libc::SECBIT_NOROOT, libc::SECBIT_NOROOT_LOCKED, libc::SECBIT_NO_SETUID_FIXUP,
        libc::SECBIT_NO_SETUID_FIXUP_LOCKED, libc::SECBIT_KEEP_CAPS, libc::SECBIT_KEEP_CAPS_LOCKED,
        libc::SECBIT_NO_CAP_AMBIENT_RAISE, libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
    }
};

pub(super) const SPECULATION: &[Name] = names! {
    in (CHOICE) { prctl::PR_SPEC_STORE_BYPASS, prctl::PR_SPEC_INDIRECT_BRANCH, prctl::PR_SPEC_L1D_FLUSH }
};

pub(super) const SPECULATION_CONTROL: &[Name] = names! {
    in (CHOICE) {
        prctl::PR_SPEC_ENABLE, prctl::PR_SPEC_DISABLE, prctl::PR_SPEC_FORCE_DISABLE, prctl::PR_SPEC_DISABLE_NOEXEC,
    }
};

pub(super) const TIMING: &[Name] = names! {
    in (CHOICE) { prctl::PR_TIMING_STATISTICAL, prctl::PR_TIMING_TIMESTAMP }
};

pub(super) const TSC: &[Name] = names! {
    in (CHOICE) { prctl::PR_TSC_ENABLE, prctl::PR_TSC_SIGSEGV }
};

pub(super) const VMA: &[Name] = names! {
    in (CHOICE) { prctl::PR_SET_VMA_ANON_NAME }
};

/// keyctl_setperm(3): six permissions of four classes, a byte each; no crate exports them.
pub(super) const KEY_PERMISSION: &[Name] = &key_permissions();

const fn key_permissions() -> [Name; 24] {
    const TEXTS: [&str; 24] = [
        "KEY_POS_VIEW",
        "KEY_POS_READ",
        "KEY_POS_WRITE",
        "KEY_POS_SEARCH",
        "KEY_POS_LINK",
        "KEY_POS_SETATTR",
        "KEY_USR_VIEW",
        "KEY_USR_READ",
        "KEY_USR_WRITE",
        "KEY_USR_SEARCH",
        "KEY_USR_LINK",
        "KEY_USR_SETATTR",
        "KEY_GRP_VIEW",
        "KEY_GRP_READ",
        "KEY_GRP_WRITE",
        "KEY_GRP_SEARCH",
        "KEY_GRP_LINK",
        "KEY_GRP_SETATTR",
        "KEY_OTH_VIEW",
        "KEY_OTH_READ",
        "KEY_OTH_WRITE",
        "KEY_OTH_SEARCH",
        "KEY_OTH_LINK",
        "KEY_OTH_SETATTR",
    ];
    let mut names = [super::part(0, 0, ""); 24];
    let mut index = 0;
    while index < TEXTS.len() {
        let bit = 1 << (24 - 8 * (index / 6) + index % 6);
        names[index] = super::part(bit, bit, TEXTS[index]);
        index += 1;
    }
    names
}

const FUTEX_OPERATION: &[Name] = names! {
    in (CHOICE) {
        general::FUTEX_OP_SET, general::FUTEX_OP_ADD, general::FUTEX_OP_OR, general::FUTEX_OP_ANDN,
        general::FUTEX_OP_XOR,
    }
};

const FUTEX_COMPARISON: &[Name] = names! {
    in (CHOICE) {
        general::FUTEX_OP_CMP_EQ, general::FUTEX_OP_CMP_NE, general::FUTEX_OP_CMP_LT, general::FUTEX_OP_CMP_LE,
        general::FUTEX_OP_CMP_GT, general::FUTEX_OP_CMP_GE,
    }
};

/// futex(2), FUTEX_WAKE_OP: an operation, its operand, a comparison and what with.
pub(super) fn futex(value: u64) -> String {
    let field = |shift: u32, bits: u32| value >> shift & ((1 << bits) - 1);
    let operation = field(28, 4);
    let shifted = u64::from(general::FUTEX_OP_OPARG_SHIFT);
    format!(
        "{}{}<<28|{}<<12|{}<<24|{}",
        if operation & shifted == 0 { "" } else { "FUTEX_OP_OPARG_SHIFT<<28|" },
        super::named(FUTEX_OPERATION, operation & !shifted),
        super::super::text::hex(field(12, 12)),
        super::named(FUTEX_COMPARISON, field(24, 4)),
        super::super::text::hex(field(0, 12)),
    )
}
