//! Two threads on the fake machine: a tracer and its tracee.

use super::{
    Mode, News, Resume, attach, detach, exiting, interrupt, news, resume, signal_stop, stopped, trace_me, wanted_stop,
};
use crate::errno::Errno;
use crate::fake::{current, join};
use crate::platform::{ThreadRef, platform};
use crate::signal::{SigInfo, Signal};
use crate::task::exit::end_process;
use crate::task::{Current, ExitStatus, Tid, registry};
use std::boxed::Box;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A thread that is another process, and does `what` once it is told to go.
fn tracee<T: Send + 'static>(
    what: impl FnOnce(&mut Current) -> T + Send + 'static,
) -> (Tid, Sender<()>, Receiver<T>, ThreadRef) {
    let (tell, told) = channel();
    let (go, gone) = channel();
    let (give, given) = channel();
    let main = move || {
        let mut current = current();
        tell.send(current.task.tid()).unwrap();
        gone.recv().unwrap();
        give.send(what(&mut current)).unwrap();
    };
    let thread = platform().spawn(false, Box::new(main)).unwrap();
    (told.recv().unwrap(), go, given, thread)
}

fn wait_for_stop(tid: Tid) -> u32 {
    let task = registry().task(tid).unwrap();
    loop {
        match news(&task, true, false) {
            Some(News::Stopped(code)) => return code,
            Some(News::Exited(_)) => panic!("it ended"),
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_tracer_sees_registers_changes_them_and_replaces_the_signal() {
    let tracer = current();
    let (tid, go, given, thread) = tracee(|current| {
        current.regs.rbx = 7;
        let info = signal_stop(current, SigInfo::kill(Signal::SIGUSR1, 1, 2));
        (info.map(|info| info.signal()), current.regs.rbx)
    });
    assert_eq!(resume(&tracer, tid, Resume::default()), Err(Errno::ESRCH), "nobody traces it");
    attach(&tracer, tid, Some(0)).unwrap();
    assert_eq!(attach(&tracer, tid, None), Err(Errno::EPERM), "one tracer is enough");
    assert_eq!(stopped(&tracer, tid, |_| Ok(())).err(), Some(Errno::ESRCH), "it runs");
    go.send(()).unwrap();
    assert_eq!(wait_for_stop(tid), Signal::SIGUSR1.number());
    let seen = stopped(&tracer, tid, |state| {
        let seen = state.regs.rbx;
        state.regs.rbx = 8;
        Ok(seen)
    });
    assert_eq!(seen.unwrap().1, 7);
    assert_eq!(news(&registry().task(tid).unwrap(), true, false).map(|_| ()), None, "told once");
    let how = Resume { signal: 999, ..Resume::default() };
    assert_eq!(resume(&tracer, tid, how), Err(Errno::EIO));
    let how = Resume { signal: Signal::SIGUSR2.number(), mode: Mode::Continue, step: false };
    resume(&tracer, tid, how).unwrap();
    assert_eq!(given.recv().unwrap(), (Some(Signal::SIGUSR2), 8));
    join(&thread);
}

#[test]
fn an_interrupted_thread_stops_and_a_detached_one_goes_on_by_itself() {
    let tracer = current();
    let (tid, go, given, thread) = tracee(|current| {
        wanted_stop(current);
        // Nobody traces it any more: the signal passes.
        signal_stop(current, SigInfo::kill(Signal::SIGUSR1, 1, 2)).map(|info| info.signal())
    });
    attach(&tracer, tid, Some(0)).unwrap();
    interrupt(&tracer, tid).unwrap();
    go.send(()).unwrap();
    let code = wait_for_stop(tid);
    assert_eq!(code, Signal::SIGTRAP.number() | linux_raw_sys::ptrace::PTRACE_EVENT_STOP << 8);
    detach(&tracer, tid, 0).unwrap();
    assert_eq!(given.recv().unwrap(), Some(Signal::SIGUSR1));
    join(&thread);
}

#[test]
fn a_thread_that_is_traced_again_before_it_could_leave_its_stop_leaves_it() {
    let tracer = current();
    for _ in 0..100 {
        let (tid, go, given, thread) = tracee(|current| {
            current.regs.rbx = 7;
            let info = signal_stop(current, SigInfo::kill(Signal::SIGUSR1, 1, 2));
            (info.map(|info| info.signal()), current.regs.rbx)
        });
        attach(&tracer, tid, Some(0)).unwrap();
        go.send(()).unwrap();
        wait_for_stop(tid);
        detach(&tracer, tid, Signal::SIGUSR2.number()).unwrap();
        attach(&tracer, tid, Some(0)).unwrap();
        assert_eq!(resume(&tracer, tid, Resume::default()), Err(Errno::ESRCH), "it runs");
        assert_eq!(given.recv().unwrap(), (Some(Signal::SIGUSR2), 7));
        super::end(&registry().task(tid).unwrap());
        join(&thread);
    }
}

#[test]
fn a_thread_that_stops_at_its_end_waits_for_its_tracer_unless_its_process_is_killed() {
    let tracer = current();
    for kill in [false, true] {
        let (tid, go, given, thread) = tracee(|current| exiting(current, ExitStatus::Code(1)));
        attach(&tracer, tid, Some(linux_raw_sys::ptrace::PTRACE_O_TRACEEXIT)).unwrap();
        go.send(()).unwrap();
        assert_eq!(wait_for_stop(tid), Signal::SIGTRAP.number() | linux_raw_sys::ptrace::PTRACE_EVENT_EXIT << 8);
        let task = registry().task(tid).unwrap();
        let killed = ExitStatus::Signal { number: Signal::SIGKILL.number() as u8, core: false };
        end_process(task.process(), if kill { killed } else { ExitStatus::Code(2) });
        if !kill {
            assert!(given.recv_timeout(std::time::Duration::from_millis(50)).is_err(), "it waits");
            resume(&tracer, tid, Resume::default()).unwrap();
        }
        given.recv().unwrap();
        super::end(&task);
        join(&thread);
    }
}

#[test]
fn nobody_traces_itself_or_nobody() {
    let tracer = current();
    assert_eq!(attach(&tracer, tracer.task.tid(), None), Err(Errno::EPERM));
    assert_eq!(attach(&tracer, Tid::new(4_000_000), None), Err(Errno::ESRCH));
    trace_me(&tracer).unwrap();
    assert_eq!(trace_me(&tracer), Err(Errno::EPERM), "once");
    super::end(&tracer.task);
    assert!(!tracer.task.trace.is_traced());
}
