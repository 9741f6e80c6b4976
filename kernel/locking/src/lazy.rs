// SPDX-License-Identifier: GPL-2.0
//! Statics that are computed at first use.

use crate::SetOnce;

/// A static that is computed at first use.
pub struct LazyLock<T> {
    cell: SetOnce<T>,
    make: fn() -> T,
}

impl<T> LazyLock<T> {
    /// A value that `make` computes at first use. `make` must be short and must not use the same lock.
    pub const fn new(make: fn() -> T) -> Self {
        Self { cell: SetOnce::new(), make }
    }
}

impl<T> core::ops::Deref for LazyLock<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.cell.get_or_init(self.make)
    }
}
