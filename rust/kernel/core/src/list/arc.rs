// SPDX-License-Identifier: GPL-2.0
//! `ListArc`: the one reference to a value that may put it into a list.

use crate::sync::atomic::{AtomicFlag, ordering};
use crate::sync::{Arc, ArcBorrow, UniqueArc};
use core::marker::{CoercePointee, PhantomPinned};
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use kalloc::{AllocError, Flags};
use pin_init::{Init, PinInit};

/// Types of which there are [`ListArc`]s: [`impl_list_arc_safe!`](crate::impl_list_arc_safe) implements it. A value may remember
/// whether its [`ListArc`] is there; it may think so when it is not, but never the other way round.
pub trait ListArcSafe<const ID: u64 = 0> {
    /// The value's [`ListArc`] is there now.
    ///
    /// # Safety
    /// It was not before.
    unsafe fn on_create_list_arc_from_unique(self: Pin<&mut Self>);

    /// The value's [`ListArc`] is gone.
    ///
    /// # Safety
    /// It is, and the value thinks that it is not.
    unsafe fn on_drop_list_arc(&self);
}

/// Values that know whether their [`ListArc`] is there, so that one can be made at any time.
///
/// # Safety
/// [`Self::try_new_list_arc`] gives `true` only if there is none, and thinks that there is one from then on.
pub unsafe trait TryNewListArc<const ID: u64 = 0>: ListArcSafe<ID> {
    /// Whether a [`ListArc`] may be made, which then is.
    fn try_new_list_arc(&self) -> bool;
}

/// Says how a type knows of its [`ListArc`]: `impl ListArcSafe<0> for Type { untracked; }` (it does not: there is only the one that
/// is made with the value), or `{ tracked_by field: Type; }` (a field does: [`AtomicTracker`](crate::list::AtomicTracker)).
#[macro_export]
macro_rules! impl_list_arc_safe {
    () => {};
    (impl$({$($generics:tt)*})? ListArcSafe<$id:tt> for $self:ty { untracked; } $($rest:tt)*) => {
        impl$(<$($generics)*>)? $crate::list::ListArcSafe<$id> for $self {
            unsafe fn on_create_list_arc_from_unique(self: ::core::pin::Pin<&mut Self>) {}
            unsafe fn on_drop_list_arc(&self) {}
        }

        $crate::impl_list_arc_safe! { $($rest)* }
    };
    (impl$({$($generics:tt)*})? ListArcSafe<$id:tt> for $self:ty { tracked_by $field:ident: $type:ty; } $($rest:tt)*) => {
        impl$(<$($generics)*>)? $crate::list::ListArcSafe<$id> for $self {
            unsafe fn on_create_list_arc_from_unique(self: ::core::pin::Pin<&mut Self>) {
                ::pin_init::assert_pinned!($self, $field, $type, inline);

                // SAFETY: The field is pinned with the value, as just checked; the rest is the caller's contract.
                unsafe {
                    let field = self.map_unchecked_mut(|me| &mut me.$field);
                    <$type as $crate::list::ListArcSafe<$id>>::on_create_list_arc_from_unique(field)
                }
            }

            unsafe fn on_drop_list_arc(&self) {
                // SAFETY: The caller's contract.
                unsafe { <$type as $crate::list::ListArcSafe<$id>>::on_drop_list_arc(&self.$field) }
            }
        }

        // SAFETY: As the field's.
        unsafe impl$(<$($generics)*>)? $crate::list::TryNewListArc<$id> for $self
        where
            $type: $crate::list::TryNewListArc<$id>,
        {
            fn try_new_list_arc(&self) -> bool {
                <$type as $crate::list::TryNewListArc<$id>>::try_new_list_arc(&self.$field)
            }
        }

        $crate::impl_list_arc_safe! { $($rest)* }
    };
}

/// An [`Arc`] of which there is one for each value and `ID`; others are plain [`Arc`]s.
///
/// # Invariants
/// It is the only one of its value with this `ID`, and the value thinks that it is there.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct ListArc<#[pointee] T: ListArcSafe<ID> + ?Sized, const ID: u64 = 0> {
    arc: Arc<T>,
}

impl<T: ListArcSafe<ID>, const ID: u64> ListArc<T, ID> {
    /// A new value.
    #[inline]
    pub fn new(contents: T, flags: Flags) -> Result<Self, AllocError> {
        Ok(Self::from(UniqueArc::new(contents, flags)?))
    }

    /// A new value, built in place.
    #[inline]
    pub fn pin_init<E: From<AllocError>>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self, E> {
        Ok(Self::from(UniqueArc::new_uninit(flags)?.pin_init_with(init)?))
    }

    /// A new value, built in place.
    #[inline]
    pub fn init<E: From<AllocError>>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E> {
        Self::pin_init(init, flags)
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> From<UniqueArc<T>> for ListArc<T, ID> {
    #[inline]
    fn from(unique: UniqueArc<T>) -> Self {
        Self::from(Pin::from(unique))
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> From<Pin<UniqueArc<T>>> for ListArc<T, ID> {
    #[inline]
    fn from(mut unique: Pin<UniqueArc<T>>) -> Self {
        // SAFETY: It is the only reference.
        unsafe { unique.as_mut().on_create_list_arc_from_unique() };
        Self { arc: Arc::from(unique) }
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> ListArc<T, ID> {
    /// Two, with different `ID`s.
    #[inline]
    pub fn pair_from_unique<const ID2: u64>(unique: UniqueArc<T>) -> (Self, ListArc<T, ID2>)
    where
        T: ListArcSafe<ID2>,
    {
        Self::pair_from_pin_unique(Pin::from(unique))
    }

    /// Two, with different `ID`s.
    #[inline]
    pub fn pair_from_pin_unique<const ID2: u64>(mut unique: Pin<UniqueArc<T>>) -> (Self, ListArc<T, ID2>)
    where
        T: ListArcSafe<ID2>,
    {
        const { assert!(ID != ID2, "the ids are the same") };
        // SAFETY: It is the only reference, and the two are different.
        unsafe {
            <T as ListArcSafe<ID>>::on_create_list_arc_from_unique(unique.as_mut());
            <T as ListArcSafe<ID2>>::on_create_list_arc_from_unique(unique.as_mut());
        }
        let arc = Arc::from(unique);
        (Self { arc: arc.clone() }, ListArc { arc })
    }

    /// That of a value that has none; else the [`Arc`] again.
    pub fn try_from_arc(arc: Arc<T>) -> Result<Self, Arc<T>>
    where
        T: TryNewListArc<ID>,
    {
        if arc.try_new_list_arc() { Ok(Self { arc }) } else { Err(arc) }
    }

    /// That of a value that has none.
    pub fn try_from_arc_borrow(arc: ArcBorrow<'_, T>) -> Option<Self>
    where
        T: TryNewListArc<ID>,
    {
        arc.try_new_list_arc().then(|| Self { arc: Arc::from(arc) })
    }

    /// That of a value that has none; else the [`Arc`] is dropped, which is not the last one.
    pub fn try_from_arc_or_drop(arc: Arc<T>) -> Option<Self>
    where
        T: TryNewListArc<ID>,
    {
        Self::try_from_arc(arc).ok()
    }

    /// The [`Arc`] in it, with the value not told.
    #[inline]
    fn keep_arc(self) -> Arc<T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: It is not used any more.
        unsafe { core::ptr::read(&this.arc) }
    }

    /// As a pointer to the value; [`Self::from_raw`] takes it back.
    #[inline]
    pub fn into_raw(self) -> *const T {
        Arc::into_raw(self.keep_arc())
    }

    /// Takes back what [`Self::into_raw`] gave.
    ///
    /// # Safety
    /// It came from there, or from [`Arc::into_raw`] of a value that has no `ListArc` but thinks so; and it was not taken back.
    #[inline]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: The caller's contract.
        Self { arc: unsafe { Arc::from_raw(ptr) } }
    }

    /// Makes it a plain [`Arc`].
    #[inline]
    pub fn into_arc(self) -> Arc<T> {
        let arc = self.keep_arc();
        // SAFETY: It was, and is not any more.
        unsafe { arc.on_drop_list_arc() };
        arc
    }

    /// A plain [`Arc`] of its value.
    #[inline]
    pub fn clone_arc(&self) -> Arc<T> {
        self.arc.clone()
    }

    /// As a plain [`Arc`].
    #[inline]
    pub fn as_arc(&self) -> &Arc<T> {
        &self.arc
    }

    /// As something that can become an [`Arc`].
    #[inline]
    pub fn as_arc_borrow(&self) -> ArcBorrow<'_, T> {
        self.arc.as_arc_borrow()
    }

    /// Whether both are of the same value: they cannot be two.
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        Arc::ptr_eq(&this.arc, &other.arc)
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> Deref for ListArc<T, ID> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.arc
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> Drop for ListArc<T, ID> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the value thinks that it is there, which it is no more.
        unsafe { self.arc.on_drop_list_arc() };
    }
}

impl<T: ListArcSafe<ID> + ?Sized, const ID: u64> AsRef<Arc<T>> for ListArc<T, ID> {
    #[inline]
    fn as_ref(&self) -> &Arc<T> {
        &self.arc
    }
}

/// A field that knows whether its value's [`ListArc`] is there.
///
/// # Invariants
/// If the flag is clear it is not.
#[repr(transparent)]
pub struct AtomicTracker<const ID: u64 = 0> {
    there: AtomicFlag,
    _pin: PhantomPinned,
}

impl<const ID: u64> AtomicTracker<ID> {
    /// That of a value that has none.
    pub fn new() -> impl PinInit<Self> {
        Self { there: AtomicFlag::new(false), _pin: PhantomPinned }
    }
}

impl<const ID: u64> ListArcSafe<ID> for AtomicTracker<ID> {
    unsafe fn on_create_list_arc_from_unique(self: Pin<&mut Self>) {
        // SAFETY: The flag is not pinned.
        *unsafe { self.get_unchecked_mut() }.there.get_mut() = true;
    }

    unsafe fn on_drop_list_arc(&self) {
        self.there.store(false, ordering::Release);
    }
}

// SAFETY: One caller alone finds it clear and sets it.
unsafe impl<const ID: u64> TryNewListArc<ID> for AtomicTracker<ID> {
    fn try_new_list_arc(&self) -> bool {
        self.there.cmpxchg(false, true, ordering::Acquire).is_ok()
    }
}
