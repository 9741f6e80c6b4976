// SPDX-License-Identifier: GPL-2.0
//! Counters for `/proc/meminfo`, `/proc/vmstat` and `/proc/PID/status`: one array a CPU, one instruction to count, summed when read.
//! A CPU's part may be negative (allocated here, freed there); the sum is right. No locks.

use core::sync::atomic::{AtomicI64, Ordering};

macro_rules! items {
    ($($(#[$doc:meta])* $name:ident = $text:expr,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Item {
            $($(#[$doc])* $name,)*
        }

        /// The names in `/proc/vmstat`, in the order of [`Item`]; empty for what is not shown there.
        pub const ITEMS: &[(Item, &str)] = &[$((Item::$name, $text),)*];
    };
}

items! {
    /// Pages of each zone allocated since boot.
    PgAllocDma = "pgalloc_dma",
    /// See above.
    PgAllocDma32 = "pgalloc_dma32",
    /// See above.
    PgAllocNormal = "pgalloc_normal",
    /// Pages freed since boot.
    PgFree = "pgfree",
    /// Faults since boot.
    PgFault = "pgfault",
    /// Faults that waited for input since boot.
    PgMajFault = "pgmajfault",
    /// Anonymous pages mapped now.
    Anon = "nr_anon_pages",
    /// Pages of files that are mapped now.
    FileMapped = "nr_mapped",
    /// Pages in the page cache now (tmpfs too).
    FilePages = "nr_file_pages",
    /// Pages of tmpfs and shared memory now.
    Shmem = "nr_shmem",
    /// Pages that are dirty now.
    Dirty = "nr_dirty",
    /// Pages under write-back now.
    Writeback = "nr_writeback",
    /// Pages that became dirty since boot.
    Dirtied = "nr_dirtied",
    /// Pages whose write-back began since boot.
    Written = "nr_written",
    /// Pages used by page tables now.
    PageTables = "nr_page_table_pages",
    /// KiB used by kernel stacks now.
    KernelStackKb = "nr_kernel_stack",
    /// Slab pages now.
    Slab = "",
    /// Pages of large heap objects now.
    Large = "",
    /// Pages mapped by vmalloc now.
    Vmalloc = "",
    /// Locked pages now.
    Mlock = "nr_mlock",
    /// Pages that were copied on write since boot.
    CowBreak = "",
    /// TLB flushes asked of other CPUs since boot.
    TlbRemote = "nr_tlb_remote_flush",
    /// TLB flushes of everything on this CPU since boot.
    TlbLocalAll = "nr_tlb_local_flush_all",
    /// Single-page TLB flushes on this CPU since boot.
    TlbLocalOne = "nr_tlb_local_flush_one",
    /// Exec mappings and other pages brought in by one fault for a file map.
    FaultAround = "",
    /// Processes ended for want of memory since boot.
    OomKill = "oom_kill",
    /// Times an allocation had to reclaim memory itself since boot; all may use every zone, and the name is of the highest.
    AllocStall = "allocstall_normal",
    /// File pages that background reclaim looked at since boot.
    ScanKswapd = "pgscan_kswapd",
    /// File pages that allocations looked at since boot.
    ScanDirect = "pgscan_direct",
    /// File pages that background reclaim took since boot.
    StealKswapd = "pgsteal_kswapd",
    /// File pages that allocations took since boot.
    StealDirect = "pgsteal_direct",
    /// Pages that became active since boot.
    PgActivate = "pgactivate",
    /// Pages that became inactive since boot.
    PgDeactivate = "pgdeactivate",
    /// Pages of the swap cache now.
    SwapCached = "nr_swapcached",
    /// Sectors that were asked of block devices since boot; shown in KiB, as `pgpgin`.
    SectorsIn = "",
    /// Sectors that block devices were given to write since boot; shown in KiB, as `pgpgout`.
    SectorsOut = "",
    /// Pages read from swap space since boot.
    PswpIn = "pswpin",
    /// Pages written to swap space since boot.
    PswpOut = "pswpout",
    /// Pages read from swap space beside wanted ones since boot.
    SwapRa = "swap_ra",
    /// Those of them that were wanted later.
    SwapRaHit = "swap_ra_hit",
    /// Private pages whose entries have the mark of `MADV_FREE` now.
    LazyFree = "",
    /// Private pages that programs said they do not need since boot (`MADV_FREE`).
    PgLazyFree = "pglazyfree",
    /// Those of them that were dropped because memory was short.
    PgLazyFreed = "pglazyfreed",
    /// Objects that shrinkers were asked to look at since boot.
    SlabsScanned = "slabs_scanned",
    /// Huge mappings of private memory now, each of 512 pages.
    AnonHuge = with_huge("nr_anon_transparent_hugepages"),
    /// Faults that brought in a huge page since boot.
    ThpFaultAlloc = with_huge("thp_fault_alloc"),
    /// Faults that could have, but for want of a block brought in a page.
    ThpFaultFallback = with_huge("thp_fault_fallback"),
    /// Blocks that were taken for pages to be put together in since boot.
    ThpCollapseAlloc = with_huge("thp_collapse_alloc"),
    /// Times that there was none.
    ThpCollapseFailed = with_huge("thp_collapse_alloc_failed"),
    /// Huge mappings that became mappings of single pages since boot.
    ThpSplitPmd = with_huge("thp_split_pmd"),
    /// Times that `khugepaged` left pages alone because too few of the 512 are there.
    ThpScanExceedNone = with_huge("thp_scan_exceed_none_pte"),
    /// Because too many are in swap space.
    ThpScanExceedSwap = with_huge("thp_scan_exceed_swap_pte"),
    /// Because too many are shared.
    ThpScanExceedShare = with_huge("thp_scan_exceed_share_pte"),
    /// Blocks of zeros that were allocated for programs to read since boot.
    ThpZeroAlloc = with_huge("thp_zero_page_alloc"),
    /// Times that there was none.
    ThpZeroAllocFailed = with_huge("thp_zero_page_alloc_failed"),
    /// Huge mappings that became mappings of single pages for swap space since boot.
    ThpSwpoutFallback = with_huge("thp_swpout_fallback"),
}

/// The name of what is shown where there are huge pages.
const fn with_huge(name: &'static str) -> &'static str {
    if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) { name } else { "" }
}

/// How many items there are.
const COUNT: usize = ITEMS.len();

x86_cpu::percpu! {
    /// The counts, by item.
    pub static COUNTERS: [AtomicI64; COUNT] = [const { AtomicI64::new(0) }; COUNT];
}

/// The sum over all CPUs, not below zero.
pub fn get(item: Item) -> u64 {
    let sum: i64 = (0..x86_cpu::MAX_CPUS as u32)
        .filter_map(|cpu| COUNTERS.on(cpu)?.get(item as usize))
        .map(|c| c.load(Ordering::Relaxed))
        .fold(0i64, i64::wrapping_add);
    sum.max(0).cast_unsigned()
}

/// The figures behind `sysinfo(2)` and the first lines of `/proc/meminfo`, in pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemInfo {
    /// Usable memory (what the page allocator was given).
    pub total: u64,
    /// Free memory, pages in per-CPU lists included.
    pub free: u64,
    /// An estimate of what new programs can have: free above the reserve, and clean cache.
    pub available: u64,
    /// Page cache, tmpfs included.
    pub cached: u64,
    /// tmpfs and shared memory.
    pub shmem: u64,
    /// Slab.
    pub slab: u64,
    /// Page tables.
    pub page_tables: u64,
    /// KiB of kernel stacks.
    pub kernel_stack_kb: u64,
    /// Anonymous pages.
    pub anon: u64,
    /// Mapped file pages.
    pub mapped: u64,
    /// Dirty pages.
    pub dirty: u64,
    /// Pages under write-back.
    pub writeback: u64,
    /// vmalloc.
    pub vmalloc: u64,
}
