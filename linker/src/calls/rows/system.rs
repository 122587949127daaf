//! The machine and the kernel: names, randomness, keys, filters, modules.

use crate::calls::Arg::{Address, BytesIn, BytesOut, Choice, Fd, Flags, Hex, Int, Mode, Out, Pid, Size, Text, Uint};
use crate::calls::{Returns, Set, Shape, Signature, call};
use syscalls::Sysno;

#[rustfmt::skip]
pub(in crate::calls) const ROWS: &[Signature] = &[
    call(Sysno::uname,                   &[Out(Shape::Utsname)],                                      Returns::Zero),
    call(Sysno::sethostname,             &[BytesIn(1), Size],                                         Returns::Zero),
    call(Sysno::setdomainname,           &[BytesIn(1), Size],                                         Returns::Zero),
    call(Sysno::sysinfo,                 &[Out(Shape::Sysinfo)],                                      Returns::Zero),
    call(Sysno::umask,                   &[Mode],                                                     Returns::Octal),
    call(Sysno::getrandom,               &[BytesOut(1), Size, Flags(Set::Random)],                    Returns::Int),
    call(Sysno::syslog,                  &[Choice(Set::Syslog), Address, Int],                        Returns::Int),
    call(Sysno::reboot,                  &[Hex, Hex, Choice(Set::Reboot), Address],                   Returns::Zero),
    call(Sysno::vhangup,                 &[],                                                         Returns::Zero),
    call(Sysno::add_key,                 &[Text, Text, BytesIn(3), Size, Choice(Set::Keyring)],       Returns::Int),
    call(Sysno::request_key,             &[Text, Text, Text, Choice(Set::Keyring)],                   Returns::Int),
    call(Sysno::keyctl,                  &[Choice(Set::Keyctl), Hex, Hex, Hex, Hex],                  Returns::Int),
    call(Sysno::seccomp,                 &[Choice(Set::Seccomp), Flags(Set::SeccompFilter), Address], Returns::Int),
    call(Sysno::bpf,                     &[Choice(Set::Bpf), Address, Uint],                          Returns::Int),
    call(Sysno::perf_event_open,         &[Address, Pid, Int, Fd, Flags(Set::Perf)],                  Returns::Fd),
    call(Sysno::landlock_create_ruleset, &[Address, Size, Flags(Set::LandlockCreate)],                Returns::Fd),
    call(Sysno::landlock_add_rule,       &[Fd, Choice(Set::LandlockRule), Address, Uint],             Returns::Zero),
    call(Sysno::landlock_restrict_self,  &[Fd, Uint],                                                 Returns::Zero),
    call(Sysno::lsm_get_self_attr,       &[Uint, Address, Address, Uint],                             Returns::Int),
    call(Sysno::lsm_set_self_attr,       &[Uint, Address, Size, Uint],                                Returns::Zero),
    call(Sysno::lsm_list_modules,        &[Address, Address, Uint],                                   Returns::Int),
    call(Sysno::init_module,             &[Address, Size, Text],                                      Returns::Zero),
    call(Sysno::finit_module,            &[Fd, Text, Uint],                                           Returns::Zero),
    call(Sysno::delete_module,           &[Text, Flags(Set::Pipe)],                                   Returns::Zero),
    call(Sysno::kexec_load,              &[Hex, Size, Address, Hex],                                  Returns::Zero),
    call(Sysno::kexec_file_load,         &[Fd, Fd, Size, Text, Hex],                                  Returns::Zero),
    call(Sysno::uretprobe,               &[],                                                         Returns::Int),
    call(Sysno::uprobe,                  &[],                                                         Returns::Int),
    call(Sysno::lookup_dcookie,          &[Hex, Address, Size],                                       Returns::Int),
    call(Sysno::create_module,           &[Text, Size],                                               Returns::Address),
    call(Sysno::query_module,            &[Text, Int, Address, Size, Address],                        Returns::Zero),
    call(Sysno::get_kernel_syms,         &[Address],                                                  Returns::Int),
    call(Sysno::nfsservctl,              &[Int, Address, Address],                                    Returns::Int),
    call(Sysno::_sysctl,                 &[Address],                                                  Returns::Zero),
];
