// SPDX-License-Identifier: GPL-2.0
//! Atomics with the kernel's orders: `kernel::sync::atomic`. The order is an argument's type: `x.load(Acquire)`.
//!
//! ```
//! use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};
//!
//! let state = Atomic::new(1_u32);
//! assert_eq!(state.fetch_add(2, Relaxed), 1);
//! assert_eq!(state.cmpxchg(3, 8, Full), Ok(3));
//! assert_eq!(state.cmpxchg(3, 9, Full), Err(8));
//! state.store(0, Release);
//! assert_eq!(state.load(Acquire), 0);
//! ```

mod flag;
mod repr;

pub use flag::AtomicFlag;
pub use kernel_base::ordering;
pub use ordering::{Acquire, Full, Relaxed, Release};
pub use repr::{AtomicArithmeticOps, AtomicBasicOps, AtomicExchangeOps, AtomicImpl};

use core::cell::UnsafeCell;

/// An atomic `T`.
#[repr(transparent)]
pub struct Atomic<T: AtomicType>(UnsafeCell<T>);

// SAFETY: The value is a copy of plain data that is exchanged whole.
unsafe impl<T: AtomicType> Send for Atomic<T> {}
// SAFETY: It is accessed by atomic instructions alone.
unsafe impl<T: AtomicType> Sync for Atomic<T> {}

/// A type that can be atomic.
///
/// # Safety
/// It has size and alignment of its `Repr`, and each of its values is one of `Repr`.
pub unsafe trait AtomicType: Sized + Copy {
    /// What the instructions work on.
    type Repr: AtomicImpl;
}

/// A type to which `Rhs` can be added atomically.
///
/// # Safety
/// Every sum, wrapped, is a value of the type.
pub unsafe trait AtomicAdd<Rhs = Self>: AtomicType {
    /// What is added.
    fn rhs_into_delta(rhs: Rhs) -> <Self::Repr as AtomicImpl>::Delta;
}

#[inline(always)]
const fn into_repr<T: AtomicType>(value: T) -> T::Repr {
    // SAFETY: Same size, and every value of `T` is one of `Repr` (contract of `AtomicType`).
    unsafe { core::mem::transmute_copy(&value) }
}

/// # Safety
/// `repr` came from a value of `T`.
#[inline(always)]
const unsafe fn from_repr<T: AtomicType>(repr: T::Repr) -> T {
    // SAFETY: Same size; the bits are those of a value of `T` (the caller's contract).
    unsafe { core::mem::transmute_copy(&repr) }
}

impl<T: AtomicType> Atomic<T> {
    /// An atomic with this value.
    pub const fn new(value: T) -> Self {
        const {
            assert!(size_of::<T>() == size_of::<T::Repr>() && align_of::<T>() == align_of::<T::Repr>());
        }
        Self(UnsafeCell::new(value))
    }

    /// What is at `ptr`, as an atomic.
    ///
    /// # Safety
    /// `ptr` is aligned and valid for `'a`, and accessed by atomics alone meanwhile.
    pub unsafe fn from_ptr<'a>(ptr: *mut T) -> &'a Self
    where
        T: Sync,
    {
        // SAFETY: The caller's contract; the layout is that of `T`.
        unsafe { &*ptr.cast::<Self>() }
    }

    /// Where the value is.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    /// The value, which the caller has alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    #[inline(always)]
    fn repr(&self) -> *mut T::Repr {
        self.0.get().cast()
    }
}

impl<T: AtomicType> Atomic<T>
where
    T::Repr: AtomicBasicOps,
{
    /// Reads the value.
    #[inline(always)]
    pub fn load<O: ordering::AcquireOrRelaxed>(&self, _: O) -> T {
        // SAFETY: The pointer is our own; what is there is a value of `T`.
        unsafe { from_repr(T::Repr::load(self.repr(), O::TYPE.for_load())) }
    }

    /// Writes the value.
    #[inline(always)]
    pub fn store<O: ordering::ReleaseOrRelaxed>(&self, value: T, _: O) {
        // SAFETY: The pointer is our own.
        unsafe { T::Repr::store(self.repr(), into_repr(value), O::TYPE.for_store()) };
    }
}

impl<T: AtomicType + core::fmt::Debug> core::fmt::Debug for Atomic<T>
where
    T::Repr: AtomicBasicOps,
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.load(Relaxed).fmt(f)
    }
}

impl<T: AtomicType> Atomic<T>
where
    T::Repr: AtomicExchangeOps,
{
    /// Writes the value and returns what was there.
    #[inline(always)]
    pub fn xchg<O: ordering::Ordering>(&self, value: T, _: O) -> T {
        // SAFETY: The pointer is our own; what is there is a value of `T`.
        unsafe { from_repr(T::Repr::swap(self.repr(), into_repr(value), O::TYPE.for_update())) }
    }

    /// Writes `new` if the value is `old`: `Ok` with `old`, else `Err` with what is there.
    #[inline(always)]
    pub fn cmpxchg<O: ordering::Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
        // SAFETY: The pointer is our own; what is there is a value of `T`.
        unsafe {
            match T::Repr::compare_exchange(self.repr(), into_repr(old), into_repr(new), O::TYPE.for_update()) {
                Ok(value) => Ok(from_repr(value)),
                Err(value) => Err(from_repr(value)),
            }
        }
    }
}

impl<T: AtomicType> Atomic<T>
where
    T::Repr: AtomicArithmeticOps,
{
    /// Adds, wrapping.
    #[inline(always)]
    pub fn add<Rhs>(&self, value: Rhs, _: Relaxed)
    where
        T: AtomicAdd<Rhs>,
    {
        self.fetch_add(value, Relaxed);
    }

    /// Adds, wrapping, and returns what was there.
    #[inline(always)]
    pub fn fetch_add<Rhs, O: ordering::Ordering>(&self, value: Rhs, _: O) -> T
    where
        T: AtomicAdd<Rhs>,
    {
        // SAFETY: The pointer is our own; sums are values of `T` (contract of `AtomicAdd`).
        unsafe { from_repr(T::Repr::fetch_add(self.repr(), T::rhs_into_delta(value), O::TYPE.for_update())) }
    }

    /// Subtracts, wrapping, and returns what was there.
    #[inline(always)]
    pub fn fetch_sub<Rhs, O: ordering::Ordering>(&self, value: Rhs, _: O) -> T
    where
        T: AtomicAdd<Rhs>,
    {
        // SAFETY: As in `fetch_add`.
        unsafe { from_repr(T::Repr::fetch_sub(self.repr(), T::rhs_into_delta(value), O::TYPE.for_update())) }
    }
}

/// Reads what is at `ptr`.
///
/// # Safety
/// `ptr` is aligned and valid, and accessed by atomics alone.
pub unsafe fn atomic_load<T: AtomicType + Sync, O: ordering::AcquireOrRelaxed>(ptr: *mut T, order: O) -> T
where
    T::Repr: AtomicBasicOps,
{
    // SAFETY: The caller's contract.
    unsafe { Atomic::from_ptr(ptr) }.load(order)
}

/// Writes what is at `ptr`.
///
/// # Safety
/// As for [`atomic_load`].
pub unsafe fn atomic_store<T: AtomicType + Sync, O: ordering::ReleaseOrRelaxed>(ptr: *mut T, value: T, order: O)
where
    T::Repr: AtomicBasicOps,
{
    // SAFETY: The caller's contract.
    unsafe { Atomic::from_ptr(ptr) }.store(value, order);
}

/// Exchanges what is at `ptr`.
///
/// # Safety
/// As for [`atomic_load`].
pub unsafe fn xchg<T: AtomicType + Sync, O: ordering::Ordering>(ptr: *mut T, value: T, order: O) -> T
where
    T::Repr: AtomicExchangeOps,
{
    // SAFETY: The caller's contract.
    unsafe { Atomic::from_ptr(ptr) }.xchg(value, order)
}

/// Exchanges what is at `ptr` if it is `old`.
///
/// # Safety
/// As for [`atomic_load`].
pub unsafe fn cmpxchg<T: AtomicType + Sync, O: ordering::Ordering>(
    ptr: *mut T,
    old: T,
    new: T,
    order: O,
) -> Result<T, T>
where
    T::Repr: AtomicExchangeOps,
{
    // SAFETY: The caller's contract.
    unsafe { Atomic::from_ptr(ptr) }.cmpxchg(old, new, order)
}
