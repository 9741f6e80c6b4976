// SPDX-License-Identifier: GPL-2.0
//! What a value must be able to do to be shown or set by a file.

use crate::dma::Coherent;
use crate::fs::file::Offset;
use crate::ptr::KnownSize;
use crate::sync::Mutex;
use crate::sync::atomic::{Atomic, AtomicBasicOps, AtomicType, Relaxed};
use crate::transmute::AsBytes;
use crate::uaccess::{UserSliceReader, UserSliceWriter};
use core::ops::DerefMut;
use core::pin::Pin;
use core::str::FromStr;
use errno::{Result, code::*};
use kalloc::{Allocator, Arc, Box, Vec};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Longest text that a file sets a value from.
const TEXT_MAX: usize = 128;

/// A value that can be set from text.
pub trait Reader {
    /// Reads the text. `EINVAL`, `EFAULT`.
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result;
}

/// The value that the text is. `EINVAL` if it is none, or longer than [`TEXT_MAX`].
fn parse<T: FromStr>(reader: &mut UserSliceReader) -> Result<T> {
    let mut buf = [0; TEXT_MAX];
    let bytes = buf.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(bytes)?;
    core::str::from_utf8(bytes)?.trim().parse().map_err(|_| EINVAL)
}

impl<T: FromStr + Unpin> Reader for Mutex<T> {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        let value = parse(reader)?;
        *self.lock() = value;
        Ok(())
    }
}

impl<T: AtomicType + FromStr> Reader for Atomic<T>
where
    T::Repr: AtomicBasicOps,
{
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        self.store(parse(reader)?, Relaxed);
        Ok(())
    }
}

/// A value whose bytes can be shown.
pub trait BinaryWriter {
    /// Writes what fits of the bytes from `offset` on, which moves; how many.
    fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize>;
}

/// Plain values: integers, and arrays of what has no padding. (In Linux every type that is `IntoBytes` is one; here the boxes and
/// vectors are of another crate, which might make them that some day.)
pub trait Plain: IntoBytes + Immutable {}

/// Plain values that may have any content.
pub trait PlainMut: Plain + FromBytes {}

macro_rules! plain {
    ($($ty:ty)*) => { $(
        impl Plain for $ty {}
        impl PlainMut for $ty {}
    )* };
}
plain!(u8 i8 u16 i16 u32 i32 u64 i64 usize isize);
impl Plain for bool {}
impl<T: IntoBytes + Immutable, const N: usize> Plain for [T; N] {}
impl<T: IntoBytes + Immutable + FromBytes, const N: usize> PlainMut for [T; N] {}

impl<T: Plain> BinaryWriter for T {
    fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize> {
        writer.write_slice_file(self.as_bytes(), offset)
    }
}

impl<T: BinaryWriter> BinaryWriter for Mutex<T> {
    fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize> {
        self.lock().write_to_slice(writer, offset)
    }
}

impl<T: KnownSize + AsBytes + ?Sized> BinaryWriter for Coherent<T> {
    fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize> {
        let start = usize::try_from(*offset).map_err(|_| EINVAL)?;
        let count = self.size().saturating_sub(start).min(writer.len());
        if count == 0 {
            return Ok(0);
        }
        writer.write_dma(self, start, count)?;
        *offset += count as Offset;
        Ok(count)
    }
}

/// A value whose bytes can be set by who has it alone.
pub trait BinaryReaderMut {
    /// Reads what there is to the bytes from `offset` on, which moves; how many.
    fn read_from_slice_mut(&mut self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize>;
}

impl<T: PlainMut> BinaryReaderMut for T {
    fn read_from_slice_mut(&mut self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize> {
        reader.read_slice_file(self.as_mut_bytes(), offset)
    }
}

impl<T: ?Sized + BinaryReaderMut, A: Allocator> BinaryReaderMut for Box<T, A> {
    fn read_from_slice_mut(&mut self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize> {
        self.deref_mut().read_from_slice_mut(reader, offset)
    }
}

impl<T: FromBytes + IntoBytes, A: Allocator> BinaryReaderMut for Vec<T, A> {
    fn read_from_slice_mut(&mut self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize> {
        reader.read_slice_file(self.as_mut_slice().as_mut_bytes(), offset)
    }
}

/// A value whose bytes can be set.
pub trait BinaryReader {
    /// As [`BinaryReaderMut::read_from_slice_mut`].
    fn read_from_slice(&self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize>;
}

impl<T: BinaryReaderMut + Unpin> BinaryReader for Mutex<T> {
    fn read_from_slice(&self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize> {
        self.lock().read_from_slice_mut(reader, offset)
    }
}

macro_rules! through {
    ($([$($generics:tt)*] $ty:ty;)*) => { $(
        impl<T: BinaryWriter, $($generics)*> BinaryWriter for $ty {
            fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize> {
                (**self).write_to_slice(writer, offset)
            }
        }

        impl<T: BinaryReader, $($generics)*> BinaryReader for $ty {
            fn read_from_slice(&self, reader: &mut UserSliceReader, offset: &mut Offset) -> Result<usize> {
                (**self).read_from_slice(reader, offset)
            }
        }
    )* };
}
through! { [A: Allocator] Box<T, A>; [A: Allocator] Pin<Box<T, A>>; [] Arc<T>; }

impl<T: Immutable + IntoBytes, A: Allocator> BinaryWriter for Vec<T, A> {
    fn write_to_slice(&self, writer: &mut UserSliceWriter, offset: &mut Offset) -> Result<usize> {
        writer.write_slice_file(self.as_slice().as_bytes(), offset)
    }
}
