//! Signals and futexes: what wakes a thread.

use crate::calls::Arg::{Address, ArrayIn, Choice, Fd, Flags, Hex, In, Int, Out, Pid, Signal, Size, Uint};
use crate::calls::{Count, Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::kill,              &[Pid, Signal],                                                                Returns::Zero),
    call(Sysno::tkill,             &[Pid, Signal],                                                                Returns::Zero),
    call(Sysno::tgkill,            &[Pid, Pid, Signal],                                                           Returns::Zero),
    call(Sysno::rt_sigaction,      &[Signal, In(Shape::Sigaction), Out(Shape::Sigaction), Size],                  Returns::Zero),
    call(Sysno::rt_sigprocmask,    &[Choice(Set::SigHow), In(Shape::Sigset), Out(Shape::Sigset), Size],           Returns::Zero),
    call(Sysno::rt_sigpending,     &[Out(Shape::Sigset), Size],                                                   Returns::Zero),
    call(Sysno::rt_sigsuspend,     &[In(Shape::Sigset), Size],                                                    Returns::Zero),
    call(Sysno::rt_sigtimedwait,   &[In(Shape::Sigset), Out(Shape::Siginfo), In(Shape::Timespec), Size],          Returns::Signal),
    call(Sysno::rt_sigqueueinfo,   &[Pid, Signal, In(Shape::Siginfo)],                                            Returns::Zero),
    call(Sysno::rt_tgsigqueueinfo, &[Pid, Pid, Signal, In(Shape::Siginfo)],                                       Returns::Zero),
    call(Sysno::rt_sigreturn,      &[],                                                                           Returns::Int),
    call(Sysno::sigaltstack,       &[In(Shape::Stack), Out(Shape::Stack)],                                        Returns::Zero),
    call(Sysno::signalfd,          &[Fd, In(Shape::Sigset), Size],                                                Returns::Fd),
    call(Sysno::signalfd4,         &[Fd, In(Shape::Sigset), Size, Flags(Set::Pipe)],                              Returns::Fd),
    call(Sysno::pidfd_send_signal, &[Fd, Signal, In(Shape::Siginfo), Uint],                                       Returns::Zero),
    call(Sysno::pause,             &[],                                                                           Returns::Zero),
    call(Sysno::restart_syscall,   &[],                                                                           Returns::Int),
    call(Sysno::futex,             &[Address, Choice(Set::Futex), Hex, Hex, Hex, Hex],                            Returns::Int),
    call(Sysno::futex_wait,        &[Address, Hex, Hex, Flags(Set::Futex2), In(Shape::Timespec), Choice(Set::Clock)], Returns::Zero),
    call(Sysno::futex_wake,        &[Address, Hex, Int, Flags(Set::Futex2)],                                      Returns::Int),
    call(Sysno::futex_requeue,     &[ArrayIn(Shape::FutexWaitv, Count::Fixed(2)), Uint, Int, Int],                Returns::Int),
    call(Sysno::futex_waitv,       &[ArrayIn(Shape::FutexWaitv, Count::Arg(1)), Uint, Uint, In(Shape::Timespec), Choice(Set::Clock)], Returns::Int),
];
