// SPDX-License-Identifier: GPL-2.0
//! Memory that a device (or anybody else) may change at any time.

use super::{IoCapable, IoCopyable, io_backend};
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use zerocopy::{FromBytes, IntoBytes};

/// A view of shared memory; its accesses are volatile.
///
/// # Invariants
/// It is mapped during `'a`, and aligned.
pub struct SysMem<'a, T: ?Sized> {
    pointer: *mut T,
    _memory: PhantomData<&'a ()>,
}

// SAFETY: Memory can be accessed by every CPU.
unsafe impl<T: ?Sized + Sync> Send for SysMem<'_, T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync> Sync for SysMem<'_, T> {}

impl<'a, T: ?Sized> SysMem<'a, T> {
    /// The view of what is there.
    ///
    /// # Safety
    /// It is mapped memory of the kernel during `'a`, aligned, and nobody has a reference into it.
    #[inline]
    pub unsafe fn new(pointer: *mut T) -> Self {
        Self { pointer, _memory: PhantomData }
    }

    /// Its address.
    #[inline]
    pub fn as_ptr(self) -> *mut T {
        self.pointer
    }
}

io_backend! {
    /// How [`SysMem`] is reached.
    pub struct SysMemBackend of SysMem;
    |view| view.pointer;
    |_, part| SysMem { pointer: part, _memory: PhantomData };
}

macro_rules! accesses {
    ($($ty:ident)*) => { $(
        impl IoCapable<$ty> for SysMemBackend {
            #[inline]
            fn io_read(view: SysMem<'_, $ty>) -> $ty {
                // SAFETY: By the type invariant.
                unsafe { view.pointer.read_volatile() }
            }

            #[inline]
            fn io_write(view: SysMem<'_, $ty>, value: $ty) {
                // SAFETY: By the type invariant.
                unsafe { view.pointer.write_volatile(value) };
            }
        }
    )* };
}
accesses! { u8 u16 u32 u64 }

impl IoCopyable for SysMemBackend {
    #[inline]
    unsafe fn copy_from_io(view: SysMem<'_, [u8]>, buffer: *mut u8) {
        for offset in 0..view.pointer.len() {
            // SAFETY: Both have so many bytes.
            unsafe { buffer.add(offset).write(view.pointer.cast::<u8>().add(offset).read_volatile()) };
        }
    }

    #[inline]
    unsafe fn copy_to_io(view: SysMem<'_, [u8]>, buffer: *const u8) {
        for offset in 0..view.pointer.len() {
            // SAFETY: Both have so many bytes.
            unsafe { view.pointer.cast::<u8>().add(offset).write_volatile(buffer.add(offset).read()) };
        }
    }

    #[inline]
    fn copy_read<T: FromBytes>(view: SysMem<'_, T>) -> T {
        // SAFETY: By the type invariant; any bytes are a `T`.
        unsafe { view.pointer.cast::<MaybeUninit<T>>().read_volatile().assume_init() }
    }

    #[inline]
    fn copy_write<T: IntoBytes>(view: SysMem<'_, T>, value: T) {
        // SAFETY: By the type invariant.
        unsafe { view.pointer.cast::<ManuallyDrop<T>>().write_volatile(ManuallyDrop::new(value)) };
    }
}
