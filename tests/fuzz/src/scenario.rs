//! Things that take more than one call: a ring with requests in it, connections, descriptors that hold each other, frames for rt_sigreturn,
//! forbidden instructions, traced children, files that shrink under a mapping.

use crate::arena::PAGE;
use crate::pool::Class;
use crate::raw::{self, sys};
use crate::structs;
use crate::value::Gen;
use linux_raw_sys::io_uring as ring;
use std::sync::atomic::Ordering;
use syscalls::Sysno;

const SCENARIOS: &[(&str, fn(&mut Gen))] = &[
    ("ring", requests),
    ("ring", requests),
    ("ring", requests),
    ("connection", connection),
    ("descriptors in flight", in_flight),
    ("nested epolls", nested),
    ("sigreturn", sigreturn),
    ("misdeed", misdeed),
    ("traced child", traced),
    ("shrinking file", shrinking),
    ("memory that is used", touching),
    ("write to proc", proc_file),
];

/// One of them.
pub fn name(gen_: &mut Gen) -> &'static str {
    gen_.rng.pick(SCENARIOS).0
}

/// Plays it.
pub fn run(name: &str, gen_: &mut Gen) {
    if let Some((_, play)) = SCENARIOS.iter().find(|(known, _)| *known == name) {
        play(gen_);
    }
}

/// Runs something in a child that may die of it.
fn in_child(action: impl FnOnce()) -> i64 {
    let pid = sys(Sysno::fork, &[]);
    if pid == 0 {
        sys(Sysno::alarm, &[1]);
        action();
        sys(Sysno::exit_group, &[0]);
    }
    pid
}

fn reap(pid: i64) {
    if pid > 0 {
        sys(Sysno::wait4, &[pid as u64, 0, 0, 0]);
    }
}

/// Puts requests into a ring and has them served.
fn requests(gen_: &mut Gen) {
    if gen_.pool.ring.is_none() || gen_.rng.chance(5) {
        set_up_ring(gen_);
    }
    let Some((fd, rings, entries, offsets)) = gen_.pool.ring else { return };
    let count = 1 + gen_.rng.below(6) as u32;
    let tail = raw::shared_u32(rings + u64::from(offsets.1));
    let from = tail.load(Ordering::Relaxed);
    for index in 0..count {
        let place = (from.wrapping_add(index)) % 8;
        let words = request(gen_);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        raw::poke(entries + 64 * u64::from(place), &bytes);
        let named = if gen_.rng.chance(3) { gen_.rng.next() as u32 } else { place };
        raw::poke(rings + u64::from(offsets.2) + 4 * u64::from(place), &named.to_le_bytes());
    }
    let added = if gen_.rng.chance(3) { gen_.rng.next() as u32 } else { count };
    tail.store(from.wrapping_add(added), Ordering::Release);
    let wait = u64::from(gen_.rng.chance(5));
    let flags = u64::from(ring::IORING_ENTER_GETEVENTS);
    sys(Sysno::io_uring_enter, &[fd as u64, u64::from(count), wait, flags, 0, 0]);
    if gen_.rng.chance(70) {
        // All answers are taken.
        let head = raw::shared_u32(rings + u64::from(offsets.3));
        head.store(raw::shared_u32(rings + u64::from(offsets.4)).load(Ordering::Acquire), Ordering::Release);
    }
}

fn set_up_ring(gen_: &mut Gen) {
    let mut words = [0u32; 30];
    words[2] = gen_.rng.pick(&[
        0,
        0,
        0,
        ring::IORING_SETUP_SINGLE_ISSUER | ring::IORING_SETUP_DEFER_TASKRUN,
        ring::IORING_SETUP_R_DISABLED,
    ]);
    let fd = sys(Sysno::io_uring_setup, &[8, words.as_mut_ptr() as u64]);
    if fd < 0 {
        return;
    }
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let map = |len: u64, offset: u32| {
        sys(Sysno::mmap, &[0, len, prot, libc::MAP_SHARED as u64, fd as u64, u64::from(offset)])
    };
    let (rings, entries) = (map(PAGE, ring::IORING_OFF_SQ_RING), map(PAGE, ring::IORING_OFF_SQES));
    if rings > 0 && entries > 0 {
        // head, tail and array of requests; head and tail of answers (struct io_uring_params).
        let offsets = (words[10], words[11], words[16], words[20], words[21]);
        gen_.pool.ring = Some((fd as i32, rings as u64, entries as u64, offsets));
    }
    gen_.pool.add(fd, Class::Ring);
}

/// A request, `struct io_uring_sqe` in words.
fn request(gen_: &mut Gen) -> [u64; 8] {
    let code = gen_.rng.below(ring::io_uring_op::IORING_OP_LAST as u64 + 1);
    let flags = if gen_.rng.chance(30) { gen_.flags(&[1, 2, 4, 4, 8, 16, 32, 64]) & 0xff } else { 0 };
    let fd = gen_.fd(None) & 0xffff_ffff;
    let address = match gen_.rng.below(7) {
        0 => structs::iovec(gen_),
        1 => structs::message(gen_),
        2 => gen_.path(),
        3 => structs::timespec(gen_),
        4 => structs::address(gen_),
        5 => structs::epoll_event(gen_),
        _ => gen_.buffer(),
    };
    let offset = match gen_.rng.below(4) {
        0 => u64::MAX,
        1 => gen_.path(),
        _ => gen_.offset(),
    };
    let len = if gen_.rng.chance(60) { gen_.rng.below(4) } else { gen_.len() } & 0xffff_ffff;
    let special = if gen_.rng.chance(60) { 0 } else { gen_.int() & 0xffff_ffff };
    let priority = if gen_.rng.chance(90) { 0 } else { gen_.rng.below(1 << 16) };
    [
        code | flags << 8 | priority << 16 | fd << 32,
        offset,
        address,
        len | special << 32,
        gen_.rng.below(4),
        if gen_.rng.chance(90) { 0 } else { gen_.rng.next() },
        0,
        0,
    ]
}

/// A connection over loopback, which the case's network may have to bring up first.
fn connection(gen_: &mut Gen) {
    let nonblock = libc::SOCK_NONBLOCK as u64;
    let stream = libc::SOCK_STREAM as u64 | nonblock;
    let listener = sys(Sysno::socket, &[libc::AF_INET as u64, stream, 0]);
    let client = sys(Sysno::socket, &[libc::AF_INET as u64, stream, 0]);
    let mut up = [0u8; 40];
    up[..2].copy_from_slice(b"lo");
    up[16] = (libc::IFF_UP | libc::IFF_RUNNING) as u8;
    sys(Sysno::ioctl, &[listener as u64, libc::SIOCSIFFLAGS, up.as_ptr() as u64]);
    let mut address = [0u8; 16];
    address[0] = libc::AF_INET as u8;
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let at = address.as_mut_ptr() as u64;
    let len = 16u32;
    sys(Sysno::bind, &[listener as u64, at, 16]);
    sys(Sysno::listen, &[listener as u64, gen_.rng.below(4)]);
    sys(Sysno::getsockname, &[listener as u64, at, &raw const len as u64]);
    sys(Sysno::connect, &[client as u64, at, 16]);
    let server = sys(Sysno::accept4, &[listener as u64, 0, 0, nonblock]);
    gen_.pool.add(listener, Class::Listener);
    gen_.pool.add(client, Class::Inet);
    gen_.pool.add(server, Class::Inet);
}

/// Sockets that are sent through each other, and closed.
fn in_flight(gen_: &mut Gen) {
    let mut pair = [0i32; 2];
    for _ in 0..1 + gen_.rng.below(3) {
        let kind = gen_.rng.pick(&[libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET]) | libc::SOCK_NONBLOCK;
        if sys(Sysno::socketpair, &[libc::AF_UNIX as u64, kind as u64, 0, pair.as_mut_ptr() as u64]) < 0 {
            return;
        }
        let sent = gen_.rng.pick(&[pair[0], pair[1], gen_.pool.fd(&mut gen_.rng.clone(), None) as i32]);
        let control = [24u64 - 4, libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32, u64::from(sent as u32)];
        let byte = 0u8;
        let vector = [&raw const byte as u64, 1];
        let message = [0, 0, vector.as_ptr() as u64, 1, control.as_ptr() as u64, 24, 0];
        for end in pair {
            sys(Sysno::sendmsg, &[end as u64, message.as_ptr() as u64, libc::MSG_DONTWAIT as u64]);
        }
        for end in pair {
            if gen_.rng.chance(60) {
                sys(Sysno::close, &[end as u64]);
            } else {
                gen_.pool.add(i64::from(end), Class::Unix);
            }
        }
    }
}

/// Epolls in each other, as deep as they may be, or in a circle.
fn nested(gen_: &mut Gen) {
    let mut inner = gen_.fd(None) as i64;
    for _ in 0..1 + gen_.rng.below(8) {
        let outer = sys(Sysno::epoll_create1, &[0]);
        let event = [gen_.rng.pick(&[1u32, 0x8000_0001, 0x4000_0001]), 0, 0];
        sys(Sysno::epoll_ctl, &[outer as u64, 1, inner as u64, event.as_ptr() as u64]);
        gen_.pool.add(outer, Class::Epoll);
        inner = outer;
    }
    let other = gen_.fd(Some(&[Class::Epoll]));
    let event = [1u32, 0, 0];
    sys(Sysno::epoll_ctl, &[other, 1, inner as u64, event.as_ptr() as u64]);
}

/// rt_sigreturn with a frame that is nearly one.
fn sigreturn(gen_: &mut Gen) {
    let mut words = [0u64; 40];
    let stack = gen_.victim + 2 * PAGE;
    words[20] = stack;
    words[21] = match gen_.rng.below(4) {
        0 => gen_.edge(),
        1 => gen_.rng.pick(crate::arena::BAD),
        _ => raw::leave as *const () as u64,
    };
    words[22] = gen_.rng.pick(&[0x202, 0x202, 0x302, 0x4_0202, 0x602, 0x3202, 0x2_0202, 0x4202, u64::MAX]);
    let code = gen_.rng.pick(&[0x33u64, 0x33, 0x33, 0x10, 0x23, 0, 0xffff]);
    words[23] = code | gen_.rng.pick(&[0x2b, 0x2b, 0, 0x18, 0xffff]) << 48;
    words[28] = match gen_.rng.below(4) {
        0 => 0,
        1 => gen_.rng.pick(crate::arena::BAD),
        _ => floating(gen_),
    };
    if gen_.rng.chance(20) {
        let at = gen_.rng.below(40) as usize;
        words[at] = gen_.rng.next();
    }
    let frame = gen_.words(&words);
    reap(in_child(|| raw::sigreturn(frame)));
}

/// Vector state as a frame has it, with a header that may lie.
fn floating(gen_: &mut Gen) -> u64 {
    let mut words = vec![0u64; 120];
    words[0] = 0x37f;
    words[3] = gen_.rng.pick(&[0x1f80, 0x1f80, 0xffff_ffff, 0]);
    words[58] =
        gen_.rng.pick(&[u64::from(0x4650_5853u32), 0]) | gen_.rng.pick(&[836, 0, 2700, u64::from(u32::MAX)]) << 32;
    words[59] = gen_.rng.pick(&[7, 3, u64::MAX, 0]);
    words[60] = gen_.rng.pick(&[832, 576, 2696, u64::from(u32::MAX)]);
    words[64] = gen_.rng.pick(&[7, 3, 0, u64::MAX, 1 << 63]);
    words[65] = gen_.rng.pick(&[0, 0, 1 << 63, u64::MAX]);
    gen_.words(&words)
}

/// An instruction that programs should not execute.
fn misdeed(gen_: &mut Gen) {
    let which = gen_.rng.below(raw::MISDEEDS);
    let word = if gen_.rng.chance(50) { gen_.edge() } else { gen_.rng.pick(crate::arena::BAD) };
    let selector = if which == 12 || which == 13 || which == 14 || which == 15 { gen_.rng.below(0x60) } else { word };
    reap(in_child(|| raw::misbehave(which, selector)));
}

/// A child that stops, whose registers are then set to anything.
fn traced(gen_: &mut Gen) {
    let pid = in_child(|| {
        sys(Sysno::ptrace, &[0, 0, 0, 0]);
        sys(Sysno::tkill, &[sys(Sysno::gettid, &[]) as u64, libc::SIGSTOP as u64]);
        for _ in 0..20 {
            sys(Sysno::getppid, &[]);
        }
    });
    if pid <= 0 {
        return;
    }
    let mut registers = [0u64; 27];
    for _ in 0..1 + gen_.rng.below(6) {
        sys(Sysno::wait4, &[pid as u64, 0, libc::__WALL as u64, 0]);
        sys(Sysno::ptrace, &[libc::PTRACE_GETREGS as u64, pid as u64, 0, registers.as_mut_ptr() as u64]);
        let at = gen_.rng.below(27) as usize;
        registers[at] = if gen_.rng.chance(50) { gen_.edge() } else { gen_.rng.pick(crate::arena::BAD) };
        sys(Sysno::ptrace, &[libc::PTRACE_SETREGS as u64, pid as u64, 0, registers.as_ptr() as u64]);
        let place = gen_.rng.below(120) * 8;
        let value = gen_.rng.next();
        sys(Sysno::ptrace, &[libc::PTRACE_POKEUSER as u64, pid as u64, place, value]);
        let how = gen_.rng.pick(&[libc::PTRACE_CONT, libc::PTRACE_SYSCALL, libc::PTRACE_SINGLESTEP]);
        sys(Sysno::ptrace, &[how as u64, pid as u64, 0, 0]);
    }
    sys(Sysno::kill, &[pid as u64, libc::SIGKILL as u64]);
    reap(pid);
}

/// A file that is mapped, written, and cut off, while calls use the mapping.
fn shrinking(gen_: &mut Gen) {
    let fd = gen_.fd(Some(&[Class::File, Class::Memory]));
    sys(Sysno::ftruncate, &[fd, 4 * PAGE]);
    let kind = gen_.rng.pick(&[libc::MAP_SHARED, libc::MAP_PRIVATE]) as u64;
    let at = sys(Sysno::mmap, &[0, 4 * PAGE, (libc::PROT_READ | libc::PROT_WRITE) as u64, kind, fd, 0]);
    if at <= 0 {
        return;
    }
    let at = at as u64;
    sys(Sysno::pread64, &[fd, at, 2 * PAGE, 0]);
    sys(Sysno::ftruncate, &[fd, gen_.rng.below(4 * PAGE)]);
    sys(Sysno::write, &[fd, at + gen_.rng.below(4) * PAGE, PAGE + 1]);
    sys(Sysno::read, &[fd, at + PAGE, 3 * PAGE]);
    if gen_.rng.chance(50) {
        gen_.pool.areas.truncate(8);
        gen_.pool.areas.push(at);
    } else {
        sys(Sysno::munmap, &[at, 4 * PAGE]);
    }
}

/// Touches memory as a program does: a child reads and writes pages that may not be there.
fn touching(gen_: &mut Gen) {
    let places: Vec<u64> = (0..6).map(|_| gen_.address()).collect();
    let write = gen_.rng.chance(60);
    reap(in_child(|| {
        for place in places {
            raw::misbehave(if write { 21 } else { 20 }, place);
        }
    }));
}

/// Writes something like what belongs there to a file of /proc.
fn proc_file(gen_: &mut Gen) {
    let paths = [
        c"/proc/self/oom_score_adj",
        c"/proc/self/comm",
        c"/proc/self/uid_map",
        c"/proc/self/gid_map",
        c"/proc/self/setgroups",
        c"/proc/self/clear_refs",
        c"/proc/self/timerslack_ns",
        c"/proc/self/attr/current",
        c"/proc/sys/kernel/hostname",
        c"/proc/sys/kernel/sem",
        c"/proc/sys/kernel/shmmax",
        c"/proc/sys/kernel/msgmnb",
        c"/proc/sys/net/ipv4/ip_local_port_range",
        c"/proc/sys/net/core/rmem_max",
        c"/proc/sys/fs/pipe-max-size",
        c"/proc/sys/user/max_user_namespaces",
        c"/proc/sys/kernel/ns_last_pid",
        c"/sys/fs/cgroup/cgroup.procs",
    ];
    let path = gen_.rng.pick(&paths);
    let fd = sys(Sysno::openat, &[libc::AT_FDCWD as u64, path.as_ptr() as u64, libc::O_RDWR as u64]);
    let text = gen_.text();
    let len = gen_.rng.below(24);
    sys(Sysno::write, &[fd as u64, text, len]);
    let at = gen_.offset();
    let size = gen_.len();
    sys(Sysno::pread64, &[fd as u64, gen_.scratch.big(), size, at]);
    sys(Sysno::close, &[fd as u64]);
}
