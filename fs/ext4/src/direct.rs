// SPDX-License-Identifier: GPL-2.0
//! `O_DIRECT`: between the program's own pages and the device, past the page cache (`buffer::direct`).
//!
//! A write to blocks without a place gives them unwritten ones first and marks them written when the data is there, together with the
//! new size: a crash shows nothing of what the blocks held before. What does not end at a block's bounds, and writes to files without
//! extents, go through the cache and are written back at once.
//!
//! Asynchronous requests ([`submit`]) leave the inode's lock when they are on their way and count in `Shared::direct` until their end:
//! who takes blocks away holds the lock exclusively and waits for them. At the end a worker marks blocks written and drops what was read
//! in meanwhile; it takes no lock of an inode. Writes that make the file longer are done within the call.
//!
//! Locks: the inode's, shared for reads and for writes within the file, the mapping's `invalidate` lock while cached pages make way, never
//! while the program's memory is looked up: a page of it may be the same file's.

use crate::file::sync_inode;
use crate::mounted::{Mounted, parts};
use crate::node::Node;
use errno::Result;
use errno::code::{EFBIG, EINVAL, EIO};
use ext4_core::State;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernel::filesystem::buffer::direct::{Direct, Ending, is_aligned};
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::vfs::attr::{has_privileges, remove_privileges};
use kernel::filesystem::vfs::filemap::{generic_read, generic_write, write_limit};
use kernel::filesystem::vfs::kiocb::{Durable, Kiocb};
use kernel::filesystem::vfs::{File, Inode, IovIter, OpenFlags, iop};

/// Bytes that a write which is waited for moves at a time: what is written of it stays if the disk is full then.
const CHUNK: usize = 1 << 20;

/// Whether a file was opened for this.
pub(crate) fn wanted(flags: OpenFlags, inode: &Inode) -> Result<bool> {
    // What goes through the journal is in memory until it is home.
    Ok(flags.any(uapi::O_DIRECT) && !Node::of(inode)?.shared.is_journaled())
}

/// Whether place and memory are where the device can reach them.
fn check_alignment(mount: &Mounted, iter: &IovIter<'_>, pos: u64) -> Result {
    let bdev = &mount.base.cache.device.bdev;
    let whole = (pos | iter.count() as u64).is_multiple_of(u64::from(bdev.logical_block_size()));
    if whole && is_aligned(bdev, iter) { Ok(()) } else { Err(EINVAL) }
}

/// Whether the data is where blocks of it can be reached: not inside the inode, and for a write mapped by extents.
fn has_blocks(node: &Node, write: bool) -> bool {
    let tree = node.shared.tree.read();
    !tree.inode.is_inline() && (!write || tree.inode.uses_extents())
}

/// Reads. The position advances by what was read.
pub(crate) fn read(file: &File, mapping: &Arc<Mapping>, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    let start = u64::try_from(*pos).map_err(|_| EINVAL)?;
    if to.count() == 0 {
        return Ok(0);
    }
    let unit = u64::from(mount.base.cache.device.bdev.logical_block_size());
    if to.user_alignment().is_some() {
        check_alignment(mount, to, start)?;
    } else if !(start | to.count() as u64).is_multiple_of(unit) {
        // The kernel reads as it likes.
        return generic_read(file, mapping, to, pos);
    }
    let done = {
        let _lock = inode.lock.read();
        if !has_blocks(node, false) {
            return generic_read(file, mapping, to, pos);
        }
        match begin_read(inode, mapping, to, start, (false, false))? {
            Some(direct) => direct.wait_into(to)?,
            None => 0,
        }
    };
    *pos = start.saturating_add(done as u64).cast_signed();
    file.accessed();
    Ok(done)
}

/// Begins to read; `None` behind the end of the file. Somebody is `told` of the end, or looks for it (`polled`), too. The inode's lock is held.
fn begin_read<'a>(
    inode: &'a Inode,
    mapping: &Arc<Mapping>,
    to: &mut IovIter<'_>,
    start: u64,
    (told, polled): (bool, bool),
) -> Result<Option<Direct<'a>>> {
    let (node, mount) = parts(inode)?;
    let bdev = &mount.base.cache.device.bdev;
    let Some(left) = inode.size().checked_sub(start).filter(|left| *left != 0) else { return Ok(None) };
    let most = to.count().min(usize::try_from(left).unwrap_or(usize::MAX));
    // Whole sectors; the memory has room for them.
    let end = start + most.next_multiple_of(bdev.logical_block_size() as usize) as u64;
    mapping.write_and_wait(start, end - 1)?;
    let mut direct = Direct::new(bdev, false, false, most, told)?;
    if polled {
        direct.set_polled();
    }
    if let Err(error) = send(node, mount, &mut direct, to, (start, end), false) {
        direct.fail(error);
    }
    Ok(Some(direct))
}

/// Sends the bytes from `at` to `end`. Holes and unwritten blocks are read as zeros; for a write all have a place. Whether some of them are
/// unwritten.
fn send(
    node: &Node,
    mount: &Mounted,
    direct: &mut Direct<'_>,
    iter: &mut IovIter<'_>,
    (mut at, end): (u64, u64),
    write: bool,
) -> Result<bool> {
    let (bits, size) = (mount.core.geo.block_bits, mount.core.geo.block_size as u64);
    let mut unwritten = false;
    while at < end {
        let first = u32::try_from(at >> bits).map_err(|_| EFBIG)?;
        let left = u32::try_from(end.div_ceil(size) - u64::from(first)).map_err(|_| EFBIG)?;
        // The lock must be free again when memory is looked up.
        let found = mount.core.map(&node.shared.tree.read().inode, first, left)?;
        let until = ((u64::from(first) + u64::from(found.len.clamp(1, left))) << bits).min(end);
        let len = (until - at) as usize;
        match if write { found.allocated() } else { found.block() } {
            Some(block) => direct.send(iter, mount.base.cache.device.sector(block) + ((at % size) >> 9), len)?,
            None if write => return Err(EIO),
            None => direct.zeros(iter, len)?,
        }
        unwritten |= matches!(found.state, State::Unwritten(_));
        at = until;
    }
    Ok(unwritten)
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
    if from.user_alignment().is_some() {
        check_alignment(mount, from, start)?;
    }
    if !has_blocks(node, true) || !(start | from.count() as u64).is_multiple_of(size) {
        return through_cache(file, mapping, from, pos);
    }
    let writing = mount.writing_direct();
    let (mut at, mut done) = (start, 0);
    let mut result = Ok(());
    if !append && may_share(inode, start, from.count()) {
        let _lock = inode.lock.read();
        // Others may have changed that since.
        if may_share(inode, start, from.count()) {
            from.truncate(write_limit(inode, start, from.count())? & !(size as usize - 1));
            result = write_chunks(inode, mapping, from, &mut at, &mut done);
        }
    }
    if done == 0 && result.is_ok() {
        let lock = inode.lock.write();
        at = if append { inode.size() } else { start };
        if !at.is_multiple_of(size) || !has_blocks(node, true) {
            drop(lock);
            return through_cache(file, mapping, from, pos);
        }
        from.truncate(write_limit(inode, at, from.count())? & !(size as usize - 1));
        remove_privileges(inode)?;
        if at > inode.size() {
            // The rest of the last page is zeros on the disk, too.
            crate::truncate::clear_rest(&node.shared, mapping, inode.size())?;
        }
        result = write_chunks(inode, mapping, from, &mut at, &mut done);
    }
    if done == 0 {
        result?;
    }
    *pos = at.cast_signed();
    drop(writing);
    if done != 0 && (file.flags().any(uapi::O_DSYNC) || inode.sb().flags() & uapi::MS_SYNCHRONOUS != 0) {
        file.fsync(!file.flags().has(uapi::O_SYNC))?;
    }
    Ok(done)
}

/// Whether a write of `count` bytes at `start` changes neither the file's size nor its rights: then others may write at the same time.
fn may_share(inode: &Inode, start: u64, count: usize) -> bool {
    start.checked_add(count as u64).is_some_and(|end| end <= inode.size()) && !has_privileges(inode)
}

/// Writes piece by piece and waits for each. EINVAL for nothing: a limit lets in less than a block. The inode's lock is held.
fn write_chunks(
    inode: &Inode,
    mapping: &Arc<Mapping>,
    from: &mut IovIter<'_>,
    at: &mut u64,
    done: &mut usize,
) -> Result {
    if from.count() == 0 {
        return Err(EINVAL);
    }
    inode.touch_mtime();
    while from.count() != 0 {
        let len = write_chunk(inode, mapping, from, *at)?;
        *at += len as u64;
        *done += len;
    }
    Ok(())
}

fn write_chunk(inode: &Inode, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, at: u64) -> Result<usize> {
    let (node, mount) = parts(inode)?;
    let len = from.count().min(CHUNK);
    let end = at + len as u64;
    let (direct, unsettled) = begin_write(inode, mapping, from, (at, end), (false, false))?;
    direct.wait()?;
    if unsettled {
        settle(node, mount, (at, end))?;
    }
    forget_cached(mapping, at, end);
    if end > inode.size() {
        mapping.set_size(end);
        inode.set_size(end);
    }
    Ok(len)
}

/// Writes to the cache, and from there to the device at once.
fn through_cache(file: &File, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    {
        // A block of which a part is written must not be read before what is on its way to it is there.
        let _lock = file.inode().lock.write();
        Node::of(file.inode())?.shared.direct.wait();
    }
    let done = generic_write(file, mapping, from, pos)?;
    let end = (*pos).cast_unsigned();
    if done != 0 {
        let start = end - done as u64;
        mapping.write_and_wait(start, end - 1)?;
        mapping.drop_clean(start / PAGE_SIZE as u64, (end - 1) / PAGE_SIZE as u64);
    }
    Ok(done)
}

/// Begins to write whole blocks; whether [`settle`] has something to do at the end. The inode's lock is held, shared at least.
fn begin_write<'a>(
    inode: &'a Inode,
    mapping: &Arc<Mapping>,
    from: &mut IovIter<'_>,
    (at, end): (u64, u64),
    (told, polled): (bool, bool),
) -> Result<(Direct<'a>, bool)> {
    let (node, mount) = parts(inode)?;
    let bits = mount.core.geo.block_bits;
    let block = |at: u64| u32::try_from(at >> bits).map_err(|_| EFBIG);
    make_way(node, mapping, at, end)?;
    node.shared.place_unwritten(block(at)?, block(end)?)?;
    let mut direct = Direct::new(&mount.base.cache.device.bdev, true, false, (end - at) as usize, told)?;
    if polled {
        direct.set_polled();
    }
    let unwritten = send(node, mount, &mut direct, from, (at, end), true).unwrap_or_else(|error| {
        direct.fail(error);
        false
    });
    let unsettled = unwritten || end > node.shared.tree.read().inode.raw.size;
    Ok((direct, unsettled))
}

/// Takes cached pages out of the way of a write: dirty ones are written first.
fn make_way(node: &Node, mapping: &Arc<Mapping>, at: u64, end: u64) -> Result {
    mapping.write_and_wait(at, end - 1)?;
    if mapping.page_count() == 0 && node.shared.tree.read().delayed.is_empty() {
        return Ok(());
    }
    let _invalidate = mapping.invalidate_lock();
    // What a program stored in its mapping meanwhile; from here on it cannot.
    mapping.write_and_wait(at, end - 1)?;
    let page = PAGE_SIZE as u64;
    mapping.remove(at / page, (end - 1) / page);
    // Behind the end of the file pages keep what was reserved for them, which goes with them.
    let bits = node.shared.block_bits();
    let from = u32::try_from((at - at % page) >> bits).map_err(|_| EFBIG)?;
    let to = u32::try_from(end.next_multiple_of(page) >> bits).map_err(|_| EFBIG)?;
    node.shared.unreserve(&mut node.shared.tree.write(), from, to)
}

/// After a write: what was read into the cache meanwhile is old.
fn forget_cached(mapping: &Mapping, at: u64, end: u64) {
    if mapping.page_count() != 0 {
        let _invalidate = mapping.invalidate_lock();
        mapping.drop_old(at / PAGE_SIZE as u64, (end - 1) / PAGE_SIZE as u64);
    }
}

/// The data of the bytes from `start` to `end` is there: their blocks are written ones, and on the disk the file reaches as far as they do.
/// Needs no lock of the inode's if nobody cuts the file meanwhile.
fn settle(node: &Node, mount: &Mounted, (start, end): (u64, u64)) -> Result {
    let (core, bits) = (&mount.core, mount.core.geo.block_bits);
    let block = |at: u64| u32::try_from(at >> bits).map_err(|_| EFBIG);
    let (mut at, last) = (block(start)?, block(end)?);
    let reach = |next: u32| (u64::from(next) << bits).min(end);
    while at < last {
        let (credits, settled, next) = {
            let tree = node.shared.tree.read();
            let run = core.map(&tree.inode, at, last - at)?;
            let next = at + run.len.clamp(1, last - at);
            let settled = !matches!(run.state, State::Unwritten(_)) && reach(next) <= tree.inode.raw.size;
            (core.credits_for_map(&tree.inode) + 4, settled, next)
        };
        if settled {
            at = next;
            continue;
        }
        at = core.run(credits, true, |tx| {
            let mut tree = node.shared.tree.write();
            // Once more: others mark blocks, too, and there are credits for one run.
            let run = core.map(&tree.inode, at, last - at)?;
            let len = run.len.clamp(1, last - at);
            if matches!(run.state, State::Unwritten(_)) {
                core.convert_written(tx, &mut tree.inode, at, len)?;
            }
            if reach(at + len) > tree.inode.raw.size {
                tree.inode.raw.size = reach(at + len);
                core.write_inode(tx, &tree.inode)?;
            }
            node.shared.note(mount.tid(tx), true);
            Ok(at + len)
        })?;
    }
    Ok(())
}

/// A request on its way, and what is left to do at its end. Until then it counts in `Shared::direct`, a write in that of the mount, too.
struct End {
    inode: Arc<Inode>,
    written: Option<Written>,
}

/// What was written.
struct Written {
    range: (u64, u64),
    /// [`settle`] has something to do.
    unsettled: bool,
    durable: Durable,
}

impl End {
    /// The inode's lock is held: who waits for the end of all holds it exclusively. ENOMEM.
    fn new(inode: &Arc<Inode>, written: Option<Written>) -> Result<KBox<Self>> {
        let (node, mount) = parts(inode)?;
        if written.is_some() {
            mount.direct.begin();
        }
        node.shared.direct.begin();
        Ok(KBox::new(Self { inode: inode.clone(), written }, GFP_KERNEL)?)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Ok((node, mount)) = parts(&self.inode) {
            node.shared.direct.end();
            if self.written.is_some() {
                mount.direct.end();
            }
        }
    }
}

impl Ending for End {
    fn needs_task(&self, result: Result<usize>) -> bool {
        self.written.as_ref().is_some_and(|written| {
            let cached = self.inode.mapping().is_some_and(|mapping| mapping.page_count() != 0);
            cached || result.is_ok() && (written.unsettled || written.durable != Durable::No)
        })
    }

    fn settle(&mut self, result: Result<usize>) -> Result<usize> {
        let Some(written) = &self.written else { return result };
        let (node, mount) = parts(&self.inode)?;
        let mut settled = result;
        if result.is_ok() && written.unsettled {
            settled = settle(node, mount, written.range).and(result);
        }
        if let Some(mapping) = self.inode.mapping() {
            forget_cached(mapping, written.range.0, written.range.1);
        }
        settled
    }

    fn wants_sync(&self) -> bool {
        self.written.as_ref().is_some_and(|written| written.durable != Durable::No)
    }

    fn sync(&mut self) -> Result {
        let Some(written) = &self.written else { return Ok(()) };
        sync_inode(&self.inode, written.durable == Durable::Data)
    }
}

/// Begins a request that goes on after the call; gives it back if it is to be done within the call, which has all errors, too.
pub(crate) fn submit(file: &File, iter: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
    let inode = file.inode();
    let (Ok((_, mount)), Some(mapping)) = (parts(inode), inode.mapping()) else { return Some(kiocb) };
    let plain = check_alignment(mount, iter, kiocb.pos).is_ok() && mount.base.health.usable().is_ok();
    if !plain || iter.is_empty() {
        return Some(kiocb);
    }
    if kiocb.write { submit_write(file, mapping, iter, kiocb) } else { submit_read(file, mapping, iter, kiocb) }
}

/// Looks for the end of polled requests; `None`: the device has no queue for them.
pub(crate) fn poll(file: &File) -> Option<usize> {
    let (_, mount) = parts(file.inode()).ok()?;
    mount.base.cache.device.bdev.poll()
}

fn submit_read(file: &File, mapping: &Arc<Mapping>, to: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
    let inode = file.inode();
    let Ok((node, mount)) = parts(inode) else { return Some(kiocb) };
    let lock = inode.lock.read();
    if node.shared.is_journaled() || !has_blocks(node, false) {
        return Some(kiocb);
    }
    let Ok(end) = End::new(inode, None) else { return Some(kiocb) };
    let begun = begin_read(inode, mapping, to, kiocb.pos, (true, kiocb.polled));
    drop(lock);
    match begun {
        Ok(Some(direct)) => {
            file.accessed();
            direct.submit(end, kiocb.done, mount.base.cache.device.endings());
        }
        Ok(None) => {
            drop(end);
            kiocb.done.done(Ok(0));
        }
        Err(error) => {
            drop(end);
            kiocb.done.done(Err(error));
        }
    }
    None
}

fn submit_write(file: &File, mapping: &Arc<Mapping>, from: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
    let inode = file.inode();
    let Ok((node, mount)) = parts(inode) else { return Some(kiocb) };
    let (start, count) = (kiocb.pos, from.count());
    let whole = (start | count as u64).is_multiple_of(mount.core.geo.block_size as u64);
    if !whole || file.appends(start.cast_signed()) || !may_share(inode, start, count) {
        return Some(kiocb);
    }
    // It may wait, so before the lock.
    let _writing = mount.writing_direct();
    let lock = inode.lock.read();
    let swaps = inode.iflags() & iop::SWAPFILE != 0;
    let writable = !swaps && !mount.core.read_only() && !mount.base.health.is_dead();
    if !writable || node.shared.is_journaled() || !has_blocks(node, true) {
        return Some(kiocb);
    }
    // Others may have changed that since.
    if !may_share(inode, start, count) || !write_limit(inode, start, count).is_ok_and(|most| most == count) {
        return Some(kiocb);
    }
    let range = (start, start + count as u64);
    let written = Written { range, unsettled: false, durable: durable(file, node, kiocb.durable) };
    let Ok(mut end) = End::new(inode, Some(written)) else { return Some(kiocb) };
    inode.touch_mtime();
    let begun = begin_write(inode, mapping, from, range, (true, kiocb.polled));
    drop(lock);
    match begun {
        Ok((direct, unsettled)) => {
            if let Some(written) = &mut end.written {
                written.unsettled = unsettled;
            }
            direct.submit(end, kiocb.done, mount.base.cache.device.endings());
        }
        Err(error) => {
            drop(end);
            kiocb.done.done(Err(error));
        }
    }
    None
}

/// What is to be on stable storage at the end: what the request asks for, the file's flags, the inode's, or the mount's.
fn durable(file: &File, node: &Node, asked: Durable) -> Durable {
    let always = match node.shared.write_through.load(core::sync::atomic::Ordering::Relaxed) {
        true => Durable::All,
        false if file.inode().sb().flags() & uapi::MS_SYNCHRONOUS != 0 => Durable::Data,
        false => Durable::No,
    };
    asked.max(always).max(Durable::of_file(file))
}
