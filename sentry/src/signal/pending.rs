//! Signals that wait: for one thread, or for any thread of a process.

use super::info::SigInfo;
use super::number::{Signal, SignalSet};
use alloc::collections::VecDeque;

/// Pending signals: a set, and what is known about each instance. A signal in the set without an instance in the queue was sent
/// when the queue was full; it is delivered without details.
#[derive(Default)]
pub(super) struct Pending {
    set: SignalSet,
    queue: VecDeque<SigInfo>,
}

/// Whether a signal was taken into the queue.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Queued {
    /// It is queued.
    Yes,
    /// A standard signal that is pending already: one instance is enough.
    Already,
    /// No room for its details; only the fact is kept.
    WithoutInfo,
    /// No room, and details matter: the sender gets EAGAIN.
    Refused,
}

impl Pending {
    /// Which signals are pending.
    pub(super) fn set(&self) -> SignalSet {
        self.set
    }

    /// Instances with details.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds one; `room`: the limit of queued signals is not reached.
    pub(super) fn add(&mut self, info: &SigInfo, room: bool) -> Queued {
        let signal = info.signal();
        // A timer has an instance of its own, and never more than one.
        let timer = info.code() == linux_raw_sys::general::SI_TIMER;
        if !timer && !signal.is_realtime() && self.set.contains(signal) {
            return Queued::Already;
        }
        // Standard signals, and what the kernel sends, always have room: at most one instance of each.
        if !room && signal.is_realtime() && info.is_from_user() {
            // As Linux: kill(2) of a real-time signal succeeds without details, sigqueue(3) fails.
            if info.code() != linux_raw_sys::general::SI_USER as i32 {
                return Queued::Refused;
            }
            self.set = self.set.with(signal);
            return Queued::WithoutInfo;
        }
        self.set = self.set.with(signal);
        self.queue.push_back(*info);
        Queued::Yes
    }

    /// Takes the most urgent signal of `wanted` out.
    pub(super) fn take(&mut self, wanted: SignalSet) -> Option<SigInfo> {
        let signal = self.set.intersection(wanted).first()?;
        Some(self.take_signal(signal))
    }

    /// Takes the oldest fault that an instruction caused out, so that a handler's context shows that instruction.
    pub(super) fn take_synchronous(&mut self, wanted: SignalSet) -> Option<SigInfo> {
        let wanted = self.set.intersection(wanted).intersection(SignalSet::SYNCHRONOUS);
        if wanted.is_empty() {
            return None;
        }
        let index = self.queue.iter().position(|info| wanted.contains(info.signal()) && info.is_synchronous())?;
        let info = self.queue.remove(index)?;
        self.settle(info.signal());
        Some(info)
    }

    fn take_signal(&mut self, signal: Signal) -> SigInfo {
        let index = self.queue.iter().position(|info| info.signal() == signal);
        let info = index.and_then(|index| self.queue.remove(index));
        self.settle(signal);
        info.unwrap_or(SigInfo::kill(signal, 0, 0))
    }

    /// Clears the signal's bit when no instance is left.
    fn settle(&mut self, signal: Signal) {
        if !self.queue.iter().any(|info| info.signal() == signal) {
            self.set = self.set.without(signal);
        }
    }

    /// Forgets every instance of these signals.
    pub(super) fn flush(&mut self, signals: SignalSet) {
        if !self.set.intersection(signals).is_empty() {
            self.set = self.set.minus(signals);
            self.queue.retain(|info| !signals.contains(info.signal()));
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.set = SignalSet::EMPTY;
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rt(value: u64) -> SigInfo {
        SigInfo::queue(Signal::new(40).unwrap(), 1, 0, value)
    }

    #[test]
    fn standard_signal_is_pending_once() {
        let mut pending = Pending::default();
        assert_eq!(pending.add(&SigInfo::kill(Signal::SIGUSR1, 1, 0), true), Queued::Yes);
        assert_eq!(pending.add(&SigInfo::kill(Signal::SIGUSR1, 2, 0), true), Queued::Already);
        let all = SignalSet::EMPTY.complement();
        assert_eq!(pending.take(all).map(|info| info.pid_uid().0), Some(1));
        assert_eq!(pending.take(all), None);
    }

    #[test]
    fn realtime_signals_queue_in_order() {
        let mut pending = Pending::default();
        for value in 0..3 {
            assert_eq!(pending.add(&rt(value), true), Queued::Yes);
        }
        let all = SignalSet::EMPTY.complement();
        let values: alloc::vec::Vec<_> = core::iter::from_fn(|| pending.take(all)).map(|info| info.value()).collect();
        assert_eq!(values, [0, 1, 2]);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn full_queue_refuses_sigqueue_and_keeps_kill_without_details() {
        let mut pending = Pending::default();
        assert_eq!(pending.add(&rt(1), false), Queued::Refused);
        assert_eq!(pending.add(&SigInfo::kill(Signal::new(40).unwrap(), 9, 9), false), Queued::WithoutInfo);
        assert_eq!(pending.take(SignalSet::EMPTY.complement()).map(|info| info.pid_uid()), Some((0, 0)));
    }

    #[test]
    fn fault_of_an_instruction_comes_before_a_killed_one() {
        let mut pending = Pending::default();
        pending.add(&SigInfo::kill(Signal::SIGBUS, 1, 0), true);
        pending.add(&SigInfo::fault(Signal::SIGSEGV, 1, 0x1234), true);
        let all = SignalSet::EMPTY.complement();
        assert_eq!(pending.take_synchronous(all).map(|info| info.address()), Some(0x1234));
        assert_eq!(pending.take_synchronous(all), None);
        assert_eq!(pending.take(all).map(|info| info.signal()), Some(Signal::SIGBUS));
    }
}
