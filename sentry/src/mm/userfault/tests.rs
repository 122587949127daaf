//! What a userfaultfd answers, without anybody who waits.

use super::{Modes, Userfault};
use crate::errno::Errno;
use crate::fake::{self, USER_MEMORY};
use crate::mm::MemoryFault;
use crate::platform::Access;
use crate::task::Current;
use alloc::sync::Arc;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// Four pages that nobody has touched.
const START: u64 = USER_MEMORY.raw() + 8 * PAGE_SIZE;
const LEN: u64 = 4 * PAGE_SIZE;

fn registered(current: &Current, features: u32, modes: Modes) -> Arc<Userfault> {
    let fault = Userfault::new(&current.mm, false);
    fault.choose(u64::from(features)).unwrap();
    fault.register(START, LEN, modes).unwrap();
    fault
}

#[test]
fn pages_are_filled_in_once_and_only_where_it_answers() {
    let current = fake::current();
    fake::write_user(&current, USER_MEMORY, b"content");
    let fault = registered(&current, raw::UFFD_FEATURE_SIGBUS, Modes::MISSING);
    let read = |at| current.mm.fault(UserVa::new(at), Access::Read);
    assert_eq!(read(START), Err(MemoryFault::BeyondEnd));
    assert_eq!(fault.copy(&current, START, USER_MEMORY.raw(), PAGE_SIZE, false), Ok(PAGE_SIZE));
    assert_eq!(fake::read_user(&current, UserVa::new(START), 7), b"content");
    assert_eq!(fault.zero(START, LEN), Err(Errno::EEXIST));
    assert_eq!(fault.zero(START + PAGE_SIZE, LEN), Err(Errno::ENOENT), "beyond what is registered");
    assert_eq!(fault.zero(START + PAGE_SIZE, LEN - PAGE_SIZE), Ok(LEN - PAGE_SIZE));
    assert_eq!(fault.map_present(START, PAGE_SIZE), Err(Errno::EINVAL));
    fault.release();
    assert_eq!(current.mm.advise(START, START + LEN, raw::MADV_DONTNEED), Ok(()));
    assert_eq!(read(START), Ok(()));
}

#[test]
fn protected_pages_refuse_writes_until_they_are_freed() {
    let current = fake::current();
    fake::write_user(&current, UserVa::new(START), b"there");
    let fault = registered(&current, raw::UFFD_FEATURE_SIGBUS, Modes::PROTECT);
    let write = |page: u64| current.mm.fault(UserVa::new(START + page * PAGE_SIZE), Access::Write);
    assert_eq!(fault.protect(START, LEN, true), Ok(()));
    assert_eq!(write(0), Err(MemoryFault::BeyondEnd));
    assert_eq!(write(1), Ok(()), "only what is there is protected");
    assert_eq!(fake::read_user(&current, UserVa::new(START), 5), b"there");
    assert_eq!(fault.protect(START, PAGE_SIZE, false), Ok(()));
    assert_eq!(write(0), Ok(()));
    let second = Userfault::new(&current.mm, false);
    assert_eq!(second.register(START, PAGE_SIZE, Modes::MISSING), Err(Errno::EBUSY));
}
