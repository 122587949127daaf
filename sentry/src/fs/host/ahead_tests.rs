//! What is told of names before they are asked for: that it is used, and what makes it void.

use super::tests::{Gofer, attach, open, read, regular};
use super::tree::Sharing;
use crate::errno::Errno;
use crate::fake::{self, machine};
use crate::fs::{Inode, OpenFlags, Source};
use crate::platform::platform;
use crate::task::Current;
use crate::time::NS_PER_SEC;
use linker::request::{Op, SetAttr};
use linux_raw_sys::general as raw;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::{format, string::String, vec::Vec};

const FILES: usize = 40;

fn name(index: usize) -> String {
    format!("f{index:02}")
}

/// A shared directory of 40 small files that have just changed, at a moment that stands still (later than any test that makes things
/// doubtful).
fn shared(test: &str) -> (Arc<Gofer>, Current, Arc<dyn Inode>) {
    let gofer = Gofer::install(test);
    machine().set_monotonic_ns(u64::MAX / 2);
    for index in 0..FILES {
        fs::write(gofer.root.join(name(index)), format!("content {index}")).unwrap();
    }
    platform().set_realtime_ns(ctime_ns(&gofer, "f00"));
    let current = fake::current();
    (gofer, current, attach(Sharing::Shared))
}

/// Looks names up in order, and returns what the last is.
fn walk(root: &Arc<dyn Inode>, to: usize) -> Arc<dyn Inode> {
    let mut all: Vec<_> = (0..=to).map(|index| root.lookup(name(index).as_bytes()).expect("it is there")).collect();
    all.pop().expect("one at least")
}

fn questions(gofer: &Gofer) -> usize {
    [Op::Lookup, Op::LookupMany, Op::ReadDir, Op::GetAttr, Op::Open, Op::Read].iter().map(|op| gofer.count(*op)).sum()
}

fn content(current: &Current, inode: &Arc<dyn Inode>) -> Vec<u8> {
    read(current, &open(current, inode, OpenFlags::empty()), 0, 100)
}

#[test]
fn names_that_are_looked_up_in_a_row_are_told_together() {
    let (gofer, _current, root) = shared("ahead-row");
    let mut held = Vec::new();
    for index in 0..FILES {
        let file = root.lookup(name(index).as_bytes()).unwrap();
        assert_eq!(file.attr().unwrap().size as usize, format!("content {index}").len());
        held.push(file);
    }
    assert!(questions(&gofer) <= 10, "{}", questions(&gofer));
    let before = questions(&gofer);
    assert!(walk(&root, FILES - 1).attr().is_ok());
    assert_eq!(questions(&gofer), before, "and are so for a moment");
}

#[test]
fn names_by_themselves_take_no_others_along() {
    let (gofer, _current, root) = shared("ahead-alone");
    for _ in 0..20 {
        root.lookup(b"f07").unwrap();
        machine().advance_ns(10_000_000);
    }
    assert_eq!((gofer.count(Op::LookupMany), gofer.count(Op::Lookup)), (0, 20));
}

#[test]
fn what_nobody_uses_is_asked_for_less() {
    let (gofer, _current, root) = shared("ahead-unused");
    for round in 0..200 {
        root.lookup(name(round * 17 % FILES).as_bytes()).unwrap();
        machine().advance_ns(100_000_000);
    }
    let many = gofer.count(Op::LookupMany);
    assert!(many < 20, "{many} of 200");
}

fn ctime_ns(gofer: &Gofer, name: &str) -> u64 {
    let file = fs::metadata(gofer.root.join(name)).unwrap();
    file.ctime() as u64 * NS_PER_SEC + file.ctime_nsec() as u64
}

/// Names from 11 on are told and not asked for, 50 ms ago.
fn told_a_while_ago(test: &str) -> (Arc<Gofer>, Arc<dyn Inode>) {
    let (gofer, _current, root) = shared(test);
    // Later than what any other test hears, and nothing has changed of late.
    machine().set_monotonic_ns(u64::MAX / 4 * 3);
    platform().set_realtime_ns(ctime_ns(&gofer, "f00") + 10_000_000_000);
    walk(&root, 10);
    machine().advance_ns(50_000_000);
    (gofer, root)
}

#[test]
fn a_quiet_shared_tree_is_believed_for_longer() {
    let (gofer, root) = told_a_while_ago("ahead-calm");
    let before = questions(&gofer);
    assert!(root.lookup(b"f11").unwrap().attr().is_ok());
    assert_eq!(questions(&gofer), before);
    machine().advance_ns(60_000_000);
    assert!(root.lookup(b"f12").unwrap().attr().is_ok());
    assert!(questions(&gofer) > before);
}

#[test]
fn what_was_told_before_anything_was_heard_is_asked_for_anew() {
    let (gofer, root) = told_a_while_ago("ahead-heard");
    fs::remove_file(gofer.root.join("f11")).unwrap();
    crate::fs::heard();
    assert_eq!(root.lookup(b"f11").map(|_| ()), Err(Errno::ENOENT));
}

#[test]
fn what_was_told_before_a_file_changed_is_asked_for_anew() {
    let (gofer, root) = told_a_while_ago("ahead-flag");
    fs::remove_file(gofer.root.join("f11")).unwrap();
    fs::write(gofer.root.join("flag"), b"").unwrap();
    platform().set_realtime_ns(ctime_ns(&gofer, "flag") + 1_000_000);
    root.lookup(b"flag").expect("what is new is there at once");
    assert_eq!(root.lookup(b"f11").map(|_| ()), Err(Errno::ENOENT));
}

#[test]
fn what_was_told_before_a_file_went_is_asked_for_anew() {
    let (gofer, root) = told_a_while_ago("ahead-lock");
    root.lookup(b"f39").expect("it is there");
    machine().advance_ns(110_000_000);
    walk(&root, 10);
    machine().advance_ns(50_000_000);
    fs::remove_file(gofer.root.join("f11")).unwrap();
    fs::remove_file(gofer.root.join("f39")).unwrap();
    assert_eq!(root.lookup(b"f39").map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(root.lookup(b"f11").map(|_| ()), Err(Errno::ENOENT));
}

#[test]
fn what_others_do_to_names_that_were_told_is_seen_after_a_moment() {
    let (gofer, current, root) = shared("ahead-others");
    walk(&root, 10);
    let lookups = gofer.count(Op::Lookup) + gofer.count(Op::LookupMany);
    fs::remove_file(gofer.root.join("f11")).unwrap();
    fs::write(gofer.root.join("new"), b"new").unwrap();
    fs::write(gofer.root.join("other"), b"another file").unwrap();
    fs::rename(gofer.root.join("other"), gofer.root.join("f12")).unwrap();
    root.lookup(b"f11").expect("it was there a moment ago");
    assert_eq!(gofer.count(Op::Lookup) + gofer.count(Op::LookupMany), lookups);
    root.lookup(b"new").expect("what is new is there at once");
    machine().advance_ns(2_000_000);
    assert_eq!(root.lookup(b"f11").map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(content(&current, &root.lookup(b"f12").unwrap()), b"another file");
    fs::write(gofer.root.join("f11"), b"again").unwrap();
    root.lookup(b"f11").expect("that a name is missing is not believed");
}

#[test]
fn what_we_did_is_seen_at_once_in_what_was_told_before() {
    let (gofer, current, root) = shared("ahead-ours");
    let same = root.lookup(b"f20").unwrap();
    fs::hard_link(gofer.root.join("f21"), gofer.root.join("link")).unwrap();
    let link = root.lookup(b"link").unwrap();
    walk(&root, 12);
    // Told, not asked for yet: 13 and those behind it.
    let file = open(&current, &same, OpenFlags::RDWR);
    file.write(&current, &mut Source::kernel(b"a good deal longer than before")).unwrap();
    root.unlink(b"link", false).unwrap();
    root.unlink(b"f22", false).unwrap();
    drop(link);
    assert_eq!(root.lookup(b"f20").unwrap().attr().unwrap().size, 30);
    assert_eq!(content(&current, &root.lookup(b"f20").unwrap()), b"a good deal longer than before");
    assert_eq!(root.lookup(b"f21").unwrap().attr().unwrap().nlink, 1, "it lost its other name");
    assert_eq!(root.lookup(b"f22").map(|_| ()), Err(Errno::ENOENT));
    root.rename(b"f23", &root, b"f24", 0).unwrap();
    assert_eq!(root.lookup(b"f23").map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(content(&current, &root.lookup(b"f24").unwrap()), b"content 23");
    root.make(b"f22", &regular(0o600)).unwrap();
    assert_eq!(root.lookup(b"f22").unwrap().attr().unwrap().mode, raw::S_IFREG | 0o600);
}

#[test]
fn small_files_that_are_read_in_a_row_bring_their_content() {
    let (gofer, current, root) = shared("ahead-content");
    let mut opened = 0;
    for index in 0..FILES {
        let file = root.lookup(name(index).as_bytes()).unwrap();
        assert_eq!(content(&current, &file), format!("content {index}").as_bytes());
        if index == 19 {
            opened = gofer.count(Op::Open);
        }
    }
    assert!(opened <= 20, "{opened}");
    assert!(gofer.count(Op::Open) <= opened + 2, "{} and then {}", opened, gofer.count(Op::Open));
}

#[test]
fn content_does_not_come_along_where_nobody_reads_it_any_more() {
    let (gofer, current, root) = shared("ahead-unread");
    for index in 0..FILES {
        content(&current, &root.lookup(name(index).as_bytes()).unwrap());
    }
    for _ in 0..2 {
        machine().advance_ns(2_000_000);
        walk(&root, FILES - 1);
    }
    assert_eq!(gofer.state.lock().unwrap().wanted, 0);
}

#[test]
fn content_that_came_along_is_void_with_what_changes_the_file() {
    let (gofer, current, root) = shared("ahead-changed");
    // Read them all, so that the next time content comes along.
    for index in 0..FILES {
        content(&current, &root.lookup(name(index).as_bytes()).unwrap());
    }
    machine().advance_ns(2_000_000);
    walk(&root, 12);
    let files: Vec<_> = (20..24).map(name).collect();
    let [written, cut, outside, replaced] = &files[..] else { panic!("four") };
    let file = root.lookup(written.as_bytes()).unwrap();
    open(&current, &file, OpenFlags::RDWR).write(&current, &mut Source::kernel(b"CONTENT")).unwrap();
    root.lookup(cut.as_bytes())
        .unwrap()
        .set_attr(&SetAttr { valid: SetAttr::SIZE, size: 3, ..SetAttr::default() })
        .unwrap();
    fs::OpenOptions::new().write(true).open(gofer.root.join(outside)).unwrap().write_at(b"OUTSIDE", 0).unwrap();
    fs::remove_file(gofer.root.join(replaced)).unwrap();
    fs::write(gofer.root.join(replaced), b"replaced").unwrap();
    assert_eq!(content(&current, &root.lookup(written.as_bytes()).unwrap()), b"CONTENT 20");
    assert_eq!(content(&current, &root.lookup(cut.as_bytes()).unwrap()), b"con");
    machine().advance_ns(2_000_000);
    assert_eq!(content(&current, &root.lookup(outside.as_bytes()).unwrap()), b"OUTSIDE 22");
    assert_eq!(content(&current, &root.lookup(replaced.as_bytes()).unwrap()), b"replaced");
}

#[test]
fn in_an_exclusive_tree_what_was_told_holds_but_for_our_own_changes() {
    let gofer = Gofer::install("ahead-exclusive");
    machine().set_monotonic_ns(u64::MAX / 2);
    for index in 0..FILES {
        fs::write(gofer.root.join(name(index)), b"x").unwrap();
    }
    let root = attach(Sharing::Exclusive);
    root.list().unwrap();
    walk(&root, 5);
    root.unlink(b"f06", false).unwrap();
    assert_eq!(root.lookup(b"f06").map(|_| ()), Err(Errno::ENOENT));
    machine().advance_ns(10_000_000_000);
    assert!(root.lookup(b"f07").is_ok());
    assert!(questions(&gofer) < 10, "{}", questions(&gofer));
}
