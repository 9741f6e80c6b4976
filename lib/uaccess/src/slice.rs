// SPDX-License-Identifier: GPL-2.0
//! R4L's `UserSlice`: a range of user memory that is read or written once, from front to back, so that no check is undone by a
//! second read.

use errno::{Result, code::*};
use kalloc::{Flags, KVec};
use x86_uaccess::{UserPtr, copy_from_user, copy_to_user, get_user, put_user};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A range of user memory, not accessed yet.
#[derive(Debug)]
pub struct UserSlice {
    ptr: UserPtr,
    length: usize,
}

impl UserSlice {
    /// The range at `ptr`. It is checked when it is accessed.
    pub const fn new(ptr: UserPtr, length: usize) -> Self {
        Self { ptr, length }
    }

    /// Reads all of it into `buf`, after what is there. EFAULT, ENOMEM.
    pub fn read_all(self, buf: &mut KVec<u8>, flags: Flags) -> Result {
        self.reader().read_all(buf, flags)
    }

    /// For reading.
    pub const fn reader(self) -> UserSliceReader {
        UserSliceReader { ptr: self.ptr, length: self.length }
    }

    /// For writing.
    pub const fn writer(self) -> UserSliceWriter {
        UserSliceWriter { ptr: self.ptr, length: self.length }
    }

    /// For both: the two ends move on their own.
    pub const fn reader_writer(self) -> (UserSliceReader, UserSliceWriter) {
        (UserSliceReader { ptr: self.ptr, length: self.length }, UserSliceWriter { ptr: self.ptr, length: self.length })
    }
}

/// Reads a range of user memory from front to back.
#[derive(Debug)]
pub struct UserSliceReader {
    ptr: UserPtr,
    length: usize,
}

impl UserSliceReader {
    /// Passes over `num_skip` bytes. EFAULT if there are not so many.
    pub fn skip(&mut self, num_skip: usize) -> Result {
        self.length = self.length.checked_sub(num_skip).ok_or(EFAULT)?;
        self.ptr = self.ptr.wrapping_byte_add(num_skip);
        Ok(())
    }

    /// Another reader of the rest.
    pub fn clone_reader(&self) -> Self {
        Self { ptr: self.ptr, length: self.length }
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads the next `out.len()` bytes. EFAULT.
    pub fn read_slice(&mut self, out: &mut [u8]) -> Result {
        if out.len() > self.length {
            return Err(EFAULT);
        }
        copy_from_user(out, self.ptr)?;
        self.skip(out.len())
    }

    /// Reads the next value. EFAULT.
    pub fn read<T: FromBytes>(&mut self) -> Result<T> {
        if size_of::<T>() > self.length {
            return Err(EFAULT);
        }
        let value = get_user(self.ptr)?;
        self.skip(size_of::<T>())?;
        Ok(value)
    }

    /// Reads the rest into `buf`, after what is there. EFAULT, ENOMEM.
    pub fn read_all(mut self, buf: &mut KVec<u8>, flags: Flags) -> Result {
        let old = buf.len();
        buf.resize(old.checked_add(self.length).ok_or(ENOMEM)?, 0, flags)?;
        let result = match buf.get_mut(old..) {
            Some(room) => self.read_slice(room),
            None => Ok(()),
        };
        if result.is_err() {
            buf.truncate(old);
        }
        result
    }
}

/// Writes a range of user memory from front to back.
#[derive(Debug)]
pub struct UserSliceWriter {
    ptr: UserPtr,
    length: usize,
}

impl UserSliceWriter {
    /// Room left.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no room is left.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes bytes. EFAULT, also if there is no room.
    pub fn write_slice(&mut self, data: &[u8]) -> Result {
        let left = self.length.checked_sub(data.len()).ok_or(EFAULT)?;
        copy_to_user(self.ptr, data)?;
        self.ptr = self.ptr.wrapping_byte_add(data.len());
        self.length = left;
        Ok(())
    }

    /// Writes a value. EFAULT, also if there is no room.
    pub fn write<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result {
        let left = self.length.checked_sub(size_of::<T>()).ok_or(EFAULT)?;
        copy_to_user(self.ptr, value.as_bytes())?;
        self.ptr = self.ptr.wrapping_byte_add(size_of::<T>());
        self.length = left;
        Ok(())
    }

    /// Writes a value that is passed by itself.
    pub fn put<T: IntoBytes + Immutable>(&mut self, value: T) -> Result {
        let left = self.length.checked_sub(size_of::<T>()).ok_or(EFAULT)?;
        put_user(self.ptr, value)?;
        self.ptr = self.ptr.wrapping_byte_add(size_of::<T>());
        self.length = left;
        Ok(())
    }
}
