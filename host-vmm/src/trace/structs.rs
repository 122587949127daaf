//! Structs of the ABI, shown as strace abbreviates them. Offsets are those of linux-raw-sys; what reads them stays within the
//! bytes that were captured.

use super::flags::{self, descriptors, files, process};
use super::text::{address, hex, octal, quoted_string};
use super::time;
use super::{rings, signals};
use core::mem::offset_of;
use linker::calls::{Set, Shape};
use linux_raw_sys::{general, system};

/// A struct, unless fewer bytes of it are there than it has.
pub(super) fn show(shape: Shape, bytes: &[u8]) -> Option<String> {
    let size = usize::try_from(shape.size()).ok()?;
    let at = View(bytes.get(..size)?);
    Some(match shape {
        Shape::I32 | Shape::SchedParam => at.i32(0).to_string(),
        Shape::U32 => at.u32(0).to_string(),
        Shape::I64 => at.i64(0).to_string(),
        Shape::U64 => at.u64(0).to_string(),
        Shape::Pointer => address(at.u64(0)),
        Shape::CapData => capabilities(at),
        Shape::CapHeader => cap_header(at),
        Shape::CloneArgs => clone_args(at),
        Shape::EpollEvent => epoll_event(at),
        Shape::FileTime => file_time(at),
        Shape::Flock => flock(at),
        Shape::FutexWaitv => rings::waitv(at),
        Shape::IoEvent => rings::event(at),
        Shape::Iocb => rings::request(at),
        Shape::Iovec => rings::vector_element(at),
        Shape::Itimerspec => pair("it_interval", timespec(at), "it_value", timespec(at.part(Shape::Timespec))),
        Shape::Itimerval => pair("it_interval", timeval(at), "it_value", timeval(at.part(Shape::Timeval))),
        // What it points to has not been captured either.
        Shape::FilesUpdate | Shape::Message | Shape::UringParams => return None,
        Shape::MountAttr => mount_attr(at),
        Shape::MqAttr => mq_attr(at),
        Shape::OpenHow => open_how(at),
        Shape::Program => format!("{{len={}, filter={}}}", at.u16(0), address(at.u64(8))),
        Shape::Rlimit => rlimit(at),
        Shape::Rusage => rusage(at),
        Shape::SchedAttr => sched_attr(at),
        Shape::Sembuf => sembuf(at),
        Shape::Sigaction => sigaction(at),
        Shape::Sigevent => sigevent(at),
        Shape::Siginfo => siginfo(at),
        Shape::Sigset => signals::set(at.u64(0)),
        Shape::Stack => stack(at),
        Shape::Stat => stat(at),
        Shape::Statfs => statfs(at),
        Shape::Statx => statx(at),
        Shape::Sysinfo => sysinfo(at),
        Shape::Termios => termios(at),
        Shape::Timespec => timespec(at),
        Shape::Timeval => timeval(at),
        Shape::Tms => tms(at),
        Shape::UringBuffers => rings::buffers(at),
        Shape::UringCancel => rings::cancel(at),
        Shape::UringRange => rings::range(at),
        Shape::UringRegister => rings::register(at),
        Shape::UringUpdate => rings::update(at),
        Shape::UringUpdate2 => rings::update_tagged(at),
        Shape::Utimbuf => format!("{{actime={}, modtime={}}}", at.i64(0), at.i64(8)),
        Shape::Utsname => utsname(at),
        Shape::WaitStatus => signals::wait_status(at.i32(0)),
        Shape::Winsize => winsize(at),
    })
}

/// Whether it stands in brackets where it is alone: what is behind a pointer to a number.
pub(super) fn is_scalar(shape: Shape) -> bool {
    matches!(
        shape,
        Shape::I32 | Shape::U32 | Shape::I64 | Shape::U64 | Shape::Pointer | Shape::SchedParam | Shape::WaitStatus
    )
}

/// poll(2)'s descriptors as it takes them.
pub(super) fn poll_in(bytes: &[u8]) -> Vec<String> {
    poll(bytes, "events", offset_of!(general::pollfd, events)).into_iter().map(|(text, _)| text).collect()
}

/// The same as it returns them: those where something came.
pub(super) fn poll_out(bytes: &[u8]) -> Vec<String> {
    let all = poll(bytes, "revents", offset_of!(general::pollfd, revents));
    all.into_iter().filter(|(_, events)| *events != 0).map(|(text, _)| text).collect()
}

fn poll(bytes: &[u8], name: &str, offset: usize) -> Vec<(String, u16)> {
    let one = |bytes| {
        let at = View(bytes);
        let events = at.u16(offset);
        let names = flags::named(descriptors::POLL_EVENTS, u64::from(events));
        (format!("{{fd={}, {name}={names}}}", at.i32(offset_of!(general::pollfd, fd))), events)
    };
    bytes.chunks_exact(size_of::<general::pollfd>()).map(one).collect()
}

/// The base and length of an iovec.
pub(super) fn iovec(bytes: &[u8]) -> (u64, u64) {
    let at = View(bytes);
    (at.u64(offset_of!(general::iovec, iov_base)), at.u64(offset_of!(general::iovec, iov_len)))
}

/// The numbers of the bits that are set, as a set of descriptors or CPUs is shown.
pub(super) fn bits(bytes: &[u8]) -> String {
    let set = |index: &usize| bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 != 0);
    let members: Vec<String> = (0..bytes.len() * 8).filter(set).map(|index| index.to_string()).collect();
    format!("[{}]", members.join(" "))
}

/// A mode with the kind of file it has.
pub(super) fn mode(value: u32) -> String {
    let kind = value & general::S_IFMT;
    let mut parts = Vec::new();
    if kind != 0 {
        parts.push(flags::named(files::FILE_TYPE, u64::from(kind)));
    }
    let special = [(general::S_ISUID, "S_ISUID"), (general::S_ISGID, "S_ISGID"), (general::S_ISVTX, "S_ISVTX")];
    parts.extend(special.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned()));
    let rest = general::S_IRWXU | general::S_IRWXG | general::S_IRWXO;
    parts.push(octal(u64::from(value & rest)));
    parts.join("|")
}

/// A device's number, of which 32 bits are in use: makedev(3).
pub(super) fn device(value: u64) -> String {
    let major = value >> 8 & 0xfff;
    let minor = value & 0xff | value >> 12 & 0xf_ff00;
    format!("makedev({}, {})", hex(major), hex(minor))
}

/// Bytes with fields at offsets; what is not there reads as 0.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(pub(super) &'a [u8]);

impl<'a> View<'a> {
    fn bytes<const N: usize>(self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(super) fn u16(self, offset: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(offset))
    }

    pub(super) fn u32(self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(offset))
    }

    pub(super) fn i32(self, offset: usize) -> i32 {
        i32::from_ne_bytes(self.bytes(offset))
    }

    pub(super) fn u64(self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(offset))
    }

    pub(super) fn i64(self, offset: usize) -> i64 {
        i64::from_ne_bytes(self.bytes(offset))
    }

    /// What follows a first struct of this shape.
    fn part(self, first: Shape) -> View<'a> {
        self.after(usize::try_from(first.size()).unwrap_or(usize::MAX))
    }

    pub(super) fn after(self, offset: usize) -> View<'a> {
        View(self.0.get(offset..).unwrap_or(&[]))
    }
}

fn pair(first: &str, one: String, second: &str, two: String) -> String {
    format!("{{{first}={one}, {second}={two}}}")
}

pub(super) fn timespec(at: View) -> String {
    format!("{{tv_sec={}, tv_nsec={}}}", at.i64(0), at.i64(offset_of!(general::__kernel_timespec, tv_nsec)))
}

pub(super) fn timeval(at: View) -> String {
    format!("{{tv_sec={}, tv_usec={}}}", at.i64(0), at.i64(offset_of!(general::timeval, tv_usec)))
}

fn file_time(at: View) -> String {
    let (seconds, ns) = (at.i64(0), at.i64(offset_of!(general::__kernel_timespec, tv_nsec)));
    match ns {
        ns if ns == i64::from(general::UTIME_NOW) => "UTIME_NOW".to_owned(),
        ns if ns == i64::from(general::UTIME_OMIT) => "UTIME_OMIT".to_owned(),
        0 if seconds == 0 => timespec(at),
        ns => format!("{} /* {} */", timespec(at), time::date(seconds, ns)),
    }
}

fn stat(at: View) -> String {
    let bits = at.u32(offset_of!(general::stat, st_mode));
    let size = match bits & general::S_IFMT {
        general::S_IFCHR | general::S_IFBLK => {
            format!("st_rdev={}", device(at.u64(offset_of!(general::stat, st_rdev))))
        }
        _ => format!("st_size={}", at.i64(offset_of!(general::stat, st_size))),
    };
    format!("{{st_mode={}, {size}, ...}}", mode(bits))
}

fn statx(at: View) -> String {
    format!(
        "{{stx_mask={}, stx_attributes={}, stx_mode={}, stx_size={}, ...}}",
        flags::show(Set::Statx, u64::from(at.u32(offset_of!(general::statx, stx_mask)))),
        flags::named(files::STATX_ATTR, at.u64(offset_of!(general::statx, stx_attributes))),
        mode(u32::from(at.u16(offset_of!(general::statx, stx_mode)))),
        at.u64(offset_of!(general::statx, stx_size)),
    )
}

/// "f_flags is there": Linux always sets it (linux/statfs.h, not exported).
const ST_VALID: u64 = 0x20;

fn statfs(at: View) -> String {
    let bits = at.u64(offset_of!(general::statfs, f_flags));
    let names = match (bits & ST_VALID, bits & !ST_VALID) {
        (0, bits) => flags::named(files::STATFS_FLAGS, bits),
        (_, 0) => "ST_VALID".to_owned(),
        (_, bits) => format!("ST_VALID|{}", flags::named(files::STATFS_FLAGS, bits)),
    };
    let number = |offset| at.i64(offset);
    let fsid = offset_of!(general::statfs, f_fsid);
    format!(
        "{{f_type={}, f_bsize={}, f_blocks={}, f_bfree={}, f_bavail={}, f_files={}, f_ffree={}, \
         f_fsid={{val=[{}, {}]}}, f_namelen={}, f_frsize={}, f_flags={}}}",
        flags::named(files::FILE_SYSTEM, at.u64(offset_of!(general::statfs, f_type))),
        number(offset_of!(general::statfs, f_bsize)),
        number(offset_of!(general::statfs, f_blocks)),
        number(offset_of!(general::statfs, f_bfree)),
        number(offset_of!(general::statfs, f_bavail)),
        number(offset_of!(general::statfs, f_files)),
        number(offset_of!(general::statfs, f_ffree)),
        hex(u64::from(at.u32(fsid))),
        hex(u64::from(at.u32(fsid + size_of::<u32>()))),
        number(offset_of!(general::statfs, f_namelen)),
        number(offset_of!(general::statfs, f_frsize)),
        names,
    )
}

fn flock(at: View) -> String {
    let kind = at.u16(offset_of!(general::flock, l_type));
    let whence = at.u16(offset_of!(general::flock, l_whence));
    // Only F_GETLK returns whose lock it is.
    let pid = match at.i32(offset_of!(general::flock, l_pid)) {
        0 => String::new(),
        pid => format!(", l_pid={pid}"),
    };
    format!(
        "{{l_type={}, l_whence={}, l_start={}, l_len={}{pid}}}",
        flags::named(descriptors::LOCK_TYPE, u64::from(kind)),
        flags::show(Set::Whence, u64::from(whence)),
        at.i64(offset_of!(general::flock, l_start)),
        at.i64(offset_of!(general::flock, l_len)),
    )
}

fn open_how(at: View) -> String {
    let bits = at.u64(offset_of!(general::open_how, flags));
    let mode = match at.u64(offset_of!(general::open_how, mode)) {
        0 => String::new(),
        mode => format!(", mode={}", octal(mode)),
    };
    let resolve = flags::named(files::RESOLVE, at.u64(offset_of!(general::open_how, resolve)));
    format!("{{flags={}{mode}, resolve={resolve}}}", flags::show(Set::Open, bits))
}

fn mount_attr(at: View) -> String {
    format!(
        "{{attr_set={}, attr_clr={}, propagation={}, userns_fd={}}}",
        flags::show(Set::MountAttr, at.u64(offset_of!(general::mount_attr, attr_set))),
        flags::show(Set::MountAttr, at.u64(offset_of!(general::mount_attr, attr_clr))),
        flags::show(Set::Mount, at.u64(offset_of!(general::mount_attr, propagation))),
        at.u64(offset_of!(general::mount_attr, userns_fd)),
    )
}

fn epoll_event(at: View) -> String {
    let data = at.after(offset_of!(general::epoll_event, data));
    let events = flags::named(descriptors::EPOLL_EVENTS, u64::from(at.u32(0)));
    format!("{{events={events}, data={{u32={}, u64={}}}}}", data.u32(0), data.u64(0))
}

/// clone(2): what no flag asks for is left out.
fn clone_args(at: View) -> String {
    let names = [process::CLONE, process::CLONE3].concat();
    let bits = at.u64(offset_of!(general::clone_args, flags));
    let asked = |flags: u32, name: &str, offset: usize| {
        if bits & u64::from(flags) == 0 { String::new() } else { format!(", {name}={}", address(at.u64(offset))) }
    };
    let child = general::CLONE_CHILD_SETTID | general::CLONE_CHILD_CLEARTID;
    format!(
        "{{flags={}{}{}{}, exit_signal={}, stack={}, stack_size={}{}}}",
        flags::named(&names, bits),
        asked(general::CLONE_PIDFD, "pidfd", offset_of!(general::clone_args, pidfd)),
        asked(child, "child_tid", offset_of!(general::clone_args, child_tid)),
        asked(general::CLONE_PARENT_SETTID, "parent_tid", offset_of!(general::clone_args, parent_tid)),
        signals::name(at.i32(offset_of!(general::clone_args, exit_signal))),
        address(at.u64(offset_of!(general::clone_args, stack))),
        hex(at.u64(offset_of!(general::clone_args, stack_size))),
        asked(general::CLONE_SETTLS, "tls", offset_of!(general::clone_args, tls)),
    )
}

fn rlimit(at: View) -> String {
    let limit = |offset| match at.u64(offset) {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        value if value > 1024 && value.is_multiple_of(1024) => format!("{}*1024", value / 1024),
        value => value.to_string(),
    };
    let (soft, hard) = (offset_of!(general::rlimit64, rlim_cur), offset_of!(general::rlimit64, rlim_max));
    pair("rlim_cur", limit(soft), "rlim_max", limit(hard))
}

fn rusage(at: View) -> String {
    let system = at.after(offset_of!(general::rusage, ru_stime));
    format!("{{ru_utime={}, ru_stime={}, ...}}", timeval(at), timeval(system))
}

fn sigaction(at: View) -> String {
    let handler = match at.u64(offset_of!(general::kernel_sigaction, sa_handler_kernel)) {
        handler if handler == libc::SIG_DFL as u64 => "SIG_DFL".to_owned(),
        handler if handler == libc::SIG_IGN as u64 => "SIG_IGN".to_owned(),
        handler => address(handler),
    };
    let bits = at.u64(offset_of!(general::kernel_sigaction, sa_flags));
    let restorer = if bits & u64::from(general::SA_RESTORER) == 0 {
        String::new()
    } else {
        format!(", sa_restorer={}", address(at.u64(offset_of!(general::kernel_sigaction, sa_restorer))))
    };
    format!(
        "{{sa_handler={handler}, sa_mask={}, sa_flags={}{restorer}}}",
        signals::set(at.u64(offset_of!(general::kernel_sigaction, sa_mask))),
        flags::named(process::ACTION_FLAGS, bits),
    )
}

fn sigevent(at: View) -> String {
    let notify = at.i32(offset_of!(general::sigevent, sigev_notify));
    format!(
        "{{sigev_value={{sival_int={}, sival_ptr={}}}, sigev_signo={}, sigev_notify={}}}",
        at.i32(0),
        address(at.u64(0)),
        signals::name(at.i32(offset_of!(general::sigevent, sigev_signo))),
        flags::named(process::NOTIFY, u64::from(notify as u32)),
    )
}

fn siginfo(at: View) -> String {
    use general::siginfo__bindgen_ty_1__bindgen_ty_1 as Info;
    let signal = at.i32(offset_of!(Info, si_signo));
    let code = at.i32(offset_of!(Info, si_code));
    let fields = at.after(offset_of!(Info, _sifields));
    let child = signal == general::SIGCHLD as i32 && code > 0;
    let names = if child { process::CHILD_CODE } else { process::SENT_CODE };
    let mut text =
        format!("{{si_signo={}, si_code={}", signals::name(signal), flags::named(names, u64::from(code as u32)));
    // From a process: code 0 and below. A child's has the same two first.
    if child || code <= 0 {
        text += &format!(", si_pid={}, si_uid={}", fields.i32(0), fields.u32(size_of::<i32>()));
    }
    if child {
        let status = fields.i32(offset_of!(general::__sifields__bindgen_ty_4, _status));
        let exited = code == general::CLD_EXITED as i32;
        text += &format!(", si_status={}", if exited { status.to_string() } else { signals::name(status) });
        text += &format!(", si_utime={}", fields.i64(offset_of!(general::__sifields__bindgen_ty_4, _utime)));
        text += &format!(", si_stime={}", fields.i64(offset_of!(general::__sifields__bindgen_ty_4, _stime)));
    } else if code == general::SI_QUEUE {
        let value = fields.after(offset_of!(general::__sifields__bindgen_ty_3, _sigval));
        text += &format!(", si_int={}, si_ptr={}", value.i32(0), address(value.u64(0)));
    } else if code > 0 {
        text += &format!(", si_addr={}", address(fields.u64(0)));
    }
    text + "}"
}

fn stack(at: View) -> String {
    format!(
        "{{ss_sp={}, ss_flags={}, ss_size={}}}",
        address(at.u64(0)),
        flags::named(process::STACK_FLAGS, u64::from(at.u32(offset_of!(general::sigaltstack, ss_flags)))),
        at.u64(offset_of!(general::sigaltstack, ss_size)),
    )
}

fn cap_header(at: View) -> String {
    let version = match at.u32(0) {
        general::_LINUX_CAPABILITY_VERSION_1 => "_LINUX_CAPABILITY_VERSION_1".to_owned(),
        general::_LINUX_CAPABILITY_VERSION_2 => "_LINUX_CAPABILITY_VERSION_2".to_owned(),
        general::_LINUX_CAPABILITY_VERSION_3 => "_LINUX_CAPABILITY_VERSION_3".to_owned(),
        other => format!("{other:#x}"),
    };
    format!("{{version={version}, pid={}}}", at.i32(offset_of!(general::__user_cap_header_struct, pid)))
}

/// Version 3: the lower and the upper 32 bits of each set are in two structs.
fn capabilities(at: View) -> String {
    use general::__user_cap_data_struct as Data;
    let set = |offset| {
        let bits = u64::from(at.u32(offset)) | u64::from(at.after(size_of::<Data>()).u32(offset)) << 32;
        let name = |bit: u64| format!("1<<{}", flags::show(Set::Capability, bit));
        let names: Vec<String> = (0..64).filter(|bit| bits >> bit & 1 != 0).map(name).collect();
        if names.is_empty() { "0".to_owned() } else { names.join("|") }
    };
    format!(
        "{{effective={}, permitted={}, inheritable={}}}",
        set(offset_of!(Data, effective)),
        set(offset_of!(Data, permitted)),
        set(offset_of!(Data, inheritable)),
    )
}

/// mq_getattr(3): four longs.
fn mq_attr(at: View) -> String {
    let bits = flags::show(Set::Pipe, at.u64(0));
    let [most, size, current] = [8, 16, 24].map(|offset| at.i64(offset));
    format!("{{mq_flags={bits}, mq_maxmsg={most}, mq_msgsize={size}, mq_curmsgs={current}}}")
}

/// sched_setattr(2).
fn sched_attr(at: View) -> String {
    format!(
        "{{size={}, sched_policy={}, sched_flags={}, sched_nice={}, sched_priority={}, sched_runtime={}, \
         sched_deadline={}, sched_period={}}}",
        at.u32(0),
        flags::show(Set::Scheduler, u64::from(at.u32(4))),
        hex(at.u64(8)),
        at.i32(16),
        at.u32(20),
        at.u64(24),
        at.u64(32),
        at.u64(40),
    )
}

/// semop(2).
fn sembuf(at: View) -> String {
    let operation = at.u16(2).cast_signed();
    let bits = flags::named(flags::SEM_FLAGS, u64::from(at.u16(4)));
    format!("{{sem_num={}, sem_op={operation}, sem_flg={bits}}}", at.u16(0))
}

fn sysinfo(at: View) -> String {
    let load = |index: usize| at.u64(offset_of!(system::sysinfo, loads) + index * size_of::<u64>());
    let number = |offset| at.u64(offset);
    format!(
        "{{uptime={}, loads=[{}, {}, {}], totalram={}, freeram={}, sharedram={}, bufferram={}, totalswap={}, \
         freeswap={}, procs={}, totalhigh={}, freehigh={}, mem_unit={}}}",
        at.i64(0),
        load(0),
        load(1),
        load(2),
        number(offset_of!(system::sysinfo, totalram)),
        number(offset_of!(system::sysinfo, freeram)),
        number(offset_of!(system::sysinfo, sharedram)),
        number(offset_of!(system::sysinfo, bufferram)),
        number(offset_of!(system::sysinfo, totalswap)),
        number(offset_of!(system::sysinfo, freeswap)),
        at.u16(offset_of!(system::sysinfo, procs)),
        number(offset_of!(system::sysinfo, totalhigh)),
        number(offset_of!(system::sysinfo, freehigh)),
        at.u32(offset_of!(system::sysinfo, mem_unit)),
    )
}

fn termios(at: View) -> String {
    let [output, control, local] = [
        offset_of!(general::termios, c_oflag),
        offset_of!(general::termios, c_cflag),
        offset_of!(general::termios, c_lflag),
    ]
    .map(|offset| at.u32(offset));
    let sign = |word: u32, bit: u32| if word & bit == 0 { "-" } else { "" };
    format!(
        "{{{} {}opost {}isig {}icanon {}echo ...}}",
        flags::named(process::BAUD, u64::from(control & general::CBAUD)),
        sign(output, general::OPOST),
        sign(local, general::ISIG),
        sign(local, general::ICANON),
        sign(local, general::ECHO),
    )
}

/// times(2).
fn tms(at: View) -> String {
    let [user, system, children, of_children] = [0, 8, 16, 24].map(|offset| at.i64(offset));
    format!("{{tms_utime={user}, tms_stime={system}, tms_cutime={children}, tms_cstime={of_children}}}")
}

fn utsname(at: View) -> String {
    let node = at.after(offset_of!(system::new_utsname, nodename));
    format!("{{sysname={}, nodename={}, ...}}", quoted_string(at.0, false), quoted_string(node.0, false))
}

fn winsize(at: View) -> String {
    let field = |offset| at.u16(offset);
    format!(
        "{{ws_row={}, ws_col={}, ws_xpixel={}, ws_ypixel={}}}",
        field(offset_of!(general::winsize, ws_row)),
        field(offset_of!(general::winsize, ws_col)),
        field(offset_of!(general::winsize, ws_xpixel)),
        field(offset_of!(general::winsize, ws_ypixel)),
    )
}
