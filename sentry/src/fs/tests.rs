//! Names, paths and permissions, on a tmpfs as root.

use super::tmpfs::{self, Options};
use super::{
    FileKind, FsContext, FsInfo, LookupFlags, MountFlags, Namespace, OpenFlags, Path, Sink, Source, attr, bind_at,
    link, lookup, make, mount_at, open, rename, symlink, unlink, unmount,
};
use crate::errno::Errno;
use crate::fake;
use crate::syscall::{Fail, Fd};
use crate::task::{Credentials, Current};
use linux_raw_sys::general as raw;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// A root thread on an empty tmpfs.
pub(crate) fn on_tmpfs() -> Current {
    let mut current = fake::current();
    let root = tmpfs::new(&Options { mode: 0o755, ..Options::unlimited() }).expect("a tmpfs");
    let namespace = Namespace::new(root, MountFlags::default(), FsInfo::default());
    current.fs = FsContext::new(namespace, 0o022);
    current
}

fn with_user(mut current: Current, uid: u32) -> Current {
    let ids = Credentials {
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid: uid,
        egid: uid,
        sgid: uid,
        fsgid: uid,
        ..Default::default()
    };
    current.creds = Arc::new(ids);
    current
}

fn errno<T>(result: Result<T, Fail>) -> Errno {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(Fail::Errno(errno)) => errno,
        Err(fail) => panic!("{fail:?}"),
    }
}

pub(super) fn mkdir(current: &Current, path: &str) -> Path {
    make(current, Fd::CWD, path.as_bytes(), raw::S_IFDIR | 0o755, 0).expect("a directory")
}

pub(super) fn write_file(current: &Current, path: &str, bytes: &[u8]) {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    let file = open(current, Fd::CWD, path.as_bytes(), flags, 0o644).expect("a new file");
    assert_eq!(file.write(current, &mut Source::kernel(bytes)).expect("written"), bytes.len());
}

pub(super) fn read_file(current: &Current, path: &str) -> Vec<u8> {
    let file = open(current, Fd::CWD, path.as_bytes(), OpenFlags::empty(), 0).expect("a file");
    let mut buffer = vec![0; 65536];
    let len = file.read(current, &mut Sink::kernel(&mut buffer)).expect("read");
    buffer.truncate(len);
    buffer
}

pub(super) fn find(current: &Current, path: &str) -> Result<Path, Errno> {
    lookup(current, Fd::CWD, path.as_bytes(), LookupFlags::FOLLOW)
}

pub(super) fn names(current: &Current, path: &str) -> Vec<std::string::String> {
    let file = open(current, Fd::CWD, path.as_bytes(), OpenFlags::DIRECTORY, 0).expect("a directory");
    let mut names = Vec::new();
    let mut emit = |_: u64, _: u8, name: &[u8], _: u64| {
        names.push(std::string::String::from_utf8_lossy(name).into_owned());
        true
    };
    file.ops().read_dir(current, &file, 0, &mut emit).expect("entries");
    names.retain(|name| name != "." && name != "..");
    names.sort();
    names
}

fn path_of(current: &Current, path: &Path) -> std::string::String {
    std::string::String::from_utf8_lossy(&path.absolute(&current.fs.root())).into_owned()
}

#[test]
fn what_is_written_is_read_back() {
    let current = on_tmpfs();
    write_file(&current, "/a", b"hello");
    assert_eq!(read_file(&current, "/a"), b"hello");
    write_file(&current, "/a", b"x");
    assert_eq!(read_file(&current, "//./a"), b"x");
}

#[test]
fn missing_names_give_enoent_and_files_are_no_directories() {
    let current = on_tmpfs();
    write_file(&current, "/a", b"");
    assert_eq!(find(&current, "/b").err(), Some(Errno::ENOENT));
    assert_eq!(find(&current, "/b/c").err(), Some(Errno::ENOENT));
    assert_eq!(find(&current, "/a/").err(), Some(Errno::ENOTDIR));
    assert_eq!(find(&current, "/a/b").err(), Some(Errno::ENOTDIR));
    assert_eq!(find(&current, "").err(), Some(Errno::ENOENT));
}

#[test]
fn a_component_of_256_bytes_is_too_long() {
    let current = on_tmpfs();
    let name = "x".repeat(256);
    assert_eq!(find(&current, &name).err(), Some(Errno::ENAMETOOLONG));
    write_file(&current, &name[1..], b"");
    assert!(find(&current, &name[1..]).is_ok());
}

#[test]
fn dot_dot_stops_at_the_root() {
    let current = on_tmpfs();
    mkdir(&current, "/d");
    let place = find(&current, "/../../d/./../d").expect("d");
    assert_eq!(path_of(&current, &place), "/d");
    assert_eq!(path_of(&current, &find(&current, "/..").expect("root")), "/");
}

#[test]
fn links_are_followed_forty_times_and_no_more() {
    let current = on_tmpfs();
    write_file(&current, "/target", b"t");
    symlink(&current, b"target", Fd::CWD, b"/l1").expect("link");
    for n in 2..=41 {
        let target = std::format!("/l{}", n - 1);
        symlink(&current, target.as_bytes(), Fd::CWD, std::format!("/l{n}").as_bytes()).expect("link");
    }
    assert_eq!(read_file(&current, "/l40"), b"t");
    assert_eq!(find(&current, "/l41").err(), Some(Errno::ELOOP));
    symlink(&current, b"loop", Fd::CWD, b"/loop").expect("link");
    assert_eq!(find(&current, "/loop").err(), Some(Errno::ELOOP));
}

#[test]
fn a_link_in_the_middle_goes_on_with_the_rest() {
    let current = on_tmpfs();
    mkdir(&current, "/a");
    mkdir(&current, "/a/b");
    write_file(&current, "/a/b/f", b"deep");
    symlink(&current, b"../a/b", Fd::CWD, b"/a/up").expect("link");
    assert_eq!(read_file(&current, "/a/up/f"), b"deep");
    assert_eq!(path_of(&current, &find(&current, "/a/up/..").expect("a")), "/a");
    let link = lookup(&current, Fd::CWD, b"/a/up", LookupFlags::default()).expect("link");
    assert_eq!(link.inode().kind(), FileKind::Symlink);
    // A slash behind it follows it all the same.
    let followed = lookup(&current, Fd::CWD, b"/a/up/", LookupFlags::default()).expect("directory");
    assert_eq!(path_of(&current, &followed), "/a/b");
}

#[test]
fn o_creat_goes_through_a_dangling_link_and_o_excl_does_not() {
    let current = on_tmpfs();
    symlink(&current, b"made", Fd::CWD, b"/dangling").expect("link");
    let exclusive = OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY;
    assert_eq!(errno(open(&current, Fd::CWD, b"/dangling", exclusive, 0o600)), Errno::EEXIST);
    let through = OpenFlags::CREAT | OpenFlags::WRONLY;
    assert_eq!(errno(open(&current, Fd::CWD, b"/dangling", through | OpenFlags::NOFOLLOW, 0o600)), Errno::ELOOP);
    open(&current, Fd::CWD, b"/dangling", through, 0o666).expect("made");
    assert_eq!(find(&current, "/made").expect("made").inode().attr().expect("attr").mode, raw::S_IFREG | 0o644);
}

#[test]
fn open_says_what_linux_says_of_directories() {
    let current = on_tmpfs();
    mkdir(&current, "/d");
    let create = OpenFlags::CREAT | OpenFlags::RDWR;
    assert_eq!(errno(open(&current, Fd::CWD, b"/d", OpenFlags::RDWR, 0)), Errno::EISDIR);
    assert_eq!(errno(open(&current, Fd::CWD, b"/d", OpenFlags::CREAT, 0)), Errno::EISDIR);
    assert_eq!(errno(open(&current, Fd::CWD, b"/", create, 0)), Errno::EISDIR);
    assert_eq!(errno(open(&current, Fd::CWD, b"/new/", create, 0)), Errno::EISDIR);
    assert_eq!(errno(open(&current, Fd::CWD, b"/no/new", create, 0)), Errno::ENOENT);
    write_file(&current, "/f", b"");
    assert_eq!(errno(open(&current, Fd::CWD, b"/f", OpenFlags::DIRECTORY, 0)), Errno::ENOTDIR);
    assert_eq!(errno(open(&current, Fd::CWD, b"/f/", OpenFlags::empty(), 0)), Errno::ENOTDIR);
}

#[test]
fn removing_a_name_forgets_it_and_making_it_again_works() {
    let current = on_tmpfs();
    write_file(&current, "/f", b"1");
    let place = find(&current, "/f").expect("f");
    unlink(&current, Fd::CWD, b"/f", false).expect("removed");
    assert_eq!(find(&current, "/f").err(), Some(Errno::ENOENT));
    assert_eq!(path_of(&current, &place), "/f (deleted)");
    assert_eq!(place.inode().attr().expect("attr").nlink, 0);
    write_file(&current, "/f", b"2");
    assert_eq!(read_file(&current, "/f"), b"2");
}

#[test]
fn rmdir_wants_an_empty_directory_and_unlink_none() {
    let current = on_tmpfs();
    mkdir(&current, "/d");
    write_file(&current, "/d/f", b"");
    assert_eq!(unlink(&current, Fd::CWD, b"/d", true), Err(Errno::ENOTEMPTY));
    assert_eq!(unlink(&current, Fd::CWD, b"/d", false), Err(Errno::EISDIR));
    assert_eq!(unlink(&current, Fd::CWD, b"/d/f", true), Err(Errno::ENOTDIR));
    assert_eq!(unlink(&current, Fd::CWD, b"/d/f/", false), Err(Errno::ENOTDIR));
    assert_eq!(unlink(&current, Fd::CWD, b"/d/.", true), Err(Errno::EINVAL));
    assert_eq!(unlink(&current, Fd::CWD, b"/d/..", true), Err(Errno::ENOTEMPTY));
    assert_eq!(unlink(&current, Fd::CWD, b"/", true), Err(Errno::EBUSY));
    unlink(&current, Fd::CWD, b"/d/f", false).expect("removed");
    let held = find(&current, "/d").expect("d");
    unlink(&current, Fd::CWD, b"/d/", true).expect("removed");
    // Nothing can be made in a directory that is gone.
    current.fs.set_cwd(held);
    assert_eq!(make(&current, Fd::CWD, b"x", raw::S_IFDIR | 0o755, 0).err(), Some(Errno::ENOENT));
}

#[test]
fn rename_replaces_files_and_empty_directories_of_the_same_kind() {
    let current = on_tmpfs();
    write_file(&current, "/a", b"a");
    write_file(&current, "/b", b"b");
    mkdir(&current, "/d");
    mkdir(&current, "/e");
    write_file(&current, "/e/x", b"x");
    let mv = |from: &str, to: &str| rename(&current, Fd::CWD, from.as_bytes(), Fd::CWD, to.as_bytes(), 0);
    assert_eq!(mv("/a", "/d"), Err(Errno::EISDIR));
    assert_eq!(mv("/d", "/a"), Err(Errno::ENOTDIR));
    assert_eq!(mv("/d", "/e"), Err(Errno::ENOTEMPTY));
    assert_eq!(mv("/e", "/e/sub"), Err(Errno::EINVAL));
    assert_eq!(mv("/e/x", "/e/x/"), Err(Errno::ENOTDIR));
    mv("/a", "/b").expect("file over file");
    assert_eq!(read_file(&current, "/b"), b"a");
    assert_eq!(find(&current, "/a").err(), Some(Errno::ENOENT));
    let inside = find(&current, "/e/x").expect("x");
    mv("/e", "/d").expect("directory over an empty one");
    assert_eq!(path_of(&current, &inside), "/d/x");
    assert_eq!(names(&current, "/"), ["b", "d"]);
    assert_eq!(find(&current, "/").expect("root").inode().attr().expect("attr").nlink, 3);
}

#[test]
fn rename_can_refuse_to_replace_and_can_exchange() {
    let current = on_tmpfs();
    write_file(&current, "/a", b"a");
    mkdir(&current, "/d");
    mkdir(&current, "/d/sub");
    let mv = |from: &str, to: &str, flags| rename(&current, Fd::CWD, from.as_bytes(), Fd::CWD, to.as_bytes(), flags);
    assert_eq!(mv("/a", "/d/sub", raw::RENAME_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(mv("/a", "/none", raw::RENAME_EXCHANGE), Err(Errno::ENOENT));
    mv("/a", "/d/sub", raw::RENAME_EXCHANGE).expect("exchanged");
    assert_eq!(read_file(&current, "/d/sub"), b"a");
    assert_eq!(find(&current, "/a").expect("a").inode().kind(), FileKind::Directory);
    assert_eq!(find(&current, "/d").expect("d").inode().attr().expect("attr").nlink, 2);
    assert_eq!(path_of(&current, &find(&current, "/a").expect("a")), "/a");
}

#[test]
fn hard_links_are_one_file() {
    let current = on_tmpfs();
    write_file(&current, "/a", b"1");
    link(&current, &find(&current, "/a").expect("a"), Fd::CWD, b"/b").expect("linked");
    write_file(&current, "/b", b"22");
    assert_eq!(read_file(&current, "/a"), b"22");
    let (a, b) = (find(&current, "/a").expect("a"), find(&current, "/b").expect("b"));
    assert_eq!(a.inode().attr().expect("attr").nlink, 2);
    assert_eq!(a.inode().attr().expect("attr").ino, b.inode().attr().expect("attr").ino);
    mkdir(&current, "/d");
    let directory = find(&current, "/d").expect("d");
    assert_eq!(link(&current, &directory, Fd::CWD, b"/e"), Err(Errno::EPERM));
    assert_eq!(link(&current, &a, Fd::CWD, b"/b"), Err(Errno::EEXIST));
}

#[test]
fn mode_bits_bind_users_but_not_root() {
    let current = on_tmpfs();
    write_file(&current, "/f", b"x");
    attr::chmod(&current, &find(&current, "/f").expect("f").into(), 0o000).expect("chmod");
    assert_eq!(read_file(&current, "/f"), b"x");
    mkdir(&current, "/d");
    attr::chmod(&current, &find(&current, "/d").expect("d").into(), 0o700).expect("chmod");
    let user = with_user(current, 1000);
    assert_eq!(errno(open(&user, Fd::CWD, b"/f", OpenFlags::empty(), 0)), Errno::EACCES);
    assert_eq!(find(&user, "/d/x").err(), Some(Errno::EACCES));
    assert_eq!(make(&user, Fd::CWD, b"/new", raw::S_IFDIR | 0o755, 0).err(), Some(Errno::EACCES));
    assert_eq!(unlink(&user, Fd::CWD, b"/f", false), Err(Errno::EACCES));
    assert_eq!(attr::chmod(&user, &find(&user, "/f").expect("f").into(), 0o777), Err(Errno::EPERM));
}

#[test]
fn in_a_sticky_directory_only_owners_remove() {
    let current = on_tmpfs();
    mkdir(&current, "/tmp");
    attr::chmod(&current, &find(&current, "/tmp").expect("tmp").into(), 0o1777).expect("chmod");
    let first = with_user(current, 1000);
    write_file(&first, "/tmp/f", b"");
    let second = with_user(first, 1001);
    assert_eq!(unlink(&second, Fd::CWD, b"/tmp/f", false), Err(Errno::EPERM));
    assert_eq!(rename(&second, Fd::CWD, b"/tmp/f", Fd::CWD, b"/tmp/g", 0), Err(Errno::EPERM));
    let first = with_user(second, 1000);
    unlink(&first, Fd::CWD, b"/tmp/f", false).expect("the owner may");
}

#[test]
fn new_files_take_the_group_of_a_set_group_id_directory() {
    let current = on_tmpfs();
    mkdir(&current, "/d");
    let d = find(&current, "/d").expect("d");
    attr::chown(&current, &d.clone().into(), 0, 50).expect("chown");
    attr::chmod(&current, &d.into(), 0o2775).expect("chmod");
    mkdir(&current, "/d/sub");
    write_file(&current, "/d/f", b"");
    let sub = find(&current, "/d/sub").expect("sub").inode().attr().expect("attr");
    assert_eq!((sub.gid, sub.mode & 0o7777), (50, 0o2755));
    assert_eq!(find(&current, "/d/f").expect("f").inode().attr().expect("attr").gid, 50);
}

#[test]
fn a_mount_covers_what_is_below_and_unmounting_uncovers_it() {
    let current = on_tmpfs();
    mkdir(&current, "/m");
    write_file(&current, "/m/below", b"b");
    let at = find(&current, "/m").expect("m");
    let root = tmpfs::new(&Options::unlimited()).expect("a tmpfs");
    mount_at(&at, root, MountFlags::default(), FsInfo::default()).expect("mounted");
    assert_eq!(find(&current, "/m/below").err(), Some(Errno::ENOENT));
    mkdir(&current, "/m/x");
    assert_eq!(path_of(&current, &find(&current, "/m/x").expect("x")), "/m/x");
    assert_eq!(path_of(&current, &find(&current, "/m/x/../..").expect("root")), "/");
    write_file(&current, "/f", b"");
    let f = find(&current, "/f").expect("f");
    assert_eq!(link(&current, &f, Fd::CWD, b"/m/f"), Err(Errno::EXDEV));
    assert_eq!(rename(&current, Fd::CWD, b"/f", Fd::CWD, b"/m/f", 0), Err(Errno::EXDEV));
    assert_eq!(unlink(&current, Fd::CWD, b"/m", true), Err(Errno::EBUSY));
    assert_eq!(current.fs.namespace().mounts().len(), 2);
    unmount(&find(&current, "/m").expect("m"), false).expect("unmounted");
    assert_eq!(read_file(&current, "/m/below"), b"b");
}

#[test]
fn a_bind_mount_shows_the_same_files_and_may_be_read_only() {
    let current = on_tmpfs();
    mkdir(&current, "/a");
    mkdir(&current, "/b");
    write_file(&current, "/a/f", b"1");
    let (a, b) = (find(&current, "/a").expect("a"), find(&current, "/b").expect("b"));
    let mount = bind_at(&b, &a, false).expect("bound");
    assert_eq!(read_file(&current, "/b/f"), b"1");
    assert_eq!(path_of(&current, &find(&current, "/b/f").expect("f")), "/b/f");
    mount.set_flags(MountFlags::RDONLY);
    let write = OpenFlags::WRONLY;
    assert_eq!(errno(open(&current, Fd::CWD, b"/b/f", write, 0)), Errno::EROFS);
    assert_eq!(make(&current, Fd::CWD, b"/b/d", raw::S_IFDIR, 0).err(), Some(Errno::EROFS));
    assert_eq!(unlink(&current, Fd::CWD, b"/b/f", false), Err(Errno::EROFS));
    write_file(&current, "/a/f", b"2");
    assert_eq!(read_file(&current, "/b/f"), b"2");
}

#[test]
fn resolution_beneath_a_directory_does_not_leave_it() {
    let current = on_tmpfs();
    mkdir(&current, "/d");
    write_file(&current, "/d/f", b"");
    symlink(&current, b"/d/f", Fd::CWD, b"/d/absolute").expect("link");
    current.fs.set_cwd(find(&current, "/d").expect("d"));
    let beneath = |path: &[u8]| lookup(&current, Fd::CWD, path, LookupFlags::FOLLOW | LookupFlags::BENEATH).map(|_| ());
    assert_eq!(beneath(b"f"), Ok(()));
    assert_eq!(beneath(b"../d/f"), Err(Errno::EXDEV));
    assert_eq!(beneath(b"absolute"), Err(Errno::EXDEV));
    assert_eq!(beneath(b"/d/f"), Err(Errno::EXDEV));
    let in_root = |path: &[u8]| lookup(&current, Fd::CWD, path, LookupFlags::FOLLOW | LookupFlags::IN_ROOT).map(|_| ());
    assert_eq!(in_root(b"/f"), Ok(()));
    assert_eq!(in_root(b"../../f"), Ok(()));
    assert_eq!(in_root(b"absolute"), Err(Errno::ENOENT));
}

#[test]
fn a_file_without_a_name_can_be_given_one() {
    let current = on_tmpfs();
    let flags = OpenFlags::TMPFILE | OpenFlags::RDWR;
    let file = open(&current, Fd::CWD, b"/", flags, 0o600).expect("an unnamed file");
    file.write(&current, &mut Source::kernel(b"late")).expect("written");
    assert!(names(&current, "/").is_empty());
    link(&current, file.path().expect("a place"), Fd::CWD, b"/named").expect("linked");
    assert_eq!(read_file(&current, "/named"), b"late");
    assert_eq!(errno(open(&current, Fd::CWD, b"/", OpenFlags::TMPFILE, 0o600)), Errno::EINVAL);
}

#[test]
fn a_huge_directory_does_not_keep_every_dentry() {
    let current = on_tmpfs();
    for n in 0..40_000 {
        make(&current, Fd::CWD, std::format!("/f{n}").as_bytes(), raw::S_IFREG | 0o644, 0).expect("a file");
    }
    for n in [0, 1, 20_000, 39_999] {
        assert!(find(&current, &std::format!("/f{n}")).is_ok());
    }
    let root = current.fs.root();
    assert!(root.dentry().cached_children() < 20_000, "{}", root.dentry().cached_children());
}

#[test]
fn a_deep_tree_is_dropped_without_recursion() {
    let current = on_tmpfs();
    let top = current.fs.cwd();
    for _ in 0..20_000 {
        let next = make(&current, Fd::CWD, b"d", raw::S_IFDIR | 0o755, 0).expect("a directory");
        current.fs.set_cwd(next);
    }
    current.fs.set_cwd(top.clone());
    top.dentry().prune();
    drop(top);
    drop(current);
}
