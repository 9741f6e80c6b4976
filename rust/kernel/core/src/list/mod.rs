// SPDX-License-Identifier: GPL-2.0
//! Lists whose links are in the values: `kernel::list`. A value is in a list by its [`ListArc`], of which there is one for each `ID`:
//! so no value is in two lists by the same links.
//!
//! ```
//! use kernel::list::{List, ListArc, ListLinks, impl_list_arc_safe, impl_list_item};
//!
//! #[pin_data]
//! struct Request {
//!     sector: u64,
//!     #[pin]
//!     links: ListLinks,
//! }
//!
//! impl_list_arc_safe! {
//!     impl ListArcSafe<0> for Request { untracked; }
//! }
//! impl_list_item! {
//!     impl ListItem<0> for Request { using ListLinks { self.links }; }
//! }
//!
//! fn queue(list: &mut List<Request>, sector: u64) -> Result {
//!     let request = try_pin_init!(Request { sector, links <- ListLinks::new() });
//!     list.push_back(ListArc::pin_init(request, GFP_KERNEL)?);
//!     Ok(())
//! }
//!
//! let mut list = List::new();
//! queue(&mut list, 8)?;
//! queue(&mut list, 16)?;
//! assert_eq!(list.iter().map(|request| request.sector).sum::<u64>(), 24);
//! assert_eq!(list.pop_front().map(|request| request.sector), Some(8));
//! # Ok::<(), Error>(())
//! ```
//!
//! A list has no lock: who shares one puts it into a lock.

mod arc;
mod arc_field;
mod cursor;
mod item;
mod iter;
mod links;

pub use arc::{AtomicTracker, ListArc, ListArcSafe, TryNewListArc};
pub use arc_field::ListArcField;
pub use cursor::{Cursor, CursorPeek};
pub use item::{HasListLinks, HasSelfPtr, ListItem};
pub use iter::{IntoIter, Iter};
pub use links::{ListLinks, ListLinksSelfPtr};

pub use crate::{
    define_list_arc_field_getter, impl_has_list_links, impl_has_list_links_self_ptr, impl_list_arc_safe, impl_list_item,
};

use core::marker::PhantomData;
use links::Fields;

/// A list.
///
/// # Invariants
/// `first` is null if it is empty, else the links of the first value; from there `next` and `prev` lead around a ring of all values.
/// The list has the [`ListArc`] of each, and their links to itself.
pub struct List<T: ?Sized + ListItem<ID>, const ID: u64 = 0> {
    first: *mut Fields,
    _items: PhantomData<ListArc<T, ID>>,
}

// SAFETY: It is a number of `ListArc`s.
unsafe impl<T: ?Sized + ListItem<ID>, const ID: u64> Send for List<T, ID> where ListArc<T, ID>: Send {}
// SAFETY: As above.
unsafe impl<T: ?Sized + ListItem<ID>, const ID: u64> Sync for List<T, ID> where ListArc<T, ID>: Sync {}

impl<T: ?Sized + ListItem<ID>, const ID: u64> List<T, ID> {
    /// An empty list.
    pub const fn new() -> Self {
        Self { first: core::ptr::null_mut(), _items: PhantomData }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Puts a value in front of `next` in the ring; `first` changes only if the list was empty. The value's links.
    ///
    /// # Safety
    /// `next` is in this list; null if that is empty.
    unsafe fn insert_before(&mut self, item: ListArc<T, ID>, next: *mut Fields) -> *mut Fields {
        let item = ListArc::into_raw(item);
        // SAFETY: It is in an `Arc`, and we have its `ListArc`, so it is in no list by these links. They are ours from now on, and
        // those of what is in the list are, too.
        unsafe {
            let new = ListLinks::fields(T::prepare_to_insert(item));
            if next.is_null() {
                new.write(Fields { next: new, prev: new });
                self.first = new;
            } else {
                let prev = (*next).prev;
                new.write(Fields { next, prev });
                (*prev).next = new;
                (*next).prev = new;
            }
            new
        }
    }

    /// Takes a value out of the list.
    ///
    /// # Safety
    /// It is in this list.
    unsafe fn take(&mut self, item: *mut Fields) -> ListArc<T, ID> {
        // SAFETY: By the type invariant its links and its neighbours' are the list's; with `post_remove` they are no more, and the
        // `ListArc` that the list had of it is given away.
        unsafe {
            let Fields { next, prev } = item.read();
            (*prev).next = next;
            (*next).prev = prev;
            if self.first == item {
                self.first = if next == item { core::ptr::null_mut() } else { next };
            }
            item.write(Fields::NONE);
            ListArc::from_raw(T::post_remove(ListLinks::from_fields(item)))
        }
    }

    /// The last value's links; null if there is none.
    fn last(&self) -> *mut Fields {
        if self.first.is_null() {
            return core::ptr::null_mut();
        }
        // SAFETY: By the type invariant.
        unsafe { (*self.first).prev }
    }

    /// Adds a value behind all others.
    pub fn push_back(&mut self, item: ListArc<T, ID>) {
        let first = self.first;
        // SAFETY: In front of the first, in the ring, is behind the last.
        unsafe { self.insert_before(item, first) };
    }

    /// Adds a value in front of all others.
    pub fn push_front(&mut self, item: ListArc<T, ID>) {
        let first = self.first;
        // SAFETY: `first` is in the list or null.
        self.first = unsafe { self.insert_before(item, first) };
    }

    /// Takes the last value.
    pub fn pop_back(&mut self) -> Option<ListArc<T, ID>> {
        let last = self.last();
        // SAFETY: It is in this list.
        (!last.is_null()).then(|| unsafe { self.take(last) })
    }

    /// Takes the first value.
    pub fn pop_front(&mut self) -> Option<ListArc<T, ID>> {
        let first = self.first;
        // SAFETY: It is in this list.
        (!first.is_null()).then(|| unsafe { self.take(first) })
    }

    /// Takes `item` out; `None` if it is in no list.
    ///
    /// # Safety
    /// It is in no other list by these links.
    pub unsafe fn remove(&mut self, item: &T) -> Option<ListArc<T, ID>> {
        // SAFETY: A reference is a valid value. If it is in a list that is this one, and its links do not change meanwhile.
        unsafe {
            let links = ListLinks::fields(T::view_links(item));
            (!(*links).next.is_null()).then(|| self.take(links))
        }
    }

    /// Moves all of `other` behind all that is here.
    pub fn push_all_back(&mut self, other: &mut Self) {
        let theirs = core::mem::replace(&mut other.first, core::ptr::null_mut());
        if self.first.is_null() {
            self.first = theirs;
        } else if !theirs.is_null() {
            // SAFETY: Two rings of which each is one list's; the values of both are ours now.
            unsafe {
                let (our_last, their_last) = ((*self.first).prev, (*theirs).prev);
                (*our_last).next = theirs;
                (*theirs).prev = our_last;
                (*their_last).next = self.first;
                (*self.first).prev = their_last;
            }
        }
    }

    /// A cursor in front of the first value.
    pub fn cursor_front(&mut self) -> Cursor<'_, T, ID> {
        let next = self.first;
        Cursor { list: self, next }
    }

    /// A cursor behind the last value.
    pub fn cursor_back(&mut self) -> Cursor<'_, T, ID> {
        Cursor { list: self, next: core::ptr::null_mut() }
    }

    /// The values, from the first on.
    pub fn iter(&self) -> Iter<'_, T, ID> {
        Iter::new(self.first, self.last())
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> Default for List<T, ID> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized + ListItem<ID>, const ID: u64> Drop for List<T, ID> {
    fn drop(&mut self) {
        while let Some(item) = self.pop_front() {
            drop(item);
        }
    }
}

/// The value that links are in.
///
/// # Safety
/// They are in a list of such values, and the value stays in an `Arc` for `'a`.
unsafe fn borrow<'a, T: ?Sized + ListItem<ID>, const ID: u64>(links: *mut Fields) -> crate::sync::ArcBorrow<'a, T> {
    // SAFETY: What is in a list came out of a `ListArc`.
    unsafe { kalloc::Arc::borrow_raw(T::view_value(ListLinks::from_fields(links))) }
}
