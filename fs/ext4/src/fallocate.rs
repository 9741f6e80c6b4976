// SPDX-License-Identifier: GPL-2.0
//! `fallocate(2)`, and `SEEK_DATA`, `SEEK_HOLE`.

use crate::mounted::{Mounted, parts};
use crate::node::{Node, Shared, to_core};
use errno::Result;
use errno::code::{EFBIG, EINTR, EINVAL, ENXIO, EOPNOTSUPP};
use ext4_core::State;
use kalloc::Arc;
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::task;
use kernel::filesystem::vfs::attr::{may_grow, remove_privileges};
use kernel::filesystem::vfs::{File, Inode, current_time};
use uapi::{
    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
};

/// `fallocate(2)` in all modes but `UNSHARE_RANGE` (`EOPNOTSUPP`): which go together the VFS has checked.
pub(crate) fn fallocate(file: &File, mode: u32, offset: u64, len: u64) -> Result {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    let end = offset.checked_add(len).ok_or(EFBIG)?;
    const SHIFT: u32 = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
    if mode & !(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | SHIFT) != 0 {
        return Err(EOPNOTSUPP);
    }
    mount.wait_thawed();
    let _lock = inode.lock.write();
    node.shared.direct.wait();
    if node.shared.tree.read().inode.is_inline() {
        mount.leave_inline(&node.shared)?;
    }
    if !node.shared.tree.read().inode.uses_extents() && mode & (FALLOC_FL_PUNCH_HOLE | SHIFT) == 0 {
        return Err(EOPNOTSUPP);
    }
    if mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | SHIFT) == 0 {
        may_grow(inode, end)?;
    }
    remove_privileges(inode)?;
    let mapping = inode.mapping().ok_or(EINVAL)?;
    if mode & FALLOC_FL_PUNCH_HOLE != 0 {
        punch(inode, node, mount, mapping, offset, end)?;
    } else if mode & SHIFT != 0 {
        shift(inode, node, mount, mapping, (offset, len), mode & FALLOC_FL_INSERT_RANGE != 0)?;
    } else {
        if mode & FALLOC_FL_ZERO_RANGE != 0 {
            zero(node, mount, mapping, offset, end)?;
        }
        preallocate(inode, node, mount, offset, end)?;
        if mode & FALLOC_FL_KEEP_SIZE == 0 && end > inode.size() {
            crate::truncate::set_size(inode, end)?;
        }
    }
    let now = current_time();
    inode.mtime.set(now);
    inode.ctime.set(now);
    crate::inode_ops::write_attributes(inode, false)?;
    let sync = file.flags().has(uapi::O_SYNC) || node.shared.is_synchronous(inode);
    if sync { crate::file::sync_inode(inode, false) } else { Ok(()) }
}

fn preallocate(inode: &Inode, node: &Node, mount: &Mounted, offset: u64, end: u64) -> Result {
    let bits = mount.core.geo.block_bits;
    let mut at = u32::try_from(offset >> bits).map_err(|_| EFBIG)?;
    let last = u32::try_from(end.div_ceil(1 << bits)).map_err(|_| EFBIG)?;
    while at < last {
        // Blocks that have reserved space get their place with their data.
        let (delayed, same) = node.shared.tree.read().delayed.look(at, last - at);
        if delayed {
            at += same;
            continue;
        }
        let credits = mount.core.credits_for_map(&node.shared.tree.read().inode) + 4;
        at = mount.run(credits, |tx| {
            let mut tree = node.shared.tree.write();
            to_core(inode, &mut tree.inode);
            let next = node.shared.keep_reserved(&mut tree, (at, at + same), |tree| {
                mount.core.preallocate(tx, &mut tree.inode, at, at + same)
            })?;
            node.shared.note(mount.tid(tx), true);
            node.shared.count(&tree);
            Ok(next)
        })?;
        if task::current().signal_pending() {
            return Err(EINTR);
        }
    }
    Ok(())
}

/// Makes a range read as zeros without giving up its blocks: whole ones become unwritten. The inode's lock is held.
fn zero(node: &Node, mount: &Mounted, mapping: &Arc<Mapping>, offset: u64, end: u64) -> Result {
    let page = PAGE_SIZE as u64;
    let bits = mount.core.geo.block_bits;
    clear(node, mapping, offset, end.min(offset.next_multiple_of(page)))?;
    if end > offset.next_multiple_of(page) {
        clear(node, mapping, end - end % page, end)?;
    }
    mapping.write_and_wait(offset, end)?;
    let _guard = mapping.invalidate_lock();
    forget(&node.shared, mapping, offset, end);
    let mut at = u32::try_from(offset.div_ceil(1 << bits)).map_err(|_| EFBIG)?;
    let to = u32::try_from(end >> bits).map_err(|_| EFBIG)?;
    while at < to {
        let run = mount.core.map(&node.shared.tree.read().inode, at, to - at)?;
        let len = run.len.clamp(1, to - at);
        if matches!(run.state, State::Written(_)) {
            let credits = mount.core.credits_for_map(&node.shared.tree.read().inode) * 2 + 4;
            mount.run(credits, |tx| {
                let mut tree = node.shared.tree.write();
                mount.core.convert_unwritten(tx, &mut tree.inode, at, len)?;
                node.shared.note(mount.tid(tx), true);
                Ok(())
            })?;
        }
        at += len;
    }
    Ok(())
}

/// Takes a range out of the file, or puts a hole in: what lies behind moves. The inode's lock is held.
fn shift(
    inode: &Inode,
    node: &Node,
    mount: &Mounted,
    mapping: &Arc<Mapping>,
    (offset, len): (u64, u64),
    insert: bool,
) -> Result {
    let (core, size) = (&mount.core, inode.size());
    let bits = core.geo.block_bits;
    let cluster = (core.geo.block_size as u64) << core.geo.cluster_bits;
    if !node.shared.tree.read().inode.uses_extents() {
        return Err(EOPNOTSUPP);
    }
    if (offset | len) % cluster != 0 || offset >= size || (!insert && offset + len >= size) {
        return Err(EINVAL);
    }
    let new_size = if insert { size.checked_add(len).ok_or(EFBIG)? } else { size - len };
    if new_size > inode.sb().max_bytes {
        return Err(EFBIG);
    }
    let (at, count) =
        (u32::try_from(offset >> bits).map_err(|_| EFBIG)?, u32::try_from(len >> bits).map_err(|_| EFBIG)?);
    mapping.write_and_wait(offset - offset % PAGE_SIZE as u64, u64::MAX)?;
    let _guard = mapping.invalidate_lock();
    mapping.remove(offset / PAGE_SIZE as u64, u64::MAX);
    {
        let mut tree = node.shared.tree.write();
        core.discard_preallocations(&mut tree.inode);
        node.shared.unreserve(&mut tree, at, u32::MAX)?;
    }
    if !insert {
        remove(node, mount, at, at.checked_add(count).ok_or(EFBIG)?)?;
    }
    let set_size = |size: u64| {
        mapping.set_size(size);
        inode.set_size(size);
        mount.run(8, |tx| {
            let mut tree = node.shared.tree.write();
            to_core(inode, &mut tree.inode);
            tree.inode.raw.size = size;
            node.shared.note(mount.tid(tx), true);
            core.write_inode(tx, &tree.inode)
        })
    };
    // A file whose end moves away is long enough at every moment.
    if insert {
        set_size(new_size)?;
    }
    let mut shift = core.shift_begin(&node.shared.tree.read().inode, at, count, insert)?;
    loop {
        let credits = core.credits_for_shift(&node.shared.tree.read().inode);
        let done = mount.run(credits, |tx| {
            let mut tree = node.shared.tree.write();
            node.shared.note(mount.tid(tx), true);
            core.shift_step(tx, &mut tree.inode, &mut shift)
        })?;
        if done {
            break;
        }
    }
    if insert { Ok(()) } else { set_size(new_size) }
}

/// Makes a hole. The inode's lock is held.
fn punch(inode: &Inode, node: &Node, mount: &Mounted, mapping: &Arc<Mapping>, offset: u64, end: u64) -> Result {
    let end = end.min(inode.size().next_multiple_of(PAGE_SIZE as u64));
    if offset >= end {
        return Ok(());
    }
    let bits = mount.core.geo.block_bits;
    clear(node, mapping, offset, end.min(offset.next_multiple_of(PAGE_SIZE as u64)))?;
    if end > offset.next_multiple_of(PAGE_SIZE as u64) {
        clear(node, mapping, end - end % PAGE_SIZE as u64, end)?;
    }
    // What is cached and not written would be written to blocks that are free by then.
    mapping.write_and_wait(offset, end)?;
    let _guard = mapping.invalidate_lock();
    forget(&node.shared, mapping, offset, end);
    let from = u32::try_from(offset.div_ceil(1 << bits)).map_err(|_| EFBIG)?;
    let to = u32::try_from(end >> bits).map_err(|_| EFBIG)?;
    if from >= to {
        return Ok(());
    }
    node.shared.unreserve(&mut node.shared.tree.write(), from, to)?;
    remove(node, mount, from, to)
}

/// Frees blocks `from..to`.
fn remove(node: &Node, mount: &Mounted, from: u32, to: u32) -> Result {
    loop {
        let credits = mount.core.credits_for_truncate(&node.shared.tree.read().inode);
        let done = mount.core.run(credits, true, |tx| {
            let mut tree = node.shared.tree.write();
            let done = node.shared.keep_reserved(&mut tree, (from, to), |tree| {
                mount.core.remove_range(tx, &mut tree.inode, from, to.into())
            })?;
            node.shared.note(mount.tid(tx), true);
            node.shared.count(&tree);
            Ok(done)
        })?;
        if done {
            return Ok(());
        }
    }
}

/// Clears `from..to`, within one page, where the file has data. Unwritten blocks have some if their page does: it may not have been written yet.
fn clear(node: &Node, mapping: &Mapping, from: u64, to: u64) -> Result {
    if from >= to {
        return Ok(());
    }
    let index = from / PAGE_SIZE as u64;
    let page = match content(&node.shared, from, to)? {
        Content::Data => mapping.get_or_read(index)?,
        Content::InPage => match mapping.get(index) {
            Some(page) => page,
            None => return Ok(()),
        },
        Content::Zeros => return Ok(()),
    };
    let offset = (from % PAGE_SIZE as u64) as usize;
    let len = (to - from) as usize;
    page.fill(offset, len, 0)?;
    mapping.set_dirty_range(index, &page, offset, offset + len);
    Ok(())
}

/// Drops the pages of a range whose blocks go or become unwritten; the bytes at its ends were cleared. What a program stored in the end's pages since
/// stays where it is part of a block that stays.
fn forget(shared: &Shared, mapping: &Mapping, offset: u64, end: u64) {
    let page = PAGE_SIZE as u64;
    if shared.block_bits() < page.ilog2() {
        return mapping.punch(offset, end);
    }
    if let Some(last) = (end / page).checked_sub(1) {
        mapping.remove(offset.div_ceil(page), last);
    }
}

/// Where the bytes of a few blocks are.
pub(crate) enum Content {
    /// On the disk, or reserved space says that they will be.
    Data,
    /// If anywhere, in a page that is to be written to unwritten blocks.
    InPage,
    /// Nowhere: they are zeros.
    Zeros,
}

/// Where the bytes `from..to`, which are within one page, are. `EFBIG`.
pub(crate) fn content(shared: &Shared, from: u64, to: u64) -> Result<Content> {
    let bits = shared.block_bits();
    let mut block = u32::try_from(from >> bits).map_err(|_| EFBIG)?;
    let end = u32::try_from(to.div_ceil(1 << bits)).map_err(|_| EFBIG)?;
    let mut found = Content::Zeros;
    let tree = shared.tree.read();
    while block < end {
        if tree.delayed.look(block, 1).0 {
            return Ok(Content::Data);
        }
        match shared.mount.core.map(&tree.inode, block, 1)?.state {
            State::Written(_) => return Ok(Content::Data),
            State::Unwritten(_) => found = Content::InPage,
            State::Hole => {}
        }
        block += 1;
    }
    Ok(found)
}

/// The next data (or hole) at or after `offset`. Blocks with reserved space hold data.
pub(crate) fn seek(inode: &Inode, offset: i64, hole: bool) -> Result<i64> {
    let (node, mount) = parts(inode)?;
    let size = inode.size();
    let pos = u64::try_from(offset).ok().filter(|pos| *pos < size).ok_or(ENXIO)?;
    let mapping = inode.mapping().ok_or(EINVAL)?;
    // Unwritten blocks hold data while it is only in memory: have it written, then the tree knows all.
    if mapping.is_dirty() {
        mapping.write_and_wait(0, u64::MAX)?;
    }
    let tree = node.shared.tree.read();
    let found = mount.core.seek(&tree.inode, pos, hole, |_| None)?;
    Ok(found.min(size).cast_signed())
}
