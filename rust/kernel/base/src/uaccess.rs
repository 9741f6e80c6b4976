// SPDX-License-Identifier: GPL-2.0
//! A program's memory: `kernel::uaccess`. Each byte is read once: a reader moves on, so that what was checked is what is used.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use errno::{Result, code::*};
use kalloc::{Allocator, Flags, Vec};
use kernel_raw::transmute::{AsBytes, FromBytes, filled};
use pin_init::Zeroable;
use x86_mm::uaccess as raw;

/// An address in a program's memory.
#[repr(transparent)]
#[derive(Copy, Clone, Debug, Zeroable)]
pub struct UserPtr {
    at: *mut c_void,
}

impl UserPtr {
    /// The address that a number is.
    #[inline]
    pub fn from_addr(addr: usize) -> Self {
        Self { at: core::ptr::without_provenance_mut(addr) }
    }

    /// The address that a pointer is.
    #[inline]
    pub fn from_ptr(addr: *mut c_void) -> Self {
        Self { at: addr }
    }

    /// As a pointer.
    #[inline]
    pub fn as_const_ptr(self) -> *const c_void {
        self.at
    }

    /// As a pointer.
    #[inline]
    pub fn as_mut_ptr(self) -> *mut c_void {
        self.at
    }

    /// The address `add` bytes further.
    #[inline]
    pub fn wrapping_byte_add(self, add: usize) -> Self {
        Self { at: self.at.wrapping_byte_add(add) }
    }

    #[doc(hidden)]
    pub fn from_raw(ptr: raw::UserPtr) -> Self {
        Self::from_addr(ptr.addr())
    }

    fn raw(self) -> raw::UserPtr {
        raw::UserPtr::from_addr(self.at.addr())
    }
}

/// A range of a program's memory, to be read or written once.
pub struct UserSlice {
    ptr: UserPtr,
    length: usize,
}

impl UserSlice {
    /// `length` bytes from `ptr` on; nothing is checked before they are used.
    pub fn new(ptr: UserPtr, length: usize) -> Self {
        Self { ptr, length }
    }

    /// Reads all, to the end of `buf`. May sleep.
    pub fn read_all<A: Allocator>(self, buf: &mut Vec<u8, A>, flags: Flags) -> Result {
        self.reader().read_all(buf, flags)
    }

    /// A reader of it.
    pub fn reader(self) -> UserSliceReader {
        UserSliceReader { ptr: self.ptr, length: self.length }
    }

    /// A writer of it.
    pub fn writer(self) -> UserSliceWriter {
        UserSliceWriter { ptr: self.ptr, length: self.length }
    }

    /// Both.
    pub fn reader_writer(self) -> (UserSliceReader, UserSliceWriter) {
        (UserSliceReader { ptr: self.ptr, length: self.length }, self.writer())
    }
}

/// Reads a range of a program's memory from its start. All may sleep; `EFAULT` where it is not there, or too short.
pub struct UserSliceReader {
    ptr: UserPtr,
    length: usize,
}

impl UserSliceReader {
    /// Passes over bytes.
    pub fn skip(&mut self, num_skip: usize) -> Result {
        self.length = self.length.checked_sub(num_skip).ok_or(EFAULT)?;
        self.ptr = self.ptr.wrapping_byte_add(num_skip);
        Ok(())
    }

    /// Another reader of the same bytes, which may have changed when it reads them.
    pub fn clone_reader(&self) -> Self {
        Self { ptr: self.ptr, length: self.length }
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads as many bytes as `out` has.
    pub fn read_raw(&mut self, out: &mut [MaybeUninit<u8>]) -> Result {
        if out.len() > self.length || raw::copy_from_user_uninit(out, self.ptr.raw()) != 0 {
            return Err(EFAULT);
        }
        self.skip(out.len())
    }

    /// Reads as many bytes as `out` has.
    pub fn read_slice(&mut self, out: &mut [u8]) -> Result {
        if out.len() > self.length {
            return Err(EFAULT);
        }
        raw::copy_from_user(out, self.ptr.raw())?;
        self.skip(out.len())
    }

    /// Reads into `out` from `offset` on, as much as both have; how much that was.
    pub fn read_slice_partial(&mut self, out: &mut [u8], offset: usize) -> Result<usize> {
        let Some(to) = out.get_mut(offset..) else { return Ok(0) };
        let len = to.len().min(self.length);
        let Some(to) = to.get_mut(..len) else { return Ok(0) };
        self.read_slice(to)?;
        Ok(len)
    }

    /// As [`Self::read_slice_partial`] at a file's position, which moves on.
    pub fn read_slice_file(&mut self, out: &mut [u8], offset: &mut i64) -> Result<usize> {
        let at = usize::try_from(*offset)?;
        let len = self.read_slice_partial(out, at)?;
        *offset = offset.checked_add(i64::try_from(len)?).ok_or(errno::code::EOVERFLOW)?;
        Ok(len)
    }

    /// Reads a value.
    pub fn read<T: FromBytes>(&mut self) -> Result<T> {
        filled(|bytes| self.read_slice(bytes))
    }

    /// Reads all that is left, to the end of `buf`.
    pub fn read_all<A: Allocator>(self, buf: &mut Vec<u8, A>, flags: Flags) -> Result {
        let before = buf.len();
        buf.reserve(self.length, flags)?;
        if raw::copy_from_user_append(buf, self.ptr.raw(), self.length) != self.length {
            buf.truncate(before);
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Reads a string with its NUL into `buf`; `EFAULT` where neither the memory nor `buf` has that.
    pub fn strcpy_into_buf(self, buf: &mut [u8]) -> Result<&CStr> {
        let room = buf.len().min(self.length);
        let bytes = buf.get_mut(..room).ok_or(EFAULT)?;
        let len = raw::strncpy_from_user(bytes, self.ptr.raw())?;
        // Without a NUL within the range the length is that of the range, and there is no byte for it.
        let bytes = buf.get_mut(..room).and_then(|bytes| bytes.get_mut(..=len)).ok_or(EFAULT)?;
        if let Some(last) = bytes.last_mut() {
            *last = 0;
        }
        CStr::from_bytes_with_nul(bytes).map_err(|_| EFAULT)
    }
}

/// Writes a range of a program's memory from its start. All may sleep; `EFAULT` where it is not there, or too short.
pub struct UserSliceWriter {
    ptr: UserPtr,
    length: usize,
}

impl UserSliceWriter {
    /// Bytes left.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes bytes.
    pub fn write_slice(&mut self, data: &[u8]) -> Result {
        let left = self.length.checked_sub(data.len()).ok_or(EFAULT)?;
        raw::copy_to_user(self.ptr.raw(), data)?;
        self.ptr = self.ptr.wrapping_byte_add(data.len());
        self.length = left;
        Ok(())
    }

    /// Writes what `data` has from `offset` on, as far as there is room; how much that was.
    pub fn write_slice_partial(&mut self, data: &[u8], offset: usize) -> Result<usize> {
        let Some(from) = data.get(offset..) else { return Ok(0) };
        let from = from.get(..self.length).unwrap_or(from);
        self.write_slice(from)?;
        Ok(from.len())
    }

    /// As [`Self::write_slice_partial`] at a file's position, which moves on.
    pub fn write_slice_file(&mut self, data: &[u8], offset: &mut i64) -> Result<usize> {
        let at = usize::try_from(*offset)?;
        let len = self.write_slice_partial(data, at)?;
        *offset = offset.checked_add(i64::try_from(len)?).ok_or(errno::code::EOVERFLOW)?;
        Ok(len)
    }

    /// Writes a value.
    pub fn write<T: AsBytes>(&mut self, value: &T) -> Result {
        self.write_slice(value.as_bytes())
    }

    /// Writes `count` bytes of `alloc` from `offset` on; what a device writes there meanwhile may be in it or not. `ERANGE` if there
    /// are not as many, there or here; `EFAULT`. May sleep.
    pub fn write_dma(&mut self, alloc: &impl SharedBytes, offset: usize, count: usize) -> Result {
        let end = offset.checked_add(count).ok_or(ERANGE)?;
        if end > alloc.count() || count > self.len() {
            return Err(ERANGE);
        }
        let mut chunk = [0; 128];
        let mut at = offset;
        while at < end {
            let piece = chunk.get_mut(..(end - at).min(128)).ok_or(EFAULT)?;
            alloc.copy_out(at, piece)?;
            self.write_slice(piece)?;
            at += piece.len();
        }
        Ok(())
    }
}

/// Memory that a device may write meanwhile (`kernel::dma::Coherent`).
#[doc(hidden)]
pub trait SharedBytes {
    /// How many bytes there are.
    fn count(&self) -> usize;

    /// Copies the bytes from `at` on, each as it is at some moment. `ERANGE` if there are not as many.
    fn copy_out(&self, at: usize, to: &mut [u8]) -> Result;
}
