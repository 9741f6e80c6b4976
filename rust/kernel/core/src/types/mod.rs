// SPDX-License-Identifier: GPL-2.0
//! Small types that abstractions share: `kernel::types`.

pub mod for_lt;
mod opaque;
mod owned_foreign;

pub use crate::sync::aref::{ARef, AlwaysRefCounted};
pub(crate) use for_lt::covariant_by_lifetime;
pub use for_lt::{CovariantForLt, ForLt};
#[doc(hidden)]
pub use for_lt::{UnsafeForLtImpl, WithLt};
pub use kernel_base::types::{Either, NotThreadSafe, ScopeGuard};
pub use kernel_raw::foreign::ForeignOwnable;
pub use opaque::Opaque;
#[doc(hidden)]
pub use owned_foreign::OwnedForeign;
