// SPDX-License-Identifier: GPL-2.0
//! The table: which cluster follows which, giving clusters away and taking them back. All copies are kept the same. Locks: `free`, around
//! every change.

use crate::mounted::Mounted;
use fat_format::boot::FIRST;
use fat_format::link::Link;
use kalloc::{Arc, KVVec};
use kernel::filesystem::block;
use kernel::filesystem::buffer::Buffer;
use kernel::filesystem::sync::MutexGuard;
use kernel::prelude::*;

/// Clusters that are free.
pub(crate) struct Free {
    /// How many, if it is known.
    pub(crate) count: Option<u32>,
    /// The last that was given away.
    pub(crate) next: u32,
    /// The disk does not know yet.
    pub(crate) changed: bool,
}

/// The buffer that was used last: neighbours are often asked for one after the other.
#[derive(Default)]
pub(crate) struct Cursor(Option<(u64, Arc<Buffer>)>);

impl Mounted {
    /// A sector of the first table.
    fn table_sector<'a>(&self, cursor: &'a mut Cursor, number: u64) -> Result<&'a Arc<Buffer>> {
        if !matches!(&cursor.0, Some((there, _)) if *there == number) {
            if number >= self.geo.fat_sectors.into() {
                return Err(EIO);
            }
            cursor.0 = Some((number, self.bread(u64::from(self.geo.fat_start) + number)?));
        }
        cursor.0.as_ref().map(|found| &found.1).ok_or(EIO)
    }

    fn load(&self, cursor: &mut Cursor, cluster: u32) -> Result<u32> {
        let at = self.geo.width.at(cluster);
        let size = u64::from(self.geo.sector);
        let mut bytes = [0u8; 4];
        let mut done = 0;
        while done < at.len {
            let byte = at.byte + done as u64;
            let offset = (byte % size) as usize;
            let n = (at.len - done).min(size as usize - offset);
            let data = self.table_sector(cursor, byte / size)?.read();
            let part = data.get(offset..offset + n).ok_or(EIO)?;
            bytes.get_mut(done..done + n).ok_or(EIO)?.copy_from_slice(part);
            done += n;
        }
        Ok(u32::from_le_bytes(bytes))
    }

    /// What follows `cluster`. EIO, also for a number that no cluster has.
    pub(crate) fn link(&self, cursor: &mut Cursor, cluster: u32) -> Result<Link> {
        if !self.geo.has(cluster) {
            return Err(self.error(format_args!("invalid access to FAT (entry 0x{cluster:08x})")));
        }
        let raw = self.load(cursor, cluster)?;
        Ok(self.geo.width.get(cluster, raw))
    }

    /// Changes an entry in all tables.
    fn set_link(&self, _free: &MutexGuard<'_, Free>, cursor: &mut Cursor, cluster: u32, link: Link) -> Result {
        let raw = self.load(cursor, cluster)?;
        let bytes = self.geo.width.set(cluster, raw, link).to_le_bytes();
        let at = self.geo.width.at(cluster);
        let size = u64::from(self.geo.sector);
        let mut done = 0;
        while done < at.len {
            let byte = at.byte + done as u64;
            let offset = (byte % size) as usize;
            let n = (at.len - done).min(size as usize - offset);
            let buffer = self.table_sector(cursor, byte / size)?.clone();
            let part = bytes.get(done..done + n).ok_or(EIO)?;
            buffer.write().get_mut(offset..offset + n).ok_or(EIO)?.copy_from_slice(part);
            buffer.mark_dirty();
            self.mirror(byte / size, &buffer)?;
            done += n;
        }
        Ok(())
    }

    /// Copies a sector of the first table to the others.
    fn mirror(&self, number: u64, from: &Buffer) -> Result {
        for copy in 1..u64::from(self.geo.fats) {
            let sector = u64::from(self.geo.fat_start) + copy * u64::from(self.geo.fat_sectors) + number;
            let to = self.cache().getblk(sector, self.geo.sector)?;
            let data = from.read();
            to.write().get_mut(..data.len()).ok_or(EIO)?.copy_from_slice(&data);
            to.mark_dirty();
        }
        Ok(())
    }

    /// Gives away `count` clusters, which are chained to each other and to `last`, if there is one. They are added to `out`. ENOSPC:
    /// nothing changed.
    pub(crate) fn allocate(&self, last: Option<u32>, count: u32, out: &mut KVVec<u32>) -> Result {
        self.writable()?;
        out.reserve(count as usize, kalloc::flags::GFP_NOFS)?;
        let had = out.len();
        let mut free = self.free.lock();
        if free.count.is_some_and(|there| there < count) {
            return Err(ENOSPC);
        }
        let mut cursor = Cursor::default();
        let mut at = free.next;
        let mut left = count;
        for _ in 0..self.geo.clusters {
            if left == 0 {
                break;
            }
            at = at.wrapping_add(1);
            if !self.geo.has(at) {
                at = FIRST;
            }
            if self.link(&mut cursor, at)? != Link::Free {
                continue;
            }
            self.set_link(&free, &mut cursor, at, Link::End)?;
            if let Some(before) = out.get(had..).and_then(|new| new.last()).copied() {
                self.set_link(&free, &mut Cursor::default(), before, Link::Next(at))?;
            }
            out.push(at, kalloc::flags::GFP_NOFS)?;
            left -= 1;
            free.next = at;
            free.count = free.count.map(|count| count.saturating_sub(1));
            free.changed = true;
        }
        if left != 0 {
            for cluster in out.drain(had..) {
                self.set_link(&free, &mut cursor, cluster, Link::Free)?;
            }
            free.count = Some(count - left);
            return Err(ENOSPC);
        }
        if let (Some(last), Some(first)) = (last, out.get(had).copied()) {
            self.set_link(&free, &mut cursor, last, Link::Next(first))?;
        }
        Ok(())
    }

    /// Takes back the chain that begins at `first`; `buffered`: its sectors may be in buffers (a directory). EIO if it is damaged: what
    /// was before is free all the same.
    pub(crate) fn free_chain(&self, first: u32, buffered: bool) -> Result {
        let mut free = self.free.lock();
        let mut cursor = Cursor::default();
        let mut at = first;
        let mut run = (0, 0);
        let mut result = Ok(());
        for _ in 0..self.geo.clusters {
            let next = match self.link(&mut cursor, at) {
                Ok(Link::Free) => {
                    result = Err(self.error(format_args!("fat_free_clusters: deleting FAT entry beyond EOF")));
                    break;
                }
                Ok(next) => next,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            if let Err(error) = self.set_link(&free, &mut cursor, at, Link::Free) {
                result = Err(error);
                break;
            }
            free.count = free.count.map(|count| count.saturating_add(1));
            free.changed = true;
            if buffered {
                self.forget(at);
            }
            if self.options.discard {
                run = self.discard(run, at);
            }
            match next {
                Link::Next(next) => at = next,
                _ => break,
            }
        }
        self.discard(run, 0);
        result
    }

    /// Ends the chain after `last`. Returns what followed.
    pub(crate) fn end_chain(&self, last: u32) -> Result<Link> {
        let free = self.free.lock();
        let mut cursor = Cursor::default();
        let next = self.link(&mut cursor, last)?;
        self.set_link(&free, &mut cursor, last, Link::End)?;
        Ok(next)
    }

    /// Buffers of a cluster that is free are not to be written any more.
    fn forget(&self, cluster: u32) {
        let first = self.geo.cluster_at(cluster) / u64::from(self.geo.sector);
        for sector in first..first + u64::from(self.geo.cluster_sectors) {
            if let Some(buffer) = self.cache().find(sector, self.geo.sector) {
                buffer.forget();
                buffer.wait_written();
            }
        }
    }

    /// Adds `cluster` to a run of free ones; a run that it does not continue is told to the device. 0 is none.
    fn discard(&self, run: (u32, u32), cluster: u32) -> (u32, u32) {
        let (first, count) = run;
        if count != 0 && cluster == first + count {
            return (first, count + 1);
        }
        if count != 0 {
            let sectors = u64::from(self.geo.cluster_bytes()) >> 9;
            // A device that cannot do it loses nothing.
            let _ =
                block::issue_discard(self.device.bdev(), self.geo.cluster_at(first) >> 9, u64::from(count) * sectors);
        }
        (cluster, u32::from(cluster != 0))
    }

    /// Free clusters, counted if they are not known.
    pub(crate) fn free_count(&self) -> Result<u32> {
        let mut free = self.free.lock();
        if let Some(count) = free.count {
            return Ok(count);
        }
        let mut cursor = Cursor::default();
        let mut count = 0;
        for cluster in FIRST..FIRST + self.geo.clusters {
            count += u32::from(self.link(&mut cursor, cluster)? == Link::Free);
        }
        free.count = Some(count);
        free.changed = true;
        Ok(count)
    }
}
