//! Delivery on the fake machine: what a thread sees after a signal.

use super::{AfterSignals, SigAction, SigInfo, Signal, SignalSet, StackT, StopChange, deliver_pending};
use crate::errno::Errno;
use crate::fake::{USER_MEMORY, USER_MEMORY_BYTES, current, read_user};
use crate::syscall::Fail;
use crate::task::{Current, ExitStatus};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;

const HANDLER: u64 = 0x40_0000;
const RESTORER: u64 = 0x40_1000;
const STACK_TOP: u64 = USER_MEMORY.raw() + USER_MEMORY_BYTES;
const CALL: u64 = 0x50_0002;

fn running() -> Current {
    let mut current = current();
    current.regs.rip = CALL;
    current.regs.rsp = STACK_TOP - 64;
    current.regs.cs = 0x33;
    current.regs.ss = 0x2b;
    current.regs.rflags = 0x202;
    current.regs.rbx = 0x1111;
    current
}

fn catch(current: &Current, signal: Signal, flags: u32) {
    let flags = u64::from(flags | raw::SA_RESTORER);
    let action = SigAction { handler: HANDLER, flags, restorer: RESTORER, mask: 0 };
    super::set_action(&current.process, signal, Some(action)).unwrap();
}

fn kill(current: &Current, signal: Signal) {
    super::send_to_process(&current.process, SigInfo::kill(signal, 77, 88));
}

fn word(current: &Current, at: u64) -> u64 {
    u64::from_ne_bytes(read_user(current, UserVa::new(at), 8).try_into().unwrap())
}

#[test]
fn handler_gets_number_info_and_context_and_sigreturn_undoes_all() {
    let mut current = running();
    catch(&current, Signal::SIGUSR1, raw::SA_SIGINFO);
    let before = current.regs;
    kill(&current, Signal::SIGUSR1);
    assert!(current.interrupted());
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Continue);
    assert!(!current.interrupted());
    let regs = current.regs;
    assert_eq!((regs.rip, regs.rdi, regs.rax), (HANDLER, 10, 0));
    assert_eq!(regs.rsp % 16, 8, "as after a call");
    assert_eq!(word(&current, regs.rsp), RESTORER);
    assert_eq!(word(&current, regs.rsi) as u32, 10);
    assert_eq!(word(&current, regs.rsi + 16), 88 << 32 | 77);
    // uc_mcontext.gregs[REG_RIP] stands 0xa8 bytes into the ucontext, rbx 0x80.
    assert_eq!(word(&current, regs.rdx + 0xa8), CALL);
    assert_eq!(word(&current, regs.rdx + 0x80), 0x1111);
    assert!(current.task.signals.mask().contains(Signal::SIGUSR1));
    current.regs.rsp += 8;
    current.regs.rbx = 0;
    assert!(matches!(super::return_from_handler(&mut current), Fail::NoReturn));
    assert_eq!((current.regs.rip, current.regs.rsp, current.regs.rbx), (before.rip, before.rsp, 0x1111));
    assert_eq!(current.task.signals.mask(), SignalSet::EMPTY);
}

#[test]
fn interrupted_call_is_restarted_or_gets_eintr_as_the_action_says() {
    for (flags, rip, rax) in [(raw::SA_RESTART, CALL - 2, 7), (0, CALL, Errno::EINTR.to_ret())] {
        let mut current = running();
        catch(&current, Signal::SIGUSR1, flags);
        kill(&current, Signal::SIGUSR1);
        assert_eq!(deliver_pending(&mut current, Some((7, Fail::Restart))), AfterSignals::Continue);
        assert_eq!((word(&current, current.regs.rdx + 0xa8), word(&current, current.regs.rdx + 0x90)), (rip, rax));
    }
}

#[test]
fn sleep_interrupted_without_handler_goes_on_through_restart_syscall() {
    let mut current = running();
    let rest = Fail::RestartWith(std::boxed::Box::new(|_: &mut Current| Ok(5)));
    assert_eq!(deliver_pending(&mut current, Some((35, rest))), AfterSignals::Continue);
    assert_eq!((current.regs.rip, current.regs.rax), (CALL - 2, 219));
    let block = current.signal.take_restart().unwrap();
    assert_eq!(block(&mut current).unwrap(), 5);
}

#[test]
fn unhandled_terminating_signal_ends_the_process() {
    let mut current = running();
    kill(&current, Signal::SIGTERM);
    let status = ExitStatus::Signal { number: 15, core: false };
    assert!(current.interrupted());
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Exit(status));
    assert_eq!(current.process.ending(), Some(status));
}

#[test]
fn ignored_signal_vanishes_but_a_blocked_one_stays() {
    let mut current = running();
    kill(&current, Signal::SIGCHLD);
    assert!(!current.interrupted());
    assert!(super::pending_for(&current.task).is_empty());
    super::set_mask(&mut current, SignalSet::of(&[Signal::SIGCHLD, Signal::SIGKILL]));
    kill(&current, Signal::SIGCHLD);
    assert!(!current.interrupted());
    assert!(super::pending_for(&current.task).contains(Signal::SIGCHLD));
    let taken = super::dequeue(&current.task, SignalSet::of(&[Signal::SIGCHLD])).unwrap();
    assert_eq!(taken.pid_uid(), (77, 88));
}

#[test]
fn fault_of_a_blocked_signal_is_deadly() {
    let mut current = running();
    catch(&current, Signal::SIGSEGV, 0);
    super::set_mask(&mut current, SignalSet::of(&[Signal::SIGSEGV]));
    super::memory_fault(
        &mut current,
        UserVa::new(0x1234),
        crate::platform::Access::Write,
        false,
        crate::mm::MemoryFault::NotMapped,
    );
    let status = ExitStatus::Signal { number: 11, core: false };
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Exit(status));
}

#[test]
fn handler_of_a_fault_sees_address_code_and_error() {
    let mut current = running();
    catch(&current, Signal::SIGSEGV, raw::SA_SIGINFO);
    super::memory_fault(
        &mut current,
        UserVa::new(0x1234),
        crate::platform::Access::Write,
        true,
        crate::mm::MemoryFault::NotAllowed,
    );
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Continue);
    let regs = current.regs;
    assert_eq!((word(&current, regs.rsi + 8) as u32, word(&current, regs.rsi + 16)), (2, 0x1234));
    // err, trapno, oldmask, cr2 from 0xc0 on in the ucontext.
    assert_eq!((word(&current, regs.rdx + 0xc0), word(&current, regs.rdx + 0xc8)), (7, 14));
    assert_eq!(word(&current, regs.rdx + 0xd8), 0x1234);
}

#[test]
fn handler_without_room_for_its_frame_is_deadly() {
    let mut current = running();
    catch(&current, Signal::SIGUSR1, 0);
    current.regs.rsp = 64;
    kill(&current, Signal::SIGUSR1);
    let status = ExitStatus::Signal { number: 11, core: false };
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Exit(status));
}

#[test]
fn alternate_stack_takes_the_frame_and_must_hold_it() {
    let mut current = running();
    catch(&current, Signal::SIGUSR1, raw::SA_ONSTACK);
    let stack = StackT { sp: USER_MEMORY.raw(), flags: 0, pad: 0, size: 16384 };
    super::set_alternate_stack(&mut current, Some(&stack)).unwrap();
    kill(&current, Signal::SIGUSR1);
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Continue);
    let sp = current.regs.rsp;
    assert!(sp > USER_MEMORY.raw() && sp < USER_MEMORY.raw() + 16384);
    current.regs.rsp = USER_MEMORY.raw() + 300;
    super::set_mask(&mut current, SignalSet::EMPTY);
    kill(&current, Signal::SIGUSR1);
    let status = ExitStatus::Signal { number: 11, core: false };
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Exit(status));
}

#[test]
fn sigsuspend_mask_holds_while_the_handler_is_entered_and_ends_with_it() {
    let mut current = running();
    catch(&current, Signal::SIGUSR1, 0);
    super::set_mask(&mut current, SignalSet::of(&[Signal::SIGUSR1, Signal::SIGUSR2]));
    kill(&current, Signal::SIGUSR1);
    assert!(!current.interrupted());
    let fail = super::suspend(&mut current, SignalSet::EMPTY);
    assert_eq!(deliver_pending(&mut current, Some((130, fail))), AfterSignals::Continue);
    assert_eq!(current.regs.rip, HANDLER);
    assert!(!current.task.signals.mask().contains(Signal::SIGUSR2));
    current.regs.rsp += 8;
    let _ = super::return_from_handler(&mut current);
    assert_eq!(current.task.signals.mask(), SignalSet::of(&[Signal::SIGUSR1, Signal::SIGUSR2]));
    assert_eq!(current.regs.rax, Errno::EINTR.to_ret());
}

#[test]
fn sigtimedwait_takes_a_blocked_signal_and_times_out_with_eagain() {
    let mut current = running();
    let set = SignalSet::of(&[Signal::SIGUSR2]);
    super::set_mask(&mut current, set);
    kill(&current, Signal::SIGUSR2);
    assert_eq!(super::dequeue_wait(&mut current, set, Some(0)).map(|info| info.signal()), Ok(Signal::SIGUSR2));
    assert_eq!(super::dequeue_wait(&mut current, set, Some(0)), Err(Errno::EAGAIN));
}

#[test]
fn stop_parks_until_sigcont_and_the_parent_can_ask() {
    let mut current = running();
    let process = current.process.clone();
    kill(&current, Signal::SIGSTOP);
    let continuer = process.clone();
    let helper = std::thread::spawn({
        let machine = crate::fake::machine();
        move || {
            let _ = machine;
            crate::fake::install();
            while !continuer.signals.is_stopped() {
                std::thread::yield_now();
            }
            assert_eq!(
                continuer.signals.take_stop_change(true, false, false),
                Some(StopChange::Stopped(Signal::SIGSTOP))
            );
            assert_eq!(continuer.signals.take_stop_change(true, true, false), None);
            super::send_to_process(&continuer, SigInfo::kill(Signal::SIGCONT, 1, 0));
        }
    });
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Continue);
    helper.join().unwrap();
    assert!(!current.task.signals.stopped());
    assert_eq!(process.signals.take_stop_change(true, true, false), Some(StopChange::Continued));
}

#[test]
fn first_process_of_a_namespace_ignores_what_it_does_not_handle() {
    let current = running();
    current.process.signals.set_unkillable(true);
    kill(&current, Signal::SIGTERM);
    kill(&current, Signal::SIGKILL);
    assert!(!current.interrupted());
    super::send_from_host(&current.process, SigInfo::kernel(Signal::SIGKILL));
    assert!(current.task.is_doomed());
}

#[test]
fn sigreturn_to_a_kernel_address_or_segment_is_a_fault() {
    let mut current = running();
    catch(&current, Signal::SIGUSR1, 0);
    kill(&current, Signal::SIGUSR1);
    let _ = deliver_pending(&mut current, None);
    let context = current.regs.rdx;
    crate::fake::write_user(&current, UserVa::new(context + 0xa8), &u64::MAX.to_ne_bytes());
    current.regs.rsp += 8;
    let _ = super::return_from_handler(&mut current);
    assert!(current.interrupted());
    let status = ExitStatus::Signal { number: 11, core: false };
    assert_eq!(deliver_pending(&mut current, None), AfterSignals::Exit(status));
}
