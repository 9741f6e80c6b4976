// SPDX-License-Identifier: GPL-2.0
//! `/proc/meminfo`, `vmstat`, `buddyinfo` and `slabinfo`. Locks: those of the allocators' own figures.

use errno::Result;
use mm_alloc::buddy::{BLOCK_ORDER, BLOCK_PAGES, Mobility, ZoneId};
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE, VMALLOC_END, VMALLOC_START};
use mm_alloc::lru::{self, Which};
use mm_alloc::stat::{ITEMS, Item, get, meminfo as figures};
use mm_alloc::{buddy, pcp, slab};
use vfs::{SeqBuf, seq_print};

const KIB_A_PAGE: u64 = PAGE_SIZE as u64 / 1024;

/// A line of `/proc/meminfo`: the label, padded, and KiB.
fn line(out: &mut SeqBuf, label: &str, kib: u64) -> Result {
    seq_print!(out, "{label:<16}{kib:>8} kB\n")
}

/// Pages that may be dropped and were not used lately: of files, and private ones that are not needed. Private pages are on the list while
/// they are in the swap cache.
fn inactive_file() -> u64 {
    (lru::len(Which::Inactive) as u64).saturating_sub(get(Item::SwapCached)).saturating_add(get(Item::LazyFree))
}

/// Pages of slabs, and those of them whose objects can be dropped when memory is short.
fn slab_pages() -> (u64, u64) {
    let slab = get(Item::Slab);
    (slab, vfs::icache::reclaimable_pages().min(slab))
}

/// `/proc/meminfo`.
pub(super) fn meminfo(out: &mut SeqBuf) -> Result {
    let info = figures();
    let buffers = vfs::hooks::device_pages();
    let (swap_total, swap_free) = mm::swap::totals();
    let cached_swap = get(Item::SwapCached);
    let (slab, reclaimable) = slab_pages();
    let pages = [
        ("MemTotal:", info.total),
        ("MemFree:", info.free),
        // As for the page cache: half of it may be in use.
        ("MemAvailable:", info.available.saturating_add(reclaimable / 2)),
        ("Buffers:", buffers),
        ("Cached:", info.cached.saturating_sub(buffers)),
        ("SwapCached:", cached_swap),
        ("Active(file):", lru::len(Which::Active) as u64),
        ("Inactive(file):", inactive_file()),
        ("Mlocked:", get(Item::Mlock)),
        ("SwapTotal:", swap_total),
        ("SwapFree:", swap_free),
        ("Dirty:", info.dirty),
        ("Writeback:", info.writeback),
        ("AnonPages:", info.anon),
        ("Mapped:", info.mapped),
        ("Shmem:", info.shmem),
        ("KReclaimable:", reclaimable),
        ("Slab:", slab),
        ("SReclaimable:", reclaimable),
        ("SUnreclaim:", slab.saturating_sub(reclaimable)),
    ];
    for (label, pages) in pages {
        line(out, label, pages.saturating_mul(KIB_A_PAGE))?;
    }
    line(out, "KernelStack:", info.kernel_stack_kb)?;
    line(out, "PageTables:", info.page_tables.saturating_mul(KIB_A_PAGE))?;
    line(out, "CommitLimit:", mm::commit_limit().saturating_mul(KIB_A_PAGE))?;
    line(out, "Committed_AS:", mm::committed().saturating_mul(KIB_A_PAGE))?;
    line(out, "VmallocTotal:", (VMALLOC_END - VMALLOC_START) as u64 / 1024)?;
    line(out, "VmallocUsed:", info.vmalloc.saturating_mul(KIB_A_PAGE))?;
    if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) {
        line(out, "AnonHugePages:", get(Item::AnonHuge).saturating_mul(PMD_SIZE as u64 / 1024))?;
    }
    Ok(())
}

/// `/proc/vmstat`.
pub(super) fn vmstat(out: &mut SeqBuf) -> Result {
    seq_print!(out, "nr_free_pages {}\n", figures().free)?;
    seq_print!(out, "nr_inactive_file {}\n", inactive_file())?;
    seq_print!(out, "nr_active_file {}\n", lru::len(Which::Active))?;
    let (slab, reclaimable) = slab_pages();
    seq_print!(out, "nr_slab_reclaimable {reclaimable}\n")?;
    seq_print!(out, "nr_slab_unreclaimable {}\n", slab - reclaimable)?;
    seq_print!(out, "pgpgin {}\npgpgout {}\n", get(Item::SectorsIn) / 2, get(Item::SectorsOut) / 2)?;
    for (item, name) in ITEMS.iter().filter(|(_, name)| !name.is_empty()) {
        seq_print!(out, "{name} {}\n", get(*item))?;
    }
    let limits = mm::throttle::thresholds();
    seq_print!(out, "nr_dirty_threshold {}\n", limits.limit)?;
    seq_print!(out, "nr_dirty_background_threshold {}\n", limits.background)
}

/// `/proc/buddyinfo`.
pub(super) fn buddyinfo(out: &mut SeqBuf) -> Result {
    for zone in buddy::zone_stats() {
        seq_print!(out, "Node 0, zone {:>8} ", zone.id.name())?;
        for blocks in zone.blocks {
            seq_print!(out, "{blocks:>6} ")?;
        }
        out.byte(b'\n')?;
    }
    Ok(())
}

/// `/proc/zoneinfo`. The lists of pages that CPUs keep serve all zones; they are shown in the one that is tried first.
pub(super) fn zoneinfo(out: &mut SeqBuf) -> Result {
    let highest = buddy::zone_stats().last().map(|zone| zone.id);
    for zone in buddy::zone_stats() {
        let spanned = zone.span.1.saturating_sub(zone.span.0);
        seq_print!(out, "Node 0, zone {:>8}\n", zone.id.name())?;
        seq_print!(
            out,
            "  pages free     {}\n        min      {}\n        low      {}\n        high     {}\n        spanned  {spanned}\n        \
             present  {}\n        managed  {}\n",
            zone.free,
            zone.min,
            zone.low,
            zone.high,
            zone.managed,
            zone.managed
        )?;
        let protection = |highest| buddy::protection(zone.id, highest);
        seq_print!(
            out,
            "        protection: ({}, {}, {})\n      nr_free_pages {}\n",
            protection(ZoneId::Dma),
            protection(ZoneId::Dma32),
            protection(ZoneId::Normal),
            zone.free
        )?;
        if Some(zone.id) == highest {
            out.put(b"  pagesets\n")?;
            for cpu in x86::smp::cpus_in(x86::smp::online()) {
                seq_print!(
                    out,
                    "    cpu: {cpu}\n              count: {}\n              high:  {}\n              batch: {}\n",
                    pcp::cached_on(cpu),
                    pcp::HIGH,
                    pcp::BATCH
                )?;
            }
        }
        seq_print!(out, "  start_pfn:           {}\n", zone.span.0)?;
    }
    Ok(())
}

/// `/proc/pagetypeinfo`. Pages that CPUs keep are in no list.
pub(super) fn pagetypeinfo(out: &mut SeqBuf) -> Result {
    seq_print!(out, "Page block order: {BLOCK_ORDER}\nPages per block:  {BLOCK_PAGES}\n\n")?;
    seq_print!(out, "{:<43} ", "Free pages count per migrate type at order")?;
    for order in 0..=buddy::MAX_ORDER {
        seq_print!(out, "{order:>6} ")?;
    }
    out.byte(b'\n')?;
    for zone in buddy::zone_stats() {
        for kind in Mobility::ALL {
            seq_print!(out, "Node {:>4}, zone {:>8}, type {:>12} ", 0, zone.id.name(), kind.name())?;
            for blocks in zone.kinds.get(kind as usize).into_iter().flatten() {
                seq_print!(out, "{blocks:>6} ")?;
            }
            out.byte(b'\n')?;
        }
    }
    seq_print!(out, "\n{:<23}", "Number of blocks type ")?;
    for kind in Mobility::ALL {
        seq_print!(out, "{:>12} ", kind.name())?;
    }
    out.byte(b'\n')?;
    for zone in buddy::zone_stats() {
        let counts = buddy::block_kinds(zone.id);
        seq_print!(out, "Node 0, zone {:>8} ", zone.id.name())?;
        for kind in Mobility::ALL {
            seq_print!(out, "{:>12} ", counts.get(kind as usize).copied().unwrap_or(0))?;
        }
        out.byte(b'\n')?;
    }
    Ok(())
}

/// `/proc/slabinfo`, with the columns of version 2.1. Classes have no tunables and no shared caches, which Linux shows as zeros.
pub(super) fn slabinfo(out: &mut SeqBuf) -> Result {
    out.put(
        b"slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : \
          tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    )?;
    for class in slab::class_stats() {
        let per_slab = class.pages_per_slab * PAGE_SIZE / class.size.max(1);
        let mut name = SeqBuf::new(32);
        seq_print!(name, "kmalloc-{}", class.size)?;
        let name = core::str::from_utf8(name.text()).unwrap_or("");
        let (used, total, slabs, pages) = (class.used, class.total, class.slabs, class.pages_per_slab);
        seq_print!(
            out,
            "{name:<17} {used:>6} {total:>6} {:>6} {per_slab:>4} {pages:>4} : tunables {:>4} {:>4} {:>4} : \
             slabdata {slabs:>6} {slabs:>6} {:>6}\n",
            class.size,
            0,
            0,
            0,
            0
        )?;
    }
    Ok(())
}

#[macros::kunit_tests(proc_memory)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_lines() {
        let mut out = SeqBuf::new(200);
        assert!(line(&mut out, "MemTotal:", 1234).is_ok());
        assert!(line(&mut out, "VmallocTotal:", 34_359_738_367).is_ok());
        assert_eq!(out.text(), b"MemTotal:           1234 kB\nVmallocTotal:   34359738367 kB\n");
    }
}
