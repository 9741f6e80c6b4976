// SPDX-License-Identifier: GPL-2.0
//! The kernel's random numbers: a ChaCha20 generator for each CPU, keyed from one base key, each rekeying itself with every
//! request (so that what was given out cannot be computed from what is in memory later). Source: `random(4)`, `getrandom(2)`.
//!
//! Seeded by RDRAND where it is there, by the boot loader's seed, and by the jitter of the time-stamp counter. Called by
//! everybody, in any context.
//!
//! Locks: `BASE` and one lock a CPU, taken with interrupts off; a CPU's lock may be held over `BASE`.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use locking::SpinLock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use x86_cpu::{MAX_CPUS, cpu_id, tsc};

const KEY: usize = 32;

struct Base {
    key: [u8; KEY],
}

static BASE: SpinLock<Base> = SpinLock::new(Base { key: [0; KEY] });
/// Grows when new entropy comes in: each CPU then takes a new key. 0 before [`init`].
static GENERATION: AtomicU64 = AtomicU64::new(0);
static READY: AtomicBool = AtomicBool::new(false);

struct PerCpuRng {
    generation: u64,
    key: [u8; KEY],
}

static RNGS: [SpinLock<PerCpuRng>; MAX_CPUS] =
    [const { SpinLock::new(PerCpuRng { generation: 0, key: [0; KEY] }) }; MAX_CPUS];

impl Base {
    /// Mixes `input` into the key, one way.
    fn mix(&mut self, input: &[u8]) {
        for chunk in input.chunks(KEY) {
            for (key, byte) in self.key.iter_mut().zip(chunk) {
                *key ^= byte;
            }
            self.key = next_key(&self.key);
        }
    }
}

fn next_key(key: &[u8; KEY]) -> [u8; KEY] {
    let mut next = [0; KEY];
    ChaCha20Rng::from_seed(*key).fill_bytes(&mut next);
    next
}

/// Adds entropy. Any context.
pub fn add_entropy(input: &[u8]) {
    BASE.lock_irqsave().mix(input);
    GENERATION.fetch_add(1, Ordering::Release);
}

/// Seeds the generator at boot; `seed` is what the boot loader gave, possibly nothing.
pub fn init(seed: &[u8]) {
    add_entropy(seed);
    let mut hardware = 0;
    for _ in 0..8 {
        if let Some(word) = x86_cpu::asm::rdrand() {
            add_entropy(&word.to_le_bytes());
            hardware += 1;
        }
    }
    if hardware == 0 {
        jitter();
    }
    add_entropy(&tsc::rdtsc().to_le_bytes());
    READY.store(true, Ordering::Release);
}

/// Collects the unevenness of the counter around work of data-dependent length.
fn jitter() {
    const SAMPLES: usize = 512;
    let mut samples = [0u8; 64];
    let mut last = tsc::rdtsc();
    for round in 0..SAMPLES {
        let mut spin = last & 0x1f;
        while spin > 0 {
            spin -= 1;
            x86_cpu::asm::cpu_relax();
        }
        let now = tsc::rdtsc_ordered();
        let delta = now.wrapping_sub(last) as u8;
        last = now;
        if let Some(slot) = samples.get_mut(round % 64) {
            *slot = slot.rotate_left(3) ^ delta;
        }
    }
    add_entropy(&samples);
}

/// Whether the generator has been seeded.
pub fn is_ready() -> bool {
    READY.load(Ordering::Acquire)
}

/// Fills `out` with random bytes. Any context.
pub fn fill(out: &mut [u8]) {
    let Some(slot) = RNGS.get(cpu_id() as usize) else { return };
    let mut rng = slot.lock_irqsave();
    let generation = GENERATION.load(Ordering::Acquire);
    if rng.generation != generation {
        let mut base = BASE.lock_irqsave();
        let mut keys = ChaCha20Rng::from_seed(base.key);
        let mut mine = [0; KEY];
        keys.fill_bytes(&mut mine);
        keys.fill_bytes(&mut base.key);
        rng.key = mine;
        rng.generation = generation;
    }
    let mut stream = ChaCha20Rng::from_seed(rng.key);
    stream.fill_bytes(&mut rng.key);
    stream.fill_bytes(out);
}

/// A random word.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
