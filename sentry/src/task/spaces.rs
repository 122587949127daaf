//! A task's namespaces (namespaces(7)) and how it gets others: clone, unshare, setns.
//!
//! `Spaces` holds those that are a task's alone to choose; the user namespace is in its credentials, the mount namespace in its
//! `FsContext`, the namespace of its number in its process. `Namespace` is any one of them, as a descriptor holds it.

use super::clone::CloneFlags;
use super::pid_ns::{self, PidNs};
use super::user_ns::{self, UserNs};
use super::{Cap, Credentials, Current, PidSpace, Task, UserSpace};
use crate::errno::Errno;
use crate::fs;
use crate::ipc::IpcNs;
use crate::net::NetNs;
use crate::seccomp::Profile;
use crate::uts::{Uts, namespace_number};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use linker::spec::StartSpec;

/// The first cgroup and time namespaces' numbers (include/linux/proc_ns.h: PROC_CGROUP_INIT_INO, PROC_TIME_INIT_INO).
const INITIAL_CGROUP: u32 = 0xefff_fffb;
const INITIAL_TIME: u32 = 0xefff_fffa;

/// The namespaces that are only in a task. `None` is the first of its kind.
#[derive(Clone)]
pub struct Spaces {
    /// Host and domain name.
    pub uts: Arc<Uts>,
    /// System V objects and message queues.
    pub ipc: Option<Arc<IpcNs>>,
    /// Interfaces, ports and abstract names.
    pub net: Option<Arc<NetNs>>,
    /// There is one cgroup, so that such a namespace has a number alone.
    pub cgroup: Option<Arc<Plain>>,
    /// Where its children get their numbers.
    pub children: PidSpace,
    /// Whose seccomp profile counts.
    pub profile: Confinement,
}

/// The seccomp profile that a task is held to beside its own filters.
#[derive(Clone)]
pub enum Confinement {
    /// The first container's.
    First,
    /// That of another container of the sandbox, which may have none.
    Own(Option<Arc<Profile>>),
}

/// A namespace that changes nothing.
pub struct Plain {
    number: u32,
    owner: UserSpace,
}

/// A namespace, whatever its kind.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum Namespace {
    User(UserSpace),
    Pid(PidSpace),
    Mount(Arc<fs::Namespace>),
    Uts(Arc<Uts>),
    Ipc(Option<Arc<IpcNs>>),
    Net(Option<Arc<NetNs>>),
    Cgroup(Option<Arc<Plain>>),
    Time,
}

impl Spaces {
    /// Those that the container starts with.
    pub fn initial() -> Arc<Self> {
        static INITIAL: spin::Once<Arc<Spaces>> = spin::Once::new();
        let new = || {
            Arc::new(Self {
                uts: crate::uts::initial(),
                ipc: None,
                net: None,
                cgroup: None,
                children: None,
                profile: Confinement::First,
            })
        };
        INITIAL.call_once(new).clone()
    }

    /// Those of a further container of the sandbox: its own numbers, the network of all, and of the rest what it does not share.
    pub fn of_container(spec: &StartSpec) -> Result<Arc<Self>, Errno> {
        let mut new = Self::clone(&Self::initial());
        if !spec.shares_uts {
            new.uts = new.uts.duplicate(None);
            new.uts.set_host(spec.hostname.as_bytes());
            new.uts.set_domain(spec.domainname.as_bytes());
        }
        if !spec.shares_ipc {
            new.ipc = Some(IpcNs::new(None));
        }
        let numbers = PidNs::new(&None, None)?;
        numbers.limit_tasks(spec.max_tasks);
        new.children = Some(numbers);
        new.cgroup = Some(Arc::new(Plain { number: namespace_number(), owner: None }));
        new.profile = Confinement::Own(spec.seccomp.as_ref().map(|profile| Arc::new(Profile::new(profile))));
        Ok(Arc::new(new))
    }

    /// Those of a child of `task` or of its own after unshare, owned by `owner`.
    pub fn derive(task: &Task, flags: CloneFlags, owner: &UserSpace) -> Result<Arc<Self>, Errno> {
        let old = task.spaces();
        let own =
            CloneFlags::NEWUTS | CloneFlags::NEWIPC | CloneFlags::NEWNET | CloneFlags::NEWCGROUP | CloneFlags::NEWPID;
        if !flags.intersects(own) {
            return Ok(old);
        }
        let mut new = Self::clone(&old);
        if flags.contains(CloneFlags::NEWUTS) {
            new.uts = old.uts.duplicate(owner.clone());
        }
        if flags.contains(CloneFlags::NEWIPC) {
            new.ipc = Some(IpcNs::new(owner.clone()));
        }
        if flags.contains(CloneFlags::NEWNET) {
            new.net = Some(NetNs::new(owner.clone()));
        }
        if flags.contains(CloneFlags::NEWCGROUP) {
            new.cgroup = Some(Arc::new(Plain { number: namespace_number(), owner: owner.clone() }));
        }
        if flags.contains(CloneFlags::NEWPID) {
            if !pid_ns::same(&old.children, task.process().space()) {
                return Err(Errno::EINVAL);
            }
            new.children = Some(PidNs::new(&old.children, owner.clone())?);
        }
        Ok(Arc::new(new))
    }
}

/// The credentials of whoever makes namespaces with `flags`: with CLONE_NEWUSER those of the new user namespace. EPERM where
/// they do not allow the other namespaces.
pub fn maker(current: &Current, flags: CloneFlags) -> Result<Arc<Credentials>, Errno> {
    let mut creds = current.creds.clone();
    if flags.contains(CloneFlags::NEWUSER) {
        if current.fs.root() != current.fs.namespace().root_path() {
            // Who is in a chroot could leave it.
            return Err(Errno::EPERM);
        }
        let mut new = Credentials::clone(&creds);
        new.enter(Some(UserNs::new(&creds)?));
        creds = Arc::new(new);
    }
    let others = CloneFlags::NAMESPACES.difference(CloneFlags::NEWUSER);
    if flags.intersects(others) && !creds.has_own(Cap::SysAdmin) { Err(Errno::EPERM) } else { Ok(creds) }
}

/// Namespaces of the thread's own, as unshare(2) makes them.
pub fn unshare(current: &mut Current, flags: CloneFlags) -> Result<(), Errno> {
    let creds = maker(current, flags)?;
    let spaces = Spaces::derive(&current.task, flags, &creds.user)?;
    // The thread's own reference and the one that it shows others are two.
    let shared = flags.contains(CloneFlags::FILES) && Arc::strong_count(&current.files) > 2;
    let files = if shared { Some(Arc::new(current.files.duplicate()?)) } else { None };
    if flags.intersects(CloneFlags::FS | CloneFlags::NEWNS | CloneFlags::NEWUSER) {
        let fs = current.fs.duplicate();
        if flags.contains(CloneFlags::NEWNS) {
            fs.unshare_namespace(creds.user.clone())?;
        }
        current.fs = fs;
    }
    if let Some(files) = files {
        current.files = files;
    }
    current.task.set_spaces(spaces);
    current.creds = creds;
    current.publish();
    Ok(())
}

impl Namespace {
    /// The CLONE_NEW* flag of its kind.
    pub fn kind(&self) -> CloneFlags {
        match self {
            Self::User(_) => CloneFlags::NEWUSER,
            Self::Pid(_) => CloneFlags::NEWPID,
            Self::Mount(_) => CloneFlags::NEWNS,
            Self::Uts(_) => CloneFlags::NEWUTS,
            Self::Ipc(_) => CloneFlags::NEWIPC,
            Self::Net(_) => CloneFlags::NEWNET,
            Self::Cgroup(_) => CloneFlags::NEWCGROUP,
            Self::Time => CloneFlags::NEWTIME,
        }
    }

    /// Its inode number.
    pub fn number(&self) -> u32 {
        match self {
            Self::User(space) => user_ns::number(space),
            Self::Pid(space) => pid_ns::number(space),
            Self::Mount(space) => space.number(),
            Self::Uts(space) => space.number(),
            Self::Ipc(space) => IpcNs::number(space),
            Self::Net(space) => NetNs::number(space),
            Self::Cgroup(space) => space.as_ref().map_or(INITIAL_CGROUP, |space| space.number),
            Self::Time => INITIAL_TIME,
        }
    }

    /// What `/proc/PID/ns` says: `uts:[4026531838]`.
    pub fn label(&self) -> String {
        let kind = match self {
            Self::User(_) => "user",
            Self::Pid(_) => "pid",
            Self::Mount(_) => "mnt",
            Self::Uts(_) => "uts",
            Self::Ipc(_) => "ipc",
            Self::Net(_) => "net",
            Self::Cgroup(_) => "cgroup",
            Self::Time => "time",
        };
        format!("{kind}:[{}]", self.number())
    }

    /// The user namespace whose capabilities count in it (NS_GET_USERNS).
    pub fn owner(&self) -> UserSpace {
        match self {
            Self::User(space) => space.as_ref().and_then(|ns| ns.parent().clone()),
            Self::Pid(space) => space.as_ref().and_then(|ns| ns.owner().clone()),
            Self::Mount(space) => space.owner().clone(),
            Self::Uts(space) => space.owner().clone(),
            Self::Ipc(space) => space.as_ref().and_then(|ns| ns.owner().clone()),
            Self::Net(space) => space.as_ref().and_then(|ns| ns.owner().clone()),
            Self::Cgroup(space) => space.as_ref().and_then(|ns| ns.owner.clone()),
            Self::Time => None,
        }
    }

    /// The namespace around it (NS_GET_PARENT). EPERM for the first, EINVAL for kinds that do not nest.
    pub fn parent(&self) -> Result<Self, Errno> {
        match self {
            Self::User(space) => space.as_ref().map(|ns| Self::User(ns.parent().clone())).ok_or(Errno::EPERM),
            Self::Pid(space) => space.as_ref().map(|ns| Self::Pid(ns.parent().clone())).ok_or(Errno::EPERM),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Moves the thread into it (setns(2)).
    pub fn enter(&self, current: &mut Current) -> Result<(), Errno> {
        if let Self::User(space) = self {
            return enter_user(current, space);
        }
        if !current.creds.has_in(&self.owner(), Cap::SysAdmin) || !current.creds.has_own(Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        let mut spaces = Spaces::clone(&current.task.spaces());
        match self {
            Self::User(_) => {}
            Self::Mount(space) => return enter_mount(current, space),
            Self::Pid(space) => {
                if !pid_ns::is_within(space, current.process.space()) {
                    return Err(Errno::EINVAL);
                }
                spaces.children = space.clone();
            }
            Self::Uts(space) => spaces.uts = space.clone(),
            Self::Ipc(space) => spaces.ipc = space.clone(),
            Self::Net(space) => spaces.net = space.clone(),
            Self::Cgroup(space) => spaces.cgroup = space.clone(),
            Self::Time => return Ok(()),
        }
        current.task.set_spaces(Arc::new(spaces));
        Ok(())
    }
}

/// Whether somebody else would move along (the second reference is what others see of this thread).
fn shares_places(current: &Current) -> bool {
    Arc::strong_count(&current.fs) > 2
}

fn enter_user(current: &mut Current, space: &UserSpace) -> Result<(), Errno> {
    if user_ns::same(space, &current.creds.user) || current.process.thread_count() > 1 || shares_places(current) {
        return Err(Errno::EINVAL);
    }
    if !current.creds.has_in(space, Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let mut creds = Credentials::clone(&current.creds);
    creds.enter(space.clone());
    current.creds = Arc::new(creds);
    current.publish();
    Ok(())
}

fn enter_mount(current: &Current, space: &Arc<fs::Namespace>) -> Result<(), Errno> {
    if !current.creds.has_own(Cap::SysChroot) {
        return Err(Errno::EPERM);
    }
    if shares_places(current) {
        return Err(Errno::EINVAL);
    }
    let root = space.root_path();
    current.fs.set_namespace(space.clone(), root.clone(), root);
    Ok(())
}

/// The namespace of `task` that a CLONE_NEW* flag means. `children`: the one its children are numbered in.
pub fn of(task: &Task, kind: CloneFlags, children: bool) -> Result<Namespace, Errno> {
    let spaces = task.spaces();
    Ok(match kind {
        CloneFlags::NEWUSER => Namespace::User(task.creds().user.clone()),
        CloneFlags::NEWPID if children => Namespace::Pid(spaces.children.clone()),
        CloneFlags::NEWPID => Namespace::Pid(task.process().space().clone()),
        CloneFlags::NEWNS => Namespace::Mount(task.published().fs.ok_or(Errno::ESRCH)?.namespace()),
        CloneFlags::NEWUTS => Namespace::Uts(spaces.uts.clone()),
        CloneFlags::NEWIPC => Namespace::Ipc(spaces.ipc.clone()),
        CloneFlags::NEWNET => Namespace::Net(spaces.net.clone()),
        CloneFlags::NEWCGROUP => Namespace::Cgroup(spaces.cgroup.clone()),
        CloneFlags::NEWTIME => Namespace::Time,
        _ => return Err(Errno::EINVAL),
    })
}
