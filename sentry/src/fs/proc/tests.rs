//! proc on the fake machine.

use crate::errno::Errno;
use crate::fake;
use crate::fs::{FileKind, Inode, OpenFile, OpenFlags, Sink, Source};
use crate::syscall::{Fail, Fd};
use crate::task::Current;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;
use std::{format, vec};

fn find(path: &str) -> Result<Arc<dyn Inode>, Errno> {
    let mut at = super::new(None);
    for name in path.split('/') {
        at = at.lookup(name.as_bytes())?;
    }
    Ok(at)
}

fn open(current: &Current, path: &str, flags: OpenFlags) -> Arc<OpenFile> {
    let inode = find(path).unwrap_or_else(|errno| panic!("{path}: {errno:?}"));
    let ops = inode.clone().open(current, flags).unwrap();
    OpenFile::new(ops, flags, inode, None)
}

fn read(current: &Current, path: &str) -> String {
    let file = open(current, path, OpenFlags::empty());
    let mut bytes = vec![0; 1 << 16];
    let len = file.read(current, &mut Sink::kernel(&mut bytes)).unwrap();
    bytes.truncate(len);
    String::from_utf8(bytes).unwrap()
}

fn names(current: &Current, path: &str) -> Vec<String> {
    let file = open(current, path, OpenFlags::DIRECTORY);
    let mut names = Vec::new();
    let mut emit = |_: u64, _: u8, name: &[u8], _: u64| {
        names.push(String::from_utf8(name.to_vec()).unwrap());
        true
    };
    file.ops().read_dir(current, &file, 0, &mut emit).unwrap();
    names
}

#[test]
fn every_file_for_all_can_be_read() {
    let current = fake::current();
    let mut seen = 0;
    let mut pending = vec![String::from("sys"), format!("{}", current.process.pid().raw())];
    pending.extend(super::ENTRIES.iter().map(|item| String::from(item.name)));
    while let Some(path) = pending.pop() {
        let inode = find(&path).unwrap();
        match inode.kind() {
            FileKind::Directory => {
                let entries = names(&current, &path);
                let below = entries.into_iter().filter(|name| name != "." && name != "..");
                pending.extend(below.map(|name| format!("{path}/{name}")));
            }
            FileKind::Regular if !path.contains("/attr/") && !path.ends_with("/mem") => {
                read(&current, &path);
                seen += 1;
            }
            _ => {}
        }
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn self_and_thread_self_lead_to_the_reader() {
    let current = fake::current();
    let pid = current.process.pid().raw();
    assert_eq!(find("self").unwrap().read_link(&current).unwrap(), format!("{pid}").into_bytes());
    assert_eq!(find("thread-self").unwrap().read_link(&current).unwrap(), format!("{pid}/task/{pid}").into_bytes());
}

#[test]
fn stat_has_the_52_fields_of_the_manual() {
    let current = fake::current();
    current.task.set_name(b"a (b) c");
    let line = read(&current, &format!("{}/stat", current.process.pid().raw()));
    let (head, rest) = line.rsplit_once(") ").unwrap();
    assert_eq!(head, format!("{} (a (b) c", current.process.pid().raw()));
    let fields: Vec<&str> = rest.trim_end().split(' ').collect();
    assert_eq!(fields.len(), 50);
    assert_eq!(fields[0], "R");
    assert_eq!(fields[17], "1", "one thread");
    assert!(fields.iter().skip(1).all(|field| field.parse::<i128>().is_ok()));
}

#[test]
fn status_names_the_task_and_its_ids() {
    let current = fake::current();
    let text = read(&current, &format!("{}/status", current.process.pid().raw()));
    assert!(text.starts_with("Name:\ttest\nUmask:\t"), "{text}");
    assert!(text.contains("\nUid:\t0\t0\t0\t0\n"));
    assert!(text.contains("\nThreads:\t1\n"));
    assert!(text.contains("\nCapEff:\t000001ffffffffff\n"));
}

#[test]
fn comm_can_be_written_by_the_process_itself() {
    let current = fake::current();
    let path = format!("{}/comm", current.process.pid().raw());
    let file = open(&current, &path, OpenFlags::RDWR);
    assert_eq!(file.write(&current, &mut Source::kernel(b"renamed\n")).unwrap(), 8);
    assert_eq!(read(&current, &path), "renamed\n");
}

#[test]
fn descriptors_are_listed_with_links_to_their_files() {
    let current = fake::current();
    let inode = find("version").unwrap();
    let ops = inode.clone().open(&current, OpenFlags::empty()).unwrap();
    let path = crate::fs::Path::detached(inode.clone(), b"/proc/version");
    let file = OpenFile::new(ops, OpenFlags::empty(), inode.clone(), Some(path));
    current.files.set(Fd::new(7), file, true, 100).unwrap();
    current.publish();
    let pid = current.process.pid().raw();
    assert_eq!(names(&current, &format!("{pid}/fd")), [".", "..", "7"]);
    let link = find(&format!("{pid}/fd/7")).unwrap();
    assert_eq!(link.read_link(&current).unwrap(), b"/proc/version");
    assert_eq!(link.attr().unwrap().mode & 0o777, 0o500);
    assert!(Arc::ptr_eq(link.magic_link(&current).unwrap().unwrap().inode(), &inode));
    assert!(read(&current, &format!("{pid}/fdinfo/7")).starts_with("pos:\t0\nflags:\t02100000\n"));
    assert_eq!(find(&format!("{pid}/fd/8")).err(), Some(Errno::ENOENT));
    current.files.remove(Fd::new(7)).unwrap();
    assert_eq!(link.read_link(&current).err(), Some(Errno::ENOENT));
}

#[test]
fn numbers_that_are_no_task_are_not_there() {
    fake::current();
    for name in ["0", "00001", "4194304", "x", "-1", ""] {
        assert_eq!(super::new(None).lookup(name.as_bytes()).err(), Some(Errno::ENOENT), "{name}");
    }
}

#[test]
fn another_users_memory_is_not_shown() {
    let victim = fake::current();
    let mut spy = fake::current();
    let mut creds = (*spy.creds).clone();
    (creds.uid, creds.euid, creds.suid, creds.fsuid) = (1000, 1000, 1000, 1000);
    creds.caps = Default::default();
    spy.creds = Arc::new(creds);
    let pid = victim.process.pid().raw();
    for file in ["maps", "environ", "mem", "auxv"] {
        let inode = find(&format!("{pid}/{file}")).unwrap();
        let opened = inode.open(&spy, OpenFlags::empty());
        assert!(matches!(opened, Err(Fail::Errno(Errno::EACCES))), "{file}");
    }
    assert_eq!(find(&format!("{pid}/cwd")).unwrap().read_link(&spy).err(), Some(Errno::EACCES));
}

#[test]
fn boot_id_stays_and_uuid_does_not() {
    let current = fake::current();
    let path = "sys/kernel/random/boot_id";
    assert_eq!(read(&current, path), read(&current, path));
    assert_ne!(read(&current, "sys/kernel/random/uuid"), read(&current, "sys/kernel/random/uuid"));
    assert_eq!(read(&current, path).len(), 37);
}
