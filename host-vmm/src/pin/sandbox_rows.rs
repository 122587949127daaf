//! What the sandbox process may ask of the host: it runs a VM, moves data on descriptors it was given, and ends.

use crate::pin::filter::{Arg, Row};
use linux_raw_sys::ioctl::TIOCGWINSZ;
use syscalls::Sysno;

const fn kvm(direction: u32, number: u32, size: u32) -> u32 {
    // Linux's asm-generic/ioctl.h: direction, size, type, number.
    direction << 30 | size << 16 | kvm_bindings::KVMIO << 8 | number
}
// Documentation/virt/kvm/api.rst; kvm-ioctls keeps these private.
const KVM_RUN: u32 = kvm(0, 0x80, 0);
const KVM_GET_REGS: u32 = kvm(2, 0x81, size_of::<kvm_bindings::kvm_regs>() as u32);
const KVM_GET_SREGS: u32 = kvm(2, 0x83, size_of::<kvm_bindings::kvm_sregs>() as u32);
const KVM_GET_XSAVE: u32 = kvm(2, 0xa4, 4096);
const KVM_SET_XSAVE: u32 = kvm(1, 0xa5, 4096);

const KVM_SIGNAL_MSI: u32 = kvm(1, 0xa5, size_of::<kvm_bindings::kvm_msi>() as u32);

const ANY: &[&[Arg]] = &[];

/// One row a call.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { call: Sysno::ioctl,         when: &[&[Arg::Is(1, KVM_RUN)], &[Arg::Is(1, KVM_SIGNAL_MSI)], &[Arg::Is(1, TIOCGWINSZ)],
                                              &[Arg::Is(1, KVM_GET_REGS)], &[Arg::Is(1, KVM_GET_SREGS)],
                                              &[Arg::Is(1, KVM_GET_XSAVE)], &[Arg::Is(1, KVM_SET_XSAVE)]],
                                                          why: "run a vCPU, interrupt it, say where it died, switch its vectors; a terminal's size" },
    Row { call: Sysno::preadv2,       when: ANY,          why: "data from files and streams into guest memory; eventfds" },
    Row { call: Sysno::pwritev2,      when: ANY,          why: "data from guest memory to files and streams; eventfds; stderr" },
    Row { call: Sysno::ppoll,         when: ANY,          why: "is a stream ready that RWF_NOWAIT does not work on" },
    Row { call: Sysno::epoll_pwait,   when: ANY,          why: "the worker sleeps" },
    Row { call: Sysno::epoll_ctl,     when: ANY,          why: "polls of streams come and go" },
    Row { call: Sysno::sendmsg,       when: ANY,          why: "calls to the gofer; a violation's report" },
    Row { call: Sysno::recvmsg,       when: ANY,          why: "answers and files from the gofer; the parent's notices" },
    Row { call: Sysno::close,         when: ANY,          why: "donated files" },
    Row { call: Sysno::fstat,         when: ANY,          why: "attributes of open files" },
    Row { call: Sysno::lseek,         when: ANY,          why: "positions of standard streams, holes in files" },
    Row { call: Sysno::ftruncate,     when: ANY,          why: "open files" },
    Row { call: Sysno::fallocate,     when: ANY,          why: "open files" },
    Row { call: Sysno::fsync,         when: ANY,          why: "open files" },
    Row { call: Sysno::madvise,       when: &[&[Arg::Is(2, linux_raw_sys::general::MADV_DONTNEED)],
                                              &[Arg::Is(2, linux_raw_sys::general::MADV_NOHUGEPAGE)]],
                                                          why: "guest pages go back to the host, and our code's that is not run" },
    Row { call: Sysno::futex,         when: ANY,          why: "locks between threads" },
    Row { call: Sysno::brk,           when: ANY,          why: "malloc" },
    Row { call: Sysno::getrandom,     when: ANY,          why: "fresh entropy for the guest" },
    Row { call: Sysno::clock_gettime, when: ANY,          why: "the time of day, where the host's vDSO cannot tell" },
    Row { call: Sysno::exit_group,    when: ANY,          why: "the end" },
];
