// SPDX-License-Identifier: GPL-2.0
//! What an allocation does that finds no memory: caches are asked to shrink, then the OOM killer ends a process. Both are crates
//! above, which register here. No locks.

use hook::Hook;
use kalloc::Flags;
use kalloc::flags::{__GFP_MEMALLOC, __GFP_NORETRY};
use x86_cpu::irqflags::irqs_disabled;
use x86_cpu::preempt::in_atomic;

/// Blocks of a higher order are not worth a process (`PAGE_ALLOC_COSTLY_ORDER`).
pub const COSTLY_ORDER: usize = 3;

/// Rounds of reclaim that freed something but not what is needed, before a process is ended (`MAX_RECLAIM_RETRIES`).
const MOST_FUTILE: u32 = 16;

/// The same while dirty pages are being written, which makes memory free in the end, however slow the disk is.
const MOST_WRITING: u32 = 400;

/// Who can give memory back when there is none.
pub trait Reclaim: Sync {
    /// Frees about `pages` pages if it can; returns how many. `flags`: what the allocation allows. Called in a context that may sleep.
    fn reclaim(&self, pages: usize, flags: Flags) -> usize;
    /// A CPU took a batch of pages from a zone, in a context that may sleep.
    fn refilled(&self);
    /// How many pages of files have been written so far.
    fn written(&self) -> u64;
}

/// The registered reclaimer.
pub static RECLAIM: Hook<dyn Reclaim> = Hook::new();

/// What an allocation that nothing could be reclaimed for is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Memory is being freed, or was: once more.
    Retry,
    /// The caller dies itself: take the reserves, or fail.
    Reserves,
    /// Fail.
    Fail,
}

/// Who ends processes for want of memory.
pub trait OutOfMemory: Sync {
    /// An allocation of 2^`order` pages cannot be met. May sleep.
    fn out_of_memory(&self, order: usize, flags: Flags) -> Verdict;
}

/// The registered killer.
pub static OOM: Hook<dyn OutOfMemory> = Hook::new();

/// What the allocators do for an allocation that failed.
pub trait Allocators {
    /// Gives back what this CPU keeps of slabs and pages.
    fn drain_local();
    /// Gives back stacks and buffers whose addresses wait for their flush, and what this CPU keeps of pages.
    fn purge();
    /// An allocation has to wait.
    fn stalled();
    /// An allocation failed.
    fn failed();
}

/// Whether the caller may wait here for memory, whatever its flags say.
fn may_wait(flags: Flags) -> bool {
    flags.may_sleep() && !in_atomic() && !irqs_disabled()
}

/// A CPU took a batch of pages from a zone.
#[inline]
pub fn refilled(flags: Flags) {
    if may_wait(flags)
        && let Some(reclaimer) = RECLAIM.get()
    {
        reclaimer.refilled();
    }
}

/// The slow path of an allocation that failed once: tries until `attempt` succeeds or nothing more can be done.
#[cold]
#[inline(never)]
pub fn allocate<A: Allocators, T>(
    order: usize,
    flags: Flags,
    mut attempt: impl FnMut(Flags) -> Option<T>,
) -> Option<T> {
    let got = match may_wait(flags) {
        true => allocate_waiting::<A, T>(order, flags, &mut attempt),
        false => {
            // What this CPU keeps may be what is missing.
            A::drain_local();
            attempt(flags)
        }
    };
    if got.is_none() {
        A::failed();
    }
    got
}

fn allocate_waiting<A: Allocators, T>(
    order: usize,
    flags: Flags,
    attempt: &mut impl FnMut(Flags) -> Option<T>,
) -> Option<T> {
    A::stalled();
    let (mut futile, mut rounds) = (0, 0);
    loop {
        A::purge();
        let written = RECLAIM.get().map_or(0, |reclaimer| reclaimer.written());
        let freed = RECLAIM.get().map_or(0, |reclaimer| reclaimer.reclaim(1 << order, flags));
        if let Some(got) = attempt(flags) {
            return Some(got);
        }
        if flags.contains(__GFP_NORETRY) {
            return None;
        }
        if freed != 0 && order <= COSTLY_ORDER && futile < MOST_FUTILE {
            // What was freed others took, or it does not fit together.
            rounds += 1;
            let writing = RECLAIM.get().is_some_and(|reclaimer| reclaimer.written() != written);
            futile = if writing && rounds < MOST_WRITING { 0 } else { futile + 1 };
            continue;
        }
        if order > COSTLY_ORDER {
            return None;
        }
        match OOM.get().map_or(Verdict::Fail, |killer| killer.out_of_memory(order, flags)) {
            Verdict::Retry => {}
            Verdict::Reserves => return attempt(flags | __GFP_MEMALLOC),
            Verdict::Fail => return None,
        }
    }
}
