//! Mounts, file systems and swap.

use crate::calls::Arg::{Address, Choice, Device, DirFd, Fd, Flags, Hex, In, Int, Out, Path, Size, Text, Uint};
use crate::calls::{Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::mount,          &[Text, Path, Text, Flags(Set::Mount), Text],                     Returns::Zero),
    call(Sysno::umount2,        &[Path, Flags(Set::Umount)],                                      Returns::Zero),
    call(Sysno::pivot_root,     &[Path, Path],                                                    Returns::Zero),
    call(Sysno::statfs,         &[Path, Out(Shape::Statfs)],                                      Returns::Zero),
    call(Sysno::fstatfs,        &[Fd, Out(Shape::Statfs)],                                        Returns::Zero),
    call(Sysno::ustat,          &[Device, Address],                                               Returns::Zero),
    call(Sysno::sysfs,          &[Int, Hex, Hex],                                                 Returns::Int),
    call(Sysno::open_tree,      &[DirFd, Path, Flags(Set::OpenTree)],                             Returns::Fd),
    call(Sysno::open_tree_attr, &[DirFd, Path, Flags(Set::OpenTree), In(Shape::MountAttr), Size], Returns::Fd),
    call(Sysno::move_mount,     &[DirFd, Path, DirFd, Path, Flags(Set::MoveMount)],               Returns::Zero),
    call(Sysno::fsopen,         &[Text, Flags(Set::Fsopen)],                                      Returns::Fd),
    call(Sysno::fsconfig,       &[Fd, Choice(Set::Fsconfig), Text, Address, Int],                 Returns::Zero),
    call(Sysno::fsmount,        &[Fd, Flags(Set::Fsmount), Flags(Set::MountAttr)],                Returns::Fd),
    call(Sysno::fspick,         &[DirFd, Path, Flags(Set::Fspick)],                               Returns::Fd),
    call(Sysno::mount_setattr,  &[DirFd, Path, Flags(Set::At), In(Shape::MountAttr), Size],       Returns::Zero),
    call(Sysno::statmount,      &[Address, Address, Size, Uint],                                  Returns::Zero),
    call(Sysno::listmount,      &[Address, Address, Size, Uint],                                  Returns::Int),
    call(Sysno::quotactl,       &[Hex, Text, Uint, Address],                                      Returns::Zero),
    call(Sysno::quotactl_fd,    &[Fd, Hex, Uint, Address],                                        Returns::Zero),
    call(Sysno::swapon,         &[Path, Hex],                                                     Returns::Zero),
    call(Sysno::swapoff,        &[Path],                                                          Returns::Zero),
];
