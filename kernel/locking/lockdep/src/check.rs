// SPDX-License-Identifier: GPL-2.0
//! The lock-order checker of debug builds (`CONFIG_PROVE_LOCKING`). Every lock belongs to a class: the place in the source where
//! it was made. Taking B while A is held records "A before B"; the first pair that closes a circle is reported, though it
//! may never have dead-locked. A class that interrupt handlers take and that tasks take with interrupts on is reported too.
//!
//! Spin locks are kept per CPU (their holders do not move), sleeping locks per task ([`Held`] in `Task`). The two orders are
//! recorded apart: a sleeping lock under a spin lock is what `might_sleep` reports. Locks of one class may nest: trees and pairs
//! are ordered by other rules, which this cannot know; taking the very same lock twice is reported.
//!
//! Everything is static and made of atomics: no locks, no memory. After the first report the checker is off, as in Linux.

use crate::lock_order::Order;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use hook::AtomicRef;
use x86_cpu::irqflags::irqs_disabled;
use x86_cpu::preempt::in_hardirq;

/// Most classes, in words of 64; more are not checked.
const WORDS: usize = 16;
const CLASSES: usize = WORDS * 64;
/// Most locks held at once by a CPU or a task; deeper ones are not checked.
const DEPTH: usize = 48;

/// Taken by an interrupt handler.
const IN_IRQ: u8 = 1;
/// Taken by a task with interrupts on.
const IRQS_ON: u8 = 2;

/// Which places are known: an open-addressed table, filled once.
static PLACES: [AtomicRef<Location<'static>>; CLASSES] = [const { AtomicRef::new() }; CLASSES];
/// How locks of each class were taken.
static USAGE: [AtomicU8; CLASSES] = [const { AtomicU8::new(0) }; CLASSES];
static ORDER: Order<WORDS> = Order::new();
static ENABLED: AtomicBool = AtomicBool::new(true);
/// Problems found so far (0 or 1: the first turns the checker off).
static REPORTS: AtomicU32 = AtomicU32::new(0);

/// Problems found so far.
pub fn reports() -> u32 {
    REPORTS.load(Ordering::Relaxed)
}

/// The class of a lock: where it was made.
#[derive(Clone, Copy, Debug)]
pub struct Class(&'static Location<'static>);

impl Class {
    /// The class of locks made at the caller's place.
    #[track_caller]
    pub const fn here() -> Self {
        Self(Location::caller())
    }

    /// The class of locks made at `place`: for code that makes them on behalf of others.
    pub const fn at(place: &'static Location<'static>) -> Self {
        Self(place)
    }

    /// Its index, given at the first use; `None` when there are too many.
    fn index(self) -> Option<usize> {
        let place = self.0;
        let hash = place.line().wrapping_mul(0x9e37_79b1)
            ^ place.column().wrapping_mul(0x85eb_ca6b)
            ^ place.file().len() as u32;
        let start = hash as usize;
        // Who forgets a place waits until nobody looks at it with preemption off.
        let _here = x86_cpu::preempt::preempt_disable();
        // The first slot that a module left (see `forget`): it is used if the place is not known.
        let mut left: Option<usize> = None;
        for step in 0..CLASSES {
            let index = start.wrapping_add(step) % CLASSES;
            let mut known = PLACES.get(index)?.load();
            if is_forgotten(known) {
                left = left.or(Some(index));
                continue;
            }
            if known.is_none() {
                let free = left.take().unwrap_or(index);
                match claim(free, place) {
                    Ok(()) => return Some(free),
                    Err(_) if free != index => continue,
                    Err(other) => known = other,
                }
            }
            // No module is unloaded while its locks are used, so that its places are there.
            let known = known?;
            // The compiler may have made the same place more than once.
            if core::ptr::eq(known, place) || *known == *place {
                return Some(index);
            }
        }
        let free = left?;
        claim(free, place).ok().map(|()| free)
    }
}

/// What stands in the slots of places that are gone.
static FORGOTTEN: &Location<'static> = Location::caller();

/// Gives slot `index`, which is free, to `place`; what it holds if somebody else was faster.
fn claim(index: usize, place: &'static Location<'static>) -> Result<(), Option<&'static Location<'static>>> {
    let slot = PLACES.get(index).ok_or(None)?;
    let now = slot.load();
    if now.is_some() && !is_forgotten(now) {
        return Err(now);
    }
    slot.compare_exchange(now, Some(place))
}

fn is_forgotten(place: Option<&'static Location<'static>>) -> bool {
    place.is_some_and(|place| core::ptr::eq(place, FORGOTTEN))
}

/// Forgets the classes of places in `range`: a module that is being unloaded, none of whose locks are held or used any more.
pub fn forget(range: &core::ops::Range<usize>) {
    for (index, slot) in PLACES.iter().enumerate() {
        if slot.load().is_some_and(|place| range.contains(&core::ptr::from_ref(place).addr())) {
            ORDER.clear(index);
            if let Some(usage) = USAGE.get(index) {
                usage.store(0, Ordering::Relaxed);
            }
            slot.store(Some(FORGOTTEN));
        }
    }
}

/// The place of class `index`.
fn place(index: usize) -> Option<&'static Location<'static>> {
    PLACES.get(index)?.load()
}

/// A lock that is held: its class plus one (0: an empty slot) and its address.
struct Slot {
    class: AtomicU32,
    address: AtomicUsize,
}

/// The locks that a CPU (spinning ones) or a task (sleeping ones) holds, innermost last. Touched by its owner alone; an interrupt
/// that comes in between leaves it as it was.
pub struct Held {
    depth: AtomicUsize,
    slots: [Slot; DEPTH],
}

impl Held {
    /// Nothing held.
    pub const fn new() -> Self {
        let slots = [const { Slot { class: AtomicU32::new(0), address: AtomicUsize::new(0) } }; DEPTH];
        Self { depth: AtomicUsize::new(0), slots }
    }

    fn held(&self) -> impl Iterator<Item = (usize, usize)> {
        let depth = self.depth.load(Ordering::Relaxed).min(DEPTH);
        self.slots.iter().take(depth).filter_map(|slot| {
            let class = slot.class.load(Ordering::Relaxed).checked_sub(1)?;
            Some((class as usize, slot.address.load(Ordering::Relaxed)))
        })
    }

    /// Notes that the lock at `address` is about to be taken. `trying`: it is not waited for, so no order follows.
    pub fn acquire(&self, class: Class, address: usize, trying: bool) {
        if !ENABLED.load(Ordering::Relaxed) {
            return;
        }
        let Some(index) = class.index() else { return };
        if !trying {
            self.check(index, address);
        }
        let depth = self.depth.load(Ordering::Relaxed);
        // The depth goes up first: an interrupt then leaves the new slot alone.
        self.depth.store(depth.wrapping_add(1), Ordering::Relaxed);
        if let Some(slot) = self.slots.get(depth) {
            slot.address.store(address, Ordering::Relaxed);
            slot.class.store(index as u32 + 1, Ordering::Relaxed);
        }
    }

    /// Notes that the lock at `address` was given back (or not got).
    pub fn release(&self, address: usize) {
        let depth = self.depth.load(Ordering::Relaxed).min(DEPTH);
        let Some(found) = (0..depth).rev().find(|&i| {
            self.slots
                .get(i)
                .is_some_and(|s| s.class.load(Ordering::Relaxed) != 0 && s.address.load(Ordering::Relaxed) == address)
        }) else {
            // Deeper than what is kept, or taken while the checker was off.
            if self.depth.load(Ordering::Relaxed) > DEPTH {
                self.depth.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        };
        for i in found..depth {
            let (Some(slot), next) = (self.slots.get(i), self.slots.get(i + 1)) else { break };
            let next = next.filter(|_| i + 1 < depth);
            slot.address.store(next.map_or(0, |n| n.address.load(Ordering::Relaxed)), Ordering::Relaxed);
            slot.class.store(next.map_or(0, |n| n.class.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    fn check(&self, new: usize, address: usize) {
        for (class, held) in self.held() {
            if held == address {
                return report("possible recursive locking detected", new, class);
            }
            if class == new || ORDER.has(class, new) {
                continue;
            }
            if ORDER.reaches(new, class) {
                return report("possible circular locking dependency detected", new, class);
            }
            ORDER.record(class, new);
        }
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn report(what: &str, new: usize, held: usize) {
    // Off first: printing takes locks.
    if !ENABLED.swap(false, Ordering::AcqRel) {
        return;
    }
    REPORTS.fetch_add(1, Ordering::Relaxed);
    klog::pr_err!("WARNING: {what}");
    for (role, class) in
        [("is trying to take a lock made at", new), ("while it holds, or conflicts with, one made at", held)]
    {
        if let Some(place) = place(class) {
            klog::pr_err!("  CPU {} {role} {place}", x86_cpu::cpu_id());
        }
    }
    // One step of the chain the other way round is what the reader needs to find the other place.
    for class in 0..CLASSES {
        if ORDER.has(new, class) && ORDER.reaches(class, held) {
            if let Some(place) = place(class) {
                klog::pr_err!("  earlier, one made at {place} was taken under the first");
            }
            break;
        }
    }
}

x86_cpu::percpu! {
    /// Spin locks that this CPU holds.
    static SPINNING: Held = Held::new();
}

/// A spin lock is about to be taken; preemption is off.
pub fn spin_acquire(class: Class, address: usize, trying: bool) {
    if !ENABLED.load(Ordering::Relaxed) {
        return;
    }
    let usage = match (in_hardirq(), irqs_disabled()) {
        (true, _) => IN_IRQ,
        (false, false) if !trying => IRQS_ON,
        _ => 0,
    };
    if usage != 0
        && let Some(index) = class.index()
        && let Some(known) = USAGE.get(index)
        && known.fetch_or(usage, Ordering::Relaxed) | usage == IN_IRQ | IRQS_ON
    {
        report("inconsistent lock state: taken by interrupt handlers, and with interrupts on", index, index);
    }
    SPINNING.this_racy().acquire(class, address, trying);
}

/// A spin lock is about to be given back (or was not got).
pub fn spin_release(address: usize) {
    SPINNING.this_racy().release(address);
}
