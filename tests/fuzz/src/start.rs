//! What a case begins with: a place of its own with files in it, an identity, and a descriptor of every kind.

use crate::pool::{Class, Pool, TRACE_FD};
use crate::raw::{self, sys};
use crate::rng::Rng;
use linux_raw_sys::general as g;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use syscalls::Sysno;

/// Makes a place for the case and takes an identity. What fails is left out: the case goes on with less.
pub fn case(rng: &mut Rng, lane: usize) {
    // A session of its own: kill(0, …) reaches a whole process group, in whatever namespace its processes are.
    sys(Sysno::setsid, &[]);
    sys(Sysno::prctl, &[libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64, 0, 0, 0]);
    let _ = fs::write("/proc/self/oom_score_adj", "900");
    sys(Sysno::dup2, &[2, TRACE_FD]);
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    mount("proc", "/proc", "proc", 0, "");
    devices();
    mount("tmpfs", "/tmp", "tmpfs", 0, rng.pick(&["size=16m", "size=16m", "size=64k,nr_inodes=40"]));
    let over = format!("/var/tmp/fuzz{lane}");
    // It outlives the case: what another one left there (a pipe in place of a file, say) would hold this one.
    let _ = fs::remove_dir_all(&over);
    let _ = fs::create_dir_all(&over);
    let _ = fs::set_permissions(&over, fs::Permissions::from_mode(0o777));
    let _ = fs::set_permissions("/tmp", fs::Permissions::from_mode(0o777));
    let _ = std::env::set_current_dir("/tmp");
    files(&over);
    for number in 0..3 {
        let null = open("/dev/null", libc::O_RDWR);
        sys(Sysno::dup2, &[null as u64, number]);
        sys(Sysno::close, &[null as u64]);
    }
    limit(libc::RLIMIT_NOFILE, 256);
    limit(libc::RLIMIT_FSIZE, 8 << 20);
    limit(libc::RLIMIT_CORE, 0);
    limit(libc::RLIMIT_NPROC, 100);
    limit(libc::RLIMIT_AS, 1 << 30);
    identity(rng);
}

/// Devices of the case's own: root may remove them.
fn devices() {
    // Not over everybody's: a case may unmount what is on top, and then remove what all others use.
    while sys(Sysno::umount2, &[c"/dev".as_ptr() as u64, libc::MNT_DETACH as u64]) == 0 {}
    mount("tmpfs", "/dev", "tmpfs", 0, "mode=755");
    for (path, major, minor) in
        [("/dev/null", 1, 3), ("/dev/zero", 1, 5), ("/dev/full", 1, 7), ("/dev/urandom", 1, 9), ("/dev/tty", 5, 0)]
    {
        let path = text(path);
        sys(Sysno::mknod, &[path.as_ptr() as u64, (libc::S_IFCHR | 0o666) as u64, libc::makedev(major, minor)]);
    }
    let _ = fs::create_dir("/dev/pts");
    let _ = fs::create_dir("/dev/shm");
    let _ = fs::create_dir("/dev/mqueue");
    mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666");
    let _ = symlink("pts/ptmx", "/dev/ptmx");
}

fn files(over: &str) {
    let _ = fs::write("f0", vec![b'0'; 10_000]);
    let _ = fs::write("f1", "one\n");
    let _ = fs::create_dir_all("d0/d2");
    let _ = fs::create_dir("d1");
    let _ = fs::write("d0/f0", "in d0\n");
    let _ = fs::create_dir("mq");
    for (target, name) in [("f0", "l0"), ("d0", "l1"), ("loop", "loop"), ("/usr/bin", "host"), (over, "over")] {
        let _ = symlink(target, name);
    }
    let _ = symlink("f0", "chain0");
    for number in 1..10 {
        let _ = symlink(format!("chain{}", number - 1), format!("chain{number}"));
    }
    sys(Sysno::mknod, &[c"fifo0".as_ptr() as u64, (libc::S_IFIFO | 0o666) as u64, 0]);
    mount("mqueue", "mq", "mqueue", 0, "");
    let _ = fs::write(format!("{over}/f0"), vec![b'o'; 5000]);
    for name in ["f0", "f1", "d0", "d0/d2", "d1", "d0/f0"] {
        let _ = fs::set_permissions(name, fs::Permissions::from_mode(0o777));
    }
}

/// Root with all capabilities, nobody with none, or root of a user namespace of its own, started from either.
fn identity(rng: &mut Rng) {
    let (nobody, space) = rng.pick(&[(false, false), (false, false), (true, false), (true, true), (false, true)]);
    let id = 65534;
    if nobody {
        sys(Sysno::setgroups, &[0, 0]);
        sys(Sysno::setresgid, &[id, id, id]);
        sys(Sysno::setresuid, &[id, id, id]);
        // Its own files in /proc are its own.
        sys(Sysno::prctl, &[libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0]);
    }
    if space {
        let more = if rng.chance(70) { g::CLONE_NEWNS | g::CLONE_NEWIPC | g::CLONE_NEWUTS } else { 0 };
        sys(Sysno::unshare, &[u64::from(g::CLONE_NEWUSER | more)]);
        let outside = if nobody { id } else { 0 };
        let _ = fs::write("/proc/self/setgroups", "deny");
        let _ = fs::write("/proc/self/uid_map", format!("0 {outside} 1"));
        let _ = fs::write("/proc/self/gid_map", format!("0 {outside} 1"));
    }
}

fn limit(what: u32, value: u64) {
    sys(Sysno::prlimit64, &[0, u64::from(what), [value, value].as_ptr() as u64, 0]);
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) {
    let [source, target, kind, data] = [source, target, kind, data].map(text);
    let at = |text: &CString| text.as_ptr() as u64;
    sys(Sysno::mount, &[at(&source), at(&target), at(&kind), flags, at(&data)]);
}

fn open(path: &str, flags: i32) -> i64 {
    let path = text(path);
    sys(Sysno::openat, &[libc::AT_FDCWD as u64, path.as_ptr() as u64, flags as u64, 0o666])
}

/// A signal that wakes a thread, and some that must not kill at once.
pub fn worker_signals() {
    let action = [raw::handler as *const () as u64, u64::from(g::SA_RESTORER), raw::restorer as *const () as u64, 0u64];
    for signal in [libc::SIGUSR2, libc::SIGUSR1, libc::SIGALRM, libc::SIGPIPE, libc::SIGXFSZ, libc::SIGIO, 34, 35] {
        sys(Sysno::rt_sigaction, &[signal as u64, action.as_ptr() as u64, 0, 8]);
    }
}

/// A descriptor of every kind.
pub fn pool() -> Pool {
    let mut pool = Pool::default();
    let mut add = |fd: i64, class| pool.add(fd, class);
    let nonblock = libc::O_NONBLOCK as u64;
    add(open("f0", libc::O_RDWR), Class::File);
    add(open("f2", libc::O_RDWR | libc::O_CREAT), Class::File);
    add(open("over/f0", libc::O_RDWR), Class::File);
    add(open("/usr/bin/env", libc::O_RDONLY), Class::File);
    add(open(".", libc::O_DIRECTORY), Class::Dir);
    add(open("d0", libc::O_PATH), Class::Path);
    add(open("/proc/self", libc::O_DIRECTORY), Class::Dir);
    add(open("over", libc::O_DIRECTORY), Class::Dir);
    add(open("fifo0", libc::O_RDWR | libc::O_NONBLOCK), Class::Pipe);
    for path in ["/proc/self/mem", "/proc/self/maps", "/proc/self/pagemap"] {
        add(open(path, libc::O_RDWR), Class::Proc);
        add(open(path, libc::O_RDONLY), Class::Proc);
    }
    for kind in ["net", "user", "mnt", "pid", "uts", "ipc"] {
        add(open(&format!("/proc/self/ns/{kind}"), libc::O_RDONLY), Class::Space);
    }
    add(open("/dev/ptmx", libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOCTTY), Class::Tty);
    add(open("/dev/zero", libc::O_RDWR), Class::Other);
    let mut pair = [0i32; 2];
    sys(Sysno::pipe2, &[pair.as_mut_ptr() as u64, nonblock]);
    add(i64::from(pair[0]), Class::Pipe);
    add(i64::from(pair[1]), Class::Pipe);
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
        sys(Sysno::socketpair, &[libc::AF_UNIX as u64, kind as u64 | nonblock, 0, pair.as_mut_ptr() as u64]);
        add(i64::from(pair[0]), Class::Unix);
        add(i64::from(pair[1]), Class::Unix);
    }
    add(sys(Sysno::socket, &[libc::AF_UNIX as u64, libc::SOCK_STREAM as u64 | nonblock, 0]), Class::Unix);
    add(sys(Sysno::socket, &[libc::AF_INET as u64, libc::SOCK_STREAM as u64 | nonblock, 0]), Class::Inet);
    add(sys(Sysno::socket, &[libc::AF_INET6 as u64, libc::SOCK_DGRAM as u64 | nonblock, 0]), Class::Inet);
    add(sys(Sysno::socket, &[libc::AF_NETLINK as u64, libc::SOCK_RAW as u64 | nonblock, 0]), Class::Netlink);
    add(sys(Sysno::epoll_create1, &[0]), Class::Epoll);
    add(sys(Sysno::eventfd2, &[0, nonblock]), Class::Event);
    add(sys(Sysno::timerfd_create, &[1, nonblock]), Class::Timer);
    add(sys(Sysno::inotify_init1, &[nonblock]), Class::Inotify);
    add(sys(Sysno::memfd_create, &[c"m".as_ptr() as u64, u64::from(g::MFD_ALLOW_SEALING)]), Class::Memory);
    add(sys(Sysno::pidfd_open, &[sys(Sysno::getpid, &[]) as u64, 0]), Class::PidFd);
    let set = 1u64 << 40;
    add(sys(Sysno::signalfd4, &[u64::MAX, &raw const set as u64, 8, nonblock]), Class::SignalFd);
    pool
}
