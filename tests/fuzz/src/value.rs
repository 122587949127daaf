//! Kinds of arguments, and values for them: mostly what the call wants, sometimes what it does not.

use crate::arena::{BAD, PAGE, Scratch, VICTIM_PAGES};
use crate::pool::{Class, Id, Pool, TRACE_FD};
use crate::rng::Rng;

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A descriptor of any kind.
    Fd,
    /// A descriptor of one of these kinds.
    Of(&'static [Class]),
    /// A directory, or AT_FDCWD.
    At,
    Path,
    /// A short string that is no path.
    Text,
    /// A pointer to that many bytes of anything, in or out.
    Bytes(u64),
    /// A buffer; its length comes in an argument of its own.
    Buf,
    /// A length or count.
    Len,
    /// A number below that, mostly.
    Small(u64),
    /// Any number.
    Int,
    /// A place in a file.
    Offset,
    /// Some of these bits.
    Flags(&'static [u64]),
    /// One of these values, sometimes with bits of the others.
    One(&'static [u64]),
    Pid,
    Uid,
    Signal,
    Mode,
    /// A number that a call of that kind gave.
    Id(Id),
    /// An address in pages that may change.
    Address,
    /// A length of such pages.
    Span,
    /// What a function builds.
    Make(fn(&mut Gen) -> u64),
}

/// What values are made from.
pub struct Gen<'a> {
    pub rng: Rng,
    pub scratch: &'a mut Scratch,
    pub pool: &'a mut Pool,
    /// Pages that calls may do anything to.
    pub victim: u64,
}

const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    64,
    127,
    255,
    256,
    511,
    512,
    1023,
    1024,
    4095,
    4096,
    4097,
    8191,
    8192,
    65535,
    65536,
    1 << 20,
    (1 << 20) + 1,
    (1 << 31) - 4096,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 33,
    (1 << 47) - 1,
    1 << 47,
    (1 << 62) + 1,
    (1 << 63) - 4096,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX - 1,
    u64::MAX,
];

pub const PATHS: &[&str] = &[
    "f0",
    "f1",
    "f2",
    "f3",
    "d0",
    "d1",
    "d0/f0",
    "d0/f1",
    "d1/f0",
    "d0/d2",
    "d0/d2/f0",
    "l0",
    "l1",
    "loop",
    "chain9",
    "sock0",
    "sock1",
    "fifo0",
    ".",
    "..",
    "../..",
    "/",
    "",
    "d0/",
    "f0/",
    "d0/../f0",
    "./f0",
    "d0/./../d1",
    "host",
    "over/f0",
    "over/d0",
    "over",
    "/proc/self/fd/3",
    "/proc/self/fd/5",
    "/dev/fd/4",
    "/proc/self/cwd/f0",
    "/proc/self/root",
    "/proc/self/exe",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/urandom",
    "/dev/ptmx",
    "/dev/tty",
    "/dev/pts/0",
    "/dev/shm/m0",
    "/etc/passwd",
    "/usr/bin/env",
    "/proc/self/maps",
    "/proc/self/smaps",
    "/proc/self/status",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/environ",
    "/proc/self/cmdline",
    "/proc/self/mountinfo",
    "/proc/self/mounts",
    "/proc/self/limits",
    "/proc/self/io",
    "/proc/self/task",
    "/proc/self/fd",
    "/proc/self/fdinfo",
    "/proc/self/mem",
    "/proc/self/pagemap",
    "/proc/self/oom_score_adj",
    "/proc/self/comm",
    "/proc/self/ns/net",
    "/proc/self/ns/user",
    "/proc/self/ns/mnt",
    "/proc/self/ns/pid",
    "/proc/self/ns/uts",
    "/proc/self/ns/ipc",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
    "/proc/self/setgroups",
    "/proc/self/attr/current",
    "/proc/self/syscall",
    "/proc/self/stack",
    "/proc/self/timers",
    "/proc/self/cgroup",
    "/proc/self/wchan",
    "/proc/thread-self/stat",
    "/proc/self/clear_refs",
    "/proc/self/coredump_filter",
    "/proc/self/net/tcp",
    "/proc/self/net/unix",
    "/proc/net/udp",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/cpuinfo",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/kmsg",
    "/proc/version",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/msgmax",
    "/proc/sys/kernel/sem",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/mqueue/msg_max",
    "/proc/sysvipc/shm",
    "/proc/sysvipc/sem",
    "/proc/keys",
    "/proc/locks",
    "/proc/1/stat",
    "/proc/2/maps",
    "/proc/3/status",
    "/sys",
    "/sys/class/net/lo/mtu",
    "/sys/devices/system/cpu/online",
    "/sys/fs/cgroup/cgroup.procs",
    "/proc",
    "/dev",
    "/dev/pts",
    "mq",
    "/dev/mqueue",
    "no-such-file",
    "a/b/c/d/e/f/g",
    "new0",
    "new1",
    "d0/new",
];

impl Gen<'_> {
    /// A value of a kind.
    pub fn value(&mut self, kind: Kind) -> u64 {
        if self.rng.chance(2) {
            return if self.rng.chance(50) { self.rng.next() } else { self.edge() };
        }
        match kind {
            Kind::Fd => self.fd(None),
            Kind::Of(classes) => self.fd(Some(classes)),
            Kind::At => match self.rng.below(10) {
                0..6 => libc::AT_FDCWD as u64,
                6..9 => self.fd(Some(&[Class::Dir])),
                _ => self.fd(None),
            },
            Kind::Path => self.path(),
            Kind::Text => self.text(),
            Kind::Bytes(len) => self.any(len),
            Kind::Buf => self.buffer(),
            Kind::Len => self.len(),
            Kind::Small(bound) => self.small(bound),
            Kind::Int => self.int(),
            Kind::Offset => self.offset(),
            Kind::Flags(bits) => self.flags(bits),
            Kind::One(values) => self.one(values),
            Kind::Pid => self.pool.pid(&mut self.rng),
            Kind::Uid => self.rng.pick(&[0, 0, 1, 1000, 65534, 65535, 0xffff_ffff, 0xffff_fffe, 1 << 31]),
            Kind::Signal => self.signal(),
            Kind::Mode => self.rng.pick(&[
                0,
                0o400,
                0o600,
                0o644,
                0o755,
                0o777,
                0o1777,
                0o4755,
                0o2755,
                0o7777,
                0o170_777,
                u64::MAX,
            ]),
            Kind::Id(kind) => self.pool.id(&mut self.rng, kind),
            Kind::Address => self.address(),
            Kind::Span => self.span(),
            Kind::Make(make) => make(self),
        }
    }

    /// A descriptor.
    pub fn fd(&mut self, classes: Option<&[Class]>) -> u64 {
        match self.pool.fd(&mut self.rng, classes) {
            TRACE_FD => 0,
            fd => fd,
        }
    }

    /// A number at some edge.
    pub fn edge(&mut self) -> u64 {
        self.rng.pick(EDGES)
    }

    /// A number below a bound, mostly.
    pub fn small(&mut self, bound: u64) -> u64 {
        match self.rng.below(20) {
            0 => bound,
            1 => self.edge(),
            _ => self.rng.below(bound),
        }
    }

    /// Any number, small and large.
    pub fn int(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => self.edge(),
            1 => self.rng.next(),
            _ => self.rng.below(1 << self.rng.clone().below(12)),
        }
    }

    /// A length.
    pub fn len(&mut self) -> u64 {
        match self.rng.below(10) {
            0..5 => self.rng.below(256),
            5..7 => self.rng.pick(&[0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE]),
            7 => self.rng.below(3 * PAGE),
            _ => self.edge(),
        }
    }

    /// A place in a file.
    pub fn offset(&mut self) -> u64 {
        match self.rng.below(10) {
            0..4 => self.rng.below(64),
            4..7 => self.rng.below(16) * PAGE,
            7 => self.rng.below(1 << 20),
            _ => self.edge(),
        }
    }

    /// Some bits of a set; sometimes one that is not of it.
    pub fn flags(&mut self, bits: &[u64]) -> u64 {
        let mut value = 0;
        let percent = self.rng.pick(&[0, 10, 25, 25, 50]);
        for bit in bits {
            if self.rng.chance(percent) {
                value |= bit;
            }
        }
        if self.rng.chance(20) && !bits.is_empty() {
            value |= self.rng.pick(bits);
        }
        if self.rng.chance(3) {
            value |= 1 << self.rng.below(64);
        }
        value
    }

    /// One value of several.
    pub fn one(&mut self, values: &[u64]) -> u64 {
        match self.rng.below(50) {
            0 => self.edge(),
            1 => self.rng.pick(values) | self.rng.pick(values),
            2 => self.rng.pick(values).wrapping_add(1),
            3 => self.rng.pick(values) | 1 << self.rng.below(32),
            _ => self.rng.pick(values),
        }
    }

    /// A signal: the deadly ones are rare.
    pub fn signal(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => self.rng.below(70),
            1 => self.edge(),
            2 => {
                self.rng.pick(&[libc::SIGSTOP as u64, libc::SIGCONT as u64, libc::SIGTSTP as u64, libc::SIGKILL as u64])
            }
            3..8 => 0,
            8..12 => {
                self.rng.pick(&[libc::SIGCHLD as u64, libc::SIGURG as u64, libc::SIGWINCH as u64, libc::SIGCONT as u64])
            }
            _ => self.rng.pick(&[libc::SIGUSR1 as u64, libc::SIGUSR2 as u64, 34, 35, 50, 64]),
        }
    }

    /// An address in the pages that may change.
    pub fn address(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => self.rng.pick(BAD),
            1 => 0,
            2..5 if !self.pool.areas.is_empty() => self.rng.pick(&self.pool.areas),
            5 => self.victim + self.rng.below(VICTIM_PAGES * PAGE),
            _ => self.victim + self.rng.below(VICTIM_PAGES) * PAGE,
        }
    }

    /// A length of pages.
    pub fn span(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => self.edge(),
            1 => self.rng.below(8 * PAGE),
            2 => 512 * PAGE,
            _ => (1 + self.rng.below(8)) * PAGE,
        }
    }

    /// Where a buffer of any length may be.
    pub fn buffer(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => self.rng.pick(BAD),
            1..5 => self.address(),
            5..7 => {
                let len = self.rng.below(512);
                self.any(len)
            }
            _ => self.scratch.big(),
        }
    }

    /// `len` bytes of noise, zeros or small numbers.
    pub fn any(&mut self, len: u64) -> u64 {
        let mut bytes = vec![0u8; len.min(4096) as usize];
        match self.rng.below(4) {
            0 => {}
            1 => bytes.fill(0xff),
            2 => {
                for word in bytes.chunks_mut(4) {
                    word[0] = self.rng.below(16) as u8;
                }
            }
            _ => {
                for byte in &mut bytes {
                    *byte = self.rng.next() as u8;
                }
            }
        }
        self.bytes_room(&bytes, len)
    }

    /// These bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> u64 {
        self.bytes_room(bytes, bytes.len() as u64)
    }

    fn bytes_room(&mut self, bytes: &[u8], len: u64) -> u64 {
        if self.rng.chance(4) {
            return self.rng.pick(BAD);
        }
        self.scratch.place(&mut self.rng, bytes, len)
    }

    /// Words of 64 bits; now and then one of them is replaced.
    pub fn words(&mut self, words: &[u64]) -> u64 {
        let mut words = words.to_vec();
        self.spoil(&mut words);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// Words of 32 bits.
    pub fn halves(&mut self, words: &[u32]) -> u64 {
        let mut wide: Vec<u64> = words.iter().map(|word| u64::from(*word)).collect();
        self.spoil(&mut wide);
        let bytes: Vec<u8> = wide.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    fn spoil(&mut self, words: &mut [u64]) {
        if self.rng.chance(12) && !words.is_empty() {
            let at = self.rng.below(words.len() as u64) as usize;
            words[at] = if self.rng.chance(50) { self.edge() } else { self.rng.next() };
        }
    }

    /// NULL in some percent of cases, else what is made.
    pub fn or_null(&mut self, percent: u64, make: fn(&mut Gen) -> u64) -> u64 {
        if self.rng.chance(percent) { 0 } else { make(self) }
    }

    /// A path.
    pub fn path(&mut self) -> u64 {
        let mut path = match self.rng.below(40) {
            0 => vec![b'x'; self.rng.pick(&[254, 255, 256, 4094, 4095, 4096, 5000]) as usize],
            1 => b"d0/".repeat(self.rng.pick(&[10, 300, 1360, 1365, 1366]) as usize),
            2 => (0..1 + self.rng.below(12)).map(|_| self.rng.next() as u8).collect(),
            3 => format!("{}/{}", self.rng.pick(PATHS), self.rng.pick(PATHS)).into_bytes(),
            4 => format!("/proc/self/fd/{}", self.fd(None) as i32).into_bytes(),
            5 => format!(
                "/proc/{}/{}",
                self.pool.pid(&mut self.rng) as i32,
                self.rng.pick(&["fd", "maps", "stat", "ns/pid", "cwd", "mem", "task"])
            )
            .into_bytes(),
            6..24 => self.rng.pick(&PATHS[..32]).as_bytes().to_vec(),
            _ => self.rng.pick(PATHS).as_bytes().to_vec(),
        };
        path.push(0);
        self.bytes(&path)
    }

    /// A short string: names of attributes, keys, file systems.
    pub fn text(&mut self) -> u64 {
        let mut text = self
            .rng
            .pick(&[
                "user.a",
                "user.b",
                "trusted.x",
                "security.capability",
                "system.posix_acl_access",
                "tmpfs",
                "proc",
                "sysfs",
                "overlay",
                "devpts",
                "mqueue",
                "cgroup2",
                "user",
                "keyring",
                "logon",
                "big_key",
                "lo",
                "eth0",
                "a",
                "",
                "0",
                "1",
                "-1",
                "4096",
                "size=64k",
                "lowerdir=d0,upperdir=d1,workdir=d2",
                "lowerdir=d0:d1",
                "mode=755",
                "/q0",
                "/q1",
                "0 0 1",
                "max",
                "user.very.long.name.of.an.attribute.that.goes.on",
            ])
            .as_bytes()
            .to_vec();
        if self.rng.chance(3) {
            text = vec![b'y'; self.rng.pick(&[254, 255, 256, 4096]) as usize];
        }
        text.push(0);
        self.bytes(&text)
    }
}
