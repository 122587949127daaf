//! Profiles and programs, without and with a thread.

use super::{Call, Instruction, Profile, Program, Verdict, install};
use crate::errno::Errno;
use crate::fake::current;
use alloc::vec;
use alloc::vec::Vec;
use linker::spec::{SeccompAction, SeccompCompare, SeccompCondition, SeccompRule, SeccompSpec};
use linux_raw_sys::ptrace as raw;

fn rule(number: u32, action: SeccompAction, conditions: &[(u8, SeccompCompare, u64)]) -> SeccompRule {
    let conditions = conditions.iter().map(|&(index, compare, value)| SeccompCondition { index, compare, value });
    SeccompRule { number, action, conditions: conditions.collect() }
}

fn call(number: u32, args: [u64; 6]) -> Call {
    Call { number, address: 0, args }
}

fn errno(errno: Errno) -> Verdict {
    Verdict::new(raw::SECCOMP_RET_ERRNO | u32::from(errno.raw()))
}

#[test]
fn the_first_rule_whose_conditions_hold_decides() {
    let perm = SeccompAction::Errno(Errno::EPERM.raw());
    let profile = Profile::new(&SeccompSpec {
        default: SeccompAction::Allow,
        newest: None,
        rules: vec![
            rule(41, perm, &[(0, SeccompCompare::Equal, 40), (1, SeccompCompare::Greater, 2)]),
            rule(41, SeccompAction::Trap, &[(0, SeccompCompare::Equal, 40)]),
            rule(9, SeccompAction::Errno(0), &[(2, SeccompCompare::MaskedEqual(6), 6)]),
            rule(2, SeccompAction::KillProcess, &[]),
        ],
    });
    assert_eq!(profile.ask(&call(41, [40, 3, 0, 0, 0, 0])), errno(Errno::EPERM));
    assert_eq!(profile.ask(&call(41, [40, 2, 0, 0, 0, 0])), Verdict::new(raw::SECCOMP_RET_TRAP));
    assert_eq!(profile.ask(&call(41, [2, 3, 0, 0, 0, 0])), Verdict::ALLOW);
    assert_eq!(profile.ask(&call(9, [0, 0, 7, 0, 0, 0])), Verdict::new(raw::SECCOMP_RET_ERRNO));
    assert_eq!(profile.ask(&call(9, [0, 0, 3, 0, 0, 0])), Verdict::ALLOW);
    assert!(profile.always_allows(0) && !profile.always_allows(41) && !profile.always_allows(2));
}

#[test]
fn calls_newer_than_the_profile_are_enosys_and_not_forbidden() {
    let spec = SeccompSpec {
        default: SeccompAction::Errno(Errno::EPERM.raw()),
        newest: Some(439),
        rules: vec![rule(439, SeccompAction::Allow, &[])],
    };
    let profile = Profile::new(&spec);
    assert_eq!(profile.ask(&call(439, [0; 6])), Verdict::ALLOW);
    assert_eq!(profile.ask(&call(438, [0; 6])), errno(Errno::EPERM));
    assert_eq!(profile.ask(&call(440, [0; 6])), errno(Errno::ENOSYS));
    assert_eq!(profile.ask(&call(u32::MAX, [0; 6])), errno(Errno::ENOSYS));
}

fn op(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: (raw::BPF_JMP | code) as u16, jt, jf, k }
}

fn load(offset: u32) -> Instruction {
    op(raw::BPF_LD | raw::BPF_W | raw::BPF_ABS, offset)
}

fn ret(k: u32) -> Instruction {
    op(raw::BPF_RET | raw::BPF_K, k)
}

/// Allows everything but `number` with `low` as the low half of its first argument.
fn refuse(number: u32, low: u32) -> Vec<Instruction> {
    vec![
        load(4),
        jump(raw::BPF_JEQ, raw::AUDIT_ARCH_X86_64, 0, 5),
        load(0),
        jump(raw::BPF_JEQ, number, 0, 2),
        load(16),
        jump(raw::BPF_JEQ, low, 2, 0),
        ret(raw::SECCOMP_RET_ALLOW),
        ret(raw::SECCOMP_RET_KILL_PROCESS),
        ret(raw::SECCOMP_RET_ERRNO | 13),
    ]
}

#[test]
fn a_program_sees_number_architecture_and_arguments() {
    let program = Program::new(refuse(39, 7)).expect("sound");
    assert_eq!(program.run(&call(39, [7 | 1 << 40, 0, 0, 0, 0, 0])), errno(Errno::EACCES));
    assert_eq!(program.run(&call(39, [8, 0, 0, 0, 0, 0])), Verdict::ALLOW);
    assert!(program.always_allows(38) && !program.always_allows(39));
    let high = [load(60), op(raw::BPF_RET | raw::BPF_A, 0)];
    assert_eq!(Program::new(high.to_vec()).expect("sound").run(&call(0, [0, 0, 0, 0, 0, 5 << 32])), Verdict::new(5));
}

#[test]
fn arithmetic_is_that_of_32_bits_and_a_division_by_zero_kills() {
    let alu = |operation: u32, a: u32, x: u32| {
        let code = vec![
            op(raw::BPF_LDX | raw::BPF_IMM, x),
            op(raw::BPF_LD | raw::BPF_IMM, a),
            op(raw::BPF_ALU | operation | raw::BPF_X, 0),
            op(raw::BPF_RET | raw::BPF_A, 0),
        ];
        Program::new(code).expect("sound").run(&call(0, [0; 6]))
    };
    assert_eq!(alu(raw::BPF_ADD, u32::MAX, 3), Verdict::new(2));
    assert_eq!(alu(raw::BPF_SUB, 1, 2), Verdict::new(u32::MAX));
    assert_eq!(alu(raw::BPF_DIV, 9, 2), Verdict::new(4));
    assert_eq!(alu(raw::BPF_DIV, 9, 0), Verdict::new(raw::SECCOMP_RET_KILL_THREAD));
    assert_eq!(alu(raw::BPF_LSH, 1, 33), Verdict::new(2));
    assert_eq!(alu(raw::BPF_XOR, 6, 3), Verdict::new(5));
}

#[test]
fn unsound_programs_are_refused() {
    let refused = |code: Vec<Instruction>| Program::new(code).err() == Some(Errno::EINVAL);
    let end = ret(raw::SECCOMP_RET_ALLOW);
    assert!(refused(vec![]));
    assert!(refused(vec![load(0)]), "no return at the end");
    assert!(refused(vec![load(1), end]), "unaligned");
    assert!(refused(vec![load(64), end]), "behind the data");
    assert!(refused(vec![jump(raw::BPF_JA, 1, 0, 0), end]), "a jump out of it");
    assert!(refused(vec![jump(raw::BPF_JA, u32::MAX, 0, 0), end]), "a jump back");
    assert!(refused(vec![jump(raw::BPF_JEQ, 0, 1, 0), end]), "a branch out of it");
    assert!(refused(vec![op(raw::BPF_LD | raw::BPF_MEM, 0), end]), "memory nobody wrote");
    assert!(refused(vec![op(raw::BPF_ST, 16), end]), "memory that is not there");
    assert!(refused(vec![op(raw::BPF_ALU | raw::BPF_DIV, 0), end]), "a division by zero");
    assert!(refused(vec![op(raw::BPF_ALU | raw::BPF_LSH, 32), end]), "a shift too far");
    assert!(refused(vec![op(raw::BPF_ALU | raw::BPF_MOD, 2), end]), "an operation seccomp does not have");
    assert!(refused(vec![op(raw::BPF_LD | raw::BPF_H | raw::BPF_ABS, 0), end]), "half a word");
    assert!(refused(vec![end; raw::BPF_MAXINSNS as usize + 1]), "too long");
    let one_way =
        vec![load(0), jump(raw::BPF_JEQ, 0, 1, 0), op(raw::BPF_ST, 3), op(raw::BPF_LD | raw::BPF_MEM, 3), end];
    assert!(refused(one_way), "memory written on one way only");
    assert!(Program::new(vec![op(raw::BPF_ST, 3), op(raw::BPF_LD | raw::BPF_MEM, 3), end]).is_ok());
}

#[test]
fn of_several_filters_the_severest_answer_holds() {
    let current = current();
    let with = |k| Program::new(vec![ret(k)]).expect("sound");
    assert!(!current.task.is_filtered());
    for answer in [raw::SECCOMP_RET_ERRNO | 1, raw::SECCOMP_RET_ALLOW, raw::SECCOMP_RET_ERRNO | 2] {
        assert!(install(&current, with(answer), false, None).expect("installed").is_none());
    }
    let filters = current.task.filters().expect("filters");
    assert_eq!(filters.count(), 3);
    assert_eq!(filters.ask(&call(0, [0; 6])), errno(Errno::ENOENT), "the newest of those alike");
    assert!(install(&current, with(raw::SECCOMP_RET_KILL_PROCESS), true, None).expect("installed").is_none());
    let verdict = current.task.filters().expect("filters").ask(&call(0, [0; 6]));
    assert_eq!(verdict, Verdict::new(raw::SECCOMP_RET_KILL_PROCESS));
}

#[test]
fn filters_have_a_length_at_most_together() {
    let current = current();
    let long = || Program::new(vec![ret(raw::SECCOMP_RET_ALLOW); raw::BPF_MAXINSNS as usize]).expect("sound");
    let results: Vec<_> = (0..9).map(|_| install(&current, long(), false, None).map(|task| task.is_none())).collect();
    assert!(results.contains(&Err(Errno::ENOMEM)) && results.first() == Some(&Ok(true)), "{results:?}");
}
