//! What it costs a system call that somebody looks: differences of one getppid, and of the code that it runs through.

use crate::process;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// One way to look.
#[derive(Clone, Copy)]
pub struct Look {
    /// In the tables.
    pub name: &'static str,
    /// The figure, in `Counts::looking`.
    pub figure: &'static str,
    /// What it is more than.
    pub than: Option<&'static str>,
    /// Instructions that it may cost.
    pub most: i64,
}

/// How often `bench one getppid` makes the call: so many records there must be.
const CALLS: u64 = 2000;

/// All of them.
pub const LOOKS: [Look; 4] = [
    Look { name: "nobody looks: for finding that out", figure: "route", than: None, most: 2 },
    Look { name: "statistics, the default", figure: "statistics", than: Some("off"), most: 25 },
    Look { name: "a trace's record of numbers", figure: "trace", than: Some("statistics"), most: 200 },
    Look {
        name: "the engines' default profile, of a call it allows",
        figure: "profile",
        than: Some("statistics"),
        most: 10,
    },
];

impl Look {
    /// Instructions of a call for it.
    pub fn cost(&self, figures: &BTreeMap<String, u64>) -> Option<i64> {
        let figure = |name: &str| figures.get(name).and_then(|value| i64::try_from(*value).ok());
        if self.figure == "trace" && figures.get("records") != Some(&CALLS) {
            return None;
        }
        Some(figure(self.figure)? - self.than.map_or(Some(0), figure)?)
    }
}

/// The profile that engines of Docker's kind start containers with, as they write it into `config.json`: resolved for this architecture and
/// the capabilities that such a container has. Docker's own is compiled into it; this is containers-common's, which began as a copy.
pub fn default_profile() -> Result<Value> {
    let path = Path::new("/usr/share/containers/seccomp.json");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    resolved(&serde_json::from_str(&text).with_context(|| format!("{} is no profile", path.display()))?)
}

fn resolved(profile: &Value) -> Result<Value> {
    let rules = profile["syscalls"].as_array().context("a profile without calls")?;
    let names = |rule: &Value, part: &str, kind: &str| -> Vec<String> {
        let list = rule[part][kind].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let has = |kind: &str, name: &String| match kind {
        "arches" => name == "amd64",
        _ => CAPABILITIES.contains(&name.as_str()),
    };
    let holds = |rule: &&Value| {
        ["arches", "caps"].iter().all(|kind| {
            let included = names(rule, "includes", kind);
            let excluded = names(rule, "excludes", kind);
            (included.is_empty() || included.iter().any(|name| has(kind, name)))
                && !excluded.iter().any(|name| has(kind, name))
        })
    };
    let rule = |rule: &Value| {
        let mut kept = serde_json::Map::new();
        for key in ["names", "action", "errnoRet", "args"] {
            match &rule[key] {
                Value::Null => {}
                Value::Array(list) if list.is_empty() => {}
                value => drop(kept.insert(key.to_owned(), value.clone())),
            }
        }
        Value::Object(kept)
    };
    let kept: Vec<Value> = rules.iter().filter(holds).map(rule).collect();
    let mut whole = json!({
        "defaultAction": profile["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": kept,
    });
    if let Some(errno) = profile["defaultErrnoRet"].as_u64() {
        whole["defaultErrnoRet"] = errno.into();
    }
    Ok(whole)
}

/// What a container of these engines may do.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Instructions of a call, with everything off, that are there because somebody might look: those that find its route, which
/// would otherwise be its number. Read off the kernel's code, as no machine without them is built.
pub fn of_route(blob: &Path) -> Result<u64> {
    let text = |program: &str, flags: &[&str]| -> Result<String> {
        let output = process::output(Command::new(program).args(flags).arg(blob))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    };
    let symbols = text("nm", &[])?;
    let routes = symbols.lines().find(|line| line.contains("syscall6policy6ROUTES"));
    let routes = routes.and_then(|line| line.split(' ').next()).context("the kernel has no ROUTES")?;
    let code = text("objdump", &["--disassemble", "--no-show-raw-insn", "--no-addresses", "-M", "intel"])?;
    of_code(&code, u64::from_str_radix(routes, 16)?)
}

fn of_code(code: &str, routes: u64) -> Result<u64> {
    let mut lines = code.lines().skip_while(|line| !(line.contains("serve_uncounted") && line.ends_with(">:"))).skip(1);
    // Absolute addresses are written as the negative numbers that they are in 32 bits, or as they are.
    let low = routes as u32;
    let forms = [format!("-{:#x}]", low.wrapping_neg()), format!("{routes:#x}]"), format!("{low:#x}]")];
    let load = lines.by_ref().find(|line| forms.iter().any(|form| line.contains(form.as_str())));
    let load = load.context("serve_uncounted does not look at ROUTES")?;
    let register = load.split_whitespace().nth(1).and_then(|operands| operands.split(',').next());
    let register = register.context("a load without a register")?.trim_start_matches(['e', 'r']);
    let mut count = 1;
    for line in lines {
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if line.starts_with("call") {
            return Ok(count);
        }
        count += u64::from(line.contains(register));
    }
    bail!("serve_uncounted calls no handler behind its look at ROUTES")
}

#[cfg(test)]
mod tests {
    use super::{LOOKS, of_code, resolved};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn instructions_between_a_route_and_its_handler_are_counted() {
        let code = "<_ZN5ring03run15serve_uncounted17hE>:\n\tcmp    rax,0x1ff\n\tmovzx  ecx,WORD PTR [rax+rax*1-0x7f8e7a48]\n\
                    \tmov    rdi,rbx\n\tand    ecx,0x3ff\n\tcall   QWORD PTR [rcx*8-0x7f906c50]\n\tret\n\n";
        assert_eq!(of_code(code, 0xffff_ffff_8071_85b8).ok(), Some(2));
        assert!(of_code(code, 0xffff_ffff_8071_0000).is_err());
    }

    #[test]
    fn a_trace_that_lost_records_says_nothing() {
        let figures = |records| {
            BTreeMap::from(
                [("statistics", 98), ("trace", 240), ("records", records)].map(|(name, n)| (name.to_owned(), n)),
            )
        };
        let trace = LOOKS[2];
        assert_eq!((trace.cost(&figures(2000)), trace.cost(&figures(1999))), (Some(142), None));
        assert_eq!(LOOKS[1].cost(&figures(2000)), None);
    }

    #[test]
    fn rules_of_other_machines_and_capabilities_fall_out() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": ""},
            {"names": ["cacheflush"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
        ]});
        let resolved = resolved(&profile).expect("a profile");
        assert_eq!(resolved["defaultErrnoRet"], 1);
        assert_eq!(
            resolved["syscalls"],
            json!([
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW"},
            ])
        );
    }
}
