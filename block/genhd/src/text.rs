// SPDX-License-Identifier: GPL-2.0
//! `/proc/partitions` and `/proc/diskstats`. Source: Linux's `Documentation/admin-guide/iostats.rst`.

use block::{BlockDevice, disks, for_each_major};
use errno::{Result, code::ENOMEM};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use proc::{BlockMajors, Text};
use vfs::{SeqBuf, seq_print};

struct Majors;

impl BlockMajors for Majors {
    fn list(&self, f: &mut dyn FnMut(u32, &str) -> Result) -> Result {
        // The list is walked under a spin lock: room first.
        let mut list: KVec<(u32, &str)> = KVec::with_capacity(512, GFP_KERNEL)?;
        let mut complete = true;
        for_each_major(|major, name| complete &= list.push_within_capacity((major, name)).is_ok());
        if !complete {
            return Err(ENOMEM);
        }
        list.iter().try_for_each(|&(major, name)| f(major, name))
    }
}

/// Makes the files.
pub(crate) fn add() -> Result {
    static MAJORS: &dyn BlockMajors = &Majors;
    proc::BLOCK_MAJORS.set(&MAJORS);
    let root = proc::root()?;
    if let Some(old) = root.child(b"partitions") {
        old.remove();
    }
    root.attr(b"partitions", 0o444, Text(partitions))?;
    root.attr(b"diskstats", 0o444, Text(diskstats))?;
    Ok(())
}

/// Calls `f` for each disk and its partitions.
fn for_each(mut f: impl FnMut(&BlockDevice) -> Result) -> Result {
    for disk in disks()?.iter() {
        for part in disk.parts()?.iter() {
            f(part)?;
        }
    }
    Ok(())
}

fn partitions(out: &mut SeqBuf) -> Result {
    let mut header = false;
    for_each(|bdev| {
        if !header {
            out.put(b"major minor  #blocks  name\n\n")?;
            header = true;
        }
        if bdev.nr_sectors() == 0 || bdev.disk().capacity() == 0 {
            return Ok(());
        }
        let dev = bdev.dev();
        seq_print!(out, "{:>4}  {:>7} {:>10} {}\n", dev.major(), dev.minor(), bdev.nr_sectors() >> 1, bdev.name()?)
    })
}

fn diskstats(out: &mut SeqBuf) -> Result {
    for_each(|bdev| {
        if bdev.is_partition() && bdev.nr_sectors() == 0 {
            return Ok(());
        }
        let (dev, t) = (bdev.dev(), bdev.totals());
        let ms = |ns: u64| ns / 1_000_000;
        let [reads, writes, discards, flushes] = t.ios;
        let [read_merges, write_merges, discard_merges, _] = t.merges;
        let [read_sectors, write_sectors, discard_sectors, _] = t.sectors;
        let [read_ns, write_ns, discard_ns, flush_ns] = t.nsecs;
        seq_print!(out, "{:>4} {:>7} {} ", dev.major(), dev.minor(), bdev.name()?)?;
        seq_print!(out, "{reads} {read_merges} {read_sectors} {} ", ms(read_ns))?;
        seq_print!(out, "{writes} {write_merges} {write_sectors} {} ", ms(write_ns))?;
        let weighted = ms(t.nsecs.iter().fold(0, |sum: u64, ns| sum.saturating_add(*ns)));
        seq_print!(out, "{} {} {weighted} ", t.in_flight.iter().sum::<u64>(), ms(t.busy_ns))?;
        seq_print!(out, "{discards} {discard_merges} {discard_sectors} {} ", ms(discard_ns))?;
        seq_print!(out, "{flushes} {}\n", ms(flush_ns))
    })
}
