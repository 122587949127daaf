//! Structs that point to more, and operands by operation, each as strace prints them.

use super::super::format::{Options, line};
use super::super::record::Record;
use super::{call, halves, words};
use linker::trace::Capture;
use linux_raw_sys::io_uring::io_uring_register_op as op;
use linux_raw_sys::{errno, general, io_uring, net, prctl, ptrace};
use syscalls::Sysno;

fn plain(record: Record) -> String {
    line(&record.read_back(), &Options::default())
}

fn failure(errno: u32) -> i64 {
    -i64::from(errno)
}

/// A `msghdr`: name and its length, iovec and its, control messages and theirs, flags.
fn header(fields: [u64; 7]) -> Vec<u8> {
    words(&fields)
}

/// A control message that passes a descriptor.
fn rights(fd: u32) -> Vec<u8> {
    [words(&[20]), halves(&[net::SOL_SOCKET, net::SCM_RIGHTS, fd, 0])].concat()
}

const LOCAL: [u8; 16] = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn sendmsg_shows_name_buffers_and_control_messages() {
    let record = call(Sysno::sendmsg, &[4, 0x1000, u64::from(net::MSG_NOSIGNAL)], 47)
        .with(1, &header([0x10, 16, 0x20, 2, 0x30, 24, 0]))
        .with_piece(1, Capture::NAME, 0, &LOCAL)
        .with_piece(1, Capture::VECTOR, 0, &words(&[0x40, 3, 0x50, 44]))
        .with_piece(1, Capture::DATA, 0, b"one")
        .with_piece(1, Capture::DATA | Capture::CUT, 1, b"a longer part")
        .with_piece(1, Capture::CONTROL, 0, &rights(3));
    assert_eq!(
        plain(record),
        "sendmsg(4, {msg_name={sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, msg_namelen=16, \
         msg_iov=[{iov_base=\"one\", iov_len=3}, {iov_base=\"a longer part\"..., iov_len=44}], msg_iovlen=2, \
         msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3]}], msg_controllen=24, \
         msg_flags=0}, MSG_NOSIGNAL) = 47"
    );
    let nowhere = call(Sysno::sendmsg, &[4, 8, 0], failure(errno::EFAULT));
    assert_eq!(plain(nowhere), "sendmsg(4, 0x8, 0) = -1 EFAULT (Bad address)");
}

#[test]
fn recvmsg_shows_what_came_and_how_much_room_a_name_had() {
    let before = header([0x10, 110, 0x20, 1, 0, 0, 0]);
    let failed = call(Sysno::recvmsg, &[5, 0x1000, 0], failure(errno::EAGAIN)).with(1, &before);
    assert_eq!(plain(failed), "recvmsg(5, {msg_namelen=110}, 0) = -1 EAGAIN (Resource temporarily unavailable)");
    let came = call(Sysno::recvmsg, &[5, 0x1000, 0], 2)
        .with(1, &before)
        .with(1, &header([0x10, 0, 0x20, 1, 0, 0, u64::from(net::MSG_CMSG_CLOEXEC)]))
        .with_piece(1, Capture::VECTOR, 0, &words(&[0x40, 64]))
        .with_piece(1, Capture::DATA, 0, b"on");
    assert_eq!(
        plain(came),
        "recvmsg(5, {msg_name=0x10, msg_namelen=110 => 0, msg_iov=[{iov_base=\"on\", iov_len=64}], msg_iovlen=1, \
         msg_controllen=0, msg_flags=MSG_CMSG_CLOEXEC}, 0) = 2"
    );
}

#[test]
fn control_messages_of_other_kinds_are_shown_as_far_as_they_go() {
    let credentials = [words(&[28]), halves(&[net::SOL_SOCKET, net::SCM_CREDENTIALS, 12, 0, 1000, 0])].concat();
    let hops = [words(&[20]), halves(&[net::IPPROTO_IP as u32, net::IP_TTL, 64, 0])].concat();
    let short = words(&[3, 0]);
    let all = [credentials, hops, short, vec![1; 16]].concat();
    let record = call(Sysno::sendmsg, &[4, 0x1000, 0], 0).with(1, &header([0, 0, 0, 0, 0x30, 999, 0])).with_piece(
        1,
        Capture::CONTROL | Capture::CUT,
        0,
        &all,
    );
    assert_eq!(
        plain(record),
        "sendmsg(4, {msg_name=NULL, msg_namelen=0, msg_iov=NULL, msg_iovlen=0, msg_control=[{cmsg_len=28, \
         cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=12, uid=0, gid=1000}}, {cmsg_len=20, \
         cmsg_level=SOL_IP, cmsg_type=IP_TTL, cmsg_data=[64]}, {cmsg_len=3, cmsg_level=SOL_IP, cmsg_type=0}, ...], \
         msg_controllen=999, msg_flags=0}, 0) = 0"
    );
}

#[test]
fn messages_in_one_call_show_how_much_of_each_there_was() {
    let one = |len| [header([0, 0, 0x20, 1, 0, 0, 0]), words(&[len])].concat();
    let parts = |record: Record| {
        record
            .with_piece(1, Capture::VECTOR, 0, &words(&[0x40, 8]))
            .with_piece(1, Capture::DATA, 0, b"first")
            .with_piece(1, Capture::VECTOR, 1, &words(&[0x50, 8]))
            .with_piece(1, Capture::DATA, 1 << 8, b"second")
    };
    let text = |data: &str, len: &str| {
        format!(
            "{{msg_hdr={{msg_name=NULL, msg_namelen=0, msg_iov=[{{iov_base=\"{data}\", iov_len=8}}], msg_iovlen=1, \
             msg_controllen=0, msg_flags=0}}{len}}}"
        )
    };
    let both = [one(0), one(0)].concat();
    let sent = parts(call(Sysno::sendmmsg, &[4, 0x1000, 2, 0], 1).with(1, &both)).with(1, &one(5));
    assert_eq!(plain(sent), format!("sendmmsg(4, [{}], 2, 0) = 1", text("first", ", msg_len=5")));
    let refused = parts(call(Sysno::sendmmsg, &[9, 0x1000, 2, 0], failure(errno::EBADF)).with(1, &both));
    let shown = format!("{}, {}", text("first", ""), text("second", ""));
    assert_eq!(plain(refused), format!("sendmmsg(9, [{shown}], 2, 0) = -1 EBADF (Bad file descriptor)"));
    let came = call(Sysno::recvmmsg, &[4, 0x1000, 2, 0, 0], 2).with(1, &both).with(1, &[one(5), one(6)].concat());
    let shown = format!("{}, {}", text("first", ", msg_len=5"), text("second", ", msg_len=6"));
    assert_eq!(plain(parts(came)), format!("recvmmsg(4, [{shown}], 2, 0, NULL) = 2"));
    let none = call(Sysno::recvmmsg, &[4, 0x1000, 2, 0, 0], failure(errno::EAGAIN)).with(1, &both);
    assert_eq!(plain(none), "recvmmsg(4, 0x1000, 2, 0, NULL) = -1 EAGAIN (Resource temporarily unavailable)");
}

/// An `iocb`: data, opcode, descriptor, buffer, length, offset.
fn request(data: u64, opcode: u32, fd: u32, buffer: u64, len: u64, offset: u64) -> Vec<u8> {
    [words(&[data, 0]), halves(&[opcode, fd]), words(&[buffer, len, offset, 0, 0])].concat()
}

#[test]
fn requests_of_aio_are_shown_with_what_they_write() {
    let record = call(Sysno::io_submit, &[0x7f00, 3, 0x1000], 3)
        .with(2, &words(&[0x10, 0x20, 0x30]))
        .with_element(2, 0, 0, &request(7, 1, 4, 0x40, 5, 0))
        .with_piece(2, Capture::DATA, 0, b"bytes")
        .with_element(2, 1, 0, &request(0, 0, 4, 0x50, 10, 3));
    assert_eq!(
        plain(record),
        "io_submit(0x7f00, 3, [{aio_data=0x7, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=4, aio_buf=\"bytes\", \
         aio_nbytes=5, aio_offset=0}, {aio_data=0, aio_lio_opcode=IOCB_CMD_PREAD, aio_fildes=4, aio_buf=0x50, \
         aio_nbytes=10, aio_offset=3}, 0x30]) = 3"
    );
    let events = call(Sysno::io_getevents, &[0x7f00, 1, 2, 0x1000, 0], 1).with(3, &words(&[7, 0x10, 20, 0]));
    assert_eq!(plain(events), "io_getevents(0x7f00, 1, 2, [{data=0x7, obj=0x10, res=20, res2=0}], NULL) = 1");
}

#[test]
fn io_uring_setup_shows_what_it_takes_and_what_it_makes() {
    let given = [halves(&[0, 32, io_uring::IORING_SETUP_CQSIZE, 1, 2]), vec![0; 100]].concat();
    let refused = call(Sysno::io_uring_setup, &[0, 0x1000], failure(errno::EINVAL)).with(1, &given);
    let taken = "flags=IORING_SETUP_CQSIZE, sq_thread_cpu=1, sq_thread_idle=2";
    assert_eq!(plain(refused), format!("io_uring_setup(0, {{{taken}}}) = -1 EINVAL (Invalid argument)"));
    let made = halves(&[
        8,
        32,
        io_uring::IORING_SETUP_CQSIZE,
        1,
        2,
        io_uring::IORING_FEAT_SINGLE_MMAP,
        0,
        0,
        0,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        0,
        0,
        0,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        0,
        0,
        0,
    ]);
    let record = call(Sysno::io_uring_setup, &[8, 0x1000], 3).with(1, &given).with(1, &made);
    assert_eq!(
        plain(record),
        format!(
            "io_uring_setup(8, {{{taken}, sq_entries=8, cq_entries=32, features=IORING_FEAT_SINGLE_MMAP, sq_off={{head=1, \
             tail=2, ring_mask=3, ring_entries=4, flags=5, dropped=6, array=7}}, cq_off={{head=11, tail=12, ring_mask=13, \
             ring_entries=14, overflow=15, cqes=16, flags=17}}}}) = 3"
        )
    );
}

#[test]
fn io_uring_register_shows_what_its_opcode_takes() {
    let register = |opcode: op, count| call(Sysno::io_uring_register, &[3, opcode as u64, 0x1000, count], 0);
    for (record, text) in [
        (register(op::IORING_REGISTER_FILES, 2).with(2, &halves(&[5, u32::MAX])), "IORING_REGISTER_FILES, [5, -1], 2"),
        (
            register(op::IORING_REGISTER_BUFFERS, 1).with(2, &words(&[0x10, 4096])),
            "IORING_REGISTER_BUFFERS, [{iov_base=0x10, iov_len=4096}], 1",
        ),
        (
            register(op::IORING_REGISTER_FILES_UPDATE, 1)
                .with(2, &[halves(&[1, 0]), words(&[0x10])].concat())
                .with_piece(2, Capture::DATA, 0, &halves(&[9])),
            "IORING_REGISTER_FILES_UPDATE, {offset=1, fds=[9]}, 1",
        ),
        (
            register(op::IORING_REGISTER_PBUF_RING, 1)
                .with(2, &[words(&[0x2000]), halves(&[8, 7, 0, 0, 0, 0, 0, 0])].concat()),
            "IORING_REGISTER_PBUF_RING, {ring_addr=0x2000, ring_entries=8, bgid=7, flags=0}, 1",
        ),
        (register(op::IORING_REGISTER_PROBE, 4), "IORING_REGISTER_PROBE, 0x1000, 4"),
    ] {
        assert_eq!(plain(record), format!("io_uring_register(3, {text}) = 0"));
    }
}

#[test]
fn operands_of_prctl_futex_and_keyctl_have_their_names() {
    let option = |option: u32, rest: &[u64]| {
        let args = [&[u64::from(option)], rest].concat();
        plain(call(Sysno::prctl, &args, 0))
    };
    let raise = u64::from(prctl::PR_CAP_AMBIENT_RAISE);
    for (shown, text) in [
        (option(prctl::PR_SET_DUMPABLE, &[1]), "PR_SET_DUMPABLE, SUID_DUMP_USER"),
        (option(prctl::PR_CAP_AMBIENT, &[raise, 13]), "PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0"),
        (
            option(prctl::PR_SET_SECUREBITS, &[0x4000_0003]),
            "PR_SET_SECUREBITS, SECBIT_NOROOT|SECBIT_NOROOT_LOCKED|0x40000000",
        ),
        (option(prctl::PR_SET_MM, &[7, 1]), "PR_SET_MM, PR_SET_MM_BRK, 0x1, 0, 0"),
        (option(prctl::PR_MCE_KILL, &[1, 1]), "PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0"),
        (option(prctl::PR_SET_SECCOMP, &[77]), "PR_SET_SECCOMP, 0x4d /* SECCOMP_MODE_??? */, 0, 0, 0"),
    ] {
        assert_eq!(shown, format!("prctl({text}) = 0"));
    }
    let filter =
        call(Sysno::seccomp, &[u64::from(ptrace::SECCOMP_SET_MODE_FILTER), 0, 0x1000], 0).with(2, &words(&[3, 0x20]));
    assert_eq!(plain(filter), "seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=3, filter=0x20}) = 0");
    let dumpable = call(Sysno::prctl, &[u64::from(prctl::PR_GET_DUMPABLE)], 1);
    assert_eq!(plain(dumpable), "prctl(PR_GET_DUMPABLE) = 1 (SUID_DUMP_USER)");
    let wake = call(Sysno::futex, &[0x10, u64::from(general::FUTEX_WAKE_OP_PRIVATE), 1, 2, 0x20, 0x1400_1000], 0);
    let operation = "FUTEX_OP_ADD<<28|0x1<<12|FUTEX_OP_CMP_GT<<24|0";
    assert_eq!(plain(wake), format!("futex(0x10, FUTEX_WAKE_OP_PRIVATE, 1, 2, 0x20, {operation}) = 0"));
    let waiter = [words(&[1, 0x10]), halves(&[general::FUTEX2_SIZE_U32, 0])].concat();
    let wait = call(Sysno::futex_waitv, &[0x1000, 1, 0, 0, 1], 0).with(0, &waiter);
    let shown = "[{val=0x1, uaddr=0x10, flags=FUTEX2_SIZE_U32}]";
    assert_eq!(plain(wait), format!("futex_waitv({shown}, 1, 0, NULL, CLOCK_MONOTONIC) = 0"));
    let key = |args: &[u64]| call(Sysno::keyctl, args, 0);
    let session = u64::from((-3i32).cast_unsigned());
    for (record, text) in [
        (key(&[0, session, 1]), "KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1"),
        (key(&[1, 0]), "KEYCTL_JOIN_SESSION_KEYRING, NULL"),
        (key(&[2, 1234, 0x10, 7]).with(2, b"payload"), "KEYCTL_UPDATE, 1234, \"payload\", 7"),
        (key(&[5, 1234, 0x0100_0001]), "KEYCTL_SETPERM, 1234, KEY_POS_VIEW|KEY_OTH_VIEW"),
        (
            key(&[10, 1234, 0x10, 0x20, 0]).with(2, b"user").with(3, b"name"),
            "KEYCTL_SEARCH, 1234, \"user\", \"name\", 0",
        ),
        (key(&[999, 1]), "0x3e7 /* KEYCTL_??? */, 0x1, 0, 0, 0"),
    ] {
        assert_eq!(plain(record), format!("keyctl({text}) = 0"));
    }
}
