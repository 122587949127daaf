//! The page cache against a fake source.

use super::{Mapping, PageBudget, PageSource, zero_behind};
use crate::errno::Errno;
use crate::fake;
use crate::fs::{Sink, Source};
use crate::platform::{Frame, platform};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE: usize = 4096;

#[derive(Default)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    reads: Mutex<Vec<(u64, usize)>>,
    broken: Mutex<Option<u64>>,
}

impl PageSource for Disk {
    fn read_pages(&self, first_page: u64, frames: &[Frame]) -> Result<(), Errno> {
        if self.broken.lock().unwrap().is_some_and(|bad| (first_page..first_page + frames.len() as u64).contains(&bad))
        {
            return Err(Errno::EIO);
        }
        self.reads.lock().unwrap().push((first_page, frames.len()));
        let bytes = self.bytes.lock().unwrap();
        let rest = bytes.get(first_page as usize * PAGE..).unwrap_or_default();
        for (frame, chunk) in frames.iter().zip(rest.chunks(PAGE)) {
            platform().frame_write(frame, 0, chunk);
        }
        zero_behind(frames, rest.len());
        Ok(())
    }

    fn write_pages(&self, first_page: u64, frames: &[Frame], len: usize) -> Result<(), Errno> {
        let mut bytes = self.bytes.lock().unwrap();
        let start = first_page as usize * PAGE;
        if bytes.len() < start + len {
            bytes.resize(start + len, 0);
        }
        for (index, frame) in frames.iter().enumerate() {
            let part = (len - index * PAGE).min(PAGE);
            platform().frame_read(frame, 0, &mut bytes[start + index * PAGE..][..part]);
        }
        Ok(())
    }
}

fn disk(bytes: &[u8]) -> (Arc<Disk>, Arc<Mapping>) {
    fake::install();
    let disk = Arc::new(Disk { bytes: Mutex::new(bytes.to_vec()), ..Disk::default() });
    let mapping = Mapping::new(disk.clone(), bytes.len() as u64);
    (disk, mapping)
}

fn read(mapping: &Mapping, offset: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0xee; len];
    let done = mapping.read(&mut Sink::kernel(&mut buffer), offset).unwrap();
    buffer.truncate(done);
    buffer
}

fn write(mapping: &Mapping, offset: Option<u64>, bytes: &[u8]) -> (usize, u64) {
    mapping.write(&mut Source::kernel(bytes), offset, u64::MAX).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 7 % 251) as u8).collect()
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    let bytes = pattern(3 * PAGE + 100);
    let (_, mapping) = disk(&bytes);
    assert_eq!(read(&mapping, 10, 5 * PAGE), bytes[10..]);
    assert_eq!(read(&mapping, bytes.len() as u64, 1), b"");
}

#[test]
fn sequential_reads_ask_the_source_in_large_batches_and_only_once() {
    let bytes = pattern(600 * PAGE);
    let (disk, mapping) = disk(&bytes);
    for page in 0..600 {
        assert_eq!(read(&mapping, (page * PAGE) as u64, PAGE), bytes[page * PAGE..][..PAGE]);
    }
    assert_eq!(*disk.reads.lock().unwrap(), [(0, 16), (16, 256), (272, 256), (528, 72)]);
}

#[test]
fn a_large_read_from_the_start_asks_for_much_at_once() {
    let (disk, mapping) = disk(&pattern(600 * PAGE));
    read(&mapping, 0, 8 * PAGE);
    assert_eq!(*disk.reads.lock().unwrap(), [(0, 256)]);
}

#[test]
fn a_random_read_does_not_read_far_ahead() {
    let (disk, mapping) = disk(&pattern(600 * PAGE));
    read(&mapping, 300 * PAGE as u64 + 5, 10);
    assert_eq!(*disk.reads.lock().unwrap(), [(300, 4)]);
}

#[test]
fn an_unreadable_neighbour_does_not_spoil_the_page_itself() {
    let bytes = pattern(20 * PAGE);
    let (disk, mapping) = disk(&bytes);
    *disk.broken.lock().unwrap() = Some(2);
    assert_eq!(read(&mapping, PAGE as u64, PAGE), bytes[PAGE..2 * PAGE]);
    assert_eq!(mapping.read(&mut Sink::kernel(&mut [0; 8]), 2 * PAGE as u64), Err(Errno::EIO));
}

#[test]
fn partial_writes_keep_the_rest_and_reach_the_source_on_write_back() {
    let mut bytes = pattern(2 * PAGE);
    let (disk, mapping) = disk(&bytes);
    assert_eq!(write(&mapping, Some(PAGE as u64 - 2), b"wxyz"), (4, PAGE as u64 + 2));
    bytes[PAGE - 2..PAGE + 2].copy_from_slice(b"wxyz");
    assert_eq!(read(&mapping, 0, 2 * PAGE), bytes);
    assert_ne!(*disk.bytes.lock().unwrap(), bytes);
    mapping.write_back(0, u64::MAX).unwrap();
    assert_eq!(*disk.bytes.lock().unwrap(), bytes);
    assert!(!mapping.is_dirty());
}

#[test]
fn whole_pages_are_overwritten_without_being_read() {
    let (disk, mapping) = disk(&pattern(4 * PAGE));
    write(&mapping, Some(PAGE as u64), &[9; 2 * PAGE]);
    assert!(disk.reads.lock().unwrap().is_empty());
    assert_eq!(read(&mapping, PAGE as u64, 2 * PAGE), [9; 2 * PAGE]);
}

#[test]
fn appending_writes_at_the_end_and_leaves_a_hole_of_zeros_where_told() {
    let (_, mapping) = disk(b"abc");
    assert_eq!(write(&mapping, None, b"def"), (3, 6));
    write(&mapping, Some(PAGE as u64 + 1), b"!");
    let mut expected = b"abcdef".to_vec();
    expected.resize(PAGE + 1, 0);
    expected.push(b'!');
    assert_eq!(read(&mapping, 0, 3 * PAGE), expected);
}

#[test]
fn a_write_stops_at_the_size_limit() {
    let (_, mapping) = disk(b"");
    assert_eq!(mapping.write(&mut Source::kernel(&[1; 10]), Some(0), 6), Ok((6, 6)));
    assert_eq!(mapping.write(&mut Source::kernel(&[1; 10]), None, 6), Err(Errno::EFBIG));
}

#[test]
fn truncation_zeroes_the_tail_and_drops_the_pages_behind() {
    let bytes = pattern(4 * PAGE);
    let (_, mapping) = disk(&bytes);
    read(&mapping, 0, 4 * PAGE);
    mapping.truncate(PAGE as u64 + 10);
    assert_eq!(mapping.cached_pages(), 2);
    write(&mapping, Some(2 * PAGE as u64), b"x");
    let got = read(&mapping, 0, 4 * PAGE);
    assert_eq!(got[..PAGE + 10], bytes[..PAGE + 10]);
    assert!(got[PAGE + 10..2 * PAGE].iter().all(|byte| *byte == 0), "the old tail must not come back");
}

#[test]
fn memory_files_read_holes_as_zero_without_keeping_pages() {
    fake::install();
    let mapping = Mapping::in_memory(1 << 40, None);
    assert_eq!(read(&mapping, 12345, 2 * PAGE), vec![0; 2 * PAGE]);
    assert_eq!(mapping.cached_pages(), 0);
    write(&mapping, Some(1 << 39), b"far");
    assert_eq!(mapping.cached_pages(), 1);
    assert_eq!(mapping.next_data(0), Some(1 << 39));
    assert_eq!(mapping.next_hole(1 << 39), Some((1 << 39) + PAGE as u64));
    mapping.punch_hole(0, 1 << 40);
    assert_eq!((mapping.cached_pages(), mapping.next_data(0)), (0, None));
}

#[test]
fn punching_inside_a_page_zeroes_only_that_part() {
    fake::install();
    let mapping = Mapping::in_memory(0, None);
    write(&mapping, Some(0), &[7; 2 * PAGE]);
    mapping.punch_hole(10, 20);
    let got = read(&mapping, 0, 2 * PAGE);
    assert_eq!(got.iter().filter(|byte| **byte == 0).count(), 10);
    assert_eq!(got[9..21], [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
}

struct Budget(AtomicU64);

impl PageBudget for Budget {
    fn charge(&self, pages: u64) -> Result<(), Errno> {
        let take = |left: u64| left.checked_sub(pages);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).map(drop).map_err(|_| Errno::ENOSPC)
    }

    fn release(&self, pages: u64) {
        self.0.fetch_add(pages, Ordering::SeqCst);
    }
}

#[test]
fn a_budget_limits_memory_files_and_gets_its_pages_back() {
    fake::install();
    let budget = Arc::new(Budget(AtomicU64::new(2)));
    let mapping = Mapping::in_memory(0, Some(budget.clone()));
    assert_eq!(write(&mapping, Some(0), &[1; 3 * PAGE]), (2 * PAGE, 2 * PAGE as u64));
    assert_eq!(mapping.write(&mut Source::kernel(b"x"), None, u64::MAX), Err(Errno::ENOSPC));
    mapping.truncate(PAGE as u64);
    assert_eq!(budget.0.load(Ordering::SeqCst), 1);
    drop(mapping);
    assert_eq!(budget.0.load(Ordering::SeqCst), 2);
}

#[test]
fn space_that_is_not_there_is_refused_before_any_is_taken() {
    fake::install();
    let budget = Arc::new(Budget(AtomicU64::new(4)));
    let mapping = Mapping::in_memory(8 * PAGE as u64, Some(budget.clone()));
    assert_eq!(write(&mapping, Some(PAGE as u64), &[1; PAGE]).0, PAGE);
    assert_eq!(mapping.allocate(0, 5 * PAGE as u64 + 1), Err(Errno::ENOSPC));
    assert_eq!(mapping.allocate(0, u64::MAX), Err(Errno::ENOSPC));
    assert_eq!(budget.0.load(Ordering::SeqCst), 3);
    // What is there costs nothing.
    assert_eq!(mapping.allocate(0, 4 * PAGE as u64), Ok(()));
    assert_eq!(mapping.allocate(0, 4 * PAGE as u64), Ok(()));
    assert_eq!(budget.0.load(Ordering::SeqCst), 0);
    assert_eq!(mapping.size(), 8 * PAGE as u64);
}

#[test]
fn two_readers_of_one_absent_page_read_it_once() {
    let bytes = pattern(PAGE);
    let (disk, mapping) = disk(&bytes);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (mapping, bytes) = (mapping.clone(), bytes.clone());
            let run = move || assert_eq!(read(&mapping, 0, PAGE), bytes);
            platform().spawn(false, alloc::boxed::Box::new(run)).unwrap()
        })
        .collect();
    readers.iter().for_each(fake::join);
    assert_eq!(disk.reads.lock().unwrap().len(), 1);
}

#[test]
fn clean_pages_are_given_back_when_memory_runs_out_and_read_again_after() {
    let bytes = pattern(8 * PAGE);
    let (disk, mapping) = disk(&bytes);
    read(&mapping, 0, 8 * PAGE);
    let held = mapping.frame(3, false).unwrap();
    write(&mapping, Some(0), b"dirty");
    assert_eq!(mapping.drop_unused(100), 6, "one page is held, one is dirty");
    drop(held);
    assert_eq!(read(&mapping, 4 * PAGE as u64, PAGE), bytes[4 * PAGE..5 * PAGE]);
    assert_eq!(disk.reads.lock().unwrap().len(), 2);
    assert_eq!(read(&mapping, 0, 5), b"dirty");
}
