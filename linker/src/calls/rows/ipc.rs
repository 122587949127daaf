//! System V and POSIX IPC.

use crate::calls::Arg::{
    Address, ArrayIn, BytesIn, BytesOut, Choice, Fd, Flags, Hex, In, Int, Long, Mode, Out, Size, Text, Uint,
};
use crate::calls::{Count, Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::semget,          &[Hex, Int, Flags(Set::IpcGet)],                                          Returns::Int),
    call(Sysno::semop,           &[Int, ArrayIn(Shape::Sembuf, Count::Arg(2)), Size],                      Returns::Zero),
    call(Sysno::semtimedop,      &[Int, ArrayIn(Shape::Sembuf, Count::Arg(2)), Size, In(Shape::Timespec)], Returns::Zero),
    call(Sysno::semctl,          &[Int, Int, Choice(Set::IpcCommand), Address],                            Returns::Int),
    call(Sysno::msgget,          &[Hex, Flags(Set::IpcGet)],                                               Returns::Int),
    call(Sysno::msgsnd,          &[Int, Address, Size, Flags(Set::IpcMessage)],                            Returns::Zero),
    call(Sysno::msgrcv,          &[Int, Address, Size, Long, Flags(Set::IpcMessage)],                      Returns::Int),
    call(Sysno::msgctl,          &[Int, Choice(Set::IpcCommand), Address],                                 Returns::Int),
    call(Sysno::shmget,          &[Hex, Size, Flags(Set::IpcGet)],                                         Returns::Int),
    call(Sysno::shmat,           &[Int, Address, Flags(Set::Shmat)],                                       Returns::Address),
    call(Sysno::shmdt,           &[Address],                                                               Returns::Zero),
    call(Sysno::shmctl,          &[Int, Choice(Set::IpcCommand), Address],                                 Returns::Int),
    call(Sysno::mq_open,         &[Text, Flags(Set::Open), Mode, In(Shape::MqAttr)],                       Returns::Fd),
    call(Sysno::mq_unlink,       &[Text],                                                                  Returns::Zero),
    call(Sysno::mq_timedsend,    &[Fd, BytesIn(2), Size, Uint, In(Shape::Timespec)],                       Returns::Zero),
    call(Sysno::mq_timedreceive, &[Fd, BytesOut(2), Size, Out(Shape::U32), In(Shape::Timespec)],           Returns::Int),
    call(Sysno::mq_notify,       &[Fd, In(Shape::Sigevent)],                                               Returns::Zero),
    call(Sysno::mq_getsetattr,   &[Fd, In(Shape::MqAttr), Out(Shape::MqAttr)],                             Returns::Zero),
];
