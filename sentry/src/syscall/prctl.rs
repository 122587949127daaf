//! prctl(2), arch_prctl(2), personality(2).

use super::ids::{change_credentials, set_keep_caps};
use super::table::{Level, Row, arg, finish, row};
use super::{UserPtr, UserStr};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::{Cap, Current, LAST_CAP, SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE, SECBITS};
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linux_raw_sys::{general as raw, prctl as pr};
use syscalls::Sysno;

/// prctl(2).
pub fn prctl(current: &mut Current, option: u32, a: u64, b: u64, c: u64, d: u64) -> Result<u64, Errno> {
    let unused = |rest: &[u64]| if rest.iter().all(|arg| *arg == 0) { Ok(()) } else { Err(Errno::EINVAL) };
    let at = |address: u64| UserPtr::<u32>::new(UserVa::new(address));
    match option {
        pr::PR_SET_NAME => {
            let name = read_name(current, a)?;
            current.task.set_name(&name);
            Ok(0)
        }
        pr::PR_GET_NAME => {
            current.copy_out(UserVa::new(a), &current.task.name())?;
            Ok(0)
        }
        pr::PR_SET_PDEATHSIG => {
            if a > 64 {
                return Err(Errno::EINVAL);
            }
            current.task.parent_death_signal.store(a as u32, Ordering::Relaxed);
            Ok(0)
        }
        pr::PR_GET_PDEATHSIG => {
            at(a).write(current, &current.task.parent_death_signal.load(Ordering::Relaxed))?;
            Ok(0)
        }
        pr::PR_GET_DUMPABLE => Ok(u64::from(current.process.dumpable())),
        pr::PR_SET_DUMPABLE => {
            if a > 1 {
                return Err(Errno::EINVAL);
            }
            current.process.set_dumpable(a as u32);
            Ok(0)
        }
        pr::PR_SET_CHILD_SUBREAPER => {
            current.process.set_subreaper(a != 0);
            Ok(0)
        }
        pr::PR_GET_CHILD_SUBREAPER => {
            at(a).write(current, &u32::from(current.process.is_subreaper()))?;
            Ok(0)
        }
        pr::PR_SET_NO_NEW_PRIVS => {
            unused(&[b, c, d])?;
            if a != 1 {
                return Err(Errno::EINVAL);
            }
            change_credentials(current, |creds| {
                creds.no_new_privs = true;
                Ok(())
            })?;
            Ok(0)
        }
        pr::PR_GET_NO_NEW_PRIVS => {
            unused(&[a, b, c, d])?;
            Ok(u64::from(current.creds.no_new_privs))
        }
        pr::PR_SET_SECCOMP => super::seccomp::set_mode(current, a, b),
        pr::PR_GET_SECCOMP => Ok(super::seccomp::mode(current)),
        pr::PR_SET_KEEPCAPS => set_keep_caps(current, a).map(|()| 0),
        pr::PR_GET_KEEPCAPS => Ok(u64::from(current.creds.securebits & SECBIT_KEEP_CAPS != 0)),
        pr::PR_CAPBSET_READ => {
            if a > u64::from(LAST_CAP) {
                return Err(Errno::EINVAL);
            }
            Ok(current.creds.caps.bounding >> a & 1)
        }
        pr::PR_CAPBSET_DROP => {
            if !current.creds.has_own(Cap::Setpcap) {
                return Err(Errno::EPERM);
            }
            if a > u64::from(LAST_CAP) {
                return Err(Errno::EINVAL);
            }
            change_credentials(current, |creds| {
                creds.caps.bounding &= !(1 << a);
                Ok(())
            })?;
            Ok(0)
        }
        pr::PR_GET_SECUREBITS => Ok(u64::from(current.creds.securebits)),
        pr::PR_SET_SECUREBITS => set_securebits(current, a).map(|()| 0),
        pr::PR_CAP_AMBIENT => ambient(current, a as u32, b, &[c, d]),
        pr::PR_SET_TIMERSLACK => {
            current.timer_slack_ns = if a == 0 { current.default_timer_slack_ns } else { a };
            Ok(0)
        }
        pr::PR_GET_TIMERSLACK => Ok(current.timer_slack_ns),
        pr::PR_GET_TIMING => Ok(u64::from(pr::PR_TIMING_STATISTICAL)),
        pr::PR_SET_TIMING if a == u64::from(pr::PR_TIMING_STATISTICAL) => Ok(0),
        pr::PR_GET_TSC => {
            at(a).write(current, &pr::PR_TSC_ENABLE)?;
            Ok(0)
        }
        pr::PR_SET_TSC if a == u64::from(pr::PR_TSC_ENABLE) => Ok(0),
        pr::PR_GET_TID_ADDRESS => {
            UserPtr::<u64>::new(UserVa::new(a)).write(current, &current.clear_child_tid)?;
            Ok(0)
        }
        pr::PR_SET_THP_DISABLE => {
            unused(&[b, c, d])?;
            current.process.set_no_huge_pages(a != 0);
            Ok(0)
        }
        pr::PR_GET_THP_DISABLE => {
            unused(&[a, b, c, d])?;
            Ok(u64::from(current.process.has_no_huge_pages()))
        }
        pr::PR_MCE_KILL_GET => {
            unused(&[a, b, c, d])?;
            Ok(u64::from(pr::PR_MCE_KILL_DEFAULT))
        }
        pr::PR_GET_IO_FLUSHER => {
            unused(&[a, b, c, d])?;
            if current.creds.has(Cap::SysResource) { Ok(0) } else { Err(Errno::EPERM) }
        }
        // PR_SET_VMA (names of anonymous areas): Linux's errno where it is not configured.
        _ => Err(Errno::EINVAL),
    }
}

/// TASK_COMM_LEN bytes at most; a longer name is cut.
fn read_name(current: &Current, at: u64) -> Result<alloc::vec::Vec<u8>, Errno> {
    match UserStr::new(UserVa::new(at)).read(current, 16, Errno::E2BIG) {
        Err(Errno::E2BIG) => {
            let mut name = alloc::vec![0; 15];
            current.copy_in(UserVa::new(at), &mut name)?;
            Ok(name)
        }
        result => result,
    }
}

/// Linux's default timer slack.
pub const DEFAULT_TIMER_SLACK_NS: u64 = 50_000;

fn set_securebits(current: &mut Current, bits: u64) -> Result<(), Errno> {
    let old = current.creds.securebits;
    // Each odd bit locks the even bit below it.
    let locked = (old & 0xaa) >> 1 | old & 0xaa;
    let changed = old ^ bits as u32;
    if bits > u64::from(SECBITS) || changed & locked != 0 || !current.creds.has_own(Cap::Setpcap) {
        return Err(Errno::EPERM);
    }
    change_credentials(current, |creds| {
        creds.securebits = bits as u32;
        Ok(())
    })
}

fn ambient(current: &mut Current, action: u32, cap: u64, rest: &[u64]) -> Result<u64, Errno> {
    if rest.iter().any(|arg| *arg != 0) {
        return Err(Errno::EINVAL);
    }
    if action == pr::PR_CAP_AMBIENT_CLEAR_ALL {
        if cap != 0 {
            return Err(Errno::EINVAL);
        }
        return change_credentials(current, |creds| {
            creds.caps.ambient = 0;
            Ok(())
        })
        .map(|()| 0);
    }
    if cap > u64::from(LAST_CAP) {
        return Err(Errno::EINVAL);
    }
    let bit = 1 << cap;
    match action {
        pr::PR_CAP_AMBIENT_IS_SET => Ok(u64::from(current.creds.caps.ambient & bit != 0)),
        pr::PR_CAP_AMBIENT_LOWER => change_credentials(current, |creds| {
            creds.caps.ambient &= !bit;
            Ok(())
        })
        .map(|()| 0),
        pr::PR_CAP_AMBIENT_RAISE => change_credentials(current, |creds| {
            let allowed = creds.caps.permitted & creds.caps.inheritable & bit != 0;
            if !allowed || creds.securebits & SECBIT_NO_CAP_AMBIENT_RAISE != 0 {
                return Err(Errno::EPERM);
            }
            creds.caps.ambient |= bit;
            Ok(())
        })
        .map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// arch_prctl(2)'s codes (arch/x86/include/uapi/asm/prctl.h); linux-raw-sys has only the first.
const ARCH_SET_FS: u32 = raw::ARCH_SET_FS;
const ARCH_SET_GS: u32 = 0x1001;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;
const ARCH_GET_CPUID: u32 = 0x1011;
const ARCH_SET_CPUID: u32 = 0x1012;

/// arch_prctl(2): the thread pointer. (CPUID cannot be made to fault, as on a CPU without that feature.)
pub fn arch_prctl(current: &mut Current, code: u32, address: u64) -> Result<u32, Errno> {
    let at = UserPtr::<u64>::new(UserVa::new(address));
    let valid = address < linker::layout::USER_END;
    // Programs may change the bases without asking.
    platform().sync_segment_bases(&mut current.regs);
    match code {
        ARCH_SET_FS if valid => current.regs.fs_base = address,
        ARCH_SET_GS if valid => current.regs.gs_base = address,
        ARCH_SET_FS | ARCH_SET_GS => return Err(Errno::EPERM),
        ARCH_GET_FS => at.write(current, &current.regs.fs_base)?,
        ARCH_GET_GS => at.write(current, &current.regs.gs_base)?,
        ARCH_GET_CPUID => return Ok(1),
        ARCH_SET_CPUID => return Err(Errno::ENODEV),
        _ => return Err(Errno::EINVAL),
    }
    platform().load_segment_bases(&current.regs);
    Ok(0)
}

/// personality(2).
pub fn personality(current: &mut Current, persona: u32) -> Result<u32, Errno> {
    let old = current.personality;
    if persona != u32::MAX {
        current.personality = persona;
    }
    Ok(old)
}

pub(super) const ROWS: &[Row] = &[
    row!(prctl = prctl(5), Partial, "no PR_SET_MM, no PR_SET_VMA"),
    row!(arch_prctl = arch_prctl(2), Full, ""),
    row!(personality = personality(1), Partial, "ADDR_NO_RANDOMIZE only; other bits are remembered"),
];
