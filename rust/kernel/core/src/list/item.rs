// SPDX-License-Identifier: GPL-2.0
//! Values that can be in a list: what their types implement, and the macros that do it.

use super::{ListArcSafe, ListLinks, ListLinksSelfPtr};

/// Types whose [`ListArc`](super::ListArc)s can be put into a list: [`impl_list_item!`](crate::impl_list_item) implements it.
///
/// # Safety
/// The functions do what is said of them.
pub unsafe trait ListItem<const ID: u64 = 0>: ListArcSafe<ID> {
    /// The links of a value. If it is in a list they are those that [`Self::prepare_to_insert`] gave, else ones that are null.
    ///
    /// # Safety
    /// `me` is a value.
    unsafe fn view_links(me: *const Self) -> *mut ListLinks<ID>;

    /// The value, as it was given to [`Self::prepare_to_insert`], of which these are the links.
    ///
    /// # Safety
    /// It is in a list by these links.
    unsafe fn view_value(me: *mut ListLinks<ID>) -> *const Self;

    /// The links of a value that is put into a list: the caller's alone until [`Self::post_remove`].
    ///
    /// # Safety
    /// `me` is a value in an `Arc` and in no list, and the caller has its `ListArc` until [`Self::post_remove`].
    unsafe fn prepare_to_insert(me: *const Self) -> *mut ListLinks<ID>;

    /// The value, as it was given to [`Self::prepare_to_insert`], which is in the list no more.
    ///
    /// # Safety
    /// [`Self::prepare_to_insert`] gave these links, and this was not called since.
    unsafe fn post_remove(me: *mut ListLinks<ID>) -> *const Self;
}

/// Types that have links.
///
/// # Safety
/// The links are a field.
pub unsafe trait HasListLinks<const ID: u64 = 0> {
    /// The links.
    ///
    /// # Safety
    /// `ptr` is a value.
    unsafe fn raw_get_list_links(ptr: *mut Self) -> *mut ListLinks<ID>;
}

/// Types whose links are in a [`ListLinksSelfPtr`].
///
/// # Safety
/// [`HasListLinks::raw_get_list_links`] gives links that are in one.
pub unsafe trait HasSelfPtr<T: ?Sized, const ID: u64 = 0>: HasListLinks<ID> {
    /// What they are in.
    ///
    /// # Safety
    /// `ptr` is a value.
    #[doc(hidden)]
    unsafe fn raw_get_self_ptr(ptr: *const Self) -> *const ListLinksSelfPtr<T, ID> {
        // SAFETY: The caller's contract; by the trait's the links are the first field of one.
        unsafe { Self::raw_get_list_links(ptr.cast_mut()).cast::<ListLinksSelfPtr<T, ID>>() }
    }
}

/// Says where a type's links are: `impl HasListLinks<0> for Type { self.links }`.
#[macro_export]
macro_rules! impl_has_list_links {
    ($(impl$({$($generics:tt)*})? HasListLinks$(<$id:tt>)? for $self:ty { self$(.$field:ident)* })*) => { $(
        // SAFETY: It is a field of this type: nothing else fits the function's.
        unsafe impl$(<$($generics)*>)? $crate::list::HasListLinks$(<$id>)? for $self {
            #[inline]
            unsafe fn raw_get_list_links(ptr: *mut Self) -> *mut $crate::list::ListLinks$(<$id>)? {
                // SAFETY: By the contract it is a value.
                unsafe { &raw mut (*ptr)$(.$field)* }
            }
        }
    )* };
}

/// Says where a type's links with a pointer are: `impl HasSelfPtr<Type> for Type { self.links }`.
#[macro_export]
macro_rules! impl_has_list_links_self_ptr {
    ($(impl$({$($generics:tt)*})? HasSelfPtr<$item:ty $(, $id:tt)?> for $self:ty { self$(.$field:ident)* })*) => { $(
        // SAFETY: The links are in a field that is one, as the function below says.
        unsafe impl$(<$($generics)*>)? $crate::list::HasSelfPtr<$item $(, $id)?> for $self {}

        // SAFETY: As above.
        unsafe impl$(<$($generics)*>)? $crate::list::HasListLinks$(<$id>)? for $self {
            #[inline]
            unsafe fn raw_get_list_links(ptr: *mut Self) -> *mut $crate::list::ListLinks$(<$id>)? {
                // SAFETY: By the contract it is a value.
                let links: *mut $crate::list::ListLinksSelfPtr<$item $(, $id)?> = unsafe { &raw mut (*ptr)$(.$field)* };
                links.cast()
            }
        }
    )* };
}

/// Makes a type one of lists: `impl ListItem<0> for Type { using ListLinks { self.links }; }`, or `using ListLinksSelfPtr`.
#[macro_export]
macro_rules! impl_list_item {
    () => {};
    (
        impl$({$($generics:tt)*})? ListItem<$id:tt> for $self:ty {
            using ListLinks { self$(.$field:ident)* };
        } $($rest:tt)*
    ) => {
        $crate::impl_has_list_links! {
            impl$({$($generics)*})? HasListLinks<$id> for $self { self$(.$field)* }
        }

        // SAFETY: The links are a field, so they and the value are found from each other.
        unsafe impl$(<$($generics)*>)? $crate::list::ListItem<$id> for $self {
            #[inline]
            unsafe fn view_links(me: *const Self) -> *mut $crate::list::ListLinks<$id> {
                // SAFETY: The caller's contract.
                unsafe { <Self as $crate::list::HasListLinks<$id>>::raw_get_list_links(me.cast_mut()) }
            }

            #[inline]
            unsafe fn view_value(me: *mut $crate::list::ListLinks<$id>) -> *const Self {
                me.cast::<u8>().wrapping_sub(::core::mem::offset_of!(Self, $($field).*)).cast::<Self>().cast_const()
            }

            #[inline]
            unsafe fn prepare_to_insert(me: *const Self) -> *mut $crate::list::ListLinks<$id> {
                // SAFETY: The caller's contract.
                unsafe { <Self as $crate::list::ListItem<$id>>::view_links(me) }
            }

            #[inline]
            unsafe fn post_remove(me: *mut $crate::list::ListLinks<$id>) -> *const Self {
                // SAFETY: The caller's contract.
                unsafe { <Self as $crate::list::ListItem<$id>>::view_value(me) }
            }
        }

        $crate::impl_list_item! { $($rest)* }
    };
    (
        impl$({$($generics:tt)*})? ListItem<$id:tt> for $self:ty {
            using ListLinksSelfPtr { self$(.$field:ident)* };
        } $($rest:tt)*
    ) => {
        $crate::impl_has_list_links_self_ptr! {
            impl$({$($generics)*})? HasSelfPtr<$self, $id> for $self { self$(.$field)* }
        }

        // SAFETY: The links are a field, and beside them it is written where the value is.
        unsafe impl$(<$($generics)*>)? $crate::list::ListItem<$id> for $self {
            #[inline]
            unsafe fn view_links(me: *const Self) -> *mut $crate::list::ListLinks<$id> {
                // SAFETY: The caller's contract.
                unsafe { <Self as $crate::list::HasListLinks<$id>>::raw_get_list_links(me.cast_mut()) }
            }

            #[inline]
            unsafe fn view_value(me: *mut $crate::list::ListLinks<$id>) -> *const Self {
                // SAFETY: It is in a list, so `prepare_to_insert` has set it.
                unsafe { $crate::list::ListLinksSelfPtr::<Self, $id>::value_of(me) }
            }

            #[inline]
            unsafe fn prepare_to_insert(me: *const Self) -> *mut $crate::list::ListLinks<$id> {
                // SAFETY: The caller's contract.
                unsafe {
                    let links = <Self as $crate::list::HasSelfPtr<Self, $id>>::raw_get_self_ptr(me);
                    $crate::list::ListLinksSelfPtr::set(links, me);
                    <Self as $crate::list::ListItem<$id>>::view_links(me)
                }
            }

            #[inline]
            unsafe fn post_remove(me: *mut $crate::list::ListLinks<$id>) -> *const Self {
                // SAFETY: The caller's contract.
                unsafe { <Self as $crate::list::ListItem<$id>>::view_value(me) }
            }
        }

        $crate::impl_list_item! { $($rest)* }
    };
}
