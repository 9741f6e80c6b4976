// SPDX-License-Identifier: GPL-2.0
//! Fields that belong to who has the value's `ListArc`.

use core::cell::UnsafeCell;

/// A field that can be accessed by way of a `ListArc` alone: [`define_list_arc_field_getter!`](crate::define_list_arc_field_getter)
/// makes functions that do.
pub struct ListArcField<T, const ID: u64 = 0> {
    value: UnsafeCell<T>,
}

// SAFETY: Who has the `ListArc` accesses it, on whatever thread.
unsafe impl<T: Send + Sync, const ID: u64> Send for ListArcField<T, ID> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync, const ID: u64> Sync for ListArcField<T, ID> {}

impl<T, const ID: u64> ListArcField<T, ID> {
    /// The field with this value.
    pub fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value) }
    }

    /// Its value, for who has all of what it is in.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Its value.
    ///
    /// # Safety
    /// The caller has the `ListArc` of what it is in, borrowed as long as the reference is there.
    pub unsafe fn assert_ref(&self) -> &T {
        // SAFETY: The caller's contract: nobody changes it.
        unsafe { &*self.value.get() }
    }

    /// Its value, to change it.
    ///
    /// # Safety
    /// The caller has the `ListArc` of what it is in, borrowed mutably as long as the reference is there.
    #[expect(clippy::mut_from_ref, reason = "the caller sees to it")]
    pub unsafe fn assert_mut(&self) -> &mut T {
        // SAFETY: The caller's contract: nobody else accesses it.
        unsafe { &mut *self.value.get() }
    }
}

/// Functions for [`ListArcField`](crate::list::ListArcField)s: `pub fn name(&self) -> &Type { field }`, `&mut self`, `&self<2>`.
#[macro_export]
macro_rules! define_list_arc_field_getter {
    () => {};
    ($vis:vis fn $name:ident(&self $(<$id:tt>)?) -> &$type:ty { $field:ident } $($rest:tt)*) => {
        $vis fn $name<'a>(self: &'a $crate::list::ListArc<Self $(, $id)?>) -> &'a $type {
            let field = &(&**self).$field;
            // SAFETY: Its `ListArc` is borrowed as long.
            unsafe { $crate::list::ListArcField::<$type $(, $id)?>::assert_ref(field) }
        }

        $crate::define_list_arc_field_getter! { $($rest)* }
    };
    ($vis:vis fn $name:ident(&mut self $(<$id:tt>)?) -> &mut $type:ty { $field:ident } $($rest:tt)*) => {
        $vis fn $name<'a>(self: &'a mut $crate::list::ListArc<Self $(, $id)?>) -> &'a mut $type {
            let field = &(&**self).$field;
            // SAFETY: Its `ListArc` is borrowed mutably as long.
            unsafe { $crate::list::ListArcField::<$type $(, $id)?>::assert_mut(field) }
        }

        $crate::define_list_arc_field_getter! { $($rest)* }
    };
}
