// SPDX-License-Identifier: GPL-2.0
//! Changing a file's length, holes, and freeing files that are gone.

use crate::fallocate::{Content, content};
use crate::mounted::{Mounted, parts};
use crate::node::{Node, Shared, from_core, to_core};
use crate::options::ask;
use errno::Result;
use errno::code::{EINVAL, EUCLEAN};
use kalloc::Arc;
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::vfs::Inode;

/// Makes a regular file `size` bytes long. The inode's lock is held.
pub(crate) fn set_size(inode: &Inode, size: u64) -> Result {
    let (node, mount) = parts(inode)?;
    let mapping = inode.mapping().ok_or(EINVAL)?;
    node.shared.direct.wait();
    if size > inode.size() {
        grow(inode, node, mount, mapping, size)
    } else {
        shrink(inode, node, mount, mapping, size)
    }
}

fn grow(inode: &Inode, node: &Node, mount: &Mounted, mapping: &Arc<Mapping>, size: u64) -> Result {
    clear_rest(&node.shared, mapping, inode.size())?;
    // Zeros are added; if they do not fit into the inode, the file gets blocks.
    let leaves = {
        let tree = node.shared.tree.read();
        tree.inode.is_inline() && !mount.core.inline_holds(&tree.inode, size)?
    };
    if leaves {
        mount.leave_inline(&node.shared)?;
    }
    let old = inode.size();
    mapping.set_size(size);
    inode.set_size(size);
    let grown = mount.run(8, |tx| {
        let mut tree = node.shared.tree.write();
        to_core(inode, &mut tree.inode);
        if tree.inode.is_inline() && mount.core.inline_truncate(tx, &mut tree.inode, size)? {
            from_core(inode, &tree.inode);
            node.shared.note(mount.tid(tx), true);
            return Ok(());
        }
        tree.inode.raw.size = size;
        mount.core.write_inode(tx, &tree.inode)?;
        node.shared.note(mount.tid(tx), true);
        Ok(())
    });
    if grown.is_err() {
        mapping.set_size(old);
        inode.set_size(old);
    }
    grown
}

/// Bytes from `at` to the end of its page become zeros, if the page has data there.
pub(crate) fn clear_rest(shared: &Shared, mapping: &Mapping, at: u64) -> Result {
    let offset = (at % PAGE_SIZE as u64) as usize;
    if offset == 0 {
        return Ok(());
    }
    let index = at / PAGE_SIZE as u64;
    let page = match content(shared, at, at + 1)? {
        Content::Data => Some(mapping.get_or_read(index)?),
        Content::InPage => mapping.get(index),
        Content::Zeros => None,
    };
    mapping.clear_partial(at, PAGE_SIZE - offset);
    if let Some(page) = page {
        mapping.set_dirty_range(index, &page, offset, PAGE_SIZE);
    }
    Ok(())
}

fn shrink(inode: &Inode, node: &Node, mount: &Mounted, mapping: &Arc<Mapping>, size: u64) -> Result {
    clear_rest(&node.shared, mapping, size)?;
    if size == 0 && mount.has(ask::AUTO_DA_ALLOC) {
        node.shared.flush_on_close.store(true, core::sync::atomic::Ordering::Release);
    }
    let _guard = mapping.invalidate_lock();
    inode.set_size(size);
    mapping.truncate(size);
    {
        let mut tree = node.shared.tree.write();
        let from = u32::try_from(mount.core.blocks_of(size)).unwrap_or(u32::MAX);
        node.shared.unreserve(&mut tree, from, u32::MAX)?;
    }
    let mut first = true;
    loop {
        let credits = mount.core.credits_for_truncate(&node.shared.tree.read().inode);
        let done = mount.core.run(credits, true, |tx| {
            let mut tree = node.shared.tree.write();
            to_core(inode, &mut tree.inode);
            node.shared.note(mount.tid(tx), true);
            if tree.inode.is_inline() {
                // What is cut fits: the size was compared with the content when the inode was read.
                let fits = mount.core.inline_truncate(tx, &mut tree.inode, size)?;
                from_core(inode, &tree.inode);
                return if fits { Ok(true) } else { Err(EUCLEAN) };
            }
            if first {
                tree.inode.raw.size = size;
                mount.core.orphan_add(tx, &mut tree.inode)?;
                mount.core.write_inode(tx, &tree.inode)?;
            }
            let cluster = (size >> mount.core.geo.block_bits).min(u64::from(u32::MAX - 1)) as u32;
            let done = node
                .shared
                .keep_reserved(&mut tree, (cluster, cluster + 1), |tree| mount.core.truncate(tx, &mut tree.inode))?;
            from_core(inode, &tree.inode);
            node.shared.count(&tree);
            Ok(done)
        })?;
        if done {
            return Ok(());
        }
        first = false;
    }
}

/// Frees an inode that has neither a name nor an open file.
pub(crate) fn evict(inode: &Inode, node: &Node) -> Result {
    let mount = node.mount();
    // Nobody can bring pages in any more.
    if let Some(mapping) = inode.mapping().filter(|mapping| mapping.page_count() != 0) {
        let _guard = mapping.invalidate_lock();
        mapping.truncate(0);
    }
    {
        let mut tree = node.shared.tree.write();
        if !tree.delayed.is_empty() {
            node.shared.unreserve(&mut tree, 0, u32::MAX)?;
        }
    }
    if mount.core.read_only() {
        return Ok(());
    }
    loop {
        let credits = mount.core.credits_for_truncate(&node.shared.tree.read().inode);
        let done = mount.core.run(credits, true, |tx| {
            let mut tree = node.shared.tree.write();
            mount.core.evict(tx, &mut tree.inode)
        })?;
        if done {
            return Ok(());
        }
    }
}
