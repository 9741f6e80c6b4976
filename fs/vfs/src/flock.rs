// SPDX-License-Identifier: GPL-2.0
//! placeholder replaced below
use crate::file::File;
pub(crate) struct LockState;
impl LockState {
    pub(crate) fn new() -> Self {
        Self
    }
}
pub(crate) fn release_file(_file: &File) {}
pub(crate) fn release_owner(_file: &File, _owner: usize) {}
