// SPDX-License-Identifier: GPL-2.0
//! Credentials: `kernel::cred`, over `kernel/cred`.

use crate::sync::aref::AlwaysRefCounted;
use crate::task::Kuid;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kalloc::Arc;

/// Who somebody is.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct Credential(::cred::Cred);

impl Credential {
    pub(crate) fn from_arc(cred: &Arc<::cred::Cred>) -> &Self {
        // SAFETY: `Credential` is its `Cred`, which lives in an `Arc`.
        unsafe { &*Arc::as_ptr(cred).cast() }
    }

    /// The effective user.
    pub fn euid(&self) -> Kuid {
        Kuid::from_raw(self.0.euid)
    }

    /// The security module's number of it; there is no such module ([`security`](crate::security)).
    pub fn get_secid(&self) -> u32 {
        0
    }
}

// SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
unsafe impl AlwaysRefCounted for Credential {
    fn inc_ref(&self) {
        // SAFETY: The value lives in an `Arc`; that of the caller is only looked at, and a new one is kept.
        let arc = ManuallyDrop::new(unsafe { Arc::from_raw(core::ptr::from_ref(self).cast::<::cred::Cred>()) });
        core::mem::forget(Arc::clone(&arc));
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that was counted.
        drop(unsafe { Arc::from_raw(obj.as_ptr().cast::<::cred::Cred>()) });
    }
}
