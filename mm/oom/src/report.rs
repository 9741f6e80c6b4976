// SPDX-License-Identifier: GPL-2.0
//! What the log says of it, in Linux's words. No locks of its own.

use crate::badness::with_mm;
use crate::kill::DUMP_TASKS;
use core::fmt;
use core::sync::atomic::Ordering;
use kalloc::Flags;
use kalloc::flags::{
    __GFP_DIRECT_RECLAIM, __GFP_FS, __GFP_HIGHMEM, __GFP_IO, __GFP_KSWAPD_RECLAIM, __GFP_ZERO, GFP_HIGHUSER, GFP_KERNEL,
};
use klog::{pr_info, pr_warn};
use mm_alloc::layout::PAGE_SIZE;
use mm_alloc::stat::{Item, get};
use mm_alloc::{buddy, pcp};
use task::{COMM_LEN, Task};

/// A task's name as text.
pub(crate) struct Name([u8; COMM_LEN]);

impl Name {
    pub(crate) fn of(task: &Task) -> Self {
        Self(task.comm())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take_while(|byte| **byte != 0) {
            f.write_fmt(format_args!("{}", byte.escape_ascii()))?;
        }
        Ok(())
    }
}

/// A task's real user.
pub(crate) fn uid(task: &Task) -> u32 {
    cred::task_cred(task).map_or(0, |cred| cred.uid)
}

/// Flags by Linux's numbers and names.
struct Gfp(Flags);

impl Gfp {
    fn number(&self) -> u32 {
        let bits = [
            (__GFP_HIGHMEM, 0x2),
            (__GFP_IO, 0x40),
            (__GFP_FS, 0x80),
            (__GFP_ZERO, 0x100),
            (__GFP_DIRECT_RECLAIM, 0x400),
            (__GFP_KSWAPD_RECLAIM, 0x800),
        ];
        let user = if self.0.contains(__GFP_HIGHMEM) { 0x10_0008 } else { 0 };
        bits.iter().filter(|(flag, _)| self.0.contains(*flag)).fold(user, |sum, (_, bit)| sum | bit)
    }

    fn name(&self) -> &'static str {
        match self.0 {
            f if f.contains(GFP_HIGHUSER) => "GFP_HIGHUSER_MOVABLE",
            f if f.contains(GFP_KERNEL) => "GFP_KERNEL",
            f if f.contains(__GFP_IO) => "GFP_NOFS",
            _ => "GFP_NOIO",
        }
    }
}

/// Who ran out, and how memory stands.
pub(crate) fn header(task: &Task, order: usize, flags: Flags) {
    let adj = process::process_of(task).map_or(0, |process| process.oom_score_adj());
    let gfp = Gfp(flags);
    pr_warn!(
        "{} invoked oom-killer: gfp_mask={:#x}({}), order={}, oom_score_adj={adj}",
        Name::of(task),
        gfp.number(),
        gfp.name(),
        // One that a person asked for has order -1, as on Linux.
        order.cast_signed()
    );
    x86::traps::stacktrace::dump_stack();
    memory();
    if DUMP_TASKS.load(Ordering::Relaxed) != 0 {
        tasks();
    }
}

/// How memory stands (`Mem-Info`). Any context.
pub fn memory() {
    pr_warn!("Mem-Info:");
    pr_warn!(
        "anon:{} slab_unreclaimable:{} mapped:{} shmem:{} pagetables:{} free:{} free_pcp:{}",
        get(Item::Anon),
        get(Item::Slab),
        get(Item::FileMapped),
        get(Item::Shmem),
        get(Item::PageTables),
        buddy::free_pages_total(),
        pcp::cached_pages()
    );
    for zone in buddy::zone_stats() {
        let kb = |pages: usize| pages.saturating_mul(PAGE_SIZE / 1024);
        pr_warn!(
            "Node 0 {} free:{}kB min:{}kB managed:{}kB",
            zone.id.name(),
            kb(zone.free),
            kb(zone.min),
            kb(zone.managed)
        );
    }
    pr_warn!("{} total pagecache pages", get(Item::FilePages));
    let (total, free) = mm::swap::totals();
    pr_warn!("{} pages in swap cache", get(Item::SwapCached));
    pr_warn!("Free swap  = {}kB", free.saturating_mul(PAGE_SIZE as u64 / 1024));
    pr_warn!("Total swap = {}kB", total.saturating_mul(PAGE_SIZE as u64 / 1024));
    pr_warn!("{} pages RAM", buddy::managed_pages());
}

fn tasks() {
    pr_info!("Tasks state (memory values in pages):");
    pr_info!("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
    let mut from = 1;
    while let Some((tid, leader)) = process::pid::next_thread(from) {
        from = tid.saturating_add(1);
        let Some(process) = process::process_of(&leader).filter(|process| process.pid() == tid) else { continue };
        let Some(size) = with_mm(&process, &leader, |mm| mm.oom_size()) else { continue };
        pr_info!(
            "[{tid:>7}] {:>5} {tid:>5} {:>8} {:>8} {:>8} {:>8}         {:>5} {}",
            uid(&leader),
            size.total,
            size.rss(),
            size.table_bytes,
            size.swap,
            process.oom_score_adj(),
            Name::of(&leader)
        );
    }
}

/// Who was chosen.
pub(crate) fn summary(victim: &Task) {
    pr_info!(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task={},pid={},uid={}",
        Name::of(victim),
        victim.tid(),
        uid(victim)
    );
}
