// SPDX-License-Identifier: GPL-2.0
//! `Kiocb`: one read or write.

use crate::types::ForeignOwnable;
use core::ffi::c_void;
use core::marker::PhantomData;

/// A read or write of a file whose private data is a `T`.
///
/// # Invariants
/// `private` came from `T::into_foreign`, and is not taken back during `'a`.
pub struct Kiocb<'a, T> {
    private: *mut c_void,
    pos: &'a mut i64,
    _p: PhantomData<&'a T>,
}

impl<'a, T: ForeignOwnable> Kiocb<'a, T> {
    /// A request at `pos`.
    ///
    /// # Safety
    /// As the type's invariants say.
    pub(crate) unsafe fn new(private: *mut c_void, pos: &'a mut i64) -> Self {
        Self { private, pos, _p: PhantomData }
    }

    /// The file's private data.
    pub fn file(&self) -> T::Borrowed<'a> {
        // SAFETY: By the type invariant.
        unsafe { T::borrow(self.private) }
    }

    /// The position.
    pub fn ki_pos(&self) -> i64 {
        *self.pos
    }

    /// The position, to be moved.
    pub fn ki_pos_mut(&mut self) -> &mut i64 {
        self.pos
    }
}
