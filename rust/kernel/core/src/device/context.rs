// SPDX-License-Identifier: GPL-2.0
//! What is known of a device, as types, and how one context becomes another.

use core::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// A context.
pub trait DeviceContext: sealed::Sealed {}
/// A context in which the driver's data is there.
pub trait InternalBoundContext: DeviceContext {}

/// Nothing is known: a counted reference.
pub struct Normal;
/// A driver is bound, and stays so.
pub struct Bound;
/// As [`Bound`], inside of this crate.
pub struct BoundInternal;
/// In a call of the bus's core, which holds the device's lock.
pub struct Core<'a>(PhantomData<fn(&'a ()) -> &'a ()>);
/// As [`Core`], inside of this crate.
pub struct CoreInternal<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

impl sealed::Sealed for Normal {}
impl sealed::Sealed for Bound {}
impl sealed::Sealed for BoundInternal {}
impl sealed::Sealed for Core<'_> {}
impl sealed::Sealed for CoreInternal<'_> {}
impl DeviceContext for Normal {}
impl DeviceContext for Bound {}
impl DeviceContext for BoundInternal {}
impl DeviceContext for Core<'_> {}
impl DeviceContext for CoreInternal<'_> {}
impl InternalBoundContext for BoundInternal {}
impl InternalBoundContext for CoreInternal<'_> {}

#[doc(hidden)]
#[macro_export]
macro_rules! __impl_device_context_deref {
    // SAFETY: The caller says that the two are the same inside, and that the second promises less.
    (unsafe { $device:ident, [$($lt:lifetime)?] $src:ty => $dst:ty }) => {
        impl$(<$lt>)? ::core::ops::Deref for $device<$src> {
            type Target = $device<$dst>;

            fn deref(&self) -> &Self::Target {
                // SAFETY: The two are the same inside, and the second context promises less.
                unsafe { &*::core::ptr::from_ref(self).cast() }
            }
        }
    };
}

/// A device in a context can be used as one in a lesser context.
#[macro_export]
macro_rules! impl_device_context_deref {
    // SAFETY: The caller says that the type is the same in every context.
    (unsafe { $device:ident }) => {
        // SAFETY: As the caller of this says.
        $crate::__impl_device_context_deref!(unsafe {
            $device, ['a] $crate::device::CoreInternal<'a> => $crate::device::Core<'a>
        });
        // SAFETY: As the caller of this says.
        $crate::__impl_device_context_deref!(unsafe { $device, ['a] $crate::device::Core<'a> => $crate::device::Bound });
        // SAFETY: As the caller of this says.
        $crate::__impl_device_context_deref!(unsafe { $device, [] $crate::device::BoundInternal => $crate::device::Bound });
        // SAFETY: As the caller of this says.
        $crate::__impl_device_context_deref!(unsafe { $device, [] $crate::device::Bound => $crate::device::Normal });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __impl_device_context_into_aref {
    ([$($lt:lifetime)?] $src:ty, $device:ident) => {
        impl$(<$lt>)? ::core::convert::From<&$device<$src>> for $crate::sync::aref::ARef<$device> {
            fn from(device: &$device<$src>) -> Self {
                (&**device).into()
            }
        }
    };
}

/// A device in any context can become a counted reference.
#[macro_export]
macro_rules! impl_device_context_into_aref {
    ($device:ident) => {
        $crate::__impl_device_context_into_aref!(['a] $crate::device::CoreInternal<'a>, $device);
        $crate::__impl_device_context_into_aref!(['a] $crate::device::Core<'a>, $device);
        $crate::__impl_device_context_into_aref!([] $crate::device::BoundInternal, $device);
        $crate::__impl_device_context_into_aref!([] $crate::device::Bound, $device);
    };
}
