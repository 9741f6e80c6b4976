// SPDX-License-Identifier: GPL-2.0
//! The kinds of files.

use super::Writer;
use super::traits::{BinaryReader, BinaryWriter, Reader};
use crate::uaccess::{UserSlice, UserSliceReader};
use core::fmt;
use errno::Result;
use kernel_core::debugfs::MakeOps;

/// Takes all that was written.
fn take<T: Reader>(data: &T, from: UserSlice) -> Result<usize> {
    let mut reader = from.reader();
    let len = reader.len();
    data.read_from_slice(&mut reader)?;
    Ok(len)
}

macro_rules! kinds {
    ($($name:ident $text:literal [$($bound:path),*] $(show($s:tt))? $(read($r:tt))? $(write($w:tt))?;)*) => { $(
        /// A kind of file.
        #[derive(Default)]
        pub(super) struct $name;

        impl<T: $($bound +)* Sync + 'static> MakeOps<T> for $name {
            const READS: bool = kinds!(@has $(show($s))? $(read($r))?);
            const WRITES: bool = kinds!(@has $(write($w))?);
            const TEXT: bool = $text;
            $(kinds!(@show $s);)?
            $(kinds!(@read $r);)?
            $(kinds!(@write $w);)?
        }
    )* };
    (@has) => { false };
    (@has $($any:tt)+) => { true };
    (@show t) => {
        fn show(&self, data: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Writer::write(data, f)
        }
    };
    (@read b) => {
        fn read(&self, data: &T, to: UserSlice, pos: &mut i64) -> Result<usize> {
            data.write_to_slice(&mut to.writer(), pos)
        }
    };
    (@write t) => {
        fn write(&self, data: &T, from: UserSlice, _: &mut i64) -> Result<usize> {
            take(data, from)
        }
    };
    (@write b) => {
        fn write(&self, data: &T, from: UserSlice, pos: &mut i64) -> Result<usize> {
            BinaryReader::read_from_slice(data, &mut from.reader(), pos)
        }
    };
}

kinds! {
    ReadFile true [Writer] show(t);
    ReadWriteFile true [Writer, Reader] show(t) write(t);
    WriteFile true [Reader] write(t);
    BinaryReadFile false [BinaryWriter] read(b);
    BinaryReadWriteFile false [BinaryWriter, BinaryReader] read(b) write(b);
    BinaryWriteFile false [BinaryReader] write(b);
}

/// A file whose text a function writes.
pub(super) struct ShowFile<F: 'static>(pub(super) &'static F);
/// A file whose writers a function reads.
pub(super) struct TakeFile<W: 'static>(pub(super) &'static W);
/// Both.
pub(super) struct CallbackFile<F: 'static, W: 'static>(pub(super) &'static F, pub(super) &'static W);

/// Has a function take what was written.
fn call<T>(data: &T, from: UserSlice, function: impl Fn(&T, &mut UserSliceReader) -> Result) -> Result<usize> {
    let mut reader = from.reader();
    let len = reader.len();
    function(data, &mut reader)?;
    Ok(len)
}

impl<T, F> MakeOps<T> for ShowFile<F>
where
    F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
{
    const READS: bool = true;
    const WRITES: bool = false;

    fn show(&self, data: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(data, f)
    }
}

impl<T, W> MakeOps<T> for TakeFile<W>
where
    W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
{
    const READS: bool = false;
    const WRITES: bool = true;

    fn write(&self, data: &T, from: UserSlice, _: &mut i64) -> Result<usize> {
        call(data, from, self.0)
    }
}

impl<T, F, W> MakeOps<T> for CallbackFile<F, W>
where
    F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
    W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
{
    const READS: bool = true;
    const WRITES: bool = true;

    fn show(&self, data: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(data, f)
    }

    fn write(&self, data: &T, from: UserSlice, _: &mut i64) -> Result<usize> {
        call(data, from, self.1)
    }
}
