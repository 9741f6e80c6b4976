// SPDX-License-Identifier: GPL-2.0
//! Forms of values of other crates that live in an `Arc`, so that an `ARef` can count them.

/// What the macro expands to.
#[doc(hidden)]
pub use kalloc::Arc;

/// `in_arc! { mod counted; pub struct Form(::other::Value); }` declares `Form`, which is found only where an `Arc<::other::Value>`
/// is. The module is private: it keeps others from making a `Form` of a value elsewhere.
#[doc(hidden)]
#[macro_export]
macro_rules! in_arc {
    (mod $module:ident; $(#[$attr:meta])* pub struct $name:ident($inner:ty);) => {
        pub use $module::$name;

        mod $module {
            $(#[$attr])*
            ///
            /// # Invariants
            /// The value inside lives in an `Arc`.
            #[repr(transparent)]
            pub struct $name($inner);

            impl $name {
                /// The value in an `Arc` in this form.
                #[doc(hidden)]
                pub fn of(arc: &$crate::in_arc::Arc<$inner>) -> &Self {
                    // SAFETY: The form is a transparent wrapper, and the value lives in an `Arc`.
                    unsafe { &*$crate::in_arc::Arc::as_ptr(arc).cast() }
                }

                /// The value.
                pub(super) fn inner(&self) -> &$inner {
                    &self.0
                }
            }

            // SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
            unsafe impl $crate::aref::AlwaysRefCounted for $name {
                fn inc_ref(&self) {
                    // SAFETY: By the type invariant; the caller's own reference is only looked at.
                    let arc = unsafe { $crate::in_arc::Arc::from_raw(&raw const self.0) };
                    ::core::mem::forget(($crate::in_arc::Arc::clone(&arc), arc));
                }

                unsafe fn dec_ref(obj: ::core::ptr::NonNull<Self>) {
                    // SAFETY: The caller gives up a reference that was counted.
                    drop(unsafe { $crate::in_arc::Arc::from_raw(obj.as_ptr().cast::<$inner>()) });
                }
            }
        }
    };
}
