// SPDX-License-Identifier: GPL-2.0
//! Numbers whose bits are fields: `kernel::bitfield`.
//!
//! ```
//! kernel::bitfield! {
//!     /// A date as FAT has it.
//!     pub struct Date(u16) {
//!         /// Years since 1980.
//!         15:9 year;
//!         8:5 month;
//!         4:0 day;
//!     }
//! }
//!
//! let date = Date::zeroed().with_const_month::<12>().with_const_day::<24>();
//! assert_eq!(date.into_raw(), 12 << Date::MONTH_SHIFT | 24);
//! // 32 does not fit into five bits.
//! assert!(date.try_with_day(32u32).is_err());
//! ```
//!
//! A field `high:low name;` gives `name()`, a [`Bounded`](crate::num::Bounded), and `with_name`, which takes what fits by its type;
//! `with_const_name::<V>()`, checked when compiled; `try_with_name` (`EOVERFLOW`); and `NAME_MASK`, `NAME_SHIFT` and `NAME_RANGE`.
//! Fields must lie within the number: this does not compile.
//!
//! ```compile_fail
//! kernel::bitfield! {
//!     struct Wide(u16) {
//!         16:9 more;
//!     }
//! }
//! ```
//!
//! `name => Type` converts with `From`, `name ?=> Type` with `TryFrom`. Setters leave all other bits as they are.

/// Declares a number with fields: see [the module](mod@crate::bitfield).
#[macro_export]
macro_rules! bitfield {
    ($(#[$attr:meta])* $vis:vis struct $name:ident ($raw:ty) { $($fields:tt)* }) => {
        $(#[$attr])*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        $vis struct $name {
            inner: $raw,
        }

        #[allow(dead_code)]
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

            $crate::__bitfield!(@fields $vis $raw; $($fields)*);
        }

        // Also of fields that nobody uses.
        const _: () = {
            $crate::__bitfield!(@check $raw; $($fields)*);
        };

        // SAFETY: A number may be zero.
        unsafe impl $crate::macros::Zeroable for $name {}

        impl ::core::convert::From<$name> for $raw {
            #[inline(always)]
            fn from(value: $name) -> Self {
                value.inner
            }
        }

        impl ::core::convert::From<$raw> for $name {
            #[inline(always)]
            fn from(raw: $raw) -> Self {
                Self { inner: raw }
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let mut shown = f.debug_struct(::core::stringify!($name));
                shown.field("<raw>", &::core::format_args!("{:#x}", self.inner));
                $crate::__bitfield!(@shown self shown; $($fields)*);
                shown.finish()
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bitfield {
    (@check $raw:ty;) => {};
    (@check $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident; $($rest:tt)*) => {
        ::core::assert!($high >= $low, ::core::concat!("the bits of `", ::core::stringify!($field), "` end before they begin"));
        ::core::assert!($high < <$raw>::BITS, ::core::concat!("`", ::core::stringify!($field), "` is not in the number"));
        $crate::__bitfield!(@check $raw; $($rest)*);
    };
    (@check $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident => $ty:ty; $($rest:tt)*) => {
        $crate::__bitfield!(@check $raw; $high : $low $field; $($rest)*);
    };
    (@check $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident ?=> $ty:ty; $($rest:tt)*) => {
        $crate::__bitfield!(@check $raw; $high : $low $field; $($rest)*);
    };
    (@shown $self:ident $shown:ident;) => {};
    (@shown $self:ident $shown:ident; $(#[$attr:meta])* $high:literal : $low:literal $field:ident; $($rest:tt)*) => {
        $shown.field(::core::stringify!($field), &$self.$field());
        $crate::__bitfield!(@shown $self $shown; $($rest)*);
    };
    (@shown $self:ident $shown:ident; $(#[$attr:meta])* $high:literal : $low:literal $field:ident => $ty:ty; $($rest:tt)*) => {
        $shown.field(::core::stringify!($field), &$self.$field());
        $crate::__bitfield!(@shown $self $shown; $($rest)*);
    };
    (@shown $self:ident $shown:ident; $(#[$attr:meta])* $high:literal : $low:literal $field:ident ?=> $ty:ty; $($rest:tt)*) => {
        $shown.field(::core::stringify!($field), &$self.$field());
        $crate::__bitfield!(@shown $self $shown; $($rest)*);
    };
    (@fields $vis:vis $raw:ty;) => {};
    (@fields $vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident; $($rest:tt)*) => {
        $crate::__bitfield!(@bits $vis $raw, $high, $low, $field);
        $crate::macros::paste! {
            $(#[$attr])*
            #[doc = ""]
            #[doc = "The field's value."]
            #[inline(always)]
            $vis fn $field(self) -> $crate::num::Bounded<$raw, { $high + 1 - $low }> {
                $crate::num::Bounded::of_low_bits(self.inner >> $low)
            }

            $(#[$attr])*
            #[doc = ""]
            #[doc = "Sets the field to a constant."]
            #[inline(always)]
            $vis const fn [<with_const_ $field>]<const VALUE: $raw>(self) -> Self {
                self.[<__with_ $field>]($crate::num::Bounded::<$raw, { $high + 1 - $low }>::new::<VALUE>())
            }

            $(#[$attr])*
            #[doc = ""]
            #[doc = "Sets the field."]
            #[inline(always)]
            $vis fn [<with_ $field>]<T>(self, value: T) -> Self
            where
                T: ::core::convert::Into<$crate::num::Bounded<$raw, { $high + 1 - $low }>>,
            {
                self.[<__with_ $field>](value.into())
            }

            $(#[$attr])*
            #[doc = ""]
            #[doc = "Sets the field, if the value fits: else `EOVERFLOW`."]
            #[inline(always)]
            $vis fn [<try_with_ $field>]<T>(self, value: T) -> $crate::error::Result<Self>
            where
                T: $crate::num::TryIntoBounded<$raw, { $high + 1 - $low }>,
            {
                match value.try_into_bounded() {
                    ::core::option::Option::Some(value) => ::core::result::Result::Ok(self.[<__with_ $field>](value)),
                    ::core::option::Option::None => ::core::result::Result::Err($crate::error::code::EOVERFLOW),
                }
            }
        }
        $crate::__bitfield!(@fields $vis $raw; $($rest)*);
    };
    (@fields $vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident => $ty:ty; $($rest:tt)*) => {
        $crate::__bitfield!(@bits $vis $raw, $high, $low, $field);
        $crate::macros::paste! {
            $(#[$attr])*
            #[doc = ""]
            #[doc = "The field's value."]
            #[inline(always)]
            $vis fn $field(self) -> $ty {
                $crate::num::Bounded::<$raw, { $high + 1 - $low }>::of_low_bits(self.inner >> $low).into()
            }

            $(#[$attr])*
            #[doc = ""]
            #[doc = "Sets the field."]
            #[inline(always)]
            $vis fn [<with_ $field>](self, value: $ty) -> Self {
                self.[<__with_ $field>](value.into())
            }
        }
        $crate::__bitfield!(@fields $vis $raw; $($rest)*);
    };
    (@fields $vis:vis $raw:ty; $(#[$attr:meta])* $high:literal : $low:literal $field:ident ?=> $ty:ty; $($rest:tt)*) => {
        $crate::__bitfield!(@bits $vis $raw, $high, $low, $field);
        $crate::macros::paste! {
            $(#[$attr])*
            #[doc = ""]
            #[doc = "The field's value, if it is one."]
            #[inline(always)]
            $vis fn $field(
                self,
            ) -> ::core::result::Result<
                $ty,
                <$ty as ::core::convert::TryFrom<$crate::num::Bounded<$raw, { $high + 1 - $low }>>>::Error,
            > {
                $crate::num::Bounded::<$raw, { $high + 1 - $low }>::of_low_bits(self.inner >> $low).try_into()
            }

            $(#[$attr])*
            #[doc = ""]
            #[doc = "Sets the field."]
            #[inline(always)]
            $vis fn [<with_ $field>](self, value: $ty) -> Self {
                self.[<__with_ $field>](value.into())
            }
        }
        $crate::__bitfield!(@fields $vis $raw; $($rest)*);
    };
    // What all kinds of fields have.
    (@bits $vis:vis $raw:ty, $high:literal, $low:literal, $field:ident) => {
        $crate::macros::paste! {
            #[doc = "The bits of the field."]
            $vis const [<$field:upper _RANGE>]: ::core::ops::RangeInclusive<u8> = $low..=$high;
            #[doc = "Those bits set."]
            $vis const [<$field:upper _MASK>]: $raw = <$raw>::MAX >> (<$raw>::BITS - ($high + 1 - $low)) << $low;
            #[doc = "The first of them."]
            $vis const [<$field:upper _SHIFT>]: u32 = $low;

            #[inline(always)]
            const fn [<__with_ $field>](self, value: $crate::num::Bounded<$raw, { $high + 1 - $low }>) -> Self {
                Self { inner: self.inner & !Self::[<$field:upper _MASK>] | value.get() << $low }
            }
        }
    };
}
