//! The table is whole, and what is captured of hostile arguments stays small.

use super::{
    Arg, CAPTURE_MAX, Count, DATA_MAX, ELEMENTS_MAX, Nested, STRING_MAX, Shape, Wanted, What, captures, signature,
};
use crate::trace::Capture;
use alloc::vec;
use alloc::vec::Vec;
use syscalls::Sysno;

/// Numbers that x86-64 reserves for calls that Linux has never had.
const NEVER_IMPLEMENTED: &[Sysno] =
    &[Sysno::afs_syscall, Sysno::getpmsg, Sysno::putpmsg, Sysno::security, Sysno::tuxcall, Sysno::vserver];

fn wanted(call: Sysno, args: &[u64], result: Option<i64>) -> Vec<Wanted> {
    let mut registers = [0; 6];
    registers[..args.len()].copy_from_slice(args);
    captures(signature(call as u32).unwrap(), &registers, result).collect()
}

#[test]
fn every_call_has_a_signature_or_was_never_implemented() {
    for call in Sysno::iter().chain([Sysno::last()]) {
        assert_eq!(signature(call as u32).is_none(), NEVER_IMPLEMENTED.contains(&call), "{call}");
    }
    assert!(signature(511).is_none());
    assert!(signature(u32::MAX).is_none());
}

#[test]
fn a_length_argument_stands_in_the_same_row() {
    for signature in Sysno::iter().filter_map(|call| signature(call as u32)) {
        assert!(signature.args.len() <= 6);
        for arg in signature.args {
            let index = match *arg {
                Arg::BytesIn(index) | Arg::BytesOut(index) | Arg::VectorIn(index) | Arg::VectorOut(index) => index,
                Arg::Poll(index) | Arg::FdSet(index) | Arg::CpusIn(index) | Arg::CpusOut(index) => index,
                Arg::SocketAddressIn(index) | Arg::SocketAddressOut(index) => index,
                Arg::OptionIn(index) | Arg::OptionOut(index) => index,
                Arg::MessagesIn(index) | Arg::MessagesOut(index) => index,
                Arg::ArrayIn(_, Count::Arg(index)) | Arg::ArrayOut(_, Count::Result(index)) => index,
                _ => continue,
            };
            let length = signature.args[usize::from(index)];
            let is_length = matches!(length, Arg::Size | Arg::Uint | Arg::Int | Arg::Long | Arg::InOut(Shape::U32));
            assert!(is_length, "{}: {length:?}", signature.name());
        }
    }
}

#[test]
fn calls_that_take_no_memory_have_nothing_copied() {
    let mut plain = 0;
    for signature in Sysno::iter().filter_map(|call| signature(call as u32)).filter(|one| one.takes_no_memory()) {
        plain += 1;
        // Commands and options are small numbers, or ioctl's; arguments that could be addresses are.
        for (first, second) in (0..300).flat_map(|first| [0, 1, 5, 0x5401].map(|second| (first, second))) {
            for values in [[first, second, 0x1000, 0x2000, 0x3000, 0x4000], [second, first, 0x1000, 8, 8, 8]] {
                assert_eq!(captures(signature, &values, None).count(), 0, "{}", signature.name());
                assert_eq!(captures(signature, &values, Some(1)).count(), 0, "{}", signature.name());
            }
        }
    }
    assert!(plain > 50 && signature(Sysno::getppid as u32).is_some_and(|call| call.takes_no_memory()));
    assert!(
        [Sysno::read, Sysno::openat, Sysno::futex]
            .iter()
            .all(|call| !signature(*call as u32).unwrap().takes_no_memory())
    );
}

#[test]
fn openat_wants_its_path_at_entry_and_nothing_at_exit() {
    let args = [u64::MAX, 0x1000, 0, 0];
    let path = Wanted { argument: 1, address: 0x1000, what: What::String { max: STRING_MAX } };
    assert_eq!(wanted(Sysno::openat, &args, None), [path]);
    assert_eq!(wanted(Sysno::openat, &args, Some(3)), []);
}

#[test]
fn read_wants_as_many_bytes_as_it_returned() {
    let args = [3, 0x1000, 4096];
    let bytes = |len, cut| vec![Wanted { argument: 1, address: 0x1000, what: What::Bytes { len, cut } }];
    assert_eq!(wanted(Sysno::read, &args, None), []);
    assert_eq!(wanted(Sysno::read, &args, Some(5)), bytes(5, false));
    assert_eq!(wanted(Sysno::read, &args, Some(0)), bytes(0, false));
    assert_eq!(wanted(Sysno::read, &args, Some(33)), bytes(DATA_MAX, true));
    assert_eq!(wanted(Sysno::read, &args, Some(-14)), []);
}

#[test]
fn an_attribute_longer_than_its_buffer_is_not_read_beyond_it() {
    let bytes = Wanted { argument: 2, address: 0x30, what: What::Bytes { len: 0, cut: false } };
    assert_eq!(wanted(Sysno::getxattr, &[0x10, 0x20, 0x30, 0], Some(4096)), [bytes]);
}

#[test]
fn null_is_never_wanted() {
    for call in Sysno::iter().filter(|call| signature(*call as u32).is_some()) {
        assert_eq!(wanted(call, &[0; 6], None), [], "{call}");
        assert_eq!(wanted(call, &[0; 6], Some(0)), [], "{call}");
    }
}

#[test]
fn a_poll_that_timed_out_wants_nothing_at_exit() {
    let args = [0x1000, 2, 100];
    let pollfds = Wanted { argument: 0, address: 0x1000, what: What::Bytes { len: 16, cut: false } };
    assert_eq!(wanted(Sysno::poll, &args, None), [pollfds]);
    assert_eq!(wanted(Sysno::poll, &args, Some(1)), [pollfds]);
    assert_eq!(wanted(Sysno::poll, &args, Some(0)), []);
}

#[test]
fn accept_wants_an_address_as_long_as_the_kernel_says() {
    let at = wanted(Sysno::accept, &[3, 0x1000, 0x2000], Some(4));
    assert_eq!(at[0].what, What::Counted { length_at: 0x2000, max: 128 });
    assert_eq!(at[1].what, What::Bytes { len: 4, cut: false });
    assert_eq!(wanted(Sysno::accept, &[3, 0x1000, 0], Some(4)), []);
}

#[test]
fn what_is_wanted_is_bounded_whatever_the_arguments() {
    let hostile = [0, 1, 2, 31, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX];
    for call in Sysno::iter().filter(|call| signature(*call as u32).is_some()) {
        for value in hostile {
            for second in hostile {
                let args = [value, second, value, second, value, second];
                for result in [None, Some(0), Some(1), Some(i64::MAX), Some(i64::MIN)] {
                    for wanted in wanted(call, &args, result) {
                        assert!(is_small(wanted.what), "{call} {value:#x} {second:#x}: {wanted:?}");
                    }
                }
            }
        }
    }
}

fn is_small(what: What) -> bool {
    match what {
        What::String { max } => max <= STRING_MAX,
        What::Bytes { len, .. } => len <= CAPTURE_MAX,
        What::Counted { max, .. } => max <= CAPTURE_MAX,
        What::Iovec { count, .. } => count <= ELEMENTS_MAX,
        What::Strings { max_elements } => max_elements <= ELEMENTS_MAX,
        What::Structs { of, count, .. } => {
            count <= ELEMENTS_MAX && count * of.size() <= CAPTURE_MAX && parts_are_small(of)
        }
        What::Pointers { of, count, .. } => count <= ELEMENTS_MAX && of.size() <= CAPTURE_MAX && parts_are_small(of),
    }
}

/// What structs with hostile fields point to.
fn parts_are_small(of: Nested) -> bool {
    [0, 1, 8, 0x7f, 0xff].into_iter().all(|byte| {
        let bytes = vec![byte; of.size() as usize];
        of.parts(&bytes).all(|part| part.address != 0 && is_small(part.what))
    })
}

#[test]
fn a_message_is_copied_at_entry_where_it_is_sent_and_at_exit_where_it_came() {
    let structs = |of, count| vec![What::Structs { of, count, cut: false }];
    let what =
        |call, args: &[u64], result| wanted(call, args, result).iter().map(|wanted| wanted.what).collect::<Vec<_>>();
    assert_eq!(what(Sysno::sendmsg, &[3, 0x1000, 0], None), structs(Nested::Message { limit: u64::MAX }, 1));
    assert_eq!(what(Sysno::sendmsg, &[3, 0x1000, 0], Some(5)), []);
    assert_eq!(what(Sysno::recvmsg, &[3, 0x1000, 0], None), [What::Bytes { len: 56, cut: false }]);
    assert_eq!(what(Sysno::recvmsg, &[3, 0x1000, 0], Some(5)), structs(Nested::Message { limit: 5 }, 1));
    assert_eq!(what(Sysno::sendmmsg, &[3, 0x1000, 2, 0], None), structs(Nested::Sent, 2));
    assert_eq!(what(Sysno::sendmmsg, &[3, 0x1000, 2, 0], Some(1)), [What::Bytes { len: 64, cut: false }]);
    assert_eq!(what(Sysno::recvmmsg, &[3, 0x1000, 2, 0, 0], Some(1)), structs(Nested::Received, 1));
}

#[test]
fn a_message_points_to_a_name_buffers_and_control_messages() {
    let words: [u64; 8] = [0x10, 16, 0x20, 2, 0x30, 24, 0, 7];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let parts: Vec<_> = Nested::Received.parts(&bytes).map(|part| (part.flags, part.address, part.what)).collect();
    let [name, control] = [16, 24].map(|len| What::Bytes { len, cut: false });
    let vector = What::Iovec { count: 2, cut: false, limit: 7 };
    let wanted = [(Capture::NAME, 0x10, name), (Capture::VECTOR, 0x20, vector), (Capture::CONTROL, 0x30, control)];
    assert_eq!(parts, wanted);
    assert_eq!(Nested::Message { limit: 1 }.parts(&[0; 56]).count(), 0);
}

#[test]
fn operands_depend_on_the_operation() {
    let args = |call: Sysno, values: [u64; 6]| signature(call as u32).unwrap().with(&values).args;
    let update = args(Sysno::keyctl, [2, 0, 0, 0, 0, 0]);
    assert_eq!(update[2..], [Arg::BytesIn(3), Arg::Size]);
    assert_eq!(args(Sysno::keyctl, [3, 0, 0, 0, 0, 0]).len(), 2);
    let files = args(Sysno::io_uring_register, [0, 2, 0, 0, 0, 0]);
    assert_eq!(files[2], Arg::ArrayIn(Shape::I32, Count::Arg(3)));
    assert_eq!(args(Sysno::io_uring_register, [0, 999, 0, 0, 0, 0])[2], Arg::Address);
}

#[test]
fn a_mode_is_there_only_when_a_file_may_be_created() {
    let open = signature(Sysno::open as u32).unwrap();
    let creating = u64::from(linux_raw_sys::general::O_CREAT);
    assert_eq!(open.with(&[1, 0, 0, 0, 0, 0]).args.len(), 2);
    assert_eq!(open.with(&[1, creating, 0, 0, 0, 0]).args.len(), 3);
}

#[test]
fn the_third_argument_of_fcntl_depends_on_its_command() {
    use linux_raw_sys::general::{F_GETFD, F_SETLK};
    let fcntl = signature(Sysno::fcntl as u32).unwrap();
    assert_eq!(fcntl.with(&[3, u64::from(F_GETFD), 0, 0, 0, 0]).args.len(), 2);
    assert_eq!(fcntl.with(&[3, u64::from(F_SETLK), 0, 0, 0, 0]).args[2], Arg::In(Shape::Flock));
}
