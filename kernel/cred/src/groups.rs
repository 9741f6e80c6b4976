// SPDX-License-Identifier: GPL-2.0
//! Supplementary groups: a sorted list, shared between credentials. Source: `setgroups(2)`.

use containers::sort;
use errno::{Result, code::EINVAL};
use kalloc::{Arc, KVec, flags::GFP_KERNEL};

/// Most supplementary groups a task may have.
pub const NGROUPS_MAX: usize = 65536;

/// A sorted list of group ids.
#[derive(Debug)]
pub struct GroupInfo {
    gids: KVec<u32>,
}

impl GroupInfo {
    /// A list of `gids` in any order. `EINVAL` if there are too many, `ENOMEM`.
    pub fn new(mut gids: KVec<u32>) -> Result<Arc<Self>> {
        if gids.len() > NGROUPS_MAX {
            return Err(EINVAL);
        }
        sort::sort(&mut gids);
        Ok(Arc::new(Self { gids }, GFP_KERNEL)?)
    }

    /// Whether `gid` is in the list.
    #[inline]
    pub fn contains(&self, gid: u32) -> bool {
        self.gids.binary_search(&gid).is_ok()
    }

    /// The ids, sorted.
    pub fn gids(&self) -> &[u32] {
        &self.gids
    }
}
