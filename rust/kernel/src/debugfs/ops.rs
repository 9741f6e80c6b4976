// SPDX-License-Identifier: GPL-2.0
//! From a value and a kind of file to what the file system calls.

use super::traits::{BinaryReader, BinaryWriter, Reader, Writer};
use crate::uaccess::{UserPtr, UserSlice, UserSliceReader};
use ::debugfs::Ops;
use core::fmt;
use core::ptr::NonNull;
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use vfs::SeqBuf;
use x86_mm::uaccess::UserPtr as RawPtr;

/// A value, with what a kind of file does to it.
///
/// # Invariants
/// The value is valid as long as the file is there: whoever made the file takes it away first.
struct Data<T, M> {
    data: NonNull<T>,
    how: M,
}

// SAFETY: It shares a `T`, which is `Sync`.
unsafe impl<T: Sync, M: Send> Send for Data<T, M> {}
// SAFETY: As above.
unsafe impl<T: Sync, M: Sync> Sync for Data<T, M> {}

/// A kind of file.
pub(super) trait MakeOps<T>: Sized + Send + Sync + 'static {
    /// Whether it can be read.
    const READS: bool;
    /// Whether it can be written.
    const WRITES: bool;
    /// Whether what is read is a text.
    const TEXT: bool = true;

    fn show(&self, _: &T, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }

    fn read(&self, _: &T, _: UserSlice, _: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    fn write(&self, _: &T, _: UserSlice, _: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    /// The operations of a file that does this to `data`.
    ///
    /// # Safety
    /// `data` is valid until the file is taken away.
    unsafe fn ops(self, data: &T) -> Result<Arc<dyn Ops>>
    where
        T: Sync + 'static,
    {
        Ok(Arc::new(Data { data: NonNull::from(data), how: self }, GFP_KERNEL)?)
    }
}

/// Something that `Writer` or a function writes, as `Display`.
struct Shown<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Shown<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

impl<T: Sync + 'static, M: MakeOps<T>> Ops for Data<T, M> {
    fn is_text(&self) -> bool {
        M::TEXT && M::READS
    }

    fn show(&self, out: &mut SeqBuf) -> Result {
        // SAFETY: By the type invariant.
        let data = unsafe { self.data.as_ref() };
        out.print(format_args!("{}", Shown(|f: &mut fmt::Formatter<'_>| self.how.show(data, f))))
    }

    fn read(&self, to: RawPtr, len: usize, pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant.
        self.how.read(unsafe { self.data.as_ref() }, UserSlice::new(UserPtr::from_raw(to), len), pos)
    }

    fn write(&self, from: RawPtr, len: usize, pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant.
        self.how.write(unsafe { self.data.as_ref() }, UserSlice::new(UserPtr::from_raw(from), len), pos)
    }
}

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
