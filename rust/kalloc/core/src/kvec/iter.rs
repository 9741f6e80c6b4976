// SPDX-License-Identifier: GPL-2.0
//! The elements of a vector one after the other: borrowed, by value, and taken out of the middle. No locks.

use super::Vec;
use crate::Flags;
use crate::allocator::Allocator;
use core::mem::{self, ManuallyDrop};
use core::{ptr, slice};

impl<'a, T, A: Allocator> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T, A: Allocator> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = IntoIter<T, A>;
    fn into_iter(mut self) -> IntoIter<T, A> {
        let end = self.len;
        // The elements belong to the iterator now, the memory stays with the vector.
        self.len = 0;
        IntoIter { next: 0, end, vec: self }
    }
}

/// The elements of a vector, by value.
///
/// # Invariants
/// The elements `next..end` of the vector's memory are initialized and owned; the vector's length is 0.
pub struct IntoIter<T, A: Allocator> {
    vec: Vec<T, A>,
    next: usize,
    end: usize,
}

impl<T, A: Allocator> IntoIter<T, A> {
    /// A vector of what is left, in the same memory. `flags` are for giving spare memory back, which may be left undone.
    pub fn collect(self, flags: Flags) -> Vec<T, A> {
        let this = ManuallyDrop::new(self);
        let left = this.end - this.next;
        // SAFETY: By the type invariant `next..end` are initialized and owned; they move to the front, and the memory with
        // them to the new vector. `this` is not used or dropped again.
        let mut v = unsafe {
            let mut vec = core::ptr::read(&this.vec);
            let first = vec.ptr.as_ptr();
            first.add(this.next).copy_to(first, left);
            vec.len = left;
            vec
        };
        // More memory than needed is no error.
        let _ = v.shrink_to_fit(flags);
        v
    }
}

impl<T, A: Allocator> Iterator for IntoIter<T, A> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: By the type invariant; the element is read once as `next` moves over it.
        let value = unsafe { self.vec.ptr.as_ptr().add(self.next).read() };
        self.next += 1;
        Some(value)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.end - self.next;
        (n, Some(n))
    }
}

impl<T, A: Allocator> DoubleEndedIterator for IntoIter<T, A> {
    fn next_back(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.end -= 1;
        // SAFETY: By the type invariant; the element is read once as `end` moved below it.
        Some(unsafe { self.vec.ptr.as_ptr().add(self.end).read() })
    }
}

impl<T, A: Allocator> ExactSizeIterator for IntoIter<T, A> {}

impl<T, A: Allocator> Drop for IntoIter<T, A> {
    fn drop(&mut self) {
        for value in self {
            drop(value);
        }
    }
}

/// The elements taken out by `drain`.
///
/// # Invariants
/// The elements `next..end` and `end_of_range..old_len` of the vector's memory are initialized.
pub struct Drain<'a, T, A: Allocator> {
    pub(super) vec: &'a mut Vec<T, A>,
    pub(super) start: usize,
    pub(super) next: usize,
    pub(super) end: usize,
    pub(super) old_len: usize,
}

impl<T, A: Allocator> Iterator for Drain<'_, T, A> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: By the type invariant; the element is read once as `next` moves over it.
        let value = unsafe { self.vec.ptr.as_ptr().add(self.next).read() };
        self.next += 1;
        Some(value)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.end - self.next;
        (n, Some(n))
    }
}

impl<T, A: Allocator> ExactSizeIterator for Drain<'_, T, A> {}

impl<T, A: Allocator> Drop for Drain<'_, T, A> {
    fn drop(&mut self) {
        for value in &mut *self {
            drop(value);
        }
        let tail = self.old_len - self.end;
        // SAFETY: The elements `start..end` were moved out; the tail moves down over them.
        unsafe {
            let base = self.vec.ptr.as_ptr();
            ptr::copy(base.add(self.end), base.add(self.start), tail);
            self.vec.set_len(self.start + tail);
        }
    }
}

/// All elements of a vector, taken out by `drain_all`. Those that are left when it is dropped are dropped.
///
/// # Invariants
/// The elements that the slice still has are initialized and owned by this value.
pub struct DrainAll<'vec, T> {
    elements: slice::IterMut<'vec, T>,
}

impl<'vec, T> DrainAll<'vec, T> {
    /// The elements of `vec`, which has none from now on.
    pub(super) fn new<A: Allocator>(vec: &'vec mut Vec<T, A>) -> Self {
        let len = mem::take(&mut vec.len);
        // SAFETY: The first `len` elements are initialized; the vector gives them up, so that nobody else drops or reads them, and its
        // memory is borrowed for `'vec`.
        Self { elements: unsafe { slice::from_raw_parts_mut(vec.ptr.as_ptr(), len) }.iter_mut() }
    }
}

impl<T> Iterator for DrainAll<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // SAFETY: By the type invariant; the element is read once, as the slice no longer has it.
        self.elements.next().map(|element| unsafe { ptr::read(element) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.elements.size_hint()
    }
}

impl<T> ExactSizeIterator for DrainAll<'_, T> {}

impl<T> Drop for DrainAll<'_, T> {
    fn drop(&mut self) {
        for value in self {
            drop(value);
        }
    }
}
