// SPDX-License-Identifier: GPL-2.0
//! Reads a disk's partition table and adds what it names. The core holds the disk's `open` mutex.

use block::{BlockDevice, Gendisk, PartitionInfo, read_bytes};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use klog::{pr_info, pr_warn};
use partitions::{Kind, Partition, Source};

struct Disk<'a>(&'a Arc<BlockDevice>);

impl Source for Disk<'_> {
    fn sectors(&self) -> u64 {
        self.0.nr_sectors()
    }

    fn block_size(&self) -> u32 {
        self.0.logical_block_size()
    }

    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result {
        read_bytes(self.0, sector.checked_mul(512).ok_or(EIO)?, to)
    }
}

pub(crate) fn scan(disk: &Arc<Gendisk>) -> Result {
    let whole = disk.part(0).ok_or(ENXIO)?;
    let table = match partitions::read(&mut Disk(&whole), false) {
        Ok(table) => table,
        Err(error) => {
            pr_warn!("{}: unable to read partition table", disk.name());
            return Err(error);
        }
    };
    let Some(table) = table else {
        pr_info!("{}: unknown partition table", disk.name());
        return Ok(());
    };
    if table.kind == Kind::Gpt && table.damaged {
        pr_warn!("GPT: {}: the table or its backup is damaged. Use GNU Parted to correct GPT errors.", disk.name());
    }
    let mut line = KString::from_fmt(format_args!("{}:", disk.name()), GFP_KERNEL)?;
    for partition in table.partitions {
        let number = partition.number;
        match add(disk, partition) {
            Ok(Some(name)) => {
                line.push(b' ', GFP_KERNEL)?;
                line.push_bytes(name.as_bytes(), GFP_KERNEL)?;
            }
            Ok(None) => {}
            Err(error) => pr_warn!("{}: p{number} could not be added: {error}", disk.name()),
        }
    }
    pr_info!(" {line}");
    Ok(())
}

/// Adds a partition, as much of it as is on the disk; its name.
fn add(disk: &Arc<Gendisk>, partition: Partition) -> Result<Option<KString>> {
    let (capacity, number) = (disk.capacity(), partition.number);
    if partition.start >= capacity {
        pr_warn!("{}: p{number} start {} is beyond EOD, truncated", disk.name(), partition.start);
        return Ok(None);
    }
    let room = capacity - partition.start;
    if partition.sectors > room {
        pr_warn!("{}: p{number} size {} extends beyond EOD, truncated", disk.name(), partition.sectors);
    }
    let info = PartitionInfo { uuid: partition.uuid, name: partition.name };
    let part = disk.add_partition(number, partition.start, partition.sectors.min(room), info)?;
    part.name().map(Some)
}
