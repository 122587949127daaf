//! The boundary: a guest that writes garbage to its ring gets an error completion, and the host lives.

use crate::notice::Notice;
use crate::serve::data::MAX_SPLIT;
use crate::serve::{Parts, Server};
use crate::vm::Memory;
use linker::addr::GuestPa;
use linker::control::{Answer, Command, MAX_MESSAGE, Outcome, What};
use linker::layout::{LARGE_PAGE_SIZE, RINGS};
use linker::request::{
    Completion, FrameHeader, GuestBuf, MAX_SEGMENTS, OFFSET_STREAM, Op, Request, SocketAddress, event,
};
use linker::ring::{ENTRIES, MAX_COMPLETIONS, Ring};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::BTreeSet;
use std::mem::{offset_of, size_of};
use std::os::fd::OwnedFd;
use vm_memory::{Bytes, GuestAddress};
use zerocopy::{FromZeros, IntoBytes};

/// Where tests keep their data, above the rings.
const DATA: u64 = 0x40_0000;
const MEMORY: u64 = 0x80_0000;

/// A server without a VM: the test is the guest.
struct Guest {
    server: Server,
    memory: Memory,
    submitted: u32,
    completed: u32,
}

impl Guest {
    fn new(files: Vec<Option<OwnedFd>>) -> Self {
        Self::with_parent(files, None)
    }

    fn with_parent(files: Vec<Option<OwnedFd>>, control: Option<OwnedFd>) -> Self {
        Self::with(files, control, false)
    }

    fn with(files: Vec<Option<OwnedFd>>, control: Option<OwnedFd>, host_network: bool) -> Self {
        Self::with_memory(MEMORY, files, control, host_network)
    }

    fn with_memory(bytes: u64, files: Vec<Option<OwnedFd>>, control: Option<OwnedFd>, host_network: bool) -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), bytes as usize)]).expect("memory");
        let parts = Parts {
            memory: memory.clone(),
            cpus: 1,
            vm: None,
            files,
            gofer: Vec::new(),
            control,
            host_network,
            debug: false,
            statistics: false,
        };
        let server = Server::new(parts).expect("server");
        Self { server, memory, submitted: 0, completed: 0 }
    }

    fn at(&self, offset: usize) -> GuestAddress {
        GuestAddress(RINGS.raw() + offset as u64)
    }

    fn submit(&mut self, request: Request) {
        let slot = offset_of!(Ring, sq) + (self.submitted % ENTRIES) as usize * size_of::<Request>();
        self.memory.write_slice(request.as_bytes(), self.at(slot)).expect("ring");
        self.submitted = self.submitted.wrapping_add(1);
        self.memory.write_obj(self.submitted, self.at(offset_of!(Ring, sq_tail))).expect("ring");
    }

    fn completion(&mut self) -> Option<Completion> {
        let tail: u32 = self.memory.read_obj(self.at(offset_of!(Ring, cq_tail))).expect("ring");
        if tail == self.completed {
            return None;
        }
        let slot = offset_of!(Ring, cq) + (self.completed % ENTRIES) as usize * size_of::<Completion>();
        let mut completion = Completion::new_zeroed();
        self.memory.read_slice(completion.as_mut_bytes(), self.at(slot)).expect("ring");
        self.completed = self.completed.wrapping_add(1);
        self.memory.write_obj(self.completed, self.at(offset_of!(Ring, cq_head))).expect("ring");
        Some(completion)
    }

    fn call(&mut self, request: Request) -> i64 {
        self.submit(Request { tag: 77, ..request });
        self.server.serve_sync(0);
        let completion = self.completion().expect("an answer");
        assert_eq!(completion.tag, 77);
        completion.result
    }

    /// `Op::FreePages` with a list that lies at `pa`.
    fn free(&mut self, pa: u64, ranges: &[GuestBuf]) -> i64 {
        self.memory.write_slice(ranges.as_bytes(), GuestAddress(pa)).expect("memory");
        let input = buffer(pa, size_of_val(ranges) as u64);
        self.call(Request { op: Op::FreePages as u16, input, ..Request::default() })
    }
}

fn buffer(pa: u64, len: u64) -> GuestBuf {
    GuestBuf { pa: GuestPa::new(pa), len }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe().expect("pipe")
}

#[test]
fn every_op_answers_garbage_and_the_host_lives() {
    let (read, _write) = pipe();
    let file: OwnedFd = std::fs::File::open("/proc/self/exe").expect("a file").into();
    let mut guest = Guest::new(vec![Some(read), Some(file)]);
    let numbers = [0, 1, 4095, 1 << 32, MEMORY - 1, i64::MAX as u64, u64::MAX - 4095, u64::MAX];
    let mut answers = BTreeSet::new();
    // Log would fill the terminal; `guest_line` has a test of its own.
    for op in (0..=300).filter(|op| *op != Op::Log as u16) {
        for handle in [0, 1, 2, 1000, u32::MAX] {
            for number in numbers {
                for flags in [0, Request::FLAG_SEGMENTS, Request::FLAG_NOW, u16::MAX] {
                    let garbage = buffer(number, number);
                    let request = Request {
                        tag: 1,
                        op,
                        flags,
                        handle,
                        offset: number,
                        arg: number,
                        input: garbage,
                        output: garbage,
                    };
                    // Waiting requests complete later; everything else is answered at once.
                    guest.submit(request);
                    guest.server.serve_sync(0);
                    while let Some(completion) = guest.completion() {
                        answers.insert(completion.result);
                    }
                }
            }
        }
    }
    assert!(answers.contains(&-i64::from(linux_raw_sys::errno::EBADF)));
    assert!(answers.contains(&-i64::from(linux_raw_sys::errno::ENOSYS)));
    assert!(answers.contains(&-i64::from(linux_raw_sys::errno::EFAULT)));
    assert_eq!(guest.call(Request { op: Op::RealTime as u16, ..Request::default() }).signum(), 1, "still alive");
}

#[test]
fn a_ring_with_an_impossible_tail_is_skipped() {
    let mut guest = Guest::new(vec![]);
    for tail in [ENTRIES + 1, u32::MAX, 1 << 31] {
        guest.memory.write_obj(tail, guest.at(offset_of!(Ring, sq_tail))).expect("ring");
        guest.server.serve_sync(0);
        guest.submitted = tail;
        assert!(guest.completion().is_none());
    }
    assert!(guest.call(Request { op: Op::RealTime as u16, ..Request::default() }) > 0);
}

#[test]
fn completions_that_find_no_room_wait_for_it() {
    let mut guest = Guest::new(vec![]);
    for tag in 0..u64::from(3 * ENTRIES) {
        guest.submit(Request { op: Op::RealTime as u16, tag, ..Request::default() });
        guest.server.serve_sync(0);
    }
    let mut tags = Vec::new();
    loop {
        let some: Vec<u64> = std::iter::from_fn(|| guest.completion()).map(|completion| completion.tag).collect();
        assert!(some.len() <= ENTRIES as usize);
        if some.is_empty() {
            break;
        }
        tags.extend(some);
        // As a guest that has taken a full queue does.
        guest.server.serve_sync(0);
    }
    assert_eq!(tags, (0..u64::from(3 * ENTRIES)).collect::<Vec<_>>());
    assert!(guest.call(Request { op: Op::RealTime as u16, ..Request::default() }) > 0);
}

#[test]
fn a_guest_that_takes_no_completions_costs_a_bounded_memory() {
    let mut guest = Guest::new(vec![]);
    for _ in 0..MAX_COMPLETIONS + 3 * ENTRIES as usize {
        guest.submit(Request { op: Op::RealTime as u16, ..Request::default() });
        guest.server.serve_sync(0);
    }
    let mut count = 0;
    while guest.completion().is_some() {
        count += 1;
        guest.server.serve_sync(0);
    }
    assert_eq!(count, MAX_COMPLETIONS + ENTRIES as usize);
}

/// A frame as `SendFrames` takes it.
fn framed(payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { len: payload.len() as u32, ..FrameHeader::default() };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn frames_that_find_no_room_wait_in_their_order_and_frames_come_to_who_asked_first() {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
            .expect("socketpair");
    let mut guest = Guest::new(vec![Some(ours)]);
    // Until it waits.
    let (mut sent, mut answered) = (0_u64, 0);
    while answered == sent {
        let frame = framed(&sent.to_ne_bytes().repeat(100));
        guest.memory.write_slice(&frame, GuestAddress(DATA)).expect("memory");
        let input = buffer(DATA, frame.len() as u64);
        sent += 1;
        guest.submit(Request { op: Op::SendFrames as u16, tag: sent, input, ..Request::default() });
        guest.server.serve_sync(0);
        answered += u64::from(guest.completion().is_some());
    }
    // One that comes later does not go first, though there is room.
    let waiting = sent;
    let mut bytes = [0; 1024];
    let mut next = |theirs: &OwnedFd| {
        let len = rustix::io::read(theirs, &mut bytes).expect("a frame");
        u64::from_ne_bytes(bytes[len - 8..len].try_into().expect("8 bytes"))
    };
    for frame in 0..4 {
        assert_eq!(next(&theirs), frame);
    }
    let late = framed(&waiting.to_ne_bytes().repeat(100));
    guest.memory.write_slice(&late, GuestAddress(DATA + 4096)).expect("memory");
    let input = buffer(DATA + 4096, late.len() as u64);
    guest.submit(Request { op: Op::SendFrames as u16, tag: waiting + 1, input, ..Request::default() });
    guest.server.serve_sync(0);
    assert!(guest.completion().is_none());
    guest.server.file_ready(0, linux_raw_sys::general::POLLOUT);
    assert_eq!(
        [guest.completion(), guest.completion()].map(|done| done.map(|done| done.tag)),
        [Some(waiting), Some(waiting + 1)]
    );
    for frame in 4..=waiting {
        assert_eq!(next(&theirs), frame, "of {waiting}");
    }
    // Two that wait for frames: the first gets what comes.
    let slot = 256;
    for tag in [1000, 1001] {
        let output = buffer(DATA + (tag - 1000) * 4096, 2 * slot);
        guest.submit(Request { op: Op::ReceiveFrames as u16, tag, arg: slot, output, ..Request::default() });
    }
    guest.server.serve_sync(0);
    assert!(guest.completion().is_none());
    for count in [1, 3] {
        for _ in 0..count {
            rustix::io::write(&theirs, &[7; 64]).expect("room");
        }
        guest.server.file_ready(0, linux_raw_sys::general::POLLIN);
    }
    let first = guest.completion().expect("an answer");
    assert_eq!((first.tag, first.result), (1000, 1));
    let second = guest.completion().expect("an answer");
    assert_eq!((second.tag, second.result), (1001, 2));
}

#[test]
fn what_is_tried_again_while_its_file_closes_is_answered_once() {
    for _ in 0..500 {
        let (ours, theirs) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::DGRAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .expect("pair");
        let mut guest = Guest::new(vec![Some(ours)]);
        for tag in 0..8 {
            let output = buffer(DATA + tag * 1024, 1024);
            guest.submit(Request { op: Op::ReceiveFrames as u16, tag, arg: 1024, output, ..Request::default() });
        }
        guest.server.serve_sync(0);
        for _ in 0..4 {
            rustix::io::write(&theirs, &[7; 64]).expect("room");
        }
        guest.submit(Request { op: Op::Close as u16, tag: 8, ..Request::default() });
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                both.wait();
                guest.server.file_ready(0, linux_raw_sys::general::POLLIN);
            });
            both.wait();
            guest.server.serve_sync(0);
        });
        let mut tags: Vec<_> = std::iter::from_fn(|| guest.completion()).map(|done| done.tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..=8).collect::<Vec<_>>());
    }
}

#[test]
fn data_move_between_a_pipe_and_segments_of_memory() {
    let (read, write) = pipe();
    let mut guest = Guest::new(vec![Some(read), Some(write)]);
    guest.memory.write_slice(b"hello ", GuestAddress(DATA)).expect("memory");
    guest.memory.write_slice(b"world", GuestAddress(DATA + 0x1000)).expect("memory");
    let list = [buffer(DATA, 6), buffer(DATA + 0x1000, 5)];
    guest.memory.write_slice(list.as_bytes(), GuestAddress(DATA + 0x2000)).expect("memory");
    let segments = buffer(DATA + 0x2000, size_of_val(&list) as u64);
    let request = Request { op: Op::Read as u16, offset: OFFSET_STREAM, ..Request::default() };
    assert_eq!(guest.call(Request { output: buffer(DATA, 9), ..request }), -11, "nothing to read yet");
    let flags = Request::FLAG_SEGMENTS;
    let writing = Request { op: Op::Write as u16, handle: 1, flags, input: segments, ..request };
    assert_eq!(guest.call(writing), 11);
    assert_eq!(guest.call(Request { output: buffer(DATA + 0x3000, 100), ..request }), 11);
    let mut text = [0; 11];
    guest.memory.read_slice(&mut text, GuestAddress(DATA + 0x3000)).expect("memory");
    assert_eq!(&text, b"hello world");
}

#[test]
fn a_write_to_a_full_pipe_is_eagain_and_does_not_block() {
    let (_read, write) = pipe();
    let mut guest = Guest::new(vec![Some(write)]);
    let request =
        Request { op: Op::Write as u16, offset: OFFSET_STREAM, input: buffer(DATA, 1 << 20), ..Request::default() };
    let mut written = 0;
    let last = loop {
        match guest.call(request) {
            bytes @ 1.. => written += bytes,
            other => break other,
        }
    };
    assert_eq!((written, last), (65536, -11));
}

#[test]
fn freed_pages_read_as_zero_and_freeing_needs_whole_pages() {
    const LIST: u64 = DATA - 0x1_0000;
    const PAGES: [u64; 4] = [DATA, DATA + 4096, DATA + 8192, DATA + 12288];
    let mut guest = Guest::new(vec![]);
    guest.memory.write_slice(&[7; 4 * 4096], GuestAddress(DATA)).expect("memory");
    let kept = |guest: &Guest| {
        PAGES.map(|page| guest.memory.read_obj::<u64>(GuestAddress(page)).expect("memory") == 0x0707_0707_0707_0707)
    };
    // Whatever is wrong with a range, the good one before it stays, too.
    for (pa, len, error) in [
        (DATA + 1, 4096, -22),
        (DATA, 4095, -22),
        (DATA, 0, -22),
        (DATA, u64::MAX, -22),
        (MEMORY, 4096, -14),
        (MEMORY - 4096, 8192, -14),
        (DATA, 0u64.wrapping_sub(DATA), -14),
        (0u64.wrapping_sub(4096), 8192, -14),
    ] {
        assert_eq!(guest.free(LIST, &[buffer(DATA, 4096), buffer(pa, len)]), error, "{pa:#x}, {len:#x}");
    }
    assert_eq!(guest.free(LIST, &[buffer(DATA, 4096); MAX_SEGMENTS + 1]), -22);
    let free = |input| Request { op: Op::FreePages as u16, input, ..Request::default() };
    for (input, error) in [(buffer(LIST, 17), -22), (buffer(LIST, u64::MAX - 15), -22), (buffer(MEMORY - 16, 32), -14)]
    {
        assert_eq!(guest.call(free(input)), error, "{input:?}");
    }
    assert_eq!(guest.call(free(GuestBuf::default())), 0);
    assert_eq!(kept(&guest), [true; 4]);

    assert_eq!(guest.free(LIST, &[buffer(DATA, 4096)]), 0);
    assert_eq!(kept(&guest), [false, true, true, true]);
    // A list may lie in what it names.
    assert_eq!(guest.free(DATA + 4096, &[buffer(DATA + 12288, 4096), buffer(DATA + 4096, 4096)]), 0);
    assert_eq!(kept(&guest), [false, false, true, false]);
    assert_eq!(guest.free(LIST, &[buffer(DATA + 8192, 4096); MAX_SEGMENTS]), 0);
    assert_eq!(kept(&guest), [false; 4]);
}

#[test]
fn large_pages_that_go_back_in_part_are_small_ones_up_to_a_number() {
    const LARGE: u64 = LARGE_PAGE_SIZE;
    let mut guest = Guest::with_memory(LARGE * (2 * MAX_SPLIT as u64 + 8), vec![], None, false);
    let mut free = |ranges: &[GuestBuf]| guest.free(3 * LARGE, ranges);
    assert_eq!(free(&[buffer(LARGE, 2 * LARGE)]), 0);
    assert_eq!(free(&[buffer(LARGE + 8192, LARGE), buffer(LARGE + 4096, 4096)]), 0);
    for page in 4..2 * MAX_SPLIT as u64 {
        assert_eq!(free(&[buffer(page * LARGE, 4096)]), 0);
    }
    let split = guest.server.split.lock().expect("nobody panics");
    assert_eq!(split.iter().take(3).copied().collect::<Vec<_>>(), [LARGE, 2 * LARGE, 4 * LARGE]);
    assert_eq!(split.len(), MAX_SPLIT);
}

#[test]
fn a_poll_completes_when_the_file_is_ready_and_is_cancelled_by_close() {
    let (read, write) = pipe();
    let mut guest = Guest::new(vec![Some(read)]);
    let poll = Request { tag: 5, op: Op::Poll as u16, arg: 1, ..Request::default() };
    assert_eq!(guest.call(Request { flags: Request::FLAG_NOW, ..poll }), 0);
    guest.submit(poll);
    guest.server.serve_sync(0);
    assert!(guest.completion().is_none(), "nothing is ready");
    rustix::io::write(&write, b"x").expect("pipe");
    guest.server.file_ready(0, 1);
    assert_eq!(guest.completion().map(|c| (c.tag, c.result)), Some((5, 1)));

    let mut events = [rustix::event::PollFd::from_borrowed_fd(
        std::os::fd::AsFd::as_fd(&guest.server.polls.epoll),
        rustix::event::PollFlags::IN,
    )];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut events, Some(&now)), Ok(0), "a completed poll waits no more");

    guest.submit(Request { arg: 2, ..poll });
    guest.submit(Request { op: Op::Close as u16, tag: 6, ..Request::default() });
    guest.server.serve_sync(0);
    let answers: Vec<_> = std::iter::from_fn(|| guest.completion()).map(|c| (c.tag, c.result)).collect();
    assert_eq!(answers, [(5, 0x20), (6, 0)]);
    assert_eq!(guest.call(poll), -9);
}

#[test]
fn an_event_waits_for_the_guest_or_the_guest_for_it() {
    let mut guest = Guest::new(vec![]);
    let next = Request { tag: 9, op: Op::NextEvent as u16, ..Request::default() };
    guest.server.post_event(linker::request::event::SIGNAL, 15);
    assert_eq!(guest.call(next), 15 << 8 | 1);
    guest.submit(next);
    guest.submit(Request { tag: 10, ..next });
    guest.server.serve_sync(0);
    assert_eq!(guest.completion().map(|c| (c.tag, c.result)), Some((10, -16)), "one asks at a time");
    guest.server.post_event(linker::request::event::WINDOW, 0);
    assert_eq!(guest.completion().map(|c| (c.tag, c.result)), Some((9, 2)));
}

#[test]
fn a_command_is_announced_and_taken_with_its_files_in_place() {
    let (parent, sandbox) = crate::notice::pair().expect("pair");
    let mut guest = Guest::with_parent(vec![None, None, None], Some(sandbox));
    let (read, write) = pipe();
    let process = Box::default();
    let what =
        What::Exec { container: 0, process, stdio: [None, Some(1), Some(0)], descriptors: Vec::new(), terminal: false };
    let command = Command { id: 9, descriptors: vec![0, 1], what };
    guest.server.command(&command.encode().expect("encoded"), vec![read, write]);
    let event = guest.call(Request { op: Op::NextEvent as u16, ..Request::default() }) as u64;
    assert_eq!(event & 0xff, event::COMMAND);
    let take = |len| Request { op: Op::TakeCommand as u16, output: buffer(DATA, len), ..Request::default() };
    assert_eq!(guest.call(take(3)), -i64::from(linux_raw_sys::errno::EMSGSIZE));
    let len = guest.call(take(event >> 8)) as usize;
    assert_eq!(len as u64, event >> 8);
    assert_eq!(guest.call(take(4096)), -i64::from(linux_raw_sys::errno::EAGAIN));
    let mut bytes = vec![0; len];
    guest.memory.read_slice(&mut bytes, GuestAddress(DATA)).expect("memory");
    let command = Command::decode(&bytes).expect("a command");
    assert!(matches!(command.what, What::Exec { stdio: [None, Some(3), Some(4)], .. }), "{command:?}");
    // An answer goes back as it is, and only as long as it may be.
    let answer = Request { op: Op::Answer as u16, input: buffer(DATA, 5), ..Request::default() };
    assert_eq!(guest.call(answer), 0);
    let notice = Notice::receive(&parent).expect("a notice");
    assert!(matches!(notice, Some(Notice::Answer(answer)) if answer == bytes[..5]));
    let long = Request { op: Op::Report as u16, input: buffer(0, MAX_MESSAGE as u64 + 1), ..Request::default() };
    assert_eq!(guest.call(long), -i64::from(linux_raw_sys::errno::EMSGSIZE));
}

#[test]
fn a_command_that_names_a_missing_descriptor_is_answered_and_leaves_no_file() {
    let (parent, sandbox) = crate::notice::pair().expect("pair");
    let mut guest = Guest::with_parent(vec![None, None, None], Some(sandbox));
    let (read, _write) = pipe();
    let process = Box::default();
    let what =
        What::Exec { container: 0, process, stdio: [Some(0), None, None], descriptors: vec![0], terminal: false };
    let command = Command { id: 9, descriptors: vec![0], what };
    guest.server.command(&command.encode().expect("encoded"), vec![read]);
    let Ok(Some(Notice::Answer(answer))) = Notice::receive(&parent) else { panic!("an answer") };
    let answer = Answer::decode(&answer).expect("an answer");
    assert!(matches!(answer, Answer { id: 9, outcome: Outcome::Failed { errno: 9, .. } }), "{answer:?}");
    let attr = Request { op: Op::FileAttr as u16, handle: 3, output: buffer(DATA, 4096), ..Request::default() };
    assert_eq!(guest.call(attr), -i64::from(linux_raw_sys::errno::EBADF));
}

#[test]
fn commands_that_nobody_takes_are_refused_in_the_end() {
    let (parent, sandbox) = crate::notice::pair().expect("pair");
    let guest = Guest::with_parent(vec![], Some(sandbox));
    let command = Command { id: 1, descriptors: vec![], what: What::Usage { container: 0 } };
    let bytes = command.encode().expect("encoded");
    (0..33).for_each(|_| guest.server.command(&bytes, vec![]));
    let Ok(Some(Notice::Answer(answer))) = Notice::receive(&parent) else { panic!("an answer") };
    let answer = Answer::decode(&answer).expect("an answer");
    assert!(matches!(answer.outcome, Outcome::Failed { errno: 16, .. }), "{answer:?}");
    assert!(Notice::receive(&parent).is_err(), "the others wait");
}

#[test]
fn sockets_are_the_hosts_in_their_mode_only_and_take_known_options_alone() {
    let errno = |errno: u32| -i64::from(errno);
    let stream = u64::from(SocketAddress::V4) | u64::from(linux_raw_sys::net::SOCK_STREAM) << 32;
    let socket = Request { op: Op::Socket as u16, arg: stream, ..Request::default() };
    assert_eq!(Guest::new(vec![None, None, None]).call(socket), errno(linux_raw_sys::errno::ENOSYS));

    let mut guest = Guest::with(vec![None, None, None], None, true);
    let raw = u64::from(SocketAddress::V4) | u64::from(linux_raw_sys::net::SOCK_RAW) << 32;
    assert_eq!(guest.call(Request { arg: raw, ..socket }), errno(linux_raw_sys::errno::EPERM));
    let handle = guest.call(socket) as u32;
    assert_eq!(handle, 3);
    let loopback = SocketAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    guest.memory.write_slice(loopback.as_bytes(), GuestAddress(DATA)).expect("memory");
    let len = size_of::<SocketAddress>() as u64;
    let ask = |op: Op, arg: u64| Request { op: op as u16, handle, arg, ..Request::default() };
    assert_eq!(guest.call(Request { input: buffer(DATA, len), ..ask(Op::Bind, 0) }), 0);
    assert_eq!(guest.call(ask(Op::Listen, 1)), 0);
    assert_eq!(guest.call(Request { output: buffer(DATA, len), ..ask(Op::SocketName, 0) }), 0);
    let mut name = SocketAddress::new_zeroed();
    guest.memory.read_slice(name.as_mut_bytes(), GuestAddress(DATA)).expect("memory");
    assert!(name.get().is_some_and(|name| name.ip().is_loopback() && name.port() != 0));
    let accept = Request { output: buffer(DATA, len), ..ask(Op::Accept, 0) };
    assert_eq!(guest.call(accept), errno(linux_raw_sys::errno::EAGAIN));
    let option = |level: u32, name: u32| Request {
        input: buffer(DATA, 16),
        ..ask(Op::SetOption, u64::from(level) | u64::from(name) << 32)
    };
    assert_eq!(guest.call(option(linux_raw_sys::net::IPPROTO_TCP as u32, linux_raw_sys::net::TCP_NODELAY)), 0);
    // Its value is a pointer.
    let filter = option(linux_raw_sys::net::SOL_SOCKET, linux_raw_sys::net::SO_ATTACH_FILTER);
    assert_eq!(guest.call(filter), errno(linux_raw_sys::errno::ENOPROTOOPT));
    for op in Op::Socket as u16..=Op::SocketName as u16 {
        for number in [0, 1, MEMORY - 1, u64::MAX] {
            let garbage = buffer(number, number);
            guest.call(Request {
                op,
                handle,
                offset: number,
                arg: number,
                input: garbage,
                output: garbage,
                ..Request::default()
            });
        }
    }
}
