// SPDX-License-Identifier: GPL-2.0
//! `KBox`: one owned value in kernel memory (R4L's `kernel::alloc::kbox`). No locks.
//!
//! ```
//! let number = KBox::new(24_u64, GFP_KERNEL)?;
//! assert_eq!(*number, 24);
//! let slice: KBox<[u8]> = KBox::new([1, 2, 3], GFP_KERNEL)?;
//! assert_eq!(slice.len(), 3);
//! # Ok::<(), Error>(())
//! ```

use crate::allocator::{Allocator, KVmalloc, Kmalloc, Vmalloc};
use crate::{AllocError, Flags};
use core::alloc::Layout;
use core::fmt;
use core::marker::{CoercePointee, PhantomData};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;
use pinned_init::{InPlaceWrite, Init, PinInit, Zeroable, ZeroableOption};

/// An owned value in memory of the allocator `A`.
///
/// # Invariants
/// The pointer was allocated by `A` with the layout of the value it points to (dangling for size 0), which is owned.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct Box<#[pointee] T: ?Sized, A: Allocator>(NonNull<T>, PhantomData<A>);

/// A box from `kmalloc`.
pub type KBox<T> = Box<T, Kmalloc>;
/// A box from `vmalloc`.
pub type VBox<T> = Box<T, Vmalloc>;
/// A box from `kvmalloc`.
pub type KVBox<T> = Box<T, KVmalloc>;

// SAFETY: A box owns its value as a field would.
unsafe impl<T: ?Sized + Send, A: Allocator> Send for Box<T, A> {}
// SAFETY: A box owns its value as a field would.
unsafe impl<T: ?Sized + Sync, A: Allocator> Sync for Box<T, A> {}

impl<T: ?Sized, A: Allocator> Box<T, A> {
    /// Takes back what `into_raw` gave.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type and is not owned by anything else.
    #[inline]
    pub const unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: `into_raw` never gives null.
        Self(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    /// Gives the value up as a pointer; `from_raw` takes it back, else it leaks.
    #[inline]
    pub fn into_raw(b: Self) -> *mut T {
        ManuallyDrop::new(b).0.as_ptr()
    }

    /// Leaks the value.
    #[inline]
    pub fn leak<'a>(b: Self) -> &'a mut T {
        // SAFETY: The pointer is valid by the type invariant, and nothing else owns it now.
        unsafe { &mut *Self::into_raw(b) }
    }

    /// Pins what is boxed already.
    #[inline]
    pub fn into_pin(b: Self) -> Pin<Self> {
        // SAFETY: A box does not move its value, and drops it in place.
        unsafe { Pin::new_unchecked(b) }
    }
}

impl<T, A: Allocator> Box<T, A> {
    /// Boxes `value`.
    #[inline]
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        let b = Self::new_uninit(flags)?;
        Ok(Box::write(b, value))
    }

    /// Boxes what `make` returns: an optimizing compiler builds a large value where it stays, not on the stack.
    #[inline(always)]
    pub fn new_with(make: impl FnOnce() -> T, flags: Flags) -> Result<Self, AllocError> {
        let mut b = Self::new_uninit(flags)?;
        (*b).write(make());
        // SAFETY: Just written.
        Ok(unsafe { b.assume_init() })
    }

    /// Boxes and pins `value`.
    #[inline]
    pub fn pin(value: T, flags: Flags) -> Result<Pin<Self>, AllocError> {
        Ok(Self::into_pin(Self::new(value, flags)?))
    }

    /// Memory for a value that is written later: for what is too large for the stack.
    #[inline]
    pub fn new_uninit(flags: Flags) -> Result<Box<MaybeUninit<T>, A>, AllocError> {
        let ptr = A::alloc(Layout::new::<T>(), flags)?;
        Ok(Box(ptr.cast(), PhantomData))
    }

    /// Boxes a value whose bytes are all zero.
    pub fn zeroed(flags: Flags) -> Result<Self, AllocError>
    where
        T: Zeroable,
    {
        let b = Self::new_uninit(flags | crate::flags::__GFP_ZERO)?;
        // SAFETY: The memory is zeroed, which is a valid value of a `Zeroable` type.
        Ok(unsafe { b.assume_init() })
    }

    /// Boxes and pins a slice of `len` values, each built where it stays.
    pub fn pin_slice<Func, Item, E>(mut init: Func, len: usize, flags: Flags) -> Result<Pin<Box<[T], A>>, E>
    where
        Func: FnMut(usize) -> Item,
        Item: PinInit<T, E>,
        E: From<AllocError>,
    {
        let mut values = crate::Vec::<T, A>::with_capacity(len, flags)?;
        for i in 0..len {
            let slot = values.spare_capacity_mut().as_mut_ptr().cast::<T>();
            // SAFETY: There is room for `len` values and `i` are there, so the slot is memory for one more. It does not move
            // any more: the vector is full exactly at the end.
            unsafe {
                init(i).__pinned_init(slot)?;
                values.set_len(i + 1);
            }
        }
        let (first, len, cap) = values.into_raw_parts();
        let slice = core::ptr::slice_from_raw_parts_mut(first, len);
        debug_assert!(len == cap || size_of::<T>() == 0);
        // SAFETY: The memory was allocated by `A` for exactly these values, which are initialized.
        Ok(Box::into_pin(unsafe { Box::from_raw(slice) }))
    }

    /// Moves the value out and frees the memory.
    #[inline]
    pub fn into_inner(b: Self) -> T {
        let raw = Self::into_raw(b);
        // SAFETY: The box owned an initialized value, which is moved out here once; then only the memory is freed.
        unsafe {
            let value = raw.read();
            drop(Box::<MaybeUninit<T>, A>::from_raw(raw.cast()));
            value
        }
    }

    /// Drops the value but keeps the memory.
    #[inline]
    pub fn drop_contents(b: Self) -> Box<MaybeUninit<T>, A> {
        let raw = Self::into_raw(b);
        // SAFETY: The box owned an initialized value; the memory is taken over as uninitialized.
        unsafe {
            raw.drop_in_place();
            Box::from_raw(raw.cast())
        }
    }
}

impl<T, A: Allocator> Box<MaybeUninit<T>, A> {
    /// The value is there now.
    ///
    /// # Safety
    /// The value was initialized.
    #[inline]
    pub unsafe fn assume_init(self) -> Box<T, A> {
        let raw = Self::into_raw(self);
        // SAFETY: Same memory, same layout; the caller says that it is initialized.
        unsafe { Box::from_raw(raw.cast()) }
    }

    /// Writes the value.
    #[inline]
    pub fn write(mut self, value: T) -> Box<T, A> {
        (*self).write(value);
        // SAFETY: Just written.
        unsafe { self.assume_init() }
    }
}

impl<T: Copy, A: Allocator, const N: usize> Box<[T; N], A> {
    /// An array of `N` times `value`, never on the stack.
    pub fn new_array(value: T, flags: Flags) -> Result<Self, AllocError> {
        let mut b = Box::<[T; N], A>::new_uninit(flags)?;
        let first = b.as_mut_ptr().cast::<T>();
        for i in 0..N {
            // SAFETY: `i` is below `N`, the length of the array the memory was made for.
            unsafe { first.add(i).write(value) };
        }
        // SAFETY: All elements are written.
        Ok(unsafe { b.assume_init() })
    }
}

impl<T: ?Sized, A: Allocator> Drop for Box<T, A> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The value is valid and owned by the type invariant; it is not used again.
        unsafe {
            let layout = Layout::for_value(self.0.as_ref());
            self.0.as_ptr().drop_in_place();
            A::free(self.0.cast(), layout);
        }
    }
}

impl<T: ?Sized, A: Allocator> Deref for Box<T, A> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: Valid by the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for Box<T, A> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Valid by the type invariant, and `self` is borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl<T: ?Sized, A: Allocator> Unpin for Box<T, A> {}

impl<T: ?Sized, A: Allocator> From<Box<T, A>> for Pin<Box<T, A>> {
    fn from(b: Box<T, A>) -> Self {
        Box::into_pin(b)
    }
}

impl<T: ?Sized, A: Allocator> AsRef<T> for Box<T, A> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: Allocator> AsMut<T> for Box<T, A> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized, A: Allocator> core::borrow::Borrow<T> for Box<T, A> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: Allocator> core::borrow::BorrowMut<T> for Box<T, A> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

// SAFETY: A box is a pointer that is never null, so `None` is all zeroes.
unsafe impl<T, A: Allocator> ZeroableOption for Box<T, A> {}

impl<T, A: Allocator> InPlaceWrite<T> for Box<MaybeUninit<T>, A> {
    type Initialized = Box<T, A>;

    fn write_init<E>(mut self, init: impl Init<T, E>) -> Result<Self::Initialized, E> {
        // SAFETY: The slot is memory for a `T`; on an error only the memory is freed.
        unsafe {
            init.__init(self.as_mut_ptr())?;
            Ok(self.assume_init())
        }
    }

    fn write_pin_init<E>(mut self, init: impl PinInit<T, E>) -> Result<Pin<Self::Initialized>, E> {
        // SAFETY: As in `write_init`, and the value is pinned at once.
        unsafe {
            init.__pinned_init(self.as_mut_ptr())?;
            Ok(Box::into_pin(self.assume_init()))
        }
    }
}

impl<T: ?Sized + fmt::Debug, A: Allocator> fmt::Debug for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, A: Allocator> fmt::Display for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq, A: Allocator> PartialEq for Box<T, A> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq, A: Allocator> Eq for Box<T, A> {}
