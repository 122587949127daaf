//! `--systemd-cgroup`: a container's cgroup is a transient scope, which systemd is asked for by D-Bus (org.freedesktop.systemd1(5)).
//!
//! A scope begins with a process in it and ends with its last one. Limits are told to systemd as well as written into the
//! cgroup's files: systemd writes its own idea of them again whenever it is reloaded.

use crate::container::{Error, said};
use crate::spec::number_list;
use oci_spec::runtime::LinuxResources;
use rustbus::connection::{Timeout, ll_conn::force_finish_on_error};
use rustbus::message_builder::{MarshalledMessage, MessageBuilder, MessageType};
use rustbus::standard_messages::add_match;
use rustbus::wire::ObjectPath;
use rustbus::{RpcConn, dbus_variant_sig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long systemd may take for a job.
const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNKNOWN_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// As in `docker-0123.scope`.
    pub name: String,
    /// As in `system.slice`.
    pub slice: String,
}

// The types of the properties that are set here.
dbus_variant_sig!(Value, Text => String; Flag => bool; Number => u64; Processes => Vec<u32>; Bytes => Vec<u8>);

type Property = (&'static str, Value);

impl Unit {
    /// From `linux.cgroupsPath` in the form `slice:prefix:name`, or from the container's name.
    ///
    /// # Errors
    /// A path of another form, in runc's words.
    pub fn parse(cgroups_path: Option<&Path>, id: &str) -> Result<Self, Error> {
        let given = cgroups_path.map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty());
        let given = given.unwrap_or_else(|| format!("system.slice:ringwall:{id}"));
        let wrong = || {
            said(format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {given:?} instead"
            ))
        };
        let parts: Vec<&str> = given.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Err(wrong()) };
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        if name.is_empty() || !slice.ends_with(".slice") || given.contains('/') {
            return Err(wrong());
        }
        let name = match prefix {
            _ if name.ends_with(".slice") => {
                return Err(said(format!("{given:?}: a container's unit is a scope, not a slice")));
            }
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        Ok(Self { name, slice: slice.into() })
    }

    /// Where the cgroup is below a hierarchy's top: `a-b.slice` lies in `a.slice`.
    pub fn path(&self) -> PathBuf {
        let mut path = PathBuf::new();
        let stem = self.slice.trim_end_matches(".slice");
        let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        // `-.slice` is the top itself.
        path.extend(ends.filter(|end| *end > 0 && stem != "-").map(|end| format!("{}.slice", &stem[..end])));
        path.join(&self.name)
    }

    /// Makes the scope, with a process in it, and waits until it is there.
    pub fn start(&self, pid: i32) -> Result<(), Error> {
        let pid = u32::try_from(pid).map_err(|_| said("no process"))?;
        let properties = vec![
            ("Description", Value::Text(format!("ringwall container {}", self.name))),
            ("Slice", Value::Text(self.slice.clone())),
            ("Delegate", Value::Flag(true)),
            ("PIDs", Value::Processes(vec![pid])),
            ("MemoryAccounting", Value::Flag(true)),
            ("CPUAccounting", Value::Flag(true)),
            ("IOAccounting", Value::Flag(true)),
            ("TasksAccounting", Value::Flag(true)),
            ("DefaultDependencies", Value::Flag(false)),
        ];
        let mut bus = Bus::connect()?;
        // One of the same name that failed stands in the way until it is forgotten.
        let _ = bus.call("ResetFailedUnit", |call| call.body.push_param(self.name.as_str()));
        bus.job("StartTransientUnit", |call| {
            call.body.push_param2(self.name.as_str(), "replace")?;
            call.body.push_param(properties)?;
            call.body.push_param(Vec::<(String, Vec<(String, Value)>)>::new())
        })
    }

    /// Tells systemd the limits that it knows.
    pub fn limit(&self, resources: &LinuxResources) -> Result<(), Error> {
        let properties = properties(resources)?;
        if properties.is_empty() {
            return Ok(());
        }
        Bus::connect()?.call("SetUnitProperties", |call| {
            call.body.push_param2(self.name.as_str(), true)?;
            call.body.push_param(properties)
        })?;
        Ok(())
    }

    /// Ends the scope. One that is gone is no error.
    pub fn stop(&self) -> Result<(), Error> {
        let mut bus = Bus::connect()?;
        match bus.job("StopUnit", |call| call.body.push_param2(self.name.as_str(), "replace")) {
            Err(error) if !error.to_string().contains(UNKNOWN_UNIT) => return Err(error),
            _ => {}
        }
        let _ = bus.call("ResetFailedUnit", |call| call.body.push_param(self.name.as_str()));
        Ok(())
    }
}

/// systemd.resource-control(5)
fn properties(resources: &LinuxResources) -> Result<Vec<Property>, Error> {
    fn bytes(value: i64) -> Value {
        Value::Number(u64::try_from(value).unwrap_or(u64::MAX))
    }
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        let limit = memory.limit().filter(|limit| *limit != 0);
        all.extend(limit.map(|limit| ("MemoryMax", bytes(limit))));
        all.extend(memory.reservation().filter(|low| *low != 0).map(|low| ("MemoryLow", bytes(low))));
        if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
            // The files' writer refuses one below the limit.
            let alone = limit.filter(|limit| *limit > 0 && swap > 0).map_or(swap, |limit| (swap - limit).max(0));
            all.push(("MemorySwapMax", bytes(alone)));
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            all.push(("CPUWeight", Value::Number(super::limits::weight(shares))));
        }
        if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
            let period = cpu.period().filter(|period| *period != 0).unwrap_or(100_000);
            // Each second, rounded up to what systemd keeps.
            let a_second = u64::try_from(quota)
                .map_or(u64::MAX, |quota| quota.saturating_mul(1_000_000).div_ceil(period).next_multiple_of(10_000));
            all.push(("CPUQuotaPerSecUSec", Value::Number(a_second)));
            all.push(("CPUQuotaPeriodUSec", Value::Number(period)));
        }
        for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                all.push((name, Value::Bytes(mask(list)?)));
            }
        }
    }
    // No TasksMax: the container's tasks are counted inside, and those out here are the VM's.
    Ok(all)
}

/// `0-2,7` as bits, the lowest first.
fn mask(list: &str) -> Result<Vec<u8>, Error> {
    let wrong = || said(format!("linux.resources.cpu: {list:?} is no list of CPUs or memory nodes"));
    let mut bits = Vec::new();
    for number in number_list::parse(list).ok_or_else(wrong)?.into_iter().flatten() {
        let byte = number / 8;
        bits.resize(bits.len().max(byte + 1), 0u8);
        bits[byte] |= 1 << (number % 8);
    }
    Ok(bits)
}

/// The system's bus.
struct Bus {
    connection: RpcConn,
    end: Instant,
}

type Pushed = Result<(), rustbus::wire::errors::MarshalError>;

impl Bus {
    fn connect() -> Result<Self, Error> {
        let connection = RpcConn::system_conn(Timeout::Duration(PATIENCE)).map_err(|error| {
            said(format!("systemd cgroup flag passed, but systemd is not there to make cgroups: {error}"))
        })?;
        Ok(Self { connection, end: Instant::now() + PATIENCE })
    }

    fn left(&self) -> Timeout {
        Timeout::Duration(self.end.saturating_duration_since(Instant::now()))
    }

    /// Calls the manager; an error of its is one here.
    fn call(
        &mut self,
        method: &str,
        fill: impl FnOnce(&mut MarshalledMessage) -> Pushed,
    ) -> Result<MarshalledMessage, Error> {
        let mut call = MessageBuilder::new().call(method).with_interface(MANAGER).on(PATH).at(NAME).build();
        fill(&mut call).map_err(|error| said(format!("systemd: {method}: {error}")))?;
        self.send(method, call)
    }

    fn send(&mut self, method: &str, mut call: MarshalledMessage) -> Result<MarshalledMessage, Error> {
        let failed = |error: rustbus::connection::Error| said(format!("systemd: {method}: {error}"));
        let left = self.left();
        let sent = self.connection.send_message(&mut call).map_err(failed)?;
        let serial = sent.write(left).map_err(force_finish_on_error).map_err(failed)?;
        let left = self.left();
        let answer = self.connection.wait_response(serial, left).map_err(failed)?;
        if answer.typ == MessageType::Error {
            let name = answer.dynheader.error_name.clone().unwrap_or_default();
            let text: String = answer.body.parser().get().unwrap_or_default();
            return Err(said(format!("systemd: {method}: {text} ({name})")));
        }
        Ok(answer)
    }

    /// Calls a method that answers with a job, and waits for the job's end.
    fn job(&mut self, method: &str, fill: impl FnOnce(&mut MarshalledMessage) -> Pushed) -> Result<(), Error> {
        let rule = format!("type='signal',sender='{NAME}',interface='{MANAGER}',member='JobRemoved'");
        self.send("AddMatch", add_match(&rule))?;
        let answer = self.call(method, fill)?;
        let strange = |error| said(format!("systemd: {method}: {error:?}"));
        let job: ObjectPath<&str> = answer.body.parser().get().map_err(strange)?;
        loop {
            let left = self.left();
            let signal = self.connection.wait_signal(left);
            let signal = signal.map_err(|error| said(format!("systemd: {method}: waiting for its job: {error}")))?;
            if signal.dynheader.member.as_deref() != Some("JobRemoved") {
                continue;
            }
            let (_, removed, _, result): (u32, ObjectPath<&str>, &str, &str) =
                signal.body.parser().get4().map_err(strange)?;
            match result {
                _ if removed != job => {}
                "done" => return Ok(()),
                other => return Err(said(format!("systemd: {method}: its job ended as {other}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn unit(path: &str) -> Result<Unit, Error> {
        Unit::parse(Some(Path::new(path)), "id")
    }

    #[test]
    fn a_unit_is_named_as_runc_names_it() {
        let docker = unit("system.slice:docker:0123").expect("a unit");
        assert_eq!(docker.path(), Path::new("system.slice/docker-0123.scope"));
        let pod = unit("kubepods-burstable-pod7.slice:cri-containerd:ab").expect("a unit");
        let expected = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7.slice/cri-containerd-ab.scope";
        assert_eq!(pod.path(), Path::new(expected));
        assert_eq!(unit("::ab").expect("a unit").path(), Path::new("system.slice/ab.scope"));
        assert_eq!(unit("-.slice:a:b").expect("a unit").path(), Path::new("a-b.scope"));
        assert_eq!(Unit::parse(None, "id").expect("a unit").path(), Path::new("system.slice/ringwall-id.scope"));
    }

    #[test]
    fn another_form_is_refused() {
        for wrong in ["/docker/0123", "a:b", "system.slice:a:", "system:a:b", "system.slice:a/..:b", "a.slice:b:c:d"] {
            assert!(unit(wrong).expect_err(wrong).to_string().contains("slice:prefix:name"), "{wrong}");
        }
    }

    #[test]
    fn limits_become_properties() {
        let resources = serde_json::from_value(json!({
            "memory": {"limit": 1000, "swap": 3000, "reservation": -1},
            "cpu": {"shares": 1024, "quota": 50_001, "period": 100_000, "cpus": "0-1,9"},
            "pids": {"limit": -1},
        }));
        let all = properties(&resources.expect("valid")).expect("supported");
        for expected in [
            ("MemoryMax", Value::Number(1000)),
            ("MemorySwapMax", Value::Number(2000)),
            ("MemoryLow", Value::Number(u64::MAX)),
            ("CPUWeight", Value::Number(39)),
            ("CPUQuotaPerSecUSec", Value::Number(510_000)),
            ("AllowedCPUs", Value::Bytes(vec![0b11, 0b10])),
        ] {
            assert!(all.contains(&expected), "{expected:?} in {all:?}");
        }
        assert!(all.iter().all(|(name, _)| *name != "TasksMax"), "{all:?}");
        assert!(mask("0-99999").is_err() && mask("x").is_err());
    }
}
