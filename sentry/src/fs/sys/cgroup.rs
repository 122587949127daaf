//! cgroup2, as a container sees its own group: limits and counts to read, nothing to change.

use crate::errno::Errno;
use crate::fs::Inode;
use crate::fs::proc::status::{cpu_mask, ranges};
use crate::fs::pseudo::{Global, Item, PseudoFs, What, file};
use crate::load;
use crate::platform::platform;
use crate::task::{Current, oom, registry};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

type Content = Result<Vec<u8>, Errno>;

/// A new cgroup2; its root directory.
pub fn new() -> Arc<dyn Inode> {
    PseudoFs::root(raw::CGROUP2_SUPER_MAGIC, &ROOT, Global)
}

static ROOT: Item<Global> = Item { name: "", mode: 0o555, what: What::Directory(ENTRIES) };

/// A file of one line.
macro_rules! value {
    ($name:literal, $value:expr) => {
        file($name, |_, _| Ok(format!("{}\n", $value).into_bytes()))
    };
}

const ENTRIES: &[Item<Global>] = &[
    value!("cgroup.controllers", "cpuset cpu memory pids"),
    value!("cgroup.events", "populated 1\nfrozen 0"),
    value!("cgroup.freeze", 0),
    value!("cgroup.max.depth", "max"),
    value!("cgroup.max.descendants", "max"),
    file("cgroup.procs", processes),
    value!("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0"),
    file("cgroup.subtree_control", |_, _| Ok(b"\n".to_vec())),
    file("cgroup.threads", threads),
    value!("cgroup.type", "domain"),
    value!("cpu.idle", 0),
    value!("cpu.max", format!("{} 100000", platform().cpus() * 100_000)),
    value!("cpu.max.burst", 0),
    file("cpu.stat", cpu_stat),
    value!("cpu.weight", 100),
    value!("cpu.weight.nice", 0),
    value!("cpuset.cpus", ranges(cpu_mask())),
    value!("cpuset.cpus.effective", ranges(cpu_mask())),
    value!("cpuset.mems", 0),
    value!("cpuset.mems.effective", 0),
    value!("memory.current", used_bytes()),
    file("memory.events", memory_events),
    value!("memory.high", "max"),
    value!("memory.low", 0),
    value!("memory.max", platform().memory_info().total_pages * PAGE_SIZE),
    value!("memory.min", 0),
    value!("memory.oom.group", 0),
    file("memory.stat", memory_stat),
    value!("memory.swap.current", 0),
    value!("memory.swap.max", 0),
    value!("pids.current", registry().counts().0),
    value!("pids.events", "max 0"),
    value!("pids.max", registry().lock().task_limit().map_or(String::from("max"), |most| format!("{most}"))),
];

fn used_bytes() -> u64 {
    let memory = platform().memory_info();
    memory.total_pages.saturating_sub(memory.free_pages) * PAGE_SIZE
}

/// A number as the reader sees it, 0 for what is outside of its namespace.
fn processes(current: &Current, _: &Global) -> Content {
    let live = registry().processes().into_iter().filter(|process| !process.is_exited());
    Ok(live.map(|process| format!("{}\n", current.shown(process.pid()).raw())).collect::<String>().into_bytes())
}

fn threads(current: &Current, _: &Global) -> Content {
    let all = registry().processes().into_iter().flat_map(|process| process.threads());
    Ok(all.map(|task| format!("{}\n", current.shown(task.tid()).raw())).collect::<String>().into_bytes())
}

fn cpu_stat(_: &Current, _: &Global) -> Content {
    let usage = load::total();
    let (user, system) = (usage.user_ns / 1000, usage.system_ns / 1000);
    Ok(format!(
        "usage_usec {}\nuser_usec {user}\nsystem_usec {system}\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
        user + system
    )
    .into_bytes())
}

fn memory_events(_: &Current, _: &Global) -> Content {
    let kills = oom::kills();
    Ok(format!("low 0\nhigh 0\nmax 0\noom {kills}\noom_kill {kills}\noom_group_kill 0\n").into_bytes())
}

fn memory_stat(_: &Current, _: &Global) -> Content {
    let mut anonymous = 0;
    for process in registry().processes() {
        let mm = process.leader().and_then(|task| task.published().mm);
        anonymous += mm.map_or(0, |mm| mm.resident_pages().0) * PAGE_SIZE;
    }
    let used = used_bytes();
    let anonymous = anonymous.min(used);
    Ok(format!(
        "anon {anonymous}\nfile {0}\nkernel 0\nkernel_stack 0\npagetables 0\nshmem 0\nfile_mapped 0\nfile_dirty 0\n\
         file_writeback 0\nswapcached 0\ninactive_anon 0\nactive_anon {anonymous}\ninactive_file {0}\nactive_file 0\n\
         unevictable 0\nslab 0\npgfault {1}\npgmajfault {2}\n",
        used - anonymous,
        load::total().minor_faults,
        load::total().major_faults,
    )
    .into_bytes())
}
