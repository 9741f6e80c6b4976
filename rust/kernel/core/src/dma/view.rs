// SPDX-License-Identifier: GPL-2.0
//! `CoherentView`: a part of memory that a device sees, and where it sees it.

use super::DmaAddress;
use crate::io::{IoCapable, IoCopyable, SysMem, SysMemBackend, io_backend};
use zerocopy::{FromBytes, IntoBytes};

/// A part of a [`Coherent`](super::Coherent).
pub struct CoherentView<'a, T: ?Sized> {
    memory: SysMem<'a, T>,
    address: DmaAddress,
}

impl<'a, T: ?Sized> CoherentView<'a, T> {
    pub(super) fn new(memory: SysMem<'a, T>, address: DmaAddress) -> Self {
        Self { memory, address }
    }

    /// The same for the CPU alone.
    #[inline]
    pub fn as_sys_mem(self) -> SysMem<'a, T> {
        self.memory
    }

    /// Where the device sees it.
    #[inline]
    pub fn dma_address(self) -> DmaAddress {
        self.address
    }

    /// The value.
    ///
    /// # Safety
    /// Neither the device nor anybody else writes to it as long as the reference is there.
    #[inline]
    pub unsafe fn as_ref(self) -> &'a T {
        // SAFETY: The view is mapped memory; the rest is the caller's contract.
        unsafe { &*self.memory.as_ptr() }
    }

    /// The value, to change it.
    ///
    /// # Safety
    /// Neither the device nor anybody else accesses it as long as the reference is there.
    #[inline]
    pub unsafe fn as_mut(self) -> &'a mut T {
        // SAFETY: As above.
        unsafe { &mut *self.memory.as_ptr() }
    }
}

io_backend! {
    /// How [`CoherentView`] is reached: as memory.
    pub struct CoherentIoBackend of CoherentView;
    |view| view.memory.as_ptr();
    |view, part| {
        let offset = part.addr().wrapping_sub(view.memory.as_ptr().addr()) as u64;
        // SAFETY: The caller's contract.
        let memory = unsafe { SysMemBackend::project_view(view.memory, part) };
        CoherentView { memory, address: view.address.wrapping_add(offset) }
    };
}

impl<T> IoCapable<T> for CoherentIoBackend
where
    SysMemBackend: IoCapable<T>,
{
    #[inline]
    fn io_read(view: CoherentView<'_, T>) -> T {
        SysMemBackend::io_read(view.memory)
    }

    #[inline]
    fn io_write(view: CoherentView<'_, T>, value: T) {
        SysMemBackend::io_write(view.memory, value);
    }
}

impl IoCopyable for CoherentIoBackend {
    #[inline]
    unsafe fn copy_from_io(view: CoherentView<'_, [u8]>, buffer: *mut u8) {
        // SAFETY: The caller's contract.
        unsafe { SysMemBackend::copy_from_io(view.memory, buffer) };
    }

    #[inline]
    unsafe fn copy_to_io(view: CoherentView<'_, [u8]>, buffer: *const u8) {
        // SAFETY: The caller's contract.
        unsafe { SysMemBackend::copy_to_io(view.memory, buffer) };
    }

    #[inline]
    fn copy_read<T: FromBytes>(view: CoherentView<'_, T>) -> T {
        SysMemBackend::copy_read(view.memory)
    }

    #[inline]
    fn copy_write<T: IntoBytes>(view: CoherentView<'_, T>, value: T) {
        SysMemBackend::copy_write(view.memory, value);
    }
}
