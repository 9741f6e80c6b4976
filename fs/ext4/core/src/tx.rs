// SPDX-License-Identifier: GPL-2.0
//! One operation: its handle in the journal, and what its caller may do.

use crate::fs::Fs;
use errno::Result;
use ext4_store::{Buffer, Store};

/// Blocks whose revoke records are asked for at once.
const MOST_FORGOTTEN: u32 = 1024;

/// An operation under way. Made by [`Fs::begin`], ended by [`Fs::end`].
pub struct Tx<S: Store> {
    /// The journal's handle.
    pub handle: S::Handle,
    /// The caller may use blocks reserved for root (`CAP_SYS_RESOURCE`, or the reserved user or group).
    pub privileged: bool,
    /// Use may be made of the few clusters that are kept so that splitting an extent cannot fail.
    pub(crate) last_resort: bool,
    /// Blocks that may still be forgotten with the revoke records that the operation began with.
    spare_revokes: u32,
}

impl<S: Store> Fs<S> {
    /// Begins an operation that dirties at most `credits` blocks. `EROFS` on a read-only mount.
    pub fn begin(&self, credits: u32, privileged: bool) -> Result<Tx<S>> {
        if self.read_only() {
            return Err(errno::code::EROFS);
        }
        let handle = self.store.start(credits, credits)?;
        // The other half is for the nodes of trees.
        Ok(Tx { handle, privileged, last_resort: false, spare_revokes: credits / 2 })
    }

    /// Ends an operation.
    pub fn end(&self, tx: Tx<S>) -> Result {
        self.store.stop(tx.handle)
    }

    /// Runs an operation: ends it in any case, and gives its own error first.
    pub fn run<R>(&self, credits: u32, privileged: bool, f: impl FnOnce(&mut Tx<S>) -> Result<R>) -> Result<R> {
        let mut tx = self.begin(credits, privileged)?;
        let result = f(&mut tx);
        let ended = self.end(tx);
        let value = result?;
        ended?;
        Ok(value)
    }

    /// Changes a buffer within the operation: access, change, dirty.
    pub(crate) fn modify<R>(&self, tx: &mut Tx<S>, buf: &S::Buf, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.store.get_write_access(&mut tx.handle, buf)?;
        let result = {
            let mut data = buf.write();
            f(&mut data)
        };
        self.store.dirty_metadata(&mut tx.handle, buf)?;
        Ok(result)
    }

    /// The buffer of a block allocated in this operation, with content made by `f` from zeros.
    pub(crate) fn create_block(&self, tx: &mut Tx<S>, block: u64, f: impl FnOnce(&mut [u8])) -> Result<S::Buf> {
        let buf = self.store.getblk(block)?;
        self.store.get_create_access(&mut tx.handle, &buf)?;
        {
            let mut data = buf.write();
            data.fill(0);
            f(&mut data);
        }
        buf.set_verified();
        self.store.dirty_metadata(&mut tx.handle, &buf)?;
        Ok(buf)
    }

    /// How many of `wanted` blocks of metadata the operation may free: each takes a revoke record. 0: it is to be ended, and goes on in
    /// another.
    pub(crate) fn may_forget(&self, tx: &mut Tx<S>, wanted: u32) -> Result<u32> {
        let wanted = wanted.min(MOST_FORGOTTEN);
        if self.store.extend(&mut tx.handle, 0, wanted + 2 * (self.geo.cluster_blocks() - 1))? {
            return Ok(wanted);
        }
        let few = wanted.min(tx.spare_revokes);
        tx.spare_revokes -= few;
        Ok(few)
    }

    /// Whether the operation has, or could get, so many more credits. If not, the caller ends it and goes on in another.
    pub(crate) fn has_credits(&self, tx: &mut Tx<S>, needed: u32) -> Result<bool> {
        if self.store.credits(&tx.handle) >= needed {
            return Ok(true);
        }
        self.store.extend(&mut tx.handle, needed, needed)
    }
}
