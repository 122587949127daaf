//! Names of what calls on memory and IPC take.

use super::{CHOICE, Name};
use linux_raw_sys::general::membarrier_cmd;
use linux_raw_sys::{general, mempolicy};

pub(super) const PROTECTION: &[Name] = names! {
    in (CHOICE) { general::PROT_NONE }
    bits {
        general::PROT_READ, general::PROT_WRITE, general::PROT_EXEC, general::PROT_SEM, general::PROT_GROWSDOWN,
        general::PROT_GROWSUP,
    }
};

pub(super) const MAP: &[Name] = names! {
    in (general::MAP_TYPE) {
        general::MAP_FILE, general::MAP_SHARED, general::MAP_PRIVATE, general::MAP_SHARED_VALIDATE,
        general::MAP_DROPPABLE,
    }
    bits {
        general::MAP_FIXED, general::MAP_ANONYMOUS, general::MAP_32BIT, general::MAP_ABOVE4G, general::MAP_NORESERVE,
        general::MAP_POPULATE, general::MAP_NONBLOCK, general::MAP_GROWSDOWN, general::MAP_DENYWRITE,
        general::MAP_EXECUTABLE, general::MAP_LOCKED, general::MAP_STACK, general::MAP_HUGETLB, general::MAP_SYNC,
        general::MAP_FIXED_NOREPLACE,
    }
};

pub(super) const MREMAP: &[Name] = names! {
    bits { general::MREMAP_MAYMOVE, general::MREMAP_FIXED, general::MREMAP_DONTUNMAP }
};

pub(super) const MSYNC: &[Name] = names! {
    bits { general::MS_ASYNC, general::MS_INVALIDATE, general::MS_SYNC }
};

pub(super) const MADVISE: &[Name] = names! {
    in (CHOICE) {
        general::MADV_NORMAL, general::MADV_RANDOM, general::MADV_SEQUENTIAL, general::MADV_WILLNEED,
        general::MADV_DONTNEED, general::MADV_FREE, general::MADV_REMOVE, general::MADV_DONTFORK,
        general::MADV_DOFORK, general::MADV_HWPOISON, general::MADV_SOFT_OFFLINE, general::MADV_MERGEABLE,
        general::MADV_UNMERGEABLE, general::MADV_HUGEPAGE, general::MADV_NOHUGEPAGE, general::MADV_DONTDUMP,
        general::MADV_DODUMP, general::MADV_WIPEONFORK, general::MADV_KEEPONFORK, general::MADV_COLD,
        general::MADV_PAGEOUT, general::MADV_POPULATE_READ, general::MADV_POPULATE_WRITE,
        general::MADV_DONTNEED_LOCKED, general::MADV_COLLAPSE, general::MADV_GUARD_INSTALL,
        general::MADV_GUARD_REMOVE,
    }
};

pub(super) const MLOCK: &[Name] = names! {
    bits { general::MLOCK_ONFAULT }
};

pub(super) const MLOCKALL: &[Name] = names! {
    bits { general::MCL_CURRENT, general::MCL_FUTURE, general::MCL_ONFAULT }
};

pub(super) const PKEY: &[Name] = names! {
    bits { general::PKEY_DISABLE_ACCESS, general::PKEY_DISABLE_WRITE }
};

pub(super) const SHADOW_STACK: &[Name] = names! {
    bits { general::SHADOW_STACK_SET_TOKEN, general::SHADOW_STACK_SET_MARKER }
};

pub(super) const POLICY: &[Name] = names! {
    in (!mempolicy::MPOL_MODE_FLAGS) {
        mempolicy::MPOL_DEFAULT, mempolicy::MPOL_PREFERRED, mempolicy::MPOL_BIND, mempolicy::MPOL_INTERLEAVE,
        mempolicy::MPOL_LOCAL, mempolicy::MPOL_PREFERRED_MANY, mempolicy::MPOL_WEIGHTED_INTERLEAVE,
    }
    bits {
        mempolicy::MPOL_F_STATIC_NODES, mempolicy::MPOL_F_RELATIVE_NODES, mempolicy::MPOL_F_NUMA_BALANCING,
    }
};

pub(super) const POLICY_MOVE: &[Name] = names! {
    bits { mempolicy::MPOL_MF_STRICT, mempolicy::MPOL_MF_MOVE, mempolicy::MPOL_MF_MOVE_ALL }
};

pub(super) const POLICY_QUERY: &[Name] = names! {
    bits { mempolicy::MPOL_F_NODE, mempolicy::MPOL_F_ADDR, mempolicy::MPOL_F_MEMS_ALLOWED }
};

pub(super) const MEMBARRIER: &[Name] = names! {
    in (CHOICE) {
        membarrier_cmd::MEMBARRIER_CMD_QUERY, membarrier_cmd::MEMBARRIER_CMD_GLOBAL,
        membarrier_cmd::MEMBARRIER_CMD_GLOBAL_EXPEDITED, membarrier_cmd::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
        membarrier_cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED, membarrier_cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
        membarrier_cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
        membarrier_cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
        membarrier_cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
        membarrier_cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
        membarrier_cmd::MEMBARRIER_CMD_GET_REGISTRATIONS,
    }
};

pub(super) const IPC_GET: &[Name] = names! {
    bits { libc::IPC_CREAT, libc::IPC_EXCL, libc::IPC_NOWAIT }
};

pub(super) const IPC_COMMAND: &[Name] = names! {
    in (CHOICE) {
        libc::IPC_RMID, libc::IPC_SET, libc::IPC_STAT, libc::IPC_INFO, libc::GETPID, libc::GETVAL, libc::GETALL,
        libc::GETNCNT, libc::GETZCNT, libc::SETVAL, libc::SETALL, libc::SHM_LOCK, libc::SHM_UNLOCK,
    }
};

pub(super) const IPC_MESSAGE: &[Name] = names! {
    bits { libc::MSG_NOERROR, libc::MSG_EXCEPT, libc::MSG_COPY, libc::IPC_NOWAIT }
};

pub(in crate::trace) const SEM_FLAGS: &[Name] = names! {
    bits { libc::SEM_UNDO, libc::IPC_NOWAIT }
};

pub(super) const SHMAT: &[Name] = names! {
    bits { libc::SHM_RDONLY, libc::SHM_RND, libc::SHM_REMAP, libc::SHM_EXEC }
};
