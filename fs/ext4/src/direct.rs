// SPDX-License-Identifier: GPL-2.0
//! `O_DIRECT`: between the program and the device, past the page cache.
//!
//! Data goes through pages of the request's own. A write to blocks without a place gives them unwritten ones first and marks them
//! written when the data is there, together with the new size: a crash shows nothing of what the blocks held before. What does
//! not end at a block's bounds, and holes of files without extents, go through the cache and are written back at once.

use crate::bios::Bios;
use crate::device::Batch;
use crate::mounted::{Mounted, parts};
use crate::node::{Node, to_core};
use errno::Result;
use errno::code::{EFAULT, EFBIG, EINVAL, EIO};
use ext4_core::{Create, State};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::filesystem::block::{Op, OpFlags};
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::filesystem::vfs::attr::remove_privileges;
use kernel::filesystem::vfs::filemap::{generic_write, write_limit};
use kernel::filesystem::vfs::{File, Inode, IovIter, OpenFlags};

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

/// Whether place and memory are where the device can reach them: multiples of its sectors.
fn check_alignment(mount: &Mounted, iter: &mut IovIter<'_>, pos: u64) -> Result {
    let sector = u64::from(mount.base.cache.device.bdev.logical_block_size());
    let mut all = pos | iter.count() as u64;
    let mut seen = 0;
    while let Some((address, len)) = iter.next_part().filter(|(_, len)| *len != 0) {
        all |= address.addr() as u64 | len as u64;
        iter.advance(len);
        seen += len;
    }
    iter.revert(seen);
    if all.is_multiple_of(sector) { Ok(()) } else { Err(EINVAL) }
}

fn pages_for(len: usize) -> Result<KVec<Page>> {
    let mut pages = KVec::new();
    for _ in 0..len.div_ceil(PAGE_SIZE) {
        pages.push(Page::alloc(GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(pages)
}

/// Moves blocks between consecutive ones of the device and the request's pages from byte `at` on.
struct Transfer<'a> {
    mount: &'a Mounted,
    pages: &'a [Page],
    op: Op,
    batch: Arc<Batch>,
}

impl<'a> Transfer<'a> {
    fn new(mount: &'a Mounted, pages: &'a [Page], op: Op) -> Result<Self> {
        Ok(Self { mount, pages, op, batch: Batch::new()? })
    }

    fn add(&self, block: u64, count: u32, at: usize) -> Result {
        let size = self.mount.core.geo.block_size;
        let mut bios = Bios::in_batch(&self.mount.base.cache.device, self.op, OpFlags::SYNC, &self.batch);
        for step in 0..count as usize {
            let from = at + step * size;
            let page = self.pages.get(from / PAGE_SIZE).ok_or(EIO)?;
            bios.push(block + step as u64, page, from % PAGE_SIZE, size)?;
        }
        bios.submit();
        Ok(())
    }

    fn wait(&self) -> Result {
        self.batch.wait()
    }
}

/// Reads. The position advances by what was read.
pub(crate) fn read(file: &File, mapping: &Arc<Mapping>, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    let start = u64::try_from(*pos).map_err(|_| EINVAL)?;
    if to.count() == 0 {
        return Ok(0);
    }
    check_alignment(mount, to, start)?;
    let _lock = inode.lock.read();
    let (mut at, mut done) = (start, 0);
    while to.count() != 0 && at < inode.size() {
        let len = to.count().min(CHUNK).min(usize::try_from(inode.size() - at).unwrap_or(CHUNK));
        mapping.write_and_wait(at, at + len as u64 - 1)?;
        let n = match read_chunk(node, mount, to, at, len) {
            Ok(n) => n,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        at += n as u64;
        done += n;
        if n < len {
            break;
        }
    }
    *pos = at.cast_signed();
    file.accessed();
    Ok(done)
}

fn read_chunk(node: &Node, mount: &Mounted, to: &mut IovIter<'_>, at: u64, len: usize) -> Result<usize> {
    let core = &mount.core;
    let (bits, size) = (core.geo.block_bits, core.geo.block_size);
    let first = u32::try_from(at >> bits).map_err(|_| EFBIG)?;
    let skip = (at % size as u64) as usize;
    let blocks = (skip + len).div_ceil(size) as u32;
    let pages = pages_for(blocks as usize * size)?;
    {
        let transfer = Transfer::new(mount, &pages, Op::Read)?;
        let result = map_and_read(node, mount, &transfer, first, blocks);
        transfer.wait().and(result)?;
    }
    let mut done = 0;
    while done < len {
        let from = skip + done;
        let page = pages.get(from / PAGE_SIZE).ok_or(EIO)?;
        let want = (PAGE_SIZE - from % PAGE_SIZE).min(len - done);
        let n = to.copy_page_to_iter(page, from % PAGE_SIZE, want);
        done += n;
        if n < want {
            return if done == 0 { Err(EFAULT) } else { Ok(done) };
        }
    }
    Ok(done)
}

fn map_and_read(node: &Node, mount: &Mounted, transfer: &Transfer<'_>, first: u32, blocks: u32) -> Result {
    let (core, size) = (&mount.core, mount.core.geo.block_size);
    let tree = node.shared.tree.read();
    if tree.inode.is_inline() {
        let data = core.inline_read(&tree.inode)?;
        for (index, page) in transfer.pages.iter().enumerate() {
            page.zero();
            let from = first as usize * size + index * PAGE_SIZE;
            let rest = data.get(from..).unwrap_or(&[]);
            page.write(0, rest.get(..rest.len().min(PAGE_SIZE)).unwrap_or(&[]))?;
        }
        return Ok(());
    }
    let mut done = 0;
    while done < blocks {
        let found = core.map(&tree.inode, first + done, blocks - done)?;
        let len = found.len.clamp(1, blocks - done);
        match found.block() {
            Some(block) => transfer.add(block, len, done as usize * size)?,
            None => {
                for step in done..done + len {
                    let from = step as usize * size;
                    transfer.pages.get(from / PAGE_SIZE).ok_or(EIO)?.fill(from % PAGE_SIZE, size, 0)?;
                }
            }
        }
        done += len;
    }
    Ok(())
}

/// Writes.
pub(crate) fn write(file: &File, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    let size = mount.core.geo.block_size as u64;
    let append = file.appends(*pos);
    let start = if append { inode.size() } else { u64::try_from(*pos).map_err(|_| EINVAL)? };
    if from.count() == 0 {
        return Ok(0);
    }
    check_alignment(mount, from, start)?;
    let plain = {
        let tree = node.shared.tree.read();
        tree.inode.is_inline() || !tree.inode.uses_extents()
    };
    if plain || !(start | from.count() as u64).is_multiple_of(size) {
        return through_cache(file, mapping, from, pos);
    }
    let lock = inode.lock.write();
    let start = if append { inode.size() } else { start };
    if start % size != 0 {
        drop(lock);
        return through_cache(file, mapping, from, pos);
    }
    from.truncate(write_limit(inode, start, from.count())? & !(size as usize - 1));
    if from.count() == 0 {
        // A limit lets in less than a block.
        return Err(EINVAL);
    }
    remove_privileges(inode)?;
    inode.touch_mtime();
    if start > inode.size() {
        // The rest of the last page is zeros on the disk, too.
        crate::truncate::clear_rest(node, mount, mapping, inode.size())?;
    }
    let (mut at, mut done) = (start, 0);
    let mut result = Ok(());
    while from.count() != 0 {
        match write_chunk(inode, mapping, from, at) {
            Ok(0) => break,
            Ok(n) => {
                at += n as u64;
                done += n;
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    drop(lock);
    if done == 0 {
        result?;
    }
    *pos = at.cast_signed();
    if file.flags().any(uapi::O_DSYNC) || inode.sb().flags() & uapi::MS_SYNCHRONOUS != 0 {
        file.fsync(!file.flags().has(uapi::O_SYNC))?;
    }
    Ok(done)
}

/// Writes to the cache, and from there to the device at once.
fn through_cache(file: &File, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let done = generic_write(file, mapping, from, pos)?;
    let end = (*pos).cast_unsigned();
    if done != 0 {
        let start = end - done as u64;
        mapping.write_and_wait(start, end - 1)?;
        mapping.drop_clean(start / PAGE_SIZE as u64, (end - 1) / PAGE_SIZE as u64);
    }
    Ok(done)
}

fn write_chunk(inode: &Inode, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, at: u64) -> Result<usize> {
    let (node, mount) = parts(inode)?;
    let (bits, size) = (mount.core.geo.block_bits, mount.core.geo.block_size);
    let len = from.count().min(CHUNK);
    let pages = pages_for(len)?;
    let mut taken = 0;
    for page in &pages {
        let want = (len - taken).min(PAGE_SIZE);
        let n = from.copy_page_from_iter(page, 0, want);
        taken += n;
        if n < want {
            break;
        }
    }
    let len = taken - taken % size;
    if len == 0 {
        return Err(EFAULT);
    }
    from.revert(taken - len);
    let end = at + len as u64;
    mapping.write_and_wait(at, end - 1)?;
    let _invalidate = mapping.invalidate_lock();
    mapping.remove(at / PAGE_SIZE as u64, (end - 1) / PAGE_SIZE as u64);
    let first = u32::try_from(at >> bits).map_err(|_| EFBIG)?;
    let count = (len >> bits) as u32;
    // A program may have dirtied a page of its mapping since it was written: what the page had reserved goes with it.
    let pages_end = u32::try_from(end.next_multiple_of(PAGE_SIZE as u64) >> bits).map_err(|_| EFBIG)?;
    let pages_start = ((at - at % PAGE_SIZE as u64) >> bits) as u32;
    node.shared.unreserve(&mut node.shared.tree.write(), pages_start, pages_end)?;
    let transfer = Transfer::new(mount, &pages, Op::Write)?;
    let placed = place_and_write(inode, node, mount, &transfer, first, count);
    transfer.wait().and(placed)?;
    settle(inode, node, mount, (first, count), end)?;
    if end > inode.size() {
        mapping.set_size(end);
        inode.set_size(end);
    }
    Ok(len)
}

/// Gives the blocks a place, unwritten, and submits their data.
fn place_and_write(
    inode: &Inode,
    node: &Node,
    mount: &Mounted,
    transfer: &Transfer<'_>,
    first: u32,
    count: u32,
) -> Result {
    let core = &mount.core;
    let mut done = 0;
    while done < count {
        let (at, left) = (first + done, count - done);
        let mut found = core.map(&node.shared.tree.read().inode, at, left)?;
        if found.state == State::Hole {
            let len = found.len.clamp(1, left);
            let credits = core.credits_for_map(&node.shared.tree.read().inode) + 4;
            found = mount.run(credits, |tx| {
                let mut tree = node.shared.tree.write();
                to_core(inode, &mut tree.inode);
                let how = Create { unwritten: true, ..Create::default() };
                let made = node.shared.keep_reserved(&mut tree, (at, at + len), |tree| {
                    core.map_create(tx, &mut tree.inode, at, len, how)
                })?;
                node.shared.note(mount.tid(tx), true);
                node.shared.count(&tree);
                Ok(made)
            })?;
        }
        let len = found.len.clamp(1, left);
        transfer.add(found.allocated().ok_or(EIO)?, len, done as usize * core.geo.block_size)?;
        done += len;
    }
    Ok(())
}

/// The data is there: the blocks are written ones, and the file reaches as far as they do.
fn settle(inode: &Inode, node: &Node, mount: &Mounted, (first, count): (u32, u32), end: u64) -> Result {
    let core = &mount.core;
    let mut at = first;
    let last = first + count;
    loop {
        let run = core.map(&node.shared.tree.read().inode, at, last - at)?;
        let len = run.len.clamp(1, last - at);
        let unwritten = matches!(run.state, State::Unwritten(_));
        let grows = at + len >= last && end > node.shared.tree.read().inode.raw.size;
        if unwritten || grows {
            let credits = core.credits_for_map(&node.shared.tree.read().inode) + 4;
            mount.run(credits, |tx| {
                let mut tree = node.shared.tree.write();
                to_core(inode, &mut tree.inode);
                if unwritten {
                    core.convert_written(tx, &mut tree.inode, at, len)?;
                }
                if grows {
                    tree.inode.raw.size = tree.inode.raw.size.max(end);
                    core.write_inode(tx, &tree.inode)?;
                }
                node.shared.note(mount.tid(tx), true);
                Ok(())
            })?;
        }
        at += len;
        if at >= last {
            return Ok(());
        }
    }
}

/// Whether a file was opened for this.
pub(crate) fn wanted(flags: OpenFlags, inode: &Inode) -> Result<bool> {
    // What goes through the journal is in memory until it is home.
    Ok(flags.any(uapi::O_DIRECT) && !Node::of(inode)?.shared.is_journaled())
}
