//! Calls on address spaces.

use crate::calls::Arg::{Address, Choice, Fd, Flags, Hex, Int, Out, Pid, Size, Uint, VectorIn, VectorOut};
use crate::calls::{Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::brk,                     &[Address],                                                                   Returns::Address),
    call(Sysno::mmap,                    &[Address, Size, Flags(Set::Protection), Flags(Set::Map), Fd, Hex],           Returns::Address),
    call(Sysno::munmap,                  &[Address, Size],                                                             Returns::Zero),
    call(Sysno::mprotect,                &[Address, Size, Flags(Set::Protection)],                                     Returns::Zero),
    call(Sysno::pkey_mprotect,           &[Address, Size, Flags(Set::Protection), Int],                                Returns::Zero),
    call(Sysno::pkey_alloc,              &[Uint, Flags(Set::Pkey)],                                                    Returns::Int),
    call(Sysno::pkey_free,               &[Int],                                                                       Returns::Zero),
    call(Sysno::mremap,                  &[Address, Size, Size, Flags(Set::Mremap), Address],                          Returns::Address),
    call(Sysno::remap_file_pages,        &[Address, Size, Flags(Set::Protection), Size, Flags(Set::Map)],              Returns::Zero),
    call(Sysno::msync,                   &[Address, Size, Flags(Set::Msync)],                                          Returns::Zero),
    call(Sysno::madvise,                 &[Address, Size, Choice(Set::Madvise)],                                       Returns::Zero),
    call(Sysno::process_madvise,         &[Fd, Address, Size, Choice(Set::Madvise), Uint],                             Returns::Int),
    call(Sysno::process_mrelease,        &[Fd, Uint],                                                                  Returns::Zero),
    call(Sysno::mincore,                 &[Address, Size, Address],                                                    Returns::Zero),
    call(Sysno::mlock,                   &[Address, Size],                                                             Returns::Zero),
    call(Sysno::mlock2,                  &[Address, Size, Flags(Set::Mlock)],                                          Returns::Zero),
    call(Sysno::munlock,                 &[Address, Size],                                                             Returns::Zero),
    call(Sysno::mlockall,                &[Flags(Set::Mlockall)],                                                      Returns::Zero),
    call(Sysno::munlockall,              &[],                                                                          Returns::Zero),
    call(Sysno::mseal,                   &[Address, Size, Uint],                                                       Returns::Zero),
    call(Sysno::map_shadow_stack,        &[Address, Size, Flags(Set::ShadowStack)],                                    Returns::Address),
    call(Sysno::mbind,                   &[Address, Size, Choice(Set::Policy), Address, Size, Flags(Set::PolicyMove)], Returns::Zero),
    call(Sysno::set_mempolicy,           &[Choice(Set::Policy), Address, Size],                                        Returns::Zero),
    call(Sysno::get_mempolicy,           &[Out(Shape::I32), Address, Size, Address, Flags(Set::PolicyQuery)],          Returns::Zero),
    call(Sysno::set_mempolicy_home_node, &[Address, Size, Uint, Uint],                                                 Returns::Zero),
    call(Sysno::migrate_pages,           &[Pid, Size, Address, Address],                                               Returns::Int),
    call(Sysno::move_pages,              &[Pid, Size, Address, Address, Address, Flags(Set::PolicyMove)],              Returns::Zero),
    call(Sysno::process_vm_readv,        &[Pid, VectorOut(2), Size, Address, Size, Uint],                              Returns::Int),
    call(Sysno::process_vm_writev,       &[Pid, VectorIn(2), Size, Address, Size, Uint],                               Returns::Int),
    call(Sysno::membarrier,              &[Choice(Set::Membarrier), Uint, Int],                                        Returns::Int),
];
