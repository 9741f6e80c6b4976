// SPDX-License-Identifier: GPL-2.0
//! Views of parts: [`io_project!`](crate::io_project), and accesses to them.

use super::{IoBackend, IoBase};
use crate::ptr::KnownSize;

/// The pointer that stands for a view.
#[doc(hidden)]
#[inline(always)]
pub fn start<'a, V>(view: V) -> *mut V::Target
where
    V: IoBase<'a, Backend: IoBackend<View<'a, V::Target> = V>>,
{
    V::Backend::as_ptr(view)
}

/// The view of a part.
///
/// # Safety
/// As for [`IoBackend::project_view`].
#[doc(hidden)]
#[inline(always)]
pub unsafe fn finish<'a, V, U: ?Sized + KnownSize>(view: V, part: *mut U) -> <V::Backend as IoBackend>::View<'a, U>
where
    V: IoBase<'a, Backend: IoBackend<View<'a, V::Target> = V>>,
{
    // SAFETY: The caller's contract.
    unsafe { V::Backend::project_view::<V::Target, U>(view, part) }
}

/// The view of a part of what can be accessed: `io_project!(io, [try: 1].field)`, as [`project!`](crate::ptr::project) takes it.
#[macro_export]
macro_rules! io_project {
    ($io:expr, $($part:tt)*) => {{
        #[allow(unused_imports)]
        use $crate::io::IoBase as _;
        let view = $io.as_view();
        let part = $crate::project_pointer!(mut $crate::io::start(view), $($part)*);
        // SAFETY: It is a part of it.
        #[allow(unused_unsafe)]
        unsafe {
            $crate::io::finish(view, part)
        }
    }};
}
