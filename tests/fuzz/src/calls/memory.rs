//! Memory: mappings, policies, and memory that processes share.

use super::{Call, Gives, bits, calls};
use crate::pool::{Class, Id};
use crate::structs;
use crate::value::Kind::{self, Address, Bytes, Fd, Flags, Int, Len, Make, Of, Offset, One, Small, Span, Text};
use linux_raw_sys::general as g;

const PROT: Kind = Flags(&[1, 1, 2, 2, 4, 8, 0x0100_0000, 0x0200_0000]);
const MAP: Kind = Flags(
    bits!(libc: MAP_SHARED MAP_SHARED MAP_PRIVATE MAP_PRIVATE MAP_PRIVATE MAP_ANONYMOUS MAP_ANONYMOUS MAP_NORESERVE MAP_POPULATE
    MAP_GROWSDOWN MAP_LOCKED MAP_32BIT MAP_STACK MAP_HUGETLB MAP_NONBLOCK MAP_FIXED_NOREPLACE MAP_SYNC),
);
const IOV: Kind = Make(structs::iovec);
const IOVS: Kind = Make(structs::iovecs);

/// One process's memory.
#[rustfmt::skip]
pub const MAPPINGS: &[Call] = calls![
    mmap(Make(|gen_| if gen_.rng.chance(50) { 0 } else { gen_.address() }), Span, PROT,
        Make(|gen_| match gen_.rng.below(4) {
            0 => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64,
            1 => libc::MAP_SHARED as u64,
            _ => gen_.value(MAP),
        }), Of(&[Class::File, Class::Memory, Class::Ring, Class::Proc]), Offset) = Gives::Area;
    munmap(Address, Span);
    mprotect(Address, Span, PROT);
    pkey_mprotect(Address, Span, PROT, One(&[u64::MAX, 0, 1]));
    mremap(Address, Span, Span, Flags(&[1, 1, 4]), Address) = Gives::Area;
    madvise(Address, Span, One(bits!(g: MADV_NORMAL MADV_RANDOM MADV_WILLNEED MADV_DONTNEED MADV_DONTNEED MADV_FREE MADV_REMOVE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_HUGEPAGE
        MADV_NOHUGEPAGE MADV_DONTDUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE MADV_DONTNEED_LOCKED MADV_COLLAPSE MADV_HWPOISON)));
    msync(Address, Span, Flags(&[1, 2, 4]));
    mincore(Address, Span, Bytes(64));
    mlock(Address, Span);
    mlock2(Address, Span, Flags(&[1]));
    munlock(Address, Span);
    mlockall(Flags(&[1, 2, 4])), 1 in 10;
    munlockall();
    brk(One(&[0, 0, 1, u64::MAX, 1 << 47])), 1 in 2;
    membarrier(One(&[0, 1, 2, 4, 8, 16, 32, 64, 128]), Small(2), Small(4));
    process_vm_readv(Kind::Pid, IOV, IOVS, IOV, IOVS, One(&[0]));
    process_vm_writev(Kind::Pid, IOV, IOVS, IOV, IOVS, One(&[0])), 1 in 20;
    set_mempolicy(Small(8), Bytes(8), Small(65));
    get_mempolicy(Bytes(4), Bytes(8), Small(65), Address, Flags(&[1, 2, 4]));
    mbind(Address, Span, Small(8), Bytes(8), Small(65), Flags(&[1, 2, 4]));
    migrate_pages(Kind::Pid, Small(65), Bytes(8), Bytes(8));
    move_pages(Kind::Pid, Small(4), Make(structs::addresses), Bytes(16), Bytes(16), Flags(&[2, 4]));
    pkey_alloc(One(&[0]), Small(4));
    pkey_free(Small(16));
    map_shadow_stack(Address, Span, Small(4));
    remap_file_pages(Address, Span, One(&[0]), Small(8), Flags(bits!(libc: MAP_NONBLOCK)));
    mseal(Address, Span, One(&[0]));
    cachestat(Fd, Bytes(16), Bytes(40), One(&[0]));
    userfaultfd(Flags(bits!(libc: O_CLOEXEC O_NONBLOCK)));
    set_mempolicy_home_node(Address, Span, Small(2), One(&[0]));
    memfd_secret(One(&[0]));
];

/// Memory of System V, and futexes.
#[rustfmt::skip]
pub const SHARED: &[Call] = calls![
    shmget(Small(6), Span, Flags(&[0o600, 0o600, 0o1000, 0o1000, 0o2000, 0o4000])) = Gives::Id(Id::Shm);
    shmat(Kind::Id(Id::Shm), Make(|gen_| if gen_.rng.chance(60) { 0 } else { gen_.address() }), Flags(&[0o10000, 0o20000, 0o40000, 0o100000])) = Gives::Area;
    shmdt(Address);
    shmctl(Kind::Id(Id::Shm), One(&[0, 1, 2, 2, 3, 11, 12, 13, 14, 15]), Bytes(112));
    futex(Make(structs::futex_word), One(&[0, 1, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 128, 129, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 256 + 9]),
        Make(structs::futex_value), Make(|gen_| if gen_.rng.chance(60) { structs::timespec(gen_) } else { gen_.small(4) }), Make(structs::futex_word), Int);
    futex_waitv(Make(structs::futex_waitv), Small(4), One(&[0]), Make(structs::timespec_or_null), Small(2));
    futex_wake(Make(structs::futex_word), One(&[u64::MAX, 1, 0]), Small(4), One(&[2, 2 | 128, 0]));
    futex_wait(Make(structs::futex_word), Make(structs::futex_value), One(&[u64::MAX, 1, 0]), One(&[2, 2 | 128, 0]), Make(structs::timespec), Small(2));
    futex_requeue(Make(structs::futex_waitv), One(&[0]), Small(4), Small(4));
    set_robust_list(Make(structs::robust_list), One(&[24, 24, 24, 23]));
    get_robust_list(Kind::Pid, Bytes(8), Bytes(8));
    rseq(Make(|gen_| gen_.victim + 12 * 4096), One(&[32, 32, 28, 64]), One(&[0, 0, 1]), One(&[0x5305_3053])), 1 in 4;
    add_key(Text, Text, Make(|gen_| gen_.any(64)), Len, One(&[-1i64 as u64, -2i64 as u64, -3i64 as u64, -4i64 as u64])) = Gives::Id(Id::Key);
    request_key(Text, Text, Text, One(&[0, -2i64 as u64, -3i64 as u64])) = Gives::Id(Id::Key);
    keyctl(Small(34), Make(key), Make(key), Make(key), Make(key));
];

/// A key, a keyring, a string or a buffer.
fn key(gen_: &mut crate::value::Gen) -> u64 {
    match gen_.rng.below(5) {
        0 => gen_.pool.id(&mut gen_.rng, Id::Key),
        1 => gen_.rng.pick(&[-1i64, -2, -3, -4, -5, -6]) as u64,
        2 => gen_.text(),
        3 => gen_.len(),
        _ => gen_.buffer(),
    }
}
