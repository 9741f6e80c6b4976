// SPDX-License-Identifier: GPL-2.0
//! A place between two values of a list, to change it there.
//!
//! ```
//! use kernel::list::{Cursor, List, ListItem};
//!
//! /// Takes out what `wanted` does not want.
//! fn retain<T: ListItem<0>>(list: &mut List<T>, wanted: impl Fn(&T) -> bool) {
//!     let mut cursor = list.cursor_front();
//!     while let Some(next) = cursor.peek_next() {
//!         if wanted(&next) {
//!             cursor.move_next();
//!         } else {
//!             next.remove();
//!         }
//!     }
//! }
//! ```

use super::links::Fields;
use super::{List, ListArc, ListItem};
use crate::sync::ArcBorrow;
use core::ops::Deref;

/// A place in front of the first value, between two, or behind the last.
///
/// # Invariants
/// `next` is the links of the value behind the place, null at the end.
pub struct Cursor<'a, T: ?Sized + ListItem<ID>, const ID: u64 = 0> {
    pub(super) list: &'a mut List<T, ID>,
    pub(super) next: *mut Fields,
}

impl<'a, T: ?Sized + ListItem<ID>, const ID: u64> Cursor<'a, T, ID> {
    /// The links of the value in front of the place; null at the start.
    fn prev(&self) -> *mut Fields {
        if self.next.is_null() {
            self.list.last()
        } else if self.next == self.list.first {
            core::ptr::null_mut()
        } else {
            // SAFETY: By the type invariant it is in the list.
            unsafe { (*self.next).prev }
        }
    }

    /// The value behind the place.
    pub fn peek_next(&mut self) -> Option<CursorPeek<'_, 'a, T, true, ID>> {
        let item = self.next;
        (!item.is_null()).then_some(CursorPeek { cursor: self, item })
    }

    /// The value in front of the place.
    pub fn peek_prev(&mut self) -> Option<CursorPeek<'_, 'a, T, false, ID>> {
        let item = self.prev();
        (!item.is_null()).then_some(CursorPeek { cursor: self, item })
    }

    /// Moves behind the next value; `false` at the end.
    pub fn move_next(&mut self) -> bool {
        if self.next.is_null() {
            return false;
        }
        // SAFETY: By the type invariant it is in the list.
        let next = unsafe { (*self.next).next };
        self.next = if next == self.list.first { core::ptr::null_mut() } else { next };
        true
    }

    /// Moves in front of the previous value; `false` at the start.
    pub fn move_prev(&mut self) -> bool {
        let prev = self.prev();
        if prev.is_null() {
            return false;
        }
        self.next = prev;
        true
    }

    /// Puts a value at the place, which stays behind it. Its links.
    fn put(&mut self, item: ListArc<T, ID>) -> *mut Fields {
        let at_start = self.next == self.list.first && !self.next.is_null();
        let next = if self.next.is_null() { self.list.first } else { self.next };
        // SAFETY: It is in the list, or that is empty. In front of the first, in the ring, is behind the last.
        let new = unsafe { self.list.insert_before(item, next) };
        if at_start {
            self.list.first = new;
        }
        new
    }

    /// Puts a value at the place.
    pub fn insert(mut self, item: ListArc<T, ID>) {
        self.put(item);
    }

    /// Puts a value at the place, so that it is the next one.
    pub fn insert_next(&mut self, item: ListArc<T, ID>) {
        self.next = self.put(item);
    }

    /// Puts a value at the place, so that it is the previous one.
    pub fn insert_prev(&mut self, item: ListArc<T, ID>) {
        self.put(item);
    }

    /// Takes the next value out.
    pub fn remove_next(&mut self) -> Option<ListArc<T, ID>> {
        self.peek_next().map(CursorPeek::remove)
    }

    /// Takes the previous value out.
    pub fn remove_prev(&mut self) -> Option<ListArc<T, ID>> {
        self.peek_prev().map(CursorPeek::remove)
    }
}

/// A value beside a [`Cursor`].
///
/// # Invariants
/// `item` is its links: those behind the cursor if `ISNEXT`, else those in front of it.
pub struct CursorPeek<'a, 'b, T: ?Sized + ListItem<ID>, const ISNEXT: bool, const ID: u64> {
    cursor: &'a mut Cursor<'b, T, ID>,
    item: *mut Fields,
}

impl<T: ?Sized + ListItem<ID>, const ISNEXT: bool, const ID: u64> CursorPeek<'_, '_, T, ISNEXT, ID> {
    /// Takes it out; the cursor stays between its neighbours.
    pub fn remove(self) -> ListArc<T, ID> {
        if ISNEXT {
            self.cursor.move_next();
        }
        // SAFETY: By the type invariant it is in the list.
        unsafe { self.cursor.list.take(self.item) }
    }

    /// It, as something that can become an `Arc`.
    pub fn arc(&self) -> ArcBorrow<'_, T> {
        // SAFETY: It is in the list, which is borrowed.
        unsafe { super::borrow::<T, ID>(self.item) }
    }
}

impl<T: ?Sized + ListItem<ID>, const ISNEXT: bool, const ID: u64> Deref for CursorPeek<'_, '_, T, ISNEXT, ID> {
    type Target = T;

    fn deref(&self) -> &T {
        self.arc().into_ref()
    }
}
