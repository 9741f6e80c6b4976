// SPDX-License-Identifier: GPL-2.0
//! `data=journal`, `chattr +j`: blocks of files are written as metadata is, through the journal, with the transaction that gives
//! them their place.
//!
//! `write(2)` has the pages written before it is over (`file::writes_at_once`), stores to mapped memory wait for write-back. A page counts as
//! written once its blocks are in the transaction. Until they are home the metadata cache has them, so that is where they are read
//! from; blocks that are freed are revoked (`ext4_core::Options::journal_data`).

use crate::mounted::Mounted;
use crate::node::Node;
use crate::store::KernelStore;
use core::sync::atomic::Ordering;
use errno::Result;
use ext4_core::Tx;
use ext4_store::{Buffer, Store};
use kernel::filesystem::mm_alloc::Page;
use kernel::filesystem::vfs::Inode;

/// Blocks of data that are written in one transaction, or those of a page if that has more: the smallest logs have room for it.
pub(crate) const BLOCKS: u32 = 16;

/// Writes a block within a transaction; `fill` gives its content.
pub(crate) fn put(mount: &Mounted, tx: &mut Tx<KernelStore>, block: u64, fill: impl FnOnce(&mut [u8])) -> Result {
    let store = &mount.core.store;
    let buf = store.getblk(block)?;
    store.get_write_access(&mut tx.handle, &buf)?;
    fill(&mut buf.write());
    store.dirty_metadata(&mut tx.handle, &buf)
}

/// Writes a block from a page.
pub(crate) fn put_page(mount: &Mounted, tx: &mut Tx<KernelStore>, block: u64, page: &Page, offset: usize) -> Result {
    let mut result = Ok(());
    put(mount, tx, block, |data| result = page.read(offset, data))?;
    result
}

/// Reads a block that is in memory into a page. False: it is to be read from the disk.
pub(crate) fn get_page(mount: &Mounted, block: u64, page: &Page, offset: usize) -> Result<bool> {
    let Some(buf) = mount.base.cache.find_uptodate(block) else { return Ok(false) };
    page.write(offset, &buf.read())?;
    Ok(true)
}

/// A file's data goes through the journal from now on, or no more, as `flags` (those of the disk) say. The inode's lock is held.
///
/// No operation runs meanwhile, and the log is empty: what it had of the file's blocks must not come home over what is written past it,
/// and the cache must not have what they held before.
pub(crate) fn switch(inode: &Inode, node: &Node, mount: &Mounted, flags: u32) -> Result {
    let Some(journal) = mount.journal() else { return Ok(()) };
    node.shared.direct.wait();
    if let Some(mapping) = inode.mapping() {
        mapping.write_and_wait(0, u64::MAX)?;
    }
    journal.lock_updates();
    let done = journal.flush();
    if done.is_ok() {
        mount.base.cache.drop_unused();
        node.shared.journaled.store(mount.journals_data(flags), Ordering::Relaxed);
    }
    journal.unlock_updates();
    done
}
