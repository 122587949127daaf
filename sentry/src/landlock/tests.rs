//! What came after Landlock's second version: resizing, devices' commands, ports, scopes.

use super::{Confined, Files, Handled, Layer, Ports, Ruleset, Scope, files, limits};
use crate::errno::Errno;
use crate::fake;
use crate::fs::tests::on_tmpfs;
use crate::fs::{FileKind, LookupFlags, OpenFile, OpenFlags, dev, lookup, make, open};
use crate::net::{self, Address, Kind, MessageFlags, Socket};
use crate::syscall::{Fail, Fd};
use crate::task::{Credentials, Current};
use linux_raw_sys::{general, ioctl, net as raw};
use std::sync::Arc;
use std::vec::Vec;

fn ruleset(handled: Handled) -> Arc<OpenFile> {
    // A lock needs a platform.
    drop(fake::current());
    Ruleset::open(handled).expect("a ruleset")
}

fn of(file: &OpenFile) -> &Ruleset {
    file.downcast().expect("a ruleset")
}

fn about_files(files: Files) -> Arc<OpenFile> {
    ruleset(Handled { files, ..Handled::default() })
}

fn confine(current: &mut Current, file: &OpenFile) {
    let landlock = current.creds.landlock.with(of(file)).expect("a layer");
    current.creds = Arc::new(Credentials { landlock, ..(*current.creds).clone() });
}

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

fn create(current: &Current, path: &[u8]) -> Arc<OpenFile> {
    open(current, Fd::CWD, path, OpenFlags::CREAT | OpenFlags::RDWR, 0o644).expect("a file")
}

#[test]
fn a_file_opened_without_the_right_to_truncate_keeps_its_size() {
    let mut current = on_tmpfs();
    let before = create(&current, b"/a");
    create(&current, b"/b");
    let rules = about_files(Files::TRUNCATE);
    let place = lookup(&current, Fd::CWD, b"/b", LookupFlags::FOLLOW).expect("a place");
    of(&rules).allow_beneath(&place, Files::TRUNCATE).expect("a rule");
    confine(&mut current, &rules);
    let opened = |path: &[u8], flags| open(&current, Fd::CWD, path, flags, 0);
    let (a, b) = (opened(b"/a", OpenFlags::RDWR).expect("a"), opened(b"/b", OpenFlags::RDWR).expect("b"));
    assert_eq!(files::may_truncate(&before), Ok(()));
    assert_eq!(files::may_truncate(&a), Err(Errno::EACCES));
    assert_eq!(files::may_truncate(&b), Ok(()));
    assert_eq!(errno(opened(b"/a", OpenFlags::TRUNC)), Some(Errno::EACCES));
    assert_eq!(errno(opened(b"/b", OpenFlags::TRUNC)), None);
}

#[test]
fn only_a_devices_own_commands_need_the_right() {
    let mut current = on_tmpfs();
    dev::register();
    let null = general::S_IFCHR | 0o666;
    make(&current, Fd::CWD, b"/null", null, 1 << 32 | 3).expect("a device");
    create(&current, b"/file");
    confine(&mut current, &about_files(Files::IOCTL_DEV));
    let device = open(&current, Fd::CWD, b"/null", OpenFlags::RDWR, 0).expect("the device");
    let file = open(&current, Fd::CWD, b"/file", OpenFlags::RDWR, 0).expect("the file");
    assert_eq!(device.inode().kind(), FileKind::CharDevice);
    assert_eq!(files::may_ioctl(&device, ioctl::TCGETS), Err(Errno::EACCES));
    assert_eq!(files::may_ioctl(&device, ioctl::FIONREAD), Err(Errno::EACCES));
    assert_eq!(files::may_ioctl(&device, ioctl::FIONBIO), Ok(()));
    assert_eq!(files::may_ioctl(&file, ioctl::FIONREAD), Ok(()));
}

fn inet(port: u16) -> Vec<u8> {
    Address::Inet(([127, 0, 0, 1], port).into()).encode()
}

#[test]
fn tcp_ports_need_a_rule_for_what_is_done_with_them() {
    let mut current = fake::current();
    let rules = ruleset(Handled { ports: Ports::all(), ..Handled::default() });
    of(&rules).allow_port(4801, Ports::BIND_TCP).expect("a rule");
    of(&rules).allow_port(4802, Ports::CONNECT_TCP).expect("a rule");
    confine(&mut current, &rules);
    let file = |kind| net::open(&current, raw::AF_INET, kind, 0, false).expect("a socket");
    let (tcp, udp) = (file(Kind::Stream), file(Kind::Datagram));
    let may = |file: &OpenFile, address: &[u8], how| limits::may_use(&current, Socket::of(file).unwrap(), address, how);
    assert_eq!(may(&tcp, &inet(4801), Ports::BIND_TCP), Ok(()));
    assert_eq!(may(&tcp, &inet(4801), Ports::CONNECT_TCP), Err(Errno::EACCES));
    assert_eq!(may(&tcp, &inet(4802), Ports::CONNECT_TCP), Ok(()));
    assert_eq!(may(&tcp, &inet(0), Ports::BIND_TCP), Err(Errno::EACCES));
    assert_eq!(may(&udp, &inet(4800), Ports::BIND_TCP), Ok(()));
    assert_eq!(may(&tcp, &inet(4801)[..8], Ports::BIND_TCP), Err(Errno::EINVAL));
    assert_eq!(may(&tcp, &inet(4801)[..1], Ports::BIND_TCP), Err(Errno::EINVAL));
    let mut unspecified = inet(4801);
    unspecified[..2].fill(0);
    assert_eq!(may(&tcp, &unspecified, Ports::CONNECT_TCP), Ok(()));
    assert_eq!(may(&tcp, &unspecified, Ports::BIND_TCP), Err(Errno::EAFNOSUPPORT));
}

#[test]
fn a_scope_ends_where_its_layer_does() {
    let scoped = ruleset(Handled { scope: Scope::all(), ..Handled::default() });
    let outside = Confined::default();
    let outer = outside.with(of(&scoped)).expect("a layer");
    let inner = outer.with(of(&scoped)).expect("a layer");
    let sibling = outer.with(of(&scoped)).expect("a layer");
    let creds = |landlock: &Confined| Credentials { landlock: landlock.clone(), ..Credentials::default() };
    let signals = |from: &Confined, to: &Confined| limits::may_signal(from, &creds(to));
    assert!(signals(&outside, &outer) && signals(&outer, &inner) && signals(&outer, &outer));
    assert!(!signals(&outer, &outside) && !signals(&inner, &outer) && !signals(&inner, &sibling));
    let traces = |from: &Confined, to: &Confined| limits::may_trace(&creds(from), &creds(to));
    assert!(traces(&outside, &inner) && traces(&outer, &inner) && !traces(&inner, &outer) && !traces(&inner, &sibling));
}

#[test]
fn an_abstract_name_outside_of_the_scope_cannot_be_connected_to() {
    let mut current = fake::current();
    let socket = |current: &Current| net::open(current, raw::AF_UNIX, Kind::Datagram, 0, false).expect("a socket");
    let name = Address::parse(b"\x01\0\0landlock-scope").expect("an address");
    let (server, early) = (socket(&current), socket(&current));
    let connect = |current: &Current, file: &OpenFile| {
        let socket = Socket::of(file)?;
        socket.ops().connect(&socket.call(current, file, MessageFlags::empty()), &name)
    };
    let bound = Socket::of(&server).unwrap();
    bound.ops().bind(&bound.call(&current, &server, MessageFlags::empty()), &name).expect("a name");
    assert_eq!(errno(connect(&current, &early)), None);
    confine(&mut current, &ruleset(Handled { scope: Scope::ABSTRACT_UNIX_SOCKET, ..Handled::default() }));
    assert_eq!(errno(connect(&current, &socket(&current))), Some(Errno::EPERM));
    assert_eq!(errno(connect(&current, &early)), None);
}

#[test]
fn a_ruleset_that_is_taken_on_does_not_change_any_more() {
    let file = ruleset(Handled { ports: Ports::all(), ..Handled::default() });
    let Layer { rules, .. } = of(&file).layer();
    of(&file).allow_port(1, Ports::BIND_TCP).expect("a rule");
    assert!(rules.ports.is_empty());
}

#[test]
fn there_are_sixteen_layers_at_most() {
    let file = about_files(Files::EXECUTE);
    let full = (0..16).try_fold(Confined::default(), |domain, _| domain.with(of(&file))).expect("sixteen layers");
    assert_eq!(full.with(of(&file)).map(|_| ()), Err(Errno::E2BIG));
}
