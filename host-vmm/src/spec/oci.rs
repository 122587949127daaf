//! The start specification of an OCI bundle: what its `config.json` asks for, or a refusal by name. Properties that the
//! runtime specification does not know are ignored, as it wants; those it knows and that are not supported here are not.

use crate::gofer::Export;
use crate::net;
use crate::spec::{number_list, oci_devices, oci_mounts, oci_process};
use linker::spec::{MountKind, MountSpec, ProcessSpec, StartSpec};
use linker::sysctl;
use oci_spec::runtime::{LinuxCpu, LinuxNamespace, LinuxNamespaceType, LinuxPersonalityDomain, Spec};
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(String, std::io::Error),
    /// It is not JSON, or a value has the wrong type.
    #[error("{0}: {1}")]
    Json(String, serde_json::Error),
    /// A value that is unknown or impossible.
    #[error("config.json: {0}: {1}")]
    Value(String, String),
}

/// Names a property and what is wrong with it.
pub(super) fn bad(property: impl Into<String>, what: impl Into<String>) -> Error {
    Error::Value(property.into(), what.into())
}

/// A bundle, understood.
#[derive(Debug)]
pub struct Bundle {
    /// For the sentry.
    pub spec: StartSpec,
    /// For the gofer.
    pub exports: Vec<Export>,
    /// Bytes of memory it is limited to.
    pub memory_bytes: Option<u64>,
    /// CPUs it is limited to.
    pub cpus: Option<usize>,
    /// Whose network it has.
    pub network: NetworkNamespace,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// What it is to a pod.
    pub pod: Pod,
    /// All of it, for those who want more.
    pub config: Spec,
}

impl Bundle {
    /// The name servers that programs in the container will ask.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        let mounted = self.spec.mounts.iter().rev().find_map(|mount| match mount.kind {
            MountKind::Host { mount: index, .. } if mount.destination == RESOLV_CONF.as_bytes() => {
                self.exports.get(index as usize)
            }
            _ => None,
        });
        match mounted {
            Some(export) => net::name_servers(Path::new("/"), &export.path),
            None => net::name_servers(&self.rootfs, Path::new(RESOLV_CONF)),
        }
    }
}

/// What a container is to a pod of Kubernetes'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pod {
    /// Nothing: it is alone.
    None,
    /// The one that comes first, in whose sandbox the others are.
    Sandbox,
    /// One of the others: the name of the first.
    Member(String),
}

/// The network namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkNamespace {
    /// One of its own.
    New,
    /// The caller's: only `--network=host` can do with that.
    Callers,
    /// The one at this path.
    At(PathBuf),
}

/// What is known, is not supported, and would change what the program sees: the JSON pointer.
const UNSUPPORTED: &[&str] = &[
    "/vm",
    "/windows",
    "/solaris",
    "/zos",
    "/process/execCPUAffinity",
    "/linux/uidMappings",
    "/linux/gidMappings",
    "/linux/netDevices",
    "/linux/intelRdt",
    "/linux/memoryPolicy",
    "/linux/timeOffsets",
];

/// Where the resolver looks for name servers (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Reads a bundle.
pub fn load(bundle: &Path) -> Result<Bundle, Error> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).map_err(|error| Error::Read(path.display().to_string(), error))?;
    let built = build(bundle, &text)?;
    // One that is missing is noticed when it is opened.
    match built.exports.first() {
        Some(root) if root.path.exists() && !root.path.is_dir() => {
            Err(bad("root.path", format!("{} is no directory", root.path.display())))
        }
        _ => Ok(built),
    }
}

/// Builds the specification from the text of a `config.json`.
pub fn build(bundle: &Path, text: &[u8]) -> Result<Bundle, Error> {
    let json = |error| Error::Json(bundle.join("config.json").display().to_string(), error);
    let value: Value = serde_json::from_slice(text).map_err(json)?;
    refuse_unsupported(&value)?;
    // From the text again, as the error then says where.
    let config: Spec = serde_json::from_slice(text).map_err(json)?;
    check_version(config.version())?;
    let pod = pod(&config)?;
    let is_member = matches!(pod, Pod::Member(_));
    let network = check_namespaces(&config, is_member)?;
    let shares = |kind| is_member && namespace(&config, kind).is_some_and(|namespace| namespace.path().is_some());
    let devices = oci_devices::convert(&config)?;

    let root = config.root().as_ref().ok_or_else(|| bad("root", "missing"))?;
    let readonly = root.readonly().unwrap_or(false);
    let rootfs = bundle.join(root.path());
    let mut exports = vec![Export { path: rootfs.clone(), writable: !readonly }];
    let mut mounts = vec![MountSpec {
        destination: b"/".to_vec(),
        kind: MountKind::Host { mount: 0, exclusive: true, overlay: false },
        flags: if readonly { u64::from(linux_raw_sys::general::MS_RDONLY) } else { 0 },
        data: String::new(),
        source: "rootfs".into(),
    }];
    for (index, mount) in config.mounts().iter().flatten().enumerate() {
        mounts.extend(oci_mounts::convert(index, mount, bundle, &mut exports)?);
    }

    let process = config.process().as_ref().ok_or_else(|| bad("process", "missing"))?;
    let resources = config.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let memory_bytes = match resources.and_then(|resources| resources.memory().as_ref()?.limit()) {
        None | Some(0 | -1) => None,
        Some(bytes) => Some(
            u64::try_from(bytes).map_err(|_| bad("linux.resources.memory.limit", format!("{bytes} is negative")))?,
        ),
    };
    let max_tasks = match resources.and_then(|resources| resources.pids().as_ref()).map(|pids| pids.limit()) {
        None | Some(0 | -1) => 0,
        Some(limit) => u32::try_from(limit).map_err(|_| bad("linux.resources.pids.limit", format!("{limit}")))?,
    };
    let cpus = resources.and_then(|resources| resources.cpu().as_ref()).and_then(cpus);
    let spec = StartSpec {
        hostname: config.hostname().clone().unwrap_or_default(),
        domainname: config.domainname().clone().unwrap_or_default(),
        kernel_release: super::host::KERNEL_RELEASE.into(),
        process: ProcessSpec { personality: personality(&config)?, ..oci_process::convert(process)? },
        mounts,
        stdio: crate::process::standard_streams(),
        descriptors: Vec::new(),
        terminal: process.terminal().unwrap_or(false),
        memory_bytes: memory_bytes.unwrap_or_default(),
        overrides: Vec::new(),
        // Compiled by whoever knows where compiled ones are kept (`seccomp::compile`).
        seccomp: None,
        // A limit is no reason to refuse a mapping: what is touched counts.
        commit_bytes: super::host_memory(),
        devices,
        masked_paths: paths(config.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref())),
        readonly_paths: paths(config.linux().as_ref().and_then(|linux| linux.readonly_paths().as_ref())),
        sysctls: config
            .linux()
            .as_ref()
            .and_then(|linux| linux.sysctl().as_ref())
            .map(sysctls)
            .transpose()?
            .unwrap_or_default(),
        debug: false,
        wait: false,
        max_tasks,
        network: Default::default(),
        shares_uts: shares(LinuxNamespaceType::Uts),
        shares_ipc: shares(LinuxNamespaceType::Ipc),
        statistics: true,
        calls_at_end: false,
        trace: None,
    };
    if is_member && !spec.sysctls.is_empty() {
        return Err(bad("linux.sysctl", "not supported in a pod, whose parameters are its sandbox's"));
    }
    Ok(Bundle { spec, exports, memory_bytes, cpus, network, rootfs, pod, config })
}

fn refuse_unsupported(config: &Value) -> Result<(), Error> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match UNSUPPORTED.iter().find(|pointer| config.pointer(pointer).is_some_and(|value| !is_empty(value))) {
        Some(pointer) => Err(bad(pointer.trim_start_matches('/').replace('/', "."), "not supported")),
        None => Ok(()),
    }
}

fn check_version(version: &str) -> Result<(), Error> {
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(bad("ociVersion", format!("{version:?} is not a 1.x version"))),
    }
}

/// What containerd's and CRI-O's Kubernetes interfaces say of a container: its kind, and the name of the pod's first.
const POD_ANNOTATIONS: [(&str, &str); 2] = [
    ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
];

fn pod(config: &Spec) -> Result<Pod, Error> {
    let said = |name: &str| config.annotations().as_ref().and_then(|all| all.get(name));
    for (kind, sandbox) in POD_ANNOTATIONS {
        match (said(kind).map(String::as_str), said(sandbox)) {
            (None, _) => {}
            (Some("sandbox"), _) => return Ok(Pod::Sandbox),
            (Some("container"), Some(id)) => return Ok(Pod::Member(id.clone())),
            (Some("container"), None) => return Err(bad(format!("annotations.{sandbox}"), "missing")),
            (Some(other), _) => return Err(bad(format!("annotations.{kind}"), format!("{other:?} is unknown"))),
        }
    }
    Ok(Pod::None)
}

fn namespace(config: &Spec, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    let listed = config.linux().as_ref()?.namespaces().as_ref()?;
    listed.iter().find(|namespace| namespace.typ() == kind)
}

/// As many CPUs as a quota or a set comes to.
fn cpus(cpu: &LinuxCpu) -> Option<usize> {
    /// What the kernel takes where only the quota is given, in µs.
    const PERIOD: u64 = 100_000;
    let quota = cpu.quota().and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0);
    let period = cpu.period().filter(|period| *period > 0).unwrap_or(PERIOD);
    let by_quota = quota.map(|quota| usize::try_from(quota.div_ceil(period)).unwrap_or(usize::MAX));
    let by_set = cpu.cpus().as_deref().and_then(set_size);
    by_quota.into_iter().chain(by_set).min()
}

/// How many there are in a list such as `0-2,7`.
fn set_size(list: &str) -> Option<usize> {
    let size = number_list::parse(list)?.into_iter().map(|range| range.count()).sum();
    (size > 0).then_some(size)
}

/// A VM shares no namespace with the host: the container must want its own, or a given one for the network. In a pod a path stands
/// for what the first container has.
fn check_namespaces(config: &Spec, is_member: bool) -> Result<NetworkNamespace, Error> {
    let of = |kind| namespace(config, kind);
    for kind in [LinuxNamespaceType::User, LinuxNamespaceType::Time] {
        if of(kind).is_some() {
            return Err(bad("linux.namespaces", format!("{kind}: not supported")));
        }
    }
    let own = [
        ("pid", LinuxNamespaceType::Pid),
        ("ipc", LinuxNamespaceType::Ipc),
        ("uts", LinuxNamespaceType::Uts),
        ("mount", LinuxNamespaceType::Mount),
    ];
    for (name, kind) in own {
        let namespace = of(kind).ok_or_else(|| {
            bad("linux.namespaces", format!("without {name} the host's would be shared, which a VM cannot"))
        })?;
        let shareable = is_member && matches!(kind, LinuxNamespaceType::Ipc | LinuxNamespaceType::Uts);
        if namespace.path().is_some() && !shareable {
            return Err(bad("linux.namespaces", format!("{name}: another's namespace cannot be joined")));
        }
    }
    match of(LinuxNamespaceType::Network) {
        None => Ok(NetworkNamespace::Callers),
        Some(network) => match network.path() {
            None => Ok(NetworkNamespace::New),
            Some(path) => Ok(NetworkNamespace::At(path.clone())),
        },
    }
}

fn paths(listed: Option<&Vec<String>>) -> Vec<Vec<u8>> {
    listed.into_iter().flatten().map(|path| path.clone().into_bytes()).collect()
}

/// Kernel parameters that a sandbox has (`linker::sysctl`); others would have no effect, and are refused.
fn sysctls(given: &HashMap<String, String>) -> Result<Vec<(String, String)>, Error> {
    let mut known = Vec::new();
    for (name, value) in given {
        // Linux takes `/` for `.` as well.
        let name = name.replace('/', ".");
        match sysctl::parse(&name, value) {
            Ok(_) => known.push((name, value.clone())),
            Err(sysctl::Wrong::Name) => return Err(bad(format!("linux.sysctl.{name}"), "not supported")),
            Err(sysctl::Wrong::Value) => {
                return Err(bad(format!("linux.sysctl.{name}"), format!("{value:?} is impossible")));
            }
        }
    }
    // Where one is about all interfaces and another about one, the order counts.
    known.sort();
    Ok(known)
}

/// personality(2) of the container.
fn personality(config: &Spec) -> Result<u32, Error> {
    /// PER_LINUX32 (linux/personality.h; nobody exports it).
    const LINUX32: u32 = 8;
    let Some(personality) = config.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(0);
    };
    if let Some(flag) = personality.flags().iter().flatten().next() {
        return Err(bad("linux.personality.flags", format!("{flag}: not supported")));
    }
    Ok(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => LINUX32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linker::spec::Scheduling;
    use linux_raw_sys::general as raw;
    use serde_json::json;

    fn config() -> Value {
        json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "user": {"uid": 7, "gid": 8, "additionalGids": [9]}, "cwd": "/tmp",
                "args": ["sh", "-c", "true"], "env": ["A=b"],
                "capabilities": {"effective": ["CAP_CHOWN", "CAP_BPF"], "permitted": ["CAP_CHOWN", "CAP_BPF"]},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
            },
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
                {"destination": "/data", "type": "bind", "source": "files", "options": ["rbind", "ro"]},
            ],
            "linux": {"namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            ]},
        })
    }

    fn build_value(config: &Value) -> Result<Bundle, Error> {
        build(Path::new("/bundle"), config.to_string().as_bytes())
    }

    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut config = config();
        change(&mut config);
        build_value(&config).map(|_| ()).expect_err("refused").to_string()
    }

    #[test]
    fn a_bundle_becomes_a_specification() {
        let bundle = build_value(&config()).expect("sound");
        assert_eq!(bundle.spec.hostname, "box");
        assert_eq!(bundle.spec.process.args, [b"sh".to_vec(), b"-c".to_vec(), b"true".to_vec()]);
        assert_eq!((bundle.spec.process.uid, bundle.spec.process.gid), (7, 8));
        assert_eq!(bundle.spec.process.rlimits, [(7, 10, 20)]);
        assert_eq!(bundle.spec.process.capabilities.effective, 1 | 1 << 39);
        assert_eq!(bundle.exports.len(), 2);
        assert_eq!(bundle.exports[0].path, Path::new("/bundle/rootfs"));
        assert!(bundle.exports[0].writable && !bundle.exports[1].writable);
        assert!(matches!(&bundle.spec.mounts[2].kind, MountKind::Sentry(kind) if kind == "devtmpfs"));
        assert!(matches!(bundle.spec.mounts[3].kind, MountKind::Host { mount: 1, exclusive: false, overlay: false }));
    }

    #[test]
    fn what_is_unknown_or_impossible_is_refused_by_name() {
        assert!(refusal(|c| c["process"]["cwd"] = json!("tmp")).contains("process.cwd"));
        assert!(refusal(|c| c["process"]["args"] = json!([])).contains("process.args"));
        assert!(refusal(|c| c["process"]["env"] = json!(["x".repeat(1 << 17)])).contains("too long"));
        assert!(refusal(|c| c["process"]["capabilities"]["effective"] = json!(["CAP_WHAT"])).contains("CAP_WHAT"));
        assert!(refusal(|c| c["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"])).contains("bounding"));
        assert!(refusal(|c| c["process"]["capabilities"]["effective"] = json!(["CAP_KILL"])).contains("not permitted"));
        let nofile = json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX}]);
        assert!(refusal(|c| c["process"]["rlimits"] = nofile).contains("fs.nr_open"));
        assert!(
            refusal(|c| c["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_RT", "priority": 8})).contains("8")
        );
        assert!(refusal(|c| c["process"]["scheduler"] = json!({"policy": "SCHED_FIFO"})).contains("priority 0"));
        assert!(refusal(|c| c["process"]["rlimits"][0]["type"] = json!("RLIMIT_WHAT")).contains("RLIMIT_WHAT"));
        assert!(refusal(|c| c["process"]["rlimits"][0]["soft"] = json!(30)).contains("RLIMIT_NOFILE"));
        assert!(refusal(|c| c["mounts"][0]["type"] = json!("ext4")).contains("ext4"));
        assert!(refusal(|c| c["mounts"][2]["options"] = json!(["rbind", "what"])).contains("what"));
        assert!(refusal(|c| c["mounts"][0]["destination"] = json!("proc")).contains("destination"));
        assert!(refusal(|c| c["linux"]["namespaces"] = json!([{"type": "pid"}])).contains("ipc"));
        assert!(refusal(|c| c["linux"]["namespaces"][0]["path"] = json!("/proc/1/ns/pid")).contains("joined"));
        assert!(refusal(|c| c["linux"]["namespaces"][0]["type"] = json!("user")).contains("user"));
        assert!(
            refusal(|c| c["linux"]["devices"] = json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]))
                .contains("/dev/sda")
        );
        assert!(
            refusal(|c| c["linux"]["devices"] = json!([{"path": "/dev/null", "type": "c", "major": 8, "minor": 0}]))
                .contains("/dev/null")
        );
        assert!(refusal(|c| c["linux"]["sysctl"] = json!({"kernel.panic": "1"})).contains("linux.sysctl.kernel.panic"));
        let port = "net.ipv4.ip_unprivileged_port_start";
        assert!(refusal(|c| c["linux"]["sysctl"] = json!({port: "70000"})).contains("70000"));
        assert!(refusal(|c| c["ociVersion"] = json!("2.0")).contains("ociVersion"));
        let joins = json!({"io.kubernetes.cri.container-type": "container"});
        assert!(refusal(|c| c["annotations"] = joins).contains("annotations.io.kubernetes.cri.sandbox-id"));
        assert!(refusal(|c| drop(c.as_object_mut().map(|c| c.remove("root")))).contains("root"));
    }

    #[test]
    fn device_nodes_that_the_sentry_serves_are_made() {
        let mut config = config();
        config["linux"]["devices"] = json!([
            {"path": "/dev/../dev/zilch", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6},
            {"path": "/run/fifo", "type": "p"},
        ]);
        let made = build_value(&config).expect("sound").spec.devices;
        let expected = linker::spec::DeviceSpec {
            path: b"/dev/zilch".into(),
            mode: raw::S_IFCHR | 0o640,
            rdev: 1 << 32 | 3,
            uid: 5,
            gid: 6,
        };
        assert_eq!(made.first(), Some(&expected));
        assert_eq!(made.get(1).map(|fifo| (fifo.mode, fifo.rdev)), Some((raw::S_IFIFO | 0o666, 0)));
    }

    #[test]
    fn a_container_that_may_use_all_devices_gets_those_there_are() {
        let mut config = config();
        config["linux"]["devices"] = json!([
            {"path": "/dev/zilch", "type": "c", "major": 1, "minor": 3}, {"path": "/dev/sda", "type": "b", "major": 8, "minor": 0},
        ]);
        config["linux"]["resources"] = json!({"devices": [{"allow": true, "access": "rwm"}]});
        let made = build_value(&config).expect("sound").spec.devices;
        assert_eq!(made.iter().map(|made| &*made.path).collect::<Vec<_>>(), [b"/dev/zilch"]);
        config["linux"]["resources"] =
            json!({"devices": [{"allow": true, "access": "rwm"}, {"allow": false, "access": "rwm"}]});
        assert!(build_value(&config).expect_err("denied").to_string().contains("/dev/sda"));
    }

    #[test]
    fn limits_become_the_machines() {
        let mut config = config();
        config["linux"]["resources"] = json!({
            "memory": {"limit": 100_000_000}, "pids": {"limit": 20}, "cpu": {"quota": 150_000, "period": 100_000, "cpus": "0-3,6"},
        });
        config["linux"]["namespaces"][1]["path"] = json!("/run/netns/a");
        config["linux"]["sysctl"] = json!({"net/ipv4/ping_group_range": "0 5"});
        config["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
        let bundle = build_value(&config).expect("sound");
        assert_eq!((bundle.memory_bytes, bundle.spec.max_tasks, bundle.cpus), (Some(100_000_000), 20, Some(2)));
        assert_eq!(bundle.spec.sysctls, [("net.ipv4.ping_group_range".to_string(), "0 5".to_string())]);
        assert_eq!(bundle.spec.masked_paths, [b"/proc/kcore"]);
        assert_eq!(bundle.network, NetworkNamespace::At("/run/netns/a".into()));
        assert_eq!([set_size("0-3,6"), set_size("1"), set_size(""), set_size("3-1")], [Some(5), Some(1), None, None]);
    }

    #[test]
    fn what_a_program_starts_with_is_as_asked_for() {
        let mut config = config();
        config["process"]["env"] = json!(["A=1", "B=2", "A=3"]);
        config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 3});
        config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
        config["linux"]["personality"] = json!({"domain": "LINUX32"});
        config["mounts"][2]["options"] = json!(["rbind", "rnosuid", "strictatime", "rnoatime"]);
        let bundle = build_value(&config).expect("sound");
        let process = &bundle.spec.process;
        assert_eq!(process.env, [b"B=2".to_vec(), b"A=3".to_vec()]);
        assert_eq!((process.io_priority, process.personality), (2 << 13 | 3, 8));
        assert_eq!(process.scheduling, Some(Scheduling { policy: raw::SCHED_BATCH, priority: 0, nice: 5 }));
        assert_eq!(bundle.spec.mounts[3].flags, u64::from(raw::MS_NOSUID | raw::MS_NOATIME));
    }

    #[test]
    fn a_pods_containers_are_known_by_their_annotations() {
        let mut config = config();
        config["annotations"] = json!({"io.kubernetes.cri-o.ContainerType": "sandbox"});
        assert_eq!(build_value(&config).expect("sound").pod, Pod::Sandbox);
        config["annotations"] =
            json!({"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"});
        config["linux"]["namespaces"][2]["path"] = json!("/proc/7/ns/ipc");
        let member = build_value(&config).expect("sound");
        assert_eq!(member.pod, Pod::Member("pod".into()));
        assert_eq!((member.spec.shares_ipc, member.spec.shares_uts), (true, false));
        config["linux"]["namespaces"][0]["path"] = json!("/proc/7/ns/pid");
        assert!(build_value(&config).expect_err("refused").to_string().contains("pid"));
    }

    #[test]
    fn truncated_json_is_an_error() {
        let text = config().to_string();
        for len in 0..text.len() {
            assert!(build(Path::new("/bundle"), &text.as_bytes()[..len]).is_err());
        }
    }
}
