// SPDX-License-Identifier: GPL-2.0
//! `GenDisk`: a disk whose driver is a module's, and how it is made.

use super::driver::Disk;
use super::operations::CallsOf;
use super::{Operations, TagSet};
use crate::block::QueueLimits;
use crate::error::{Result, code::EINVAL};
use crate::fmt::{self, Write};
use crate::page::PAGE_SIZE;
use crate::str::Formatter;
use crate::types::{ForeignOwnable, ScopeGuard};
use core::ffi::c_void;
use kalloc::Arc;

/// Bytes of a disk's name, its end (0) included.
const DISK_NAME_LEN: usize = 32;

/// Gathers what a disk is to be; [`Self::build`] makes it.
pub struct GenDiskBuilder {
    rotational: bool,
    logical_block_size: u32,
    physical_block_size: u32,
    capacity_sectors: u64,
}

impl Default for GenDiskBuilder {
    fn default() -> Self {
        let block = PAGE_SIZE as u32;
        Self { rotational: false, logical_block_size: block, physical_block_size: block, capacity_sectors: 0 }
    }
}

impl GenDiskBuilder {
    /// Blocks of a page, no capacity, no seeks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether seeks cost time.
    pub fn rotational(mut self, rotational: bool) -> Self {
        self.rotational = rotational;
        self
    }

    /// `EINVAL` unless `size` is a power of two from 512 to the size of a page.
    pub fn validate_block_size(size: u32) -> Result {
        if size.is_power_of_two() && (512..=PAGE_SIZE as u32).contains(&size) { Ok(()) } else { Err(EINVAL) }
    }

    /// The smallest unit that can be addressed, in bytes. `EINVAL` as [`Self::validate_block_size`].
    pub fn logical_block_size(mut self, block_size: u32) -> Result<Self> {
        Self::validate_block_size(block_size)?;
        self.logical_block_size = block_size;
        Ok(self)
    }

    /// The smallest unit that is written as a whole, in bytes. `EINVAL` as [`Self::validate_block_size`].
    pub fn physical_block_size(mut self, block_size: u32) -> Result<Self> {
        Self::validate_block_size(block_size)?;
        self.physical_block_size = block_size;
        Ok(self)
    }

    /// Sectors of 512 bytes.
    pub fn capacity_sectors(mut self, capacity: u64) -> Self {
        self.capacity_sectors = capacity;
        self
    }

    /// Makes the disk and shows it to programs. `EINVAL` if the name is too long, `EEXIST` if there is one, `ENOMEM`. May sleep.
    pub fn build<T: Operations>(
        self,
        name: fmt::Arguments<'_>,
        tagset: Arc<TagSet<T>>,
        queue_data: T::QueueData,
    ) -> Result<GenDisk<T>> {
        let data = queue_data.into_foreign();
        let recover = ScopeGuard::new_with_data(data, |data| {
            // SAFETY: It was given away above, and nothing uses it: there is no disk, or it was removed.
            drop(unsafe { T::QueueData::from_foreign(data) });
        });
        let mut buffer = [0; DISK_NAME_LEN - 1];
        let mut writer = Formatter::new(&mut buffer);
        writer.write_fmt(name)?;
        let len = writer.bytes_written();
        let name = core::str::from_utf8(buffer.get(..len).ok_or(EINVAL)?)?;
        let limits = QueueLimits {
            logical_block_size: self.logical_block_size,
            physical_block_size: self.physical_block_size,
            rotational: self.rotational,
            ..QueueLimits::default()
        };
        // SAFETY: The functions are `T`'s, the data is `T::QueueData`; it is dropped after the disk was removed.
        let disk = unsafe { Disk::new(&CallsOf::<T>::CALLS, data, (tagset.queues, tagset.depth), name, limits) }?;
        if let Err(error) = disk.add(self.capacity_sectors) {
            disk.remove();
            return Err(error);
        }
        recover.dismiss();
        Ok(GenDisk { _tagset: tagset, disk, data })
    }
}

/// A disk. It goes when this is dropped (which may sleep); programs that have it open get `EIO`.
///
/// # Invariants
/// `data` is a `T::QueueData` that was given away, and the disk was added.
pub struct GenDisk<T: Operations> {
    _tagset: Arc<TagSet<T>>,
    disk: Disk,
    data: *mut c_void,
}

// SAFETY: It owns the data, which may be sent.
unsafe impl<T: Operations> Send for GenDisk<T> where T::QueueData: Send {}

impl<T: Operations> Drop for GenDisk<T> {
    fn drop(&mut self) {
        self.disk.remove();
        // SAFETY: By the invariant; nobody uses it after the removal.
        drop(unsafe { T::QueueData::from_foreign(self.data) });
    }
}
