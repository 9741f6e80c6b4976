// SPDX-License-Identifier: GPL-2.0
//! `/sys/block/*/queue`: limits and features. Source: Linux's `Documentation/ABI/stable/sysfs-block`.

use crate::live;
use block::{Gendisk, QueueLimits};
use errno::{Result, code::*};
use kalloc::Arc;
use sysfs::{Node, attr, attr_rw};
use vfs::seq_print;

/// A number that can only be read.
fn show(dir: &Arc<Node>, disk: &Arc<Gendisk>, name: &str, value: fn(&QueueLimits) -> u64) -> Result {
    let disk = live(disk);
    attr(dir, name, move |out| seq_print!(out, "{}\n", value(&disk()?.limits()))).map(drop)
}

/// A number as a program writes it.
pub(crate) fn number(data: &[u8]) -> Result<u64> {
    let text = core::str::from_utf8(data.trim_ascii())?;
    text.parse().map_err(|_| EINVAL)
}

fn flag(set: bool) -> u64 {
    u64::from(set)
}

/// Makes the directory.
pub(crate) fn add(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    let dir = &dir.dir_or_new(b"queue")?;
    type Limit = fn(&QueueLimits) -> u64;
    let names: &[(&str, Limit)] = &[
        ("logical_block_size", |l| l.logical_block_size.into()),
        ("hw_sector_size", |l| l.logical_block_size.into()),
        ("physical_block_size", |l| l.physical_block_size.into()),
        ("minimum_io_size", |l| l.io_min.into()),
        ("optimal_io_size", |l| l.io_opt.into()),
        ("max_hw_sectors_kb", |l| (l.max_hw_sectors / 2).into()),
        ("max_segments", |l| l.max_segments.into()),
        ("max_segment_size", |l| l.max_segment_size.into()),
        ("max_discard_segments", |l| l.max_discard_segments.into()),
        ("discard_granularity", |l| l.discard_granularity.into()),
        ("discard_max_hw_bytes", |l| u64::from(l.max_hw_discard_sectors) << 9),
        ("discard_zeroes_data", |_| 0),
        ("write_same_max_bytes", |_| 0),
        ("write_zeroes_max_bytes", |l| u64::from(l.max_write_zeroes_sectors) << 9),
        ("virt_boundary_mask", |l| l.virt_boundary_mask),
        ("dma_alignment", |l| l.dma_alignment.into()),
        // No device has parts of these kinds: boundaries that transfers must not cross, checksums of its own, zones, memory.
        ("chunk_sectors", |_| 0),
        ("max_integrity_segments", |_| 0),
        ("nr_zones", |_| 0),
        ("zone_append_max_bytes", |_| 0),
        ("zone_write_granularity", |_| 0),
        ("dax", |_| 0),
        ("fua", |l| flag(l.write_cache && l.fua)),
        ("stable_writes", |l| flag(l.stable_writes)),
    ];
    for &(name, value) in names {
        show(dir, disk, name, value)?;
    }
    sysfs::constant(dir, "zoned", "none")?;
    writable(dir, disk)
}

/// A number of `owner` that can also be written.
pub(crate) fn setting<T: Send + Sync + 'static>(
    dir: &Arc<Node>,
    owner: &Arc<T>,
    name: &str,
    get: fn(&T) -> u64,
    set: fn(&T, u64) -> Result,
) -> Result {
    let (shown, changed) = (live(owner), live(owner));
    attr_rw(
        dir,
        name,
        move |out| seq_print!(out, "{}\n", get(&*shown()?)),
        move |data| set(&*changed()?, number(data)?).map(|()| data.len()),
    )
    .map(drop)
}

fn set_max_sectors_kb(disk: &Gendisk, kb: u64) -> Result {
    let most = u64::from(disk.limits().max_hw_sectors / 2);
    if kb > most || kb < 4 {
        return Err(EINVAL);
    }
    // At most half of a u32.
    disk.update_limits(|limits| limits.max_sectors = (kb * 2) as u32)
}

fn set_discard_max(disk: &Gendisk, bytes: u64) -> Result {
    let limits = disk.limits();
    // As Linux: without a granularity nothing but 0 will do.
    let inside = limits.discard_granularity.wrapping_sub(1);
    if bytes & u64::from(inside) != 0 {
        return Err(EINVAL);
    }
    let new = u32::try_from(bytes >> 9).map_err(|_| EINVAL)?.min(limits.max_hw_discard_sectors);
    disk.update_limits(|limits| limits.max_discard_sectors = new)
}

fn set_read_ahead_kb(disk: &Gendisk, kb: u64) -> Result {
    disk.set_read_ahead_kb(u32::try_from(kb)?);
    Ok(())
}

/// `read_ahead_kb`, here and in the directory of `bdi`.
pub(crate) fn read_ahead(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    setting(dir, disk, "read_ahead_kb", |disk| disk.read_ahead_kb().into(), set_read_ahead_kb)
}

fn writable(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    type Get = fn(&Gendisk) -> u64;
    type Set = fn(&Gendisk, u64) -> Result;
    let names: [(&str, Get, Set); 4] = [
        ("max_sectors_kb", |disk| (disk.limits().max_sectors / 2).into(), set_max_sectors_kb),
        ("discard_max_bytes", |disk| u64::from(disk.limits().max_discard_sectors) << 9, set_discard_max),
        (
            "rotational",
            |disk| flag(disk.limits().rotational),
            |disk, on| disk.update_limits(|l| l.rotational = on != 0),
        ),
        (
            "add_random",
            |disk| flag(disk.limits().add_random),
            |disk, on| disk.update_limits(|l| l.add_random = on != 0),
        ),
    ];
    read_ahead(dir, disk)?;
    for (name, get, set) in names {
        setting(dir, disk, name, get, set)?;
    }
    let (d, s) = (live(disk), live(disk));
    attr_rw(
        dir,
        "write_cache",
        move |out| out.put(if d()?.limits().write_cache { b"write back\n" } else { b"write through\n" }),
        move |data| {
            let cache = match data.trim_ascii() {
                b"write back" => true,
                b"write through" | b"none" => false,
                _ => return Err(EINVAL),
            };
            s()?.update_limits(|limits| limits.write_cache = cache)?;
            Ok(data.len())
        },
    )?;
    if disk.ops().queue().is_some() { crate::requests::add(dir, disk) } else { Ok(()) }
}
