//! Sockets, as their users see them.

use super::control::{Control, Ucred};
use super::{Address, Kind, MessageFlags, Outgoing, Shutdown, Socket, open, open_pair};
use crate::errno::Errno;
use crate::fake;
use crate::fs::{OpenFile, Sink, Source};
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::Events;
use linux_raw_sys::net as raw;
use std::boxed::Box;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

fn write(current: &Current, file: &OpenFile, bytes: &[u8]) -> Result<usize, Fail> {
    file.write(current, &mut Source::kernel(bytes))
}

fn read(current: &Current, file: &OpenFile, len: usize) -> Result<Vec<u8>, Fail> {
    let mut buffer = vec![0; len];
    let bytes = file.read(current, &mut Sink::kernel(&mut buffer))?;
    buffer.truncate(bytes);
    Ok(buffer)
}

fn bind(current: &Current, file: &OpenFile, address: &Address) -> Result<(), Fail> {
    let socket = Socket::of(file)?;
    socket.ops().bind(&socket.call(current, file, MessageFlags::empty()), address)
}

fn connect(current: &Current, file: &OpenFile, address: &Address) -> Result<(), Fail> {
    let socket = Socket::of(file)?;
    socket.ops().connect(&socket.call(current, file, MessageFlags::empty()), address)
}

fn listen(current: &Current, file: &OpenFile) -> Result<(), Fail> {
    let socket = Socket::of(file)?;
    socket.ops().listen(&socket.call(current, file, MessageFlags::empty()), 5)
}

fn accept(current: &Current, file: &OpenFile) -> Result<(Arc<OpenFile>, Address), Fail> {
    let socket = Socket::of(file)?;
    let (ops, options, peer) = socket.ops().accept(&socket.call(current, file, MessageFlags::empty()))?;
    let what = (socket.domain, socket.kind, socket.protocol);
    Ok((Socket::open(current, what, options, ops, file.nonblocking()), peer))
}

fn local(file: &OpenFile) -> Address {
    Socket::of(file).unwrap().ops().local_address()
}

fn shut(file: &OpenFile, read: bool, write: bool) -> Result<(), Errno> {
    Socket::of(file)?.ops().shutdown(Shutdown { read, write })
}

fn ready(file: &OpenFile) -> Events {
    file.readiness(Events::all())
}

fn inet(text: &str) -> Address {
    Address::Inet(text.parse().unwrap())
}

/// A connected TCP pair: client, server, and the listener.
fn tcp(current: &Current) -> (Arc<OpenFile>, Arc<OpenFile>, Arc<OpenFile>) {
    let listener = open(current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    bind(current, &listener, &inet("127.0.0.1:0")).unwrap();
    listen(current, &listener).unwrap();
    let client = open(current, raw::AF_INET, Kind::Stream, 0, false).unwrap();
    connect(current, &client, &local(&listener)).unwrap();
    let (server, peer) = accept(current, &listener).unwrap();
    assert_eq!(peer, local(&client));
    (client, server, listener)
}

#[test]
fn a_unix_pair_carries_bytes_and_its_end_is_linuxs() {
    let current = fake::current();
    let [a, b] = open_pair(&current, raw::AF_UNIX, Kind::Stream, 0, true).unwrap();
    assert_eq!(ready(&a), Events::WRITABLE | Events::WRBAND);
    write(&current, &a, b"hello").unwrap();
    write(&current, &a, &[7; 100_000]).unwrap();
    assert_eq!(read(&current, &b, 5).unwrap(), b"hello");
    assert_eq!(read(&current, &b, 200_000).unwrap().len(), 100_000);
    write(&current, &b, b"unread").unwrap();
    drop(a);
    assert!(ready(&b).contains(Events::HUP | Events::RDHUP | Events::IN));
    assert_eq!(errno(write(&current, &b, b"x")), Some(Errno::EPIPE));
    assert_eq!(errno(read(&current, &b, 1)), Some(Errno::ECONNRESET));
    assert_eq!(read(&current, &b, 1).unwrap(), b"");
}

#[test]
fn descriptors_travel_with_their_bytes() {
    let current = fake::current();
    let [a, b] = open_pair(&current, raw::AF_UNIX, Kind::Stream, 0, true).unwrap();
    let sent = current.add_file(b.clone(), false).unwrap();
    let mut bytes = 20_u64.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&raw::SOL_SOCKET.to_ne_bytes());
    bytes.extend_from_slice(&raw::SCM_RIGHTS.to_ne_bytes());
    bytes.extend_from_slice(&sent.raw().to_ne_bytes());
    let control = Control::parse(&current, &bytes, true).unwrap();
    let message = Outgoing { control, ..Outgoing::default() };
    Socket::of(&a).unwrap().send(&current, &a, &mut Source::kernel(b"fd"), message).unwrap();
    write(&current, &a, b"behind").unwrap();
    let mut buffer = [0; 10];
    let flags = MessageFlags::empty();
    let received = Socket::of(&b).unwrap().receive(&current, &b, &mut Sink::kernel(&mut buffer), flags).unwrap();
    assert_eq!((received.bytes, &buffer[..2]), (2, &b"fd"[..]));
    let files = received.control.unwrap().files.unwrap();
    assert!(Arc::ptr_eq(&files.list()[0], &b));
    assert_eq!(read(&current, &b, 10).unwrap(), b"behind");
    assert_eq!(Ucred::of(&current).uid, 0);
}

#[test]
fn abstract_names_lead_to_listeners() {
    let current = fake::current();
    let name = Address::parse(b"\x01\0\0a test").unwrap();
    let listener = open(&current, raw::AF_UNIX, Kind::SeqPacket, 0, true).unwrap();
    let client = open(&current, raw::AF_UNIX, Kind::SeqPacket, 0, true).unwrap();
    assert_eq!(errno(connect(&current, &client, &name)), Some(Errno::ECONNREFUSED));
    bind(&current, &listener, &name).unwrap();
    assert_eq!(errno(connect(&current, &client, &name)), Some(Errno::ECONNREFUSED));
    listen(&current, &listener).unwrap();
    let stream = open(&current, raw::AF_UNIX, Kind::Stream, 0, true).unwrap();
    assert_eq!(errno(connect(&current, &stream, &name)), Some(Errno::ECONNREFUSED));
    assert_eq!(errno(accept(&current, &listener)), Some(Errno::EAGAIN));
    connect(&current, &client, &name).unwrap();
    assert_eq!(ready(&listener), Events::READABLE);
    let (server, _) = accept(&current, &listener).unwrap();
    write(&current, &client, b"one record").unwrap();
    write(&current, &client, b"two").unwrap();
    assert_eq!(read(&current, &server, 3).unwrap(), b"one");
    assert_eq!(read(&current, &server, 30).unwrap(), b"two");
    drop(listener);
    let again = open(&current, raw::AF_UNIX, Kind::SeqPacket, 0, true).unwrap();
    bind(&current, &again, &name).unwrap();
}

#[test]
fn unix_datagrams_keep_their_bounds_and_their_sender() {
    let current = fake::current();
    let receiver = open(&current, raw::AF_UNIX, Kind::Datagram, 0, true).unwrap();
    let sender = open(&current, raw::AF_UNIX, Kind::Datagram, 0, true).unwrap();
    bind(&current, &receiver, &Address::Unix(super::address::UnixName::Unnamed)).unwrap();
    bind(&current, &sender, &Address::Unix(super::address::UnixName::Unnamed)).unwrap();
    connect(&current, &sender, &local(&receiver)).unwrap();
    write(&current, &sender, b"datagram").unwrap();
    write(&current, &sender, b"").unwrap();
    let mut buffer = [0; 4];
    let socket = Socket::of(&receiver).unwrap();
    let received = socket.receive(&current, &receiver, &mut Sink::kernel(&mut buffer), MessageFlags::empty()).unwrap();
    assert_eq!((received.bytes, received.length), (4, 8));
    assert_eq!((received.from, received.flags), (Some(local(&sender)), MessageFlags::TRUNC));
    assert_eq!(read(&current, &receiver, 4).unwrap(), b"");
    assert_eq!(errno(read(&current, &receiver, 4)), Some(Errno::EAGAIN));
    drop(receiver);
    assert_eq!(errno(write(&current, &sender, b"x")), Some(Errno::ECONNREFUSED));
    assert_eq!(errno(write(&current, &sender, b"x")), Some(Errno::ENOTCONN));
}

#[test]
fn tcp_closes_as_on_the_loopback_device() {
    let current = fake::current();
    let (client, server, _listener) = tcp(&current);
    write(&current, &client, b"request").unwrap();
    assert_eq!(read(&current, &server, 100).unwrap(), b"request");
    shut(&client, false, true).unwrap();
    assert_eq!(read(&current, &server, 100).unwrap(), b"");
    assert_eq!(ready(&server), Events::READABLE | Events::RDHUP | Events::WRITABLE);
    shut(&server, false, true).unwrap();
    assert!(ready(&client).contains(Events::HUP));
    assert_eq!(shut(&client, true, true), Err(Errno::ENOTCONN));

    let (client, server, _listener) = tcp(&current);
    drop(server);
    assert_eq!(write(&current, &client, b"x").unwrap(), 1);
    assert!(ready(&client).contains(Events::ERR | Events::HUP));
    assert_eq!(errno(write(&current, &client, b"x")), Some(Errno::EPIPE));
    assert_eq!(read(&current, &client, 1).unwrap(), b"");

    let (client, server, _listener) = tcp(&current);
    write(&current, &client, b"unread").unwrap();
    write(&current, &server, b"data").unwrap();
    drop(server);
    assert_eq!(read(&current, &client, 100).unwrap(), b"data");
    assert_eq!(errno(read(&current, &client, 100)), Some(Errno::ECONNRESET));
    assert_eq!(read(&current, &client, 100).unwrap(), b"");
    assert_eq!(errno(write(&current, &client, b"x")), Some(Errno::EPIPE));
}

#[test]
fn tcp_connects_across_families_and_refuses_where_nobody_listens() {
    let current = fake::current();
    let listener = open(&current, raw::AF_INET6, Kind::Stream, 0, true).unwrap();
    bind(&current, &listener, &inet("[::]:0")).unwrap();
    listen(&current, &listener).unwrap();
    let Address::Inet(at) = local(&listener) else { panic!("an internet address") };
    let client = open(&current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    let to = Address::Inet(core::net::SocketAddr::new([127, 0, 0, 1].into(), at.port()));
    assert_eq!(errno(connect(&current, &client, &to)), Some(Errno::EINPROGRESS));
    assert_eq!(ready(&client), Events::WRITABLE);
    connect(&current, &client, &to).unwrap();
    assert_eq!(errno(connect(&current, &client, &to)), Some(Errno::EISCONN));
    let (_server, peer) = accept(&current, &listener).unwrap();
    let Address::Inet(core::net::SocketAddr::V6(peer)) = peer else { panic!("an IPv6 address") };
    assert_eq!(peer.ip().to_ipv4_mapped(), Some([127, 0, 0, 1].into()));
    let other = open(&current, raw::AF_INET, Kind::Stream, 0, false).unwrap();
    assert_eq!(errno(connect(&current, &other, &inet("127.0.0.1:1"))), Some(Errno::ECONNREFUSED));
    assert_eq!(errno(connect(&current, &other, &inet("192.0.2.1:1"))), Some(Errno::ENETUNREACH));
    assert_eq!(
        errno(bind(&current, &open(&current, raw::AF_INET, Kind::Stream, 0, false).unwrap(), &to)),
        Some(Errno::EADDRINUSE)
    );
}

#[test]
fn a_megabyte_crosses_tcp_between_two_threads() {
    let current = fake::current();
    let (client, server, _listener) = tcp(&current);
    let mm = current.mm.clone();
    let run = move || {
        let current = fake::current_in(mm);
        for _ in 0..64 {
            write(&current, &client, &[9; 65536]).unwrap();
        }
    };
    let server = OpenFile::new(server.ops().clone(), crate::fs::OpenFlags::RDWR, server.inode().clone(), None);
    let thread = platform().spawn(false, Box::new(run)).unwrap();
    let mut total = 0;
    loop {
        match read(&current, &server, 100_000).unwrap().len() {
            0 => break,
            bytes => total += bytes,
        }
    }
    assert_eq!(total, 64 * 65536);
    fake::join(&thread);
}

#[test]
fn udp_finds_its_receiver_and_a_connected_sender_hears_of_none() {
    let current = fake::current();
    let receiver = open(&current, raw::AF_INET, Kind::Datagram, 0, true).unwrap();
    bind(&current, &receiver, &inet("127.0.0.1:0")).unwrap();
    let sender = open(&current, raw::AF_INET, Kind::Datagram, 0, true).unwrap();
    let message = Outgoing { to: Some(local(&receiver)), ..Outgoing::default() };
    Socket::of(&sender).unwrap().send(&current, &sender, &mut Source::kernel(b"ping"), message).unwrap();
    let mut buffer = [0; 10];
    let received = Socket::of(&receiver)
        .unwrap()
        .receive(&current, &receiver, &mut Sink::kernel(&mut buffer), MessageFlags::empty())
        .unwrap();
    let Some(Address::Inet(from)) = received.from else { panic!("a sender") };
    assert_eq!((received.bytes, from.ip()), (4, [127, 0, 0, 1].into()));
    assert_eq!(errno(write(&current, &sender, b"x")), Some(Errno::EDESTADDRREQ));
    connect(&current, &sender, &inet("127.0.0.1:1")).unwrap();
    write(&current, &sender, b"x").unwrap();
    assert_eq!(errno(write(&current, &sender, b"x")), Some(Errno::ECONNREFUSED));
    assert_eq!(errno(write(&current, &sender, &[0; 65508])), Some(Errno::EMSGSIZE));
}

#[test]
fn a_dump_of_links_names_lo() {
    let current = fake::current();
    let netlink = open(&current, raw::AF_NETLINK, Kind::Raw, 0, true).unwrap();
    let mut request = 20_u32.to_ne_bytes().to_vec();
    request.extend_from_slice(&18_u16.to_ne_bytes());
    request.extend_from_slice(&0x301_u16.to_ne_bytes());
    request.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    write(&current, &netlink, &request).unwrap();
    let answer = read(&current, &netlink, 8192).unwrap();
    assert!(answer.windows(3).any(|bytes| bytes == b"lo\0"));
    assert_eq!(u16::from_ne_bytes([answer[4], answer[5]]), 16);
}

#[test]
fn sockets_in_sockets_in_sockets_have_an_end() {
    let current = fake::current();
    let pass = |through: &Arc<OpenFile>, what: &Arc<OpenFile>| {
        let fd = current.add_file(what.clone(), false).unwrap();
        let mut bytes = 20_u64.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&raw::SOL_SOCKET.to_ne_bytes());
        bytes.extend_from_slice(&raw::SCM_RIGHTS.to_ne_bytes());
        bytes.extend_from_slice(&fd.raw().to_ne_bytes());
        let control = Control::parse(&current, &bytes, true);
        drop(current.files.remove(fd));
        let message = Outgoing { control: control?, ..Outgoing::default() };
        let result = Socket::of(through).unwrap().send(&current, through, &mut Source::kernel(b"x"), message);
        assert_eq!(result.unwrap(), 1);
        Ok(())
    };
    let pair = || open_pair(&current, raw::AF_UNIX, Kind::Stream, 0, true).unwrap();
    let mut inner = pair()[1].clone();
    let mut keep = vec![];
    let mut passed = 0;
    let end = loop {
        let [near, far] = pair();
        if let Err(errno) = pass(&near, &inner) {
            break errno;
        }
        keep.push(near);
        inner = far;
        passed += 1;
    };
    assert_eq!((end, passed), (Errno::ETOOMANYREFS, 4));
}
