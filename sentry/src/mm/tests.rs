//! Address spaces on the fake machine, through the calls that programs make.

use super::{AddressSpace, Bounds, MapRequest, Mapping, MemoryFault, Move, Object, Place};
use crate::errno::Errno;
use crate::fake::{self, current, read_user, write_user};
use crate::fs::{Sink, Source};
use crate::platform::{Access, Prot, platform};
use crate::task::{Current, Limits};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;

const PAGE: u64 = 4096;
const RW: Prot = Prot { read: true, write: true, execute: false };
const RO: Prot = Prot { read: true, write: false, execute: false };
const BASE: u64 = 0x4000_0000;

fn bounds() -> Bounds {
    Bounds::new(&Limits::default(), true)
}

fn map_at(current: &Current, at: u64, pages: u64) -> u64 {
    let request = MapRequest::anonymous(Place::Fixed(at), pages * PAGE, RW);
    current.mm.map(&request, &bounds()).unwrap().raw()
}

fn shared(current: &Current, mapping: &Arc<Mapping>, at: u64, pages: u64, shared: bool) -> u64 {
    let object = Object::File { mapping: mapping.clone(), file: None, name: None, offset: 0 };
    let request = MapRequest { object, shared, ..MapRequest::anonymous(Place::Fixed(at), pages * PAGE, RW) };
    current.mm.map(&request, &bounds()).unwrap().raw()
}

fn va(at: u64) -> UserVa {
    UserVa::new(at)
}

fn ranges(mm: &AddressSpace) -> Vec<(u64, u64)> {
    let all = mm.report().into_iter().map(|area| (area.start, area.end));
    all.filter(|(start, _)| *start >= BASE).collect()
}

#[test]
fn untouched_memory_reads_as_zero_and_keeps_what_is_written() {
    let current = current();
    let at = map_at(&current, BASE, 2);
    assert_eq!(read_user(&current, va(at + PAGE - 2), 4), [0; 4]);
    write_user(&current, va(at + PAGE - 2), b"abcd");
    assert_eq!(read_user(&current, va(at + PAGE - 2), 4), b"abcd");
}

#[test]
fn access_outside_or_against_the_protection_faults() {
    let current = current();
    let at = map_at(&current, BASE, 2);
    assert_eq!(current.mm.fault(va(at + 2 * PAGE), Access::Read), Err(MemoryFault::NotMapped));
    current.mm.protect(at, at + PAGE, RO, false, &bounds()).unwrap();
    assert_eq!(current.mm.fault(va(at), Access::Write), Err(MemoryFault::NotAllowed));
    assert_eq!(current.mm.fault(va(at), Access::Execute), Err(MemoryFault::NotAllowed));
    assert_eq!(current.copy_out(va(at), b"x"), Err(Errno::EFAULT));
    assert_eq!(current.mm.fault(va(u64::MAX), Access::Read), Err(MemoryFault::NotMapped));
}

#[test]
fn a_forked_child_sees_the_old_bytes_after_the_parent_writes() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), b"before");
    let child = current.mm.fork().unwrap();
    write_user(&current, va(at), b"after!");
    let mut seen = [0; 6];
    child.read_remote(va(at), &mut seen).unwrap();
    assert_eq!(&seen, b"before");
    child.write_remote(va(at), b"child!").unwrap();
    assert_eq!(read_user(&current, va(at), 6), b"after!");
}

#[test]
fn after_the_child_is_gone_the_parent_writes_in_place() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), b"x");
    let frame = current.mm.table().translate(va(at)).unwrap().frame.pfn();
    drop(current.mm.fork().unwrap());
    write_user(&current, va(at), b"y");
    assert_eq!(current.mm.table().translate(va(at)).unwrap().frame.pfn(), frame, "no copy is needed");
}

#[test]
fn shared_memory_is_shared_over_fork_and_private_mappings_of_it_are_not() {
    let current = current();
    let mapping = Mapping::in_memory(2 * PAGE, None);
    let at = shared(&current, &mapping, BASE, 2, true);
    let private = shared(&current, &mapping, BASE + 16 * PAGE, 2, false);
    write_user(&current, va(at), b"one");
    assert_eq!(read_user(&current, va(private), 3), b"one");
    let child = current.mm.fork().unwrap();
    child.write_remote(va(at), b"two").unwrap();
    assert_eq!(read_user(&current, va(at), 3), b"two");
    write_user(&current, va(private), b"own");
    assert_eq!(read_user(&current, va(at), 3), b"two");
    let mut file = [0; 3];
    mapping.read(&mut Sink::kernel(&mut file), 0).unwrap();
    assert_eq!(&file, b"two");
}

#[test]
fn a_private_copy_survives_fork() {
    let current = current();
    let mapping = Mapping::in_memory(PAGE, None);
    let at = shared(&current, &mapping, BASE, 1, false);
    write_user(&current, va(at), b"mine");
    current.mm.protect(at, at + PAGE, RO, false, &bounds()).unwrap();
    let child = current.mm.fork().unwrap();
    let mut seen = [0; 4];
    child.read_remote(va(at), &mut seen).unwrap();
    assert_eq!(&seen, b"mine");
}

#[test]
fn access_behind_the_end_of_a_file_is_a_bus_error_and_truncation_takes_pages_away() {
    let current = current();
    let mapping = Mapping::in_memory(0, None);
    mapping.write(&mut Source::kernel(&[1; 2 * PAGE as usize]), None, u64::MAX).unwrap();
    let at = shared(&current, &mapping, BASE, 4, true);
    let private = shared(&current, &mapping, BASE + 16 * PAGE, 4, false);
    assert_eq!(current.mm.fault(va(at + 2 * PAGE), Access::Read), Err(MemoryFault::BeyondEnd));
    assert_eq!(read_user(&current, va(at + PAGE), 1), [1]);
    write_user(&current, va(private + PAGE), &[2]);
    mapping.truncate(PAGE);
    assert_eq!(current.mm.fault(va(at + PAGE), Access::Read), Err(MemoryFault::BeyondEnd));
    assert_eq!(current.mm.fault(va(private + PAGE), Access::Read), Err(MemoryFault::BeyondEnd), "copies go too");
    assert_eq!(read_user(&current, va(at), 1), [1]);
}

#[test]
fn adjacent_areas_merge_and_holes_split_them() {
    let current = current();
    let at = map_at(&current, BASE, 2);
    map_at(&current, at + 2 * PAGE, 2);
    assert_eq!(ranges(&current.mm), [(at, at + 4 * PAGE)]);
    current.mm.protect(at + PAGE, at + 2 * PAGE, RO, false, &bounds()).unwrap();
    assert_eq!(ranges(&current.mm).len(), 3);
    current.mm.protect(at + PAGE, at + 2 * PAGE, RW, false, &bounds()).unwrap();
    assert_eq!(ranges(&current.mm), [(at, at + 4 * PAGE)]);
    current.mm.unmap(va(at + PAGE), PAGE).unwrap();
    assert_eq!(ranges(&current.mm), [(at, at + PAGE), (at + 2 * PAGE, at + 4 * PAGE)]);
    assert_eq!(current.mm.unmap(va(at + 1), PAGE), Err(Errno::EINVAL));
}

#[test]
fn unmapped_memory_is_gone_and_new_memory_there_is_zero() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), b"secret");
    let (before, _) = current.mm.resident_pages();
    current.mm.unmap(va(at), PAGE).unwrap();
    assert_eq!(current.mm.resident_pages().0, before - 1);
    map_at(&current, at, 1);
    assert_eq!(read_user(&current, va(at), 6), [0; 6]);
}

#[test]
fn places_are_found_top_down_and_hints_are_honoured() {
    let current = current();
    let any = |hint, pages| {
        let request = MapRequest::anonymous(Place::Hint(hint), pages * PAGE, RW);
        current.mm.map(&request, &bounds()).unwrap().raw()
    };
    let first = any(0, 3);
    assert_eq!(any(0, 1), first - PAGE, "below the last");
    assert_eq!(any(BASE + 5, 1), BASE);
    assert_ne!(any(BASE, 1), BASE, "a hint is no order");
    let exact = MapRequest::anonymous(Place::FixedFree(BASE), PAGE, RW);
    assert_eq!(current.mm.map(&exact, &bounds()), Err(Errno::EEXIST));
    let low = MapRequest::anonymous(Place::Low, PAGE, RW);
    assert!(current.mm.map(&low, &bounds()).unwrap().raw() < 1 << 31);
}

#[test]
fn a_stack_grows_down_to_its_limit_but_not_onto_its_neighbour() {
    let current = current();
    let top = BASE + 4096 * PAGE;
    let grows = MapRequest { grows_down: true, ..MapRequest::anonymous(Place::Fixed(top - PAGE), PAGE, RW) };
    current.mm.map(&grows, &bounds()).unwrap();
    write_user(&current, va(top - 5 * PAGE), b"deep");
    assert_eq!(ranges(&current.mm), [(top - 5 * PAGE, top)]);
    current.mm.set_stack_limit(8 * PAGE);
    assert_eq!(current.mm.fault(va(top - 9 * PAGE), Access::Write), Err(MemoryFault::NotMapped));
    current.mm.set_stack_limit(u64::MAX);
    map_at(&current, top - 300 * PAGE, 1);
    // 256 pages stay free between them.
    assert_eq!(current.mm.fault(va(top - 44 * PAGE), Access::Write), Err(MemoryFault::NotMapped));
    assert_eq!(current.mm.fault(va(top - 43 * PAGE), Access::Write), Ok(()));
}

#[test]
fn large_pages_are_used_where_a_block_lies_whole_in_an_area() {
    let current = current();
    let at = map_at(&current, BASE, 1024);
    write_user(&current, va(at), b"x");
    assert_eq!(current.mm.resident_pages().0, 512);
    current.mm.advise(at + (2 << 20), at + (4 << 20), raw::MADV_NOHUGEPAGE).unwrap();
    write_user(&current, va(at + (3 << 20)), b"x");
    assert_eq!(current.mm.resident_pages().0, 513);
}

#[test]
fn mremap_grows_in_place_or_moves_and_keeps_the_bytes() {
    let current = current();
    let at = map_at(&current, BASE, 2);
    write_user(&current, va(at), b"keep");
    let grow =
        |from, old, new, how| current.mm.remap(from, old * PAGE, new * PAGE, how, false, &bounds()).map(UserVa::raw);
    assert_eq!(grow(at, 2, 4, Move::Never), Ok(at));
    map_at(&current, at + 4 * PAGE, 1);
    current.mm.protect(at + 4 * PAGE, at + 5 * PAGE, RO, false, &bounds()).unwrap();
    assert_eq!(grow(at, 4, 8, Move::Never), Err(Errno::ENOMEM));
    let moved = grow(at, 4, 8, Move::Anywhere).unwrap();
    assert_ne!(moved, at);
    assert_eq!(read_user(&current, va(moved), 4), b"keep");
    assert_eq!(current.mm.fault(va(at), Access::Read), Err(MemoryFault::NotMapped));
    assert_eq!(grow(moved, 8, 1, Move::Never), Ok(moved));
    assert_eq!(current.mm.fault(va(moved + PAGE), Access::Read), Err(MemoryFault::NotMapped));
    assert_eq!(grow(moved, 1, 1, Move::To(at)), Ok(at));
    assert_eq!(read_user(&current, va(at), 4), b"keep");
    assert_eq!(grow(BASE + (1 << 30), 1, 2, Move::Anywhere), Err(Errno::EFAULT));
}

#[test]
fn dontneed_gives_zeroes_back_and_a_file_its_content() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), b"gone");
    current.mm.advise(at, at + PAGE, raw::MADV_DONTNEED).unwrap();
    assert_eq!(read_user(&current, va(at), 4), [0; 4]);
    let mapping = Mapping::in_memory(PAGE, None);
    mapping.write(&mut Source::kernel(b"file"), Some(0), u64::MAX).unwrap();
    let at = shared(&current, &mapping, BASE + 16 * PAGE, 1, false);
    write_user(&current, va(at), b"mine");
    current.mm.advise(at, at + PAGE, raw::MADV_DONTNEED).unwrap();
    assert_eq!(read_user(&current, va(at), 4), b"file");
}

#[test]
fn advice_on_a_gap_applies_and_then_says_enomem() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), b"gone");
    assert_eq!(current.mm.advise(at, at + 2 * PAGE, raw::MADV_DONTNEED), Err(Errno::ENOMEM));
    assert_eq!(read_user(&current, va(at), 4), [0; 4]);
    assert_eq!(current.mm.advise(at, at + PAGE, 77), Err(Errno::EINVAL));
}

#[test]
fn wipe_on_fork_and_dont_fork_keep_memory_from_the_child() {
    let current = current();
    let at = map_at(&current, BASE, 2);
    write_user(&current, va(at), b"wipe");
    current.mm.advise(at, at + PAGE, raw::MADV_WIPEONFORK).unwrap();
    current.mm.advise(at + PAGE, at + 2 * PAGE, raw::MADV_DONTFORK).unwrap();
    let child = current.mm.fork().unwrap();
    let mut seen = [1; 4];
    child.read_remote(va(at), &mut seen).unwrap();
    assert_eq!(seen, [0; 4]);
    assert_eq!(child.fault(va(at + PAGE), Access::Read), Err(MemoryFault::NotMapped));
}

#[test]
fn brk_moves_within_its_bounds() {
    let current = current();
    let mut layout = current.mm.layout();
    (layout.start_brk, layout.brk) = (BASE, BASE);
    current.mm.set_layout(layout);
    assert_eq!(current.mm.set_brk(0, &bounds()), BASE);
    assert_eq!(current.mm.set_brk(BASE + 100, &bounds()), BASE + 100);
    write_user(&current, va(BASE), b"heap");
    assert_eq!(current.mm.report().iter().find(|area| area.start == BASE).unwrap().name, b"[heap]");
    let mut tight = bounds();
    tight.data = PAGE;
    assert_eq!(current.mm.set_brk(BASE + 2 * PAGE, &tight), BASE + 100);
    assert_eq!(current.mm.set_brk(BASE, &bounds()), BASE);
    assert_eq!(current.mm.fault(va(BASE), Access::Read), Err(MemoryFault::NotMapped));
}

#[test]
fn limits_on_address_space_data_and_locked_memory_hold() {
    let current = current();
    let mut tight = bounds();
    tight.total_pages = current.mm.totals().total + 1;
    let two = MapRequest::anonymous(Place::Hint(0), 2 * PAGE, RW);
    assert_eq!(current.mm.map(&two, &tight), Err(Errno::ENOMEM));
    let huge = MapRequest::anonymous(Place::Hint(0), 1 << 45, RW);
    assert_eq!(current.mm.map(&huge, &bounds()), Err(Errno::ENOMEM), "more than all of memory");
    let reserved = MapRequest { no_reserve: true, ..huge };
    assert!(current.mm.map(&reserved, &bounds()).is_ok());
    let at = map_at(&current, BASE, 4);
    let locked = Bounds { locked_pages: 3, ..bounds() };
    assert_eq!(current.mm.lock_pages(at, at + 4 * PAGE, false, &locked), Err(Errno::ENOMEM));
    assert_eq!(current.mm.lock_pages(at, at + 3 * PAGE, false, &locked), Ok(()));
    assert_eq!(current.mm.totals().locked, 3);
    current.mm.unlock_pages(at, at + 4 * PAGE).unwrap();
    assert_eq!(current.mm.totals().locked, 0);
}

#[test]
fn running_out_of_frames_is_out_of_memory_not_a_crash() {
    let current = current();
    let at = map_at(&current, BASE, 4);
    fake::machine().limit_frames(1);
    assert_eq!(current.mm.fault(va(at), Access::Write), Ok(()));
    assert_eq!(current.mm.fault(va(at + PAGE), Access::Write), Err(MemoryFault::OutOfMemory));
}

#[test]
fn threads_that_copy_the_same_page_lose_no_write() {
    let current = current();
    let at = map_at(&current, BASE, 1);
    write_user(&current, va(at), &[0; 64]);
    for _ in 0..50 {
        let child = current.mm.fork().unwrap();
        let mm = current.mm.clone();
        let write = move |index: u64, value: u8| {
            let mm = mm.clone();
            let run = move || {
                platform().use_page_table(Some(mm.table().clone()));
                while platform().copy_to_user(va(at + index), &[value]).is_err() {
                    mm.fault(va(at), Access::Write).unwrap();
                }
            };
            platform().spawn(false, alloc::boxed::Box::new(run)).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|index| write(index, 1 + index as u8)).collect();
        threads.iter().for_each(fake::join);
        assert_eq!(read_user(&current, va(at), 4), [1, 2, 3, 4]);
        write_user(&current, va(at), &[0; 4]);
        drop(child);
    }
}

#[test]
fn mapped_pages_of_a_file_are_written_back_once_dirty_and_again_after_new_writes() {
    use super::{PageSource, zero_behind};
    use crate::platform::Frame;
    struct Disk(std::sync::Mutex<Vec<u8>>);
    impl PageSource for Disk {
        fn read_pages(&self, _first: u64, frames: &[Frame]) -> Result<(), Errno> {
            zero_behind(frames, 0);
            Ok(())
        }
        fn write_pages(&self, _first: u64, frames: &[Frame], len: usize) -> Result<(), Errno> {
            let mut bytes = vec![0; len];
            platform().frame_read(&frames[0], 0, &mut bytes);
            *self.0.lock().unwrap() = bytes;
            Ok(())
        }
    }
    let current = current();
    let disk = Arc::new(Disk(std::sync::Mutex::default()));
    let mapping = Mapping::new(disk.clone(), 8);
    let at = shared(&current, &mapping, BASE, 1, true);
    assert_eq!(read_user(&current, va(at), 1), [0]);
    assert!(!mapping.is_dirty());
    write_user(&current, va(at), b"one");
    current.mm.sync(at, at + PAGE, true, false).unwrap();
    assert_eq!(*disk.0.lock().unwrap(), b"one\0\0\0\0\0");
    write_user(&current, va(at), b"two");
    assert!(mapping.is_dirty());
    mapping.write_back(0, u64::MAX).unwrap();
    assert_eq!(*disk.0.lock().unwrap(), b"two\0\0\0\0\0");
    assert_eq!(mapping.writable_maps(), 1);
    current.mm.unmap(va(at), PAGE).unwrap();
    assert_eq!(mapping.writable_maps(), 0);
}
