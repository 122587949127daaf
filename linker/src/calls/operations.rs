//! Calls that are many: what the arguments of each operation of futex(2), prctl(2), keyctl(2) and io_uring_register(2) are.

use super::Arg::{
    Address, ArrayIn, BytesIn, BytesOut, Choice, Fd, Flags, Hex, Id, In, InOut, Int, Out, Pid, Signal, Size, Text, Uint,
};
use super::{Arg, Count, Returns, Set, Shape, Signature};
use linux_raw_sys::io_uring::io_uring_register_op as op;
use linux_raw_sys::{general, prctl, ptrace};

pub(super) fn futex(operation: u32) -> &'static [Arg] {
    const OPERATION: Arg = Choice(Set::Futex);
    match operation & !(general::FUTEX_PRIVATE_FLAG | general::FUTEX_CLOCK_REALTIME) {
        general::FUTEX_WAIT => &[Address, OPERATION, Uint, In(Shape::Timespec)],
        general::FUTEX_WAKE => &[Address, OPERATION, Int],
        general::FUTEX_REQUEUE => &[Address, OPERATION, Int, Int, Address],
        general::FUTEX_CMP_REQUEUE | general::FUTEX_CMP_REQUEUE_PI => &[Address, OPERATION, Int, Int, Address, Uint],
        general::FUTEX_WAKE_OP => &[Address, OPERATION, Int, Int, Address, Choice(Set::FutexOperation)],
        general::FUTEX_LOCK_PI | general::FUTEX_LOCK_PI2 => &[Address, OPERATION, Arg::Unused, In(Shape::Timespec)],
        general::FUTEX_UNLOCK_PI | general::FUTEX_TRYLOCK_PI => &[Address, OPERATION],
        general::FUTEX_WAIT_BITSET => {
            &[Address, OPERATION, Uint, In(Shape::Timespec), Arg::Unused, Choice(Set::FutexBits)]
        }
        general::FUTEX_WAKE_BITSET => &[Address, OPERATION, Int, Arg::Unused, Arg::Unused, Choice(Set::FutexBits)],
        general::FUTEX_WAIT_REQUEUE_PI => &[Address, OPERATION, Uint, In(Shape::Timespec), Address],
        _ => &[Address, OPERATION, Uint, Hex, Hex, Hex],
    }
}

pub(super) fn prctl(new: &mut Signature, values: &[u64; 6]) {
    let [option, second, ..] = values.map(|value| value as u32);
    new.args = prctl_arguments(option, second);
    if option == prctl::PR_GET_DUMPABLE {
        new.returns = Returns::Choice(Set::Dumpable);
    }
}

fn prctl_arguments(option: u32, second: u32) -> &'static [Arg] {
    const OPTION: Arg = Choice(Set::Prctl);
    match option {
        prctl::PR_SET_PDEATHSIG => &[OPTION, Signal],
        prctl::PR_GET_PDEATHSIG
        | prctl::PR_GET_CHILD_SUBREAPER
        | prctl::PR_GET_TSC
        | prctl::PR_GET_UNALIGN
        | prctl::PR_GET_FPEMU
        | prctl::PR_GET_FPEXC => &[OPTION, Out(Shape::I32)],
        prctl::PR_GET_TID_ADDRESS => &[OPTION, Out(Shape::Pointer)],
        prctl::PR_SET_NAME => &[OPTION, Text],
        prctl::PR_GET_NAME => &[OPTION, Arg::TextOut],
        prctl::PR_GET_DUMPABLE
        | prctl::PR_GET_KEEPCAPS
        | prctl::PR_GET_SECCOMP
        | prctl::PR_GET_TIMERSLACK
        | prctl::PR_GET_SECUREBITS
        | prctl::PR_GET_TIMING
        | prctl::PR_TASK_PERF_EVENTS_DISABLE
        | prctl::PR_TASK_PERF_EVENTS_ENABLE => &[OPTION],
        prctl::PR_SET_KEEPCAPS
        | prctl::PR_SET_CHILD_SUBREAPER
        | prctl::PR_SET_TIMERSLACK
        | prctl::PR_SET_UNALIGN
        | prctl::PR_SET_FPEMU
        | prctl::PR_SET_FPEXC => &[OPTION, Size],
        prctl::PR_SET_DUMPABLE => &[OPTION, Choice(Set::Dumpable)],
        prctl::PR_SET_TSC => &[OPTION, Choice(Set::Tsc)],
        prctl::PR_SET_TIMING => &[OPTION, Choice(Set::Timing)],
        prctl::PR_SET_PTRACER => &[OPTION, Pid],
        prctl::PR_SET_SECUREBITS => &[OPTION, Flags(Set::SecureBits)],
        prctl::PR_CAPBSET_READ | prctl::PR_CAPBSET_DROP => &[OPTION, Choice(Set::Capability)],
        prctl::PR_CAP_AMBIENT if second == prctl::PR_CAP_AMBIENT_CLEAR_ALL => {
            &[OPTION, Choice(Set::Ambient), Hex, Hex, Hex]
        }
        prctl::PR_CAP_AMBIENT => &[OPTION, Choice(Set::Ambient), Choice(Set::Capability), Hex, Hex],
        prctl::PR_MCE_KILL if second == prctl::PR_MCE_KILL_SET => {
            &[OPTION, Choice(Set::MceKill), Choice(Set::MceKillPolicy), Hex, Hex]
        }
        prctl::PR_MCE_KILL => &[OPTION, Choice(Set::MceKill), Hex, Hex, Hex],
        prctl::PR_SET_MM => &[OPTION, Choice(Set::PrctlMm), Hex, Hex, Hex],
        prctl::PR_SET_MDWE => &[OPTION, Flags(Set::Mdwe), Hex, Hex, Hex],
        prctl::PR_GET_SPECULATION_CTRL => &[OPTION, Choice(Set::Speculation), Hex, Hex, Hex],
        prctl::PR_SET_SPECULATION_CTRL => {
            &[OPTION, Choice(Set::Speculation), Choice(Set::SpeculationControl), Hex, Hex]
        }
        prctl::PR_SET_SYSCALL_USER_DISPATCH => &[OPTION, Choice(Set::Dispatch), Hex, Hex, Address],
        prctl::PR_SCHED_CORE => &[OPTION, Choice(Set::SchedCore), Pid, Uint, Address],
        prctl::PR_SET_NO_NEW_PRIVS | prctl::PR_SET_THP_DISABLE | prctl::PR_SET_IO_FLUSHER => {
            &[OPTION, Size, Size, Size, Size]
        }
        prctl::PR_GET_NO_NEW_PRIVS
        | prctl::PR_GET_THP_DISABLE
        | prctl::PR_GET_IO_FLUSHER
        | prctl::PR_SET_MEMORY_MERGE
        | prctl::PR_GET_MEMORY_MERGE
        | prctl::PR_GET_MDWE => &[OPTION, Size, Size, Size, Size],
        prctl::PR_SET_SECCOMP => match second {
            ptrace::SECCOMP_MODE_STRICT => &[OPTION, Choice(Set::SeccompMode)],
            ptrace::SECCOMP_MODE_FILTER => &[OPTION, Choice(Set::SeccompMode), In(Shape::Program)],
            _ => &[OPTION, Choice(Set::SeccompMode), Hex, Hex, Hex],
        },
        prctl::PR_SET_VMA => &[OPTION, Choice(Set::Vma), Address, Size, Text],
        prctl::PR_GET_AUXV => &[OPTION, BytesOut(2), Size, Hex, Hex],
        _ => &[OPTION, Hex, Hex, Hex, Hex],
    }
}

/// linux/keyctl.h, which linux-raw-sys does not have; the printer's names are libc's.
mod key {
    pub(super) const GET_KEYRING_ID: u32 = 0;
    pub(super) const JOIN_SESSION_KEYRING: u32 = 1;
    pub(super) const UPDATE: u32 = 2;
    pub(super) const REVOKE: u32 = 3;
    pub(super) const CHOWN: u32 = 4;
    pub(super) const SETPERM: u32 = 5;
    pub(super) const DESCRIBE: u32 = 6;
    pub(super) const CLEAR: u32 = 7;
    pub(super) const LINK: u32 = 8;
    pub(super) const UNLINK: u32 = 9;
    pub(super) const SEARCH: u32 = 10;
    pub(super) const READ: u32 = 11;
    pub(super) const INSTANTIATE: u32 = 12;
    pub(super) const NEGATE: u32 = 13;
    pub(super) const SET_REQKEY_KEYRING: u32 = 14;
    pub(super) const SET_TIMEOUT: u32 = 15;
    pub(super) const ASSUME_AUTHORITY: u32 = 16;
    pub(super) const GET_SECURITY: u32 = 17;
    pub(super) const SESSION_TO_PARENT: u32 = 18;
    pub(super) const REJECT: u32 = 19;
    pub(super) const INSTANTIATE_IOV: u32 = 20;
    pub(super) const INVALIDATE: u32 = 21;
    pub(super) const GET_PERSISTENT: u32 = 22;
}

pub(super) fn keyctl(operation: u32) -> &'static [Arg] {
    const OPERATION: Arg = Choice(Set::Keyctl);
    const KEY: Arg = Choice(Set::Keyring);
    match operation {
        key::GET_KEYRING_ID => &[OPERATION, KEY, Int],
        key::JOIN_SESSION_KEYRING => &[OPERATION, Text],
        key::UPDATE => &[OPERATION, KEY, BytesIn(3), Size],
        key::REVOKE | key::CLEAR | key::INVALIDATE | key::ASSUME_AUTHORITY => &[OPERATION, KEY],
        key::CHOWN => &[OPERATION, KEY, Id, Id],
        key::SETPERM => &[OPERATION, KEY, Flags(Set::KeyPermission)],
        key::DESCRIBE | key::READ | key::GET_SECURITY => &[OPERATION, KEY, BytesOut(3), Size],
        key::LINK | key::UNLINK => &[OPERATION, KEY, KEY],
        key::SEARCH => &[OPERATION, KEY, Text, Text, KEY],
        key::INSTANTIATE => &[OPERATION, KEY, BytesIn(3), Size, KEY],
        key::NEGATE => &[OPERATION, KEY, Uint, KEY],
        key::SET_REQKEY_KEYRING => &[OPERATION, Int],
        key::SET_TIMEOUT => &[OPERATION, KEY, Uint],
        key::SESSION_TO_PARENT => &[OPERATION],
        key::REJECT => &[OPERATION, KEY, Uint, Uint, KEY],
        key::INSTANTIATE_IOV => &[OPERATION, KEY, Arg::VectorIn(3), Size, KEY],
        key::GET_PERSISTENT => &[OPERATION, Id, KEY],
        _ => &[OPERATION, Hex, Hex, Hex, Hex],
    }
}

pub(super) fn uring_register(operation: u32) -> &'static [Arg] {
    const OPERATION: Arg = Choice(Set::UringRegister);
    const DESCRIPTORS: Arg = ArrayIn(Shape::I32, Count::Arg(3));
    let is = |wanted: op| wanted as u32 == operation;
    let any = |wanted: &[op]| wanted.iter().any(|wanted| *wanted as u32 == operation);
    if is(op::IORING_REGISTER_BUFFERS) {
        &[Fd, OPERATION, ArrayIn(Shape::Iovec, Count::Arg(3)), Uint]
    } else if any(&[
        op::IORING_REGISTER_FILES,
        op::IORING_REGISTER_EVENTFD,
        op::IORING_REGISTER_EVENTFD_ASYNC,
        op::IORING_REGISTER_IOWQ_MAX_WORKERS,
    ]) {
        &[Fd, OPERATION, DESCRIPTORS, Uint]
    } else if is(op::IORING_REGISTER_FILES_UPDATE) {
        &[Fd, OPERATION, Arg::FilesUpdate(3), Uint]
    } else if any(&[op::IORING_REGISTER_FILES2, op::IORING_REGISTER_BUFFERS2]) {
        &[Fd, OPERATION, In(Shape::UringRegister), Uint]
    } else if any(&[op::IORING_REGISTER_FILES_UPDATE2, op::IORING_REGISTER_BUFFERS_UPDATE]) {
        &[Fd, OPERATION, In(Shape::UringUpdate2), Uint]
    } else if is(op::IORING_REGISTER_IOWQ_AFF) {
        &[Fd, OPERATION, Arg::CpusIn(3), Uint]
    } else if any(&[op::IORING_REGISTER_RING_FDS, op::IORING_UNREGISTER_RING_FDS]) {
        &[Fd, OPERATION, ArrayIn(Shape::UringUpdate, Count::Arg(3)), Uint]
    } else if any(&[op::IORING_REGISTER_PBUF_RING, op::IORING_UNREGISTER_PBUF_RING]) {
        &[Fd, OPERATION, In(Shape::UringBuffers), Uint]
    } else if is(op::IORING_REGISTER_SYNC_CANCEL) {
        &[Fd, OPERATION, InOut(Shape::UringCancel), Uint]
    } else if is(op::IORING_REGISTER_FILE_ALLOC_RANGE) {
        &[Fd, OPERATION, In(Shape::UringRange), Uint]
    } else {
        &[Fd, OPERATION, Address, Uint]
    }
}
