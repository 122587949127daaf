//! perf_event_open.

use super::table::{Level, Row, arg, finish, row};
use super::task::read_extensible;
use super::{Fd, UserPtr};
use crate::errno::Errno;
use crate::perf::file::{PerfFile, format};
use crate::perf::{Event, Kind, Options};
use crate::platform::platform;
use crate::task::access::may_attach;
use crate::task::{Cap, Current, Tid, registry};
use bitflags::bitflags;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// PERF_FLAG_* (linux/perf_event.h).
    #[derive(Clone, Copy)]
    pub struct OpenPerf: u64 {
        /// The group's descriptor is for output only.
        const NO_GROUP = 1;
        /// Samples go to the group's buffer.
        const OUTPUT = 1 << 1;
        /// The number is a control group's descriptor.
        const CGROUP = 1 << 2;
        /// FD_CLOEXEC.
        const CLOEXEC = 1 << 3;
    }
}

impl super::args::FromArg for OpenPerf {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Self::from_bits(raw).ok_or(Errno::EINVAL)
    }
}

/// struct perf_event_attr (linux/perf_event.h), the first version with the fields behind it that Linux 6.1 knows.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint_kind: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved_2: u16,
    aux_sample_size: u32,
    reserved_3: u32,
    signal_data: u64,
}

/// PERF_ATTR_SIZE_VER0 and VER7.
const ATTR_SIZE_FIRST: u32 = 64;
const _: () = assert!(size_of::<Attr>() == 128);

/// The bits of `Attr::flags` that matter here, and those that nobody may set.
mod flag {
    pub const DISABLED: u64 = 1;
    pub const INHERIT: u64 = 1 << 1;
    pub const EXCLUDE_USER: u64 = 1 << 4;
    pub const EXCLUDE_KERNEL: u64 = 1 << 5;
    pub const ENABLE_ON_EXEC: u64 = 1 << 12;
    pub const INHERIT_THREAD: u64 = 1 << 35;
    pub const RESERVED: u64 = u64::MAX << 38;
}

/// PERF_TYPE_*.
const SOFTWARE: u32 = 1;
/// PERF_SAMPLE_MAX of Linux 6.1.
const SAMPLE_TYPES: u64 = (1 << 25) - 1;

/// perf_event_open(2): an event that counts what a thread does.
pub fn perf_event_open(
    current: &mut Current,
    attr: UserPtr<Attr>,
    pid: i32,
    cpu: i32,
    group: Fd,
    flags: OpenPerf,
) -> Result<Fd, Errno> {
    let attr = read(current, attr)?;
    // As with kernel.perf_event_paranoid at 3.
    if !current.creds.has(Cap::Perfmon) && !current.creds.has(Cap::SysAdmin) {
        return Err(Errno::EACCES);
    }
    if flags.contains(OpenPerf::CGROUP) {
        // There is one control group, and it counts nothing.
        return Err(if pid == -1 || cpu == -1 { Errno::EINVAL } else { Errno::EBADF });
    }
    let leader = match group.raw() {
        -1 => None,
        _ => Some(current.file(group)?.downcast::<PerfFile>().ok_or(Errno::EBADF)?.event().leader()),
    };
    let leader = leader.filter(|_| !flags.contains(OpenPerf::NO_GROUP));
    let inherit = attr.flags & flag::INHERIT != 0;
    if pid == -1 {
        // No CPU is counted by itself.
        let known = (0..platform().cpus() as i32).contains(&cpu);
        return Err(if known { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let task = match u32::try_from(pid) {
        Ok(0) => current.task.clone(),
        Ok(pid) => registry().task(current.meant(Tid::new(pid))).ok_or(Errno::ESRCH)?,
        Err(_) => return Err(Errno::ESRCH),
    };
    if leader.as_ref().is_some_and(|leader| leader.options().inherit != inherit) {
        return Err(Errno::EINVAL);
    }
    if !may_attach(current, &task) {
        return Err(Errno::EACCES);
    }
    if cpu < -1 || cpu >= platform().cpus() as i32 {
        return Err(Errno::EINVAL);
    }
    let kind = kind(&attr)?;
    if attr.sample_period != 0 || cpu != -1 {
        // Nothing is sampled, and what a thread does is not counted by CPU.
        return Err(Errno::EOPNOTSUPP);
    }
    let options = Options {
        kind,
        inherit,
        threads_only: attr.flags & flag::INHERIT_THREAD != 0,
        enable_on_exec: attr.flags & flag::ENABLE_ON_EXEC != 0,
        exclude_user: attr.flags & flag::EXCLUDE_USER != 0,
        exclude_kernel: attr.flags & flag::EXCLUDE_KERNEL != 0,
        format: attr.read_format,
    };
    let event = Event::new(options, &task, leader, attr.flags & flag::DISABLED == 0);
    current.add_file(PerfFile::open(event), flags.contains(OpenPerf::CLOEXEC))
}

/// What Linux's perf_copy_attr takes. A size that is impossible is answered with the one that is known.
fn read(current: &Current, at: UserPtr<Attr>) -> Result<Attr, Errno> {
    let size_at = at.addr().checked_add(4).ok_or(Errno::EFAULT)?;
    let size = match UserPtr::<u32>::new(size_at).read(current)? {
        0 => ATTR_SIZE_FIRST,
        size => size,
    };
    let given =
        if size < ATTR_SIZE_FIRST { Err(Errno::E2BIG) } else { read_extensible(current, at.addr(), size as usize) };
    let attr: Attr = given.inspect_err(|errno| {
        if *errno == Errno::E2BIG {
            // Linux does not look whether that can be written, either.
            let _ = UserPtr::<u32>::new(size_at).write(current, &(size_of::<Attr>() as u32));
        }
    })?;
    let wrong = attr.flags & flag::RESERVED != 0
        || attr.reserved_2 != 0
        || attr.reserved_3 != 0
        || attr.sample_type & !SAMPLE_TYPES != 0
        || attr.read_format & !format::ALL != 0;
    if wrong { Err(Errno::EINVAL) } else { Ok(attr) }
}

/// ENOENT for what this machine has no counter for.
fn kind(attr: &Attr) -> Result<Kind, Errno> {
    if attr.kind != SOFTWARE {
        return Err(Errno::ENOENT);
    }
    // enum perf_sw_ids.
    Ok(match attr.config {
        0 | 1 => Kind::Clock,
        2 => Kind::Faults,
        3 => Kind::Switches,
        4 => Kind::Migrations,
        5 => Kind::MinorFaults,
        6 => Kind::MajorFaults,
        // Alignment and emulation faults; nothing at all.
        7..=9 => Kind::Nothing,
        _ => return Err(Errno::ENOENT),
    })
}

pub(super) const ROWS: &[Row] = &[row!(
    perf_event_open = perf_event_open(5),
    Partial,
    "software events of threads, counted: no samples and no counters by CPU (EOPNOTSUPP), no buffer to map; hardware events: ENOENT"
)];
