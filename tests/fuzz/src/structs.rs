//! Structures that calls point to, nearly right: each function builds one in scratch memory and returns where it is.

use crate::raw;
use crate::value::Gen;
use linux_raw_sys::general as g;

/// `struct timespec`: mostly short.
pub fn timespec(gen_: &mut Gen) -> u64 {
    let words = time(gen_);
    gen_.words(&words)
}

/// NULL or a timespec.
pub fn timespec_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(20, timespec)
}

fn time(gen_: &mut Gen) -> [u64; 2] {
    match gen_.rng.below(8) {
        0 => [gen_.edge(), gen_.edge()],
        1 => [0, 0],
        2 => [0, 1],
        3 => [gen_.rng.below(1 << 31), 999_999_999],
        _ => [0, gen_.rng.below(3_000_000)],
    }
}

/// Two of them: intervals, times of a file.
pub fn two_times(gen_: &mut Gen) -> u64 {
    let (a, b) = (time(gen_), time(gen_));
    let special = [u64::from(g::UTIME_NOW), u64::from(g::UTIME_OMIT)];
    let nanos = if gen_.rng.chance(20) { gen_.rng.pick(&special) } else { a[1] };
    gen_.words(&[a[0], nanos, b[0], b[1]])
}

/// As before, or NULL.
pub fn two_times_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(20, two_times)
}

/// A set of signals.
pub fn sigset(gen_: &mut Gen) -> u64 {
    let bits = match gen_.rng.below(4) {
        0 => u64::MAX,
        1 => 0,
        2 => gen_.rng.next(),
        _ => 1 << gen_.rng.below(64),
    };
    gen_.words(&[bits])
}

/// NULL or a set.
pub fn sigset_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(30, sigset)
}

/// A set's size, mostly.
pub fn set_size(gen_: &mut Gen) -> u64 {
    if gen_.rng.chance(95) { 8 } else { gen_.edge() }
}

/// A pointer to a set and its size, as pselect6 has them.
pub fn sized_set(gen_: &mut Gen) -> u64 {
    let set = sigset_or_null(gen_);
    gen_.words(&[set, 8])
}

/// `struct sigaction`.
pub fn sigaction(gen_: &mut Gen) -> u64 {
    let handler = match gen_.rng.below(10) {
        0 => gen_.edge(),
        1 | 2 => 0,
        3 | 4 => 1,
        _ => raw::handler as *const () as u64,
    };
    let all =
        [g::SA_RESTART, g::SA_NODEFER, g::SA_ONSTACK, g::SA_RESETHAND, g::SA_SIGINFO, g::SA_NOCLDWAIT, g::SA_NOCLDSTOP];
    let wide: Vec<u64> = all.iter().map(|bit| u64::from(*bit)).collect();
    let flags = gen_.flags(&wide) | u64::from(g::SA_RESTORER);
    let mask = if gen_.rng.chance(50) { 0 } else { gen_.rng.next() };
    gen_.words(&[handler, flags, raw::restorer as *const () as u64, mask])
}

/// NULL or one.
pub fn sigaction_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(10, sigaction)
}

/// `stack_t`: sometimes on pages that change.
pub fn stack(gen_: &mut Gen) -> u64 {
    let at = if gen_.rng.chance(60) { gen_.scratch.big() } else { gen_.address() };
    let flags = gen_.rng.pick(&[0, 0, 0, 1, 2, 1 << 31]);
    let size = gen_.rng.pick(&[8192, 16384, 2048, 2047, 0, u64::MAX]);
    gen_.words(&[at, flags, size])
}

/// siginfo_t.
pub fn siginfo(gen_: &mut Gen) -> u64 {
    let mut words = [0; 16];
    words[0] = gen_.signal();
    let code = gen_.rng.pick(&[-1i32, -2, -3, -6, 0, 1, 0x80]);
    words[1] = u64::from(code as u32);
    for word in &mut words[2..] {
        *word = gen_.rng.next();
    }
    gen_.words(&words)
}

/// `struct sigevent`.
pub fn sigevent(gen_: &mut Gen) -> u64 {
    let signal = gen_.signal() as u32;
    let how = gen_.rng.pick(&[0, 1, 2, 4, 9]);
    let tid = gen_.pool.pid(&mut gen_.rng) as u32;
    let value = gen_.rng.next();
    gen_.words(&[value, u64::from(signal) | how << 32, u64::from(tid), 0, 0, 0, 0, 0])
}

/// NULL or one.
pub fn sigevent_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(20, sigevent)
}

/// An array of `struct iovec`.
pub fn iovec(gen_: &mut Gen) -> u64 {
    let count = gen_.rng.pick(&[1, 1, 2, 3, 8, 40]);
    let mut words = Vec::new();
    for _ in 0..count {
        let at = gen_.buffer();
        let len = gen_.len();
        words.extend([at, len]);
    }
    gen_.words(&words)
}

/// How many of them.
pub fn iovecs(gen_: &mut Gen) -> u64 {
    match gen_.rng.below(12) {
        0 => gen_.edge(),
        1 => gen_.rng.pick(&[0, 1023, 1024, 1025]),
        _ => 1 + gen_.rng.below(4),
    }
}

/// A socket's address.
pub fn address(gen_: &mut Gen) -> u64 {
    let bytes = address_bytes(gen_);
    gen_.bytes(&bytes)
}

/// NULL or one.
pub fn address_or_null(gen_: &mut Gen) -> u64 {
    gen_.or_null(40, address)
}

fn address_bytes(gen_: &mut Gen) -> Vec<u8> {
    let mut bytes = Vec::new();
    let port = gen_.rng.pick(&[0u16, 1, 53, 4000, 4001, 4002, 65535]);
    match gen_.rng.below(10) {
        0..3 => {
            bytes.extend((libc::AF_INET as u16).to_le_bytes());
            bytes.extend(port.to_be_bytes());
            let ip =
                gen_.rng.pick(&[0x7f00_0001u32, 0x7f00_0001, 0, 0x0a00_0001, 0xe000_0001, 0xffff_ffff, 0x7f00_0002]);
            bytes.extend(ip.to_be_bytes());
            bytes.extend([0; 8]);
        }
        3..5 => {
            bytes.extend((libc::AF_INET6 as u16).to_le_bytes());
            bytes.extend(port.to_be_bytes());
            bytes.extend([0; 4]);
            let mut ip = [0u8; 16];
            match gen_.rng.below(4) {
                0 => {}
                1 => ip[10..16].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]),
                2 => ip[..2].copy_from_slice(&[0xff, 0x02]),
                _ => ip[15] = 1,
            }
            bytes.extend(ip);
            bytes.extend((gen_.rng.below(3) as u32).to_le_bytes());
        }
        5..8 => {
            bytes.extend((libc::AF_UNIX as u16).to_le_bytes());
            let name = gen_.rng.pick(&["sock0", "sock1", "\0one", "\0two", "d0/sock", "f0", "", "no-such/sock"]);
            bytes.extend(name.as_bytes());
            bytes.push(0);
            if gen_.rng.chance(10) {
                bytes.resize(112, b'z');
            }
        }
        8 => {
            bytes.extend((libc::AF_NETLINK as u16).to_le_bytes());
            bytes.extend([0; 10]);
        }
        _ => {
            let family = gen_.rng.below(45) as u16;
            bytes.extend(family.to_le_bytes());
            bytes.extend((0..26).map(|_| gen_.rng.next() as u8));
        }
    }
    bytes
}

/// Length of an address.
pub fn address_len(gen_: &mut Gen) -> u64 {
    gen_.rng.pick(&[16, 16, 16, 28, 28, 8, 8, 7, 12, 110, 2, 1, 0, 111, 128, 129, u64::MAX, 0x7fff_ffff])
}

/// Where such a length is.
pub fn address_len_at(gen_: &mut Gen) -> u64 {
    let len = address_len(gen_) as u32;
    gen_.halves(&[len])
}

/// `struct msghdr`, with what goes beside the data.
pub fn message(gen_: &mut Gen) -> u64 {
    let words = message_words(gen_);
    gen_.words(&words)
}

fn message_words(gen_: &mut Gen) -> [u64; 7] {
    let name = address_or_null(gen_);
    let name_len = if name == 0 { 0 } else { address_len(gen_) & 0xffff_ffff };
    let vector = iovec(gen_);
    let count = iovecs(gen_);
    let (control, len) = control(gen_);
    [name, name_len, vector, count, control, len, gen_.rng.pick(&[0, 0, 0x40, u64::MAX])]
}

fn control(gen_: &mut Gen) -> (u64, u64) {
    if gen_.rng.chance(40) {
        return (0, 0);
    }
    let mut bytes = Vec::new();
    for _ in 0..1 + gen_.rng.below(2) {
        let (level, kind, data): (i32, i32, Vec<u8>) = match gen_.rng.below(6) {
            0..3 => {
                let count = gen_.rng.pick(&[1, 1, 2, 5, 253, 254]);
                let fds = (0..count).flat_map(|_| (gen_.fd(None) as u32).to_le_bytes()).collect();
                (libc::SOL_SOCKET, libc::SCM_RIGHTS, fds)
            }
            3 => {
                let ids = [gen_.pool.pid(&mut gen_.rng) as u32, 0, 0];
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS, ids.iter().flat_map(|id| id.to_le_bytes()).collect())
            }
            4 => {
                let (level, kind) = gen_.rng.pick(&[
                    (libc::IPPROTO_IP, libc::IP_TTL),
                    (libc::IPPROTO_IP, libc::IP_TOS),
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
                    (libc::SOL_UDP, libc::UDP_SEGMENT),
                ]);
                let len = gen_.rng.pick(&[2, 4, 12, 20]);
                (level, kind, (0..len).map(|_| gen_.rng.below(3) as u8).collect())
            }
            _ => {
                let len = gen_.rng.below(40);
                (gen_.int() as i32, gen_.rng.below(20) as i32, (0..len).map(|_| gen_.rng.next() as u8).collect())
            }
        };
        let claimed = if gen_.rng.chance(10) { gen_.edge() } else { 16 + data.len() as u64 };
        bytes.extend(claimed.to_le_bytes());
        bytes.extend(level.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(&data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let len = if gen_.rng.chance(10) { gen_.len() } else { bytes.len() as u64 };
    (gen_.bytes(&bytes), len)
}

/// Several messages.
pub fn messages(gen_: &mut Gen) -> u64 {
    let mut words = Vec::new();
    for _ in 0..1 + gen_.rng.below(4) {
        words.extend(message_words(gen_));
        words.push(0);
    }
    gen_.words(&words)
}

/// `struct epoll_event`, packed.
pub fn epoll_event(gen_: &mut Gen) -> u64 {
    let events =
        gen_.rng.pick(&[1u32, 4, 5, 0x2001, 1 << 31 | 1, 1 << 30 | 1, 1 << 28 | 1, 1 << 29 | 5, 0, 0xffff_ffff]);
    let word = gen_.rng.next();
    gen_.halves(&[events, word as u32, (word >> 32) as u32])
}

/// An array of `struct pollfd`.
pub fn pollfds(gen_: &mut Gen) -> u64 {
    let mut words = Vec::new();
    for _ in 0..1 + gen_.rng.below(6) {
        let events = gen_.rng.pick(&[1, 4, 5, 0xffff, 0x2000, 2, 0]);
        words.extend([gen_.fd(None) as u32, events]);
    }
    gen_.halves(&words)
}

/// A set of descriptors, or NULL.
pub fn fd_set(gen_: &mut Gen) -> u64 {
    if gen_.rng.chance(30) {
        return 0;
    }
    let bits = gen_.rng.next() & gen_.rng.next();
    gen_.words(&[bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// A futex: in memory that only this process has, or that all share.
pub fn futex_word(gen_: &mut Gen) -> u64 {
    match gen_.rng.below(12) {
        0 => gen_.any(4),
        1 => gen_.address(),
        2..6 => gen_.victim + 16 * 4096 + 4 * gen_.rng.below(4),
        _ => gen_.victim + 4 * gen_.rng.below(4),
    }
}

/// What a futex holds.
pub fn futex_value(gen_: &mut Gen) -> u64 {
    let tid = raw::sys(syscalls::Sysno::gettid, &[]) as u64;
    gen_.rng.pick(&[0, 0, 0, 0, 1, tid, 1 << 31, 1 << 30, 0x7fff_ffff, u64::MAX])
}

/// An array of `struct futex_waitv`.
pub fn futex_waitv(gen_: &mut Gen) -> u64 {
    let mut words = Vec::new();
    for _ in 0..1 + gen_.rng.below(3) {
        let at = futex_word(gen_);
        let flags = gen_.rng.pick(&[2, 2, 2 | 128, 0, 3, u64::MAX]) & 0xffff_ffff;
        words.extend([gen_.rng.pick(&[0, 0, 1, u64::MAX]), at, flags]);
    }
    gen_.words(&words)
}

/// `struct robust_list_head`, going round in a circle or astray.
pub fn robust_list(gen_: &mut Gen) -> u64 {
    let head = gen_.victim + 8 * 4096;
    let next = gen_.rng.pick(&[head, head + 24, 8, u64::MAX, head | 1]);
    gen_.words(&[next, gen_.rng.clone().pick(&[0, 32, u64::MAX]), 0])
}

/// argv or envp.
pub fn strings(gen_: &mut Gen) -> u64 {
    if gen_.rng.chance(10) {
        return 0;
    }
    let mut words = Vec::new();
    for _ in 0..gen_.rng.below(4) {
        words.push(gen_.text());
    }
    words.push(0);
    gen_.words(&words)
}

/// `struct open_how`.
pub fn open_how(gen_: &mut Gen) -> u64 {
    let flags = gen_.flags(crate::calls::OPEN_FLAGS);
    let mode = if flags & (libc::O_CREAT as u64) != 0 { 0o644 } else { 0 };
    let resolve = gen_.flags(&[1, 2, 4, 8, 16, 32]);
    gen_.words(&[flags, mode, resolve])
}

/// `struct clone_args`.
pub fn clone_args(gen_: &mut Gen) -> u64 {
    let flags = gen_.flags(crate::calls::CLONE_FLAGS);
    let (pidfd, child, parent) = (gen_.any(4), gen_.any(4), gen_.any(4));
    let signal = gen_.rng.pick(&[0, 17, 17, 17, 10, 65, u64::MAX]);
    let (stack, size) = if gen_.rng.chance(50) { (gen_.victim, 4096) } else { (0, 0) };
    let fd = gen_.fd(None);
    gen_.words(&[flags, pidfd, child, parent, signal, stack, size, 0, 0, 0, fd])
}

/// `struct flock`.
pub fn flock(gen_: &mut Gen) -> u64 {
    let kind = gen_.rng.pick(&[0, 1, 2, 1, 0, 9]) | gen_.rng.pick(&[0, 0, 1, 2, 3]) << 16;
    let (start, len) = (gen_.offset(), gen_.offset());
    let pid = if gen_.rng.chance(90) { 0 } else { gen_.rng.next() };
    gen_.words(&[kind, start, len, pid])
}

/// A classic BPF program with its length: filters of sockets and calls.
pub fn filter(gen_: &mut Gen) -> u64 {
    let mut words = Vec::new();
    let count = 1 + gen_.rng.below(6);
    for at in 0..count {
        let last = at + 1 == count;
        let code = if last {
            0x06
        } else {
            gen_.rng
                .pick(&[0x20u64, 0x15, 0x05, 0x00, 0x28, 0x30, 0x02, 0x03, 0x04, 0x34, 0x94, 0x07, 0x87, 0x80, 0x54])
        };
        let jumps = if last { 0 } else { gen_.rng.below(3) | gen_.rng.below(3) << 8 };
        let value = if last {
            gen_.rng.pick(&[0x7fff_0000, 0x7fff_0000, 0x7fff_0000, 0x0005_0001, 0x0003_0000])
        } else {
            gen_.rng.pick(&[0, 4, 8, 16, 60, 64, 0xffff_f000])
        };
        words.push(code | jumps << 16 | value << 32);
    }
    let program = gen_.words(&words);
    gen_.words(&[if gen_.rng.clone().chance(5) { 0 } else { count }, program])
}

/// `struct sembuf`s.
pub fn semaphores(gen_: &mut Gen) -> u64 {
    let mut bytes = Vec::new();
    for _ in 0..1 + gen_.rng.below(4) {
        bytes.extend((gen_.rng.below(5) as u16).to_le_bytes());
        bytes.extend(gen_.rng.pick(&[0i16, 1, 1, -1, 2, -2, 32767, -32768]).to_le_bytes());
        bytes.extend(gen_.rng.pick(&[0u16, 0x800, 0x1000, 0x1800, 0xffff]).to_le_bytes());
    }
    gen_.bytes(&bytes)
}

/// `struct mq_attr`.
pub fn queue_attributes(gen_: &mut Gen) -> u64 {
    let values = [gen_.rng.pick(&[1, 2, 10, 0, u64::MAX]), gen_.rng.pick(&[16, 64, 8192, 0, u64::MAX])];
    gen_.words(&[gen_.rng.clone().pick(&[0, 0x800]), values[0], values[1], 0, 0, 0, 0, 0])
}

/// Capabilities: header.
pub fn capability_header(gen_: &mut Gen) -> u64 {
    let pid = gen_.pool.pid(&mut gen_.rng) as u32;
    gen_.halves(&[gen_.rng.clone().pick(&[0x2008_0522, 0x2008_0522, 0x1998_0330, 0]), pid])
}

/// `struct sched_attr`.
pub fn sched_attributes(gen_: &mut Gen) -> u64 {
    let policy = gen_.rng.below(8);
    let values = [gen_.int(), gen_.int()];
    gen_.words(&[48 | policy << 32, gen_.rng.clone().pick(&[0, 1, 0x7f]), values[0] & 0xff, values[1], 0, 0, 0])
}

/// `struct rlimit`.
pub fn limit(gen_: &mut Gen) -> u64 {
    let soft = gen_.rng.pick(&[0, 1, 100, 200, 1 << 20, u64::MAX]);
    gen_.words(&[soft, gen_.rng.clone().pick(&[u64::MAX, soft, 1 << 20])])
}

/// A message for a netlink socket, as a buffer.
pub fn netlink(gen_: &mut Gen) -> u64 {
    let mut bytes = Vec::new();
    for _ in 0..1 + gen_.rng.below(2) {
        let len = 16 + gen_.rng.below(64) as u32;
        let claimed = if gen_.rng.chance(10) { gen_.edge() as u32 } else { len };
        bytes.extend(claimed.to_le_bytes());
        bytes.extend((16 + gen_.rng.below(90) as u16).to_le_bytes());
        bytes.extend(gen_.rng.pick(&[1u16, 0x301, 5, 0x605]).to_le_bytes());
        bytes.extend([0; 8]);
        for _ in 16..len {
            bytes.push(if gen_.rng.chance(70) { gen_.rng.below(9) as u8 } else { gen_.rng.next() as u8 });
        }
    }
    gen_.bytes(&bytes)
}

/// `struct io_uring_params`.
pub fn ring_parameters(gen_: &mut Gen) -> u64 {
    let mut words = [0u32; 30];
    words[1] = gen_.rng.pick(&[0, 8, 16, 4096]);
    words[2] = gen_.flags(&[1 << 3, 1 << 4, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 12, 1 << 13]) as u32;
    gen_.halves(&words)
}

/// An offset in memory, or NULL.
pub fn offset_at(gen_: &mut Gen) -> u64 {
    let offset = gen_.offset();
    if gen_.rng.chance(40) { 0 } else { gen_.words(&[offset]) }
}

/// A list of addresses of pages.
pub fn addresses(gen_: &mut Gen) -> u64 {
    let words: Vec<u64> = (0..4).map(|_| gen_.address()).collect();
    gen_.words(&words)
}

/// `struct ifreq` or `struct ifconf`, or a number: what ioctl points to.
pub fn ioctl_argument(gen_: &mut Gen) -> u64 {
    match gen_.rng.below(6) {
        0 => gen_.int(),
        1 => {
            let mut bytes = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
            bytes.extend((0..24).map(|_| gen_.rng.next() as u8));
            gen_.bytes(&bytes)
        }
        2 => {
            let at = gen_.scratch.big();
            let len = gen_.len();
            gen_.words(&[len & 0xffff_ffff, at])
        }
        _ => gen_.any(64),
    }
}
