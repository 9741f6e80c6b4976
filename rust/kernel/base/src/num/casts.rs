// SPDX-License-Identifier: GPL-2.0
//! Casts between integers that lose nothing: `kernel::num::casts`. Those of [`From`], and those that hold on every machine (or, in
//! [`arch`], on this one) though the language does not promise them.

/// Functions, for constants too, from a type to one that it always fits into.
macro_rules! lossless {
    ($($name:ident $from:ident => $into:ident;)*) => { $(
        #[doc = concat!("The `", stringify!($from), "` as a `", stringify!($into), "`: it always fits.")]
        #[inline]
        pub const fn $name(value: $from) -> $into {
            const { assert!($from::BITS <= $into::BITS) };
            value as $into
        }
    )* };
}
lossless! {
    u8_as_u16 u8 => u16; u8_as_u32 u8 => u32; u8_as_u64 u8 => u64; u8_as_usize u8 => usize;
    u16_as_u32 u16 => u32; u16_as_u64 u16 => u64; u16_as_usize u16 => usize;
    u32_as_u64 u32 => u64; u32_as_usize u32 => usize;
    usize_as_u64 usize => u64;
}

/// Constants of a wider type that fit into a narrower one.
macro_rules! constants {
    ($($name:ident $from:ident => $into:ident;)*) => { $(
        #[doc = concat!("The constant `N` as a `", stringify!($into), "`; it does not compile if it does not fit.")]
        #[inline]
        pub const fn $name<const N: $from>() -> $into {
            const { assert!(N <= $into::MAX as $from, "the value does not fit") };
            N as $into
        }
    )* };
}
constants! {
    usize_into_u8 usize => u8; usize_into_u16 usize => u16; usize_into_u32 usize => u32;
    u64_into_u8 u64 => u8; u64_into_u16 u64 => u16; u64_into_u32 u64 => u32;
    u32_into_u8 u32 => u8; u32_into_u16 u32 => u16;
    u16_into_u8 u16 => u8;
}

/// What a `T` always fits into.
pub trait FromSafeCast<T> {
    /// The same number.
    fn from_safe_cast(value: T) -> Self;
}

impl FromSafeCast<usize> for u64 {
    #[inline]
    fn from_safe_cast(value: usize) -> Self {
        usize_as_u64(value)
    }
}

impl FromSafeCast<u32> for usize {
    #[inline]
    fn from_safe_cast(value: u32) -> Self {
        u32_as_usize(value)
    }
}

/// [`FromSafeCast`] from the other side.
pub trait IntoSafeCast<T> {
    /// The same number.
    fn into_safe_cast(self) -> T;
}

impl<S, T: FromSafeCast<S>> IntoSafeCast<T> for S {
    #[inline]
    fn into_safe_cast(self) -> T {
        T::from_safe_cast(self)
    }
}

/// Casts that lose nothing on machines with this width of a pointer.
pub mod arch {
    /// What a `T` fits into here.
    pub trait FromSafeCastArch<T> {
        /// The same number.
        fn from_safe_cast_arch(value: T) -> Self;
    }

    /// [`FromSafeCastArch`] from the other side.
    pub trait IntoSafeCastArch<T> {
        /// The same number.
        fn into_safe_cast_arch(self) -> T;
    }

    impl<S, T: FromSafeCastArch<S>> IntoSafeCastArch<T> for S {
        #[inline]
        fn into_safe_cast_arch(self) -> T {
            T::from_safe_cast_arch(self)
        }
    }

    /// The `u64` as a `usize`: it always fits here.
    #[inline]
    pub const fn u64_as_usize(value: u64) -> usize {
        const { assert!(usize::BITS == u64::BITS) };
        value as usize
    }

    impl FromSafeCastArch<u64> for usize {
        #[inline]
        fn from_safe_cast_arch(value: u64) -> Self {
            u64_as_usize(value)
        }
    }
}
