//! epoll over pipes.

use super::{Epoll, Found, Report};
use crate::errno::Errno;
use crate::fake;
use crate::fs::pipe::new_pipe;
use crate::fs::poll::{Polled, Timeout, wait_for_any};
use crate::fs::{OpenFile, OpenFlags, Sink, Source};
use crate::platform::platform;
use crate::syscall::Fd;
use crate::task::Current;
use crate::wait::Events;
use linux_raw_sys::general::{EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT};
use std::boxed::Box;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

fn poke(current: &Current, file: &OpenFile) {
    file.write(current, &mut Source::kernel(b"x")).unwrap();
}

fn drain(current: &Current, file: &OpenFile) {
    file.read(current, &mut Sink::kernel(&mut [0; 100])).unwrap();
}

fn now(current: &Current, epoll: &OpenFile) -> Vec<(u32, u64)> {
    let mut found = Found::new();
    Epoll::of(epoll).unwrap().wait(current, 10, Timeout::Now, &mut found).unwrap();
    found.into_iter().map(|(_, Report { events, data })| (events, data)).collect()
}

fn fixture() -> (Current, Arc<OpenFile>, Arc<OpenFile>, Arc<OpenFile>) {
    let current = fake::current();
    let (reader, writer) = new_pipe(&current, OpenFlags::NONBLOCK).unwrap();
    (current, Epoll::open(), reader, writer)
}

#[test]
fn level_triggered_items_stay_ready_until_they_are_drained() {
    let (current, epoll, reader, writer) = fixture();
    Epoll::of(&epoll).unwrap().add(Fd::new(3), &reader, EPOLLIN, 7).unwrap();
    assert_eq!(now(&current, &epoll), []);
    poke(&current, &writer);
    assert_eq!(now(&current, &epoll), [(EPOLLIN, 7)]);
    assert_eq!(now(&current, &epoll), [(EPOLLIN, 7)]);
    assert_eq!(epoll.readiness(Events::IN), Events::IN);
    drain(&current, &reader);
    assert_eq!(epoll.readiness(Events::IN), Events::empty());
    assert_eq!(now(&current, &epoll), []);
}

#[test]
fn edge_triggered_items_are_reported_once_an_event() {
    let (current, epoll, reader, writer) = fixture();
    poke(&current, &writer);
    Epoll::of(&epoll).unwrap().add(Fd::new(3), &reader, EPOLLIN | EPOLLET, 7).unwrap();
    assert_eq!(now(&current, &epoll), [(EPOLLIN, 7)]);
    assert_eq!(now(&current, &epoll), []);
    poke(&current, &writer);
    assert_eq!(now(&current, &epoll), [(EPOLLIN, 7)]);
    assert_eq!(now(&current, &epoll), []);
}

#[test]
fn oneshot_items_wait_to_be_armed_again() {
    let (current, epoll, reader, writer) = fixture();
    let set = Epoll::of(&epoll).unwrap();
    set.add(Fd::new(3), &reader, EPOLLIN | EPOLLONESHOT, 7).unwrap();
    poke(&current, &writer);
    assert_eq!(now(&current, &epoll), [(EPOLLIN, 7)]);
    drop(writer);
    assert_eq!(now(&current, &epoll), []);
    set.modify(Fd::new(3), &reader, EPOLLIN | EPOLLONESHOT, 8).unwrap();
    assert_eq!(now(&current, &epoll), [(EPOLLIN | EPOLLHUP, 8)]);
}

#[test]
fn closed_files_vanish_and_errors_are_linuxs() {
    let (current, epoll, reader, writer) = fixture();
    let set = Epoll::of(&epoll).unwrap();
    set.add(Fd::new(3), &reader, EPOLLIN, 7).unwrap();
    assert_eq!(set.add(Fd::new(3), &reader, EPOLLIN, 7), Err(Errno::EEXIST));
    assert_eq!(set.delete(Fd::new(4), &reader), Err(Errno::ENOENT));
    set.add(Fd::new(4), &writer, EPOLLOUT, 9).unwrap();
    poke(&current, &writer);
    drop(reader);
    assert_eq!(now(&current, &epoll).len(), 1);
    assert_eq!(set.items.lock().len(), 1);
    set.delete(Fd::new(4), &writer).unwrap();
    assert_eq!(now(&current, &epoll), []);
    drop(epoll);
    assert_eq!(Arc::strong_count(&set), 1);
}

#[test]
fn nested_epolls_report_and_loops_are_refused() {
    let (current, epoll, reader, writer) = fixture();
    let outer = Epoll::open();
    Epoll::of(&epoll).unwrap().add(Fd::new(3), &reader, EPOLLIN, 7).unwrap();
    Epoll::of(&outer).unwrap().add(Fd::new(4), &epoll, EPOLLIN, 8).unwrap();
    assert_eq!(Epoll::of(&epoll).unwrap().add(Fd::new(5), &outer, EPOLLIN, 9), Err(Errno::ELOOP));
    poke(&current, &writer);
    assert_eq!(now(&current, &outer), [(EPOLLIN, 8)]);
    drain(&current, &reader);
    assert_eq!(now(&current, &outer), []);
    let mut chain = vec![outer];
    let result = loop {
        let next = Epoll::open();
        let result = Epoll::of(&next).unwrap().add(Fd::new(4), &chain[chain.len() - 1], EPOLLIN, 8);
        if result.is_err() || chain.len() > 9 {
            break result;
        }
        chain.push(next);
    };
    assert_eq!((result, chain.len()), (Err(Errno::ELOOP), 4));
}

#[test]
fn a_waiter_is_woken_by_another_thread_and_by_time() {
    let (current, epoll, reader, writer) = fixture();
    let set = Epoll::of(&epoll).unwrap();
    set.add(Fd::new(3), &reader, EPOLLIN, 7).unwrap();
    let mut found = Found::new();
    set.wait(&current, 1, Timeout::after_ns(1000), &mut found).unwrap();
    assert_eq!(found.len(), 0);
    let mm = current.mm.clone();
    let run = move || poke(&fake::current_in(mm), &writer);
    let thread = platform().spawn(false, Box::new(run)).unwrap();
    set.wait(&current, 1, Timeout::Never, &mut found).unwrap();
    assert_eq!(found.len(), 1);
    fake::join(&thread);
    let mut items = [Polled { file: Some(reader.clone()), wanted: Events::IN, found: Events::empty() }];
    assert_eq!(wait_for_any(&current, &mut items, Timeout::Never), Ok(1));
}
