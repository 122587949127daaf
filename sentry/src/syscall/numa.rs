//! set_mempolicy, mbind and what else is about memory nodes, of which there is one: number 0.

use super::table::{Level, Row, arg, finish, row};
use super::{UserPtr, memory};
use crate::errno::Errno;
use crate::mm::Policy;
use crate::task::access::may_attach;
use crate::task::{Cap, Current, Task, Tid, registry};
use alloc::sync::Arc;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::mempolicy::{
    self as mp, MPOL_F_ADDR, MPOL_F_MEMS_ALLOWED, MPOL_F_NODE, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES,
    MPOL_MF_MOVE, MPOL_MF_MOVE_ALL, MPOL_MF_STRICT,
};
use syscalls::Sysno;

const MPOL_DEFAULT: u32 = mp::MPOL_DEFAULT as u32;
const MPOL_PREFERRED: u32 = mp::MPOL_PREFERRED as u32;
const MPOL_INTERLEAVE: u32 = mp::MPOL_INTERLEAVE as u32;
const MPOL_LOCAL: u32 = mp::MPOL_LOCAL as u32;
const MPOL_END: u32 = mp::MPOL_MAX as u32;

/// Bits that a mask may have at most. (Those beyond the first word are for nodes that a kernel built for 64 cannot have.)
const MASK_LIMIT: u64 = PAGE_SIZE * 8;

/// Reads a node mask; the bits for other nodes than 0 are returned as a whole.
fn read_mask(current: &Current, at: UserPtr<u64>, bits: u64) -> Result<(bool, bool), Errno> {
    let bits = bits.wrapping_sub(1);
    if bits == 0 || bits == u64::MAX || at.is_null() {
        return Ok((false, false));
    }
    if bits > MASK_LIMIT {
        return Err(Errno::EINVAL);
    }
    let words = bits.div_ceil(64) as usize;
    let mut mask = at.read_vec(current, words)?;
    if !bits.is_multiple_of(64)
        && let Some(last) = mask.last_mut()
    {
        *last &= (1 << (bits % 64)) - 1;
    }
    let first = mask.first().copied().unwrap_or(0);
    // Nodes that cannot be there at all.
    if mask.iter().skip(1).any(|word| *word != 0) {
        return Err(Errno::EINVAL);
    }
    Ok((first & 1 != 0, first & !1 != 0))
}

/// The policy that a mode and a mask make. EINVAL for those that make none.
fn policy(current: &Current, mode: u32, at: UserPtr<u64>, bits: u64) -> Result<Policy, Errno> {
    let flags = mode & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES);
    let mode = mode & !flags;
    if mode >= MPOL_END || flags == MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES {
        return Err(Errno::EINVAL);
    }
    let (node, others) = read_mask(current, at, bits)?;
    let empty = !node && !others;
    match mode {
        MPOL_DEFAULT if empty => Ok(Policy::default()),
        MPOL_PREFERRED | MPOL_LOCAL if empty && flags == 0 => Ok(Policy { mode: MPOL_LOCAL, node: false }),
        MPOL_DEFAULT | MPOL_LOCAL => Err(Errno::EINVAL),
        // A mask that has none of the nodes that are there.
        _ if !node => Err(Errno::EINVAL),
        _ => Ok(Policy { mode, node }),
    }
}

/// set_mempolicy(2).
pub fn set_mempolicy(current: &mut Current, mode: u32, at: UserPtr<u64>, bits: u64) -> Result<(), Errno> {
    current.memory_policy = policy(current, mode, at, bits)?;
    Ok(())
}

/// mbind(2).
pub fn mbind(
    current: &mut Current,
    at: UserVa,
    len: u64,
    mode: u32,
    mask: UserPtr<u64>,
    bits: u64,
    flags: u32,
) -> Result<(), Errno> {
    if flags & !(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    let policy = policy(current, mode, mask, bits)?;
    if flags & MPOL_MF_MOVE_ALL != 0 && !current.creds.has(Cap::SysNice) {
        return Err(Errno::EPERM);
    }
    let (start, end) = memory::range(at, len, Errno::EINVAL)?;
    if start == end {
        return Ok(());
    }
    current.mm.set_policy(start, end, policy)
}

/// get_mempolicy(2).
pub fn get_mempolicy(
    current: &mut Current,
    mode: UserPtr<u32>,
    mask: UserPtr<u64>,
    bits: u64,
    at: UserVa,
    flags: u64,
) -> Result<(), Errno> {
    let known = u64::from(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED);
    if flags & !known != 0 || !mask.is_null() && bits < 1 {
        return Err(Errno::EINVAL);
    }
    let flags = flags as u32;
    let (shown, node) = if flags & MPOL_F_MEMS_ALLOWED != 0 {
        if flags & (MPOL_F_NODE | MPOL_F_ADDR) != 0 {
            return Err(Errno::EINVAL);
        }
        (0, true)
    } else {
        let found = if flags & MPOL_F_ADDR != 0 {
            current.mm.policy_at(at.raw())?
        } else if at.raw() != 0 {
            return Err(Errno::EINVAL);
        } else {
            current.memory_policy
        };
        match flags & (MPOL_F_NODE | MPOL_F_ADDR) {
            // The node of the page there.
            both if both == MPOL_F_NODE | MPOL_F_ADDR => (0, found.node),
            // The node that comes next.
            MPOL_F_NODE if found.mode == MPOL_INTERLEAVE => (0, found.node),
            MPOL_F_NODE => return Err(Errno::EINVAL),
            _ => (found.mode, found.node),
        }
    };
    if let Some(mode) = mode.non_null() {
        mode.write(current, &shown)?;
    }
    match mask.non_null() {
        Some(mask) => write_mask(current, mask, bits, node),
        None => Ok(()),
    }
}

/// Writes the mask, and zeroes as far as the caller's goes.
fn write_mask(current: &Current, at: UserPtr<u64>, bits: u64, node: bool) -> Result<(), Errno> {
    let words = bits.wrapping_sub(1).min(MASK_LIMIT).div_ceil(64).max(1) as usize;
    let mut mask = alloc::vec![0; words];
    if let Some(first) = mask.first_mut() {
        *first = u64::from(node);
    }
    at.write_slice(current, &mask)
}

/// A task that the caller may look into; 0 is the caller itself.
fn task_of(current: &Current, pid: i32) -> Result<Arc<Task>, Errno> {
    if pid == 0 {
        return Ok(current.task.clone());
    }
    let task =
        u32::try_from(pid).ok().and_then(|pid| registry().task(current.meant(Tid::new(pid)))).ok_or(Errno::ESRCH)?;
    if may_attach(current, &task) { Ok(task) } else { Err(Errno::EPERM) }
}

/// migrate_pages(2): all pages are where they can be.
pub fn migrate_pages(
    current: &mut Current,
    pid: i32,
    bits: u64,
    from: UserPtr<u64>,
    to: UserPtr<u64>,
) -> Result<u64, Errno> {
    read_mask(current, from, bits)?;
    let (node, others) = read_mask(current, to, bits)?;
    task_of(current, pid)?;
    if others && !current.creds.has(Cap::SysNice) {
        return Err(Errno::EPERM);
    }
    if node { Ok(0) } else { Err(Errno::EINVAL) }
}

/// move_pages(2): says of each page that it is on node 0, or why it is not there.
pub fn move_pages(
    current: &mut Current,
    pid: i32,
    count: u64,
    pages: UserPtr<u64>,
    nodes: UserPtr<i32>,
    status: UserPtr<i32>,
    flags: u32,
) -> Result<u64, Errno> {
    if flags & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !current.creds.has(Cap::SysNice) {
        return Err(Errno::EPERM);
    }
    let task = task_of(current, pid)?;
    let mm = task.published().mm.ok_or(Errno::EINVAL)?;
    for index in 0..usize::try_from(count).map_err(|_| Errno::E2BIG)? {
        let page = pages.nth(index).read(current)?;
        if let Some(nodes) = nodes.non_null()
            && nodes.nth(index).read(current)? != 0
        {
            return Err(Errno::ENODEV);
        }
        let page = page & !(PAGE_SIZE - 1);
        let found = match mm.in_core(page, 1) {
            Ok(resident) if resident.first().is_some_and(|byte| byte & 1 != 0) => 0,
            Ok(_) => -i32::from(Errno::ENOENT.raw()),
            Err(_) => -i32::from(Errno::EFAULT.raw()),
        };
        status.nth(index).write(current, &found)?;
        crate::platform::platform().preempt();
        if current.interrupted() {
            return Err(Errno::EINTR);
        }
    }
    Ok(0)
}

pub(super) const ROWS: &[Row] = &[
    row!(set_mempolicy = set_mempolicy(3), Partial, "one node; remembered and shown"),
    row!(get_mempolicy = get_mempolicy(5), Partial, "one node"),
    row!(mbind = mbind(6), Partial, "one node; remembered and shown"),
    row!(migrate_pages = migrate_pages(4), Partial, "one node: nothing ever moves"),
    row!(move_pages = move_pages(6), Partial, "one node: nothing ever moves"),
];
