// SPDX-License-Identifier: GPL-2.0
//! Files of ext2 and ext3: twelve pointers to blocks, then one each through one, two and three levels of blocks of pointers.

use crate::balloc::Request;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::{Create, Mapping, State};
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::inode::NDIR_BLOCKS;
use ext4_format::le;
use ext4_store::{Buffer, Store};

/// Where a block's pointer is: the slot in the inode, then the slot in each block of pointers on the way.
struct Route {
    slots: [u32; 4],
    levels: usize,
}

impl<S: Store> Fs<S> {
    fn route(&self, lblk: u32) -> Result<Route> {
        let n = u64::from(self.geo.pointers());
        let mut left = u64::from(lblk);
        if left < NDIR_BLOCKS as u64 {
            return Ok(Route { slots: [lblk, 0, 0, 0], levels: 0 });
        }
        left -= NDIR_BLOCKS as u64;
        if left < n {
            return Ok(Route { slots: [12, left as u32, 0, 0], levels: 1 });
        }
        left -= n;
        if left < n * n {
            return Ok(Route { slots: [13, (left / n) as u32, (left % n) as u32, 0], levels: 2 });
        }
        left -= n * n;
        if left < n * n * n {
            return Ok(Route {
                slots: [14, (left / (n * n)) as u32, (left / n % n) as u32, (left % n) as u32],
                levels: 3,
            });
        }
        Err(EFBIG)
    }

    fn pointer(&self, inode: &Inode, buf: Option<&S::Buf>, slot: u32) -> u32 {
        match buf {
            Some(buf) => le::u32_at(&buf.read(), slot as usize * 4),
            None => le::u32_at(&inode.raw.block, slot as usize * 4),
        }
    }

    fn set_pointer(&self, tx: &mut Tx<S>, inode: &mut Inode, buf: Option<&S::Buf>, slot: u32, value: u32) -> Result {
        match buf {
            Some(buf) => self.modify(tx, buf, |data| le::put_u32(data, slot as usize * 4, value)),
            None => {
                le::put_u32(&mut inode.raw.block, slot as usize * 4, value);
                Ok(())
            }
        }
    }

    pub(crate) fn pointer_block(&self, inode: &Inode, block: u32) -> Result<S::Buf> {
        if !self.valid_blocks(block.into(), 1) {
            return Err(self.corrupt("indirect_block", inode.ino, block.into()));
        }
        self.store.bread(block.into())
    }

    /// Checks the pointers in the inode.
    pub(crate) fn check_pointers(&self, inode: &Inode) -> Result {
        let hidden = self.is_hidden(inode.ino);
        for slot in 0..15 {
            let block = le::u32_at(&inode.raw.block, slot * 4);
            if block != 0 && !hidden && !self.valid_blocks(block.into(), 1) {
                return Err(EUCLEAN);
            }
        }
        Ok(())
    }

    /// `Fs::map` for files with block pointers.
    pub(crate) fn indirect_map(&self, inode: &Inode, lblk: u32, len: u32) -> Result<Mapping> {
        let hole = |len| Ok(Mapping { lblk, len, state: State::Hole, new: false });
        let Ok(route) = self.route(lblk) else { return hole(len.max(1)) };
        let n = self.geo.pointers();
        let mut buf: Option<S::Buf> = None;
        for level in 0..=route.levels {
            let slot = route.slots.get(level).copied().unwrap_or(0);
            let block = self.pointer(inode, buf.as_ref(), slot);
            if level == route.levels {
                let end = if level == 0 { NDIR_BLOCKS as u32 } else { n };
                let most = len.clamp(1, end - slot);
                let same = |i: &u32| {
                    let next = self.pointer(inode, buf.as_ref(), slot + i);
                    if block == 0 { next == 0 } else { next == block.wrapping_add(*i) && next != 0 }
                };
                let run = 1 + (1..most).take_while(same).count() as u32;
                let state = if block == 0 { State::Hole } else { State::Written(block.into()) };
                return Ok(Mapping { lblk, len: run, state, new: false });
            }
            if block == 0 {
                // All that would be below this pointer is a hole: from this block's place in it to the end.
                let below = (route.levels - level) as u32;
                let inside = (level + 1..=route.levels)
                    .fold(0u64, |sum, l| sum * u64::from(n) + u64::from(route.slots.get(l).copied().unwrap_or(0)));
                let rest = u64::from(n).saturating_pow(below).saturating_sub(inside);
                return hole(len.min(rest.min(u32::MAX.into()) as u32).max(1));
            }
            buf = Some(self.pointer_block(inode, block)?);
        }
        hole(1)
    }

    /// `Fs::map_create` for files with block pointers.
    pub(crate) fn indirect_map_create(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        lblk: u32,
        len: u32,
        how: Create,
    ) -> Result<Mapping> {
        if how.unwritten {
            return Err(EOPNOTSUPP);
        }
        let found = self.map(inode, lblk, len)?;
        if found.state != State::Hole {
            return Ok(found);
        }
        let route = self.route(lblk)?;
        let mut goal = match inode.last_goal {
            Some((next, block)) if next == lblk => block,
            _ => self.default_goal(inode),
        };
        let mut buf: Option<S::Buf> = None;
        for level in 0..route.levels {
            let slot = route.slots.get(level).copied().unwrap_or(0);
            let mut block = self.pointer(inode, buf.as_ref(), slot);
            if block == 0 {
                // As for extents: what waits was promised its place.
                let before = tx.last_resort;
                tx.last_resort |= how.reserved;
                let made = self.new_pointer_block(tx, inode, goal, how.reserved && inode.nodes != 0);
                tx.last_resort = before;
                block = made?;
                self.set_pointer(tx, inode, buf.as_ref(), slot, block)?;
                goal = u64::from(block) + 1;
            }
            buf = Some(self.pointer_block(inode, block)?);
        }
        // Written now, so that blocks of pointers are not lost if there is no room for the data.
        self.write_inode(tx, inode)?;
        let slot = route.slots.get(route.levels).copied().unwrap_or(0);
        if slot > 0 {
            let before = self.pointer(inode, buf.as_ref(), slot - 1);
            goal = if before != 0 { u64::from(before) + 1 } else { goal };
        }
        // A hole may go on beyond this block of pointers.
        let end = if route.levels == 0 { NDIR_BLOCKS as u32 } else { self.geo.pointers() };
        let request = Request {
            goal,
            len: found.len.clamp(1, end - slot),
            lblk,
            data: inode.is_regular() && !how.exact,
            reserved: how.reserved,
            promised: false,
        };
        let (block, count) = self.allocate(tx, inode, request)?;
        if block.saturating_add(count.into()) > u64::from(u32::MAX) {
            self.free(tx, inode, block, count, false)?;
            if how.reserved {
                self.reserve_again(inode, count.into());
            }
            return Err(ENOSPC);
        }
        match &buf {
            Some(buf) => self.modify(tx, buf, |data| {
                for i in 0..count {
                    le::put_u32(data, (slot + i) as usize * 4, block as u32 + i);
                }
            })?,
            None => {
                for i in 0..count {
                    le::put_u32(&mut inode.raw.block, (slot + i) as usize * 4, block as u32 + i);
                }
            }
        }
        self.write_inode(tx, inode)?;
        Ok(Mapping { lblk, len: count, state: State::Written(block), new: true })
    }

    fn new_pointer_block(&self, tx: &mut Tx<S>, inode: &mut Inode, goal: u64, promised: bool) -> Result<u32> {
        let (block, _) = self.allocate(tx, inode, Request { promised, ..Request::meta(goal) })?;
        let Ok(number) = u32::try_from(block) else {
            self.free(tx, inode, block, 1, false)?;
            return Err(ENOSPC);
        };
        self.create_block(tx, block, |_| {})?;
        Ok(number)
    }

    /// Frees the blocks `from..to` of the file. False if the operation ran out of credits: what is done is consistent, and
    /// the rest is to be done in another.
    pub(crate) fn indirect_remove(&self, tx: &mut Tx<S>, inode: &mut Inode, from: u32, to: u64) -> Result<bool> {
        let n = u64::from(self.geo.pointers());
        let metadata = self.data_is_metadata(inode);
        let mut done = true;
        let mut base = 0u64;
        for slot in 0..15u32 {
            let levels = slot.saturating_sub(11);
            let size = n.saturating_pow(levels);
            let (first, end) = (base, base.saturating_add(size));
            base = end;
            if end <= u64::from(from) || first >= to || !done {
                continue;
            }
            let block = le::u32_at(&inode.raw.block, slot as usize * 4);
            if block == 0 {
                continue;
            }
            let range = (u64::from(from).saturating_sub(first), to - first);
            done = if levels == 0 {
                if !self.has_credits(tx, 6)? {
                    return self.write_inode(tx, inode).map(|()| false);
                }
                le::put_u32(&mut inode.raw.block, slot as usize * 4, 0);
                self.free(tx, inode, block.into(), 1, metadata)?;
                true
            } else {
                let (empty, done) = self.remove_below(tx, inode, block, levels, range, metadata)?;
                if empty {
                    le::put_u32(&mut inode.raw.block, slot as usize * 4, 0);
                    self.free(tx, inode, block.into(), 1, true)?;
                }
                done
            };
        }
        self.write_inode(tx, inode)?;
        Ok(done)
    }

    /// Frees part of what a block of pointers leads to; gives whether it is empty now, and whether all was done. `range` is
    /// relative to the first block below it.
    fn remove_below(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        block: u32,
        levels: u32,
        range: (u64, u64),
        metadata: bool,
    ) -> Result<(bool, bool)> {
        let n = self.geo.pointers();
        let size = u64::from(n).saturating_pow(levels - 1);
        let buf = self.pointer_block(inode, block)?;
        let mut slot = (range.0 / size).min(n.into()) as u32;
        let end = range.1.div_ceil(size).min(n.into()) as u32;
        let mut done = true;
        while slot < end {
            let child = self.pointer(inode, Some(&buf), slot);
            if child == 0 {
                slot += 1;
                continue;
            }
            // This run, and this block and its ancestors should they get empty.
            if !self.has_credits(tx, 16)? {
                done = false;
                break;
            }
            if levels == 1 {
                let run = 1
                    + (1..end - slot)
                        .take_while(|i| self.pointer(inode, Some(&buf), slot + i) == child.wrapping_add(*i))
                        .count() as u32;
                // A run lies in one group, so that its cost is known.
                let group_left = self.geo.blocks_per_group
                    - (u64::from(child).saturating_sub(self.geo.first_data_block)
                        % u64::from(self.geo.blocks_per_group)) as u32;
                let mut run = run.min(group_left);
                if metadata {
                    run = self.may_forget(tx, run)?;
                    if run == 0 {
                        done = false;
                        break;
                    }
                }
                self.modify(tx, &buf, |data| {
                    for i in 0..run {
                        le::put_u32(data, (slot + i) as usize * 4, 0);
                    }
                })?;
                self.free(tx, inode, child.into(), run, metadata)?;
                slot += run;
            } else {
                let first = u64::from(slot) * size;
                let inside = (range.0.saturating_sub(first), range.1.saturating_sub(first).min(size));
                let (empty, all) = self.remove_below(tx, inode, child, levels - 1, inside, metadata)?;
                if empty {
                    self.modify(tx, &buf, |data| le::put_u32(data, slot as usize * 4, 0))?;
                    self.free(tx, inode, child.into(), 1, true)?;
                }
                if !all {
                    done = false;
                    break;
                }
                slot += 1;
            }
        }
        let empty = buf.read().iter().all(|&byte| byte == 0);
        Ok((empty, done))
    }

    /// Whether an inode's data goes through the journal as metadata.
    pub(crate) fn data_is_metadata(&self, inode: &Inode) -> bool {
        !inode.is_regular()
            || self.journal_data
            || inode.has_flag(ext4_format::inode::flag::EA_INODE | ext4_format::inode::flag::JOURNAL_DATA)
    }
}
