//! Processes: fork without exec, the report of a seccomp violation, and the end. One of the three files of this crate that may
//! contain unsafe code.

use linker::probe::{CALL, Parts};
use linux_raw_sys::general::{CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_INTO_CGROUP, clone_args};
use linux_raw_sys::io_uring::{IORING_SETUP_R_DISABLED, io_uring_params, io_uring_register_op};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};

/// Ends the process at once, with all its threads. Nothing is flushed and no destructor runs: nothing here needs either.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Forks a child that runs `main` and ends with its code. The caller has only one thread.
pub fn fork_child(main: impl FnOnce() -> u8) -> Result<Pid, rustix::io::Errno> {
    // SAFETY: the process has one thread (the CLI starts none, and the children fork no more), so that the child may do
    // whatever the parent might have done.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => exit_now(main()),
        Ok(nix::unistd::ForkResult::Parent { child }) => Pid::from_raw(child.as_raw()).ok_or(rustix::io::Errno::CHILD),
        Err(errno) => Err(rustix::io::Errno::from_raw_os_error(errno as i32)),
    }
}

/// As `fork_child`, with the child in the cgroup of this directory from the start, if that is possible: `main` is told. To move a
/// process Linux waits until all its CPUs have passed by, milliseconds; for one that is born there it does not.
pub fn fork_child_into(
    cgroup: Option<BorrowedFd<'_>>,
    main: impl FnOnce(bool) -> u8,
) -> Result<Pid, rustix::io::Errno> {
    match cgroup.map(clone_into) {
        Some(Ok(0)) => exit_now(main(true)),
        Some(Ok(pid)) => Pid::from_raw(pid).ok_or(rustix::io::Errno::CHILD),
        // Whatever is wrong will be wrong with a move as well, which says so better.
        Some(Err(_)) | None => fork_child(|| main(false)),
    }
}

/// clone3(2) into a cgroup; 0 in the child, else its number.
fn clone_into(cgroup: BorrowedFd<'_>) -> Result<i32, rustix::io::Errno> {
    let mut thread: u64 = 0;
    // SAFETY: the kernel writes one address at its argument.
    if unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut thread) } != 0 {
        return Err(last_error());
    }
    let flags = CLONE_INTO_CGROUP | u64::from(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID);
    let (exit_signal, cgroup) = (libc::SIGCHLD as u64, cgroup.as_raw_fd() as u64);
    let (pidfd, parent_tid, stack, stack_size, tls, set_tid, set_tid_size) = (0, 0, 0, 0, 0, 0, 0);
    let child_tid = thread;
    let arguments = clone_args {
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        set_tid,
        set_tid_size,
        cgroup,
    };
    // SAFETY: as in `fork_child`, the process has one thread, and the child a copy of all its memory, stack included. `thread` is where
    // the C library keeps that thread's number, as it told the kernel itself: it is right in the child as after fork(3).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<clone_args>()) };
    if pid < 0 { Err(last_error()) } else { Ok(pid as i32) }
}

/// Sees to it that this process's end is not delayed by what these descriptors stand for: to take a VM or a packet socket down Linux
/// waits until all its CPUs have passed by, one time after the other, tens of milliseconds. They are registered with an io_uring, which
/// is disabled and has no other use; it is taken down, and they with it, by a thread of the kernel's. `None` where there is no
/// io_uring to be had: the end then takes as long as it does.
pub fn close_behind(files: &[RawFd]) -> Option<OwnedFd> {
    // SAFETY: an all-zero io_uring_params is a valid value.
    let mut params: io_uring_params = unsafe { std::mem::zeroed() };
    params.flags = IORING_SETUP_R_DISABLED;
    // SAFETY: the kernel reads and writes `params`, and makes a descriptor.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, &raw mut params) };
    if ring < 0 {
        return None;
    }
    // SAFETY: the descriptor is new and nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(ring as RawFd) };
    let register = io_uring_register_op::IORING_REGISTER_FILES as u32;
    // SAFETY: the kernel reads as many numbers as it is told, and takes references to what they stand for.
    let registered = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), register, files.as_ptr(), files.len() as u32)
    };
    (registered == 0).then_some(ring)
}

/// Sets what becomes of a signal: its default, nothing, never a handler.
pub fn set_signal_action(signal: nix::sys::signal::Signal, action: &nix::sys::signal::SigAction) {
    if matches!(action.handler(), nix::sys::signal::SigHandler::SigDfl | nix::sys::signal::SigHandler::SigIgn) {
        // SAFETY: no handler is installed, so none can break anything.
        let _ = unsafe { nix::sys::signal::sigaction(signal, action) };
    }
}

/// Bit N: the caller had closed descriptor N.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Rust's runtime opens /dev/null in the place of closed standard streams before `main`, so this comes before the runtime.
// SAFETY: the C library calls what stands in this section with no need for anything to be set up; the function makes three
// system calls and sets an atomic.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_CLOSED_STREAMS: extern "C" fn() = note_closed_streams;

extern "C" fn note_closed_streams() {
    for stream in 0..3 {
        // SAFETY: F_GETFD takes any number.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } < 0 {
            CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
        }
    }
}

/// The standard streams that the caller left open, by their numbers.
pub fn standard_streams() -> [Option<u32>; 3] {
    let closed = CLOSED.load(Ordering::Relaxed);
    [0, 1, 2].map(|stream| (closed >> stream & 1 == 0).then_some(stream))
}

/// Bit N: the caller left descriptor 3 + N open for the program, and nobody has taken it over yet.
static INHERITED: AtomicU64 = AtomicU64::new(0);

/// Closes what the caller left open beside the standard streams and the first `kept` descriptors behind them.
pub fn close_inherited(kept: u32) {
    let kept = kept.min(u64::BITS);
    for number in 0..kept {
        // SAFETY: F_GETFD takes any number.
        if unsafe { libc::fcntl(3 + number as RawFd, libc::F_GETFD) } >= 0 {
            INHERITED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
    // SAFETY: called first of all, when this process owns no descriptor above 2 yet. A kernel without close_range(2)
    // leaves them open; they are of no use to the sandbox, which cannot name them.
    unsafe { libc::syscall(libc::SYS_close_range, 3 + kept, u32::MAX, 0u32) };
}

/// Takes over a descriptor behind the standard streams that `close_inherited` kept; `None` where there is none.
pub fn inherited(number: u32) -> Option<OwnedFd> {
    let bit = 1_u64.checked_shl(number.checked_sub(3)?)?;
    if INHERITED.fetch_and(!bit, Ordering::Relaxed) & bit == 0 {
        return None;
    }
    // SAFETY: it was open before this process opened anything, and its bit gave it away once.
    Some(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Closes everything but the standard streams and `keep`: what a forked child got and has no use for. Of the structures that own
/// the others, none may be used or dropped in this process any more, which therefore ends by `exit_now`.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) {
    let mut numbers: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    numbers.sort_unstable();
    let mut next = 3u32;
    for number in numbers.into_iter().chain([u32::MAX]) {
        if number > next {
            let last = if number == u32::MAX { number } else { number - 1 };
            // SAFETY: the caller holds no owner of these that it uses again.
            unsafe { libc::syscall(libc::SYS_close_range, next, last, 0u32) };
        }
        next = next.max(number.saturating_add(1));
    }
}

/// Takes what a probed sandbox has added up of this thread's system calls (`linker::probe`); ENOSYS anywhere else.
pub fn take_parts() -> std::io::Result<Parts> {
    let mut parts = Parts::default();
    // SAFETY: the call writes one `Parts` at its argument, which is ours, and any bits are one; where the number is unknown it does
    // nothing.
    match unsafe { libc::syscall(CALL as libc::c_long, &raw mut parts) } {
        0 => Ok(parts),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Makes malloc use the one heap only: brk(2), and neither mmap(2) nor an arena a thread. Called before threads exist.
pub fn use_one_heap() {
    // SAFETY: mallopt has no precondition; a value it does not like changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Gives back whole pages of the heap that are free: brk(2), madvise(2).
pub fn trim_heap() {
    // SAFETY: it has no precondition and leaves alone what is allocated.
    unsafe { libc::malloc_trim(0) };
}

static VIOLATIONS: AtomicI32 = AtomicI32::new(-1);

/// First byte of a violation's report.
pub const VIOLATION: u8 = 0xff;

/// From now on a system call that the filter traps is reported on `socket`, as `[VIOLATION, low, high]`, and ends the process.
/// The socket stays open for ever.
pub fn report_violations(socket: BorrowedFd<'_>) -> Result<(), rustix::io::Errno> {
    VIOLATIONS.store(socket.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: an all-zero sigaction is a valid value, filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = violated;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is initialised, and the handler calls async-signal-safe functions only.
    match unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(rustix::io::Errno::INVAL),
    }
}

extern "C" fn violated(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid ucontext to an SA_SIGINFO handler; RAX is the number of the trapped call.
    let number = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RAX as usize] };
    let socket: RawFd = VIOLATIONS.load(Ordering::Relaxed);
    let mut text = [VIOLATION, number as u8, (number >> 8) as u8];
    let mut vector = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    // SAFETY: an all-zero msghdr is a valid value, filled in below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    // SAFETY: `message` points to a live vector; sendmsg is async-signal-safe and in every filter.
    unsafe { libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    exit_now(crate::report::FAILURE)
}

/// getsockopt(2) into `value`; returns the length.
pub fn get_socket_option(
    socket: BorrowedFd<'_>,
    level: u32,
    name: u32,
    value: &mut [u8],
) -> Result<usize, rustix::io::Errno> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes as many bytes as `len` says, which is how many there are, and says in `len` how many it wrote.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level as i32, name as i32, value.as_mut_ptr().cast(), &raw mut len)
    };
    if result == 0 { Ok((len as usize).min(value.len())) } else { Err(last_error()) }
}

/// bind(2) of a packet socket to all that comes in on an interface (packet(7)).
pub fn bind_packet(socket: BorrowedFd<'_>, interface: u32) -> Result<(), rustix::io::Errno> {
    // SAFETY: an all-zero sockaddr_ll is a valid value, filled in below.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface as i32;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, which is all of `address`.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// setsockopt(2). The option is one of those whose value is no more than its bytes (`pin::host_rows::SETTABLE`).
pub fn set_socket_option(socket: BorrowedFd<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), rustix::io::Errno> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads as many bytes as `len` says, which is how many there are, and no option of the list points further.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level as i32, name as i32, value.as_ptr().cast(), len) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// What recvmsg(2) says of a message.
pub struct Message {
    /// Bytes that it had, or that were put down of it.
    pub bytes: usize,
    /// MSG_*.
    pub flags: u32,
    /// Bytes of control messages.
    pub control: usize,
    /// Who sent it.
    pub from: Option<SocketAddr>,
}

/// recvmsg(2) on a socket of the internet's, with control messages: on these they are no descriptors.
pub fn receive_message(
    socket: BorrowedFd<'_>,
    data: &mut [u8],
    control: &mut [u8],
    flags: u32,
) -> Result<Message, rustix::io::Errno> {
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let mut name = [0_u8; size_of::<libc::sockaddr_in6>()];
    // SAFETY: an all-zero msghdr is a valid value, filled in below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = name.len() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    // SAFETY: all of `message` points to live buffers with as many bytes as it says.
    let bytes = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags as i32) };
    let bytes = usize::try_from(bytes).map_err(|_| last_error())?;
    let flags = message.msg_flags as u32;
    Ok(Message { bytes, flags, control: message.msg_controllen.min(control.len()), from: decode(&name) })
}

/// sendmsg(2) with control messages that are plain values.
pub fn send_message(
    socket: BorrowedFd<'_>,
    to: Option<SocketAddr>,
    data: &[u8],
    control: &[u8],
    flags: u32,
) -> Result<usize, rustix::io::Errno> {
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut name = to.map(encode).unwrap_or_default();
    let mut control = control.to_vec();
    // SAFETY: an all-zero msghdr is a valid value, filled in below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = name.len() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    // SAFETY: all of `message` points to live buffers with as many bytes as it says; the kernel only reads them.
    let bytes = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags as i32) };
    usize::try_from(bytes).map_err(|_| last_error())
}

/// `struct sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)).
fn encode(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => [&(libc::AF_INET as u16).to_ne_bytes()[..], &port, &v4.ip().octets(), &[0; 8]].concat(),
        SocketAddr::V6(v6) => [
            &(libc::AF_INET6 as u16).to_ne_bytes()[..],
            &port,
            &v6.flowinfo().to_ne_bytes(),
            &v6.ip().octets(),
            &v6.scope_id().to_ne_bytes(),
        ]
        .concat(),
    }
}

fn decode(name: &[u8; size_of::<libc::sockaddr_in6>()]) -> Option<SocketAddr> {
    let (head, rest) = name.split_first_chunk::<4>()?;
    let [f0, f1, p0, p1] = *head;
    let port = u16::from_be_bytes([p0, p1]);
    match i32::from(u16::from_ne_bytes([f0, f1])) {
        libc::AF_INET => Some((*rest.first_chunk::<4>()?, port).into()),
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (flow, scope) = (u32::from_ne_bytes(*flow), u32::from_ne_bytes(*rest.first_chunk()?));
            Some(SocketAddrV6::new((*ip).into(), port, flow, scope).into())
        }
        _ => None,
    }
}

fn last_error() -> rustix::io::Errno {
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    rustix::io::Errno::from_raw_os_error(errno)
}

/// As many descriptors as the system gives: the container's files cost some.
pub fn raise_file_limit() {
    let most: Option<u64> =
        std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: most, maximum: most };
    if most.is_none() || setrlimit(Resource::Nofile, wanted).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}
