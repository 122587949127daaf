//! The gofer against names and handles that nobody should send.

use crate::gofer::wire::{AnswerHeader, CallHeader};
use crate::gofer::{Export, Gofer, Output};
use linker::request::{Attr, DirEntry, END_OF_DIRECTORY, MAX_HANDLES, MAX_NAMES, MakeArgs, Op, SetAttr, Told};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, os::unix::fs::symlink, path::PathBuf};
use zerocopy::{FromBytes, IntoBytes};

/// A gofer with a read-only and a writable export: nodes 0 and 1.
struct Fixture {
    gofer: Gofer,
    directory: PathBuf,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Fixture {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ringwall-gofer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        for export in ["read", "write"] {
            fs::create_dir_all(directory.join(export).join("sub")).expect("temporary directory");
            fs::write(directory.join(export).join("file"), b"content").expect("file");
            symlink("/etc", directory.join(export).join("absolute")).expect("symlink");
            symlink("..", directory.join(export).join("up")).expect("symlink");
            let fifo = directory.join(export).join("fifo");
            rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("fifo");
        }
        fs::write(directory.join("secret"), b"outside").expect("file");
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("pair");
        let export = |name: &str, writable| Export { path: directory.join(name), writable }.open().expect("export");
        let roots = vec![export("read", false), export("write", true)];
        let gofer = Gofer::new(pair().0, vec![pair().0], None, roots).expect("gofer");
        let mut fixture = Self { gofer, directory };
        assert_eq!(fixture.call(Op::Attach, 0, b"").map(|o| o.result), Ok(0));
        assert_eq!(fixture.call(Op::Attach, 1, b"").map(|o| o.result), Ok(1));
        fixture
    }

    fn call(&mut self, op: Op, handle: u32, input: &[u8]) -> Result<Output, Errno> {
        self.call_with(op, handle, 0, 0, input)
    }

    fn call_with(&mut self, op: Op, handle: u32, offset: u64, arg: u64, input: &[u8]) -> Result<Output, Errno> {
        let header = CallHeader { id: 0, client: 0, handle, offset, arg, output_len: 4096, op: op as u16, pad: 0 };
        self.gofer.answer(&header, input)
    }

    fn lookup(&mut self, directory: u32, name: &[u8]) -> Result<(u32, Attr), Errno> {
        let output = self.call(Op::Lookup, directory, name)?;
        let (attr, _) = Attr::read_from_prefix(&output.data).expect("attr");
        Ok((output.result as u32, attr))
    }

    fn path(&self, export: &str, name: &str) -> PathBuf {
        Path::new(&self.directory).join(export).join(name)
    }
}

fn make(mode: u32, name: &[u8]) -> Vec<u8> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut input = MakeArgs { mode, uid, gid, pad: 0, rdev: 0 }.as_bytes().to_vec();
    input.extend_from_slice(name);
    input
}

#[test]
fn no_name_leads_out_of_an_export() {
    let mut fixture = Fixture::new();
    for name in [&b".."[..], b".", b"", b"../secret", b"sub/..", b"/etc", b"sub/", b"a\0b", b"up/secret"] {
        assert!(fixture.lookup(0, name).is_err(), "{name:?}");
        assert!(fixture.call(Op::Unlink, 1, name).is_err(), "{name:?}");
        assert!(fixture.call(Op::Make, 1, &make(0o040_755, name)).is_err(), "{name:?}");
        assert!(fixture.call(Op::Create, 1, &make(0o644, name)).is_err(), "{name:?}");
    }
    assert_eq!(fixture.lookup(0, &[b'a'; 300]).map(|_| ()), Err(Errno::NAMETOOLONG));
}

#[test]
fn a_symlink_is_a_node_and_never_a_way() {
    let mut fixture = Fixture::new();
    for (name, target) in [(&b"absolute"[..], "/etc"), (b"up", "..")] {
        let (node, attr) = fixture.lookup(0, name).expect("the link itself");
        assert_eq!(attr.mode & 0o170_000, 0o120_000);
        assert_eq!(fixture.call(Op::ReadLink, node, b"").expect("target").data, target.as_bytes());
        assert!(fixture.lookup(node, b"passwd").is_err());
        assert!(fixture.call_with(Op::Open, node, 0, 0, b"").is_err());
    }
}

#[test]
fn a_read_only_export_refuses_every_change() {
    let mut fixture = Fixture::new();
    let (file, _) = fixture.lookup(0, b"file").expect("file");
    let set = SetAttr { valid: SetAttr::MODE, mode: 0o777, ..SetAttr::default() };
    let refused = [
        fixture.call(Op::SetAttr, file, set.as_bytes()),
        fixture.call_with(Op::Open, file, 0, u64::from(linux_raw_sys::general::O_RDWR), b""),
        fixture.call_with(Op::Open, file, 0, u64::from(linux_raw_sys::general::O_TRUNC), b""),
        fixture.call(Op::Create, 0, &make(0o644, b"new")),
        fixture.call(Op::Make, 0, &make(0o040_755, b"new")),
        fixture.call_with(Op::Symlink, 0, 3, 0, &[&make(0o777, b"new"), &b"target"[..]].concat()),
        fixture.call_with(Op::Link, 0, 0, u64::from(file), b"new"),
        fixture.call(Op::Unlink, 0, b"file"),
        fixture.call_with(Op::Rename, 0, 4, 0, b"filenew"),
        fixture.call_with(Op::SetXattr, file, 6, 0, b"user.avalue"),
        fixture.call(Op::RemoveXattr, file, b"user.a"),
    ];
    for answer in refused {
        assert_eq!(answer.map(|_| ()), Err(Errno::ROFS));
    }
    assert_eq!(fs::read(fixture.path("read", "file")).expect("still there"), b"content");
}

#[test]
fn a_link_or_rename_does_not_cross_exports() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.call_with(Op::Rename, 1, 4, 0, b"filenew").map(|_| ()), Err(Errno::ROFS));
    let (foreign, _) = fixture.lookup(0, b"file").expect("file");
    assert_eq!(fixture.call_with(Op::Link, 1, 0, u64::from(foreign), b"new").map(|_| ()), Err(Errno::ROFS));
}

#[test]
fn only_regular_files_and_directories_are_ever_opened() {
    let mut fixture = Fixture::new();
    let (fifo, _) = fixture.lookup(0, b"fifo").expect("fifo");
    assert_eq!(fixture.call_with(Op::Open, fifo, 0, 0, b"").map(|_| ()), Err(Errno::NXIO));
    let (file, _) = fixture.lookup(0, b"file").expect("file");
    assert!(fixture.call_with(Op::Open, file, 0, 0, b"").expect("open").file.is_some());
}

#[test]
fn files_are_made_changed_renamed_and_removed_on_a_writable_export() {
    let mut fixture = Fixture::new();
    let rdwr = u64::from(linux_raw_sys::general::O_RDWR);
    let made = fixture.call_with(Op::Create, 1, 0, rdwr, &make(0o4755, b"new")).expect("created");
    let (attr, _) = Attr::read_from_prefix(&made.data).expect("attr");
    assert_eq!((attr.mode, made.file.is_some()), (0o104_755, true));
    let again = fixture.call_with(Op::Create, 1, 0, rdwr, &make(0o644, b"new"));
    assert_eq!(again.map(|_| ()), Err(Errno::EXIST));

    let node = made.result as u32;
    let set = SetAttr { valid: SetAttr::MODE, mode: 0o600, ..SetAttr::default() };
    let changed = fixture.call(Op::SetAttr, node, set.as_bytes()).expect("changed");
    let (attr, _) = Attr::read_from_prefix(&changed.data).expect("attr");
    assert_eq!(attr.mode, 0o100_600);
    let sized = SetAttr { valid: SetAttr::SIZE | SetAttr::MODE, size: 10, ..set };
    let refused = fixture.call(Op::SetAttr, node, sized.as_bytes()).map(|_| ());
    assert_eq!(refused, Err(Errno::INVAL), "a size is for an open file");

    fixture.call_with(Op::Link, 1, 0, made.result, b"hard").expect("linked");
    fixture.call_with(Op::Rename, 1, 3, 1, b"newold").expect("renamed");
    fixture.call_with(Op::Symlink, 1, 4, 0, &[&make(0, b"soft")[..], b"/a/b"].concat()).expect("symlink");
    assert_eq!(fs::read_link(fixture.path("write", "soft")).expect("symlink"), Path::new("/a/b"));
    let removed = fixture.call(Op::Unlink, 1, b"old").expect("removed");
    let (attr, _) = Attr::read_from_prefix(&removed.data).expect("attr before");
    assert_eq!(attr.nlink, 2);
    assert!(fixture.path("write", "hard").exists() && !fixture.path("write", "old").exists());
    let removed = u64::from(linux_raw_sys::general::AT_REMOVEDIR);
    fixture.call_with(Op::Unlink, 1, 0, removed, b"sub").expect("directory removed");
}

#[test]
fn a_listing_can_be_read_in_pieces_and_again() {
    let mut fixture = Fixture::new();
    for round in 0..2 {
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let header = CallHeader {
                id: 0,
                client: 0,
                handle: 0,
                offset,
                arg: 0,
                output_len: 72,
                op: Op::ReadDir as u16,
                pad: 0,
            };
            let output = fixture.gofer.answer(&header, b"").expect("entries");
            if output.result == 0 {
                break;
            }
            let mut rest = &output.data[..];
            while let Ok((entry, tail)) = DirEntry::read_from_prefix(rest) {
                let len = usize::from(entry.name_len);
                names.push(String::from_utf8_lossy(&tail[..len]).into_owned());
                offset = entry.next;
                rest = &tail[len.next_multiple_of(8)..];
            }
        }
        names.sort();
        assert_eq!(names, ["absolute", "fifo", "file", "sub", "up"], "round {round}");
    }
}

/// What `LookupMany` says of each name: the errno, or the node and the content.
fn many(fixture: &mut Fixture, directory: u32, room: u32, content: u64, names: &[u8]) -> Result<Vec<Found>, Errno> {
    let op = Op::LookupMany as u16;
    let header =
        CallHeader { id: 0, client: 0, handle: directory, offset: 0, arg: content, output_len: room, op, pad: 0 };
    let output = fixture.gofer.answer(&header, names)?;
    assert_eq!(output.result, output.data.len() as u64);
    assert!(output.data.len() <= room as usize);
    let (mut rest, mut found) = (&output.data[..], Vec::new());
    while let Ok((told, tail)) = Told::read_from_prefix(rest) {
        let len = if told.content == Told::NO_CONTENT { 0 } else { told.content as usize };
        let content = (told.content != Told::NO_CONTENT).then(|| tail[..len].to_vec());
        found.push(if told.errno == 0 { Ok((told.node, told.attr, content)) } else { Err(told.errno as i32) });
        rest = &tail[len.next_multiple_of(8)..];
    }
    Ok(found)
}

type Found = Result<(u32, Attr, Option<Vec<u8>>), i32>;

#[test]
fn many_names_are_looked_up_by_the_rules_of_one() {
    let mut fixture = Fixture::new();
    let names = b"file\0..\0.\0\0../secret\0sub/..\0/etc\0up\0fifo\0missing\0sub\0";
    let found = many(&mut fixture, 0, 4096, 4096, names).expect("answers");
    let shown: Vec<_> = found.iter().map(|found| found.as_ref().map(|(_, attr, _)| attr.mode & 0o170_000)).collect();
    let (inval, noent) = (Errno::INVAL.raw_os_error(), Errno::NOENT.raw_os_error());
    let (file, link, fifo, directory) = (0o100_000, 0o120_000, 0o010_000, 0o040_000);
    let expected = [Ok(file), Err(inval), Err(inval), Err(noent), Err(inval), Err(inval), Err(inval)];
    let expected: Vec<_> = expected.into_iter().chain([Ok(link), Ok(fifo), Err(noent), Ok(directory)]).collect();
    assert_eq!(shown, expected.iter().map(|known| known.as_ref().copied()).collect::<Vec<_>>());
    let contents: Vec<_> = found.iter().flatten().map(|(_, _, content)| content.as_deref()).collect();
    assert_eq!(contents, [Some(&b"content"[..]), None, None, None], "nothing but regular files is opened");
    let (node, ..) = found[0].as_ref().expect("the file");
    assert!(fixture.call(Op::GetAttr, *node, b"").is_ok());
    assert!(many(&mut fixture, *node, 4096, 0, b"x\0").expect("an answer")[0].is_err(), "a file is no directory");
    let long = [&[b'a'; 300][..], b"\0"].concat();
    let found = many(&mut fixture, 0, 4096, 0, &long).expect("an answer");
    assert_eq!(found[0].as_ref().err(), Some(&Errno::NAMETOOLONG.raw_os_error()));
}

#[test]
fn an_answer_for_many_names_keeps_to_its_room() {
    let mut fixture = Fixture::new();
    let told = size_of::<Told>() as u32;
    for (room, content, count) in [
        (told - 1, 0, Err(Errno::INVAL)),
        (0, 0, Err(Errno::INVAL)),
        (told, 0, Ok(1)),
        (told, 7, Ok(1)),
        (told + 8, 7, Ok(1)),
        (2 * told + 7, 7, Ok(1)),
        (2 * told + 8, 7, Ok(1)),
        (2 * told + 16, 7, Ok(2)),
        (2 * told, 6, Ok(2)),
        (u32::MAX, u64::MAX, Ok(2)),
    ] {
        let header = CallHeader {
            id: 0,
            client: 0,
            handle: 0,
            offset: 0,
            arg: content,
            output_len: room,
            op: Op::LookupMany as u16,
            pad: 0,
        };
        let answer = fixture.gofer.answer(&header, b"file\0file\0");
        let told = answer.map(|output| output.data.chunks(8).count() * 8 / size_of::<Told>());
        assert_eq!(told, count, "{room} bytes");
    }
    fs::write(fixture.path("write", "large"), vec![b'x'; 100 << 10]).expect("file");
    let found = many(&mut fixture, 1, 60 << 10, u64::MAX, b"large\0").expect("an answer");
    assert!(matches!(&found[0], Ok((_, _, None))), "what is long stays there");
    fs::write(fixture.path("write", "empty"), b"").expect("file");
    for wanted in [0, 4096] {
        let found = many(&mut fixture, 1, 4096, wanted, b"empty\0").expect("an answer");
        assert!(matches!(&found[0], Ok((_, _, None))), "an empty one is not opened");
    }
}

#[test]
fn too_many_names_and_malformed_lists_are_refused() {
    let mut fixture = Fixture::new();
    for names in [&b""[..], b"file", b"file\0sub"] {
        assert_eq!(many(&mut fixture, 0, 4096, 0, names).map(|_| ()), Err(Errno::INVAL));
    }
    assert_eq!(many(&mut fixture, 0, 4096, 0, &b"f\0".repeat(MAX_NAMES + 1)).map(|_| ()), Err(Errno::TOOBIG));
    assert_eq!(many(&mut fixture, 0, 4096, 0, &b"\0".repeat(60 << 10)).map(|_| ()), Err(Errno::TOOBIG));
    assert!(many(&mut fixture, 0, 60 << 10, 0, &b"file\0".repeat(MAX_NAMES)).is_ok_and(|all| all.len() == MAX_NAMES));
    assert_eq!(many(&mut fixture, 99_999, 4096, 0, b"file\0").map(|_| ()), Err(Errno::BADF));
    assert_eq!(fixture.call(Op::ForgetMany, 0, &[0; 7]).map(|_| ()), Err(Errno::INVAL));
    assert_eq!(fixture.call(Op::ForgetMany, 0, &[0xff; 4 * MAX_HANDLES + 4]).map(|_| ()), Err(Errno::TOOBIG));
}

#[test]
fn nodes_are_forgotten_many_at_once_and_their_numbers_given_again() {
    let mut fixture = Fixture::new();
    let found = many(&mut fixture, 0, 60 << 10, 0, &b"file\0".repeat(100)).expect("answers");
    let nodes: Vec<u32> = found.iter().flatten().map(|(node, ..)| *node).collect();
    let last = nodes.iter().copied().max().expect("nodes");
    // Twice each, and some that never were.
    let handles = [&nodes[..], &nodes[..], &[u32::MAX, 77_777]].concat();
    fixture.call(Op::ForgetMany, 0, handles.as_bytes()).expect("forgotten");
    assert!(nodes.iter().all(|node| fixture.call(Op::GetAttr, *node, b"").is_err()));
    let found = many(&mut fixture, 0, 60 << 10, 0, &b"file\0".repeat(100)).expect("answers");
    assert!(found.iter().flatten().all(|(node, ..)| *node <= last));
    assert!(fixture.call(Op::GetAttr, 0, b"").is_ok(), "others stay");
}

#[test]
fn a_listing_says_where_it_ends_when_asked() {
    let mut fixture = Fixture::new();
    let ask = |fixture: &mut Fixture, offset, output_len| {
        let op = Op::ReadDir as u16;
        let header = CallHeader { id: 0, client: 0, handle: 0, offset, arg: 1, output_len, op, pad: 0 };
        fixture.gofer.answer(&header, b"").expect("entries")
    };
    let all = ask(&mut fixture, 0, 4096);
    assert_eq!(all.result, all.data.len() as u64 | END_OF_DIRECTORY);
    let (mut offset, mut pieces) = (0, Vec::new());
    loop {
        let piece = ask(&mut fixture, offset, 72);
        pieces.extend_from_slice(&piece.data);
        let mut rest = &piece.data[..];
        while let Ok((entry, tail)) = DirEntry::read_from_prefix(rest) {
            (offset, rest) = (entry.next, &tail[usize::from(entry.name_len).next_multiple_of(8)..]);
        }
        if piece.result & END_OF_DIRECTORY != 0 || piece.data.is_empty() {
            break;
        }
    }
    assert_eq!(pieces, all.data);
}

#[test]
fn garbage_gets_an_errno_from_every_op() {
    let mut fixture = Fixture::new();
    for op in (0..=200).filter_map(Op::from_raw).filter(|op| *op != Op::Attach) {
        for handle in [1000, u32::MAX] {
            assert!(fixture.call_with(op, handle, u64::MAX, u64::MAX, b"x").is_err(), "{op:?} on no node");
        }
        // On a node: whatever it answers, it answers, and nothing outside changes.
        for input in [&b""[..], b"x", &[0xff; 100]] {
            for number in [0, 1, u64::MAX] {
                let _ = fixture.call_with(op, 0, number, number, input);
            }
        }
        let _ = fixture.call(Op::Attach, 0, b"");
    }
    assert!(fixture.call(Op::Attach, 2, b"").is_err());
    assert_eq!(fs::read(fixture.directory.join("secret")).expect("untouched"), b"outside");
    assert_eq!(size_of::<AnswerHeader>(), 16);
}
