// SPDX-License-Identifier: GPL-2.0
//! For tests in the kernel: who gets huge pages while one runs.

use crate::huge::HugeMode;

/// While it lives, who asks gets huge pages, and nobody else.
pub(crate) struct Asked(HugeMode);

impl Asked {
    pub(crate) fn new() -> Self {
        let before = HugeMode::get();
        // Without `khugepaged` it is in force too.
        let _ = HugeMode::Madvise.set();
        Self(before)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.0.set();
    }
}
