//! Clocks, timers and sleep.

use crate::calls::Arg::{Address, Choice, Fd, Flags, In, Int, Out, Uint};
use crate::calls::{Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::time,             &[Out(Shape::I64)],                                                           Returns::Int),
    call(Sysno::gettimeofday,     &[Out(Shape::Timeval), Address],                                              Returns::Zero),
    call(Sysno::settimeofday,     &[In(Shape::Timeval), Address],                                               Returns::Zero),
    call(Sysno::adjtimex,         &[Address],                                                                   Returns::Int),
    call(Sysno::clock_adjtime,    &[Choice(Set::Clock), Address],                                               Returns::Int),
    call(Sysno::clock_gettime,    &[Choice(Set::Clock), Out(Shape::Timespec)],                                  Returns::Zero),
    call(Sysno::clock_settime,    &[Choice(Set::Clock), In(Shape::Timespec)],                                   Returns::Zero),
    call(Sysno::clock_getres,     &[Choice(Set::Clock), Out(Shape::Timespec)],                                  Returns::Zero),
    call(Sysno::clock_nanosleep,  &[Choice(Set::Clock), Flags(Set::TimerSet), In(Shape::Timespec), Address],    Returns::Zero),
    call(Sysno::nanosleep,        &[In(Shape::Timespec), Address],                                              Returns::Zero),
    call(Sysno::alarm,            &[Uint],                                                                      Returns::Int),
    call(Sysno::getitimer,        &[Choice(Set::Itimer), Out(Shape::Itimerval)],                                Returns::Zero),
    call(Sysno::setitimer,        &[Choice(Set::Itimer), In(Shape::Itimerval), Out(Shape::Itimerval)],          Returns::Zero),
    call(Sysno::timer_create,     &[Choice(Set::Clock), In(Shape::Sigevent), Out(Shape::I32)],                  Returns::Zero),
    call(Sysno::timer_settime,    &[Int, Flags(Set::TimerSet), In(Shape::Itimerspec), Out(Shape::Itimerspec)],  Returns::Zero),
    call(Sysno::timer_gettime,    &[Int, Out(Shape::Itimerspec)],                                               Returns::Zero),
    call(Sysno::timer_getoverrun, &[Int],                                                                       Returns::Int),
    call(Sysno::timer_delete,     &[Int],                                                                       Returns::Zero),
    call(Sysno::timerfd_create,   &[Choice(Set::Clock), Flags(Set::Timerfd)],                                   Returns::Fd),
    call(Sysno::timerfd_settime,  &[Fd, Flags(Set::TimerfdSet), In(Shape::Itimerspec), Out(Shape::Itimerspec)], Returns::Zero),
    call(Sysno::timerfd_gettime,  &[Fd, Out(Shape::Itimerspec)],                                                Returns::Zero),
];
