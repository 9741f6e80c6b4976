// SPDX-License-Identifier: GPL-2.0
//! Going through a list.

use super::links::Fields;
use super::{List, ListArc, ListItem};
use crate::sync::ArcBorrow;
use core::iter::FusedIterator;
use core::marker::PhantomData;

/// The values of a list that is borrowed.
///
/// # Invariants
/// `next` is null if nothing is left; else both are in the list, `last` not before `next`.
pub struct Iter<'a, T: ?Sized + ListItem<ID>, const ID: u64 = 0> {
    next: *mut Fields,
    last: *mut Fields,
    _list: PhantomData<&'a List<T, ID>>,
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> Iter<'_, T, ID> {
    pub(super) fn new(first: *mut Fields, last: *mut Fields) -> Self {
        Self { next: first, last, _list: PhantomData }
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> Clone for Iter<'_, T, ID> {
    fn clone(&self) -> Self {
        Self { next: self.next, last: self.last, _list: PhantomData }
    }
}

impl<'a, T: ?Sized + ListItem<ID>, const ID: u64> Iterator for Iter<'a, T, ID> {
    type Item = ArcBorrow<'a, T>;

    fn next(&mut self) -> Option<ArcBorrow<'a, T>> {
        let item = self.next;
        if item.is_null() {
            return None;
        }
        // SAFETY: By the type invariant; the list is borrowed, so that it does not change.
        unsafe {
            self.next = if item == self.last { core::ptr::null_mut() } else { (*item).next };
            Some(super::borrow::<T, ID>(item))
        }
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> FusedIterator for Iter<'_, T, ID> {}

impl<'a, T: ?Sized + ListItem<ID>, const ID: u64> IntoIterator for &'a List<T, ID> {
    type IntoIter = Iter<'a, T, ID>;
    type Item = ArcBorrow<'a, T>;

    fn into_iter(self) -> Iter<'a, T, ID> {
        self.iter()
    }
}

/// The values of a list, taken out of it.
pub struct IntoIter<T: ?Sized + ListItem<ID>, const ID: u64 = 0> {
    list: List<T, ID>,
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> Iterator for IntoIter<T, ID> {
    type Item = ListArc<T, ID>;

    fn next(&mut self) -> Option<ListArc<T, ID>> {
        self.list.pop_front()
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> DoubleEndedIterator for IntoIter<T, ID> {
    fn next_back(&mut self) -> Option<ListArc<T, ID>> {
        self.list.pop_back()
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> FusedIterator for IntoIter<T, ID> {}

impl<T: ?Sized + ListItem<ID>, const ID: u64> IntoIterator for List<T, ID> {
    type IntoIter = IntoIter<T, ID>;
    type Item = ListArc<T, ID>;

    fn into_iter(self) -> IntoIter<T, ID> {
        IntoIter { list: self }
    }
}
