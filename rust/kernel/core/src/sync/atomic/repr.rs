// SPDX-License-Identifier: GPL-2.0
//! What atomic instructions work on, and which types of the language are atomic.

use super::{AtomicAdd, AtomicType};
use core::sync::atomic as core_atomic;
use core::sync::atomic::Ordering;

mod sealed {
    pub trait Sealed {}
}

/// A type that the CPU has atomic instructions for.
pub trait AtomicImpl: Sized + Copy + sealed::Sealed {
    /// What can be added.
    type Delta;
}

/// Reading and writing.
pub trait AtomicBasicOps: AtomicImpl {
    /// # Safety
    /// `ptr` is aligned and valid, and accessed by atomics alone.
    unsafe fn load(ptr: *mut Self, order: Ordering) -> Self;
    /// # Safety
    /// As for `load`.
    unsafe fn store(ptr: *mut Self, value: Self, order: Ordering);
}

/// Exchanging.
pub trait AtomicExchangeOps: AtomicBasicOps {
    /// # Safety
    /// As for `load`.
    unsafe fn swap(ptr: *mut Self, value: Self, order: Ordering) -> Self;
    /// # Safety
    /// As for `load`.
    unsafe fn compare_exchange(ptr: *mut Self, old: Self, new: Self, order: Ordering) -> Result<Self, Self>;
}

/// Adding.
pub trait AtomicArithmeticOps: AtomicExchangeOps {
    /// # Safety
    /// As for `load`.
    unsafe fn fetch_add(ptr: *mut Self, value: Self::Delta, order: Ordering) -> Self;
    /// # Safety
    /// As for `load`.
    unsafe fn fetch_sub(ptr: *mut Self, value: Self::Delta, order: Ordering) -> Self;
}

/// The order of a comparison that failed.
#[inline(always)]
fn failed(order: Ordering) -> Ordering {
    match order {
        Ordering::SeqCst => Ordering::SeqCst,
        Ordering::Acquire | Ordering::AcqRel => Ordering::Acquire,
        _ => Ordering::Relaxed,
    }
}

macro_rules! implement {
    ($($ty:ty, $atomic:ident;)*) => { $(
        impl sealed::Sealed for $ty {}
        impl AtomicImpl for $ty {
            type Delta = $ty;
        }
        impl AtomicBasicOps for $ty {
            #[inline(always)]
            unsafe fn load(ptr: *mut Self, order: Ordering) -> Self {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.load(order)
            }
            #[inline(always)]
            unsafe fn store(ptr: *mut Self, value: Self, order: Ordering) {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.store(value, order);
            }
        }
        impl AtomicExchangeOps for $ty {
            #[inline(always)]
            unsafe fn swap(ptr: *mut Self, value: Self, order: Ordering) -> Self {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.swap(value, order)
            }
            #[inline(always)]
            unsafe fn compare_exchange(ptr: *mut Self, old: Self, new: Self, order: Ordering) -> Result<Self, Self> {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.compare_exchange(old, new, order, failed(order))
            }
        }
        impl AtomicArithmeticOps for $ty {
            #[inline(always)]
            unsafe fn fetch_add(ptr: *mut Self, value: Self, order: Ordering) -> Self {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.fetch_add(value, order)
            }
            #[inline(always)]
            unsafe fn fetch_sub(ptr: *mut Self, value: Self, order: Ordering) -> Self {
                // SAFETY: The caller's contract.
                unsafe { core_atomic::$atomic::from_ptr(ptr) }.fetch_sub(value, order)
            }
        }
    )* };
}
implement! { i8, AtomicI8; i16, AtomicI16; i32, AtomicI32; i64, AtomicI64; }

macro_rules! atomic_type {
    ($($ty:ty => $repr:ty $(, $add:ident)?;)*) => { $(
        // SAFETY: Same size and alignment, and every bit pattern of the type is one of the integer.
        unsafe impl AtomicType for $ty {
            type Repr = $repr;
        }
        $(
            // SAFETY: Sums wrap as the type does.
            unsafe impl $add for $ty {
                fn rhs_into_delta(rhs: $ty) -> $repr {
                    rhs as $repr
                }
            }
        )?
    )* };
}
atomic_type! {
    bool => i8; i8 => i8; i16 => i16;
    i32 => i32, AtomicAdd; u32 => i32, AtomicAdd;
    i64 => i64, AtomicAdd; u64 => i64, AtomicAdd;
    isize => i64, AtomicAdd; usize => i64, AtomicAdd;
}

// SAFETY: A pointer has size and alignment of an `i64`. It is exchanged whole, so that what comes out went in.
unsafe impl<T> AtomicType for *mut T {
    type Repr = i64;
}
// SAFETY: As above.
unsafe impl<T> AtomicType for *const T {
    type Repr = i64;
}
