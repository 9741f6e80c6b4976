// SPDX-License-Identifier: GPL-2.0
//! No segments.

pub struct LdtSlot;

impl LdtSlot {
    pub fn new() -> Self {
        Self
    }
}
