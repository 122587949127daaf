//! What came on a stream of the host's before anybody read it: who watches such a stream has the host receive as soon as something
//! is there, and so neither readiness nor reading is a trip of its own.
//!
//! Bytes are read in order because only one asks the host at a time: a watcher that receives keeps readers from asking, and readers that
//! ask keep the watcher from receiving (it only polls).

use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes kept at most. Behind them the stream waits at the host, whose window closes.
const MOST: usize = 64 << 10;
/// Bytes asked for at first, and at least: less room than this is not worth a request.
const LEAST: usize = 4 << 10;

/// Bytes that came, and who may ask for more.
pub struct Inbox {
    state: Lock<State>,
    /// As `state` says, for those who only look.
    filled: AtomicBool,
}

struct State {
    data: Vec<u8>,
    /// Where the unread bytes begin.
    at: usize,
    /// Bytes to ask for.
    room: usize,
    /// A stream, and one that may be received from ahead of its readers.
    enabled: bool,
    /// The watcher receives.
    receiving: bool,
    /// It waits for room.
    full: bool,
    /// Readers that ask the host.
    readers: usize,
    /// What the host said instead of data.
    error: Option<Errno>,
}

/// What there is for a reader.
pub enum Found {
    /// Bytes; and whether the watcher waits for the room.
    Data(Vec<u8>, bool),
    /// What the host answered.
    Failed(Errno),
    /// Nothing yet: the watcher says when there is.
    Coming,
    /// Nothing: the host is to be asked, and `asked` called afterwards.
    Ask,
}

/// What a watcher is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Receive as many bytes at most.
    Receive(usize),
    /// Poll alone.
    Poll,
    /// Wait until it is unparked.
    Room,
}

impl State {
    fn unread(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }
}

impl Inbox {
    /// An empty one, that does not receive.
    pub const fn new() -> Self {
        let state = State {
            data: Vec::new(),
            at: 0,
            room: LEAST,
            enabled: false,
            receiving: false,
            full: false,
            readers: 0,
            error: None,
        };
        Self { state: Lock::new(Rank::Leaf, state), filled: AtomicBool::new(false) }
    }

    /// Whether to receive ahead from now on.
    pub fn enable(&self, enabled: bool) {
        self.state.lock().enabled = enabled;
    }

    /// Whether there is something to read here.
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }

    /// Unread bytes.
    pub fn len(&self) -> usize {
        self.state.lock().unread().len()
    }

    /// The stream is another one from now on.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        (state.data, state.at, state.error) = (Vec::new(), 0, None);
        self.filled.store(false, Ordering::SeqCst);
    }

    /// Up to `room` bytes, which stay where `peek` is given.
    pub fn read(&self, room: usize, peek: bool) -> Found {
        let mut state = self.state.lock();
        let unread = state.unread();
        if unread.is_empty() {
            if let Some(errno) = state.error.take() {
                self.filled.store(false, Ordering::SeqCst);
                return Found::Failed(errno);
            }
            if state.receiving {
                return Found::Coming;
            }
            state.readers += 1;
            return Found::Ask;
        }
        let found = unread.get(..room).unwrap_or(unread).to_vec();
        if peek {
            return Found::Data(found, false);
        }
        state.at += found.len();
        let left = state.unread().len();
        if left == 0 {
            state.at = 0;
            state.data.clear();
            state.data.shrink_to(LEAST);
            self.filled.store(state.error.is_some(), Ordering::SeqCst);
        }
        let wakes = state.full && left <= MOST / 2;
        state.full &= !wakes;
        Found::Data(found, wakes)
    }

    /// A reader that was told to ask has done so.
    pub fn asked(&self) {
        self.state.lock().readers -= 1;
    }

    /// What the watcher does next. After `Receive` it says how that went.
    pub fn wanted(&self) -> Wanted {
        let mut state = self.state.lock();
        if !state.enabled || state.readers > 0 || state.error.is_some() {
            return Wanted::Poll;
        }
        let room = MOST.saturating_sub(state.unread().len());
        state.full = room < LEAST;
        state.receiving = !state.full;
        if state.full { Wanted::Room } else { Wanted::Receive(state.room.min(room)) }
    }

    /// The watcher received: `Ok` of no bytes is for who asks the host.
    pub fn received(&self, result: Result<Vec<u8>, Errno>, asked: usize) {
        let mut state = self.state.lock();
        state.receiving = false;
        match result {
            Ok(mut data) => {
                if data.len() == asked {
                    state.room = (state.room * 4).min(MOST);
                } else if data.len() < state.room / 4 {
                    state.room = (state.room / 4).max(LEAST);
                }
                if state.unread().is_empty() {
                    data.shrink_to(LEAST);
                    (state.data, state.at) = (data, 0);
                } else {
                    let at = core::mem::take(&mut state.at);
                    state.data.drain(..at);
                    state.data.extend_from_slice(&data);
                }
            }
            Err(errno) => state.error = Some(errno),
        }
        let filled = state.error.is_some() || !state.unread().is_empty();
        self.filled.store(filled, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, Found, Inbox, LEAST, MOST, Wanted};
    use alloc::vec;

    fn read(inbox: &Inbox, room: usize) -> (usize, bool) {
        match inbox.read(room, false) {
            Found::Data(data, wakes) => (data.len(), wakes),
            _ => panic!("data"),
        }
    }

    #[test]
    fn who_receives_and_who_asks_keep_each_other_out() {
        let inbox = Inbox::new();
        assert_eq!(inbox.wanted(), Wanted::Poll, "no stream yet");
        inbox.enable(true);
        assert!(matches!(inbox.read(1, false), Found::Ask));
        assert_eq!(inbox.wanted(), Wanted::Poll, "a reader asks");
        inbox.asked();
        assert_eq!(inbox.wanted(), Wanted::Receive(LEAST));
        assert!(matches!(inbox.read(1, false), Found::Coming));
        inbox.received(Ok(b"abc".to_vec()), LEAST);
        assert!(inbox.is_filled());
        assert!(matches!(inbox.read(9, true), Found::Data(data, false) if data == b"abc"));
        assert_eq!((read(&inbox, 2), inbox.len()), ((2, false), 1));
        assert_eq!(inbox.wanted(), Wanted::Receive(LEAST), "more is gathered behind what is there");
        inbox.received(Ok(b"de".to_vec()), LEAST);
        assert!(matches!(inbox.read(9, false), Found::Data(data, false) if data == b"cde"));
        assert!(!inbox.is_filled());
    }

    #[test]
    fn a_fast_stream_is_received_in_larger_pieces_and_waits_when_nobody_reads() {
        let inbox = Inbox::new();
        inbox.enable(true);
        let mut sizes = vec![];
        while let Wanted::Receive(room) = inbox.wanted() {
            sizes.push(room);
            inbox.received(Ok(vec![0; room]), room);
        }
        assert_eq!(sizes, [LEAST, 4 * LEAST, MOST - 5 * LEAST]);
        assert_eq!(read(&inbox, LEAST), (LEAST, false));
        assert_eq!(read(&inbox, MOST), (MOST - LEAST, true), "the watcher is wanted again");
        assert_eq!(inbox.wanted(), Wanted::Receive(MOST));
        inbox.received(Ok(vec![0; 1]), MOST);
        assert_eq!(inbox.wanted(), Wanted::Receive(MOST / 4));
    }

    #[test]
    fn an_error_comes_behind_the_data_and_once() {
        let inbox = Inbox::new();
        inbox.enable(true);
        inbox.wanted();
        inbox.received(Ok(b"x".to_vec()), LEAST);
        inbox.wanted();
        inbox.received(Err(Errno::ECONNRESET), LEAST);
        assert_eq!((read(&inbox, 9), inbox.is_filled()), ((1, false), true));
        assert!(matches!(inbox.read(9, false), Found::Failed(Errno::ECONNRESET)));
        assert!(!inbox.is_filled() && matches!(inbox.read(9, false), Found::Ask));
    }
}
