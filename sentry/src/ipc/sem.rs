//! System V semaphores: sets by key and number, operations that happen whole or not at all, and their undoing at exit.

use super::ids::Ids;
use super::tables::{self, Tables};
use super::{IpcNs, PRIVATE, Perm, READ, WRITE, now, wanted};
use crate::errno::Errno;
use crate::task::{Current, Tid};
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// SEMMSL, SEMMNI, SEMOPM, SEMVMX, SEMMNS (linux/sem.h).
pub static MOST_IN_SET: AtomicU32 = AtomicU32::new(32_000);
/// See `MOST_IN_SET`.
pub static MOST_SETS: AtomicU32 = AtomicU32::new(32_000);
/// See `MOST_IN_SET`.
pub static MOST_OPERATIONS: AtomicU32 = AtomicU32::new(500);
/// See `MOST_IN_SET`.
pub const MOST_VALUE: i32 = 32_767;
/// See `MOST_IN_SET`.
pub static MOST_SEMAPHORES: AtomicU32 = AtomicU32::new(1_024_000_000);

/// One operation of semop(2).
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Which of the set.
    pub number: u16,
    /// What to add; 0 waits for zero.
    pub change: i16,
    /// IPC_NOWAIT.
    pub nowait: bool,
    /// SEM_UNDO.
    pub undo: bool,
}

/// One semaphore.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Semaphore {
    pub value: i32,
    pub pid: u32,
    /// Who waits for it to grow, and to be zero.
    pub growing: u32,
    pub zero: u32,
}

/// Who waits for a set; outlives it.
#[derive(Default)]
struct Gate {
    queue: WaitQueue,
    removed: AtomicBool,
}

/// A set.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Set {
    pub perm: Perm,
    pub all: Vec<Semaphore>,
    pub operation_time: i64,
    pub change_time: i64,
    gate: Arc<Gate>,
}

/// What there is in one namespace.
#[derive(Default)]
pub struct Table {
    sets: BTreeMap<i32, Set>,
    /// What the end of a process adds to the semaphores of a set.
    undo: BTreeMap<(Tid, i32), Vec<i32>>,
    ids: Ids,
}

/// By namespace.
pub static TABLES: Tables<Table> = Tables::new();

impl tables::Table for Table {
    fn ids(&self) -> &Ids {
        &self.ids
    }
}
/// Whether any process ever asked for undoing: what exits look at.
static UNDOING: AtomicBool = AtomicBool::new(false);

/// The number that the next set gets (`/proc/sys/kernel/sem_next_id`), -1 for any.
pub static NEXT_ID: AtomicI32 = AtomicI32::new(-1);

/// semget(2).
pub fn get(current: &Current, key: i32, count: i32, create: bool, exclusive: bool, mode: u32) -> Result<i32, Errno> {
    let space = IpcNs::of(current);
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MOST_IN_SET.load(Ordering::Relaxed) as usize)
        .ok_or(Errno::EINVAL)?;
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    if let Some(set) = table.sets.values().find(|set| key != PRIVATE && set.perm.key == key) {
        if create && exclusive {
            return Err(Errno::EEXIST);
        }
        if count > set.all.len() {
            return Err(Errno::EINVAL);
        }
        return if set.perm.may(current, wanted(mode)) { Ok(set.perm.id) } else { Err(Errno::EACCES) };
    }
    if key != PRIVATE && !create {
        return Err(Errno::ENOENT);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    if table.sets.len() >= MOST_SETS.load(Ordering::Relaxed) as usize {
        return Err(Errno::ENOSPC);
    }
    let all: usize = table.sets.values().map(|set| set.all.len()).sum();
    if all + count > MOST_SEMAPHORES.load(Ordering::Relaxed) as usize {
        return Err(Errno::ENOSPC);
    }
    let id = table.ids.take(&NEXT_ID).ok_or(Errno::ENOSPC)?;
    let set = Set {
        perm: Perm::new(current, id, key, mode),
        all: vec![Semaphore::default(); count],
        operation_time: 0,
        change_time: now(),
        gate: Arc::default(),
    };
    table.sets.insert(id, set);
    Ok(id)
}

/// What one look at the operations found.
enum Tried {
    Done,
    /// This operation has to wait.
    Wait(Operation),
}

impl Set {
    /// All operations, or none.
    fn attempt(&mut self, operations: &[Operation], undo: Option<&[i32]>, pid: u32) -> Result<Tried, Errno> {
        let mut values: Vec<i32> = self.all.iter().map(|semaphore| semaphore.value).collect();
        let mut undone: BTreeMap<u16, i32> = BTreeMap::new();
        for operation in operations {
            let value = values.get_mut(usize::from(operation.number)).ok_or(Errno::EFBIG)?;
            let change = i32::from(operation.change);
            if change == 0 && *value != 0 || change < 0 && *value + change < 0 {
                return if operation.nowait { Err(Errno::EAGAIN) } else { Ok(Tried::Wait(*operation)) };
            }
            if *value + change > MOST_VALUE {
                return Err(Errno::ERANGE);
            }
            *value += change;
            if operation.undo {
                let before = undo.and_then(|undo| undo.get(usize::from(operation.number)).copied()).unwrap_or(0);
                let sum = undone.entry(operation.number).or_insert(before);
                *sum -= change;
                // SEMAEM (linux/sem.h).
                if !(-MOST_VALUE - 1..=MOST_VALUE).contains(sum) {
                    return Err(Errno::ERANGE);
                }
            }
        }
        for operation in operations {
            let index = usize::from(operation.number);
            if let (Some(semaphore), Some(value)) = (self.all.get_mut(index), values.get(index)) {
                (semaphore.value, semaphore.pid) = (*value, pid);
            }
        }
        self.operation_time = now();
        Ok(Tried::Done)
    }

    fn count_waiter(&mut self, operation: Operation, one: i32) {
        if let Some(semaphore) = self.all.get_mut(usize::from(operation.number)) {
            let counter = if operation.change == 0 { &mut semaphore.zero } else { &mut semaphore.growing };
            *counter = counter.saturating_add_signed(one);
        }
    }
}

/// semop(2), semtimedop(2).
pub fn operate(current: &Current, id: i32, operations: &[Operation], deadline_ns: Option<u64>) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let pid = current.process.pid();
    let changes = operations.iter().any(|operation| operation.change != 0);
    let gate = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let set = table.sets.get(&id).ok_or(Errno::EINVAL)?;
        if operations.iter().any(|operation| usize::from(operation.number) >= set.all.len()) {
            return Err(Errno::EFBIG);
        }
        if !set.perm.may(current, if changes { WRITE } else { READ }) {
            return Err(Errno::EACCES);
        }
        set.gate.clone()
    };
    if operations.iter().any(|operation| operation.undo) {
        UNDOING.store(true, Ordering::Relaxed);
    }
    // The semaphore at which this thread is counted as waiting.
    let mut counted: Option<Operation> = None;
    let result = current.wait(&gate.queue, Events::IN, deadline_ns, || {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let Some(set) = table.sets.get_mut(&id).filter(|set| Arc::ptr_eq(&set.gate, &gate)) else {
            counted = None;
            return Some(Err(Errno::EIDRM));
        };
        if let Some(operation) = counted.take() {
            set.count_waiter(operation, -1);
        }
        let undo = table.undo.get(&(pid, id)).map(Vec::as_slice);
        match set.attempt(operations, undo, pid.raw()) {
            Ok(Tried::Done) => {
                let count = set.all.len();
                for operation in operations.iter().filter(|operation| operation.undo) {
                    let undo = table.undo.entry((pid, id)).or_insert_with(|| vec![0; count]);
                    if let Some(sum) = undo.get_mut(usize::from(operation.number)) {
                        *sum -= i32::from(operation.change);
                    }
                }
                Some(Ok(()))
            }
            Ok(Tried::Wait(operation)) => {
                set.count_waiter(operation, 1);
                counted = Some(operation);
                None
            }
            Err(errno) => Some(Err(errno)),
        }
    });
    if let Some(operation) = counted
        && let Some(set) =
            TABLES.lock().entry(space).or_default().sets.get_mut(&id).filter(|set| Arc::ptr_eq(&set.gate, &gate))
    {
        set.count_waiter(operation, -1);
    }
    match result {
        Ok(Ok(())) => {
            if changes {
                gate.queue.wake(Events::IN);
            }
            Ok(())
        }
        Ok(Err(errno)) => Err(errno),
        Err(WaitError::TimedOut) => Err(Errno::EAGAIN),
        // Never made again (signal(7)).
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    }
}

/// Looks at a set.
pub fn look(current: &Current, id: i32, any: bool) -> Result<Set, Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let set = table.sets.get(&id).ok_or(Errno::EINVAL)?;
    if any || set.perm.may(current, READ) { Ok(set.clone()) } else { Err(Errno::EACCES) }
}

/// Sets values: one (SETVAL) or all (SETALL). What was to be undone is forgotten.
pub fn set_values(current: &Current, id: i32, only: Option<usize>, values: &[u16]) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let gate = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let set = table.sets.get_mut(&id).ok_or(Errno::EINVAL)?;
        if only.is_some_and(|index| index >= set.all.len()) {
            return Err(Errno::EINVAL);
        }
        if !set.perm.may(current, WRITE) {
            return Err(Errno::EACCES);
        }
        if values.iter().any(|value| i32::from(*value) > MOST_VALUE) {
            return Err(Errno::ERANGE);
        }
        let first = only.unwrap_or(0);
        for (offset, value) in values.iter().enumerate() {
            if let Some(semaphore) = set.all.get_mut(first + offset) {
                (semaphore.value, semaphore.pid) = (i32::from(*value), current.process.shown_pid().raw());
            }
        }
        for (_, undo) in table.undo.iter_mut().filter(|((_, of), _)| *of == id) {
            let len = values.len();
            undo.iter_mut().skip(first).take(len).for_each(|sum| *sum = 0);
        }
        set.change_time = now();
        set.gate.clone()
    };
    gate.queue.wake(Events::IN);
    Ok(())
}

/// How many semaphores a set has.
pub fn count(current: &Current, id: i32) -> Result<usize, Errno> {
    TABLES.lock().entry(IpcNs::of(current)).or_default().sets.get(&id).map(|set| set.all.len()).ok_or(Errno::EINVAL)
}

fn owned<'a>(table: &'a mut Table, current: &Current, id: i32) -> Result<&'a mut Set, Errno> {
    let set = table.sets.get_mut(&id).ok_or(Errno::EINVAL)?;
    if set.perm.owned_by(current) { Ok(set) } else { Err(Errno::EPERM) }
}

/// IPC_SET.
pub fn set(current: &Current, id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let set = owned(table, current, id)?;
    set.perm.set(uid, gid, mode);
    set.change_time = now();
    Ok(())
}

/// IPC_RMID.
pub fn remove(current: &Current, id: i32) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let set = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        owned(table, current, id)?;
        table.undo.retain(|(_, of), _| *of != id);
        table.ids.free(id);
        table.sets.remove(&id)
    };
    if let Some(set) = set {
        set.gate.removed.store(true, Ordering::SeqCst);
        set.gate.queue.wake(Events::IN);
    }
    Ok(())
}

/// Every set, by number.
pub fn list(current: &Current) -> Vec<Set> {
    TABLES.lock().get(&IpcNs::of(current)).map_or_else(Vec::new, |table| table.sets.values().cloned().collect())
}

/// Whether the process has something to undo at its end.
pub fn has_undo(pid: Tid) -> bool {
    let mine = |table: &Table| table.undo.range((pid, i32::MIN)..=(pid, i32::MAX)).next().is_some();
    UNDOING.load(Ordering::Relaxed) && TABLES.lock().values().any(mine)
}

/// A process ended: what it asked to undo is undone, as far as values stay in their bounds.
pub fn process_gone(pid: Tid) {
    if !UNDOING.load(Ordering::Relaxed) {
        return;
    }
    let mut gates = Vec::new();
    for table in TABLES.lock().values_mut() {
        let mine: Vec<(Tid, i32)> = table.undo.range((pid, i32::MIN)..=(pid, i32::MAX)).map(|(key, _)| *key).collect();
        for key in mine {
            let (Some(undo), Some(set)) = (table.undo.remove(&key), table.sets.get_mut(&key.1)) else { continue };
            for (semaphore, sum) in set.all.iter_mut().zip(undo).filter(|(_, sum)| *sum != 0) {
                semaphore.value = (semaphore.value + sum).clamp(0, MOST_VALUE);
                semaphore.pid = pid.raw();
            }
            set.operation_time = now();
            gates.push(set.gate.clone());
        }
    }
    for gate in gates {
        gate.queue.wake(Events::IN);
    }
}

/// `/proc/sysvipc/sem`.
pub fn proc_text(current: &Current) -> Vec<u8> {
    let mut text = format!(
        "{:>10} {:>10} {:>5} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}\n",
        "key", "semid", "perms", "nsems", "uid", "gid", "cuid", "cgid", "otime", "ctime"
    );
    for set in list(current) {
        let perm = set.perm;
        text += &format!(
            "{:>10} {:>10}  {:>4o} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}\n",
            perm.key,
            perm.id,
            perm.mode,
            set.all.len(),
            perm.uid,
            perm.gid,
            perm.creator_uid,
            perm.creator_gid,
            set.operation_time,
            set.change_time
        );
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Operation, get, look, operate, process_gone, remove};
    use crate::errno::Errno;
    use crate::fake;

    fn change(number: u16, change: i16, undo: bool) -> Operation {
        Operation { number, change, nowait: true, undo }
    }

    #[test]
    fn operations_happen_whole_or_not_at_all_and_are_undone_at_exit() {
        let current = fake::current();
        let id = get(&current, super::PRIVATE, 2, true, false, 0o600).unwrap();
        operate(&current, id, &[change(0, 3, true)], None).unwrap();
        let both = [change(0, -1, false), change(1, -1, false)];
        assert_eq!(operate(&current, id, &both, None), Err(Errno::EAGAIN));
        assert_eq!(look(&current, id, false).unwrap().all[0].value, 3, "the first was not done either");
        assert_eq!(operate(&current, id, &[change(7, 1, false)], None), Err(Errno::EFBIG));
        assert_eq!(operate(&current, id, &[change(0, i16::MAX, false)], None), Err(Errno::ERANGE));
        process_gone(current.process.pid());
        assert_eq!(look(&current, id, false).unwrap().all[0].value, 0);
        remove(&current, id).unwrap();
        assert_eq!(operate(&current, id, &[change(0, 1, false)], None), Err(Errno::EINVAL));
    }
}
