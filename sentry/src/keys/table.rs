//! The table of keys: numbers, quotas, and what becomes of keys that nobody leads to.

use super::{ALL, Kind, POSSESSOR, READ, Token, USER, VIEW};
use crate::errno::Errno;
use crate::platform::platform;
use crate::random;
use crate::sync::{Lock, Rank};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// What a user may have: keys and bytes; root's own. (`/proc/sys/kernel/keys`)
pub static LIMITS: [[AtomicU32; 2]; 2] =
    [[AtomicU32::new(200), AtomicU32::new(20_000)], [AtomicU32::new(1_000_000), AtomicU32::new(25_000_000)]];

/// What a link in a keyring counts (KEYQUOTA_LINK_BYTES).
const LINK_BYTES: usize = 4;

pub(super) static TABLE: Lock<Table> = Lock::new(
    Rank::FileSystem,
    Table { keys: BTreeMap::new(), users: BTreeMap::new(), usage: BTreeMap::new(), sweep_at: 64 },
);

/// What cannot be used any more, or never could.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Live,
    Revoked,
    Invalid,
    /// It was asked for and could not be had.
    Negative,
}

pub(super) struct Key {
    pub kind: Kind,
    pub description: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub perm: u32,
    pub payload: Vec<u8>,
    /// Of a keyring.
    pub links: Vec<i32>,
    pub state: State,
    /// CLOCK_MONOTONIC.
    pub expires_ns: Option<u64>,
    /// Credentials that have it as their keyring.
    holder: Weak<Token>,
}

impl Key {
    /// Why it cannot be used, if it cannot.
    pub fn check(&self) -> Result<(), Errno> {
        match self.state {
            State::Invalid | State::Negative => Err(Errno::ENOKEY),
            State::Revoked => Err(Errno::EKEYREVOKED),
            State::Live if self.expired() => Err(Errno::EKEYEXPIRED),
            State::Live => Ok(()),
        }
    }

    fn expired(&self) -> bool {
        self.expires_ns.is_some_and(|at| at <= platform().monotonic_ns())
    }

    /// What it counts against its user's quota.
    fn bytes(&self) -> usize {
        self.description.len() + 1 + self.payload.len() + self.links.len() * LINK_BYTES
    }
}

/// What a user has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub keys: usize,
    pub bytes: usize,
}

pub(super) struct Table {
    pub keys: BTreeMap<i32, Key>,
    /// Each user's keyring and session keyring.
    pub users: BTreeMap<u32, (i32, i32)>,
    pub usage: BTreeMap<u32, Usage>,
    sweep_at: usize,
}

impl Table {
    /// The key, whatever its state; ENOKEY if there is none.
    pub fn key(&self, serial: i32) -> Result<&Key, Errno> {
        self.keys.get(&serial).ok_or(Errno::ENOKEY)
    }

    /// `key`, to change; not what counts against the quota (`recount`).
    pub fn key_mut(&mut self, serial: i32) -> Result<&mut Key, Errno> {
        self.keys.get_mut(&serial).ok_or(Errno::ENOKEY)
    }

    /// A new key. EDQUOT where its user has too much.
    pub fn make(
        &mut self,
        kind: Kind,
        description: &[u8],
        owner: (u32, u32),
        perm: u32,
        payload: Vec<u8>,
    ) -> Result<i32, Errno> {
        if self.keys.len() >= self.sweep_at {
            self.sweep();
            self.sweep_at = (self.keys.len() * 2).max(64);
        }
        let key = Key {
            kind,
            description: description.to_vec(),
            uid: owner.0,
            gid: owner.1,
            perm,
            payload,
            links: Vec::new(),
            state: State::Live,
            expires_ns: None,
            holder: Weak::new(),
        };
        self.charge(key.uid, 1, key.bytes())?;
        let serial = loop {
            let mut bytes = [0; 4];
            random::fill(&mut bytes);
            let serial = i32::from_ne_bytes(bytes) & i32::MAX;
            // The first few are special on Linux, too.
            if serial > 2 && !self.keys.contains_key(&serial) {
                break serial;
            }
        };
        self.keys.insert(serial, key);
        Ok(serial)
    }

    /// A keyring for credentials, and the token that keeps it.
    pub fn make_held(&mut self, name: &[u8], owner: (u32, u32), perm: u32) -> Result<Arc<Token>, Errno> {
        let serial = self.make(Kind::Keyring, name, owner, perm, Vec::new())?;
        self.hold(serial)
    }

    /// A token for a keyring.
    pub fn hold(&mut self, serial: i32) -> Result<Arc<Token>, Errno> {
        let key = self.key_mut(serial)?;
        if let Some(token) = key.holder.upgrade() {
            return Ok(token);
        }
        let token = Arc::new(Token(serial));
        key.holder = Arc::downgrade(&token);
        Ok(token)
    }

    /// A user's own keyring and session keyring, which last.
    pub fn user_rings(&mut self, uid: u32) -> Result<(i32, i32), Errno> {
        if let Some(rings) = self.users.get(&uid) {
            return Ok(*rings);
        }
        let perm = (ALL & !super::SETATTR) << POSSESSOR | ALL << USER;
        let ring = self.make(Kind::Keyring, format!("_uid.{uid}").as_bytes(), (uid, u32::MAX), perm, Vec::new())?;
        let session =
            self.make(Kind::Keyring, format!("_uid_ses.{uid}").as_bytes(), (uid, u32::MAX), perm, Vec::new())?;
        self.users.insert(uid, (ring, session));
        self.link(session, ring)?;
        Ok((ring, session))
    }

    /// A key's payload becomes this one.
    pub fn set_payload(&mut self, serial: i32, payload: Vec<u8>) -> Result<(), Errno> {
        let key = self.key(serial)?;
        let (uid, more) = (key.uid, payload.len().saturating_sub(key.payload.len()));
        self.charge(uid, 0, more)?;
        let key = self.key_mut(serial)?;
        let less = key.payload.len().saturating_sub(payload.len());
        key.payload = payload;
        self.release(uid, 0, less);
        Ok(())
    }

    /// Its owner becomes this user.
    pub fn set_owner(&mut self, serial: i32, uid: u32) -> Result<(), Errno> {
        let key = self.key(serial)?;
        let (old, bytes) = (key.uid, key.bytes());
        if old != uid {
            self.charge(uid, 1, bytes)?;
            self.release(old, 1, bytes);
            self.key_mut(serial)?.uid = uid;
        }
        Ok(())
    }

    /// Links a key to a keyring; another of its kind and description there goes.
    pub fn link(&mut self, ring: i32, serial: i32) -> Result<(), Errno> {
        let key = self.key(serial)?;
        let namesake = |other: &i32| {
            *other == serial
                || self.keys.get(other).is_some_and(|it| it.kind == key.kind && it.description == key.description)
        };
        let place = self.key(ring)?.links.iter().position(namesake);
        match place {
            Some(place) => {
                if let Some(link) = self.key_mut(ring)?.links.get_mut(place) {
                    *link = serial;
                }
            }
            None => {
                self.charge(self.key(ring)?.uid, 0, LINK_BYTES)?;
                self.key_mut(ring)?.links.push(serial);
            }
        }
        Ok(())
    }

    /// Takes links out of a keyring.
    pub fn unlink(&mut self, ring: i32, gone: impl Fn(i32) -> bool) -> Result<usize, Errno> {
        let key = self.key_mut(ring)?;
        let before = key.links.len();
        key.links.retain(|serial| !gone(*serial));
        let (uid, count) = (key.uid, before - key.links.len());
        self.release(uid, 0, count * LINK_BYTES);
        Ok(count)
    }

    /// What there is to be had by a user: keys, bytes.
    pub fn limits(uid: u32) -> [usize; 2] {
        LIMITS[usize::from(uid == 0)].each_ref().map(|limit| limit.load(Ordering::Relaxed) as usize)
    }

    fn charge(&mut self, uid: u32, keys: usize, bytes: usize) -> Result<(), Errno> {
        let [most_keys, most_bytes] = Self::limits(uid);
        let fits = |usage: Usage| usage.keys + keys <= most_keys && usage.bytes + bytes <= most_bytes;
        if !fits(self.usage.get(&uid).copied().unwrap_or_default()) {
            self.sweep();
        }
        let usage = self.usage.entry(uid).or_default();
        if !fits(*usage) && keys + bytes > 0 {
            return Err(Errno::EDQUOT);
        }
        *usage = Usage { keys: usage.keys + keys, bytes: usage.bytes + bytes };
        Ok(())
    }

    fn release(&mut self, uid: u32, keys: usize, bytes: usize) {
        let usage = self.usage.entry(uid).or_default();
        *usage = Usage { keys: usage.keys.saturating_sub(keys), bytes: usage.bytes.saturating_sub(bytes) };
    }

    /// Removes what nothing leads to, and what was invalidated.
    pub fn sweep(&mut self) {
        let mut reached = BTreeSet::new();
        let held = self.keys.iter().filter(|(_, key)| key.holder.strong_count() > 0).map(|(serial, _)| *serial);
        let mut pending: Vec<i32> = self.users.values().flat_map(|rings| [rings.0, rings.1]).chain(held).collect();
        while let Some(serial) = pending.pop() {
            if let Some(key) = self.keys.get(&serial).filter(|key| key.state != State::Invalid)
                && reached.insert(serial)
            {
                pending.extend(&key.links);
            }
        }
        let gone: Vec<(i32, Key)> = self.keys.extract_if(.., |serial, _| !reached.contains(serial)).collect();
        for (_, key) in &gone {
            self.release(key.uid, 1, key.bytes());
        }
        if !gone.is_empty() {
            let rings: Vec<i32> = self.keys.keys().copied().collect();
            for ring in rings {
                // It is there.
                let _ = self.unlink(ring, |serial| !reached.contains(&serial));
            }
        }
    }
}

/// What a new keyring of a thread or a process allows.
pub(super) const OWN_RING: u32 = ALL << POSSESSOR | VIEW << USER;
/// What a session's allows.
pub(super) const SESSION_RING: u32 = ALL << POSSESSOR | (VIEW | READ) << USER;
