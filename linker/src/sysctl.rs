//! Kernel parameters that config.json may set: the host refuses all others, and values out of range; the sentry honours these.

use alloc::vec::Vec;

/// One parameter: its name, and the least and greatest value of each of its numbers.
pub struct Sysctl {
    /// As sysctl(8) writes it; `*` stands for the name of an interface.
    pub name: &'static str,
    /// Its numbers.
    pub numbers: &'static [(u64, u64)],
}

const INT: (u64, u64) = (0, i32::MAX as u64);
const PORT: (u64, u64) = (0, 65535);
/// HARD_MSGMAX and HARD_MSGSIZEMAX (mq_overview(7)).
const MESSAGES: (u64, u64) = (1, 65536);
const MESSAGE_BYTES: (u64, u64) = (128, 16 << 20);

macro_rules! sysctl {
    ($name:literal, $($numbers:expr),+) => {
        Sysctl { name: $name, numbers: &[$($numbers),+] }
    };
}

/// All of them.
pub const ALL: &[Sysctl] = &[
    sysctl!("fs.mqueue.msg_default", MESSAGES),
    sysctl!("fs.mqueue.msg_max", MESSAGES),
    sysctl!("fs.mqueue.msgsize_default", MESSAGE_BYTES),
    sysctl!("fs.mqueue.msgsize_max", MESSAGE_BYTES),
    sysctl!("fs.mqueue.queues_max", INT),
    sysctl!("kernel.msgmax", INT),
    sysctl!("kernel.msgmnb", INT),
    sysctl!("kernel.msgmni", (0, 32768)),
    // SEMMSL, SEMMNS, SEMOPM, SEMMNI.
    sysctl!("kernel.sem", INT, INT, INT, (0, 32768)),
    sysctl!("kernel.shm_rmid_forced", (0, 0)),
    sysctl!("kernel.shmall", (0, u64::MAX)),
    sysctl!("kernel.shmmax", (0, u64::MAX)),
    sysctl!("kernel.shmmni", (0, 32768)),
    sysctl!("net.core.somaxconn", INT),
    sysctl!("net.ipv4.ip_default_ttl", (1, 255)),
    // Nothing is forwarded.
    sysctl!("net.ipv4.ip_forward", (0, 0)),
    sysctl!("net.ipv4.ip_local_port_range", (1, 65535), (1, 65535)),
    sysctl!("net.ipv4.ip_unprivileged_port_start", PORT),
    sysctl!("net.ipv4.ping_group_range", (0, u32::MAX as u64), (0, u32::MAX as u64)),
    // As TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT take them.
    sysctl!("net.ipv4.tcp_keepalive_intvl", (1, 32767)),
    sysctl!("net.ipv4.tcp_keepalive_probes", (1, 127)),
    sysctl!("net.ipv4.tcp_keepalive_time", (1, 32767)),
    sysctl!("net.ipv6.conf.*.disable_ipv6", (0, 1)),
];

/// What is wrong with a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// There is none of this name here.
    Name,
    /// It cannot have this value.
    Value,
}

/// Whether `name` is what `pattern` says.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            let middle = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('/'))
        }
    }
}

/// A parameter's numbers.
pub fn parse(name: &str, value: &str) -> Result<Vec<u64>, Wrong> {
    let known = ALL.iter().find(|known| fits(known.name, name)).ok_or(Wrong::Name)?;
    let numbers: Vec<u64> =
        value.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| Wrong::Value)?;
    let inside = |(number, (least, most)): (&u64, &(u64, u64))| (*least..=*most).contains(number);
    let rising = name != "net.ipv4.ip_local_port_range" || numbers.is_sorted();
    match numbers.len() == known.numbers.len() && numbers.iter().zip(known.numbers).all(inside) && rising {
        true => Ok(numbers),
        false => Err(Wrong::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::{Wrong, parse};

    #[test]
    fn names_and_ranges_are_checked() {
        assert_eq!(parse("net.core.somaxconn", " 128\n"), Ok([128].into()));
        assert_eq!(parse("net.core.somaxconn", "-1"), Err(Wrong::Value));
        assert_eq!(parse("net.core.somaxconn", "1 2"), Err(Wrong::Value));
        assert_eq!(parse("net.core.rmem_max", "1"), Err(Wrong::Name));
        assert_eq!(parse("net.ipv4.ip_local_port_range", "2000 1000"), Err(Wrong::Value));
        assert_eq!(parse("net.ipv6.conf.eth0.disable_ipv6", "1"), Ok([1].into()));
        assert_eq!(parse("net.ipv6.conf..disable_ipv6", "1"), Err(Wrong::Name));
        assert_eq!(parse("kernel.sem", "250\t32000\t100\t128"), Ok([250, 32000, 100, 128].into()));
    }
}
