// SPDX-License-Identifier: GPL-2.0
//! Block devices as files: opening a node, reading and writing through the device's cached pages or, with `O_DIRECT`, past them,
//! `ioctl`. A direct read or write (`direct`) moves whole blocks between the device and the program's pages, or, if those are not
//! aligned, pages here whose bytes are copied (`rw`).
//!
//! Locks: none of its own.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod direct;
mod ioctl;
mod rw;

use block::{BdevHandle, BlockDevice, Holder, open_by_dev, open_nonblock};
use buffer::DeviceCache;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use vfs::chrdev::BlockOpen;
use vfs::file::fmode;
use vfs::kiocb::{Durable, Kiocb};
use vfs::{File, FileOps, Inode, OpenFlags};
use x86_mm::uaccess::IovIter;

struct Opener;

impl BlockOpen for Opener {
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        // The file that claims it is the holder.
        let holder = flags.any(uapi::O_EXCL).then(Holder::unique);
        let open = if flags.any(uapi::O_NONBLOCK) { open_nonblock } else { open_by_dev };
        let handle = open(inode.rdev, flags.writes(), holder)?;
        let cache = DeviceCache::of(handle.bdev())?;
        cache.refresh();
        Ok(KBox::new(BlockFile { handle, cache }, GFP_KERNEL)?)
    }
}

/// Lets programs open block devices. Once, at boot.
pub fn init() {
    static OPENER: &dyn BlockOpen = &Opener;
    vfs::chrdev::BLOCK.set(&OPENER);
}

/// An open block device.
struct BlockFile {
    handle: BdevHandle,
    cache: Arc<DeviceCache>,
}

impl BlockFile {
    fn bdev(&self) -> &Arc<BlockDevice> {
        self.handle.bdev()
    }

    /// A transfer past the cache, which makes way for it; cut at the device's end. `None`: there is nothing to do. EINVAL, EPERM, ENOSPC.
    fn transfer<'a, 'b>(
        &'a self,
        iter: &'a mut IovIter<'b>,
        pos: u64,
        write: bool,
        sync: bool,
    ) -> Result<Option<direct::Transfer<'a, 'b>>> {
        if write && self.bdev().is_read_only() {
            return Err(EPERM);
        }
        if write && self.bdev().is_swap() {
            return Err(ETXTBSY);
        }
        self.direct_end(pos, iter.count())?;
        let left = self.bdev().size().saturating_sub(pos);
        if left == 0 && write && !iter.is_empty() {
            return Err(ENOSPC);
        }
        iter.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if iter.is_empty() {
            return Ok(None);
        }
        buffer::io::before_direct(&self.cache, pos, pos + iter.count() as u64, write)?;
        Ok(Some(direct::Transfer { file: self, iter, pos, write, sync }))
    }

    /// The end of `count` bytes from `pos` on that go past the cache. EINVAL if they are not whole blocks.
    fn direct_end(&self, pos: u64, count: usize) -> Result<u64> {
        let unit = u64::from(self.bdev().logical_block_size());
        let end = pos.checked_add(count as u64).ok_or(EINVAL)?;
        if pos.is_multiple_of(unit) && end.is_multiple_of(unit) { Ok(end) } else { Err(EINVAL) }
    }
}

impl FileOps for BlockFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if !file.flags().any(uapi::O_DIRECT) {
            return buffer::io::read(file, &self.cache, to, pos);
        }
        let start = u64::try_from(*pos)?;
        let done = match self.transfer(to, start, false, false)? {
            Some(transfer) if direct::is_aligned(self.bdev(), transfer.iter) => transfer.wait()?,
            Some(transfer) => rw::read(self.bdev(), transfer.iter, start)?,
            None => 0,
        };
        *pos += done as i64;
        Ok(done)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if self.bdev().is_read_only() {
            return Err(EPERM);
        }
        if self.bdev().is_swap() {
            return Err(ETXTBSY);
        }
        if !file.flags().any(uapi::O_DIRECT) {
            return buffer::io::write(file, &self.cache, from, pos);
        }
        let start = u64::try_from(*pos)?;
        let sync = file.flags().any(uapi::O_DSYNC);
        let Some(transfer) = self.transfer(from, start, true, sync)? else { return Ok(0) };
        let end = start + transfer.iter.count() as u64;
        let aligned = direct::is_aligned(self.bdev(), transfer.iter);
        let done = if aligned { transfer.wait()? } else { rw::write(self.bdev(), transfer.iter, start)? };
        buffer::io::after_direct(&self.cache, start, end)?;
        *pos += done as i64;
        if sync && !aligned {
            block::issue_flush(self.bdev())?;
        }
        Ok(done)
    }

    fn can_submit(&self, file: &File) -> bool {
        file.flags().any(uapi::O_DIRECT)
    }

    fn submit_direct(&self, file: &File, iter: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
        if !direct::is_aligned(self.bdev(), iter) {
            return Some(kiocb);
        }
        let Kiocb { pos, write, durable, polled, done } = kiocb;
        let sync = write && durable.max(Durable::of_file(file)) != Durable::No;
        match self.transfer(iter, pos, write, sync) {
            Ok(Some(transfer)) => transfer.submit(done, polled),
            Ok(None) => done.done(Ok(0)),
            Err(error) => done.done(Err(error)),
        }
        None
    }

    fn poll_direct(&self, _: &File) -> Option<usize> {
        self.bdev().poll()
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        let size = self.bdev().size().cast_signed();
        vfs::seek::with_size(pos, offset, whence, size, size)
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        ioctl::ioctl(&self.handle, cmd, arg)
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        self.cache.sync_and_flush()
    }

    fn mapping<'a>(&'a self, _: &'a File) -> Option<&'a Arc<mm::Mapping>> {
        Some(self.cache.mapping())
    }

    fn fallocate(&self, _: &File, mode: u32, offset: u64, len: u64) -> Result {
        let unit = u64::from(self.bdev().logical_block_size());
        let end = offset.checked_add(len).ok_or(EINVAL)?.min(self.bdev().size());
        if offset >= self.bdev().size() || !offset.is_multiple_of(unit) || !end.is_multiple_of(unit) {
            return Err(EINVAL);
        }
        let (sector, sectors) = (offset >> 9, (end - offset) >> 9);
        buffer::io::before_direct(&self.cache, offset, end, true)?;
        const KEEP: u32 = uapi::FALLOC_FL_KEEP_SIZE;
        match mode {
            m if m == uapi::FALLOC_FL_ZERO_RANGE || m == uapi::FALLOC_FL_ZERO_RANGE | KEEP => {
                block::issue_zeroout(self.bdev(), sector, sectors, true, false)
            }
            m if m == uapi::FALLOC_FL_PUNCH_HOLE | KEEP => {
                block::issue_zeroout(self.bdev(), sector, sectors, false, true)
            }
            _ => Err(EOPNOTSUPP),
        }
    }

    fn check_flags(&self, _: &File, _: u32) -> Result {
        // Any transfer can be direct.
        Ok(())
    }
}
