//! /proc/keys and /proc/key-users.

use super::Kind;
use super::find::permit;
use super::table::{State, TABLE, Table};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// /proc/keys: the keys that the reader may view.
pub fn keys(current: &Current) -> Result<Vec<u8>, Errno> {
    let mut text = String::new();
    let mut table = TABLE.lock();
    table.sweep();
    let now = platform().monotonic_ns();
    for (serial, key) in table.keys.iter() {
        if permit(&current.creds, key, false, super::VIEW).is_err() {
            continue;
        }
        let left = match key.expires_ns {
            None => String::from("perm"),
            Some(at) if at <= now => String::from("expd"),
            Some(at) => format!("{}s", (at - now) / 1_000_000_000),
        };
        let flag = |set: bool, letter: char| if set { letter } else { '-' };
        let description = String::from_utf8_lossy(&key.description);
        let about = match (key.kind, key.links.len()) {
            (Kind::Keyring, 0) => format!("{description}: empty"),
            (Kind::Keyring, count) => format!("{description}: {count}"),
            (_, _) if key.state == State::Live => format!("{description}: {}", key.payload.len()),
            _ => description.into_owned(),
        };
        text.push_str(&format!(
            "{serial:08x} {}{}{}{}{}{}{} {:5} {left:>4} {:08x} {:5} {:5} {:<9.9} {about}\n",
            flag(key.state != State::Negative, 'I'),
            flag(key.state == State::Revoked, 'R'),
            '-',
            'Q',
            '-',
            flag(key.state == State::Negative, 'N'),
            flag(key.state == State::Invalid, 'i'),
            1,
            key.perm,
            key.uid.cast_signed(),
            key.gid.cast_signed(),
            key.kind.name(),
        ));
    }
    Ok(text.into_bytes())
}

/// /proc/key-users: who has how many keys, and how many bytes, of how many.
pub fn users() -> Result<Vec<u8>, Errno> {
    let mut text = String::new();
    let mut table = TABLE.lock();
    table.sweep();
    for (uid, usage) in table.usage.iter().filter(|(_, usage)| usage.keys > 0) {
        let [most_keys, most_bytes] = Table::limits(*uid);
        let (keys, bytes) = (usage.keys, usage.bytes);
        text.push_str(&format!("{uid:5}: {:5} {keys}/{keys} {keys}/{most_keys} {bytes}/{most_bytes}\n", keys + 1));
    }
    Ok(text.into_bytes())
}
