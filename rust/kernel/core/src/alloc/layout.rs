// SPDX-License-Identifier: GPL-2.0
//! Layouts of arrays: `kernel::alloc::layout`.

use core::alloc::Layout;
use core::marker::PhantomData;
use errno::{Error, code::ENOMEM};

/// The array is too large.
#[derive(Debug)]
pub struct LayoutError;

impl From<LayoutError> for Error {
    fn from(_: LayoutError) -> Self {
        ENOMEM
    }
}

/// The layout of an array of `T`.
///
/// # Invariants
/// The array has at most `isize::MAX` bytes.
#[derive(Debug)]
pub struct ArrayLayout<T> {
    len: usize,
    _phantom: PhantomData<fn() -> T>,
}

impl<T> Clone for ArrayLayout<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ArrayLayout<T> {}

impl<T> ArrayLayout<T> {
    /// That of no element.
    pub const fn empty() -> Self {
        Self { len: 0, _phantom: PhantomData }
    }

    /// That of `len` elements.
    pub const fn new(len: usize) -> Result<Self, LayoutError> {
        match len.checked_mul(size_of::<T>()) {
            Some(size) if size <= isize::MAX as usize => Ok(Self { len, _phantom: PhantomData }),
            _ => Err(LayoutError),
        }
    }

    /// As [`Self::new`], unchecked.
    ///
    /// # Safety
    /// The array has at most `isize::MAX` bytes.
    pub const unsafe fn new_unchecked(len: usize) -> Self {
        Self { len, _phantom: PhantomData }
    }

    /// How many elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes.
    pub const fn size(&self) -> usize {
        self.len * size_of::<T>()
    }
}

impl<T> From<ArrayLayout<T>> for Layout {
    fn from(value: ArrayLayout<T>) -> Self {
        // SAFETY: The size is in range by the type invariant, and the alignment is that of a type.
        unsafe { Layout::from_size_align_unchecked(value.size(), align_of::<T>()) }
    }
}
