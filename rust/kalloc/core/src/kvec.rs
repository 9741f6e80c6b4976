// SPDX-License-Identifier: GPL-2.0
//! `KVec`: a growable array in kernel memory (R4L's `kernel::alloc::kvec`). Every call that may allocate takes flags and
//! can fail; a failure leaves the vector as it was. No locks.
//!
//! ```
//! let mut numbers = KVec::with_capacity(2, GFP_KERNEL)?;
//! numbers.push(1, GFP_KERNEL)?;
//! numbers.extend_from_slice(&[2, 3], GFP_KERNEL)?;
//! assert_eq!(numbers.remove(0)?, 1);
//! assert_eq!(numbers.pop(), Some(3));
//! assert_eq!(numbers.as_slice(), [2]);
//! # Ok::<(), Error>(())
//! ```

mod errors;
mod iter;

pub use errors::{InsertError, PushError, RemoveError};
pub use iter::{Drain, DrainAll, IntoIter};

use crate::allocator::{Allocator, KVmalloc, Kmalloc, Vmalloc};
use crate::{AllocError, Box, Flags};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Bound, Deref, DerefMut, RangeBounds};
use core::ptr::{self, NonNull};

/// A growable array in memory of the allocator `A`.
///
/// # Invariants
/// `ptr` was allocated by `A` for `cap` elements (dangling for `cap` 0; `cap` is `usize::MAX` for types of size 0);
/// the first `len <= cap` are initialized and owned.
pub struct Vec<T, A: Allocator> {
    ptr: NonNull<T>,
    len: usize,
    cap: usize,
    _p: PhantomData<A>,
}

/// A vector from `kmalloc`.
pub type KVec<T> = Vec<T, Kmalloc>;
/// A vector from `vmalloc`.
pub type VVec<T> = Vec<T, Vmalloc>;
/// A vector from `kvmalloc`.
pub type KVVec<T> = Vec<T, KVmalloc>;

// SAFETY: A vector owns its elements as fields would.
unsafe impl<T: Send, A: Allocator> Send for Vec<T, A> {}
// SAFETY: A vector owns its elements as fields would.
unsafe impl<T: Sync, A: Allocator> Sync for Vec<T, A> {}

impl<T, A: Allocator> Vec<T, A> {
    const EMPTY_CAP: usize = if size_of::<T>() == 0 { usize::MAX } else { 0 };
    /// The least capacity of a vector that grows by itself.
    const MIN_GROWN: usize = if size_of::<T>() <= 8 { 8 } else { 4 };

    /// An empty vector without memory.
    #[inline]
    pub const fn new() -> Self {
        Self { ptr: NonNull::dangling(), len: 0, cap: Self::EMPTY_CAP, _p: PhantomData }
    }

    /// An empty vector with room for `capacity` elements.
    #[inline]
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut v = Self::new();
        if capacity > v.cap {
            v.set_capacity(capacity, flags)?;
        }
        Ok(v)
    }

    /// `n` times `value`.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        let mut v = Self::with_capacity(n, flags)?;
        v.extend_with(n, value, flags)?;
        Ok(v)
    }

    /// A copy of a slice.
    pub fn from_slice(slice: &[T], flags: Flags) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        let mut v = Self::with_capacity(slice.len(), flags)?;
        v.extend_from_slice(slice, flags)?;
        Ok(v)
    }

    /// A copy of this vector.
    pub fn try_clone(&self, flags: Flags) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        Self::from_slice(self, flags)
    }

    /// How many elements fit before memory must be allocated.
    #[inline(always)]
    pub const fn capacity(&self) -> usize {
        self.cap
    }

    /// The number of elements.
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements.
    #[inline(always)]
    pub const fn as_slice(&self) -> &[T] {
        // SAFETY: The first `len` elements are initialized by the type invariant.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The elements.
    #[inline(always)]
    pub const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: The first `len` elements are initialized by the type invariant, and `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }

    /// The memory after the elements.
    #[inline]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<T>] {
        // SAFETY: The memory reaches to `cap` by the type invariant.
        unsafe {
            core::slice::from_raw_parts_mut(self.ptr.as_ptr().add(self.len).cast(), self.cap.saturating_sub(self.len))
        }
    }

    /// Sets the length.
    ///
    /// # Safety
    /// `len` is at most `capacity()` and the elements up to it are initialized.
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        self.len = len;
    }

    /// Moves the elements to memory for exactly `cap >= len` elements, of a type whose size is not 0.
    #[cold]
    #[inline(never)]
    fn set_capacity(&mut self, cap: usize, flags: Flags) -> Result<(), AllocError> {
        let layout = Layout::array::<T>(cap).map_err(|_| AllocError)?;
        let new = A::alloc(layout, flags)?.cast::<T>();
        // SAFETY: Both are valid for `len` elements and are different allocations; the old memory is given up after
        // its elements were moved.
        unsafe {
            ptr::copy_nonoverlapping(self.ptr.as_ptr(), new.as_ptr(), self.len);
            A::free(self.ptr.cast(), Self::layout(self.cap));
        }
        self.ptr = new;
        self.cap = cap;
        Ok(())
    }

    /// The layout of memory that was allocated for `cap` elements.
    #[inline(always)]
    fn layout(cap: usize) -> Layout {
        // SAFETY: `cap` was checked when the memory was allocated; size 0 stays 0 for any `cap`.
        unsafe { Layout::from_size_align_unchecked(cap.wrapping_mul(size_of::<T>()), align_of::<T>()) }
    }

    /// Makes room for `additional` more elements, growing by doubling.
    #[inline]
    pub fn reserve(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        if self.cap.wrapping_sub(self.len) >= additional {
            return Ok(());
        }
        self.grow(additional, flags)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        let need = self.len.checked_add(additional).ok_or(AllocError)?;
        if Self::EMPTY_CAP != 0 {
            return Err(AllocError);
        }
        let cap = need.max(self.cap.saturating_mul(2)).max(Self::MIN_GROWN);
        if cap != need && self.set_capacity(cap, flags).is_ok() {
            return Ok(());
        }
        self.set_capacity(need, flags)
    }

    /// Makes room for exactly `additional` more elements.
    pub fn reserve_exact(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        let need = self.len.checked_add(additional).ok_or(AllocError)?;
        if need <= self.cap { Ok(()) } else { self.set_capacity(need, flags) }
    }

    /// Appends `value`. On failure the value is dropped.
    #[inline]
    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), AllocError> {
        if self.len == self.cap {
            self.grow(1, flags)?;
        }
        // SAFETY: There is room for one more element.
        unsafe { self.ptr.as_ptr().add(self.len).write(value) };
        self.len += 1;
        Ok(())
    }

    /// Appends `value` if there is room already, else gives it back.
    #[inline]
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.len == self.cap {
            return Err(PushError(value));
        }
        // SAFETY: There is room for one more element.
        unsafe { self.ptr.as_ptr().add(self.len).write(value) };
        self.len += 1;
        Ok(())
    }

    /// Removes the last element.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: The element was initialized and is outside `len` now, so it is read once.
        Some(unsafe { self.ptr.as_ptr().add(self.len).read() })
    }

    /// Inserts before `index`. An index above the length, like a failed allocation, is an error and drops the value.
    pub fn insert(&mut self, index: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        if index > self.len {
            return Err(AllocError);
        }
        self.reserve(1, flags)?;
        // SAFETY: `index <= len < cap`: the tail moves up by one inside the memory, then the gap is written.
        unsafe {
            let at = self.ptr.as_ptr().add(index);
            ptr::copy(at, at.add(1), self.len - index);
            at.write(value);
        }
        self.len += 1;
        Ok(())
    }

    /// Removes and returns the element at `index`, keeping the order.
    pub fn remove(&mut self, index: usize) -> Result<T, RemoveError> {
        if index >= self.len {
            return Err(RemoveError);
        }
        // SAFETY: `index < len`: the element is moved out once and the tail moves down over it.
        unsafe {
            let at = self.ptr.as_ptr().add(index);
            let value = at.read();
            ptr::copy(at.add(1), at, self.len - index - 1);
            self.len -= 1;
            Ok(value)
        }
    }

    /// Removes and returns the element at `index`, moving the last into its place.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        if index > last {
            return None;
        }
        self.as_mut_slice().swap(index, last);
        self.pop()
    }

    /// Drops the elements from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(n) = self.len.checked_sub(len) {
            self.len = len;
            // SAFETY: These `n` elements were initialized and are outside `len` now, so they are dropped once.
            unsafe { ptr::slice_from_raw_parts_mut(self.ptr.as_ptr().add(len), n).drop_in_place() };
        }
    }

    /// Drops all elements, keeping the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends clones of a slice's elements.
    #[inline]
    pub fn extend_from_slice(&mut self, slice: &[T], flags: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(slice.len(), flags)?;
        for (slot, value) in self.spare_capacity_mut().iter_mut().zip(slice) {
            slot.write(value.clone());
        }
        // SAFETY: `reserve` made room, and the loop wrote as many elements.
        unsafe { self.set_len(self.len + slice.len()) };
        Ok(())
    }

    /// Appends `n` clones of `value`.
    pub fn extend_with(&mut self, n: usize, value: T, flags: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(n, flags)?;
        for slot in self.spare_capacity_mut().iter_mut().take(n) {
            slot.write(value.clone());
        }
        // SAFETY: `reserve` made room, and the loop wrote as many elements.
        unsafe { self.set_len(self.len + n) };
        Ok(())
    }

    /// Appends what an iterator gives; what was appended before a failure stays.
    pub fn extend(&mut self, iter: impl IntoIterator<Item = T>, flags: Flags) -> Result<(), AllocError> {
        let iter = iter.into_iter();
        self.reserve(iter.size_hint().0, flags)?;
        for value in iter {
            self.push(value, flags)?;
        }
        Ok(())
    }

    /// Shortens, or lengthens with clones of `value`.
    pub fn resize(&mut self, len: usize, value: T, flags: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        match len.checked_sub(self.len) {
            Some(more) => self.extend_with(more, value, flags),
            None => {
                self.truncate(len);
                Ok(())
            }
        }
    }

    /// Keeps the elements for which `keep` says true.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let mut kept = 0;
        for i in 0..self.len {
            let slice = self.as_mut_slice();
            if slice.get_mut(i).is_some_and(&mut keep) {
                slice.swap(kept, i);
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    /// `n` elements whose bytes are all zero.
    pub fn zeroed(n: usize, flags: Flags) -> Result<Self, AllocError>
    where
        T: pinned_init::Zeroable,
    {
        let mut v = Self::with_capacity(n, flags | crate::flags::__GFP_ZERO)?;
        // SAFETY: There is room for `n` elements, and zeroes are a valid value of a `Zeroable` type.
        unsafe { v.set_len(n) };
        Ok(v)
    }

    /// Takes all elements out, one after the other; what is not taken is dropped.
    pub fn drain_all(&mut self) -> DrainAll<'_, T> {
        DrainAll::new(self)
    }

    /// Inserts `value` before `index` if there is room and `index` is not past the end; else gives it back.
    pub fn insert_within_capacity(&mut self, index: usize, value: T) -> Result<(), InsertError<T>> {
        if index > self.len {
            return Err(InsertError::IndexOutOfBounds(value));
        }
        if self.len == self.capacity() {
            return Err(InsertError::OutOfCapacity(value));
        }
        // SAFETY: There is room for one more; the elements from `index` on move up by one, into it.
        unsafe {
            let at = self.ptr.as_ptr().add(index);
            at.copy_to(at.add(1), self.len - index);
            at.write(value);
        }
        self.len += 1;
        Ok(())
    }

    /// As [`Self::shrink_to_fit`], but room for `min_capacity` elements stays.
    pub fn shrink_to(&mut self, min_capacity: usize, flags: Flags) -> Result<(), AllocError> {
        let target = self.len.max(min_capacity);
        if size_of::<T>() == 0 || target >= self.cap {
            return Ok(());
        }
        let mut smaller = Self::with_capacity(target, flags)?;
        // SAFETY: `smaller` has room for `len` elements, which move there once: ours are forgotten with the length.
        unsafe {
            self.ptr.as_ptr().copy_to_nonoverlapping(smaller.ptr.as_ptr(), self.len);
            smaller.len = core::mem::take(&mut self.len);
        }
        *self = smaller;
        Ok(())
    }

    /// Adds `additional` to the length.
    ///
    /// # Safety
    /// As many elements after the last are initialized, within the capacity.
    pub const unsafe fn inc_len(&mut self, additional: usize) {
        self.len += additional;
    }

    /// Removes a range and gives its elements. A range outside the vector is cut to it.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Drain<'_, T, A> {
        let len = self.len;
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.saturating_add(1),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => len,
        };
        let end = end.min(len);
        let start = start.min(end);
        // If the iterator leaks, the drained elements and the tail leak, which is safe.
        self.len = start;
        Drain { next: start, end, start, old_len: len, vec: self }
    }

    /// Returns unused memory, if that can be done.
    pub fn shrink_to_fit(&mut self, flags: Flags) -> Result<(), AllocError> {
        if Self::EMPTY_CAP != 0 || self.cap == self.len {
            return Ok(());
        }
        if self.len == 0 {
            *self = Self::new();
            return Ok(());
        }
        self.set_capacity(self.len, flags)
    }

    /// The elements as a boxed slice.
    pub fn into_boxed_slice(mut self, flags: Flags) -> Result<Box<[T], A>, AllocError> {
        self.shrink_to_fit(flags)?;
        let v = ManuallyDrop::new(self);
        // SAFETY: The memory is exactly `len` elements, all initialized (dangling for size 0), and is given up by `v`.
        Ok(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(v.ptr.as_ptr(), v.len)) })
    }

    /// The parts: pointer, length, capacity; `from_raw_parts` takes them back.
    pub fn into_raw_parts(self) -> (*mut T, usize, usize) {
        let v = ManuallyDrop::new(self);
        (v.ptr.as_ptr(), v.len, v.cap)
    }

    /// Takes back what `into_raw_parts` gave.
    ///
    /// # Safety
    /// The parts came from `into_raw_parts` of the same type (`len` may have changed within the initialized elements).
    pub unsafe fn from_raw_parts(ptr: *mut T, len: usize, cap: usize) -> Self {
        // SAFETY: `into_raw_parts` never gives null.
        Self { ptr: unsafe { NonNull::new_unchecked(ptr) }, len, cap, _p: PhantomData }
    }
}

impl<T, A: Allocator> Drop for Vec<T, A> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The elements and the memory are owned by the type invariant and not used again.
        unsafe {
            ptr::slice_from_raw_parts_mut(self.ptr.as_ptr(), self.len).drop_in_place();
            A::free(self.ptr.cast(), Self::layout(self.cap));
        }
    }
}

impl<T, A: Allocator> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T, A: Allocator> AsRef<[T]> for Vec<T, A> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T, A: Allocator> core::borrow::Borrow<[T]> for Vec<T, A> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T, A: Allocator> core::borrow::BorrowMut<[T]> for Vec<T, A> {
    fn borrow_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T, A: Allocator, const N: usize> From<Box<[T; N], A>> for Vec<T, A> {
    fn from(b: Box<[T; N], A>) -> Self {
        let first = Box::into_raw(b).cast::<T>();
        let cap = if size_of::<T>() == 0 { usize::MAX } else { N };
        // SAFETY: The box owned `N` values in memory that `A` allocated for them.
        unsafe { Self::from_raw_parts(first, N, cap) }
    }
}

impl<T: fmt::Debug, A: Allocator> fmt::Debug for Vec<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

macro_rules! impl_eq {
    ([$($vars:tt)*] $rhs:ty) => {
        impl<T: PartialEq<U>, U, A: Allocator, $($vars)*> PartialEq<$rhs> for Vec<T, A> {
            #[inline]
            fn eq(&self, other: &$rhs) -> bool {
                self.as_slice() == &other[..]
            }
        }
    };
}

impl_eq!([A2: Allocator] Vec<U, A2>);
impl_eq!([][U]);
impl_eq!([] & [U]);
impl_eq!([const N: usize] [U; N]);
impl_eq!([const N: usize] &[U; N]);

impl<T: Eq, A: Allocator> Eq for Vec<T, A> {}

/// Appends formatted text (the vector grows with `GFP_KERNEL`).
impl<A: Allocator> fmt::Write for Vec<u8, A> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.extend_from_slice(s.as_bytes(), crate::flags::GFP_KERNEL).map_err(|_| fmt::Error)
    }
}

/// A `KVec` of the given elements: `kvec![1, 2, 3]` or `kvec![0; n]`, each a `Result`; allocates with `GFP_KERNEL`.
#[macro_export]
macro_rules! kvec {
    () => { Ok::<$crate::KVec<_>, $crate::AllocError>($crate::KVec::new()) };
    ($value:expr; $n:expr) => { $crate::KVec::from_elem($value, $n, $crate::flags::GFP_KERNEL) };
    ($($value:expr),+ $(,)?) => {{
        let mut v = $crate::KVec::new();
        match v.extend([$($value),+], $crate::flags::GFP_KERNEL) {
            Ok(()) => Ok(v),
            Err(e) => Err::<$crate::KVec<_>, $crate::AllocError>(e),
        }
    }};
}
