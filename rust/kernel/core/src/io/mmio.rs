// SPDX-License-Identifier: GPL-2.0
//! A device's memory, mapped into the kernel: accesses are single instructions, and the compiler moves no other memory access across
//! one that is not relaxed.

use super::{IoCapable, IoCopyable, Region, io_backend};
use crate::error::Result;
use crate::ptr::KnownSize;
use core::arch::asm;
use core::marker::PhantomData;

/// Where a device's memory is mapped, or may have been: nothing is promised.
pub struct MmioRaw<T: ?Sized> {
    pointer: *mut T,
}

impl<T: ?Sized> Copy for MmioRaw<T> {}

impl<T: ?Sized> Clone for MmioRaw<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

// SAFETY: It is a number.
unsafe impl<T: ?Sized> Send for MmioRaw<T> {}
// SAFETY: It is a number.
unsafe impl<T: ?Sized> Sync for MmioRaw<T> {}

impl<T> MmioRaw<T> {
    /// A `T` at this address.
    #[inline]
    pub fn new(addr: usize) -> Self {
        Self { pointer: core::ptr::with_exposed_provenance_mut(addr) }
    }
}

impl<const SIZE: usize> MmioRaw<Region<SIZE>> {
    /// `size` bytes from this address on. `EINVAL` if there are fewer than `SIZE`, or it is no multiple of 4.
    #[inline]
    pub fn new_region(addr: usize, size: usize) -> Result<Self> {
        let pointer = Region::ptr_try_from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(addr), size)?;
        Ok(Self { pointer })
    }
}

impl<T: ?Sized + KnownSize> MmioRaw<T> {
    /// The first byte's address.
    #[inline]
    pub fn addr(&self) -> usize {
        self.pointer.addr()
    }

    /// Its bytes.
    #[inline]
    pub fn size(&self) -> usize {
        T::size(self.pointer)
    }
}

/// A view of a device's memory.
///
/// # Invariants
/// It is mapped during `'a`, and aligned.
pub struct Mmio<'a, T: ?Sized> {
    pointer: *mut T,
    _mapping: PhantomData<&'a ()>,
}

// SAFETY: A device's memory can be accessed by every CPU.
unsafe impl<T: ?Sized + Sync> Send for Mmio<'_, T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync> Sync for Mmio<'_, T> {}

impl<'a, T: ?Sized> Mmio<'a, T> {
    /// The view of what is mapped there.
    ///
    /// # Safety
    /// A device's memory of this size is mapped there during `'a`, aligned.
    #[inline]
    pub unsafe fn from_raw(raw: MmioRaw<T>) -> Self {
        Self { pointer: raw.pointer, _mapping: PhantomData }
    }

    /// The same with accesses that need not be ordered with those to memory.
    #[inline]
    pub fn relaxed(self) -> RelaxedMmio<'a, T> {
        RelaxedMmio(self)
    }
}

io_backend! {
    /// How [`Mmio`] is reached.
    pub struct MmioBackend of Mmio;
    |view| view.pointer;
    |_, part| Mmio { pointer: part, _mapping: PhantomData };
}

/// A view of a device's memory whose accesses need not be ordered with those to memory.
pub struct RelaxedMmio<'a, T: ?Sized>(Mmio<'a, T>);

io_backend! {
    /// How [`RelaxedMmio`] is reached.
    pub struct RelaxedMmioBackend of RelaxedMmio;
    |view| view.0.pointer;
    |_, part| RelaxedMmio(Mmio { pointer: part, _mapping: PhantomData });
}

macro_rules! accesses {
    ($($ty:ident $class:ident $register:literal;)*) => { $(
        impl IoCapable<$ty> for MmioBackend {
            #[inline]
            fn io_read(view: Mmio<'_, $ty>) -> $ty {
                let value;
                // SAFETY: By the type invariant it is mapped; the memory clobber keeps other accesses where they are.
                unsafe {
                    asm!(concat!("mov {0", $register, "}, [{1}]"), out($class) value, in(reg) view.pointer,
                        options(nostack, preserves_flags));
                }
                value
            }

            #[inline]
            fn io_write(view: Mmio<'_, $ty>, value: $ty) {
                // SAFETY: As above.
                unsafe {
                    asm!(concat!("mov [{1}], {0", $register, "}"), in($class) value, in(reg) view.pointer,
                        options(nostack, preserves_flags));
                }
            }
        }

        impl IoCapable<$ty> for RelaxedMmioBackend {
            #[inline]
            fn io_read(view: RelaxedMmio<'_, $ty>) -> $ty {
                let value;
                // SAFETY: By the type invariant it is mapped. There is no `nomem`: a device's memory is memory.
                unsafe {
                    asm!(concat!("mov {0", $register, "}, [{1}]"), out($class) value, in(reg) view.0.pointer,
                        options(nostack, preserves_flags));
                }
                value
            }

            #[inline]
            fn io_write(view: RelaxedMmio<'_, $ty>, value: $ty) {
                // SAFETY: As above.
                unsafe {
                    asm!(concat!("mov [{1}], {0", $register, "}"), in($class) value, in(reg) view.0.pointer,
                        options(nostack, preserves_flags));
                }
            }
        }
    )* };
}
accesses! { u8 reg_byte ""; u16 reg ":x"; u32 reg ":e"; u64 reg ""; }

/// How many of `len` bytes from `address` on come before the first that is a multiple of 4.
fn head(address: usize, len: usize) -> usize {
    (address.wrapping_neg() & 3).min(len)
}

/// The `U` at `offset` of `view`.
///
/// # Safety
/// It is inside, and aligned.
unsafe fn at<'a, U>(view: Mmio<'a, [u8]>, offset: usize) -> Mmio<'a, U> {
    Mmio { pointer: view.pointer.cast::<u8>().wrapping_add(offset).cast(), _mapping: PhantomData }
}

impl IoCopyable for MmioBackend {
    unsafe fn copy_from_io(view: Mmio<'_, [u8]>, buffer: *mut u8) {
        let len = view.pointer.len();
        let (mut done, head) = (0, head(view.pointer.addr(), len));
        // SAFETY: All offsets are below the length; words are read where the address is a multiple of 4.
        unsafe {
            while done < len {
                if done < head || len - done < 4 {
                    buffer.add(done).write(Self::io_read(at::<u8>(view, done)));
                    done += 1;
                } else {
                    buffer.add(done).cast::<u32>().write_unaligned(Self::io_read(at::<u32>(view, done)));
                    done += 4;
                }
            }
        }
    }

    unsafe fn copy_to_io(view: Mmio<'_, [u8]>, buffer: *const u8) {
        let len = view.pointer.len();
        let (mut done, head) = (0, head(view.pointer.addr(), len));
        // SAFETY: As above.
        unsafe {
            while done < len {
                if done < head || len - done < 4 {
                    Self::io_write(at::<u8>(view, done), buffer.add(done).read());
                    done += 1;
                } else {
                    Self::io_write(at::<u32>(view, done), buffer.add(done).cast::<u32>().read_unaligned());
                    done += 4;
                }
            }
        }
    }
}
