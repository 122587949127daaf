//! Time, System V and POSIX queues, the system itself, and calls that are answered with an errno.

use super::{Call, Gives, bits, calls};
use crate::pool::{Class, Id};
use crate::structs;
use crate::value::Kind::{self, At, Buf, Bytes, Fd, Flags, Int, Len, Make, Mode, Of, One, Path, Pid, Small, Text};

const CLOCK: Kind = One(&[0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10, -6i64 as u64, -2i64 as u64]);
const TS: Kind = Make(structs::timespec);
const QUEUE: Kind = Of(&[Class::Queue]);
const TIMER: Kind = Kind::Id(Id::Timer);

/// Clocks and timers.
#[rustfmt::skip]
pub const TIME: &[Call] = calls![
    clock_gettime(CLOCK, Bytes(16));
    clock_getres(CLOCK, Bytes(16));
    clock_settime(CLOCK, TS), 1 in 20;
    gettimeofday(Bytes(16), Bytes(8));
    settimeofday(TS, Bytes(8)), 1 in 20;
    time(Bytes(8));
    nanosleep(TS, Bytes(16));
    clock_nanosleep(CLOCK, Flags(&[1]), TS, Bytes(16));
    alarm(Small(3));
    getitimer(Small(3), Bytes(32));
    setitimer(Small(3), Make(structs::two_times), Bytes(32)), 1 in 3;
    timer_create(CLOCK, Make(structs::sigevent_or_null), Bytes(4)) = Gives::IdAt(2, Id::Timer);
    timer_settime(TIMER, Flags(&[1]), Make(structs::two_times), Bytes(32));
    timer_gettime(TIMER, Bytes(32));
    timer_getoverrun(TIMER);
    timer_delete(TIMER), 1 in 2;
    adjtimex(Make(|gen_| gen_.any(208)));
    clock_adjtime(CLOCK, Make(|gen_| gen_.any(208)));
];

/// Semaphores, messages, queues.
#[rustfmt::skip]
pub const IPC: &[Call] = calls![
    semget(Small(6), Small(6), Flags(&[0o600, 0o600, 0o1000, 0o1000, 0o2000])) = Gives::Id(Id::Sem);
    semop(Kind::Id(Id::Sem), Make(structs::semaphores), Small(4));
    semtimedop(Kind::Id(Id::Sem), Make(structs::semaphores), Small(4), TS);
    semctl(Kind::Id(Id::Sem), Small(6), One(&[0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]), Make(|gen_| if gen_.rng.chance(30) { gen_.int() } else { gen_.any(112) }));
    msgget(Small(6), Flags(&[0o600, 0o600, 0o1000, 0o1000, 0o2000])) = Gives::Id(Id::Msg);
    msgsnd(Kind::Id(Id::Msg), Make(message), Len, Flags(&[0o4000, 0o4000]));
    msgrcv(Kind::Id(Id::Msg), Buf, Len, Int, Flags(&[0o4000, 0o4000, 0o10000, 0o20000, 0o40000]));
    msgctl(Kind::Id(Id::Msg), One(&[0, 1, 2, 3, 11, 12, 13]), Bytes(120));
    mq_open(Make(queue_name), Flags(super::OPEN_FLAGS), Mode, Make(structs::queue_attributes)) = Gives::Fd(Class::Queue);
    mq_unlink(Make(queue_name));
    mq_timedsend(QUEUE, Buf, Len, Small(32768), TS);
    mq_timedreceive(QUEUE, Buf, Len, Bytes(4), TS);
    mq_notify(QUEUE, Make(structs::sigevent_or_null));
    mq_getsetattr(QUEUE, Make(structs::queue_attributes), Bytes(64));
];

fn queue_name(gen_: &mut crate::value::Gen) -> u64 {
    let name = gen_.rng.pick(&["q0\0", "q1\0", "q2\0", "a/b\0", "\0", "..\0"]);
    gen_.bytes(name.as_bytes())
}

fn message(gen_: &mut crate::value::Gen) -> u64 {
    let kind = gen_.rng.pick(&[1, 2, 3, 0, u64::MAX]);
    gen_.words(&[kind, 0, 0, 0, 0, 0, 0, 0])
}

/// The system itself.
#[rustfmt::skip]
pub const SYSTEM: &[Call] = calls![
    uname(Bytes(390));
    sysinfo(Bytes(112));
    getrandom(Buf, Len, Flags(&[1, 2, 4]));
    sethostname(Text, Small(66));
    setdomainname(Text, Small(66));
    syslog(Small(12), Buf, Len);
    getcpu(Bytes(4), Bytes(4));
    iopl(Small(5));
    ioperm(Int, Int, Small(2));
    delete_module(Text, Int);
];

/// Calls that have an errno for an answer.
#[rustfmt::skip]
pub const ABSENT: &[Call] = calls![
    uselib(Path);
    _sysctl(Buf);
    create_module(Text, Len);
    get_kernel_syms(Buf);
    query_module(Text, Int, Buf, Len, Buf);
    nfsservctl(Int, Buf, Buf);
    getpmsg(Int, Buf);
    putpmsg(Int, Buf);
    afs_syscall(Int);
    tuxcall(Int);
    security(Int);
    vserver(Int);
    set_thread_area(Buf);
    get_thread_area(Buf);
    epoll_ctl_old(Fd, Int, Fd, Buf);
    epoll_wait_old(Fd, Buf, Int, Int);
    lookup_dcookie(Int, Buf, Len);
    sysfs(Small(4), Int, Buf);
    vhangup();
    ustat(Int, Buf);
    modify_ldt(Small(20), Buf, Len);
    acct(Path);
    swapon(Path, Int);
    swapoff(Path);
    reboot(Int, Int, Int, Buf);
    kexec_load(Int, Small(4), Buf, Int);
    kexec_file_load(Fd, Fd, Len, Buf, Int);
    init_module(Buf, Len, Text);
    finit_module(Fd, Text, Int);
    quotactl(Int, Path, Int, Buf);
    quotactl_fd(Fd, Int, Int, Buf);
    bpf(Small(40), Buf, Len);
    uretprobe();
    uprobe();
    lsm_list_modules(Buf, Buf, Int);
    lsm_get_self_attr(Int, Buf, Buf, Int);
    lsm_set_self_attr(Int, Buf, Len, Int);
    perf_event_open(Bytes(128), Pid, Int, Fd, Flags(&[1, 2, 4, 8]));
    fanotify_init(Int, Int);
    fanotify_mark(Fd, Int, Int, At, Path);
    landlock_create_ruleset(Buf, Len, Small(3));
    landlock_add_rule(Fd, Small(3), Buf, Int);
    landlock_restrict_self(Fd, Int);
    name_to_handle_at(At, Path, Bytes(136), Bytes(4), Flags(bits!(libc: AT_EMPTY_PATH AT_SYMLINK_FOLLOW AT_HANDLE_FID AT_HANDLE_MNT_ID_UNIQUE)));
    open_by_handle_at(At, Bytes(136), Flags(super::OPEN_FLAGS));
    file_getattr(At, Path, Buf, Len, Int);
    file_setattr(At, Path, Buf, Len, Int);
    open_tree(At, Path, Flags(&[1, 0x8000, 0x1000])) = Gives::Fd(Class::Path);
    open_tree_attr(At, Path, Flags(&[1, 0x8000, 0x1000]), Buf, Len) = Gives::Fd(Class::Path);
    move_mount(At, Path, At, Path, Flags(&[1, 2, 4, 0x10, 0x20, 0x40, 0x100]));
    fsopen(Text, Flags(&[1])) = Gives::Fd(Class::Other);
    fsconfig(Fd, Small(9), Text, Text, Int);
    fsmount(Fd, Flags(&[1]), Flags(&[1, 2, 4, 8])) = Gives::Fd(Class::Path);
    fspick(At, Path, Flags(&[1, 2, 4, 8])) = Gives::Fd(Class::Other);
    mount_setattr(At, Path, Flags(&[0x1000, 0x8000]), Bytes(32), One(&[32, 0, 64]));
    statmount(Bytes(32), Buf, Len, One(&[0]));
    listmount(Bytes(32), Buf, Small(64), One(&[0]));
];
