//! Names of what calls on the machine and the kernel take.

use super::{CHOICE, Name, number};
use linux_raw_sys::landlock::landlock_rule_type;
use linux_raw_sys::{general, landlock, ptrace};

pub(super) const RANDOM: &[Name] = names! {
    bits { general::GRND_NONBLOCK, general::GRND_RANDOM, general::GRND_INSECURE }
};

pub(super) const REBOOT: &[Name] = names! {
    in (CHOICE) {
        general::LINUX_REBOOT_CMD_RESTART, general::LINUX_REBOOT_CMD_HALT, general::LINUX_REBOOT_CMD_CAD_ON,
        general::LINUX_REBOOT_CMD_CAD_OFF, general::LINUX_REBOOT_CMD_POWER_OFF, general::LINUX_REBOOT_CMD_RESTART2,
        general::LINUX_REBOOT_CMD_SW_SUSPEND, general::LINUX_REBOOT_CMD_KEXEC,
    }
};

pub(super) const SECCOMP: &[Name] = names! {
    in (CHOICE) {
        ptrace::SECCOMP_SET_MODE_STRICT, ptrace::SECCOMP_SET_MODE_FILTER, ptrace::SECCOMP_GET_ACTION_AVAIL,
        ptrace::SECCOMP_GET_NOTIF_SIZES,
    }
};

pub(super) const SECCOMP_FILTER: &[Name] = names! {
    bits {
        ptrace::SECCOMP_FILTER_FLAG_TSYNC, ptrace::SECCOMP_FILTER_FLAG_LOG, ptrace::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        ptrace::SECCOMP_FILTER_FLAG_NEW_LISTENER, ptrace::SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
        ptrace::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    }
};

pub(super) const LANDLOCK_CREATE: &[Name] = names! {
    bits { landlock::LANDLOCK_CREATE_RULESET_VERSION, landlock::LANDLOCK_CREATE_RULESET_ERRATA }
};

pub(super) const LANDLOCK_RULE: &[Name] = names! {
    in (CHOICE) { landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH, landlock_rule_type::LANDLOCK_RULE_NET_PORT }
};

pub(super) const KEYCTL: &[Name] = names! {
    in (CHOICE) {
        libc::KEYCTL_GET_KEYRING_ID, libc::KEYCTL_JOIN_SESSION_KEYRING, libc::KEYCTL_UPDATE, libc::KEYCTL_REVOKE,
        libc::KEYCTL_CHOWN, libc::KEYCTL_SETPERM, libc::KEYCTL_DESCRIBE, libc::KEYCTL_CLEAR, libc::KEYCTL_LINK,
        libc::KEYCTL_UNLINK, libc::KEYCTL_SEARCH, libc::KEYCTL_READ, libc::KEYCTL_INSTANTIATE, libc::KEYCTL_NEGATE,
        libc::KEYCTL_SET_REQKEY_KEYRING, libc::KEYCTL_SET_TIMEOUT, libc::KEYCTL_ASSUME_AUTHORITY,
        libc::KEYCTL_GET_SECURITY, libc::KEYCTL_SESSION_TO_PARENT, libc::KEYCTL_REJECT, libc::KEYCTL_INSTANTIATE_IOV,
        libc::KEYCTL_INVALIDATE, libc::KEYCTL_GET_PERSISTENT,
    }
};

pub(super) const KEYRING: &[Name] = names! {
    in (CHOICE) {
        libc::KEY_SPEC_THREAD_KEYRING, libc::KEY_SPEC_PROCESS_KEYRING, libc::KEY_SPEC_SESSION_KEYRING,
        libc::KEY_SPEC_USER_KEYRING, libc::KEY_SPEC_USER_SESSION_KEYRING, libc::KEY_SPEC_GROUP_KEYRING,
    }
};

/// ioprio_set(2) numbers them from 1; no crate exports them.
pub(super) const IO_PRIORITY: &[Name] =
    &[number(1, "IOPRIO_WHO_PROCESS"), number(2, "IOPRIO_WHO_PGRP"), number(3, "IOPRIO_WHO_USER")];

/// syslog(2) numbers them from 0; no crate exports them.
pub(super) const SYSLOG: &[Name] = &[
    number(0, "SYSLOG_ACTION_CLOSE"),
    number(1, "SYSLOG_ACTION_OPEN"),
    number(2, "SYSLOG_ACTION_READ"),
    number(3, "SYSLOG_ACTION_READ_ALL"),
    number(4, "SYSLOG_ACTION_READ_CLEAR"),
    number(5, "SYSLOG_ACTION_CLEAR"),
    number(6, "SYSLOG_ACTION_CONSOLE_OFF"),
    number(7, "SYSLOG_ACTION_CONSOLE_ON"),
    number(8, "SYSLOG_ACTION_CONSOLE_LEVEL"),
    number(9, "SYSLOG_ACTION_SIZE_UNREAD"),
    number(10, "SYSLOG_ACTION_SIZE_BUFFER"),
];

pub(super) const BPF: &[Name] = names! {};

pub(super) const PERF: &[Name] = names! {};

pub(super) const UNKNOWN_OPTION: &[Name] = names! {};
