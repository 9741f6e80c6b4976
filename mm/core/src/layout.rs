// SPDX-License-Identifier: GPL-2.0
//! Where things go in a new address space, and by how much each place is random (as Linux's `arch/x86/mm/mmap.c` and
//! `fs/binfmt_elf.c`; `personality(2)`'s ADDR_NO_RANDOMIZE and `kernel.randomize_va_space` turn it off). No locks.

use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use hook::Hook;
use mm_alloc::layout::{PAGE_SIZE, TASK_SIZE, page_align};

/// Random numbers for addresses; `drivers/char/random` registers it.
pub trait AddressRandom: Sync {
    /// A number that programs cannot guess.
    fn next(&self) -> u64;
}

/// The registered source.
pub static RANDOM: Hook<dyn AddressRandom> = Hook::new();

/// Lowest address that programs without CAP_SYS_RAWIO may map (`vm.mmap_min_addr`).
pub static MMAP_MIN_ADDR: AtomicUsize = AtomicUsize::new(65536);

/// `kernel.randomize_va_space`: 0 places are not random, 1 all but the heap's are, above that all are.
pub static RANDOMIZE_VA_SPACE: AtomicI32 = AtomicI32::new(2);

/// `vm.legacy_va_layout`: new programs are laid out as with `ADDR_COMPAT_LAYOUT`.
pub static LEGACY_VA_LAYOUT: AtomicI32 = AtomicI32::new(0);

/// [`MMAP_MIN_ADDR`] now, in whole pages.
#[inline]
pub(crate) fn mmap_min_addr() -> usize {
    page_align(MMAP_MIN_ADDR.load(Ordering::Relaxed).min(TASK_SIZE))
}
/// Pages kept free below a stack (`stack_guard_gap`).
pub(crate) const STACK_GUARD_GAP: usize = 256 * PAGE_SIZE;
/// Where maps begin that go bottom up (`TASK_UNMAPPED_BASE`).
pub(crate) const BOTTOM: usize = (TASK_SIZE / 3) & !(PAGE_SIZE - 1);
const MIN_GAP: usize = 128 << 20;
const MAX_GAP: usize = TASK_SIZE / 6 * 5;
/// Random bits of the places of maps and of position-independent programs (`vm.mmap_rnd_bits`, 28 to 32).
pub static MMAP_RND_BITS: AtomicI32 = AtomicI32::new(28);
/// Random pages of the stack's top: up to 16 GB.
const STACK_PAGES: u64 = 0x3f_ffff;

/// A random number: the registered source's, else what the CPU has.
pub(crate) fn random() -> u64 {
    if let Some(source) = RANDOM.get() {
        return source.next();
    }
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let seed = x86_cpu::asm::rdrand().unwrap_or(0) ^ x86_cpu::tsc::rdtsc();
    let mut x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) ^ seed;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The places of a new address space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Maps go below this, or above it with `bottom_up`.
    pub(crate) mmap_base: usize,
    /// The old layout.
    pub(crate) bottom_up: bool,
    /// One past the stack.
    pub(crate) stack_top: usize,
    /// Where a position-independent program with an interpreter goes.
    pub(crate) pie_base: usize,
}

impl Places {
    /// Chooses. `stack_limit` is the soft RLIMIT_STACK; `legacy`: maps go bottom up.
    pub(crate) fn choose(randomize: bool, stack_limit: u64, legacy: bool) -> Self {
        let page = |bits: u32| ((random() & ((1 << bits) - 1)) as usize) * PAGE_SIZE;
        let bits = MMAP_RND_BITS.load(Ordering::Relaxed).clamp(0, 32).cast_unsigned();
        let (map_random, pie_random, stack_random) = match randomize {
            true => (page(bits), page(bits), (random() & STACK_PAGES) as usize * PAGE_SIZE),
            false => (0, 0, 0),
        };
        // Room for the stack's own randomness and its guard.
        let pad = if randomize { STACK_PAGES as usize * PAGE_SIZE } else { 0 } + STACK_GUARD_GAP;
        let wanted = usize::try_from(stack_limit).unwrap_or(usize::MAX).saturating_add(pad);
        let gap = wanted.clamp(MIN_GAP, MAX_GAP);
        Self {
            mmap_base: match legacy {
                true => BOTTOM + map_random,
                false => page_align(TASK_SIZE - gap - map_random),
            },
            bottom_up: legacy,
            stack_top: TASK_SIZE - stack_random,
            pie_base: page_align(TASK_SIZE / 3 * 2 + pie_random),
        }
    }
}

/// A random heap start above `end` of the program's data.
pub(crate) fn brk_start(end: usize, randomize: bool) -> usize {
    let randomize = randomize && RANDOMIZE_VA_SPACE.load(Ordering::Relaxed) > 1;
    let random = if randomize { random() as usize % 0x200_0000 } else { 0 };
    page_align(end.saturating_add(random))
}
