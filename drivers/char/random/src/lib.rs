// SPDX-License-Identifier: GPL-2.0
//! The kernel's random numbers: a ChaCha20 generator for each CPU, keyed from one base key, each rekeying itself with every
//! request (so that what was given out cannot be computed from what is in memory later). Source: `random(4)`, `getrandom(2)`.
//!
//! What comes in goes into a pool, from which the base key is made anew: with each piece (but not each interrupt) until the generator
//! is ready, once when it gets ready, and later after a minute, when a program next asks for numbers, or when root says so. It is ready
//! when 256 bits have been credited: for RDRAND (`random.trust_cpu`), for the boot loader's seed (`random.trust_bootloader`), for what
//! root says, for device interrupts, and for the jitter of those who wait for it. Called by everybody, in any context.
//!
//! Locks: `POOL`, `BASE` and one lock a CPU, taken with interrupts off; a CPU's lock may be held over `BASE`.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hook::Hook;
use locking::SpinLock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use x86_cpu::{MAX_CPUS, cpu_id, tsc};

const KEY: usize = 32;
/// Bits that the pool can hold, and that make the generator ready (`POOL_BITS`).
pub const POOL_BITS: u32 = 256;
/// Seconds after which the base key is made anew (`CRNG_RESEED_INTERVAL`).
pub const RESEED_SECONDS: u64 = 60;
/// Interrupts of one CPU that count as a bit, and after how many they go into the pool when no bits are wanted any more.
const INTERRUPTS_A_BIT: u32 = 64;
const INTERRUPTS_A_MIX: u32 = 1024;

/// A key into which things are mixed one way.
struct Key([u8; KEY]);

/// What came in since the base key was made.
static POOL: SpinLock<Key> = SpinLock::new(Key([0; KEY]));
static BASE: SpinLock<Key> = SpinLock::new(Key([0; KEY]));
/// Grows with each new base key: each CPU then takes a new key. 0 before [`init`].
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Bits credited, at most [`POOL_BITS`].
static BITS: AtomicU32 = AtomicU32::new(0);
static READY: AtomicBool = AtomicBool::new(false);
/// When the base key was made, in monotonic nanoseconds; 0 before anybody looked.
static RESEEDED: AtomicU64 = AtomicU64::new(0);

/// Who is told when the generator becomes ready.
pub trait ReadyHandler: Sync {
    /// It is. Any context, but no lock of this crate is held.
    fn ready(&self);
}

/// The devices.
pub static ON_READY: Hook<dyn ReadyHandler> = Hook::new();

struct PerCpuRng {
    generation: u64,
    key: [u8; KEY],
}

static RNGS: [SpinLock<PerCpuRng>; MAX_CPUS] =
    [const { SpinLock::new(PerCpuRng { generation: 0, key: [0; KEY] }) }; MAX_CPUS];

impl Key {
    /// Mixes `input` into the key, one way.
    fn mix(&mut self, input: &[u8]) {
        for chunk in input.chunks(KEY) {
            for (key, byte) in self.0.iter_mut().zip(chunk) {
                *key ^= byte;
            }
            self.0 = next_key(&self.0);
        }
    }

    /// A key that says nothing about this one, which changes.
    fn take(&mut self) -> [u8; KEY] {
        let mut keys = ChaCha20Rng::from_seed(self.0);
        let mut taken = [0; KEY];
        keys.fill_bytes(&mut taken);
        keys.fill_bytes(&mut self.0);
        taken
    }
}

fn next_key(key: &[u8; KEY]) -> [u8; KEY] {
    let mut next = [0; KEY];
    ChaCha20Rng::from_seed(*key).fill_bytes(&mut next);
    next
}

/// Mixes `input` into the pool, and credits nothing for it. Any context.
pub fn add_entropy(input: &[u8]) {
    POOL.lock_irqsave().mix(input);
    if !is_ready() {
        reseed();
    }
}

/// Makes the base key anew from the pool. Any context.
pub fn reseed() {
    let seed = POOL.lock_irqsave().take();
    BASE.lock_irqsave().mix(&seed);
    GENERATION.fetch_add(1, Ordering::Release);
}

/// Makes the base key anew if that was not done for a minute. `now`: monotonic nanoseconds.
pub fn reseed_if_due(now: u64) {
    let last = RESEEDED.load(Ordering::Relaxed);
    let due = now.saturating_sub(last) >= RESEED_SECONDS * 1_000_000_000;
    if due && RESEEDED.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        reseed();
    }
}

/// Bits credited so far.
pub fn entropy_count() -> u32 {
    BITS.load(Ordering::Relaxed)
}

/// Credits `bits` for what was mixed in. Any context.
pub fn credit(bits: u32) {
    let more = |before: u32| Some(before.saturating_add(bits).min(POOL_BITS));
    let before = BITS.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).unwrap_or(POOL_BITS);
    if before < POOL_BITS && before.saturating_add(bits) >= POOL_BITS {
        reseed();
        READY.store(true, Ordering::Release);
        klog::pr_notice!("random: crng init done");
        if let Some(handler) = ON_READY.get() {
            handler.ready();
        }
    }
}

/// Seeds the generator at boot; `seed` is what the boot loader gave, possibly nothing. The CPU's random numbers and the loader's are
/// mixed in all the same if they are not trusted.
pub fn init(seed: &[u8], trust_cpu: bool, trust_bootloader: bool) {
    add_entropy(seed);
    if trust_bootloader {
        credit(u32::try_from(seed.len()).unwrap_or(u32::MAX).saturating_mul(8));
    }
    let mut hardware = 0;
    for _ in 0..8 {
        if let Some(word) = x86_cpu::asm::rdrand() {
            add_entropy(&word.to_le_bytes());
            hardware += u64::BITS;
        }
    }
    if hardware == 0 {
        jitter();
    }
    add_entropy(&tsc::rdtsc().to_le_bytes());
    if trust_cpu {
        credit(hardware);
    }
}

x86_cpu::percpu! {
    /// When this CPU's interrupts came, mixed, and how many more come before that goes into the pool.
    static INTERRUPTS: (AtomicU64, AtomicU32) = (AtomicU64::new(0), AtomicU32::new(INTERRUPTS_A_BIT));
}

/// Device interrupt `irq` came. Hard interrupt.
#[inline]
pub fn add_interrupt(irq: u32) {
    let (mixed, left) = INTERRUPTS.this_racy();
    // Only this CPU writes, with interrupts off. The pool mixes well; here it is enough that nothing is pushed out.
    let word = mixed.load(Ordering::Relaxed).rotate_left(7) ^ tsc::rdtsc() ^ u64::from(irq) << 32;
    mixed.store(word, Ordering::Relaxed);
    let more = left.load(Ordering::Relaxed).wrapping_sub(1);
    left.store(more, Ordering::Relaxed);
    if more == 0 {
        mix_interrupts(word, left);
    }
}

#[cold]
fn mix_interrupts(word: u64, left: &AtomicU32) {
    POOL.lock_irqsave().mix(&word.to_le_bytes());
    credit(1);
    // Until it is ready the generator waits for every bit; then the pool needs no more of them.
    left.store(if is_ready() { INTERRUPTS_A_MIX } else { INTERRUPTS_A_BIT }, Ordering::Relaxed);
}

/// A request of a disk whose time depends on its mechanics ended. Any context. Nothing is credited: it may be known from outside.
pub fn add_disk(disk: u64) {
    let words = [tsc::rdtsc().to_le_bytes(), disk.to_le_bytes()];
    POOL.lock_irqsave().mix(words.as_flattened());
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

/// Whether the generator is ready: enough has been credited.
pub fn is_ready() -> bool {
    READY.load(Ordering::Acquire)
}

/// Fills `out` with random bytes. Any context.
pub fn fill(out: &mut [u8]) {
    let Some(slot) = RNGS.get(cpu_id() as usize) else { return };
    let mut rng = slot.lock_irqsave();
    let generation = GENERATION.load(Ordering::Acquire);
    if rng.generation != generation {
        rng.key = BASE.lock_irqsave().take();
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
