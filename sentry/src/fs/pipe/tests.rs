//! Pipes, as their users see them.

use super::{Pipe, new_pipe, set_capacity, splice, tee};
use crate::errno::Errno;
use crate::fake;
use crate::fs::{OpenFile, OpenFlags, Sink, Source};
use crate::platform::platform;
use crate::syscall::{Fail, UserBuf};
use crate::task::Current;
use crate::wait::Events;
use linker::addr::UserVa;
use std::boxed::Box;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

fn write(current: &Current, file: &OpenFile, bytes: &[u8]) -> Result<usize, Fail> {
    file.write(current, &mut Source::kernel(bytes))
}

fn read(current: &Current, file: &OpenFile, len: usize) -> Result<Vec<u8>, Fail> {
    let mut buffer = vec![0; len];
    let bytes = file.read(current, &mut Sink::kernel(&mut buffer))?;
    buffer.truncate(bytes);
    Ok(buffer)
}

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

#[test]
fn empty_nonblocking_pipe_read_returns_eagain_and_closed_one_the_end() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    assert_eq!(errno(read(&current, &reader, 4)), Some(Errno::EAGAIN));
    assert_eq!(errno(read(&current, &reader, 4000)), Some(Errno::EAGAIN));
    write(&current, &writer, b"abc").unwrap();
    drop(writer);
    assert_eq!(reader.ops().poll(&reader), Events::READABLE | Events::HUP);
    assert_eq!(read(&current, &reader, 10).unwrap(), b"abc");
    assert_eq!(read(&current, &reader, 10).unwrap(), b"");
}

#[test]
fn a_write_without_readers_is_epipe() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::empty()).unwrap();
    drop(reader);
    assert_eq!(errno(write(&current, &writer, b"x")), Some(Errno::EPIPE));
    assert_eq!(errno(write(&current, &writer, &[0; 5000])), Some(Errno::EPIPE));
    assert!(writer.ops().poll(&writer).contains(Events::ERR));
}

#[test]
fn a_full_pipe_takes_part_of_a_large_write_and_nothing_of_an_atomic_one() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    assert_eq!(write(&current, &writer, &[1; 65000]).unwrap(), 65000);
    assert_eq!(errno(write(&current, &writer, &[2; 4096])), Some(Errno::EAGAIN));
    assert_eq!(write(&current, &writer, &[3; 9000]).unwrap(), 536);
    assert!(!writer.ops().poll(&writer).contains(Events::OUT));
    let all = read(&current, &reader, 70000).unwrap();
    assert_eq!((all.len(), all[64999], all[65000]), (65536, 1, 3));
}

#[test]
fn a_reader_waits_for_the_writer_in_another_thread() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::empty()).unwrap();
    let mm = current.mm.clone();
    let thread = platform()
        .spawn(
            false,
            Box::new(move || {
                let current = fake::current_in(mm);
                for byte in 0..200_u8 {
                    write(&current, &writer, &[byte; 1000]).unwrap();
                }
            }),
        )
        .unwrap();
    let mut seen = 0;
    loop {
        let bytes = read(&current, &reader, 777).unwrap();
        if bytes.is_empty() {
            break;
        }
        for byte in bytes {
            assert_eq!(usize::from(byte), seen / 1000);
            seen += 1;
        }
    }
    assert_eq!(seen, 200_000);
    fake::join(&thread);
}

#[test]
fn packets_are_read_one_at_a_time_and_cut() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::DIRECT | OpenFlags::NONBLOCK).unwrap();
    write(&current, &writer, b"first packet").unwrap();
    write(&current, &writer, b"second").unwrap();
    assert_eq!(read(&current, &reader, 5).unwrap(), b"first");
    assert_eq!(read(&current, &reader, 100).unwrap(), b"second");
    for _ in 0..16 {
        write(&current, &writer, b"x").unwrap();
    }
    assert_eq!(errno(write(&current, &writer, b"x")), Some(Errno::EAGAIN), "each packet takes a page");
}

#[test]
fn what_could_not_be_delivered_stays_in_the_pipe() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    for len in [10, 1000] {
        write(&current, &writer, &vec![7; len]).unwrap();
        let nowhere = [UserBuf { addr: UserVa::new(0x10), len }];
        assert_eq!(errno(reader.read(&current, &mut Sink::user(&current, &nowhere))), Some(Errno::EFAULT));
        assert_eq!(read(&current, &reader, len).unwrap(), vec![7; len]);
    }
}

#[test]
fn capacity_is_rounded_up_and_never_below_what_is_queued() {
    let current = fake::current();
    let (_reader, writer) = new_pipe(&current, OpenFlags::empty()).unwrap();
    assert_eq!(set_capacity(&current, &writer, 5000), Ok(8192));
    write(&current, &writer, &[0; 8000]).unwrap();
    assert_eq!(set_capacity(&current, &writer, 4096), Err(Errno::EBUSY));
    assert_eq!(set_capacity(&current, &writer, 0), Err(Errno::EBUSY));
}

#[test]
fn splice_and_tee_move_and_copy_between_pipes() {
    let current = fake::current();
    let (r1, w1) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    let (r2, w2) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    write(&current, &w1, &[5; 10000]).unwrap();
    assert_eq!(tee(&current, &r1, &w2, 3000, false).unwrap(), 3000);
    assert_eq!(splice(&current, &r1, None, &w2, None, 20000, false).unwrap(), 10000);
    assert_eq!(read(&current, &r2, 60000).unwrap().len(), 13000);
    assert_eq!(errno(splice(&current, &r1, None, &w1, None, 1, false)), Some(Errno::EINVAL));
    assert_eq!(errno(splice(&current, &r1, None, &w2, None, 1, false)), Some(Errno::EAGAIN));
}

#[test]
fn splice_does_not_wait_for_what_it_would_give_to_a_counter() {
    let current = fake::current();
    let (reader, _writer) = new_pipe(&current, OpenFlags::empty()).unwrap();
    let event = crate::fs::eventfd::EventFd::open(0, false, OpenFlags::empty());
    let refused = super::splice::splice(&current, &reader, None, &event, None, 1, false);
    assert_eq!(errno(refused), Some(Errno::EINVAL));
}

#[test]
fn a_pipe_is_opened_again_without_waiting_for_its_other_end() {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::empty()).unwrap();
    write(&current, &writer, b"left").unwrap();
    drop(writer);
    let ops = reader.inode().clone().open(&current, OpenFlags::empty()).unwrap();
    let again = OpenFile::new(ops, OpenFlags::empty(), reader.inode().clone(), None);
    assert_eq!(read(&current, &again, 9).unwrap(), b"left");
    assert!(read(&current, &again, 9).unwrap().is_empty());
}

#[test]
fn a_fifo_opens_as_the_manual_says() {
    let current = fake::current();
    let pipe = Arc::new(Pipe::new());
    let nonblocking_writer = pipe.open(&current, OpenFlags::WRONLY | OpenFlags::NONBLOCK);
    assert_eq!(errno(nonblocking_writer), Some(Errno::ENXIO));
    let inode = crate::fs::anon::AnonInode::pipe(&current.creds, pipe.clone());
    let file = |flags: OpenFlags| OpenFile::new(pipe.open(&current, flags).unwrap(), flags, inode.clone(), None);
    let reader = file(OpenFlags::NONBLOCK);
    assert_eq!(reader.ops().poll(&reader), Events::empty(), "no hang-up before the first writer");
    let writer = file(OpenFlags::WRONLY);
    write(&current, &writer, b"hi").unwrap();
    drop(writer);
    assert_eq!(reader.ops().poll(&reader), Events::READABLE | Events::HUP);
    drop(reader);
    let both = file(OpenFlags::RDWR | OpenFlags::NONBLOCK);
    assert_eq!(errno(read(&current, &both, 5)), Some(Errno::EAGAIN), "what was left is gone with the last end");
}
