// SPDX-License-Identifier: GPL-2.0
//! `Io`: the accesses.

use super::register::LocatedRegister;
use super::{IoBackend, IoBase, IoCapable, IoCopyable, IoLoc, checked, copy_in, copy_out, known};
use crate::error::Result;
use crate::ptr::KnownSize;
use zerocopy::{FromBytes, IntoBytes};

macro_rules! widths {
    ($($ty:ident $read:ident $write:ident $try_read:ident $try_write:ident;)*) => { $(
        #[doc = concat!("Reads a `", stringify!($ty), "` at `offset`. `EINVAL` out of bounds.")]
        #[inline(always)]
        fn $try_read(self, offset: usize) -> Result<$ty>
        where
            usize: IoLoc<Self::Target, $ty, IoType = $ty>,
            Self::Backend: IoCapable<$ty>,
        {
            self.try_read(offset)
        }

        #[doc = concat!("Writes a `", stringify!($ty), "` at `offset`. `EINVAL` out of bounds.")]
        #[inline(always)]
        fn $try_write(self, value: $ty, offset: usize) -> Result
        where
            usize: IoLoc<Self::Target, $ty, IoType = $ty>,
            Self::Backend: IoCapable<$ty>,
        {
            self.try_write(offset, value)
        }

        #[doc = concat!("Reads a `", stringify!($ty), "` at `offset`, a constant in bounds.")]
        #[inline(always)]
        #[track_caller]
        fn $read(self, offset: usize) -> $ty
        where
            usize: IoLoc<Self::Target, $ty, IoType = $ty>,
            Self::Backend: IoCapable<$ty>,
        {
            self.read(offset)
        }

        #[doc = concat!("Writes a `", stringify!($ty), "` at `offset`, a constant in bounds.")]
        #[inline(always)]
        #[track_caller]
        fn $write(self, value: $ty, offset: usize)
        where
            usize: IoLoc<Self::Target, $ty, IoType = $ty>,
            Self::Backend: IoCapable<$ty>,
        {
            self.write(offset, value);
        }
    )* };
}

/// Accesses to what implements [`IoBase`].
pub trait Io<'a>: IoBase<'a> {
    /// Its bytes.
    #[inline]
    fn size(self) -> usize {
        KnownSize::size(Self::Backend::as_ptr(self.as_view()))
    }

    /// How many values a slice has.
    #[inline]
    fn len<T>(self) -> usize
    where
        Self: Io<'a, Target = [T]>,
    {
        <Self as IoBase<'a>>::Backend::as_ptr(self.as_view()).len()
    }

    /// Whether a slice has none.
    #[inline]
    fn is_empty<T>(self) -> bool
    where
        Self: Io<'a, Target = [T]>,
    {
        self.len() == 0
    }

    /// Its first bytes as a `U`. `EINVAL` if there are too few, or they are not aligned for one.
    #[inline]
    fn try_cast<U>(self) -> Result<<Self::Backend as IoBackend>::View<'a, U>>
    where
        Self::Target: FromBytes + IntoBytes,
        U: FromBytes + IntoBytes,
    {
        checked::<Self, U>(self, 0)
    }

    /// Reads it, in one access.
    #[inline]
    fn read_val(self) -> Self::Target
    where
        Self::Backend: IoCapable<Self::Target>,
        Self::Target: Sized,
    {
        Self::Backend::io_read(self.as_view())
    }

    /// Writes it, in one access.
    #[inline]
    fn write_val(self, value: Self::Target)
    where
        Self::Backend: IoCapable<Self::Target>,
        Self::Target: Sized,
    {
        Self::Backend::io_write(self.as_view(), value);
    }

    /// Reads it, in as many accesses as it takes.
    #[inline]
    fn copy_read(self) -> Self::Target
    where
        Self::Backend: IoCopyable,
        Self::Target: Sized + FromBytes,
    {
        Self::Backend::copy_read(self.as_view())
    }

    /// Writes it, in as many accesses as it takes. The value is not dropped.
    #[inline]
    fn copy_write(self, value: Self::Target)
    where
        Self::Backend: IoCopyable,
        Self::Target: Sized + IntoBytes,
    {
        Self::Backend::copy_write(self.as_view(), value);
    }

    /// Copies `data` there.
    ///
    /// # Panics
    /// If it is not as long.
    #[inline]
    #[track_caller]
    fn copy_from_slice(self, data: &[u8])
    where
        Self::Backend: IoCopyable,
        Self: Io<'a, Target = [u8]>,
    {
        copy_in::<<Self as IoBase<'a>>::Backend>(self.as_view(), data);
    }

    /// Copies it to `data`.
    ///
    /// # Panics
    /// If it is not as long.
    #[inline]
    #[track_caller]
    fn copy_to_slice(self, data: &mut [u8])
    where
        Self::Backend: IoCopyable,
        Self: Io<'a, Target = [u8]>,
    {
        copy_out::<<Self as IoBase<'a>>::Backend>(self.as_view(), data);
    }

    widths! {
        u8 read8 write8 try_read8 try_write8;
        u16 read16 write16 try_read16 try_write16;
        u32 read32 write32 try_read32 try_write32;
        u64 read64 write64 try_read64 try_write64;
    }

    /// Reads what is at `location`. `EINVAL` out of bounds.
    #[inline(always)]
    fn try_read<T, L>(self, location: L) -> Result<T>
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        checked::<Self, L::IoType>(self, location.offset()).map(|view| Self::Backend::io_read(view).into())
    }

    /// Writes to `location`. `EINVAL` out of bounds.
    #[inline(always)]
    fn try_write<T, L>(self, location: L, value: T) -> Result
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        checked::<Self, L::IoType>(self, location.offset()).map(|view| Self::Backend::io_write(view, value.into()))
    }

    /// Writes a register to its place. `EINVAL` out of bounds.
    #[inline(always)]
    fn try_write_reg<T, L, V>(self, value: V) -> Result
    where
        L: IoLoc<Self::Target, T>,
        V: LocatedRegister<Self::Target, Location = L, Value = T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        let (location, value) = value.into_io_op();
        self.try_write(location, value)
    }

    /// Reads what is at `location`, changes it, and writes it back. `EINVAL` out of bounds.
    #[inline(always)]
    fn try_update<T, L, F>(self, location: L, change: F) -> Result
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
        F: FnOnce(T) -> T,
    {
        let view = checked::<Self, L::IoType>(self, location.offset())?;
        let value = change(Self::Backend::io_read(view).into());
        Self::Backend::io_write(view, value.into());
        Ok(())
    }

    /// Reads what is at `location`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    fn read<T, L>(self, location: L) -> T
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        Self::Backend::io_read(known::<Self, L::IoType>(self, location.offset())).into()
    }

    /// Writes to `location`, a constant in bounds.
    #[inline(always)]
    #[track_caller]
    fn write<T, L>(self, location: L, value: T)
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        Self::Backend::io_write(known::<Self, L::IoType>(self, location.offset()), value.into());
    }

    /// Writes a register to its place.
    #[inline(always)]
    #[track_caller]
    fn write_reg<T, L, V>(self, value: V)
    where
        L: IoLoc<Self::Target, T>,
        V: LocatedRegister<Self::Target, Location = L, Value = T>,
        Self::Backend: IoCapable<L::IoType>,
    {
        let (location, value) = value.into_io_op();
        self.write(location, value);
    }

    /// Reads what is at `location`, a constant in bounds, changes it, and writes it back.
    #[inline(always)]
    #[track_caller]
    fn update<T, L, F>(self, location: L, change: F)
    where
        L: IoLoc<Self::Target, T>,
        Self::Backend: IoCapable<L::IoType>,
        F: FnOnce(T) -> T,
    {
        let view = known::<Self, L::IoType>(self, location.offset());
        let value = change(Self::Backend::io_read(view).into());
        Self::Backend::io_write(view, value.into());
    }
}

impl<'a, T: IoBase<'a>> Io<'a> for T {}
