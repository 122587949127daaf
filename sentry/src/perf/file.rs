//! The descriptor of an event: read(2), ioctl(2).

use super::{Event, Options, Sample};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink, anon::AnonInode};
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linker::addr::UserVa;
use linux_raw_sys::ioctl as op;
use zerocopy::IntoBytes;

/// What a read gives (enum perf_event_read_format; linux-raw-sys does not carry linux/perf_event.h).
pub mod format {
    /// Time for which it was enabled.
    pub const TOTAL_TIME_ENABLED: u64 = 1;
    /// Time for which it counted.
    pub const TOTAL_TIME_RUNNING: u64 = 1 << 1;
    /// Its number.
    pub const ID: u64 = 1 << 2;
    /// All of its group.
    pub const GROUP: u64 = 1 << 3;
    /// Samples that were lost.
    pub const LOST: u64 = 1 << 4;
    /// All of them.
    pub const ALL: u64 = (1 << 5) - 1;
}

/// PERF_EVENT_IOC_* without an argument (linux/perf_event.h).
const ENABLE: u32 = 0x2400;
const DISABLE: u32 = 0x2401;
const REFRESH: u32 = 0x2402;
const RESET: u32 = 0x2403;
const SET_OUTPUT: u32 = 0x2405;
/// PERF_IOC_FLAG_GROUP: all of the group.
const OF_GROUP: u64 = 1;

/// An event's descriptor.
pub struct PerfFile {
    event: Arc<Event>,
}

impl PerfFile {
    /// Opens it.
    pub fn open(event: Arc<Event>) -> Arc<OpenFile> {
        OpenFile::new(Arc::new(Self { event }), OpenFlags::RDWR, AnonInode::anonymous("[perf_event]"), None)
    }

    /// The event.
    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    fn for_each(&self, arg: u64, what: impl Fn(&Event)) {
        if arg & OF_GROUP == 0 {
            return what(&self.event);
        }
        let leader = self.event.leader();
        what(&leader);
        leader.siblings().iter().for_each(|sibling| what(sibling));
    }
}

impl FileOps for PerfFile {
    fn read(&self, _: &Current, _: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        let Options { format, .. } = *self.event.options();
        let words = if format & format::GROUP == 0 { alone(&self.event, format) } else { group(&self.event, format) };
        if sink.left() < size_of_val(words.as_slice()) {
            return Err(Errno::ENOSPC.into());
        }
        Ok(sink.put(words.as_bytes())?)
    }

    fn poll(&self, _: &OpenFile) -> Events {
        // As of one without a buffer.
        Events::HUP
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        // Nothing ever changes: what can be polled is ready.
        static NEVER: WaitQueue = WaitQueue::new();
        Some(&NEVER)
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        match command {
            ENABLE => self.for_each(arg, |event| event.enable(true)),
            DISABLE => self.for_each(arg, |event| event.enable(false)),
            RESET => self.for_each(arg, Event::reset),
            op::PERF_EVENT_IOC_ID => UserPtr::new(UserVa::new(arg)).write(current, &self.event.id())?,
            // All about samples, of which there are none.
            REFRESH
            | SET_OUTPUT
            | op::PERF_EVENT_IOC_PERIOD
            | op::PERF_EVENT_IOC_SET_FILTER
            | op::PERF_EVENT_IOC_SET_BPF
            | op::PERF_EVENT_IOC_PAUSE_OUTPUT
            | op::PERF_EVENT_IOC_QUERY_BPF => return Err(Errno::EINVAL.into()),
            _ => return Err(Errno::ENOTTY.into()),
        }
        Ok(0)
    }

    fn seek(&self, _: &OpenFile, _: i64, _: u32) -> Result<u64, Errno> {
        // Linux's no_llseek.
        Err(Errno::ESPIPE)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// struct read_format of one event.
fn alone(event: &Event, format: u64) -> Vec<u64> {
    let Sample { count, time_ns } = event.value();
    let mut words = Vec::from([count]);
    times(&mut words, time_ns, format);
    words.extend((format & format::ID != 0).then(|| event.id()));
    words.extend((format & format::LOST != 0).then_some(0));
    words
}

/// struct read_format of a group.
fn group(event: &Arc<Event>, format: u64) -> Vec<u64> {
    let leader = event.leader();
    let siblings = leader.siblings();
    let mut words = Vec::from([1 + siblings.len() as u64]);
    times(&mut words, leader.value().time_ns, format);
    for event in core::iter::once(&leader).chain(&siblings) {
        words.push(event.value().count);
        words.extend((format & format::ID != 0).then(|| event.id()));
        words.extend((format & format::LOST != 0).then_some(0));
    }
    words
}

/// Software events count whenever they are enabled.
fn times(words: &mut Vec<u64>, time_ns: u64, format: u64) {
    words.extend((format & format::TOTAL_TIME_ENABLED != 0).then_some(time_ns));
    words.extend((format & format::TOTAL_TIME_RUNNING != 0).then_some(time_ns));
}
