//! What a fanotify descriptor stands for: marks, and events until they are read or answered.

use super::file::Options;
use super::mark::{Change, Kind, Marks, Seen, Target};
use super::{abi, add, remove};
use crate::errno::Errno;
use crate::fs::Path;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::task::{Current, Task, Tid, registry};
use crate::wait::{Events, WaitQueue, wait_on};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// Events that may wait in one (`/proc/sys/fs/fanotify/max_queued_events`).
pub static MAX_QUEUED: AtomicU32 = AtomicU32::new(16_384);
/// Groups (`max_user_groups`).
pub static MAX_GROUPS: AtomicU32 = AtomicU32::new(128);
/// Marks of one group (`max_user_marks`, of a user on Linux).
pub static MAX_MARKS: AtomicU32 = AtomicU32::new(8_192);

/// So many of the newest events are looked at for one that a new one can be merged with (as in Linux).
const MERGED: usize = 128;

/// Something that happened, or that somebody waits to do.
pub(super) struct Event {
    pub(super) place: Option<Path>,
    pub(super) mask: u64,
    pub(super) who: Tid,
    pub(super) question: Option<Arc<Question>>,
}

/// A question that somebody waits for.
#[derive(Default)]
pub(super) struct Question {
    /// FAN_ALLOW or FAN_DENY, 0 before there is an answer.
    answer: AtomicU32,
    queue: WaitQueue,
}

impl Question {
    pub(super) fn answer(&self, answer: u32) {
        self.answer.store(answer, Ordering::Release);
        self.queue.wake(Events::IN);
    }
}

#[derive(Default)]
struct State {
    released: bool,
    marks: Marks,
    events: VecDeque<Event>,
    /// Questions that were read, by the descriptor that was given with each.
    asked: Vec<(i32, Arc<Question>)>,
}

/// A fanotify group.
pub struct Group {
    pub(super) options: Options,
    state: Lock<State>,
    pub(super) readers: WaitQueue,
}

impl Group {
    pub(super) fn new(options: Options) -> Arc<Self> {
        let group =
            Arc::new(Self { options, state: Lock::new(Rank::Notify, State::default()), readers: WaitQueue::new() });
        add(&group);
        group
    }

    /// FAN_CLASS_*: who decides first has the highest.
    pub fn class(&self) -> u32 {
        self.options.class
    }

    /// FAN_MARK_ADD.
    pub fn mark(&self, target: Target, change: &Change) -> Result<(), Errno> {
        let most = if self.options.unlimited_marks { usize::MAX } else { MAX_MARKS.load(Ordering::Relaxed) as usize };
        self.state.lock().marks.add(target, change, most)
    }

    /// FAN_MARK_REMOVE.
    pub fn unmark(&self, target: Target, change: &Change) -> Result<(), Errno> {
        self.state.lock().marks.remove(target, change)
    }

    /// FAN_MARK_FLUSH.
    pub fn flush(&self, kind: Kind) {
        self.state.lock().marks.flush(kind);
    }

    pub(super) fn wanted(&self, seen: &Seen, events: u64) -> u64 {
        self.state.lock().marks.wanted(seen, events)
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.state.lock().events.is_empty()
    }

    /// Queues what happened; what one thread's process did with one file since it was last read is one event.
    pub(super) fn tell(&self, place: &Path, mask: u64) {
        let task = registry().task_of(&platform().current_thread());
        let who = task.map_or(Tid::new(0), |task| self.shown(&task));
        self.queue(Event { place: Some(place.clone()), mask, who, question: None });
    }

    /// Asks, and waits for the answer; EPERM where it is no.
    pub(super) fn ask(&self, current: &Current, place: &Path, mask: u64) -> Result<(), Errno> {
        let question = Arc::new(Question::default());
        let who = self.shown(&current.task);
        if !self.queue(Event { place: Some(place.clone()), mask, who, question: Some(question.clone()) }) {
            return Ok(());
        }
        let doomed = || current.task.is_doomed();
        let ready = || Some(question.answer.load(Ordering::Acquire)).filter(|answer| *answer != 0);
        let answer = wait_on(&[(&question.queue, Events::IN)], false, None, &doomed, ready);
        if answer.is_err() {
            let mut state = self.state.lock();
            let own = |other: &Option<Arc<Question>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, &question));
            let gone: Vec<Event> = match state.events.iter().position(|event| own(&event.question)) {
                Some(at) => state.events.remove(at).into_iter().collect(),
                None => Vec::new(),
            };
            drop(state);
            drop(gone);
        }
        match answer {
            Ok(abi::ALLOW) => Ok(()),
            Ok(_) => Err(Errno::EPERM),
            Err(_) => Err(Errno::EINTR),
        }
    }

    fn shown(&self, task: &Task) -> Tid {
        if self.options.report_tid { task.tid() } else { task.process().pid() }
    }

    /// False where nobody will ever read it: the queue is full, or the descriptor closed.
    fn queue(&self, event: Event) -> bool {
        let most = if self.options.unlimited_queue { usize::MAX } else { MAX_QUEUED.load(Ordering::Relaxed) as usize };
        let mut state = self.state.lock();
        if state.released {
            return false;
        }
        let mut told = true;
        let same = |old: &&mut Event| {
            old.question.is_none() && event.question.is_none() && old.who == event.who && old.place == event.place
        };
        if let Some(old) = state.events.iter_mut().rev().take(MERGED).find(same) {
            old.mask |= event.mask;
        } else if state.events.len() < most {
            state.events.push_back(event);
        } else {
            told = false;
            if state.events.back().is_some_and(|last| last.mask != abi::OVERFLOW) {
                let overflow = Event { place: None, mask: abi::OVERFLOW, who: Tid::new(0), question: None };
                state.events.push_back(overflow);
            }
            // What does not fit is dropped without the lock.
            drop(state);
            self.readers.wake(Events::READABLE);
            return told;
        }
        drop(state);
        self.readers.wake(Events::READABLE);
        told
    }

    pub(super) fn waiting(&self) -> usize {
        self.state.lock().events.len()
    }

    pub(super) fn next(&self) -> Option<Event> {
        self.state.lock().events.pop_front()
    }

    /// The question of an event was read with descriptor `fd`.
    pub(super) fn read(&self, fd: i32, question: Arc<Question>) {
        let released = {
            let mut state = self.state.lock();
            if !state.released {
                state.asked.push((fd, question.clone()));
            }
            state.released
        };
        if released {
            question.answer(abi::ALLOW);
        }
    }

    /// Answers the question that was read with `fd`.
    pub(super) fn answer(&self, fd: i32, answer: u32) -> Result<(), Errno> {
        let question = {
            let mut state = self.state.lock();
            let at = state.asked.iter().position(|(other, _)| *other == fd).ok_or(Errno::ENOENT)?;
            state.asked.remove(at).1
        };
        question.answer(answer);
        Ok(())
    }

    /// The descriptor is closed: who waits may go on.
    pub(super) fn release(self: &Arc<Self>) {
        remove(self);
        let (events, asked) = {
            let mut state = self.state.lock();
            state.released = true;
            (core::mem::take(&mut state.events), core::mem::take(&mut state.asked))
        };
        let waiting = events.iter().filter_map(|event| event.question.as_ref());
        for question in waiting.chain(asked.iter().map(|(_, question)| question)) {
            question.answer(abi::ALLOW);
        }
    }
}
