// SPDX-License-Identifier: GPL-2.0
//! Registers of devices: `kernel::io`. A [`Region`] is somewhere that can be read and written (a device's memory, its configuration
//! space); [`Io`] has the accesses, by number or by the registers that [`register!`](crate::register) declares.

pub mod register;

pub use crate::register;

use crate::error::{Result, code::*};
use register::{Location, Register};

/// A width of access.
pub trait IoWord: crate::num::Primitive {
    /// Reads from a region; in bounds.
    #[doc(hidden)]
    fn read_from<R: Region + ?Sized>(region: &R, offset: usize) -> Self;
    /// Writes to a region; in bounds.
    #[doc(hidden)]
    fn write_to<R: Region + ?Sized>(region: &R, offset: usize, value: Self);
}

macro_rules! words {
    ($($ty:ident $read:ident $write:ident;)*) => {
        /// Somewhere that can be read and written. Offsets are in bounds and aligned: [`Io`] sees to it.
        pub trait Region {
            /// Bytes that are known to be there when the code is compiled.
            const MIN_SIZE: usize;

            /// Bytes that are there.
            fn maxsize(&self) -> usize;

            $(
                #[doc(hidden)]
                fn $read(&self, offset: usize) -> $ty;
                #[doc(hidden)]
                fn $write(&self, offset: usize, value: $ty);
            )*
        }

        $(
            impl IoWord for $ty {
                #[inline]
                fn read_from<R: Region + ?Sized>(region: &R, offset: usize) -> Self {
                    region.$read(offset)
                }

                #[inline]
                fn write_to<R: Region + ?Sized>(region: &R, offset: usize, value: Self) {
                    region.$write(offset, value);
                }
            }
        )*
    };
}
words! {
    u8 raw_read8 raw_write8; u16 raw_read16 raw_write16; u32 raw_read32 raw_write32; u64 raw_read64 raw_write64;
}

/// Whether a `T` at `offset` is in `size` bytes and aligned.
#[inline]
const fn fits<T>(offset: usize, size: usize) -> bool {
    match offset.checked_add(size_of::<T>()) {
        Some(end) => end <= size && offset.is_multiple_of(size_of::<T>()),
        None => false,
    }
}

macro_rules! accesses {
    ($($ty:ident $read:ident $write:ident $try_read:ident $try_write:ident;)*) => {
        /// Accesses. Those that do not begin with `try_` are checked when the code is compiled.
        pub trait Io: Region {
            $(
                /// Reads. The offset is a constant in bounds.
                #[inline(always)]
                #[track_caller]
                fn $read(&self, offset: usize) -> $ty {
                    crate::build_assert::build_assert!(fits::<$ty>(offset, Self::MIN_SIZE), "offset out of bounds");
                    $ty::read_from(self, offset)
                }

                /// Writes. The offset is a constant in bounds.
                #[inline(always)]
                #[track_caller]
                fn $write(&self, value: $ty, offset: usize) {
                    crate::build_assert::build_assert!(fits::<$ty>(offset, Self::MIN_SIZE), "offset out of bounds");
                    $ty::write_to(self, offset, value);
                }

                /// Reads. `EINVAL` out of bounds.
                fn $try_read(&self, offset: usize) -> Result<$ty> {
                    if !fits::<$ty>(offset, self.maxsize()) {
                        return Err(EINVAL);
                    }
                    Ok($ty::read_from(self, offset))
                }

                /// Writes. `EINVAL` out of bounds.
                fn $try_write(&self, value: $ty, offset: usize) -> Result {
                    if !fits::<$ty>(offset, self.maxsize()) {
                        return Err(EINVAL);
                    }
                    $ty::write_to(self, offset, value);
                    Ok(())
                }
            )*

            /// Reads a register.
            #[inline(always)]
            #[track_caller]
            fn read<L: Location>(&self, location: L) -> L::Register {
                let offset = location.offset();
                crate::build_assert::build_assert!(fits::<RawOf<L>>(offset, Self::MIN_SIZE), "register out of bounds");
                L::Register::from_raw(RawOf::<L>::read_from(self, offset))
            }

            /// Reads a register. `EINVAL` out of bounds.
            fn try_read<L: Location>(&self, location: L) -> Result<L::Register> {
                let offset = location.offset();
                if !fits::<RawOf<L>>(offset, self.maxsize()) {
                    return Err(EINVAL);
                }
                Ok(L::Register::from_raw(RawOf::<L>::read_from(self, offset)))
            }

            /// Writes a register.
            #[inline(always)]
            #[track_caller]
            fn write<L: Location>(&self, location: L, value: L::Register) {
                let offset = location.offset();
                crate::build_assert::build_assert!(fits::<RawOf<L>>(offset, Self::MIN_SIZE), "register out of bounds");
                RawOf::<L>::write_to(self, offset, value.into_raw());
            }

            /// Writes a register that is at one place.
            #[inline(always)]
            #[track_caller]
            fn write_reg<R: register::FixedRegister>(&self, value: R) {
                self.write(register::Fixed::<R>::new(), value);
            }

            /// Reads a register, changes the value, and writes it back.
            #[inline(always)]
            #[track_caller]
            fn update<L: Location>(&self, location: L, change: impl FnOnce(L::Register) -> L::Register) {
                let value = change(self.read(location));
                self.write(location, value);
            }
        }
    };
}
accesses! {
    u8 read8 write8 try_read8 try_write8;
    u16 read16 write16 try_read16 try_write16;
    u32 read32 write32 try_read32 try_write32;
    u64 read64 write64 try_read64 try_write64;
}

/// The width of a place's register.
type RawOf<L> = <<L as Location>::Register as Register>::Raw;

impl<R: Region + ?Sized> Io for R {}
