// SPDX-License-Identifier: GPL-2.0
//! In-place initialization with `pinned_init` (R4L's `kernel::init`): values are built where they stay. No locks.

use crate::allocator::Allocator;
use crate::{AllocError, Arc, Box, Flags, UniqueArc};
use core::pin::Pin;
use errno::Error;
use pinned_init::{Init, PinInit};

/// A smart pointer that can build its value in place.
pub trait InPlaceInit<T>: Sized {
    /// `Self` with its value pinned: `Pin<Self>`, or `Self` where it pins always.
    type PinnedSelf;

    /// Allocates and builds a pinned value, keeping the initializer's error type.
    fn try_pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self::PinnedSelf, E>
    where
        E: From<AllocError>;

    /// Allocates and builds a pinned value.
    fn pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> errno::Result<Self::PinnedSelf>
    where
        Error: From<E>;

    /// Allocates and builds a value, keeping the initializer's error type.
    fn try_init<E>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E>
    where
        E: From<AllocError>;

    /// Allocates and builds a value.
    fn init<E>(init: impl Init<T, E>, flags: Flags) -> errno::Result<Self>
    where
        Error: From<E>;
}

/// What building in place reports before the caller picks an error type.
enum Failure<E> {
    Alloc,
    Init(E),
}

impl<E: From<AllocError>> Failure<E> {
    fn keep(self) -> E {
        match self {
            Failure::Alloc => AllocError.into(),
            Failure::Init(e) => e,
        }
    }
}

impl<E> Failure<E> {
    fn errno(self) -> Error
    where
        Error: From<E>,
    {
        match self {
            Failure::Alloc => AllocError.into(),
            Failure::Init(e) => e.into(),
        }
    }
}

#[inline]
fn box_pin<T, A: Allocator, E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Pin<Box<T, A>>, Failure<E>> {
    let mut b = Box::<T, A>::new_uninit(flags).map_err(|_| Failure::Alloc)?;
    // SAFETY: The slot is fresh memory for a `T`; on an error only the memory is freed; the value is pinned at once.
    unsafe {
        init.__pinned_init(b.as_mut_ptr()).map_err(Failure::Init)?;
        Ok(Box::into_pin(b.assume_init()))
    }
}

#[inline]
fn box_init<T, A: Allocator, E>(init: impl Init<T, E>, flags: Flags) -> Result<Box<T, A>, Failure<E>> {
    let mut b = Box::<T, A>::new_uninit(flags).map_err(|_| Failure::Alloc)?;
    // SAFETY: The slot is fresh memory for a `T`; on an error only the memory is freed.
    unsafe {
        init.__init(b.as_mut_ptr()).map_err(Failure::Init)?;
        Ok(b.assume_init())
    }
}

#[inline]
fn unique_pin<T, E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Pin<UniqueArc<T>>, Failure<E>> {
    let mut u = UniqueArc::<T>::new_uninit(flags).map_err(|_| Failure::Alloc)?;
    // SAFETY: The slot is fresh memory for a `T`; on an error only the memory is freed; the value is pinned at once.
    unsafe {
        init.__pinned_init(u.as_mut_ptr()).map_err(Failure::Init)?;
        Ok(Pin::new_unchecked(u.assume_init()))
    }
}

#[inline]
fn unique_init<T, E>(init: impl Init<T, E>, flags: Flags) -> Result<UniqueArc<T>, Failure<E>> {
    let mut u = UniqueArc::<T>::new_uninit(flags).map_err(|_| Failure::Alloc)?;
    // SAFETY: The slot is fresh memory for a `T`; on an error only the memory is freed.
    unsafe {
        init.__init(u.as_mut_ptr()).map_err(Failure::Init)?;
        Ok(u.assume_init())
    }
}

macro_rules! impl_in_place {
    ($pinned:ty, $pin:ident, $init:ident, $($map:expr)?) => {
        type PinnedSelf = $pinned;

        #[inline]
        fn try_pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self::PinnedSelf, E>
        where
            E: From<AllocError>,
        {
            $pin(init, flags)$(.map($map))?.map_err(Failure::keep)
        }

        #[inline]
        fn pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> errno::Result<Self::PinnedSelf>
        where
            Error: From<E>,
        {
            $pin(init, flags)$(.map($map))?.map_err(Failure::errno)
        }

        #[inline]
        fn try_init<E>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E>
        where
            E: From<AllocError>,
        {
            $init(init, flags)$(.map($map))?.map_err(Failure::keep)
        }

        #[inline]
        fn init<E>(init: impl Init<T, E>, flags: Flags) -> errno::Result<Self>
        where
            Error: From<E>,
        {
            $init(init, flags)$(.map($map))?.map_err(Failure::errno)
        }
    };
}

impl<T, A: Allocator> InPlaceInit<T> for Box<T, A> {
    impl_in_place!(Pin<Self>, box_pin, box_init,);
}

impl<T> InPlaceInit<T> for UniqueArc<T> {
    impl_in_place!(Pin<Self>, unique_pin, unique_init,);
}

impl<T> InPlaceInit<T> for Arc<T> {
    impl_in_place!(Self, unique_pin, unique_init, Arc::from);
}
