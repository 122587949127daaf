//! Calls that are answered with an errno: what Linux says where the feature is not built in, or not allowed. The notes say why.

use super::policy;
use super::table::{Answer, Level, Row};
use crate::errno::Errno;
use syscalls::Sysno;

/// A row that says an errno, with one log line a number.
macro_rules! absent {
    ($name:ident, $errno:ident, $note:literal) => {
        Row {
            number: Sysno::$name as u32,
            name: stringify!($name),
            arguments: 0,
            handler: |current| Answer::of(current, |current| Err(policy::unsupported(current.regs.rax, Errno::$errno))),
            level: Level::Unsupported,
            note: concat!($note, ": ", stringify!($errno)),
        }
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Numbers that 64-bit Linux gave out and does not serve (any more).
    absent!(uselib, ENOSYS, "removed from Linux"),
    absent!(_sysctl, ENOSYS, "removed from Linux 5.5"),
    absent!(create_module, ENOSYS, "removed from Linux 2.6"),
    absent!(get_kernel_syms, ENOSYS, "removed from Linux 2.6"),
    absent!(query_module, ENOSYS, "removed from Linux 2.6"),
    absent!(nfsservctl, ENOSYS, "removed from Linux 3.1"),
    absent!(getpmsg, ENOSYS, "never served by Linux"),
    absent!(putpmsg, ENOSYS, "never served by Linux"),
    absent!(afs_syscall, ENOSYS, "never served by Linux"),
    absent!(tuxcall, ENOSYS, "never served by Linux"),
    absent!(security, ENOSYS, "never served by Linux"),
    absent!(vserver, ENOSYS, "never served by Linux"),
    absent!(set_thread_area, ENOSYS, "32-bit programs only"),
    absent!(get_thread_area, ENOSYS, "32-bit programs only"),
    absent!(epoll_ctl_old, ENOSYS, "never served by Linux"),
    absent!(epoll_wait_old, ENOSYS, "never served by Linux"),
    absent!(lookup_dcookie, ENOSYS, "removed from Linux 6.7"),
    // The machine's own: a container has none of it.
    absent!(vhangup, EPERM, "no CAP_SYS_TTY_CONFIG for the container's terminals"),
    absent!(modify_ldt, ENOSYS, "as without CONFIG_MODIFY_LDT_SYSCALL"),
    absent!(acct, ENOSYS, "as without CONFIG_BSD_PROCESS_ACCT"),
    absent!(swapon, EPERM, "no swap"),
    absent!(swapoff, EPERM, "no swap"),
    absent!(reboot, EPERM, "the machine is the host's"),
    absent!(kexec_load, EPERM, "the kernel is the sandbox's own"),
    absent!(kexec_file_load, EPERM, "the kernel is the sandbox's own"),
    absent!(init_module, EPERM, "no kernel modules"),
    absent!(finit_module, EPERM, "no kernel modules"),
    absent!(quotactl, ENOSYS, "as without CONFIG_QUOTA"),
    absent!(quotactl_fd, ENOSYS, "as without CONFIG_QUOTA"),
    absent!(bpf, EPERM, "no BPF; as with kernel.unprivileged_bpf_disabled"),
    absent!(uretprobe, ENOSYS, "no probes"),
    absent!(uprobe, ENOSYS, "no probes"),
    absent!(lsm_list_modules, ENOSYS, "as before Linux 6.8"),
    absent!(map_shadow_stack, EOPNOTSUPP, "no shadow stacks"),
    absent!(memfd_secret, ENOSYS, "as without secretmem.enable"),
    absent!(lsm_get_self_attr, EOPNOTSUPP, "no security module with attributes"),
    absent!(lsm_set_self_attr, EOPNOTSUPP, "no security module with attributes"),
    // One node of memory.
    absent!(set_mempolicy_home_node, ENOSYS, "one memory node; as without CONFIG_NUMA"),
    // Not written yet.
    absent!(file_getattr, EOPNOTSUPP, "no file system has such attributes"),
    absent!(file_setattr, EOPNOTSUPP, "no file system has such attributes"),
];

#[cfg(test)]
mod tests {
    use super::super::table::{Level, rows};
    use syscalls::Sysno;

    #[test]
    fn every_call_that_has_a_number_has_a_row() {
        let missing: alloc::vec::Vec<_> = Sysno::iter()
            .filter(|sysno| !rows().any(|row| row.number as usize == sysno.id() as usize))
            .map(|sysno| sysno.name())
            .collect();
        assert!(missing.is_empty(), "no row for {missing:?}");
    }

    #[test]
    fn rows_that_are_not_full_say_why() {
        for row in rows() {
            assert!(row.level == Level::Full || !row.note.is_empty(), "{}: {:?}", row.name, row.note);
        }
    }
}
