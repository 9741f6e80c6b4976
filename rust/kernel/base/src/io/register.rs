// SPDX-License-Identifier: GPL-2.0
//! Registers with names and fields: [`register!`](crate::register), as Rust-for-Linux has it for registers at one place and for
//! arrays of them.

use super::IoWord;
use core::marker::PhantomData;

/// A register's value.
pub trait Register: Copy {
    /// Its width.
    type Raw: IoWord;

    /// The value of these bits.
    fn from_raw(raw: Self::Raw) -> Self;

    /// Its bits.
    fn into_raw(self) -> Self::Raw;
}

/// A register that is at one place.
pub trait FixedRegister: Register {
    /// The place.
    const OFFSET: usize;
}

/// Registers that follow each other.
pub trait RegisterArray: Register {
    /// The first one's place.
    const OFFSET: usize;
    /// How many.
    const SIZE: usize;
    /// Bytes from one to the next.
    const STRIDE: usize;
}

/// A place where a register is.
pub trait Location: Copy {
    /// The register.
    type Register: Register;

    /// Where it is.
    fn offset(self) -> usize;
}

/// The place of a [`FixedRegister`].
pub struct Fixed<R>(PhantomData<fn() -> R>);

impl<R> Fixed<R> {
    /// The place.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Default for Fixed<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Clone for Fixed<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Fixed<R> {}

impl<R: FixedRegister> Location for Fixed<R> {
    type Register = R;

    #[inline(always)]
    fn offset(self) -> usize {
        R::OFFSET
    }
}

/// The place of one of a [`RegisterArray`].
pub struct Element<R>(usize, PhantomData<fn() -> R>);

impl<R> Clone for Element<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Element<R> {}

impl<R: RegisterArray> Location for Element<R> {
    type Register = R;

    #[inline(always)]
    fn offset(self) -> usize {
        // In bounds: the index was checked when this was made.
        R::OFFSET.wrapping_add(self.0.wrapping_mul(R::STRIDE))
    }
}

/// Places in an array of registers.
pub trait Array: RegisterArray {
    /// That of the register at `index`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    fn at(index: usize) -> Element<Self> {
        crate::build_assert::build_assert!(index < Self::SIZE, "index out of bounds");
        Element(index, PhantomData)
    }

    /// That of the register at `index`, if there is one.
    fn try_at(index: usize) -> Option<Element<Self>> {
        (index < Self::SIZE).then_some(Element(index, PhantomData))
    }
}

impl<R: RegisterArray> Array for R {}

/// Declares registers: `NAME(u32) @ 0x4 { 31:0 field; 7:4 other => Type; }`, `NAME(u32)[6] @ 0x10 { ... }`.
///
/// Each is a type with a method for each field, `with_` methods that change one, and `zeroed`; a constant of the same name is
/// the place of a register that has one.
#[macro_export]
macro_rules! register {
    () => {};
    (
        $(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) @ $offset:literal { $($fields:tt)* }
        $($rest:tt)*
    ) => {
        $crate::__register_type!($(#[$attr])* $vis $name ($raw) { $($fields)* });

        impl $crate::io::register::FixedRegister for $name {
            const OFFSET: usize = $offset;
        }

        #[allow(dead_code, missing_docs)]
        $vis const $name: $crate::io::register::Fixed<$name> = $crate::io::register::Fixed::new();

        $crate::register! { $($rest)* }
    };
    (
        $(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) [$size:expr] @ $offset:literal { $($fields:tt)* }
        $($rest:tt)*
    ) => {
        $crate::__register_type!($(#[$attr])* $vis $name ($raw) { $($fields)* });

        impl $crate::io::register::RegisterArray for $name {
            const OFFSET: usize = $offset;
            const SIZE: usize = $size;
            const STRIDE: usize = ::core::mem::size_of::<$raw>();
        }

        $crate::register! { $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register_type {
    ($(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) { $($fields:tt)* }) => {
        $(#[$attr])*
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        $vis struct $name {
            inner: $raw,
        }

        impl $crate::io::register::Register for $name {
            type Raw = $raw;

            #[inline(always)]
            fn from_raw(raw: $raw) -> Self {
                Self { inner: raw }
            }

            #[inline(always)]
            fn into_raw(self) -> $raw {
                self.inner
            }
        }

        #[allow(dead_code, missing_docs)]
        impl $name {
            /// All bits zero.
            #[inline(always)]
            $vis const fn zeroed() -> Self {
                Self { inner: 0 }
            }

            /// The value of these bits.
            #[inline(always)]
            $vis const fn from_raw(raw: $raw) -> Self {
                Self { inner: raw }
            }

            /// Its bits.
            #[inline(always)]
            $vis const fn into_raw(self) -> $raw {
                self.inner
            }

            $crate::__register_fields!($vis $raw; $($fields)*);
        }

        impl ::core::convert::From<$name> for $raw {
            fn from(value: $name) -> Self {
                value.inner
            }
        }

        impl ::core::convert::From<$raw> for $name {
            fn from(raw: $raw) -> Self {
                Self { inner: raw }
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::write!(f, ::core::concat!(::core::stringify!($name), "({:#x})"), self.inner)
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register_fields {
    ($vis:vis $raw:ty;) => {};
    ($vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident; $($rest:tt)*) => {
        $crate::__register_field!($vis $raw, $high, $low, $field, $crate::num::Bounded<$raw, { $high + 1 - $low }>, from);
        $crate::__register_fields!($vis $raw; $($rest)*);
    };
    ($vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident => $ty:ty; $($rest:tt)*) => {
        $crate::__register_field!($vis $raw, $high, $low, $field, $ty, from);
        $crate::__register_fields!($vis $raw; $($rest)*);
    };
    ($vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident ?=> $ty:ty; $($rest:tt)*) => {
        $crate::__register_field!($vis $raw, $high, $low, $field, $ty, try);
        $crate::__register_fields!($vis $raw; $($rest)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register_field {
    ($vis:vis $raw:ty, $high:literal, $low:literal, $field:ident, $ty:ty, from) => {
        /// The field.
        #[inline(always)]
        $vis fn $field(self) -> $ty {
            <$ty>::from($crate::num::Bounded::<$raw, { $high + 1 - $low }>::field(self.inner, $low))
        }

        $crate::__register_with!($vis $raw, $high, $low, $field, $ty);
    };
    ($vis:vis $raw:ty, $high:literal, $low:literal, $field:ident, $ty:ty, try) => {
        /// The field.
        #[inline(always)]
        $vis fn $field(
            self,
        ) -> ::core::result::Result<
            $ty,
            <$ty as ::core::convert::TryFrom<$crate::num::Bounded<$raw, { $high + 1 - $low }>>>::Error,
        > {
            <$ty>::try_from($crate::num::Bounded::<$raw, { $high + 1 - $low }>::field(self.inner, $low))
        }

        $crate::__register_with!($vis $raw, $high, $low, $field, $ty);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register_with {
    ($vis:vis $raw:ty, $high:literal, $low:literal, $field:ident, $ty:ty) => {
        $crate::macros::paste! {
            /// The register with this field.
            #[inline(always)]
            $vis fn [<with_ $field>](self, value: $ty) -> Self {
                let bits = $crate::num::Bounded::<$raw, { $high + 1 - $low }>::from(value);
                Self { inner: bits.put(self.inner, $low) }
            }
        }
    };
}
