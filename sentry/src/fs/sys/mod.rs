//! sysfs: the few devices and settings that programs look for. `cgroup` is what is mounted on `/sys/fs/cgroup`.

pub mod cgroup;
mod net;

use super::Inode;
use super::proc::status::{cpu_mask, ranges};
use super::pseudo::{Context, Global, Item, PseudoFs, What, directory, file};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::Current;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

type Content = Result<Vec<u8>, Errno>;

/// A new sysfs; its root directory.
pub fn new() -> Arc<dyn Inode> {
    PseudoFs::root(raw::SYSFS_MAGIC, &ROOT, Global)
}

static ROOT: Item<Global> = Item { name: "", mode: 0o555, what: What::Directory(ENTRIES) };

const ENTRIES: &[Item<Global>] = &[
    directory("block", &[]),
    directory("bus", &[]),
    directory("class", &[directory("block", &[]), net::CLASS, directory("tty", &[])]),
    directory("dev", &[directory("block", &[]), directory("char", &[])]),
    directory(
        "devices",
        &[directory("system", &[CPUS, directory("node", NODES)]), directory("virtual", &[net::DEVICES])],
    ),
    directory("firmware", &[]),
    directory("fs", &[directory("cgroup", &[])]),
    directory("hypervisor", &[]),
    directory("kernel", KERNEL),
    directory("module", &[]),
    directory("power", &[]),
];

const KERNEL: &[Item<Global>] = &[
    directory("debug", &[]),
    directory(
        "mm",
        &[
            directory("hugepages", &[]),
            directory("ksm", &[file("run", |_, _| text("0"))]),
            directory(
                "transparent_hugepage",
                &[
                    file("enabled", |_, _| text("always [madvise] never")),
                    file("defrag", |_, _| text("always defer defer+madvise [madvise] never")),
                    file("shmem_enabled", |_, _| text("always within_size advise [never] deny force")),
                    file("hpage_pmd_size", |_, _| text("2097152")),
                    file("use_zero_page", |_, _| text("0")),
                ],
            ),
        ],
    ),
    directory("security", &[]),
    directory("tracing", &[]),
];

const CPUS: Item<Global> = Item {
    name: "cpu",
    mode: 0o555,
    what: What::Dynamic(
        &[
            file("isolated", |_, _| text("")),
            file("kernel_max", |_, _| text("63")),
            file("offline", |_, _| text("")),
            file("online", cpu_list),
            file("possible", cpu_list),
            file("present", cpu_list),
            directory("smt", &[file("active", |_, _| text("0")), file("control", |_, _| text("notsupported"))]),
            directory("vulnerabilities", &[]),
        ],
        list_cpus,
        find_cpu,
    ),
};

const NODES: &[Item<Global>] = &[
    file("has_cpu", |_, _| text("0")),
    file("has_memory", |_, _| text("0")),
    file("has_normal_memory", |_, _| text("0")),
    directory(
        "node0",
        &[
            file("cpulist", cpu_list),
            file("cpumap", |_, _| text(&format!("{:x}", cpu_mask()))),
            file("distance", |_, _| text("10")),
            file("meminfo", node_memory),
        ],
    ),
    file("online", |_, _| text("0")),
    file("possible", |_, _| text("0")),
];

/// A line.
fn text(line: &str) -> Content {
    Ok(format!("{line}\n").into_bytes())
}

fn cpu_list<C>(_: &Current, _: &C) -> Content {
    text(&ranges(cpu_mask()))
}

fn node_memory(_: &Current, _: &Global) -> Content {
    let memory = platform().memory_info();
    let (total, free) = (memory.total_pages * 4, memory.free_pages * 4);
    let rows = [("MemTotal", total), ("MemFree", free), ("MemUsed", total.saturating_sub(free))];
    let lines = rows.map(|(name, kib)| format!("Node 0 {:<15} {kib:>8} kB\n", format!("{name}:")));
    Ok(lines.concat().into_bytes())
}

/// One CPU.
#[derive(Clone)]
struct Cpu(usize);

impl Context for Cpu {
    const PERMANENT: bool = true;
}

static CPU: Item<Cpu> = Item {
    name: "",
    mode: 0o555,
    what: What::Directory(&[
        file("online", |_, _| text("1")),
        directory(
            "topology",
            &[
                file("cluster_id", |_, _| text("0")),
                file("core_cpus_list", |_, cpu: &Cpu| text(&format!("{}", cpu.0))),
                file("core_cpus", |_, cpu: &Cpu| text(&format!("{:x}", 1_u64 << (cpu.0 & 63)))),
                file("core_id", |_, cpu: &Cpu| text(&format!("{}", cpu.0))),
                file("core_siblings", |_, _| text(&format!("{:x}", cpu_mask()))),
                file("core_siblings_list", cpu_list),
                file("die_id", |_, _| text("0")),
                file("package_cpus", |_, _| text(&format!("{:x}", cpu_mask()))),
                file("package_cpus_list", cpu_list),
                file("physical_package_id", |_, _| text("0")),
                file("thread_siblings", |_, cpu: &Cpu| text(&format!("{:x}", 1_u64 << (cpu.0 & 63)))),
                file("thread_siblings_list", |_, cpu: &Cpu| text(&format!("{}", cpu.0))),
            ],
        ),
    ]),
};

fn list_cpus(_: &Current, _: &Global) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    Ok((0..platform().cpus()).map(|cpu| (format!("cpu{cpu}").into_bytes(), raw::DT_DIR)).collect())
}

fn find_cpu(fs: &Arc<PseudoFs>, parent: u64, _: &Global, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    let cpu = (0..platform().cpus()).find(|cpu| format!("cpu{cpu}").as_bytes() == name).ok_or(Errno::ENOENT)?;
    Ok(fs.node(&CPU, &Cpu(cpu), parent, name, 0))
}

#[cfg(test)]
mod tests {
    use crate::fake;
    use crate::fs::{Inode, OpenFile, OpenFlags, Sink};
    use std::string::String;
    use std::sync::Arc;
    use std::vec;

    fn read(root: Arc<dyn Inode>, path: &str) -> String {
        let current = fake::current();
        let inode = path.split('/').fold(root, |at, name| at.lookup(name.as_bytes()).unwrap());
        let ops = inode.clone().open(&current, OpenFlags::empty()).unwrap();
        let file = OpenFile::new(ops, OpenFlags::empty(), inode, None);
        let mut bytes = vec![0; 4096];
        let len = file.read(&current, &mut Sink::kernel(&mut bytes)).unwrap();
        bytes.truncate(len);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn there_are_as_many_cpus_as_the_platform_has() {
        fake::install();
        let last = crate::platform::platform().cpus() - 1;
        let path = std::format!("devices/system/cpu/cpu{last}/topology/core_id");
        assert_eq!(read(super::new(), &path), std::format!("{last}\n"));
        let beyond = std::format!("cpu{}", last + 1);
        let cpus = super::new().lookup(b"devices").unwrap().lookup(b"system").unwrap().lookup(b"cpu").unwrap();
        assert!(cpus.lookup(beyond.as_bytes()).is_err());
    }

    #[test]
    fn a_control_group_says_its_limits_and_members() {
        let own = fake::current().process.pid().raw();
        let root = super::cgroup::new();
        assert!(read(root.clone(), "memory.max").trim().parse::<u64>().unwrap() > 0);
        assert!(read(root, "cgroup.procs").lines().any(|line| line == std::format!("{own}")));
    }
}
