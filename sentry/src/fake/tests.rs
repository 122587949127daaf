//! The fake keeps the platform's promises.

use super::{USER_MEMORY, USER_MEMORY_BYTES, current, join, machine, read_user, write_user};
use crate::errno::Errno;
use crate::platform::{Prot, Trap, UserContext, platform};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linker::request::Request;
use std::boxed::Box;
use std::sync::Arc;
use std::vec;

const RW: Prot = Prot { read: true, write: true, execute: false };

#[test]
fn user_memory_reads_back_what_was_written_across_pages() {
    let current = current();
    let at = UserVa::new(USER_MEMORY.raw() + PAGE_SIZE - 3);
    write_user(&current, at, b"hello");
    assert_eq!(read_user(&current, at, 5), b"hello");
}

#[test]
fn a_copy_stops_at_the_first_unmapped_page() {
    let current = current();
    let end = USER_MEMORY.raw() + USER_MEMORY_BYTES;
    write_user(&current, UserVa::new(end - 2), b"in");
    let fault = platform().copy_to_user(UserVa::new(end - 2), &[1; 8]).unwrap_err();
    assert_eq!((fault.done, fault.address), (2, UserVa::new(end)));
}

#[test]
fn fork_shares_frames_until_one_side_has_the_last_reference() {
    super::install();
    let (parent, child) = (platform().new_page_table().unwrap(), platform().new_page_table().unwrap());
    let (start, end) = (UserVa::new(0x1000), UserVa::new(0x2000));
    parent.map(start, platform().alloc_frame(true).unwrap(), RW).unwrap();
    assert_eq!(parent.fork_into(&*child, start, end, true), Ok(1));
    assert!(!parent.reclaim_exclusive(start, RW), "two tables hold the frame");
    assert_eq!(child.unmap(start, end), 1);
    assert!(parent.reclaim_exclusive(start, RW));
    assert!(parent.translate(start).unwrap().prot.write);
}

#[test]
fn an_unpark_before_the_park_is_not_lost() {
    super::install();
    platform().current_thread().unpark();
    platform().park(None);
}

#[test]
fn spawned_threads_inherit_the_machine() {
    super::install();
    machine().set_monotonic_ns(42);
    let seen = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let out = seen.clone();
    let run = move || out.store(platform().monotonic_ns(), std::sync::atomic::Ordering::SeqCst);
    join(&platform().spawn(false, Box::new(run)).unwrap());
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 42);
}

#[test]
fn user_mode_follows_the_script_and_the_host_answers_as_told() {
    let mut current = super::user::current();
    machine().script_user_mode(vec![
        Box::new(|context: &mut UserContext| {
            context.rax = 39;
            Trap::Syscall
        }),
        Box::new(|_: &mut UserContext| Trap::Interrupt),
    ]);
    assert_eq!(platform().run_user(&mut current), Trap::Interrupt);
    assert_eq!(current.regs.rax, u64::from(current.process.pid().raw()), "getpid");
    assert_eq!(platform().host_call(Request::default(), &[], &mut []), Err(Errno::ENOSYS));
    machine().set_host(|_, _, output| {
        output[..2].copy_from_slice(b"ok");
        Ok(2)
    });
    let frame = platform().alloc_frame(false).unwrap();
    assert_eq!(platform().host_read(3, 0, core::slice::from_ref(&frame)), Ok(2));
    let mut bytes = [0; 2];
    platform().frame_read(&frame, 0, &mut bytes);
    assert_eq!(&bytes, b"ok");
}

#[test]
fn a_frame_limit_makes_allocations_fail() {
    super::install();
    machine().limit_frames(1);
    let frame = platform().alloc_frame(true);
    assert!(frame.is_ok());
    assert!(platform().alloc_frame(true).is_err());
}
