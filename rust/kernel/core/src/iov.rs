// SPDX-License-Identifier: GPL-2.0
//! What a read fills and a write gives: `kernel::iov`, over the iterators of `arch/x86/mm`.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use errno::{Result, code::*};
use kalloc::{Allocator, Flags, Vec};
use x86_mm::uaccess::IovIter;

macro_rules! common {
    ($name:ident) => {
        impl $name<'_> {
            /// Calls `f` with the iterator in this form.
            #[doc(hidden)]
            pub fn with<R>(iov: &mut IovIter<'_>, f: impl FnOnce(&mut $name<'_>) -> R) -> R {
                f(&mut $name { iov: NonNull::from(iov).cast(), _data: PhantomData })
            }

            fn inner(&self) -> &IovIter<'_> {
                // SAFETY: By the type invariant.
                unsafe { self.iov.as_ref() }
            }

            fn inner_mut(&mut self) -> &mut IovIter<'static> {
                // SAFETY: By the type invariant. The lifetime is that of memory which outlives this value, and the reference
                // does not leave this module.
                unsafe { self.iov.as_mut() }
            }

            /// Bytes left.
            pub fn len(&self) -> usize {
                self.inner().count()
            }

            /// Whether none are left.
            pub fn is_empty(&self) -> bool {
                self.inner().is_empty()
            }

            /// Passes over bytes.
            pub fn advance(&mut self, bytes: usize) {
                self.inner_mut().advance(bytes);
            }

            /// Goes back.
            ///
            /// # Safety
            /// As many bytes were passed before.
            pub unsafe fn revert(&mut self, bytes: usize) {
                self.inner_mut().revert(bytes);
            }
        }
    };
}

/// What a program writes.
///
/// # Invariants
/// `iov` leads to an iterator that nobody else uses while this lives.
pub struct IovIterSource<'data> {
    iov: NonNull<IovIter<'static>>,
    _data: PhantomData<&'data [u8]>,
}

/// Where a program reads to.
///
/// # Invariants
/// `iov` leads to an iterator that nobody else uses while this lives.
pub struct IovIterDest<'data> {
    iov: NonNull<IovIter<'static>>,
    _data: PhantomData<&'data mut [u8]>,
}

common!(IovIterSource);
common!(IovIterDest);

impl IovIterSource<'_> {
    /// Copies as many bytes as both have, and passes over them; how many that was: fewer where memory is missing. May sleep.
    pub fn copy_from_iter(&mut self, out: &mut [u8]) -> usize {
        self.inner_mut().copy_from_iter(out)
    }

    /// Copies all to the end of `out`; how many bytes that was. May sleep.
    pub fn copy_from_iter_vec<A: Allocator>(&mut self, out: &mut Vec<u8, A>, flags: Flags) -> Result<usize> {
        let count = self.len();
        out.reserve(count, flags)?;
        let room = out.spare_capacity_mut().get_mut(..count).map_or(0, |room| self.copy_from_iter_raw(room).len());
        // SAFETY: As many bytes after the last were just initialized.
        unsafe { out.inc_len(room) };
        Ok(room)
    }

    /// Copies into memory that is not initialized; the part that then is.
    pub fn copy_from_iter_raw<'out>(&mut self, out: &'out mut [MaybeUninit<u8>]) -> &'out mut [u8] {
        out.fill(MaybeUninit::new(0));
        // SAFETY: Initialized just above.
        let out = unsafe { core::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), out.len()) };
        let done = self.copy_from_iter(out);
        out.get_mut(..done).unwrap_or_default()
    }
}

impl IovIterDest<'_> {
    /// Copies as many bytes as both have, and passes over them; how many that was. May sleep.
    pub fn copy_to_iter(&mut self, input: &[u8]) -> usize {
        self.inner_mut().copy_to_iter(input)
    }

    /// Copies what `contents` has from the position on, which moves. `EINVAL` before the start, `EFAULT`. May sleep.
    pub fn simple_read_from_buffer(&mut self, ppos: &mut i64, contents: &[u8]) -> Result<usize> {
        let at = usize::try_from(*ppos).map_err(|_| EINVAL)?;
        let Some(rest) = contents.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(0) };
        let done = self.copy_to_iter(rest);
        if done == 0 && !self.is_empty() {
            return Err(EFAULT);
        }
        // The sum is within `contents`, whose length an `i64` has.
        *ppos = ppos.saturating_add(done as i64);
        Ok(done)
    }
}
