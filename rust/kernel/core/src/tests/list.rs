// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of lists: order, cursors, trait objects, who has the `ListArc`.

use crate::alloc::flags::GFP_KERNEL;
use crate::error::{Result, code::*};
use crate::list::{
    AtomicTracker, List, ListArc, ListArcField, ListLinks, ListLinksSelfPtr, define_list_arc_field_getter,
    impl_list_arc_safe, impl_list_item,
};
use crate::try_pin_init;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use pin_init::{pin_data, pinned_drop};

/// How many values there are.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

#[pin_data(PinnedDrop)]
struct Item {
    value: u32,
    seen: ListArcField<u32>,
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl Item {
    fn new(value: u32) -> Result<ListArc<Self>> {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        let init = try_pin_init!(Self {
            value,
            seen: ListArcField::new(0),
            links <- ListLinks::new(),
            tracker <- AtomicTracker::new(),
        });
        ListArc::pin_init(init, GFP_KERNEL)
    }

    define_list_arc_field_getter! {
        fn seen(&self) -> &u32 { seen }
        fn seen_mut(&mut self) -> &mut u32 { seen }
    }
}

#[pinned_drop]
impl PinnedDrop for Item {
    fn drop(self: Pin<&mut Self>) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Item { tracked_by tracker: AtomicTracker; }
}
impl_list_item! {
    impl ListItem<0> for Item { using ListLinks { self.links }; }
}

trait Shape {
    fn corners(&self) -> u32;
}

#[pin_data]
struct Boxed<T: ?Sized> {
    #[pin]
    links: ListLinksSelfPtr<Boxed<dyn Shape>>,
    shape: T,
}

impl_list_arc_safe! {
    impl{T: ?Sized} ListArcSafe<0> for Boxed<T> { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Boxed<dyn Shape> { using ListLinksSelfPtr { self.links }; }
}

struct Polygon(u32);
struct Circle;

impl Shape for Polygon {
    fn corners(&self) -> u32 {
        self.0
    }
}

impl Shape for Circle {
    fn corners(&self) -> u32 {
        0
    }
}

fn boxed<T>(shape: T) -> Result<ListArc<Boxed<T>>> {
    ListArc::pin_init(try_pin_init!(Boxed { links <- ListLinksSelfPtr::new(), shape }), GFP_KERNEL)
}

/// The values, as digits.
fn digits(list: &List<Item>) -> u32 {
    list.iter().fold(0, |sum, item| sum * 10 + item.value)
}

#[macros::kunit_tests(rust_kernel_list)]
mod cases {
    use super::*;

    /// Both ends, splicing, and that nothing is left.
    #[test]
    fn ends() -> Result {
        let (mut one, mut two) = (List::new(), List::new());
        for value in [2, 3] {
            one.push_back(Item::new(value)?);
            two.push_front(Item::new(value + 2)?);
        }
        one.push_front(Item::new(1)?);
        one.push_all_back(&mut two);
        assert_eq!((digits(&one), two.is_empty()), (12354, true));
        two.push_all_back(&mut one);
        assert_eq!(two.pop_back().map(|item| item.value), Some(4));
        assert_eq!(two.pop_front().map(|item| item.value), Some(1));
        let item = two.iter().nth(1).map(crate::sync::Arc::from).ok_or(EINVAL)?;
        // SAFETY: It is in this list.
        let taken = unsafe { two.remove(&item) }.ok_or(EINVAL)?;
        assert_eq!((taken.value, digits(&two)), (3, 25));
        drop((taken, item, two.into_iter().rev().count()));
        assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
        Ok(())
    }

    /// Inserting and removing at every place.
    #[test]
    fn cursors() -> Result {
        let mut list = List::new();
        let mut cursor = list.cursor_front();
        assert!(!cursor.move_next() && !cursor.move_prev());
        cursor.insert_next(Item::new(2)?);
        cursor.insert_prev(Item::new(1)?);
        assert!(cursor.move_next() && !cursor.move_next());
        cursor.insert_prev(Item::new(4)?);
        assert!(cursor.move_prev());
        cursor.insert(Item::new(3)?);
        assert_eq!(digits(&list), 1234);
        let mut cursor = list.cursor_back();
        assert_eq!(cursor.remove_prev().map(|item| item.value), Some(4));
        assert!(cursor.remove_next().is_none());
        assert!(cursor.move_prev() && cursor.move_prev());
        assert_eq!(cursor.peek_next().map(|item| item.value), Some(2));
        assert_eq!(cursor.remove_prev().map(|item| item.value), Some(1));
        assert!(cursor.peek_prev().is_none());
        assert_eq!(digits(&list), 23);
        Ok(())
    }

    /// There is one `ListArc`, which alone has the field.
    #[test]
    fn one_list_arc() -> Result {
        let mut item = Item::new(7)?;
        *item.seen_mut() += 3;
        assert_eq!(*item.seen(), 3);
        let arc = item.clone_arc();
        assert!(ListArc::<_, 0>::try_from_arc(arc.clone()).is_err());
        drop(item);
        let again = ListArc::<_, 0>::try_from_arc(arc).map_err(|_| EBUSY)?;
        assert_eq!(*again.seen(), 3);
        Ok(())
    }

    /// Values of different types in one list.
    #[test]
    fn trait_objects() -> Result {
        let mut list = List::<Boxed<dyn Shape>>::new();
        list.push_back(boxed(Polygon(3))?);
        list.push_back(boxed(Circle)?);
        list.push_back(boxed(Polygon(5))?);
        assert_eq!(list.iter().map(|item| item.shape.corners()).sum::<u32>(), 8);
        assert_eq!(list.pop_back().map(|item| item.shape.corners()), Some(5));
        Ok(())
    }
}
