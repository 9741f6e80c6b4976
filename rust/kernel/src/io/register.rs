// SPDX-License-Identifier: GPL-2.0
//! Registers with names and fields: [`register!`](crate::register).
//!
//! ```
//! use kernel::io::register::{Array, RegisterBase, WithBase};
//! use kernel::io::{Io, Mmio, Region, register};
//!
//! /// The timers of the device.
//! pub struct Timers;
//!
//! /// The first of them.
//! struct Timer0;
//! impl RegisterBase<Timers> for Timer0 {
//!     const BASE: usize = 0x20;
//! }
//!
//! register! {
//!     /// Which interrupts are wanted.
//!     pub MASK(u32) @ 0x4 { 3:0 lines; }
//!     /// Counters, 16 bytes apart.
//!     pub COUNT(u32)[4, stride = 16] @ 0x80 { 31:0 value; }
//!     /// The third of them as the device's firmware uses it.
//!     pub PHASE(u32) => COUNT[2] { 7:0 step; }
//!     /// How a timer runs.
//!     pub MODE(u32) @ Timers + 0x8 { 0:0 periodic => bool; }
//! }
//!
//! fn start(io: Mmio<'_, Region<0x100>>) -> u32 {
//!     io.write_reg(MASK::zeroed().with_const_lines::<0xf>());
//!     io.update(MODE::of::<Timer0>(), |mode| mode.with_periodic(true));
//!     io.read(COUNT::at(1)).value().get() + u32::from(io.read(PHASE).step())
//! }
//! ```

use super::{IoLoc, Region};
use crate::build_assert::build_assert;
use core::marker::PhantomData;

/// A register's value.
pub trait Register: Sized {
    /// What is read and written.
    type Storage: Into<Self> + From<Self>;

    /// Where it is, or the first of them; from its base, if it has one.
    const OFFSET: usize;
}

/// A register that is at one place.
pub trait FixedRegister: Register {}

macro_rules! location {
    ([$param:ident: $bound:path] $location:ty: $register:ty, $self:ident => $offset:expr) => {
        impl<const REGION: usize, $param: $bound> IoLoc<Region<REGION>, $register> for $location {
            type IoType = <$register as Register>::Storage;

            #[inline(always)]
            fn offset($self) -> usize {
                $offset
            }
        }
    };
}

// For `write((), value)`: the value says where.
location!([T: FixedRegister] (): T, self => T::OFFSET);
location!([T: FixedRegister] T: T, self => T::OFFSET);

/// The place of a [`FixedRegister`]: what the constant of its name is.
pub struct FixedRegisterLoc<T: FixedRegister>(PhantomData<fn() -> T>);

impl<T: FixedRegister> FixedRegisterLoc<T> {
    /// The place.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "it is Rust-for-Linux's interface")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: FixedRegister> Clone for FixedRegisterLoc<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: FixedRegister> Copy for FixedRegisterLoc<T> {}

location!([T: FixedRegister] FixedRegisterLoc<T>: T, self => T::OFFSET);

/// Where one of several like parts of a device is; `Family` says which parts are alike.
pub trait RegisterBase<Family> {
    /// The part's first byte.
    const BASE: usize;
}

/// Registers that each of several like parts has.
pub trait WithBase {
    /// The parts.
    type BaseFamily;

    /// The place in part `B`.
    #[inline(always)]
    fn of<B: RegisterBase<Self::BaseFamily>>() -> RelativeRegisterLoc<Self, B>
    where
        Self: Register,
    {
        RelativeRegisterLoc::new()
    }
}

/// A register that a part has once.
pub trait RelativeRegister: Register + WithBase {}

/// The place of a [`RelativeRegister`], or of the first of a [`RelativeRegisterArray`], in part `B`.
pub struct RelativeRegisterLoc<T: WithBase + ?Sized, B: ?Sized>(
    PhantomData<fn() -> *const T>,
    PhantomData<fn() -> *const B>,
);

impl<T: WithBase + ?Sized, B: ?Sized> Clone for RelativeRegisterLoc<T, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: WithBase + ?Sized, B: ?Sized> Copy for RelativeRegisterLoc<T, B> {}

impl<T: Register + WithBase, B: RegisterBase<T::BaseFamily> + ?Sized> RelativeRegisterLoc<T, B> {
    /// Where it is.
    const PLACE: usize = B::BASE + T::OFFSET;

    /// The place.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "it is Rust-for-Linux's interface")]
    pub const fn new() -> Self {
        Self(PhantomData, PhantomData)
    }
}

impl<const REGION: usize, T, B> IoLoc<Region<REGION>, T> for RelativeRegisterLoc<T, B>
where
    T: RelativeRegister,
    B: RegisterBase<T::BaseFamily> + ?Sized,
{
    type IoType = T::Storage;

    #[inline(always)]
    fn offset(self) -> usize {
        Self::PLACE
    }
}

/// Registers that follow each other.
pub trait RegisterArray: Register {
    /// How many.
    const SIZE: usize;
    /// Bytes from one to the next.
    const STRIDE: usize;
}

/// The place of one of a [`RegisterArray`].
///
/// # Invariants
/// The index is below `T::SIZE`.
pub struct RegisterArrayLoc<T: RegisterArray>(usize, PhantomData<fn() -> T>);

impl<T: RegisterArray> RegisterArrayLoc<T> {
    /// That of the register at `index`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    pub fn new(index: usize) -> Self {
        build_assert!(index < T::SIZE, "index out of bounds");
        Self(index, PhantomData)
    }

    /// That of the register at `index`, if there is one.
    #[inline(always)]
    pub fn try_new(index: usize) -> Option<Self> {
        (index < T::SIZE).then_some(Self(index, PhantomData))
    }
}

impl<T: RegisterArray> Clone for RegisterArrayLoc<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: RegisterArray> Copy for RegisterArrayLoc<T> {}

location!([T: RegisterArray] RegisterArrayLoc<T>: T, self => T::OFFSET.wrapping_add(self.0.wrapping_mul(T::STRIDE)));

/// Places in an array of registers.
pub trait Array {
    /// That of the register at `index`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    fn at(index: usize) -> RegisterArrayLoc<Self>
    where
        Self: RegisterArray,
    {
        RegisterArrayLoc::new(index)
    }

    /// That of the register at `index`, if there is one.
    #[inline(always)]
    fn try_at(index: usize) -> Option<RegisterArrayLoc<Self>>
    where
        Self: RegisterArray,
    {
        RegisterArrayLoc::try_new(index)
    }
}

/// Arrays of registers that each of several like parts has.
pub trait RelativeRegisterArray: RegisterArray + WithBase {}

/// The place of one of a [`RelativeRegisterArray`] in part `B`.
///
/// # Invariants
/// The index is below `T::SIZE`.
pub struct RelativeRegisterArrayLoc<T, B>(RelativeRegisterLoc<T, B>, usize)
where
    T: RelativeRegisterArray,
    B: RegisterBase<T::BaseFamily> + ?Sized;

impl<T, B> RelativeRegisterArrayLoc<T, B>
where
    T: RelativeRegisterArray,
    B: RegisterBase<T::BaseFamily> + ?Sized,
{
    /// That of the register at `index`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    pub fn new(index: usize) -> Self {
        build_assert!(index < T::SIZE, "index out of bounds");
        Self(RelativeRegisterLoc::new(), index)
    }

    /// That of the register at `index`, if there is one.
    #[inline(always)]
    pub fn try_new(index: usize) -> Option<Self> {
        (index < T::SIZE).then_some(Self(RelativeRegisterLoc::new(), index))
    }
}

impl<T, B> RelativeRegisterLoc<T, B>
where
    T: RelativeRegisterArray,
    B: RegisterBase<T::BaseFamily> + ?Sized,
{
    /// That of the register at `index`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    pub fn at(self, index: usize) -> RelativeRegisterArrayLoc<T, B> {
        RelativeRegisterArrayLoc::new(index)
    }

    /// That of the register at `index`, if there is one.
    #[inline(always)]
    pub fn try_at(self, index: usize) -> Option<RelativeRegisterArrayLoc<T, B>> {
        RelativeRegisterArrayLoc::try_new(index)
    }
}

impl<const REGION: usize, T, B> IoLoc<Region<REGION>, T> for RelativeRegisterArrayLoc<T, B>
where
    T: RelativeRegisterArray,
    B: RegisterBase<T::BaseFamily> + ?Sized,
{
    type IoType = T::Storage;

    #[inline(always)]
    fn offset(self) -> usize {
        RelativeRegisterLoc::<T, B>::PLACE.wrapping_add(self.1.wrapping_mul(T::STRIDE))
    }
}

/// Values that know where they are written: for [`Io::write_reg`](super::Io::write_reg).
pub trait LocatedRegister<Base: ?Sized> {
    /// The register.
    type Value: Register;
    /// Its place.
    type Location: IoLoc<Base, Self::Value>;

    /// Both.
    fn into_io_op(self) -> (Self::Location, Self::Value);
}

impl<const REGION: usize, T: FixedRegister> LocatedRegister<Region<REGION>> for T {
    type Value = T;
    type Location = FixedRegisterLoc<T>;

    #[inline(always)]
    fn into_io_op(self) -> (FixedRegisterLoc<T>, T) {
        (FixedRegisterLoc::new(), self)
    }
}

/// Declares registers. Each is a type, as [`bitfield!`](crate::bitfield!) makes one, and has a place:
///
/// - `NAME(u32) @ 0x4 { fields }`: one place; the constant `NAME` is it.
/// - `NAME(u32)[8] @ 0x40 { fields }`, `NAME(u8)[8, stride = 4] @ 0x40 { fields }`: [`Array::at`] gives the places.
/// - `NAME(u32) @ Base + 0x4 { fields }`, the same with `[8]`: [`WithBase::of`] gives the place in a part of the device.
/// - `NAME(u32) => OTHER { fields }`, `=> OTHER[3]`, `=> Base + OTHER`, `=> Base + OTHER[3]`: another's place, with other fields.
#[macro_export]
macro_rules! register {
    () => {};
    ($(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) $([$($many:tt)*])? @ $offset:literal { $($fields:tt)* } $($rest:tt)*) => {
        $crate::__register!(@type [$(#[$attr])*] $vis $name ($raw) @ $offset; $($fields)*);
        $crate::__register!(@place [$(#[$attr])*] $vis $name ($raw) $([$($many)*])?);
        $crate::register! { $($rest)* }
    };
    ($(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) $([$($many:tt)*])? @ $base:ident + $offset:literal { $($fields:tt)* }
        $($rest:tt)*) => {
        $crate::__register!(@type [$(#[$attr])*] $vis $name ($raw) @ $offset; $($fields)*);
        $crate::__register!(@relative $name ($raw) $base $([$($many)*])?);
        $crate::register! { $($rest)* }
    };
    ($(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) => $other:ident $([$index:expr])? { $($fields:tt)* } $($rest:tt)*) => {
        $crate::__register!(@type [$(#[$attr])*] $vis $name ($raw) @ $crate::__register!(@of $other $([$index])?); $($fields)*);
        $crate::__register!(@place [$(#[$attr])*] $vis $name ($raw));
        $crate::register! { $($rest)* }
    };
    ($(#[$attr:meta])* $vis:vis $name:ident ($raw:ty) => $base:ident + $other:ident $([$index:expr])? { $($fields:tt)* }
        $($rest:tt)*) => {
        $crate::__register!(@type [$(#[$attr])*] $vis $name ($raw) @ $crate::__register!(@of $other $([$index])?); $($fields)*);
        $crate::__register!(@relative $name ($raw) $base);
        $crate::register! { $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    (@type [$($attr:tt)*] $vis:vis $name:ident ($raw:ty) @ $offset:expr; $($fields:tt)*) => {
        $crate::bitfield! { $($attr)* $vis struct $name($raw) { $($fields)* } }

        impl $crate::io::register::Register for $name {
            type Storage = $raw;
            const OFFSET: usize = $offset;
        }
    };
    (@of $other:ident) => { <$other as $crate::io::register::Register>::OFFSET };
    (@of $other:ident [$index:expr]) => {{
        const { ::core::assert!($index < <$other as $crate::io::register::RegisterArray>::SIZE, "index out of bounds") };
        <$other as $crate::io::register::Register>::OFFSET
            + $index * <$other as $crate::io::register::RegisterArray>::STRIDE
    }};
    (@place [$($attr:tt)*] $vis:vis $name:ident ($raw:ty)) => {
        impl $crate::io::register::FixedRegister for $name {}

        $($attr)*
        #[allow(dead_code)]
        $vis const $name: $crate::io::register::FixedRegisterLoc<$name> = $crate::io::register::FixedRegisterLoc::new();
    };
    (@place [$($attr:tt)*] $vis:vis $name:ident ($raw:ty) [$($many:tt)*]) => {
        impl $crate::io::register::Array for $name {}
        $crate::__register!(@array $name ($raw) [$($many)*]);
    };
    (@relative $name:ident ($raw:ty) $base:ident) => {
        impl $crate::io::register::WithBase for $name {
            type BaseFamily = $base;
        }

        impl $crate::io::register::RelativeRegister for $name {}
    };
    (@relative $name:ident ($raw:ty) $base:ident [$($many:tt)*]) => {
        impl $crate::io::register::WithBase for $name {
            type BaseFamily = $base;
        }

        impl $crate::io::register::RelativeRegisterArray for $name {}
        $crate::__register!(@array $name ($raw) [$($many)*]);
    };
    (@array $name:ident ($raw:ty) [$size:expr]) => {
        $crate::__register!(@array $name ($raw) [$size, stride = ::core::mem::size_of::<$raw>()]);
    };
    (@array $name:ident ($raw:ty) [$size:expr, stride = $stride:expr]) => {
        impl $crate::io::register::RegisterArray for $name {
            const SIZE: usize = $size;
            const STRIDE: usize = {
                ::core::assert!($stride >= ::core::mem::size_of::<$raw>(), "the registers overlap");
                $stride
            };
        }
    };
}
