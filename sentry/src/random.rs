//! Random numbers: one ChaCha20 generator, keyed from the boot page's seed, re-keyed by itself whenever it has run and with the
//! host's entropy now and then. Small requests come from a pool, out of which they are wiped: a later look at the state tells
//! nothing about earlier numbers.

use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::platform::platform;
use crate::sync::{Lock, Rank, assert_none_held};
use alloc::vec;
use linker::layout::PAGE_SIZE;
use linker::request::{Op, Request};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Bytes after which the host is asked for more entropy.
const RESEED_BYTES: u64 = 16 << 20;
/// Time after which the host is asked for more entropy, where numbers are asked for at all.
const RESEED_NS: u64 = 300_000_000_000;

/// Bytes of the pool: with the next key, what the generator makes in one go.
const POOL: usize = 256 - KEY;
/// Bytes of a key.
const KEY: usize = 32;

struct Generator {
    rng: ChaCha20Rng,
    /// The first `left` bytes have not been given out.
    pool: [u8; POOL],
    left: usize,
    bytes: u64,
    seeded_ns: u64,
}

static GENERATOR: Lock<Option<Generator>> = Lock::new(Rank::Random, None);

/// Runs `f` on the generator, made on first use.
fn with<T>(f: impl FnOnce(&mut Generator) -> T) -> T {
    let mut guard = GENERATOR.lock();
    let generator = guard.get_or_insert_with(|| Generator {
        rng: ChaCha20Rng::from_seed(platform().boot_info().seed),
        pool: [0; POOL],
        left: 0,
        bytes: 0,
        seeded_ns: platform().monotonic_ns(),
    });
    f(generator)
}

/// Fills `to` with random bytes. Never blocks; may be called with any lock held.
pub fn fill(to: &mut [u8]) {
    with(|generator| {
        generator.bytes = generator.bytes.saturating_add(to.len() as u64);
        if !generator.take_pooled(to) {
            if to.len() > POOL {
                generator.rng.fill_bytes(to);
                generator.change_key(&[]);
            } else {
                generator.rng.fill_bytes(&mut generator.pool);
                generator.change_key(&[]);
                generator.left = POOL;
                generator.take_pooled(to);
            }
        }
    });
}

impl Generator {
    /// Fills `to` from the pool, if that has so many bytes.
    fn take_pooled(&mut self, to: &mut [u8]) -> bool {
        let Some(rest) = self.left.checked_sub(to.len()) else { return false };
        let Some(taken) = self.pool.get_mut(rest..self.left) else { return false };
        to.copy_from_slice(taken);
        taken.fill(0);
        self.left = rest;
        true
    }

    /// Changes the key to one of its own making, with `bytes` added.
    fn change_key(&mut self, bytes: &[u8]) {
        let mut key = [0; KEY];
        self.rng.fill_bytes(&mut key);
        key.iter_mut().zip(bytes).for_each(|(key, byte)| *key ^= byte);
        self.rng = ChaCha20Rng::from_seed(key);
    }
}

/// A random number.
pub fn next_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Adds `bytes` to the generator's key.
pub fn mix(bytes: &[u8]) {
    with(|generator| {
        generator.left = 0;
        bytes.chunks(KEY).for_each(|chunk| generator.change_key(chunk));
    });
}

/// Asks the host for entropy where that is due. May block; called with no lock held, by those who serve programs.
pub fn reseed_if_due() {
    let now = platform().monotonic_ns();
    let due = with(|generator| {
        let due = generator.bytes >= RESEED_BYTES || now.saturating_sub(generator.seeded_ns) >= RESEED_NS;
        if due {
            generator.bytes = 0;
            generator.seeded_ns = now;
        }
        due
    });
    if due {
        assert_none_held();
        let mut seed = [0; 32];
        let request = Request { op: Op::Entropy as u16, ..Request::default() };
        // Without an answer the generator goes on with the key it has.
        if platform().host_call(request, &[], &mut seed).is_ok() {
            mix(&seed);
        }
    }
}

/// Fills `sink` with random bytes. The first 256 bytes come at once; a signal can end a longer request early (random(7)).
pub fn fill_sink(sink: &mut Sink<'_>) -> Result<usize, Errno> {
    reseed_if_due();
    let mut buffer = vec![0; sink.left().min(PAGE_SIZE as usize)];
    while sink.left() > 0 {
        let len = buffer.len().min(sink.left());
        let Some(chunk) = buffer.get_mut(..len) else { break };
        fill(chunk);
        match sink.put(chunk) {
            Ok(put) if put == len => {}
            Ok(_) => break,
            Err(_) if sink.done() > 0 => break,
            Err(errno) => return Err(errno),
        }
        if sink.interrupted() {
            break;
        }
    }
    Ok(sink.done())
}

/// Mixes in what `source` has; returns bytes. A signal ends a long one early (random(4)).
pub fn mix_source(source: &mut Source<'_>) -> Result<usize, Errno> {
    while source.left() > 0 {
        match source.take_vec(PAGE_SIZE as usize) {
            Ok(bytes) => mix(&bytes),
            Err(_) if source.done() > 0 => break,
            Err(errno) => return Err(errno),
        }
        if source.interrupted() {
            break;
        }
    }
    Ok(source.done())
}
