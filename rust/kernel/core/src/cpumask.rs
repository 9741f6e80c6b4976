// SPDX-License-Identifier: GPL-2.0
//! Sets of CPUs: `kernel::cpumask`.
//!
//! ```
//! use kernel::cpu::CpuId;
//! use kernel::cpumask::CpumaskVar;
//!
//! let mut mask = CpumaskVar::new_zero(GFP_KERNEL)?;
//! mask.set(CpuId::current());
//! assert_eq!(mask.weight(), 1);
//! # Ok::<(), Error>(())
//! ```

use crate::cpu::{CpuId, nr_cpu_ids};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kalloc::{AllocError, Flags};

/// A set of CPUs: the bit of each number.
#[repr(transparent)]
pub struct Cpumask(AtomicU64);

impl Cpumask {
    /// The set at `ptr`.
    ///
    /// # Safety
    /// There is one during `'a`, and nobody else uses it.
    pub unsafe fn from_raw_mut<'a>(ptr: *mut Self) -> &'a mut Self {
        // SAFETY: The caller's contract.
        unsafe { &mut *ptr }
    }

    /// The set at `ptr`.
    ///
    /// # Safety
    /// There is one during `'a`.
    pub unsafe fn from_raw<'a>(ptr: *const Self) -> &'a Self {
        // SAFETY: The caller's contract.
        unsafe { &*ptr }
    }

    /// Its address.
    pub fn as_raw(&self) -> *mut Self {
        core::ptr::from_ref(self).cast_mut()
    }

    /// The bits of all CPUs that there can be.
    fn every() -> u64 {
        u64::MAX >> (u64::BITS - nr_cpu_ids()).min(u64::BITS - 1)
    }

    /// Adds a CPU.
    #[inline]
    pub fn set(&mut self, cpu: CpuId) {
        self.0.fetch_or(1 << cpu.as_u32(), Relaxed);
    }

    /// Takes a CPU out.
    #[inline]
    pub fn clear(&mut self, cpu: CpuId) {
        self.0.fetch_and(!(1 << cpu.as_u32()), Relaxed);
    }

    /// Whether a CPU is in it.
    #[inline]
    pub fn test(&self, cpu: CpuId) -> bool {
        self.0.load(Relaxed) >> cpu.as_u32() & 1 != 0
    }

    /// Adds all CPUs that there can be.
    #[inline]
    pub fn setall(&mut self) {
        *self.0.get_mut() = Self::every();
    }

    /// Whether none is in it.
    #[inline]
    pub fn empty(&self) -> bool {
        self.0.load(Relaxed) & Self::every() == 0
    }

    /// Whether all are in it.
    #[inline]
    pub fn full(&self) -> bool {
        self.0.load(Relaxed) & Self::every() == Self::every()
    }

    /// How many are in it.
    #[inline]
    pub fn weight(&self) -> u32 {
        (self.0.load(Relaxed) & Self::every()).count_ones()
    }

    /// Makes `dstp` the same set.
    #[inline]
    pub fn copy(&self, dstp: &mut Self) {
        *dstp.0.get_mut() = self.0.load(Relaxed);
    }
}

/// A [`Cpumask`] of one's own.
#[repr(transparent)]
pub struct CpumaskVar(Cpumask);

impl CpumaskVar {
    /// An empty set. Nothing is allocated, as in a Linux for as few CPUs.
    pub fn new_zero(_flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(Cpumask(AtomicU64::new(0))))
    }

    /// A set of which the caller does not rely on what is in it.
    ///
    /// # Safety
    /// None is needed here: the set is empty.
    pub unsafe fn new(flags: Flags) -> Result<Self, AllocError> {
        Self::new_zero(flags)
    }

    /// The set at `ptr`.
    ///
    /// # Safety
    /// There is one during `'a`, and nobody else uses it.
    pub unsafe fn from_raw_mut<'a>(ptr: *mut Self) -> &'a mut Self {
        // SAFETY: The caller's contract.
        unsafe { &mut *ptr }
    }

    /// The set at `ptr`.
    ///
    /// # Safety
    /// There is one during `'a`.
    pub unsafe fn from_raw<'a>(ptr: *const Self) -> &'a Self {
        // SAFETY: The caller's contract.
        unsafe { &*ptr }
    }

    /// The same set.
    pub fn try_clone(cpumask: &Cpumask) -> errno::Result<Self> {
        let mut clone = Self::new_zero(kalloc::flags::GFP_KERNEL)?;
        cpumask.copy(&mut clone);
        Ok(clone)
    }
}

impl Deref for CpumaskVar {
    type Target = Cpumask;

    fn deref(&self) -> &Cpumask {
        &self.0
    }
}

impl DerefMut for CpumaskVar {
    fn deref_mut(&mut self) -> &mut Cpumask {
        &mut self.0
    }
}
