//! What a container used, in the shape of runc's `events`.

use crate::container::cgroup::{Cgroup, Version};
use linker::control::Usage;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What a host reports where there is no limit: as much as the largest number of pages.
const UNLIMITED: u64 = i64::MAX as u64 / 4096 * 4096;

impl Cgroup {
    /// The `data` of a `stats` event. Tasks are counted inside, if the sandbox could be asked.
    pub fn usage(&self, inside: Option<&Usage>, most_tasks: Option<u64>) -> Value {
        let mut data = match self.version {
            Version::V1 => self.usage_v1(),
            Version::V2 => self.usage_v2(),
            Version::None => Map::new(),
        };
        let mut pids = Map::new();
        if let Some(usage) = inside {
            pids.insert("current".into(), json!(usage.tasks));
        }
        if let Some(limit) = most_tasks {
            pids.insert("limit".into(), json!(limit));
        }
        data.insert("pids".into(), Value::Object(pids));
        for (name, empty) in [("blkio", json!({})), ("hugetlb", json!({})), ("intel_rdt", json!({}))] {
            data.entry(name).or_insert(empty);
        }
        data.insert("network_interfaces".into(), Value::Null);
        Value::Object(data)
    }

    fn usage_v1(&self) -> Map<String, Value> {
        let mut data = Map::new();
        if let Some(directory) = self.controller("cpuacct") {
            let percpu: Vec<u64> = words(&directory.join("cpuacct.usage_percpu"));
            let stat = keyed(&directory.join("cpuacct.stat"));
            // In ticks of a hundredth of a second.
            let ns = |key: &str| stat.get(key).and_then(Value::as_u64).unwrap_or(0) * 10_000_000;
            let usage = json!({
                "total": number(&directory.join("cpuacct.usage")),
                "percpu": percpu,
                "kernel": ns("system"),
                "user": ns("user"),
            });
            let throttling = self.controller("cpu").map(|cpu| keyed(&cpu.join("cpu.stat"))).unwrap_or_default();
            let throttling = throttled(&throttling, "throttled_time", 1);
            data.insert("cpu".into(), json!({"usage": usage, "throttling": throttling}));
        }
        if let Some(directory) = self.controller("memory") {
            let entry = |name: &str| {
                let of = |what: &str| number(&directory.join(format!("{name}.{what}")));
                json!({
                    "limit": of("limit_in_bytes"), "usage": of("usage_in_bytes"), "max": of("max_usage_in_bytes"),
                    "failcnt": of("failcnt"),
                })
            };
            let raw = keyed(&directory.join("memory.stat"));
            let memory = json!({
                "cache": raw.get("cache"), "usage": entry("memory"), "swap": entry("memory.memsw"),
                "kernel": entry("memory.kmem"), "kernelTCP": entry("memory.kmem.tcp"), "raw": raw,
            });
            data.insert("memory".into(), memory);
        }
        data
    }

    fn usage_v2(&self) -> Map<String, Value> {
        let Some(directory) = self.controller("") else { return Map::new() };
        let cpu = keyed(&directory.join("cpu.stat"));
        let ns = |key: &str| cpu.get(key).and_then(Value::as_u64).unwrap_or(0) * 1000;
        let raw = keyed(&directory.join("memory.stat"));
        let events = keyed(&directory.join("memory.events"));
        let limit = |name: &str| match std::fs::read_to_string(directory.join(name)) {
            Ok(text) => text.trim().parse().unwrap_or(UNLIMITED),
            Err(_) => UNLIMITED,
        };
        let entry = |name: &str| {
            let of = |what: &str| number(&directory.join(format!("{name}.{what}")));
            json!({"limit": limit(&format!("{name}.max")), "usage": of("current"), "max": of("peak"), "failcnt": events.get("max")})
        };
        let memory = json!({
            "cache": raw.get("file"), "usage": entry("memory"), "swap": entry("memory.swap"), "kernel": {"failcnt": 0},
            "kernelTCP": {"failcnt": 0}, "raw": raw,
        });
        let usage = json!({"total": ns("usage_usec"), "kernel": ns("system_usec"), "user": ns("user_usec")});
        let throttling = throttled(&cpu, "throttled_usec", 1000);
        Map::from_iter([
            ("cpu".to_string(), json!({"usage": usage, "throttling": throttling})),
            ("memory".to_string(), memory),
        ])
    }

    /// How often the host killed something here for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let name = if self.version == Version::V2 { "memory.events" } else { "memory.oom_control" };
        let counts = self.controller("memory").map(|directory| keyed(&directory.join(name))).unwrap_or_default();
        counts.get("oom_kill").and_then(Value::as_u64).unwrap_or(0)
    }
}

fn throttled(stat: &Map<String, Value>, time: &str, scale: u64) -> Value {
    let of = |key: &str| stat.get(key).and_then(Value::as_u64).unwrap_or(0);
    match of("nr_periods") {
        0 => json!({}),
        periods => json!({
            "periods": periods, "throttledPeriods": of("nr_throttled"), "throttledTime": of(time) * scale,
        }),
    }
}

fn number(path: &Path) -> u64 {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn words(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A file of lines `key number`.
fn keyed(path: &Path) -> Map<String, Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_string(), json!(value.trim().parse::<u64>().ok()?)))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_has_the_shape_of_runcs() {
        let directory = tempfile::tempdir().expect("directory");
        let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
        file("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 4\nnr_throttled 1\nthrottled_usec 7\n");
        file("memory.stat", "anon 10\nfile 20\n");
        file("memory.current", "30\n");
        file("memory.max", "max\n");
        file("memory.events", "oom 2\noom_kill 1\n");
        let paths = [(String::new(), directory.path().to_path_buf())].into();
        let cgroup = Cgroup { version: Version::V2, paths, unit: None };
        let usage = cgroup.usage(Some(&Usage { tasks: 6, ..Usage::default() }), Some(9));
        assert_eq!(usage["cpu"]["usage"]["total"], 5000);
        assert_eq!(usage["cpu"]["throttling"]["throttledTime"], 7000);
        assert_eq!(usage["memory"]["usage"]["usage"], 30);
        assert_eq!(usage["memory"]["usage"]["limit"], UNLIMITED);
        assert_eq!(usage["memory"]["cache"], 20);
        assert_eq!(usage["pids"], json!({"current": 6, "limit": 9}));
        assert_eq!(cgroup.oom_kills(), 1);
    }
}
