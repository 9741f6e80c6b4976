// SPDX-License-Identifier: GPL-2.0
//! `IoSysMap`: a device's memory or the kernel's, for code that takes either.

use super::{IoCapable, IoCopyable, Mmio, MmioBackend, SysMem, SysMemBackend, io_backend};
use zerocopy::{FromBytes, IntoBytes};

/// A view of either.
pub enum IoSysMap<'a, T: ?Sized> {
    /// Of a device's memory.
    Io(Mmio<'a, T>),
    /// Of the kernel's.
    Sys(SysMem<'a, T>),
}

impl<'a, T: ?Sized> From<Mmio<'a, T>> for IoSysMap<'a, T> {
    #[inline]
    fn from(view: Mmio<'a, T>) -> Self {
        Self::Io(view)
    }
}

impl<'a, T: ?Sized> From<SysMem<'a, T>> for IoSysMap<'a, T> {
    #[inline]
    fn from(view: SysMem<'a, T>) -> Self {
        Self::Sys(view)
    }
}

io_backend! {
    /// How [`IoSysMap`] is reached.
    pub struct IoSysMapBackend of IoSysMap;
    |view| match view {
        IoSysMap::Io(view) => MmioBackend::as_ptr(view),
        IoSysMap::Sys(view) => SysMemBackend::as_ptr(view),
    };
    |view, part| match view {
        // SAFETY: The caller's contract.
        IoSysMap::Io(view) => IoSysMap::Io(unsafe { MmioBackend::project_view(view, part) }),
        // SAFETY: As above.
        IoSysMap::Sys(view) => IoSysMap::Sys(unsafe { SysMemBackend::project_view(view, part) }),
    };
}

impl<T> IoCapable<T> for IoSysMapBackend
where
    MmioBackend: IoCapable<T>,
    SysMemBackend: IoCapable<T>,
{
    #[inline]
    fn io_read(view: IoSysMap<'_, T>) -> T {
        match view {
            IoSysMap::Io(view) => MmioBackend::io_read(view),
            IoSysMap::Sys(view) => SysMemBackend::io_read(view),
        }
    }

    #[inline]
    fn io_write(view: IoSysMap<'_, T>, value: T) {
        match view {
            IoSysMap::Io(view) => MmioBackend::io_write(view, value),
            IoSysMap::Sys(view) => SysMemBackend::io_write(view, value),
        }
    }
}

impl IoCopyable for IoSysMapBackend {
    unsafe fn copy_from_io(view: IoSysMap<'_, [u8]>, buffer: *mut u8) {
        // SAFETY: The caller's contract.
        unsafe {
            match view {
                IoSysMap::Io(view) => MmioBackend::copy_from_io(view, buffer),
                IoSysMap::Sys(view) => SysMemBackend::copy_from_io(view, buffer),
            }
        }
    }

    unsafe fn copy_to_io(view: IoSysMap<'_, [u8]>, buffer: *const u8) {
        // SAFETY: The caller's contract.
        unsafe {
            match view {
                IoSysMap::Io(view) => MmioBackend::copy_to_io(view, buffer),
                IoSysMap::Sys(view) => SysMemBackend::copy_to_io(view, buffer),
            }
        }
    }

    #[inline]
    fn copy_read<T: FromBytes>(view: IoSysMap<'_, T>) -> T {
        match view {
            IoSysMap::Io(view) => MmioBackend::copy_read(view),
            IoSysMap::Sys(view) => SysMemBackend::copy_read(view),
        }
    }

    #[inline]
    fn copy_write<T: IntoBytes>(view: IoSysMap<'_, T>, value: T) {
        match view {
            IoSysMap::Io(view) => MmioBackend::copy_write(view, value),
            IoSysMap::Sys(view) => SysMemBackend::copy_write(view, value),
        }
    }
}
