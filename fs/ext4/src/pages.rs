// SPDX-License-Identifier: GPL-2.0
//! Pages of regular files: reading them in, giving dirty ones a place (delayed allocation) and writing them.
//!
//! A page is dirty only if each of its blocks that holds something has a place or reserved space. Write-back opens a handle,
//! takes the lock of a run of pages, allocates, and has the pages under write-back before the handle is stopped: the commit of
//! that transaction waits for them, so that no crash shows what the blocks held before.

use crate::bios::{Bios, ReadEnd, WriteEnd};
use crate::journal_data;
use crate::node::{Shared, Tree};
use crate::options::ask;
use errno::Result;
use errno::code::{EIO, ENOSPC};
use ext4_core::{Create, State, Tx};
use ext4_store::Store;
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::block::{Op, OpFlags};
use kernel::filesystem::mm::{Mapping, MappingOps, ReadIo, ReadRun, WriteControl, WriteIo, WriteRun};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page, PageFlags};

use crate::store::KernelStore;

/// The pages of a regular file.
pub(crate) struct Pages(pub(crate) Arc<Shared>);

/// A run of blocks of a file with its place on the disk.
#[derive(Clone, Copy)]
struct Extent {
    lblk: u32,
    block: u64,
    len: u32,
}

/// Bytes for which space is reserved at once while a program writes many.
const AHEAD: usize = 1 << 20;
/// Pages that are given a place in one transaction.
const RUN: usize = 512;
/// How often a commit is waited for, one after the other, when there is no place.
const COMMITS: u32 = 8;

impl Shared {
    pub(crate) fn block_bits(&self) -> u32 {
        self.mount.core.geo.block_bits
    }

    /// Blocks in a page.
    fn per_page(&self) -> u32 {
        (PAGE_SIZE >> self.block_bits()) as u32
    }

    /// Whether a write gives blocks their place before it copies the data. Journalled data is written, and so given its place, before the
    /// program's call returns.
    fn places_first(&self) -> bool {
        !self.mount.delays() && !self.is_journaled() && self.tree.read().inode.uses_extents()
    }

    /// The first block of page `index`.
    fn first_block(&self, index: u64) -> Result<u32> {
        index.checked_mul(self.per_page().into()).and_then(|block| u32::try_from(block).ok()).ok_or(EIO)
    }

    /// Reads a run: holes become zeros, the rest is submitted.
    fn read(&self, io: &Arc<ReadIo>, first: u64, flags: OpFlags) -> Result {
        let core = &self.mount.core;
        let tree = self.tree.read();
        if tree.inode.is_inline() {
            return self.read_inline(&tree, io, first);
        }
        let (bits, per_page) = (self.block_bits(), self.per_page());
        let journaled = self.is_journaled();
        let end = ReadEnd::shared(io.clone())?;
        let mut bios = Bios::new(&self.mount.base.cache.device, Op::Read, flags, end, io.pages().len());
        let start = u64::from(per_page) * first;
        let count = io.pages().len() as u64 * u64::from(per_page);
        let mut at = 0;
        while at < count {
            let lblk = u32::try_from(start + at).ok().filter(|lblk| *lblk != u32::MAX);
            let left = u32::try_from(count - at).unwrap_or(u32::MAX);
            let (block, len) = match lblk {
                Some(lblk) => {
                    let found = core.map(&tree.inode, lblk, left.min(u32::MAX - lblk))?;
                    (found.block(), found.len.clamp(1, left))
                }
                None => (None, left),
            };
            for step in 0..u64::from(len) {
                let page = io.pages().get(((at + step) / u64::from(per_page)) as usize).ok_or(EIO)?;
                let offset = (((at + step) % u64::from(per_page)) as usize) << bits;
                match block {
                    Some(block) if journaled && journal_data::get_page(&self.mount, block + step, page, offset)? => {}
                    Some(block) => bios.push(block + step, page, offset, 1 << bits)?,
                    None => page.fill(offset, 1 << bits, 0)?,
                }
            }
            at += u64::from(len);
        }
        bios.submit();
        Ok(())
    }

    fn read_inline(&self, tree: &Tree, io: &Arc<ReadIo>, first: u64) -> Result {
        for page in io.pages() {
            page.zero();
        }
        if let (0, Some(page)) = (first, io.pages().first()) {
            let data = self.mount.core.inline_read(&tree.inode)?;
            page.write(0, data.get(..data.len().min(PAGE_SIZE)).unwrap_or(&[]))?;
        }
        Ok(())
    }

    /// Gives the blocks of a run a place. Returns where they are, and how many pages that covers (the transaction may have no
    /// room for more).
    fn place(&self, tx: &mut Tx<KernelStore>, run: &WriteRun, size: u64) -> Result<(KVec<Extent>, usize)> {
        let core = &self.mount.core;
        let per_page = self.per_page();
        let first = self.first_block(run.first())?;
        let end = first.saturating_add(run.pages().len() as u32 * per_page);
        // Blocks behind the end are no part of the file, whatever a program stored there: its map must not say that they were
        // written. A write moves the end before its page is dirty.
        let past = u32::try_from(size.div_ceil(1 << self.block_bits())).unwrap_or(u32::MAX);
        let mut tree = self.tree.write();
        let mut extents: KVec<Extent> = KVec::new();
        let mut at = first;
        let mut changed = false;
        while at < end {
            let found = core.map(&tree.inode, at, end - at)?;
            let len = found.len.clamp(1, end - at);
            if at >= past && !matches!(found.state, State::Written(_)) {
                at += len;
                continue;
            }
            let len = if at < past { len.min(past - at) } else { len };
            let (delayed, same) = tree.delayed.look(at, len);
            let wanted = match found.state {
                State::Written(block) => {
                    extents.push(Extent { lblk: at, block, len }, GFP_NOFS)?;
                    at += len;
                    continue;
                }
                // In pages of several blocks a hole that nobody wrote to stays one.
                State::Hole if !delayed && per_page > 1 => {
                    at += same;
                    continue;
                }
                State::Hole => same,
                State::Unwritten(_) => len,
            };
            if !self.has_credits(tx, &tree)? {
                break;
            }
            let how = Create { reserved: delayed, convert: true, ..Create::default() };
            let made = if delayed {
                core.map_create(tx, &mut tree.inode, at, wanted, how)?
            } else {
                self.keep_reserved(&mut tree, (at, at + wanted), |tree| {
                    core.map_create(tx, &mut tree.inode, at, wanted, how)
                })?
            };
            let block = made.block().ok_or(EIO)?;
            let len = made.len.clamp(1, wanted);
            self.undelay(&mut tree, at, at + len)?;
            extents.push(Extent { lblk: at, block, len }, GFP_NOFS)?;
            at += len;
            changed = true;
        }
        // Whole pages only: the rest of a page that is not complete comes again.
        let pages = if at >= end { run.pages().len() } else { ((at - first) / per_page) as usize };
        let reached = (u64::from(at) << self.block_bits()).min(size);
        if reached > tree.inode.raw.size {
            tree.inode.raw.size = reached;
            changed = true;
        }
        if changed {
            core.write_inode(tx, &tree.inode)?;
            self.note(core.store.tid(&tx.handle), true);
            if !self.is_journaled() && self.mount.has(ask::ORDERED) {
                let from = u64::from(first) << self.block_bits();
                core.store.order_data(&mut tx.handle, tree.inode.ino, from, reached)?;
            }
        }
        self.count(&tree);
        Ok((extents, pages))
    }

    /// Blocks of data in a transaction besides what gives them their place.
    fn credits_for_data(&self) -> u32 {
        if self.is_journaled() { journal_data::BLOCKS.max(self.per_page()) } else { 0 }
    }

    /// `nodelalloc`, `O_DIRECT`: gives the holes of `from..to` a place before data is in memory, or on its way past it. The blocks are unwritten
    /// until it is written.
    pub(crate) fn place_unwritten(&self, from: u32, to: u32) -> Result {
        let core = &self.mount.core;
        let mut at = from;
        while at < to {
            let (state, len) = self.look(at, to - at)?;
            if state != State::Hole {
                at += len;
                continue;
            }
            // The lock must be free again when the operation takes it.
            let credits = core.credits_for_map(&self.tree.read().inode) + 4;
            at += self.mount.run(credits, |tx| self.place_hole(tx, at, len))?;
        }
        Ok(())
    }

    fn look(&self, at: u32, len: u32) -> Result<(State, u32)> {
        let found = self.mount.core.map(&self.tree.read().inode, at, len)?;
        Ok((found.state, found.len.clamp(1, len)))
    }

    /// Gives the front of a hole a place. Returns how many blocks got one.
    fn place_hole(&self, tx: &mut Tx<KernelStore>, at: u32, len: u32) -> Result<u32> {
        let core = &self.mount.core;
        let mut tree = self.tree.write();
        let how = Create { unwritten: true, ..Create::default() };
        let made = self.keep_reserved(&mut tree, (at, at + len), |tree| {
            let made = core.map_create(tx, &mut tree.inode, at, len, how)?.len.clamp(1, len);
            // A page of a program's mapping may have waited for this place since before the option was set.
            let gone = self.undelay(tree, at, at + made)?;
            if core.geo.cluster_bits == 0 && gone != 0 {
                core.unreserve(&mut tree.inode, gone.into());
            }
            Ok(made)
        })?;
        self.note(self.mount.tid(tx), true);
        self.count(&tree);
        Ok(made)
    }

    fn has_credits(&self, tx: &mut Tx<KernelStore>, tree: &Tree) -> Result<bool> {
        let core = &self.mount.core;
        // What the data itself takes must be left.
        let needed = core.credits_for_map(&tree.inode) + 2 + self.credits_for_data();
        if core.store.credits(&tx.handle) >= needed {
            return Ok(true);
        }
        core.store.extend(&mut tx.handle, needed, needed)
    }

    /// Writes a run within an open handle. Returns the page at which to go on, if the transaction had no room for all.
    pub(crate) fn write(&self, tx: &mut Tx<KernelStore>, mut run: WriteRun, size: u64) -> Result<Option<u64>> {
        let (extents, pages) = self.place(tx, &run, size)?;
        let rest = (pages < run.pages().len()).then_some(run.first() + pages as u64);
        if pages == 0 {
            return Ok(rest);
        }
        run.keep_front(pages);
        let (bits, per_page) = (self.block_bits(), self.per_page());
        let first = self.first_block(run.first())?;
        let io = run.start()?;
        if self.is_journaled() {
            let done = self.write_journaled(tx, &io, &extents, first);
            return done.map(|()| rest).inspect_err(|error| io.fail(*error));
        }
        let submit = || {
            let end = WriteEnd::shared(io.clone())?;
            let mut bios = Bios::new(&self.mount.base.cache.device, Op::Write, OpFlags::NONE, end, io.pages().len());
            for extent in &extents {
                for step in 0..extent.len {
                    let at = extent.lblk + step - first;
                    let Some(page) = io.pages().get((at / per_page) as usize) else { break };
                    bios.push(extent.block + u64::from(step), page, ((at % per_page) as usize) << bits, 1 << bits)?;
                }
            }
            bios.submit();
            Ok(())
        };
        submit().map(|()| rest).inspect_err(|error| io.fail(*error))
    }

    /// Puts the pages' blocks into the transaction. With that they count as written.
    #[inline(never)]
    fn write_journaled(&self, tx: &mut Tx<KernelStore>, io: &Arc<WriteIo>, extents: &[Extent], first: u32) -> Result {
        let (bits, per_page) = (self.block_bits(), self.per_page());
        for extent in extents {
            for step in 0..extent.len {
                let at = extent.lblk + step - first;
                let Some(page) = io.pages().get((at / per_page) as usize) else { break };
                let offset = ((at % per_page) as usize) << bits;
                journal_data::put_page(&self.mount, tx, extent.block + u64::from(step), page, offset)?;
            }
        }
        self.note(self.mount.tid(tx), true);
        Ok(())
    }

    /// Writes dirty pages of a file whose data is inside the inode.
    fn write_inline(&self, mapping: &Arc<Mapping>, wbc: &mut WriteControl) -> Result {
        let core = &self.mount.core;
        let mut tx = core.begin(16, true)?;
        let result = self.write_inline_in(&mut tx, mapping, wbc);
        result.and(core.end(tx))
    }

    fn write_inline_in(&self, tx: &mut Tx<KernelStore>, mapping: &Arc<Mapping>, wbc: &mut WriteControl) -> Result {
        let Some(run) = mapping.next_dirty_run(wbc, 1)? else { return Ok(()) };
        let size = mapping.size().min(PAGE_SIZE as u64) as usize;
        let mut data = KVec::from_elem(0u8, size, GFP_NOFS)?;
        let page = run.pages().first().ok_or(EIO)?;
        page.read(0, &mut data)?;
        let mut tree = self.tree.write();
        if !self.mount.core.inline_write(tx, &mut tree.inode, 0, &data)? {
            return Err(EIO);
        }
        self.note(self.mount.core.store.tid(&tx.handle), true);
        drop(tree);
        // Dropping it is success: the data is in the transaction.
        run.start().map(drop)
    }
}

impl MappingOps for Pages {
    fn read_pages(&self, _mapping: &Mapping, run: ReadRun) {
        let first = run.first();
        let flags = if run.is_ahead() { OpFlags::RAHEAD } else { OpFlags::NONE };
        let Ok(io) = run.start() else { return };
        if let Err(error) = self.0.read(&io, first, flags) {
            io.fail(error);
        }
    }

    fn write_pages(&self, mapping: &Arc<Mapping>, wbc: &mut WriteControl) -> Result {
        let shared = &*self.0;
        if !mapping.is_dirty() {
            return Ok(());
        }
        if shared.is_inline() {
            return shared.write_inline(mapping, wbc);
        }
        let core = &shared.mount.core;
        let mut result = Ok(());
        let mut commits = 0;
        loop {
            let data = shared.credits_for_data();
            let credits = core.credits_for_map(&shared.tree.read().inode) * (shared.per_page() + 1) + 4 + data;
            // Space was reserved when the pages became dirty.
            let mut tx = core.begin(credits, true)?;
            // `chattr +j` keeps operations out while it changes this: it cannot change from here on.
            if shared.credits_for_data() != data {
                core.end(tx)?;
                continue;
            }
            let most = if data != 0 { (data / shared.per_page()).max(1) as usize } else { RUN };
            let mut first = 0;
            let step = match mapping.next_dirty_run(wbc, most) {
                Ok(Some(run)) => {
                    first = run.first();
                    Some(shared.write(&mut tx, run, mapping.size()))
                }
                Ok(None) => None,
                Err(error) => Some(Err(error)),
            };
            let ended = core.end(tx);
            match step {
                None => return result.and(ended),
                // What was freed is kept back until it is committed: only then there is no room. Others may take what comes free then,
                // and free something else.
                Some(Err(error)) if error == ENOSPC && commits < COMMITS && core.has_pending() => {
                    commits += 1;
                    if let Some(journal) = shared.mount.journal() {
                        journal.commit_all()?;
                    }
                    if wbc.sync {
                        *wbc = WriteControl::sync(first, wbc.last);
                    }
                }
                Some(Err(error)) => {
                    mapping.write_error(error);
                    return result.and(Err(error));
                }
                Some(Ok(rest)) => {
                    commits = 0;
                    if let Some(rest) = rest.filter(|_| wbc.sync) {
                        *wbc = WriteControl::sync(rest, wbc.last);
                    }
                    result = result.and(ended);
                    // No handle to find that there is nothing left.
                    if !mapping.is_dirty() {
                        return result;
                    }
                }
            }
        }
    }

    fn prepare_write(&self, pos: u64, len: usize) -> Result {
        let shared = &*self.0;
        if shared.is_inline() {
            shared.mount.leave_inline(shared)?;
        }
        let end = pos.checked_add(len as u64).ok_or(EIO)?;
        let block = |at: u64| u32::try_from(at).map_err(|_| errno::code::EFBIG);
        let (from, to) = (block(pos >> shared.block_bits())?, block(end.div_ceil(1 << shared.block_bits()))?);
        if shared.places_first() {
            return shared.place_unwritten(from, to);
        }
        shared.reserve(from, to)
    }

    fn prepare_most(&self) -> usize {
        // A place ahead of a write that ends early would stay with the file.
        if self.0.places_first() { 0 } else { AHEAD }
    }

    fn cancel_write(&self, mapping: &Mapping, from: u64, to: u64) {
        let shared = &*self.0;
        // Who stores to a page through memory reserves, and makes it dirty, with this lock shared.
        let _invalidate = mapping.invalidate_lock();
        let mut tree = shared.tree.write();
        for index in from / PAGE_SIZE as u64..to.div_ceil(PAGE_SIZE as u64) {
            let Ok(first) = shared.first_block(index) else { return };
            let waits = mapping.get(index).is_some_and(|page| page.has(PageFlags::DIRTY));
            if !waits {
                // Without memory to tell them apart they stay reserved.
                let _ = shared.unreserve(&mut tree, first, first.saturating_add(shared.per_page()));
            }
        }
    }

    fn dirty_is_prepared(&self) -> bool {
        // In pages of several blocks some may be holes. What is inside the inode is to leave it.
        self.0.per_page() == 1 && !self.0.is_inline()
    }

    fn make_writable(&self, index: u64) -> Result {
        let shared = &*self.0;
        if shared.mount.core.read_only() {
            return Err(errno::code::EROFS);
        }
        if shared.is_inline() {
            shared.mount.leave_inline(shared)?;
        }
        let first = shared.first_block(index)?;
        let end = first.saturating_add(shared.per_page());
        if !shared.mount.delays() && shared.tree.read().inode.uses_extents() {
            return shared.place_unwritten(first, end);
        }
        shared.reserve(first, end)
    }

    fn clear_behind_end(&self, mapping: &Mapping, size: u64) -> Result {
        crate::truncate::clear_rest(&self.0, mapping, size)
    }

    fn read_page(&self, _index: u64, _page: &Page) -> Result {
        // Only `read_pages` is used.
        Err(EIO)
    }
}
