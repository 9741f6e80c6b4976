// SPDX-License-Identifier: GPL-2.0
//! Attributes of a disk's or partition's directory. Source: Linux's `Documentation/ABI/stable/sysfs-block`.

use crate::live;
use block::{BlockDevice, StatTotals};
use errno::{Result, code::*};
use kalloc::Arc;
use sysfs::{Node, attr, attr_rw};
use vfs::{SeqBuf, seq_print};

const NS_PER_MS: u64 = 1_000_000;

/// The seventeen numbers of `stat`, as Linux aligns them.
fn stat(totals: &StatTotals, out: &mut SeqBuf) -> Result {
    let ms = |ns: u64| ns / NS_PER_MS;
    let [r, w, d, f] = [0, 1, 2, 3].map(|group: usize| {
        let get = |from: &[u64; 4]| from.get(group).copied().unwrap_or(0);
        (get(&totals.ios), get(&totals.merges), get(&totals.sectors), ms(get(&totals.nsecs)))
    });
    let flight = totals.in_flight.iter().sum::<u64>();
    seq_print!(out, "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} ", r.0, r.1, r.2, r.3, w.0, w.1, w.2, w.3)?;
    seq_print!(out, "{flight:>8} {:>8} {:>8} ", ms(totals.busy_ns), ms(totals.nsecs.iter().sum()))?;
    seq_print!(out, "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", d.0, d.1, d.2, d.3, f.0, f.3)
}

/// Makes them.
pub(crate) fn add(dir: &Arc<Node>, bdev: &Arc<BlockDevice>) -> Result {
    common(dir, bdev)?;
    if bdev.is_partition() { partition(dir, bdev) } else { disk(dir, bdev) }
}

fn common(dir: &Arc<Node>, bdev: &Arc<BlockDevice>) -> Result {
    let b = live(bdev);
    sysfs::uevent::file(dir, "block", move |out| uevent(&*b()?, out))?;
    let dev = bdev.dev();
    attr(dir, "dev", move |out| seq_print!(out, "{}:{}\n", dev.major(), dev.minor()))?;
    let b = live(bdev);
    attr(dir, "size", move |out| seq_print!(out, "{}\n", b()?.nr_sectors()))?;
    let b = live(bdev);
    attr(dir, "ro", move |out| seq_print!(out, "{}\n", u8::from(b()?.is_read_only())))?;
    let b = live(bdev);
    attr(dir, "stat", move |out| stat(&b()?.totals(), out))?;
    let b = live(bdev);
    attr(dir, "inflight", move |out| {
        let [reads, writes] = b()?.totals().in_flight;
        seq_print!(out, "{reads:>8} {writes:>8}\n")
    })?;
    let b = live(bdev);
    attr(dir, "alignment_offset", move |out| seq_print!(out, "{}\n", b()?.alignment_offset()))?;
    let b = live(bdev);
    attr(dir, "discard_alignment", move |out| seq_print!(out, "{}\n", b()?.discard_alignment()))?;
    dir.dir_or_new(b"holders")?;
    Ok(())
}

pub(crate) fn uevent(bdev: &BlockDevice, out: &mut SeqBuf) -> Result {
    let (dev, kind) = (bdev.dev(), if bdev.is_partition() { "partition" } else { "disk" });
    seq_print!(out, "MAJOR={}\nMINOR={}\nDEVNAME={}\nDEVTYPE={kind}\n", dev.major(), dev.minor(), bdev.name()?)?;
    seq_print!(out, "DISKSEQ={}\n", bdev.disk().diskseq())?;
    if bdev.is_partition() {
        seq_print!(out, "PARTN={}\n", bdev.partno())?;
        if !bdev.info().name.as_bytes().is_empty() {
            seq_print!(out, "PARTNAME={}\n", bdev.info().name)?;
        }
        if !bdev.info().uuid.as_bytes().is_empty() {
            seq_print!(out, "PARTUUID={}\n", bdev.info().uuid)?;
        }
    }
    Ok(())
}

fn partition(dir: &Arc<Node>, bdev: &Arc<BlockDevice>) -> Result {
    let number = bdev.partno();
    attr(dir, "partition", move |out| seq_print!(out, "{number}\n"))?;
    let b = live(bdev);
    attr(dir, "start", move |out| seq_print!(out, "{}\n", b()?.start_sector()))?;
    Ok(())
}

fn disk(dir: &Arc<Node>, bdev: &Arc<BlockDevice>) -> Result {
    let disk = bdev.disk().clone();
    let (minors, removable) = (disk.minors(), u8::from(disk.is_removable()));
    attr(dir, "range", move |out| seq_print!(out, "{minors}\n"))?;
    let d = live(&disk);
    attr(dir, "ext_range", move |out| seq_print!(out, "{}\n", if d()?.has_no_partitions() { 1 } else { 256 }))?;
    attr(dir, "removable", move |out| seq_print!(out, "{removable}\n"))?;
    attr(dir, "hidden", |out| seq_print!(out, "0\n"))?;
    attr(dir, "capability", |out| seq_print!(out, "0\n"))?;
    let seq = disk.diskseq();
    attr(dir, "diskseq", move |out| seq_print!(out, "{seq}\n"))?;
    dir.dir_or_new(b"slaves")?;
    // No driver tells of media that come and go, nor has a list of bad blocks.
    attr(dir, "events", |_| Ok(()))?;
    attr(dir, "events_async", |_| Ok(()))?;
    attr_rw(dir, "events_poll_msecs", |out| seq_print!(out, "-1\n"), |_| Err(ENODEV))?;
    attr_rw(dir, "badblocks", |out| out.put(b"\n"), |_| Err(ENXIO))?;
    if disk.ops().serial(&disk).is_some() {
        let d = live(&disk);
        attr(dir, "serial", move |out| {
            let d = d()?;
            let serial = d.ops().serial(&d).ok_or(ENODEV)??;
            seq_print!(out, "{serial}\n")
        })?;
    }
    Ok(())
}
