//! Random numbers: one ChaCha20 generator, keyed from the boot page's seed, re-keyed by itself after every request (so that a
//! later look at its state tells nothing about earlier numbers) and with the host's entropy now and then.

use crate::errno::Errno;
use crate::fs::Sink;
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

struct Generator {
    rng: ChaCha20Rng,
    bytes: u64,
    seeded_ns: u64,
}

static GENERATOR: Lock<Option<Generator>> = Lock::new(Rank::Random, None);

/// Runs `f` on the generator, made on first use.
fn with<T>(f: impl FnOnce(&mut Generator) -> T) -> T {
    let mut guard = GENERATOR.lock();
    let generator = guard.get_or_insert_with(|| Generator {
        rng: ChaCha20Rng::from_seed(platform().boot_info().seed),
        bytes: 0,
        seeded_ns: platform().monotonic_ns(),
    });
    f(generator)
}

/// Fills `to` with random bytes. Never blocks; may be called with any lock held.
pub fn fill(to: &mut [u8]) {
    with(|generator| {
        generator.rng.fill_bytes(to);
        generator.bytes = generator.bytes.saturating_add(to.len() as u64);
        let mut key = [0; 32];
        generator.rng.fill_bytes(&mut key);
        generator.rng = ChaCha20Rng::from_seed(key);
    });
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
        for chunk in bytes.chunks(32) {
            let mut key = [0; 32];
            generator.rng.fill_bytes(&mut key);
            for (key, byte) in key.iter_mut().zip(chunk) {
                *key ^= byte;
            }
            generator.rng = ChaCha20Rng::from_seed(key);
        }
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
