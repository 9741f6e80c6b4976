// SPDX-License-Identifier: GPL-2.0
//! The lock of an address space. Threads that fault on several CPUs at once do not meet on it, nor do they wait for who changes other
//! mappings than theirs: once that matters they have *passes* for single mappings (`sync::ClaimedMap`) instead of the lock.
//!
//! Who changes the address space has the lock exclusively, and claims what faults must keep out of: everything ([`MmLock::write`]), the
//! mappings that overlap a range ([`MmLock::write_range`]), or what the map's own methods claim ([`MmLock::write_some`]). What is
//! done to page tables needs a claim of the addresses, beside faults in other mappings that share a table; tables are freed where no
//! mapping is.
//!
//! Order: the lock, then a claim, then whatever a fault takes. Who has a pass does not take the lock.

use crate::mm_struct::Inner;
use crate::vma::Vma;
use core::ops::{Deref, DerefMut};
use kalloc::Arc;
use locking::SetOnce;
use sync::{BiasedReadGuard, BiasedRwSemaphore, Gate, Pass, RwWriteGuard};

/// How often the lock is given up for those who use what is to be claimed, before they are waited for with it: reclaim looks at
/// address spaces that nobody changes, and they may wait for reclaim.
pub(crate) const POLITE: usize = 4;

/// The lock, and what it guards.
pub(crate) struct MmLock {
    inner: BiasedRwSemaphore<Inner>,
    /// That of `Inner::areas`, once threads met.
    gate: SetOnce<Arc<Gate<Vma>>>,
}

impl MmLock {
    #[track_caller]
    pub(crate) const fn new(inner: Inner) -> Self {
        Self { inner: BiasedRwSemaphore::new(inner), gate: SetOnce::new() }
    }

    /// Shared access: nothing changes but by faults. May sleep.
    #[inline]
    #[track_caller]
    pub(crate) fn read(&self) -> BiasedReadGuard<'_, Inner> {
        self.inner.read()
    }

    /// As [`Self::read`], if that needs no waiting.
    pub(crate) fn try_read(&self) -> Option<BiasedReadGuard<'_, Inner>> {
        self.inner.try_read()
    }

    /// As [`BiasedRwSemaphore::try_read_beside`].
    pub(crate) fn try_read_beside(&self) -> Option<BiasedReadGuard<'_, Inner>> {
        self.inner.try_read_beside()
    }

    /// Shared access for a fault that has no pass. Where faults meet, or wait for who changes the address space, there are passes from now
    /// on. May sleep.
    #[inline]
    #[track_caller]
    pub(crate) fn read_for_fault(&self) -> BiasedReadGuard<'_, Inner> {
        self.inner.read_counted(|inner| self.open(inner))
    }

    /// From now on there are passes. `inner`: by the lock.
    #[cold]
    pub(crate) fn open(&self, inner: &Inner) {
        if self.gate.get().is_none()
            && let Some(gate) = inner.areas.open()
        {
            // Another thread may be first, with the same.
            drop(self.gate.set(gate.clone()));
        }
    }

    /// A pass for the mapping of `addr`, if threads met. `None`: the lock is to be taken.
    #[inline(always)]
    pub(crate) fn pass(&self, addr: usize) -> Option<Pass<'_, Vma>> {
        self.gate.get()?.enter(addr)
    }

    /// Exclusive access, nobody has a fault either. May sleep.
    #[inline]
    #[track_caller]
    pub(crate) fn write(&self) -> MmWrite<'_> {
        self.claiming(|_| Some((0, usize::MAX)))
    }

    /// Exclusive access but for faults, which are kept out of the mappings that overlap `[start, end)`. May sleep.
    #[inline]
    #[track_caller]
    pub(crate) fn write_range(&self, start: usize, end: usize) -> MmWrite<'_> {
        self.claiming(|inner| {
            let low = inner.areas.find(start).filter(|slot| slot.start < end)?.start;
            let index = inner.areas.index(end);
            let high = match inner.areas.get(index).filter(|slot| slot.start < end) {
                Some(slot) => slot.end,
                None => inner.areas.before(index)?.end,
            };
            Some((low, high))
        })
    }

    /// Exclusive access but for faults. May sleep.
    #[inline]
    #[track_caller]
    pub(crate) fn write_some(&self) -> MmWrite<'_> {
        MmWrite(self.inner.write())
    }

    /// Exclusive access, with what `span` says claimed.
    #[inline(always)]
    #[track_caller]
    fn claiming(&self, span: impl Fn(&Inner) -> Option<(usize, usize)>) -> MmWrite<'_> {
        let inner = self.write_some();
        if self.gate.get().is_some() { self.claim_politely(inner, span) } else { inner }
    }

    #[cold]
    #[inline(never)]
    fn claim_politely<'a>(
        &'a self,
        mut inner: MmWrite<'a>,
        span: impl Fn(&Inner) -> Option<(usize, usize)>,
    ) -> MmWrite<'a> {
        for _ in 0..POLITE {
            let Some((low, high)) = span(&inner) else { return inner };
            if inner.areas.try_claim(low, high) {
                return inner;
            }
            drop(inner);
            self.wait_unused(low, high);
            inner = self.write_some();
        }
        if let Some((low, high)) = span(&inner) {
            inner.areas.claim(low, high);
        }
        inner
    }

    /// Waits for those who use what the caller tried to claim, and has given up the lock for. May sleep.
    pub(crate) fn wait_unused(&self, low: usize, high: usize) {
        if let Some(gate) = self.gate.get() {
            gate.wait_unused(low, high);
        }
    }

    /// What is guarded, through exclusive access.
    pub(crate) fn get_mut(&mut self) -> &mut Inner {
        self.inner.get_mut()
    }
}

/// Exclusive access; what is claimed is released with it.
#[must_use]
pub(crate) struct MmWrite<'a>(RwWriteGuard<'a, Inner>);

impl Deref for MmWrite<'_> {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl DerefMut for MmWrite<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.0
    }
}

impl Drop for MmWrite<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.areas.release();
    }
}
