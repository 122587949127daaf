//! Namespaces of process numbers (pid_namespaces(7)).
//!
//! Inside the sentry a task has one number, that of the first namespace, which every table goes by. A task in a nested
//! namespace has a further number in it and in each between; they are translated where user space names or sees them.
//! `None` in a `PidSpace` is the first namespace. Which numbers a task has is kept in the registry (`Tables::shown`), and the
//! other way round here.

use super::{Tid, UserSpace};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::uts::namespace_number;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

/// A namespace of numbers, `None` for the first.
pub type PidSpace = Option<Arc<PidNs>>;

/// The first one's number in `/proc/PID/ns` (include/linux/proc_ns.h: PROC_PID_INIT_INO).
const INITIAL_NUMBER: u32 = 0xefff_fffc;
/// How deep they nest (pid_namespaces(7)).
const MOST_LEVELS: u32 = 32;

/// A nested namespace.
pub struct PidNs {
    number: u32,
    level: u32,
    parent: PidSpace,
    owner: UserSpace,
    table: Lock<Table>,
}

#[derive(Default)]
struct Table {
    last: u32,
    /// Numbers at most, 0 for no limit: a container's.
    most: usize,
    global: BTreeMap<u32, Tid>,
    /// The first process, once there was one.
    init: Option<Tid>,
    /// Its first process is gone: nothing is born here any more.
    dead: bool,
}

impl PidNs {
    /// A namespace in `parent`, of `owner`. ENOSPC below too many others.
    pub fn new(parent: &PidSpace, owner: UserSpace) -> Result<Arc<Self>, Errno> {
        let level = parent.as_ref().map_or(0, |parent| parent.level) + 1;
        if level > MOST_LEVELS {
            return Err(Errno::ENOSPC);
        }
        let table = Lock::new(Rank::Leaf, Table::default());
        Ok(Arc::new(Self { number: namespace_number(), level, parent: parent.clone(), owner, table }))
    }

    /// What is around it.
    pub fn parent(&self) -> &PidSpace {
        &self.parent
    }

    /// Whose capabilities count.
    pub fn owner(&self) -> &UserSpace {
        &self.owner
    }

    /// Its first process.
    pub fn init(&self) -> Option<Tid> {
        self.table.lock().init
    }

    /// The task that has `number` here.
    pub fn global(&self, number: Tid) -> Option<Tid> {
        self.table.lock().global.get(&number.raw()).copied()
    }

    /// The number given last.
    pub fn last(&self) -> u32 {
        self.table.lock().last
    }

    /// The next number given is the one behind this, if that is free.
    pub fn set_last(&self, number: u32) {
        self.table.lock().last = number;
    }

    /// Limits the tasks in it; 0 for no limit. Those that are there already stay.
    pub fn limit_tasks(&self, most: u32) {
        self.table.lock().most = most as usize;
    }

    /// Nothing is born here any more.
    pub fn close(&self) {
        self.table.lock().dead = true;
    }

    /// Gives `tid` a number. The first is 1, and the namespace's first process. ENOMEM once that is gone,
    /// EAGAIN at the limit.
    pub(super) fn number_for(&self, tid: Tid) -> Result<u32, Errno> {
        let mut table = self.table.lock();
        if table.dead {
            return Err(Errno::ENOMEM);
        }
        if table.most != 0 && table.global.len() >= table.most {
            return Err(Errno::EAGAIN);
        }
        loop {
            table.last = if table.last + 1 >= super::PID_MAX { super::registry::PID_RESTART } else { table.last + 1 };
            let number = table.last;
            if let alloc::collections::btree_map::Entry::Vacant(entry) = table.global.entry(number) {
                entry.insert(tid);
                break;
            }
        }
        let number = table.last;
        table.init.get_or_insert(tid);
        Ok(number)
    }

    /// Nobody has the number any more.
    pub(super) fn release(&self, number: u32) {
        self.table.lock().global.remove(&number);
    }
}

/// The number in `/proc/PID/ns`.
pub fn number(space: &PidSpace) -> u32 {
    space.as_ref().map_or(INITIAL_NUMBER, |ns| ns.number)
}

/// Whether both are one.
pub fn same(one: &PidSpace, other: &PidSpace) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// Whether `inner` is `outer` or somewhere in it.
pub fn is_within(inner: &PidSpace, outer: &PidSpace) -> bool {
    let mut at = inner;
    loop {
        if same(at, outer) {
            return true;
        }
        match at {
            Some(ns) => at = &ns.parent,
            None => return false,
        }
    }
}

/// `space` and what is around it, without the first, innermost first.
pub(super) fn chain(space: &PidSpace) -> impl Iterator<Item = &Arc<PidNs>> {
    core::iter::successors(space.as_ref(), |ns| ns.parent.as_ref())
}

#[cfg(test)]
mod tests {
    use super::{PidNs, Tid};
    use crate::errno::Errno;

    #[test]
    fn a_namespace_has_no_more_numbers_than_its_limit() {
        let _current = crate::fake::current();
        let pids = PidNs::new(&None, None).expect("made");
        pids.limit_tasks(2);
        assert_eq!([10, 11, 12].map(|tid| pids.number_for(Tid::new(tid))), [Ok(1), Ok(2), Err(Errno::EAGAIN)]);
        pids.release(2);
        assert_eq!(pids.number_for(Tid::new(13)), Ok(3));
        pids.limit_tasks(0);
        assert_eq!((pids.number_for(Tid::new(14)), pids.init()), (Ok(4), Some(Tid::new(10))));
    }
}
