//! Limits as files: what each property of `linux.resources` is called in the two versions of the interface.

use crate::container::{Error, said};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// A file and what to write into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Controller, for version 1.
    pub controller: &'static str,
    /// Name of the file.
    pub file: String,
    /// What to write.
    pub value: String,
    /// The property that asks for it, for messages.
    pub property: &'static str,
}

fn setting(controller: &'static str, file: &str, value: impl ToString, property: &'static str) -> Setting {
    Setting { controller, file: file.into(), value: value.to_string(), property }
}

/// Refuses what neither version does for a virtual machine.
fn refuse(resources: &LinuxResources) -> Result<(), Error> {
    let network = resources.network().as_ref();
    let tags = network.is_some_and(|network| {
        network.class_id().is_some_and(|id| id != 0) || network.priorities().as_ref().is_some_and(|all| !all.is_empty())
    });
    let memory = resources.memory().as_ref();
    let refused = [
        ("network", tags),
        ("rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
        (
            "hugepageLimits",
            resources.hugepage_limits().as_ref().is_some_and(|all| all.iter().any(|one| one.limit() != 0)),
        ),
        ("memory.disableOOMKiller", memory.is_some_and(|memory| memory.disable_oom_killer().unwrap_or(false))),
        ("cpu.realtimeRuntime", resources.cpu().as_ref().is_some_and(|cpu| cpu.realtime_runtime().unwrap_or(0) != 0)),
    ];
    match refused.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(said(format!("linux.resources.{name}: not supported"))),
        None => Ok(()),
    }
}

/// Of a property that is 0 where nobody set it.
fn given<T: PartialEq + Default + Copy>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// For version 1. The number of processes is not among them, in neither version: what runs on the host for a container are threads of
/// the virtual machine, and the sandbox counts the container's own.
pub fn v1(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    refuse(resources)?;
    if resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        return Err(said("linux.resources.unified: needs cgroup version 2"));
    }
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        all.extend(memory_v1(memory));
    }
    if let Some(cpu) = resources.cpu() {
        let mut add = |controller, file: &str, value: Option<String>, property| {
            all.extend(value.map(|value| setting(controller, file, value, property)));
        };
        let text = |value: &dyn ToString| value.to_string();
        add("cpu", "cpu.shares", given(cpu.shares()).map(|v| text(&v)), "linux.resources.cpu.shares");
        add("cpu", "cpu.cfs_period_us", given(cpu.period()).map(|v| text(&v)), "linux.resources.cpu.period");
        add("cpu", "cpu.cfs_burst_us", given(cpu.burst()).map(|v| text(&v)), "linux.resources.cpu.burst");
        add("cpu", "cpu.cfs_quota_us", given(cpu.quota()).map(|v| text(&v)), "linux.resources.cpu.quota");
        add("cpu", "cpu.idle", cpu.idle().map(|v| text(&v)), "linux.resources.cpu.idle");
        add("cpuset", "cpuset.cpus", listed(cpu.cpus()), "linux.resources.cpu.cpus");
        add("cpuset", "cpuset.mems", listed(cpu.mems()), "linux.resources.cpu.mems");
    }
    if let Some(block) = resources.block_io() {
        all.extend(block_v1(block));
    }
    Ok(all)
}

fn listed(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn memory_v1(memory: &LinuxMemory) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(limit) = given(memory.limit()) {
        all.push(setting("memory", "memory.limit_in_bytes", limit, "linux.resources.memory.limit"));
    }
    if let Some(swap) = given(memory.swap()) {
        all.push(setting("memory", "memory.memsw.limit_in_bytes", swap, "linux.resources.memory.swap"));
    }
    if let Some(soft) = given(memory.reservation()) {
        all.push(setting("memory", "memory.soft_limit_in_bytes", soft, "linux.resources.memory.reservation"));
    }
    if let Some(tcp) = given(memory.kernel_tcp()) {
        all.push(setting("memory", "memory.kmem.tcp.limit_in_bytes", tcp, "linux.resources.memory.kernelTCP"));
    }
    if let Some(swappiness) = memory.swappiness() {
        all.push(setting("memory", "memory.swappiness", swappiness, "linux.resources.memory.swappiness"));
    }
    all
}

fn block_v1(block: &LinuxBlockIo) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(weight) = given(block.weight()) {
        all.push(setting("blkio", "blkio.weight", weight, "linux.resources.blockIO.weight"));
    }
    for device in block.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            all.push(setting("blkio", "blkio.weight_device", value, "linux.resources.blockIO.weightDevice"));
        }
    }
    let throttles: [(&Option<Vec<LinuxThrottleDevice>>, &str, &'static str); 4] = [
        (block.throttle_read_bps_device(), "read_bps_device", "linux.resources.blockIO.throttleReadBpsDevice"),
        (block.throttle_write_bps_device(), "write_bps_device", "linux.resources.blockIO.throttleWriteBpsDevice"),
        (block.throttle_read_iops_device(), "read_iops_device", "linux.resources.blockIO.throttleReadIOPSDevice"),
        (block.throttle_write_iops_device(), "write_iops_device", "linux.resources.blockIO.throttleWriteIOPSDevice"),
    ];
    for (devices, file, property) in throttles {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            all.push(setting("blkio", &format!("blkio.throttle.{file}"), value, property));
        }
    }
    all
}

/// For version 2.
pub fn v2(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    refuse(resources)?;
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        all.extend(memory_v2(memory)?);
    }
    if let Some(cpu) = resources.cpu() {
        all.extend(cpu_v2(cpu));
    }
    if let Some(block) = resources.block_io() {
        all.extend(block_v2(block));
    }
    for (file, value) in resources.unified().iter().flatten() {
        if file.contains('/') || !file.contains('.') {
            return Err(said(format!("linux.resources.unified: {file:?} is no file of a cgroup")));
        }
        all.push(setting("", file, value, "linux.resources.unified"));
    }
    Ok(all)
}

fn bytes_v2(bytes: i64) -> String {
    if bytes < 0 { "max".into() } else { bytes.to_string() }
}

fn memory_v2(memory: &LinuxMemory) -> Result<Vec<Setting>, Error> {
    let mut all = Vec::new();
    let limit = given(memory.limit());
    if let Some(limit) = limit {
        all.push(setting("memory", "memory.max", bytes_v2(limit), "linux.resources.memory.limit"));
    }
    if let Some(swap) = given(memory.swap()) {
        // Version 1 counts both together.
        let alone = match limit {
            _ if swap < 0 => -1,
            Some(limit) if limit > 0 && swap >= limit => swap - limit,
            _ => return Err(said("linux.resources.memory.swap: needs a limit that is not above it")),
        };
        all.push(setting("memory", "memory.swap.max", bytes_v2(alone), "linux.resources.memory.swap"));
    }
    if let Some(low) = given(memory.reservation()) {
        all.push(setting("memory", "memory.low", bytes_v2(low), "linux.resources.memory.reservation"));
    }
    Ok(all)
}

/// CPU shares of version 1 (2 to 262,144) as a weight of version 2 (1 to 10,000), as runc has it.
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn cpu_v2(cpu: &LinuxCpu) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(shares) = given(cpu.shares()) {
        all.push(setting("cpu", "cpu.weight", weight(shares), "linux.resources.cpu.shares"));
    }
    let (quota, period) = (given(cpu.quota()), given(cpu.period()));
    if quota.is_some() || period.is_some() {
        let quota = quota.filter(|quota| *quota > 0).map_or("max".into(), |quota| quota.to_string());
        let value = format!("{quota} {}", period.unwrap_or(100_000));
        all.push(setting("cpu", "cpu.max", value, "linux.resources.cpu.quota"));
    }
    if let Some(burst) = given(cpu.burst()) {
        all.push(setting("cpu", "cpu.max.burst", burst, "linux.resources.cpu.burst"));
    }
    if let Some(idle) = cpu.idle() {
        all.push(setting("cpu", "cpu.idle", idle, "linux.resources.cpu.idle"));
    }
    if let Some(cpus) = listed(cpu.cpus()) {
        all.push(setting("cpuset", "cpuset.cpus", cpus, "linux.resources.cpu.cpus"));
    }
    if let Some(mems) = listed(cpu.mems()) {
        all.push(setting("cpuset", "cpuset.mems", mems, "linux.resources.cpu.mems"));
    }
    all
}

fn block_v2(block: &LinuxBlockIo) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(weight) = given(block.weight()) {
        all.push(setting("io", "io.bfq.weight", weight, "linux.resources.blockIO.weight"));
    }
    for device in block.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            all.push(setting("io", "io.bfq.weight", value, "linux.resources.blockIO.weightDevice"));
        }
    }
    let throttles: [(&Option<Vec<LinuxThrottleDevice>>, &str, &'static str); 4] = [
        (block.throttle_read_bps_device(), "rbps", "linux.resources.blockIO.throttleReadBpsDevice"),
        (block.throttle_write_bps_device(), "wbps", "linux.resources.blockIO.throttleWriteBpsDevice"),
        (block.throttle_read_iops_device(), "riops", "linux.resources.blockIO.throttleReadIOPSDevice"),
        (block.throttle_write_iops_device(), "wiops", "linux.resources.blockIO.throttleWriteIOPSDevice"),
    ];
    for (devices, key, property) in throttles {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            all.push(setting("io", "io.max", value, property));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn files(settings: Result<Vec<Setting>, Error>) -> Vec<(String, String)> {
        settings.expect("supported").into_iter().map(|setting| (setting.file, setting.value)).collect()
    }

    fn resources(value: Value) -> LinuxResources {
        serde_json::from_value(value).expect("valid")
    }

    #[test]
    fn limits_have_a_file_in_both_versions() {
        let all = resources(json!({
            "memory": {"limit": 1000, "swap": 3000, "reservation": 500},
            "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1"},
            "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]},
        }));
        let pair = |file: &str, value: &str| (file.to_string(), value.to_string());
        let old = files(v1(&all));
        for expected in [
            pair("memory.limit_in_bytes", "1000"),
            pair("memory.memsw.limit_in_bytes", "3000"),
            pair("cpu.shares", "1024"),
            pair("cpu.cfs_quota_us", "50000"),
            pair("cpuset.cpus", "0-1"),
            pair("blkio.throttle.read_bps_device", "8:0 9"),
        ] {
            assert!(old.contains(&expected), "{expected:?} in {old:?}");
        }
        let new = files(v2(&all));
        for expected in [
            pair("memory.max", "1000"),
            pair("memory.swap.max", "2000"),
            pair("memory.low", "500"),
            pair("cpu.weight", "39"),
            pair("cpu.max", "50000 100000"),
            pair("io.max", "8:0 rbps=9"),
        ] {
            assert!(new.contains(&expected), "{expected:?} in {new:?}");
        }
    }

    #[test]
    fn what_is_zero_was_not_asked_for() {
        let nothing = resources(json!({
            "memory": {"limit": 0, "disableOOMKiller": false}, "cpu": {"shares": 0, "cpus": ""}, "blockIO": {"weight": 0},
            "pids": {"limit": 0}, "network": {"classID": 0, "priorities": []}, "hugepageLimits": [], "devices": [],
        }));
        assert_eq!(files(v1(&nothing)), []);
        assert_eq!(files(v2(&nothing)), []);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let refusal = |value| v2(&resources(value)).expect_err("refused").to_string();
        assert!(refusal(json!({"network": {"classID": 5}})).contains("linux.resources.network"));
        assert!(refusal(json!({"memory": {"disableOOMKiller": true}})).contains("disableOOMKiller"));
        assert!(refusal(json!({"memory": {"limit": 10, "swap": 5}})).contains("memory.swap"));
        assert!(refusal(json!({"unified": {"../x.y": "1"}})).contains("unified"));
    }
}
