//! Frames, heap, page tables, user copies.

use super::{DATA, NOTHING, READ_ONLY, READ_WRITE, leave_space, new_space};
use crate::asm::mem;
use crate::frame::report;
use crate::platform::PLATFORM;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::{DIRECT_MAP, LARGE_PAGE_SIZE, PAGE_SIZE, USER_END};
use sentry::platform::{CopyFault, Platform};

pub fn frames_are_counted_recycled_and_zeroed() {
    let before = PLATFORM.memory_info().free_pages;
    let frames: Vec<_> = (0..200).map(|_| PLATFORM.alloc_frame(false).expect("memory")).collect();
    for frame in &frames {
        PLATFORM.frame_write(frame, 8, &[0xaa; 64]);
    }
    let mut numbers: Vec<u64> = frames.iter().map(|frame| frame.pfn()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), frames.len(), "a frame was handed out twice");
    let second = frames[0].clone();
    assert_eq!(PLATFORM.frame_references(&second), 2);
    drop(frames);
    assert_eq!(PLATFORM.frame_references(&second), 1);
    drop(second);
    for _ in 0..100 {
        let frame = PLATFORM.alloc_frame(true).expect("memory");
        let mut bytes = [1; 128];
        PLATFORM.frame_read(&frame, 0, &mut bytes);
        assert!(bytes.iter().all(|&byte| byte == 0), "a zeroed frame is not zero");
    }
    drop(numbers);
    let after = PLATFORM.memory_info().free_pages;
    assert!(before - after < 64, "{before} free frames before, {after} after");
}

pub fn free_frames_go_back_to_the_host() {
    const COUNT: usize = 800;
    // What a CPU's cache keeps, and blocks that are too small.
    const KEPT: usize = 200;
    const LAST: usize = PAGE_SIZE as usize - 8;
    let take = |zeroed| -> Vec<_> { (0..COUNT).map(|_| PLATFORM.alloc_frame(zeroed).expect("memory")).collect() };
    let before = PLATFORM.memory_info().free_pages;
    // The second time, they are frames that went back before.
    for _ in 0..2 {
        let frames = take(false);
        for frame in &frames {
            [0, LAST].into_iter().for_each(|at| PLATFORM.frame_write(frame, at, &[0xaa; 8]));
        }
        drop(frames);
        let given = report::give_back(usize::MAX) as usize;
        assert!(given >= COUNT - KEPT, "{given} frames went back");
    }
    let frames = take(true);
    for frame in &frames {
        for at in [0, LAST] {
            let mut bytes = [1; 8];
            PLATFORM.frame_read(frame, at, &mut bytes);
            assert_eq!(bytes, [0; 8], "a zeroed frame is not zero");
        }
    }
    let mut numbers: Vec<u64> = frames.iter().map(|frame| frame.pfn()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), COUNT, "a frame was handed out twice");
    // A large block may be made of what went back and what did not.
    let large = Vec::<u8>::with_capacity(4 << 20);
    drop((frames, numbers, large));
    let after = PLATFORM.memory_info().free_pages;
    assert!(before - after < 64, "{before} free frames before, {after} after");
}

pub fn heap_hands_out_disjoint_aligned_blocks() {
    let sizes = [1, 16, 17, 48, 100, 255, 256, 1000, 2048, 2049, 4096, 10_000, 70_000];
    let mut blocks: Vec<(usize, Vec<u8>)> = Vec::new();
    for round in 0..3 {
        for (index, &size) in sizes.iter().enumerate() {
            blocks.push((index + round, alloc::vec![(index + round) as u8; size]));
        }
        blocks.retain(|(tag, block)| {
            assert!(block.iter().all(|&byte| byte == *tag as u8), "a block of {} was overwritten", block.len());
            tag % 3 != 0
        });
    }
    for align in [32, 64, 512, 4096] {
        let layout = core::alloc::Layout::from_size_align(align + 8, align).expect("valid");
        // SAFETY: the size is not zero, and the block goes back with the same layout.
        let at = unsafe { alloc::alloc::alloc_zeroed(layout) };
        assert!(!at.is_null() && (at as usize).is_multiple_of(align));
        // SAFETY: as above.
        unsafe { alloc::alloc::dealloc(at, layout) };
    }
}

pub fn heap_block_may_be_larger_than_any_block_of_frames() {
    const BYTES: usize = 9 << 20;
    let before = PLATFORM.memory_info().free_pages;
    for _ in 0..2 {
        let mut blocks: [Vec<u8>; 2] = core::array::from_fn(|_| Vec::with_capacity(BYTES));
        for (tag, block) in blocks.iter_mut().enumerate() {
            block.resize(BYTES / 2048, tag as u8);
            // The end of the block, without writing all of it.
            block.spare_capacity_mut()[BYTES - BYTES / 2048 - 1].write(7);
        }
        assert!(blocks[0].iter().all(|&byte| byte == 0) && blocks[1].iter().all(|&byte| byte == 1));
    }
    let after = PLATFORM.memory_info().free_pages;
    assert!(before - after < 64, "{before} free frames before, {after} after");
    let mut too_large: Vec<u8> = Vec::new();
    let result = too_large.try_reserve_exact(before as usize * PAGE_SIZE as usize);
    // Or the compiler may leave the allocation out, as one that succeeded.
    core::hint::black_box(&too_large);
    assert!(result.is_err());
}

pub fn page_tables_map_protect_split_and_release() {
    let before = PLATFORM.memory_info().free_pages;
    let table = new_space();
    let at = UserVa::new(0x7000_0000);
    let next = UserVa::new(at.raw() + PAGE_SIZE);
    let frame = PLATFORM.alloc_frame(true).expect("memory");
    let number = frame.pfn();
    assert_eq!(table.map_if_absent(at, frame, READ_WRITE), Ok(true));
    assert_eq!(table.map_if_absent(at, PLATFORM.alloc_frame(true).expect("memory"), READ_WRITE), Ok(false));
    PLATFORM.copy_to_user(at, b"hello").expect("mapped");
    let found = table.translate(at).expect("mapped");
    assert!(found.frame.pfn() == number && found.prot == READ_WRITE && found.dirty);
    drop(found);

    table.protect(at, next, NOTHING, false);
    assert_eq!(PLATFORM.copy_from_user(at, &mut [0; 1]), Err(CopyFault { done: 0, address: at }));
    let held = table.translate(at).expect("held");
    assert!(held.frame.pfn() == number && held.prot == NOTHING);
    drop(held);
    table.protect(at, next, READ_ONLY, false);
    let mut text = [0; 5];
    PLATFORM.copy_from_user(at, &mut text).expect("readable again");
    assert_eq!(&text, b"hello");
    assert!(PLATFORM.copy_to_user(at, b"x").is_err(), "a read-only page was written");

    let to = UserVa::new(0x7fff_0000_0000);
    table.relocate(at, to, PAGE_SIZE).expect("memory");
    assert!(table.translate(at).is_none());
    PLATFORM.copy_from_user(to, &mut text).expect("moved");
    assert_eq!(table.unmap(to, UserVa::new(to.raw() + PAGE_SIZE)), 1);

    let large = UserVa::new(0x8000_0000);
    let end = UserVa::new(large.raw() + LARGE_PAGE_SIZE);
    if table.map_large_zeroed(large, READ_WRITE) == Ok(true) {
        PLATFORM.copy_to_user(UserVa::new(end.raw() - 3), b"end").expect("mapped");
        let middle = UserVa::new(large.raw() + LARGE_PAGE_SIZE / 2);
        assert_eq!(table.unmap(middle, UserVa::new(middle.raw() + 2 * PAGE_SIZE)), 2);
        let mut bytes = [0; 3];
        PLATFORM.copy_from_user(UserVa::new(end.raw() - 3), &mut bytes).expect("still mapped");
        assert_eq!(&bytes, b"end");
        let fault = PLATFORM.copy_from_user(middle, &mut bytes);
        assert_eq!(fault, Err(CopyFault { done: 0, address: middle }));
        let mut dirty = Vec::new();
        table.scan(large, end, true, &mut |va, _, is_dirty| {
            if is_dirty {
                dirty.push(va);
            }
        });
        assert!(dirty.contains(&UserVa::new(end.raw() - PAGE_SIZE)));
        assert_eq!(table.unmap(large, end), 510);
    }
    leave_space();
    drop(table);
    let after = PLATFORM.memory_info().free_pages;
    assert!(before - after < 64, "{before} free frames before, {after} after");
}

pub fn fork_shares_pages_until_one_side_writes() {
    let parent = new_space();
    let end = UserVa::new(DATA.raw() + PAGE_SIZE);
    PLATFORM.copy_to_user(DATA, b"parent").expect("mapped");
    let child = PLATFORM.new_page_table().expect("memory");
    assert_eq!(parent.fork_into(&*child, UserVa::new(0), UserVa::new(USER_END), true), Ok(2));
    let fault = PLATFORM.copy_to_user(DATA, b"x");
    assert_eq!(fault, Err(CopyFault { done: 0, address: DATA }), "COW left the parent's page writable");
    assert!(!parent.reclaim_exclusive(DATA, READ_WRITE), "a shared page was reclaimed");

    let shared = parent.translate(DATA).expect("mapped").frame;
    assert_eq!(PLATFORM.frame_references(&shared), 3);
    let copy = PLATFORM.alloc_frame(false).expect("memory");
    PLATFORM.frame_copy(&shared, &copy);
    drop(shared);
    parent.map(DATA, copy, READ_WRITE).expect("memory");
    PLATFORM.copy_to_user(DATA, b"PARENT").expect("writable");
    PLATFORM.use_page_table(Some(child.clone()));
    let mut text = [0; 6];
    PLATFORM.copy_from_user(DATA, &mut text).expect("mapped");
    assert_eq!(&text, b"parent");
    assert!(child.reclaim_exclusive(DATA, READ_WRITE), "an exclusive page was not reclaimed");
    PLATFORM.copy_to_user(DATA, b"child!").expect("writable");
    // With `cow`, protect never gives write permission.
    child.protect(DATA, end, READ_ONLY, false);
    child.protect(DATA, end, READ_WRITE, true);
    assert!(PLATFORM.copy_to_user(DATA, b"x").is_err());
    leave_space();
}

pub fn user_copy_stops_exactly_at_a_missing_page() {
    let table = new_space();
    let end = DATA.raw() + PAGE_SIZE;
    let mut bytes = alloc::vec![7; 3 * PAGE_SIZE as usize];
    for before in [0_u64, 1, 5, 8, 13, 300, 4096] {
        let from = UserVa::new(end - before);
        let stopped = CopyFault { done: before as usize, address: UserVa::new(end) };
        for len in [before as usize + 1, before as usize + 9, before as usize + 700] {
            assert_eq!(PLATFORM.copy_from_user(from, &mut bytes[..len]), Err(stopped));
            assert_eq!(PLATFORM.copy_to_user(from, &bytes[..len]), Err(stopped));
            assert_eq!(PLATFORM.zero_user(from, len), Err(stopped));
        }
        assert_eq!(PLATFORM.copy_to_user(from, &bytes[..before as usize]), Ok(()));
    }
    PLATFORM.zero_user(DATA, PAGE_SIZE as usize).expect("mapped");
    PLATFORM.copy_to_user(UserVa::new(end - 9), b"path\0tail").expect("mapped");
    assert_eq!(PLATFORM.copy_string_from_user(UserVa::new(end - 9), &mut bytes[..64]), Ok(Some(4)));
    assert_eq!(PLATFORM.copy_string_from_user(UserVa::new(end - 9), &mut bytes[..3]), Ok(None));
    let fault = PLATFORM.copy_string_from_user(UserVa::new(end - 4), &mut bytes[..64]);
    assert_eq!(fault, Err(CopyFault { done: 4, address: UserVa::new(end) }));

    assert_eq!(PLATFORM.cmpxchg_user_u32(DATA, 1, 2), Ok(Err(0)));
    assert_eq!(PLATFORM.cmpxchg_user_u32(DATA, 0, 2), Ok(Ok(0)));
    assert_eq!(PLATFORM.load_user_u32(DATA), Ok(2));
    assert!(PLATFORM.load_user_u32(UserVa::new(end)).is_err());
    assert!(PLATFORM.load_user_u32(UserVa::new(DATA.raw() + 2)).is_err());

    for kernel in [DIRECT_MAP.raw(), USER_END, USER_END - 4, u64::MAX - 3, 0x8000_0000_0000] {
        let from = UserVa::new(kernel);
        assert!(PLATFORM.copy_from_user(from, &mut bytes[..16]).is_err(), "{kernel:#x} was read");
        assert!(PLATFORM.copy_to_user(from, &bytes[..16]).is_err(), "{kernel:#x} was written");
        assert!(PLATFORM.copy_string_from_user(from, &mut bytes[..16]).is_err(), "{kernel:#x} was read");
    }
    leave_space();
    drop(table);
}

/// Lengths around the words', apart and overlapping both ways, against byte by byte.
pub fn memory_functions_do_what_they_should() {
    const SPACE: usize = 112;
    let before = core::array::from_fn::<u8, SPACE, _>(|at| (at * 7 + at / 5) as u8);
    for len in [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 47] {
        for (from, to) in [(0, 0), (0, 1), (3, 12), (12, 3), (1, 60), (61, 0)] {
            let wanted: [u8; SPACE] = core::array::from_fn(|at| match at.checked_sub(to) {
                Some(nth) if nth < len => before[from + nth],
                _ => before[at],
            });
            let mut moved = before;
            let start = moved.as_mut_ptr();
            // SAFETY: both ranges lie within the array.
            unsafe { mem::memmove(start.add(to), start.add(from).cast_const(), len) };
            assert!(same(&moved, &wanted), "memmove of {len} bytes from {from} to {to}");
            let mut copied = before;
            // SAFETY: both ranges lie within their arrays.
            unsafe { mem::memcpy(copied.as_mut_ptr().add(to), before.as_ptr().add(from), len) };
            assert!(same(&copied, &wanted), "memcpy of {len} bytes from {from} to {to}");
            let mut filled = before;
            // SAFETY: the range lies within the array.
            unsafe { mem::memset(filled.as_mut_ptr().add(to), 0x1a5, len) };
            let is_filled =
                |(at, byte): (usize, &u8)| *byte == if at.wrapping_sub(to) < len { 0xa5 } else { before[at] };
            assert!(filled.iter().enumerate().all(is_filled), "memset of {len} bytes at {to}");
        }
        compare(&before[1..=len]);
    }
}

/// Byte by byte, and not by the function that is tried.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).fold(0, |different, (a, b)| different | core::hint::black_box(a ^ b)) == 0
}

fn compare(a: &[u8]) {
    let mut b = a.to_vec();
    // SAFETY: both slices have the length.
    let order = |b: &[u8]| unsafe { mem::memcmp(a.as_ptr(), b.as_ptr(), a.len()) };
    assert!(order(&b) == 0, "memcmp of {} equal bytes", a.len());
    for at in 0..a.len() {
        for other in [a[at].wrapping_add(1), a[at].wrapping_sub(1), !a[at]] {
            b[at] = other;
            // What comes behind the first difference does not count.
            if let Some(behind) = b.get_mut(at + 1) {
                *behind = !*behind;
            }
            let right = order(&b) != 0 && (order(&b) < 0) == (a[at] < other);
            assert!(right, "memcmp of {} bytes that differ at {at}", a.len());
            b[at] = a[at];
            if let Some(behind) = b.get_mut(at + 1) {
                *behind = !*behind;
            }
        }
    }
}
