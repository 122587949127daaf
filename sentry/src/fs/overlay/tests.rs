//! An overlay on a tmpfs that plays the lower tree.

use crate::errno::Errno;
use crate::fake;
use crate::fs::tests::{find, mkdir, names, on_tmpfs, read_file, write_file};
use crate::fs::{
    FsContext, FsInfo, Inode, MountFlags, Namespace, OpenFlags, Sink, Source, attr, link, open, rename, symlink, unlink,
};
use crate::syscall::Fd;
use crate::task::Current;
use linux_raw_sys::general as raw;
use std::sync::Arc;
use std::vec;

/// A lower tree, and a thread whose root is an overlay on it.
fn on_overlay() -> (Current, Current) {
    let lower = on_tmpfs();
    mkdir(&lower, "/dir");
    mkdir(&lower, "/dir/sub");
    write_file(&lower, "/dir/file", b"lower");
    write_file(&lower, "/dir/sub/deep", b"deep");
    write_file(&lower, "/twin", b"twin");
    link(&lower, &find(&lower, "/twin").expect("twin"), Fd::CWD, b"/dir/twin").expect("linked");
    symlink(&lower, b"dir/file", Fd::CWD, b"/link").expect("link");
    let mut current = fake::current();
    let root = super::new(lower.fs.root().inode().clone()).expect("an overlay");
    let namespace = Namespace::new(root, MountFlags::default(), FsInfo::default());
    current.fs = FsContext::new(namespace, 0o022);
    (lower, current)
}

fn inode(current: &Current, path: &str) -> Arc<dyn Inode> {
    find(current, path).expect("a file").inode().clone()
}

fn mv(current: &Current, from: &str, to: &str) -> Result<(), Errno> {
    rename(current, Fd::CWD, from.as_bytes(), Fd::CWD, to.as_bytes(), 0)
}

fn rm(current: &Current, path: &str) -> Result<(), Errno> {
    unlink(current, Fd::CWD, path.as_bytes(), false)
}

#[test]
fn the_lower_tree_is_seen_as_it_is() {
    let (lower, current) = on_overlay();
    assert_eq!(names(&current, "/"), ["dir", "link", "twin"]);
    assert_eq!(read_file(&current, "/link"), b"lower");
    let (below, above) = (inode(&lower, "/dir/file").attr(), inode(&current, "/dir/file").attr());
    assert_eq!(below.expect("attr").ino, above.expect("attr").ino);
    let mapping = inode(&current, "/dir/file").mapping().expect("pages");
    assert!(Arc::ptr_eq(&mapping, &inode(&lower, "/dir/file").mapping().expect("pages")));
}

#[test]
fn writing_copies_up_and_leaves_the_lower_file_alone() {
    let (lower, current) = on_overlay();
    let before = inode(&current, "/dir/file").attr().expect("attr");
    let reader = open(&current, Fd::CWD, b"/dir/file", OpenFlags::empty(), 0).expect("open");
    let file = open(&current, Fd::CWD, b"/dir/file", OpenFlags::RDWR, 0).expect("open");
    assert_eq!(inode(&current, "/dir/file").attr().expect("attr").mtime, before.mtime);
    file.write(&current, &mut Source::kernel(b"UP")).expect("written");
    assert_eq!(read_file(&current, "/dir/file"), b"UPwer");
    assert_eq!(read_file(&lower, "/dir/file"), b"lower");
    let mut bytes = [0; 5];
    reader.read(&current, &mut Sink::kernel(&mut bytes)).expect("read");
    assert_eq!(&bytes, b"UPwer");
    let after = inode(&current, "/dir/file").attr().expect("attr");
    assert_eq!((after.ino, after.dev, after.nlink, after.size), (before.ino, before.dev, 1, 5));
}

#[test]
fn changed_files_outlive_their_dentries() {
    let (_lower, current) = on_overlay();
    write_file(&current, "/dir/file", b"new");
    rm(&current, "/dir/sub/deep").expect("removed");
    current.fs.root().dentry().prune();
    assert_eq!(read_file(&current, "/dir/file"), b"new");
    assert_eq!(find(&current, "/dir/sub/deep").err(), Some(Errno::ENOENT));
}

#[test]
fn attributes_are_copied_up_without_the_bytes() {
    let (lower, current) = on_overlay();
    attr::chmod(&current, &find(&current, "/dir/file").expect("file").into(), 0o600).expect("chmod");
    assert_eq!(inode(&current, "/dir/file").attr().expect("attr").mode & 0o777, 0o600);
    assert_eq!(inode(&lower, "/dir/file").attr().expect("attr").mode & 0o777, 0o644);
    assert_eq!(inode(&current, "/dir/file").attr().expect("attr").size, 5);
    let mapping = inode(&current, "/dir/file").mapping().expect("pages");
    assert!(Arc::ptr_eq(&mapping, &inode(&lower, "/dir/file").mapping().expect("pages")));
}

#[test]
fn truncating_open_copies_nothing_and_truncation_keeps_the_head() {
    let (_lower, current) = on_overlay();
    open(&current, Fd::CWD, b"/dir/file", OpenFlags::WRONLY | OpenFlags::TRUNC, 0).expect("open");
    assert_eq!(read_file(&current, "/dir/file"), b"");
    attr::truncate(&current, &find(&current, "/dir/sub/deep").expect("deep"), 2).expect("truncated");
    assert_eq!(read_file(&current, "/dir/sub/deep"), b"de");
    attr::truncate(&current, &find(&current, "/twin").expect("twin"), 6).expect("grown");
    assert_eq!(read_file(&current, "/twin"), b"twin\0\0");
}

#[test]
fn removed_names_are_gone_and_can_come_back() {
    let (lower, current) = on_overlay();
    rm(&current, "/dir/file").expect("removed");
    assert_eq!(names(&current, "/dir"), ["sub", "twin"]);
    assert_eq!(find(&current, "/link").err(), Some(Errno::ENOENT));
    write_file(&current, "/dir/file", b"again");
    assert_eq!(read_file(&current, "/link"), b"again");
    rm(&current, "/dir/file").expect("removed");
    assert_eq!(find(&current, "/dir/file").err(), Some(Errno::ENOENT));
    assert_eq!(read_file(&lower, "/dir/file"), b"lower");
}

#[test]
fn a_directory_made_where_one_was_removed_is_empty() {
    let (_lower, current) = on_overlay();
    assert_eq!(unlink(&current, Fd::CWD, b"/dir/sub", true), Err(Errno::ENOTEMPTY));
    rm(&current, "/dir/sub/deep").expect("removed");
    unlink(&current, Fd::CWD, b"/dir/sub", true).expect("removed");
    assert_eq!(inode(&current, "/dir").attr().expect("attr").nlink, 2);
    mkdir(&current, "/dir/sub");
    assert!(names(&current, "/dir/sub").is_empty());
    assert_eq!(find(&current, "/dir/sub/deep").err(), Some(Errno::ENOENT));
    assert_eq!(inode(&current, "/dir").attr().expect("attr").nlink, 3);
}

#[test]
fn a_lower_directory_can_be_renamed_with_all_that_is_in_it() {
    let (lower, current) = on_overlay();
    let before = inode(&current, "/dir/sub/deep").attr().expect("attr").ino;
    write_file(&current, "/dir/added", b"added");
    mv(&current, "/dir", "/moved").expect("renamed");
    assert_eq!(names(&current, "/"), ["link", "moved", "twin"]);
    assert_eq!(names(&current, "/moved"), ["added", "file", "sub", "twin"]);
    assert_eq!(read_file(&current, "/moved/sub/deep"), b"deep");
    assert_eq!(inode(&current, "/moved/sub/deep").attr().expect("attr").ino, before);
    mkdir(&current, "/dir");
    assert!(names(&current, "/dir").is_empty());
    current.fs.root().dentry().prune();
    assert_eq!(names(&current, "/moved"), ["added", "file", "sub", "twin"]);
    assert_eq!(names(&lower, "/dir"), ["file", "sub", "twin"]);
}

#[test]
fn rename_over_a_lower_file_covers_it_for_good() {
    let (_lower, current) = on_overlay();
    mv(&current, "/dir/file", "/twin").expect("renamed");
    assert_eq!(read_file(&current, "/twin"), b"lower");
    assert_eq!(inode(&current, "/dir/twin").attr().expect("attr").nlink, 1);
    rm(&current, "/twin").expect("removed");
    assert_eq!(names(&current, "/"), ["dir", "link"]);
    assert_eq!(find(&current, "/twin").err(), Some(Errno::ENOENT));
}

#[test]
fn exchange_swaps_a_lower_file_with_a_new_directory() {
    let (_lower, current) = on_overlay();
    mkdir(&current, "/new");
    rename(&current, Fd::CWD, b"/new", Fd::CWD, b"/dir/file", raw::RENAME_EXCHANGE).expect("exchanged");
    assert_eq!(read_file(&current, "/new"), b"lower");
    assert!(names(&current, "/dir/file").is_empty());
    assert_eq!(inode(&current, "/dir").attr().expect("attr").nlink, 4);
}

#[test]
fn hard_links_of_the_lower_tree_stay_one_file() {
    let (_lower, current) = on_overlay();
    write_file(&current, "/twin", b"changed");
    assert_eq!(read_file(&current, "/dir/twin"), b"changed");
    assert_eq!(inode(&current, "/dir/twin").attr().expect("attr").nlink, 2);
    rm(&current, "/twin").expect("removed");
    current.fs.root().dentry().prune();
    assert_eq!(inode(&current, "/dir/twin").attr().expect("attr").nlink, 1);
    assert_eq!(read_file(&current, "/dir/twin"), b"changed");
    link(&current, &find(&current, "/dir/file").expect("file"), Fd::CWD, b"/third").expect("linked");
    write_file(&current, "/third", b"3");
    assert_eq!(read_file(&current, "/dir/file"), b"3");
}

#[test]
fn a_removed_file_lives_as_long_as_it_is_open() {
    let (_lower, current) = on_overlay();
    let file = open(&current, Fd::CWD, b"/dir/file", OpenFlags::RDWR, 0).expect("open");
    rm(&current, "/dir/file").expect("removed");
    file.write(&current, &mut Source::kernel(b"XX")).expect("written");
    let mut bytes = vec![0; 5];
    file.read_at(&current, &mut Sink::kernel(&mut bytes), 0).expect("read");
    assert_eq!(bytes, b"XXwer");
    assert_eq!(file.inode().attr().expect("attr").nlink, 0);
}

#[test]
fn extended_attributes_are_copied_up_when_one_changes() {
    let (lower, current) = on_overlay();
    inode(&lower, "/dir/file").set_xattr(b"user.a", b"1", 0).expect("set");
    let file = inode(&current, "/dir/file");
    assert_eq!(file.get_xattr(b"user.a").as_deref(), Ok(&b"1"[..]));
    file.set_xattr(b"user.b", b"2", 0).expect("set");
    file.remove_xattr(b"user.a").expect("removed");
    assert_eq!(file.list_xattr().as_deref(), Ok(&b"user.b\0"[..]));
    assert_eq!(inode(&lower, "/dir/file").list_xattr().as_deref(), Ok(&b"user.a\0"[..]));
}
