//! Sockets against another TCP, over a wire that loses packets.

use super::engine::{Engine, State};
use crate::errno::Errno;
use crate::fake;
use crate::fs::{OpenFile, Sink, Source};
use crate::net::stack::tests::{arrive, sent, wire};
use crate::net::stack::{Header, ICMP, Parsed};
use crate::net::{Address, Kind, MessageFlags, Socket, open};
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::Events;
use core::net::SocketAddr;
use linux_raw_sys::net as raw;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

fn inet(text: &str) -> Address {
    Address::Inet(text.parse().unwrap())
}

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

/// Another machine's end of a connection.
struct Peer {
    engine: Engine,
    lose: u32,
    seen: u32,
}

impl Peer {
    fn new(local: SocketAddr, lose: u32) -> Self {
        Self { engine: Engine::new(local, 1500, 64 << 10, 64 << 10, platform().monotonic_ns()), lose, seen: 0 }
    }

    fn lost(&mut self) -> bool {
        self.seen += 1;
        self.lose != 0 && self.seen.is_multiple_of(self.lose)
    }

    /// Carries packets in both directions until there are none.
    fn exchange(&mut self) {
        loop {
            let mut packets = self.engine.poll(None, platform().monotonic_ns());
            for packet in sent() {
                if !self.lost() {
                    packets.append(&mut self.engine.poll(Some(&packet), platform().monotonic_ns()));
                }
            }
            if packets.is_empty() {
                return;
            }
            for packet in packets {
                if !self.lost() {
                    arrive(&packet.bytes);
                }
            }
        }
    }
}

fn call<T>(current: &Current, file: &OpenFile, f: impl FnOnce(&Socket, &crate::net::socket::Call<'_>) -> T) -> T {
    let socket = Socket::of(file).unwrap();
    f(socket, &socket.call(current, file, MessageFlags::empty()))
}

fn listener(current: &Current, at: &str) -> Arc<OpenFile> {
    let file = open(current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    call(current, &file, |socket, call| socket.ops().bind(call, &inet(at))).unwrap();
    call(current, &file, |socket, call| socket.ops().listen(call, 8)).unwrap();
    file
}

fn accept(current: &Current, file: &OpenFile) -> Result<Arc<OpenFile>, Fail> {
    let (ops, options, _) = call(current, file, |socket, call| socket.ops().accept(call))?;
    Ok(Socket::open(current, (raw::AF_INET, Kind::Stream, 6), options, ops, true))
}

fn read(current: &Current, file: &OpenFile) -> Result<Vec<u8>, Fail> {
    let mut buffer = vec![0; 20_000];
    let bytes = file.read(current, &mut Sink::kernel(&mut buffer))?;
    buffer.truncate(bytes);
    Ok(buffer)
}

fn ready(file: &OpenFile) -> Events {
    file.readiness(Events::all())
}

/// Sends 300 KB to a server socket, which sends them back.
fn echo_over(port: u16, lose: u32) {
    let _wire = wire();
    let current = fake::current();
    let own: SocketAddr = SocketAddr::new([198, 51, 100, 2].into(), port);
    let from: SocketAddr = SocketAddr::new([198, 51, 100, 60].into(), port);
    let listening = listener(&current, &std::format!("0.0.0.0:{port}"));
    let mut peer = Peer::new(from, lose);
    assert!(peer.engine.connect(from, own));
    let begin = std::time::Instant::now();
    let server = loop {
        peer.exchange();
        if let Ok(server) = accept(&current, &listening) {
            break server;
        }
        assert!(begin.elapsed().as_secs() < 20, "nobody to accept");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n / 3 + n / 251) as u8).collect();
    let (mut given, mut back, mut waiting, mut ended) = (0, Vec::new(), Vec::new(), false);
    while !ended || back.len() < data.len() {
        assert!(begin.elapsed().as_secs() < 60, "{} of {} bytes came back", back.len(), data.len());
        given += peer.engine.tcp_mut().send_slice(&data[given..]).unwrap_or(0);
        if given == data.len() {
            peer.engine.tcp_mut().close();
        }
        peer.exchange();
        match read(&current, &server) {
            Ok(bytes) if bytes.is_empty() => ended = true,
            Ok(mut bytes) => waiting.append(&mut bytes),
            Err(fail) => assert_eq!(errno::<()>(Err(fail)), Some(Errno::EAGAIN)),
        }
        if let Ok(sent) = server.write(&current, &mut Source::kernel(&waiting)) {
            waiting.drain(..sent);
        } else {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        peer.exchange();
        let mut buffer = [0; 8192];
        loop {
            let count = peer.engine.receive(|data| {
                let count = data.len().min(buffer.len());
                buffer[..count].copy_from_slice(&data[..count]);
                count
            });
            if count == 0 {
                break;
            }
            back.extend_from_slice(&buffer[..count]);
        }
    }
    assert!(back == data);
    assert!(ready(&server).contains(Events::RDHUP));
    drop(server);
    while peer.engine.tcp().state() != State::TimeWait {
        peer.exchange();
        assert!(begin.elapsed().as_secs() < 60, "the peer is in {:?}", peer.engine.tcp().state());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn bytes_come_back_from_a_server_over_a_perfect_wire() {
    echo_over(7001, 0);
}

#[test]
fn bytes_come_back_from_a_server_over_a_wire_that_loses_packets() {
    echo_over(7002, 29);
}

#[test]
fn a_nonblocking_connect_is_in_progress_then_writable_or_refused() {
    let _wire = wire();
    let current = fake::current();
    let at: SocketAddr = "198.51.100.61:7003".parse().unwrap();
    let mut peer = Peer::new(at, 0);
    peer.engine.listen(at);
    let client = open(&current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    let connect =
        |file: &OpenFile, to: &str| call(&current, file, |socket, call| socket.ops().connect(call, &inet(to)));
    assert_eq!(errno(connect(&client, "198.51.100.61:7003")), Some(Errno::EINPROGRESS));
    assert_eq!(errno(connect(&client, "198.51.100.61:7003")), Some(Errno::EALREADY));
    assert_eq!(ready(&client), Events::empty());
    peer.exchange();
    assert!(ready(&client).contains(Events::WRITABLE));
    assert_eq!(errno(connect(&client, "198.51.100.61:7003")), None);
    assert_eq!(errno(connect(&client, "198.51.100.61:7003")), Some(Errno::EISCONN));
    // A listener that has its connection refuses others.
    let second = open(&current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    assert_eq!(errno(connect(&second, "198.51.100.61:7004")), Some(Errno::EINPROGRESS));
    peer.exchange();
    assert!(ready(&second).contains(Events::ERR | Events::HUP));
    assert_eq!(Socket::of(&second).unwrap().options().take_error(), Some(Errno::ECONNREFUSED));
    // The peer's reset reaches whoever reads.
    peer.engine.tcp_mut().abort();
    peer.exchange();
    assert_eq!(errno(read(&current, &client)), Some(Errno::ECONNRESET));
    assert_eq!(read(&current, &client).ok(), Some(Vec::new()));
}

#[test]
fn a_reset_after_both_have_finished_is_no_error() {
    let _wire = wire();
    let current = fake::current();
    let at: SocketAddr = "198.51.100.62:7005".parse().unwrap();
    let mut peer = Peer::new(at, 0);
    peer.engine.listen(at);
    let client = open(&current, raw::AF_INET, Kind::Stream, 0, true).unwrap();
    let to = inet("198.51.100.62:7005");
    assert_eq!(
        errno(call(&current, &client, |socket, call| socket.ops().connect(call, &to))),
        Some(Errno::EINPROGRESS)
    );
    peer.exchange();
    Socket::of(&client).unwrap().ops().shutdown(crate::net::socket::Shutdown { read: false, write: true }).unwrap();
    peer.exchange();
    // The peer's FIN arrives, what acknowledges it does not.
    peer.engine.tcp_mut().close();
    for packet in peer.engine.poll(None, platform().monotonic_ns()) {
        arrive(&packet.bytes);
    }
    drop(sent());
    peer.engine.tcp_mut().abort();
    let last = peer.engine.poll(None, platform().monotonic_ns());
    assert!(!last.is_empty(), "the peer resets");
    for packet in last {
        arrive(&packet.bytes);
    }
    assert_eq!(read(&current, &client).ok(), Some(Vec::new()));
    assert_eq!(Socket::of(&client).unwrap().options().take_error(), None);
}

#[test]
fn a_segment_for_nobody_is_answered_with_a_reset() {
    let _wire = wire();
    let at: SocketAddr = "198.51.100.62:7005".parse().unwrap();
    let mut peer = Peer::new(at, 0);
    assert!(peer.engine.connect(at, "198.51.100.2:7999".parse().unwrap()));
    peer.exchange();
    assert_eq!(peer.engine.tcp().state(), State::Closed);
}

#[test]
fn an_unreachable_port_is_heard_of_by_a_connected_udp_socket() {
    let _wire = wire();
    let current = fake::current();
    let socket = open(&current, raw::AF_INET, Kind::Datagram, 0, true).unwrap();
    call(&current, &socket, |socket, call| socket.ops().connect(call, &inet("198.51.100.63:9"))).unwrap();
    socket.write(&current, &mut Source::kernel(b"hello")).unwrap();
    let packets = sent();
    let parsed = Parsed::new(&packets[0]).unwrap();
    assert_eq!(&parsed.payload[8..], b"hello");
    let mut error = [3, 3, 0, 0, 0, 0, 0, 0].to_vec();
    error.extend_from_slice(&packets[0][..28]);
    arrive(&Header::new(parsed.to, parsed.from, ICMP).packets(&error, None, 1500, 1)[0].bytes);
    assert!(ready(&socket).contains(Events::ERR));
    assert_eq!(errno(read(&current, &socket)), Some(Errno::ECONNREFUSED));
    // An answer comes to the socket, and to no other peer's.
    let mut answer = [0, 9].to_vec();
    answer.extend_from_slice(&parsed.payload[..2]);
    answer.extend_from_slice(&[0, 10, 0, 0, b'h', b'i']);
    arrive(&Header::new(parsed.to, parsed.from, 17).packets(&answer, None, 1500, 1)[0].bytes);
    assert_eq!(read(&current, &socket).ok(), Some(b"hi".to_vec()));
    arrive(&Header::new([198, 51, 100, 64].into(), parsed.from, 17).packets(&answer, None, 1500, 1)[0].bytes);
    assert_eq!(errno(read(&current, &socket)), Some(Errno::EAGAIN));
}

#[test]
fn an_echo_socket_hears_its_own_replies_only() {
    let _wire = wire();
    let current = fake::current();
    let socket = open(&current, raw::AF_INET, Kind::Datagram, u32::from(ICMP), true).unwrap();
    call(&current, &socket, |socket, call| socket.ops().connect(call, &inet("127.0.0.1:0"))).unwrap();
    socket.write(&current, &mut Source::kernel(&[8, 0, 0, 0, 0, 0, 0, 1, 5])).unwrap();
    let reply = read(&current, &socket).unwrap();
    assert_eq!((reply[0], &reply[6..]), (0, &[0, 1, 5][..]));
    let mut other = [0, 0, 0, 0, 0xff, 0xfe, 0, 1].to_vec();
    crate::net::stack::complete_icmp(&mut other, [198, 51, 100, 65].into(), [198, 51, 100, 2].into());
    arrive(
        &Header::new([198, 51, 100, 65].into(), [198, 51, 100, 2].into(), ICMP).packets(&other, None, 1500, 1)[0].bytes,
    );
    assert_eq!(errno(read(&current, &socket)), Some(Errno::EAGAIN));
}

#[test]
fn an_acknowledgement_counts_though_its_segment_lies_beyond_a_window_that_has_shrunk() {
    fake::install();
    let (one, other): (SocketAddr, SocketAddr) =
        ("198.51.100.70:1".parse().unwrap(), "198.51.100.71:2".parse().unwrap());
    let now_ns = platform().monotonic_ns();
    // A window of this size is told in steps of 16 bytes, and shrinks by what the steps leave out.
    let mut ends = [one, other].map(|at| Engine::new(at, 1500, 60_000, 520_000, now_ns));
    ends[1].listen(other);
    assert!(ends[0].connect(one, other));
    let mut packets = ends[0].poll(None, now_ns);
    for turn in [1, 0, 1] {
        packets = packets.iter().flat_map(|packet| ends[turn].poll(Some(&packet.bytes), now_ns)).collect();
    }
    assert_eq!(ends[0].tcp_mut().send_slice(&[7; 1000]), Ok(1000));
    let packets = ends[0].poll(None, now_ns);
    let segment = Parsed::new(&packets[0].bytes).unwrap().payload;
    let word = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
    let window = u32::from(u16::from_be_bytes([segment[14], segment[15]])) << 4;
    let mut answer = [0, 2, 0, 1].to_vec();
    answer.extend_from_slice(&(word(8) + window + 7).to_be_bytes());
    answer.extend_from_slice(&(word(4) + 1000).to_be_bytes());
    answer.extend_from_slice(&[5 << 4, super::ACK, 0xff, 0xff, 0, 0, 0, 0]);
    let packet = Header::new(other.ip(), one.ip(), 6).packets(&answer, None, 1500, 0).remove(0);
    assert_eq!(ends[0].tcp().send_queue(), 1000);
    ends[0].poll(Some(&packet.bytes), now_ns);
    assert_eq!(ends[0].tcp().send_queue(), 0);
}
