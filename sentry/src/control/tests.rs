//! Commands, against a fake host that keeps what it is told.

use super::{FIRST, commands, enter, report};
use crate::errno::Errno;
use crate::fake::{current, install, machine};
use crate::signal::{SigAction, Signal};
use crate::task::spaces::Spaces;
use crate::task::{Current, INIT};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::control::{Answer, Command, Outcome, Report, Target, What};
use linker::request::{Op, Request};
use linker::spec::StartSpec;
use std::sync::Mutex;

/// What the host was told: the op, and the bytes.
type Told = Arc<Mutex<Vec<(u16, Vec<u8>)>>>;

/// A host that has `command` for the sentry.
fn host(command: Vec<u8>) -> Told {
    install();
    enter(FIRST, &StartSpec::default(), current().fs.namespace(), Spaces::initial(), INIT);
    let told: Told = Arc::default();
    let keep = told.clone();
    machine().set_host(move |request: &Request, input: &[u8], output: &mut [u8]| match Op::from_raw(request.op) {
        Some(Op::TakeCommand) if output.len() >= command.len() => {
            output[..command.len()].copy_from_slice(&command);
            Ok(command.len() as u64)
        }
        Some(Op::TakeCommand) => Err(Errno::EMSGSIZE),
        _ => {
            keep.lock().expect("told").push((request.op, input.to_vec()));
            Ok(0)
        }
    });
    told
}

/// What the host answers to one command.
fn outcome_of(what: What) -> Outcome {
    let bytes = Command { id: 5, descriptors: vec![], what }.encode().expect("encoded");
    let told = host(bytes.clone());
    commands::take(bytes.len() as u64);
    let told = told.lock().expect("told");
    let [(op, answer)] = told.as_slice() else { panic!("one answer, not {told:?}") };
    assert_eq!(*op, Op::Answer as u16);
    let answer = Answer::decode(answer).expect("an answer");
    assert_eq!(answer.id, 5);
    answer.outcome
}

fn pid(current: &Current) -> u32 {
    current.process.pid().raw()
}

#[test]
fn a_signal_reaches_the_process_it_names_and_nobody_else_is_esrch() {
    let current = current();
    let caught = SigAction { handler: 0x1000, ..SigAction::default() };
    crate::signal::set_action(&current.process, Signal::SIGUSR1, Some(caught)).expect("an action");
    let signal = |pid| What::Signal { container: 0, to: Target::Pid(pid), signal: Signal::SIGUSR1.number() as u8 };
    assert!(matches!(outcome_of(signal(pid(&current))), Outcome::Done));
    assert!(current.process.signals.pending().contains(Signal::SIGUSR1));
    let errno = i32::from(Errno::ESRCH.raw());
    assert!(matches!(outcome_of(signal(4_000_000)), Outcome::Failed { errno: found, .. } if found == errno));
}

#[test]
fn processes_are_listed_with_their_parents() {
    let current = current();
    let Outcome::Processes(list) = outcome_of(What::Processes { container: 0 }) else { panic!("a list") };
    let mine = list.iter().find(|info| info.pid == pid(&current)).expect("the test's own process");
    assert_eq!((mine.ppid, mine.args.as_slice()), (1, &[b"[test]".to_vec()][..]));
    assert!(mine.started_ns > 0);
}

#[test]
fn what_is_not_there_is_refused() {
    let refused = |what| matches!(outcome_of(what), Outcome::Failed { code: 125, .. });
    assert!(refused(What::Usage { container: 1 }), "another container");
    assert!(refused(What::Start { container: 0 }), "a container that runs");
    assert!(refused(What::Resize { container: 0, pid: 4_000_000, size: (24, 80) }), "a process without a terminal");
}

#[test]
fn a_command_that_is_none_is_logged_and_not_answered() {
    let told = host(vec![0xff; 9]);
    commands::take(9);
    assert!(told.lock().expect("told").is_empty());
    assert_eq!(machine().logged(), [String::from("a command of the host's is malformed")]);
}

#[test]
fn nothing_is_started_in_a_container_that_is_not_there() {
    install();
    let stdio = [None; 3];
    let what = What::Exec { container: 9, process: Box::default(), stdio, descriptors: vec![], terminal: false };
    assert!(matches!(outcome_of(what), Outcome::Failed { code: 125, .. }));
    let what = What::Start { container: 9 };
    assert!(matches!(outcome_of(what), Outcome::Failed { code: 125, .. }));
}

#[test]
fn a_report_is_sent_again_when_the_parent_is_slow() {
    install();
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    machine().set_host(move |request, input, _| {
        let mut tries = count.lock().expect("tries");
        *tries += 1;
        assert_eq!(request.op, Op::Report as u16);
        assert!(matches!(Report::decode(input), Ok(Report::Waiting)));
        if *tries < 3 { Err(Errno::EAGAIN) } else { Ok(0) }
    });
    report(&Report::Waiting);
    assert_eq!(*tries.lock().expect("tries"), 3);
}
