// SPDX-License-Identifier: GPL-2.0
//! Quota: what users, groups and projects have, kept in the hidden quota files. (Accounting follows; file systems with the
//! feature are not mounted for writing yet.)

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::Result;
use ext4_store::Store;

/// Quotas of a mount.
pub(crate) struct Quotas<S: Store> {
    _store: core::marker::PhantomData<fn() -> S>,
}

impl<S: Store> Fs<S> {
    pub(crate) fn quota_reserve(&self, _inode: &Inode, _clusters: u64) -> Result {
        Ok(())
    }
    pub(crate) fn quota_unreserve(&self, _inode: &Inode, _clusters: u64) {}
    pub(crate) fn quota_claim(&self, _tx: &mut Tx<S>, _inode: &Inode, _clusters: u64) -> Result {
        Ok(())
    }
    pub(crate) fn quota_charge(&self, _tx: &mut Tx<S>, _inode: &Inode, _clusters: i64) -> Result {
        Ok(())
    }
    pub(crate) fn quota_inode(&self, _tx: &mut Tx<S>, _inode: &Inode, _inodes: i64) -> Result {
        Ok(())
    }
}
