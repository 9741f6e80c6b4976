// SPDX-License-Identifier: GPL-2.0
//! From a value and a kind of file to what the file system calls.

use crate::uaccess::{UserPtr, UserSlice};
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
pub trait MakeOps<T>: Sized + Send + Sync + 'static {
    /// Whether it can be read.
    const READS: bool;
    /// Whether it can be written.
    const WRITES: bool;
    /// Whether what is read is a text.
    const TEXT: bool = true;

    /// Writes the text.
    fn show(&self, _: &T, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }

    /// `read(2)`.
    fn read(&self, _: &T, _: UserSlice, _: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    /// `write(2)`.
    fn write(&self, _: &T, _: UserSlice, _: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    /// The permissions of such files.
    fn mode() -> u32 {
        (if Self::READS { 0o400 } else { 0 }) | if Self::WRITES { 0o200 } else { 0 }
    }
}

/// The operations of a file that does `how` to `data`.
///
/// # Safety
/// `data` is valid until the file is taken away.
pub(super) unsafe fn ops<T: Sync + 'static, M: MakeOps<T>>(data: &T, how: M) -> Result<Arc<dyn Ops>> {
    Ok(Arc::new(Data { data: NonNull::from(data), how }, GFP_KERNEL)?)
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
