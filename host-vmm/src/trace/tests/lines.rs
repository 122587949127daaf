//! Lines, each as strace prints the same call.

use super::super::format::{Options, line};
use super::super::json::json;
use super::super::record::Record;
use super::{call, halves, words};
use linker::trace::{Capture, Kind};
use linux_raw_sys::{errno, general, net};
use syscalls::Sysno;

const AT_FDCWD: u64 = general::AT_FDCWD as u64;

fn plain(record: Record) -> String {
    line(&record.read_back(), &Options::default())
}

fn failure(errno: u32) -> i64 {
    -i64::from(errno)
}

#[test]
fn openat_without_creation_has_no_mode() {
    let flags = u64::from(general::O_RDONLY | general::O_CLOEXEC);
    let record = call(Sysno::openat, &[AT_FDCWD, 0x1000, flags, 0o644], 3).with(1, b"/etc/passwd");
    assert_eq!(plain(record), r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#);
}

#[test]
fn openat_with_creation_has_one() {
    let flags = u64::from(general::O_WRONLY | general::O_CREAT | general::O_TRUNC);
    let record = call(Sysno::openat, &[u64::from(u32::MAX - 99), 0x1000, flags, 0o644], 3).with_part(1, b"/long");
    assert_eq!(plain(record), r#"openat(AT_FDCWD, "/long"..., O_WRONLY|O_CREAT|O_TRUNC, 0644) = 3"#);
}

#[test]
fn read_shows_what_was_read_and_that_there_was_more() {
    let record = call(Sysno::read, &[3, 0x1000, 4096], 1024).with_part(1, b"root:x:0:0:root:/root:/bin/bash\n");
    assert_eq!(plain(record), r#"read(3, "root:x:0:0:root:/root:/bin/bash\n"..., 4096) = 1024"#);
}

#[test]
fn what_a_terminal_would_obey_is_octal() {
    let record = call(Sysno::write, &[1, 0x1000, 12], 12).with(1, b"\x1b[1m\x001\"\\\xe2\x07\r");
    assert_eq!(plain(record), r#"write(1, "\33[1m\0001\"\\\342\7\r", 12) = 12"#);
}

#[test]
fn a_bad_address_is_shown_as_an_address() {
    let record = call(Sysno::write, &[1, 0xdead_0000, 5], failure(errno::EFAULT));
    assert_eq!(plain(record), "write(1, 0xdead0000, 5) = -1 EFAULT (Bad address)");
}

#[test]
fn a_failure_has_its_name_and_text() {
    let record = call(Sysno::close, &[9], failure(errno::EBADF));
    assert_eq!(plain(record), "close(9) = -1 EBADF (Bad file descriptor)");
}

#[test]
fn clock_nanosleep_shows_how_long_and_null() {
    let record = call(Sysno::clock_nanosleep, &[0, 0, 0x1000, 0], 0).with(2, &words(&[0, 1_000_000]));
    assert_eq!(plain(record), "clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=1000000}, NULL) = 0");
}

#[test]
fn exit_group_never_returns() {
    assert_eq!(plain(call(Sysno::exit_group, &[0], 0).of_kind(Kind::Entry)), "exit_group(0) = ?");
}

#[test]
fn a_number_that_linux_does_not_have_shows_its_registers() {
    let mut record = call(Sysno::read, &[5, 0, 3, 4, 5, 6], failure(errno::ENOSYS));
    record.head.number = 400;
    assert_eq!(plain(record), "syscall_0x190(0x5, 0, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)");
}

#[test]
fn mmap_names_protection_and_kind_of_mapping() {
    let flags = u64::from(general::MAP_PRIVATE | general::MAP_ANONYMOUS | 0x0200_0000);
    let protection = u64::from(general::PROT_READ | general::PROT_WRITE);
    let record = call(Sysno::mmap, &[0, 4096, protection, flags, u64::MAX, 8192], 0x7f00_0000_0000);
    assert_eq!(
        plain(record),
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|0x2000000, -1, 0x2000) = 0x7f0000000000"
    );
    let record = call(Sysno::mprotect, &[0x1000, 4096, 0], 0);
    assert_eq!(plain(record), "mprotect(0x1000, 4096, PROT_NONE) = 0");
}

#[test]
fn fstat_shows_kind_permissions_and_size() {
    let mut stat = vec![0; size_of::<general::stat>()];
    stat[core::mem::offset_of!(general::stat, st_mode)..][..4].copy_from_slice(&halves(&[general::S_IFREG | 0o644]));
    stat[core::mem::offset_of!(general::stat, st_size)..][..8].copy_from_slice(&words(&[1234]));
    let record = call(Sysno::fstat, &[3, 0x1000], 0).with(1, &stat);
    assert_eq!(plain(record), "fstat(3, {st_mode=S_IFREG|0644, st_size=1234, ...}) = 0");
}

#[test]
fn pipe2_returns_two_descriptors() {
    let record = call(Sysno::pipe2, &[0x1000, u64::from(general::O_CLOEXEC)], 0).with(0, &halves(&[3, 4]));
    assert_eq!(plain(record), "pipe2([3, 4], O_CLOEXEC) = 0");
}

#[test]
fn poll_shows_what_came_behind_the_result() {
    let pollfd =
        |events: u16, revents: u16| [halves(&[3]), [events.to_ne_bytes(), revents.to_ne_bytes()].concat()].concat();
    let events = general::POLLIN as u16;
    let ready = call(Sysno::poll, &[0x1000, 1, 10], 1).with(0, &pollfd(events, 0)).with(0, &pollfd(events, events));
    assert_eq!(plain(ready), "poll([{fd=3, events=POLLIN}], 1, 10) = 1 ([{fd=3, revents=POLLIN}])");
    let late = call(Sysno::poll, &[0x1000, 1, 1], 0).with(0, &pollfd(events, 0));
    assert_eq!(plain(late), "poll([{fd=3, events=POLLIN}], 1, 1) = 0 (Timeout)");
}

#[test]
fn select_shows_what_is_ready_in_each_set() {
    let record = call(Sysno::pselect6, &[5, 0x1000, 0x2000, 0, 0x3000, 0], 1)
        .with(1, &words(&[1 << 3]))
        .with(2, &words(&[1 << 4]))
        .with(4, &words(&[0, 10]))
        .with(1, &words(&[0]))
        .with(2, &words(&[1 << 4]));
    assert_eq!(plain(record), "pselect6(5, [3], [4], NULL, {tv_sec=0, tv_nsec=10}, NULL) = 1 (out [4])");
}

#[test]
fn epoll_wait_shows_the_events_that_it_returned() {
    let event = [halves(&[general::EPOLLIN]), words(&[3])].concat();
    let record = call(Sysno::epoll_wait, &[5, 0x1000, 1023, 1000], 1).with(1, &event);
    assert_eq!(plain(record), "epoll_wait(5, [{events=EPOLLIN, data={u32=3, u64=3}}], 1023, 1000) = 1");
}

#[test]
fn futex_shows_as_many_arguments_as_its_operation_has() {
    let wake = call(Sysno::futex, &[0x1000, u64::from(general::FUTEX_WAKE_PRIVATE), 1, 7, 7, 7], 1);
    assert_eq!(plain(wake), "futex(0x1000, FUTEX_WAKE_PRIVATE, 1) = 1");
    let operation = u64::from(general::FUTEX_WAIT_BITSET_PRIVATE | general::FUTEX_CLOCK_REALTIME);
    let args = [0x1000, operation, 2, 0, 0, u64::from(general::FUTEX_BITSET_MATCH_ANY)];
    assert_eq!(
        plain(call(Sysno::futex, &args, failure(errno::EAGAIN))),
        "futex(0x1000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 2, NULL, FUTEX_BITSET_MATCH_ANY) \
         = -1 EAGAIN (Resource temporarily unavailable)"
    );
}

#[test]
fn connect_shows_an_address_of_each_family() {
    let inet = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let record = call(Sysno::connect, &[6, 0x1000, 16], failure(errno::ECONNREFUSED)).with(1, &inet);
    assert_eq!(
        plain(record),
        r#"connect(6, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 ECONNREFUSED (Connection refused)"#
    );
    let record = call(Sysno::bind, &[6, 0x1000, 6], 0).with(1, b"\x01\0\0abc");
    assert_eq!(plain(record), r#"bind(6, {sa_family=AF_UNIX, sun_path=@"abc"}, 6) = 0"#);
    let record = call(Sysno::bind, &[6, 0x1000, 110], 0).with(1, b"\x01\0/x/abc\0\0\0");
    assert_eq!(plain(record), r#"bind(6, {sa_family=AF_UNIX, sun_path="/x/abc"}, 110) = 0"#);
}

#[test]
fn getsockname_shows_how_the_length_changed() {
    let record = call(Sysno::getsockname, &[7, 0x1000, 0x2000], 0)
        .with(2, &halves(&[110]))
        .with(1, b"\x01\0")
        .with(2, &halves(&[2]));
    assert_eq!(plain(record), "getsockname(7, {sa_family=AF_UNIX}, [110 => 2]) = 0");
}

#[test]
fn setsockopt_names_the_option_of_its_level() {
    let args = [6, u64::from(net::SOL_SOCKET), u64::from(net::SO_REUSEADDR), 0x1000, 4];
    let record = call(Sysno::setsockopt, &args, 0).with(3, &halves(&[1]));
    assert_eq!(plain(record), "setsockopt(6, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0");
    let args = [6, net::IPPROTO_TCP as u64, u64::from(net::TCP_NODELAY), 0x1000, 4];
    assert_eq!(plain(call(Sysno::setsockopt, &args, 0)), "setsockopt(6, SOL_TCP, TCP_NODELAY, 0x1000, 4) = 0");
}

#[test]
fn socket_names_its_protocol_where_it_has_one() {
    let inet = [u64::from(net::AF_INET), net::SOCK_STREAM as u64 | u64::from(general::O_CLOEXEC), 0];
    assert_eq!(plain(call(Sysno::socket, &inet, 6)), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 6");
    let unix = [u64::from(net::AF_UNIX), net::SOCK_DGRAM as u64, 0];
    assert_eq!(plain(call(Sysno::socket, &unix, 6)), "socket(AF_UNIX, SOCK_DGRAM, 0) = 6");
}

#[test]
fn writev_shows_each_element() {
    let record = call(Sysno::writev, &[4, 0x1000, 3], 58)
        .with(1, &words(&[0x10, 2, 0x20, 50, 0x30, 6]))
        .with_element(1, 0, 0, b"ab")
        .with_element(1, 1, Capture::CUT, b"cccc");
    assert_eq!(
        plain(record),
        r#"writev(4, [{iov_base="ab", iov_len=2}, {iov_base="cccc"..., iov_len=50}, {iov_base=0x30, iov_len=6}], 3) = 58"#
    );
}

#[test]
fn execve_shows_its_arguments() {
    let record = call(Sysno::execve, &[0x1000, 0x2000, 0x3000], 0)
        .with(0, b"/bin/true")
        .capture(Capture { argument: 1, flags: Capture::CUT, ..Capture::default() }, &words(&[0x10, 0x20]))
        .with_element(1, 0, 0, b"true")
        .with_element(1, 1, Capture::CUT, b"aaa");
    assert_eq!(plain(record), r#"execve("/bin/true", ["true", "aaa"..., ...], 0x3000) = 0"#);
}

#[test]
fn signals_have_names_in_calls_and_sets() {
    assert_eq!(plain(call(Sysno::kill, &[12, 28], 0)), "kill(12, SIGWINCH) = 0");
    let sets = call(Sysno::rt_sigprocmask, &[0, 0x1000, 0x2000, 8], 0)
        .with(1, &words(&[!(1 << 31 | 1 << 32)]))
        .with(2, &words(&[1 << 9 | 1 << 39]));
    assert_eq!(plain(sets), "rt_sigprocmask(SIG_BLOCK, ~[RTMIN RT_1], [USR1 RT_8], 8) = 0");
    let ignored = call(Sysno::rt_sigaction, &[13, 0x1000, 0, 8], 0).with(1, &words(&[1, 0, 0, 0]));
    let action = "{sa_handler=SIG_IGN, sa_mask=[], sa_flags=0}";
    assert_eq!(plain(ignored), format!("rt_sigaction(SIGPIPE, {action}, NULL, 8) = 0"));
}

#[test]
fn wait4_shows_the_status() {
    let record = call(Sysno::wait4, &[u64::MAX, 0x1000, 0, 0], 12).with(1, &halves(&[3 << 8]));
    assert_eq!(plain(record), "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 12");
}

#[test]
fn clone_names_its_arguments() {
    let flags = u64::from(general::CLONE_CHILD_CLEARTID | general::CLONE_CHILD_SETTID | general::SIGCHLD);
    assert_eq!(
        plain(call(Sysno::clone, &[flags, 0, 0, 0x1000, 0], 14)),
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x1000) = 14"
    );
}

#[test]
fn fcntl_shows_flags_in_its_argument_and_its_result() {
    let get = call(Sysno::fcntl, &[3, u64::from(general::F_GETFL)], i64::from(general::O_LARGEFILE));
    assert_eq!(plain(get), "fcntl(3, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)");
    let set = call(Sysno::fcntl, &[3, u64::from(general::F_SETFD), u64::from(general::FD_CLOEXEC)], 0);
    assert_eq!(plain(set), "fcntl(3, F_SETFD, FD_CLOEXEC) = 0");
    let unknown = call(Sysno::fcntl, &[3, 999, 1], failure(errno::EINVAL));
    assert_eq!(plain(unknown), "fcntl(3, 0x3e7 /* F_??? */, 0x1) = -1 EINVAL (Invalid argument)");
}

#[test]
fn ioctl_names_its_command_or_takes_it_apart() {
    let size: Vec<u8> = [24u16, 80, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let known = call(Sysno::ioctl, &[1, u64::from(linux_raw_sys::ioctl::TIOCGWINSZ), 0x1000], 0).with(2, &size);
    assert_eq!(plain(known), "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0");
    let unknown = call(Sysno::ioctl, &[1, 0x8004_7f01, 0x1000], failure(errno::ENOTTY));
    assert_eq!(
        plain(unknown),
        "ioctl(1, _IOC(_IOC_READ, 0x7f, 0x1, 0x4), 0x1000) = -1 ENOTTY (Inappropriate ioctl for device)"
    );
}

#[test]
fn permissions_are_octal() {
    assert_eq!(plain(call(Sysno::umask, &[0o22], 0o22)), "umask(022) = 022");
    let record = call(Sysno::mknodat, &[AT_FDCWD, 0x1000, u64::from(general::S_IFIFO | 0o666), 0], 0).with(1, b"f");
    assert_eq!(plain(record), r#"mknodat(AT_FDCWD, "f", S_IFIFO|0666) = 0"#);
    let null = call(Sysno::mknod, &[0x1000, u64::from(general::S_IFCHR | 0o666), 0x103], 0).with(0, b"null");
    assert_eq!(plain(null), r#"mknod("null", S_IFCHR|0666, makedev(0x1, 0x3)) = 0"#);
    let flags = u64::from(0o600 | libc::IPC_CREAT.cast_unsigned());
    assert_eq!(plain(call(Sysno::semget, &[5, 1, flags], 0)), "semget(0x5, 1, IPC_CREAT|0600) = 0");
}

#[test]
fn limits_and_dates_are_readable() {
    let record = call(Sysno::prlimit64, &[0, 3, 0x1000, 0], 0).with(2, &words(&[8 << 20, u64::MAX]));
    assert_eq!(plain(record), "prlimit64(0, RLIMIT_STACK, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}, NULL) = 0");
    let times = words(&[951_782_400, 5, 0, u64::from(general::UTIME_OMIT)]);
    let record = call(Sysno::utimensat, &[AT_FDCWD, 0x1000, 0x2000, 0], 0).with(1, b"f").with(2, &times);
    assert_eq!(
        plain(record),
        r#"utimensat(AT_FDCWD, "f", [{tv_sec=951782400, tv_nsec=5} /* 2000-02-29T00:00:00.000000005+0000 */, UTIME_OMIT], 0) = 0"#
    );
}

#[test]
fn lost_records_and_ends_have_lines_of_their_own() {
    let lost = call(Sysno::read, &[12], 0).of_kind(Kind::Lost);
    assert_eq!(plain(lost), "+++ 12 records lost: the reader is slower than the program +++");
    let end = |status| plain(call(Sysno::read, &[], status).of_kind(Kind::End));
    assert_eq!(end(0), "+++ exited with 0 +++");
    assert_eq!(end(3 << 8), "+++ exited with 3 +++");
    assert_eq!(end(9), "+++ killed by SIGKILL +++");
    assert_eq!(end(0x8b), "+++ killed by SIGSEGV (core dumped) +++");
}

#[test]
fn options_add_thread_time_and_duration() {
    let mut record = call(Sysno::getpid, &[], 12);
    record.head.start_ns = ((20_000 * 24 + 13) * 3600 + 62) * 1_000_000_000 + 345_678_901;
    record.head.duration_ns = 12_345;
    let all = Options { pid: true, time: true, duration: true };
    assert_eq!(line(&record, &all), "[pid 13] 13:01:02.345678 getpid() = 12 <0.000012>");
}

#[test]
fn json_has_the_fields_and_formatted_arguments() {
    let mut record = call(Sysno::openat, &[AT_FDCWD, 0x1000, 0], failure(errno::ENOENT)).with(1, b"/x");
    record.head.exits = 2;
    let value = json(&record.read_back());
    assert_eq!(value["name"], "openat");
    assert_eq!(value["number"], 257);
    assert_eq!(value["args"], serde_json::json!(["AT_FDCWD", "\"/x\"", "O_RDONLY"]));
    assert_eq!((&value["pid"], &value["tid"], &value["exits"]), (&12.into(), &13.into(), &2.into()));
    assert_eq!((&value["result"], &value["errno"]), (&(-2).into(), &"ENOENT".into()));
    let entry = json(&call(Sysno::exit, &[1], 0).of_kind(Kind::Entry));
    assert!(entry["result"].is_null() && entry["errno"].is_null());
    assert_eq!(json(&call(Sysno::read, &[], 9).of_kind(Kind::End))["signal"], "SIGKILL");
}
