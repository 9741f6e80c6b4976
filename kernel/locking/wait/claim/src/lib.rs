// SPDX-License-Identifier: GPL-2.0
//! `ClaimedMap<V>`: a map from ranges of addresses to boxed values that one task changes, behind a lock, while others use values of
//! it without that lock (an address space's mappings, during page faults).
//!
//! Who changes the map *claims* the ranges that it is about to change or take out, and waits until nobody uses them; who comes to use
//! one of them meanwhile finds it claimed, and has to wait for the lock. All else can be used: [`Gate::enter`] gives a [`Pass`] for the
//! range of an address. The methods that change something claim what they have to; who does more to a range than that (to its page
//! tables, say) claims it itself. One claim is one span of addresses, with what lies between.
//!
//! For those without the lock there is a copy of the ranges, which is brought up to date when the claim is given back
//! ([`ClaimedMap::release`]): until then it may be wrong, but only where it is claimed. It is there once [`ClaimedMap::open`] was called;
//! a map without it costs a load and a test.
//!
//! Who writes what first: a user says in a word of its CPU which address it has a pass for, then it looks at the claim; who claims
//! writes the claim, then it looks at the words. One sees the other. A user that leaves clears its word, then it looks whether somebody
//! waits; who waits says so, then it looks.

#![no_std]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, Arc, KBox, KVVec};
use locking::SetOnce;
use range_map::{RangeMap, Slot};
use wait_queue::WaitQueue;
use x86_cpu::asm::cpu_relax;
use x86_cpu::{CpuId, MAX_CPUS, cpu_id};

/// Words of a CPU: a cache line.
const WORDS: usize = 4;
/// Looks at the copy while it is being changed, before the lock is waited for.
const TRIES: usize = 64;
/// Looks at a claim, or at a pass, before somebody sleeps for it: most are had for less than a sleep takes.
const PATIENCE: usize = 100;
/// Who has a word has not said yet for which address.
const UNKNOWN: usize = usize::MAX;

/// One pass: the gate's address (0: none), and what it is for.
struct Word {
    gate: AtomicUsize,
    at: AtomicUsize,
}

#[repr(align(64))]
struct Words([Word; WORDS]);

x86_cpu::percpu! {
    /// Passes of those who came on this CPU.
    static PASSES: Words = Words([const { Word { gate: AtomicUsize::new(0), at: AtomicUsize::new(UNKNOWN) } }; WORDS]);
}

const _: () = assert!(MAX_CPUS <= 64, "a CPU is a bit of `Gate::cpus`");

/// A range in the copy.
struct Place<V> {
    start: AtomicUsize,
    end: AtomicUsize,
    value: AtomicPtr<V>,
}

impl<V> Place<V> {
    const fn empty() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0), value: AtomicPtr::new(core::ptr::null_mut()) }
    }

    fn set(&self, slot: &Slot<KBox<V>>) {
        self.start.store(slot.start, Ordering::Relaxed);
        self.end.store(slot.end, Ordering::Relaxed);
        // Never written through.
        self.value.store(core::ptr::from_ref(&*slot.value).cast_mut(), Ordering::Relaxed);
    }
}

/// Where those come in who do not have the lock around the map.
///
/// # Invariants
/// A word with this gate's address whose owner looked at the claim after that and did not find the word's address in it keeps the range
/// of that address and its value as they are: who changes either has claimed it before, and waited for the word. `places` is
/// replaced only when all addresses are claimed and no word has the gate's address. The first `len` of `places` are the map's ranges, but
/// for what is claimed, whenever `seq` is even.
pub struct Gate<V> {
    /// What is claimed: `[low, high)`.
    low: AtomicUsize,
    high: AtomicUsize,
    /// CPUs whose words may have the gate's address.
    cpus: AtomicU64,
    /// Odd while the copy is changed.
    seq: AtomicU32,
    /// Those who wait for words to be cleared.
    draining: AtomicU32,
    len: AtomicUsize,
    places: UnsafeCell<KVVec<Place<V>>>,
    drained: WaitQueue,
}

// SAFETY: Values are shared with whoever has a pass; `places` is written under the claim of everything (invariant) by the owner of the map.
unsafe impl<V: Send + Sync> Sync for Gate<V> {}
// SAFETY: As above; the gate owns no values.
unsafe impl<V: Send + Sync> Send for Gate<V> {}

/// Room for `len` ranges and as many again.
fn room<V>(len: usize) -> Result<KVVec<Place<V>>, AllocError> {
    let count = len.saturating_mul(2).saturating_add(32);
    let mut places = KVVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        places.push(Place::empty(), GFP_KERNEL)?;
    }
    Ok(places)
}

impl<V> Gate<V> {
    fn new(map: &RangeMap<KBox<V>>) -> Result<Arc<Self>, AllocError> {
        let places = room(map.len())?;
        for (place, slot) in places.iter().zip(map.iter()) {
            place.set(slot);
        }
        let gate = Self {
            low: AtomicUsize::new(usize::MAX),
            high: AtomicUsize::new(0),
            cpus: AtomicU64::new(0),
            seq: AtomicU32::new(0),
            draining: AtomicU32::new(0),
            len: AtomicUsize::new(map.len()),
            places: UnsafeCell::new(places),
            drained: WaitQueue::new(),
        };
        Arc::new(gate, GFP_KERNEL)
    }

    #[inline(always)]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// A pass for the range that `addr` is in. `None`: it is claimed, or in no range, or there are too many passes; the lock around the
    /// map is to be taken. Who has a pass must not wait for that lock.
    pub fn enter(&self, addr: usize) -> Option<Pass<'_, V>> {
        task::might_sleep();
        if self.is_claimed(addr) && !self.becomes_free(addr) {
            return None;
        }
        // The caller may be moved to another CPU: then the line is another's for once.
        let cpu = cpu_id();
        let bit = 1u64 << (cpu % 64);
        if self.cpus.load(Ordering::Relaxed) & bit == 0 {
            self.cpus.fetch_or(bit, Ordering::SeqCst);
        }
        for word in &PASSES.on(cpu)?.0 {
            if word.gate.load(Ordering::Relaxed) != 0
                || word.gate.compare_exchange(0, self.address(), Ordering::SeqCst, Ordering::Relaxed).is_err()
            {
                continue;
            }
            word.at.store(addr, Ordering::Release);
            if !self.is_claimed(addr)
                // SAFETY: The word was written before the claim was looked at, and is cleared after the last use of what is found.
                && let Some((start, end, value)) = unsafe { self.look(addr) }
            {
                return Some(Pass { gate: self, word, start, end, value, not_send: PhantomData });
            }
            self.leave(word);
            return None;
        }
        None
    }

    fn leave(&self, word: &'static Word) {
        word.at.store(UNKNOWN, Ordering::Relaxed);
        word.gate.store(0, Ordering::SeqCst);
        if self.draining.load(Ordering::SeqCst) != 0 {
            self.drained.wake_up_all();
        }
    }

    #[inline(always)]
    fn is_claimed(&self, addr: usize) -> bool {
        self.low.load(Ordering::SeqCst) <= addr && addr < self.high.load(Ordering::SeqCst)
    }

    /// Waits a moment for the end of a claim; whether it came.
    #[cold]
    fn becomes_free(&self, addr: usize) -> bool {
        (0..PATIENCE).any(|_| {
            cpu_relax();
            !self.is_claimed(addr)
        })
    }

    /// The range of `addr` in the copy.
    ///
    /// # Safety
    /// A word says that the caller is in, and `addr` was not claimed after that was written.
    unsafe fn look(&self, addr: usize) -> Option<(usize, usize, *const V)> {
        // SAFETY: By the invariant the vector is not replaced while such a word is there.
        let places = unsafe { &*self.places.get() };
        for _ in 0..TRIES {
            let seq = self.seq.load(Ordering::Acquire);
            if seq & 1 != 0 {
                cpu_relax();
                continue;
            }
            let places = places.get(..self.len.load(Ordering::Relaxed))?;
            let index = places.partition_point(|place| place.end.load(Ordering::Relaxed) <= addr);
            let found = places.get(index).map(|place| {
                let (start, end) = (place.start.load(Ordering::Relaxed), place.end.load(Ordering::Relaxed));
                (start, end, place.value.load(Ordering::Relaxed).cast_const())
            });
            fence(Ordering::Acquire);
            if self.seq.load(Ordering::Relaxed) == seq {
                return found.filter(|(start, end, _)| *start <= addr && addr < *end);
            }
        }
        None
    }

    /// Says what is claimed.
    fn publish(&self, low: usize, high: usize) {
        self.low.store(low, Ordering::SeqCst);
        self.high.store(high, Ordering::SeqCst);
    }

    /// Whether the word's owner may use something in `[low, high)`.
    fn is_inside(&self, word: &Word, low: usize, high: usize) -> bool {
        if word.gate.load(Ordering::SeqCst) != self.address() {
            return false;
        }
        let at = word.at.load(Ordering::Acquire);
        at == UNKNOWN || low <= at && at < high
    }

    /// The words that may be the gate's.
    fn words(&self) -> impl Iterator<Item = &'static Word> {
        let mut cpus = self.cpus.load(Ordering::SeqCst);
        let next = move || {
            let cpu = (cpus != 0).then(|| cpus.trailing_zeros())?;
            cpus &= cpus - 1;
            Some(cpu)
        };
        core::iter::from_fn(next).filter_map(|cpu| PASSES.on(cpu as CpuId)).flat_map(|words| &words.0)
    }

    /// Whether anybody has a pass for something in `[low, high)`, which was published, and keeps it for more than a moment.
    fn is_used(&self, low: usize, high: usize) -> bool {
        let mut patience = PATIENCE;
        self.words().any(|word| {
            while self.is_inside(word, low, high) {
                if patience == 0 {
                    return true;
                }
                patience -= 1;
                cpu_relax();
            }
            false
        })
    }

    /// Waits until nobody has a pass for something in `[low, high)`, which was published. May sleep.
    #[cold]
    fn drain(&self, low: usize, high: usize) {
        self.draining.fetch_add(1, Ordering::SeqCst);
        for word in self.words() {
            self.drained.wait_until(|| !self.is_inside(word, low, high));
        }
        self.draining.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits, without the lock, until nobody uses what the caller tried to claim ([`ClaimedMap::try_claim`]), or somebody else has claimed
    /// or released something: with the lock the caller has to try again. May sleep.
    pub fn wait_unused(&self, low: usize, high: usize) {
        let published = || self.low.load(Ordering::SeqCst) <= low && high <= self.high.load(Ordering::SeqCst);
        self.draining.fetch_add(1, Ordering::SeqCst);
        for word in self.words() {
            // Where nobody is kept out any more the word might never be seen cleared.
            self.drained.wait_until(|| !self.is_inside(word, low, high) || !published());
        }
        self.draining.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Use of one range, which stays as it is, and of its value.
#[must_use]
pub struct Pass<'a, V> {
    gate: &'a Gate<V>,
    word: &'static Word,
    start: usize,
    end: usize,
    value: *const V,
    not_send: PhantomData<*mut ()>,
}

impl<V> Pass<'_, V> {
    /// First address of the range.
    #[inline(always)]
    pub fn start(&self) -> usize {
        self.start
    }

    /// One past the last. The map's may be above that by now.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.end
    }
}

impl<V> Deref for Pass<'_, V> {
    type Target = V;

    #[inline(always)]
    fn deref(&self) -> &V {
        // SAFETY: By the gate's invariant the value of the range stays where it is, and is not written, until the word is cleared.
        unsafe { &*self.value }
    }
}

impl<V> Drop for Pass<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.gate.leave(self.word);
    }
}

/// The map.
///
/// # Invariants
/// Nothing of it that a pass keeps as it is (see [`Gate`]) is changed or dropped outside of `[low, high)`, which is what the gate has
/// published, and in which nobody has a pass.
pub struct ClaimedMap<V> {
    map: RangeMap<KBox<V>>,
    gate: SetOnce<Arc<Gate<V>>>,
    low: usize,
    high: usize,
    /// What was tried to be claimed stays published at the next release: who tried waits for it.
    tried: bool,
    /// Indices at which the copy may differ.
    dirty: (usize, usize),
}

impl<V> Deref for ClaimedMap<V> {
    type Target = RangeMap<KBox<V>>;

    #[inline(always)]
    fn deref(&self) -> &RangeMap<KBox<V>> {
        &self.map
    }
}

impl<V> ClaimedMap<V> {
    /// An empty map without a gate.
    pub const fn new() -> Self {
        Self {
            map: RangeMap::new(),
            gate: SetOnce::new(),
            low: usize::MAX,
            high: 0,
            tried: false,
            dirty: (usize::MAX, 0),
        }
    }

    /// The gate, which is made if it is not there. `None` for want of memory. May sleep.
    pub fn open(&self) -> Option<&Arc<Gate<V>>> {
        if !self.is_open() {
            // Another may be first.
            drop(self.gate.set(Gate::new(&self.map).ok()?));
        }
        self.gate.get()
    }

    /// Whether there is a gate.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        self.gate.get().is_some()
    }

    /// Nobody uses what is in `[start, end)` from now on. Waits for those who do. May sleep.
    #[inline(always)]
    pub fn claim(&mut self, start: usize, end: usize) {
        if self.is_open() {
            self.claim_slow(start, end);
        }
    }

    #[cold]
    #[inline(never)]
    fn claim_slow(&mut self, start: usize, end: usize) {
        if start >= end || self.low <= start && end <= self.high {
            return;
        }
        self.tried = false;
        let Some(gate) = self.gate.get() else { return };
        let (low, high) = (self.low.min(start), self.high.max(end));
        gate.publish(low, high);
        if gate.is_used(low, high) {
            gate.drain(low, high);
        }
        (self.low, self.high) = (low, high);
    }

    /// As [`Self::claim`], if that needs no waiting. If it would, the caller, who has changed nothing yet, gives up the lock (a release
    /// comes with that, and does nothing) and waits ([`Gate::wait_unused`]): nobody comes to use more of it meanwhile.
    #[inline(always)]
    pub fn try_claim(&mut self, start: usize, end: usize) -> bool {
        !self.is_open() || self.try_claim_slow(start, end)
    }

    #[cold]
    #[inline(never)]
    fn try_claim_slow(&mut self, start: usize, end: usize) -> bool {
        let Some(gate) = self.gate.get() else { return true };
        let (low, high) = (self.low.min(start), self.high.max(end));
        gate.publish(low, high);
        self.tried = gate.is_used(low, high);
        if !self.tried {
            (self.low, self.high) = (low, high);
        }
        !self.tried
    }

    fn claim_slots(&mut self, index: usize, count: usize) {
        if !self.is_open() {
            return;
        }
        let last = index.saturating_add(count).min(self.map.len()).saturating_sub(1);
        if let (Some(first), Some(last)) = (self.map.get(index), self.map.get(last))
            && count > 0
        {
            let (start, end) = (first.start, last.end);
            self.claim_slow(start, end);
        }
    }

    /// The copy differs from index `from` up to before `to`.
    fn differs(&mut self, from: usize, to: usize) {
        self.dirty = (self.dirty.0.min(from), self.dirty.1.max(to));
    }

    /// Gives the claim back. The map's user does so when all is done for which something was claimed.
    #[inline(always)]
    pub fn release(&mut self) {
        if self.is_open() {
            self.release_slow(usize::MAX, 0);
        }
    }

    /// Gives back what is claimed besides `[start, end)`, unless everything is: the map is now what it is going to be.
    #[inline(always)]
    pub fn keep_claimed(&mut self, start: usize, end: usize) {
        let inside = self.low <= start && end <= self.high;
        if self.is_open() && inside && (self.low, self.high) != (0, usize::MAX) {
            self.release_slow(start, end);
        }
    }

    #[cold]
    #[inline(never)]
    fn release_slow(&mut self, low: usize, high: usize) {
        if core::mem::take(&mut self.tried) {
            return;
        }
        self.bring_up_to_date();
        if let Some(gate) = self.gate.get() {
            gate.publish(low, high);
        }
        (self.low, self.high) = (low, high);
    }

    fn bring_up_to_date(&mut self) {
        let (mut from, mut to) = self.dirty;
        if from >= to {
            return;
        }
        let len = self.map.len();
        let Some(gate) = self.gate.get() else { return };
        // SAFETY: Only the owner of the map, who this is, replaces the vector.
        if len > unsafe { &*gate.places.get() }.len() {
            let Ok(new) = room(len) else {
                // Until there is memory everybody waits for the lock.
                gate.change(|_| 0);
                return;
            };
            self.claim_slow(0, usize::MAX);
            let Some(gate) = self.gate.get() else { return };
            // SAFETY: Everything is claimed, and nobody has a pass, so nobody looks at it.
            drop(core::mem::replace(unsafe { &mut *gate.places.get() }, new));
            (from, to) = (0, len);
        }
        let Some(gate) = self.gate.get() else { return };
        let map = &self.map;
        gate.change(|places| {
            for index in from..to.min(len) {
                if let (Some(place), Some(slot)) = (places.get(index), map.get(index)) {
                    place.set(slot);
                }
            }
            len
        });
        self.dirty = (usize::MAX, 0);
    }
}

impl<V> Gate<V> {
    /// Changes the copy: `change` says how many ranges there are then. By the owner of the map alone.
    fn change(&self, change: impl FnOnce(&[Place<V>]) -> usize) {
        let seq = self.seq.load(Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        // SAFETY: Only the owner of the map, who calls this, replaces the vector.
        let len = change(unsafe { &*self.places.get() });
        self.len.store(len, Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(2), Ordering::Release);
    }
}

/// The methods of [`RangeMap`] that change it. Each claims what it takes out or changes; what is only added to, at the end of a range
/// or between ranges, is not claimed.
impl<V> ClaimedMap<V> {
    /// As [`RangeMap::reserve`].
    pub fn reserve(&mut self, n: usize) -> Result<(), AllocError> {
        self.map.reserve(n)
    }

    /// As [`RangeMap::hole_below`].
    pub fn hole_below(&mut self, len: usize, low: usize, high: usize) -> Option<usize> {
        self.map.hole_below(len, low, high)
    }

    /// As [`RangeMap::insert`].
    pub fn insert(&mut self, start: usize, end: usize, value: KBox<V>) -> Result<usize, KBox<V>> {
        let index = self.map.insert(start, end, value)?;
        self.differs(index, usize::MAX);
        Ok(index)
    }

    /// As [`RangeMap::push`].
    #[inline]
    pub fn push(&mut self, start: usize, end: usize, value: KBox<V>) -> Result<(), KBox<V>> {
        self.differs(self.map.len(), usize::MAX);
        self.map.push(start, end, value)
    }

    /// As [`RangeMap::value_mut`]. Claims the range.
    pub fn value_mut(&mut self, index: usize) -> Option<&mut V> {
        self.claim_slots(index, 1);
        self.differs(index, index.saturating_add(1));
        self.map.value_mut(index).map(|value| &mut **value)
    }

    /// As [`RangeMap::remove`]. Claims the range.
    pub fn remove(&mut self, index: usize) -> Option<Slot<KBox<V>>> {
        self.claim_slots(index, 1);
        self.differs(index, usize::MAX);
        self.map.remove(index)
    }

    /// As [`RangeMap::remove_many`]. Claims the ranges.
    pub fn remove_many(&mut self, index: usize, count: usize, f: impl FnMut(Slot<KBox<V>>)) {
        self.claim_slots(index, count);
        self.differs(index, usize::MAX);
        self.map.remove_many(index, count, f);
    }

    /// As [`RangeMap::set_bounds`]. Claims the range, unless it only ends later.
    pub fn set_bounds(&mut self, index: usize, start: usize, end: usize) -> bool {
        if !self.map.get(index).is_some_and(|slot| slot.start == start && slot.end <= end) {
            self.claim_slots(index, 1);
        }
        self.differs(index, index.saturating_add(1));
        self.map.set_bounds(index, start, end)
    }

    /// As [`RangeMap::split`]. Claims the range.
    pub fn split(&mut self, index: usize, at: usize, upper: KBox<V>) -> Result<(), KBox<V>> {
        self.claim_slots(index, 1);
        self.differs(index, usize::MAX);
        self.map.split(index, at, upper)
    }
}

impl<V> Default for ClaimedMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Drop for ClaimedMap<V> {
    fn drop(&mut self) {
        // For ever: the values go.
        self.claim(0, usize::MAX);
    }
}
