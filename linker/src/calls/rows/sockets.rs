//! Sockets.

use crate::calls::Arg::{
    ArrayOut, BytesIn, BytesOut, Choice, Fd, Flags, In, InOut, Int, MessageIn, MessageOut, MessagesIn, MessagesOut,
    OptionIn, OptionOut, Size, SocketAddressIn, SocketAddressOut, Uint,
};
use crate::calls::{Count, Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::socket,      &[Choice(Set::Family), Flags(Set::SocketType), Choice(Set::Protocol)],         Returns::Fd),
    call(Sysno::socketpair,  &[Choice(Set::Family), Flags(Set::SocketType), Int, ArrayOut(Shape::I32, Count::Fixed(2))], Returns::Zero),
    call(Sysno::bind,        &[Fd, SocketAddressIn(2), Uint],                                               Returns::Zero),
    call(Sysno::connect,     &[Fd, SocketAddressIn(2), Uint],                                               Returns::Zero),
    call(Sysno::listen,      &[Fd, Int],                                                                    Returns::Zero),
    call(Sysno::accept,      &[Fd, SocketAddressOut(2), InOut(Shape::U32)],                                 Returns::Fd),
    call(Sysno::accept4,     &[Fd, SocketAddressOut(2), InOut(Shape::U32), Flags(Set::SocketFlags)],        Returns::Fd),
    call(Sysno::getsockname, &[Fd, SocketAddressOut(2), InOut(Shape::U32)],                                 Returns::Zero),
    call(Sysno::getpeername, &[Fd, SocketAddressOut(2), InOut(Shape::U32)],                                 Returns::Zero),
    call(Sysno::sendto,      &[Fd, BytesIn(2), Size, Flags(Set::Message), SocketAddressIn(5), Uint],        Returns::Int),
    call(Sysno::recvfrom,    &[Fd, BytesOut(2), Size, Flags(Set::Message), SocketAddressOut(5), InOut(Shape::U32)], Returns::Int),
    call(Sysno::sendmsg,     &[Fd, MessageIn, Flags(Set::Message)],                                         Returns::Int),
    call(Sysno::recvmsg,     &[Fd, MessageOut, Flags(Set::Message)],                                        Returns::Int),
    call(Sysno::sendmmsg,    &[Fd, MessagesIn(2), Uint, Flags(Set::Message)],                               Returns::Int),
    call(Sysno::recvmmsg,    &[Fd, MessagesOut(2), Uint, Flags(Set::Message), In(Shape::Timespec)],         Returns::Int),
    call(Sysno::shutdown,    &[Fd, Choice(Set::Shutdown)],                                                  Returns::Zero),
    call(Sysno::setsockopt,  &[Fd, Choice(Set::SocketLevel), Choice(Set::SocketOption), OptionIn(4), Uint], Returns::Zero),
    call(Sysno::getsockopt,  &[Fd, Choice(Set::SocketLevel), Choice(Set::SocketOption), OptionOut(4), InOut(Shape::U32)], Returns::Zero),
];
