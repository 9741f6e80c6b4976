// SPDX-License-Identifier: GPL-2.0
//! Parts of views by their offset, and copies of all of one: what the accesses in `kernel` are made of.

use super::{IoBackend, IoBase, IoCopyable};
use crate::build_assert::build_assert;
use crate::error::{Result, code::EINVAL};
use crate::ptr::KnownSize;

/// A `U` in something of type `Io`.
type Part<'a, Io, U> = <<Io as IoBase<'a>>::Backend as IoBackend>::View<'a, U>;

/// Whether a `U` at `offset` is in `size` bytes, and aligned if the first of them is at `base`.
#[inline(always)]
const fn fits<U>(base: usize, offset: usize, size: usize) -> bool {
    match offset.checked_add(size_of::<U>()) {
        Some(end) => end <= size && base.wrapping_add(offset).is_multiple_of(align_of::<U>()),
        None => false,
    }
}

/// The view of the `U` at `offset`.
///
/// # Safety
/// It is inside, and aligned.
#[inline(always)]
unsafe fn part<'a, I: IoBase<'a>, U>(io: I, offset: usize) -> Part<'a, I, U> {
    let view = io.as_view();
    let place = I::Backend::as_ptr(view).cast::<u8>().wrapping_add(offset).cast();
    // SAFETY: The caller's contract.
    unsafe { I::Backend::project_view(view, place) }
}

/// The view of the `U` at `offset`, which the compiler can see to be inside.
#[doc(hidden)]
#[inline(always)]
#[track_caller]
pub fn known<'a, I: IoBase<'a>, U>(io: I, offset: usize) -> Part<'a, I, U> {
    build_assert!(fits::<U>(0, offset, I::Target::MIN_SIZE), "offset out of bounds");
    // SAFETY: A region has its smallest size at least, and starts where every width of access may.
    unsafe { part::<I, U>(io, offset) }
}

/// The view of the `U` at `offset`. `EINVAL` if it is not inside, or not aligned.
#[doc(hidden)]
#[inline(always)]
pub fn checked<'a, I: IoBase<'a>, U>(io: I, offset: usize) -> Result<Part<'a, I, U>> {
    let pointer = I::Backend::as_ptr(io.as_view());
    if !fits::<U>(pointer.addr(), offset, I::Target::size(pointer)) {
        return Err(EINVAL);
    }
    // SAFETY: Just checked.
    Ok(unsafe { part::<I, U>(io, offset) })
}

/// Copies `data` to all of `view`.
///
/// # Panics
/// If it is not as long.
#[doc(hidden)]
#[inline]
#[track_caller]
pub fn copy_in<B: IoCopyable>(view: B::View<'_, [u8]>, data: &[u8]) {
    assert!(B::as_ptr(view).len() == data.len(), "lengths differ");
    // SAFETY: As long, and a shared slice is no device's memory.
    unsafe { B::copy_to_io(view, data.as_ptr()) };
}

/// Copies all of `view` to `data`.
///
/// # Panics
/// If it is not as long.
#[doc(hidden)]
#[inline]
#[track_caller]
pub fn copy_out<B: IoCopyable>(view: B::View<'_, [u8]>, data: &mut [u8]) {
    assert!(B::as_ptr(view).len() == data.len(), "lengths differ");
    // SAFETY: As long, and a borrowed slice is no device's memory.
    unsafe { B::copy_from_io(view, data.as_mut_ptr()) };
}
