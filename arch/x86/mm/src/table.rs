// SPDX-License-Identifier: GPL-2.0
//! `PageTable`: the user half of an address space, and the operations on single pages that faults make. Ranges are in `range`,
//! copying in `fork`.
//!
//! Who may call what when: all methods that make or walk tables are called under `mm`'s lock of the address space (shared is
//! enough; unmapping with freed tables needs it exclusively), but for [`PageTable::zap_shared`]. Faults may go on in other mappings than
//! the one that the caller changes, even where that needs the lock exclusively: they hold their mapping, not the lock.

use crate::huge::{is_huge, is_table};
use crate::lazy::is_marked;
use crate::ldt::LdtSlot;
use crate::range::put_frame_of_any;
use crate::{quicklist, tlb};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SpinLock;
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, TASK_SIZE};
use mm_alloc::page::get_frame;
use mm_alloc::{Frame, Page, PageFlags, PhysAddr, phys_to_virt};
use x86_cpu::asm::cpu_relax;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};
use x86_pte::{Entry, PROT_NONE, Rss, UserProt};

pub(crate) use x86_pte::Counts;
pub use x86_pte::Kind;

/// A table of any level, as the hardware sees it.
pub(crate) type Table = [AtomicU64; 512];

/// The user half of an address space.
///
/// # Invariants
/// `pgd` is a top-level table whose upper half is the kernel's and whose lower half leads to tables owned by this value alone.
/// Each last-level entry that is not `SPECIAL` owns one reference to its page, a huge one (see `huge`) one to each of its 512. A
/// table's record counts its entries that are not 0; only a table with none is freed.
pub struct PageTable {
    pub(crate) pgd: &'static Frame,
    /// CPUs that have it loaded, lazily too.
    pub(crate) cpus: AtomicU64,
    /// Raised before each flush; CPUs remember up to where they have flushed.
    pub(crate) generation: AtomicU64,
    /// Never used twice: what PCIDs stand for.
    pub(crate) context: u64,
    /// Excludes freeing of tables against walkers without `mm`'s lock.
    pub(crate) structure: SpinLock<()>,
    pub(crate) rss: Rss,
    /// Pages used as tables, or kept to be one, the top level not counted.
    pub(crate) tables: AtomicUsize,
    /// Huge mappings.
    pub(crate) huge: AtomicUsize,
    /// The program's own segments.
    pub(crate) ldt: LdtSlot,
}

static NEXT_CONTEXT: AtomicU64 = AtomicU64::new(1);

/// Holds a last-level table's lock with preemption off.
pub(crate) struct TableLock {
    word: &'static AtomicU64,
    _preempt: PreemptGuard,
}

impl TableLock {
    #[inline(always)]
    pub(crate) fn take(frame: &'static Frame) -> Self {
        let preempt = preempt_disable();
        let word = frame.private();
        while word.swap(1, Ordering::Acquire) != 0 {
            while word.load(Ordering::Relaxed) != 0 {
                cpu_relax();
            }
        }
        Self { word, _preempt: preempt }
    }
}

impl Drop for TableLock {
    #[inline(always)]
    fn drop(&mut self) {
        self.word.store(0, Ordering::Release);
    }
}

/// The table at a physical address.
///
/// # Safety
/// `phys` is a frame in use as a page table, and stays so while the result is used.
#[inline(always)]
pub(crate) unsafe fn table_at(phys: PhysAddr) -> &'static Table {
    // SAFETY: As the caller promises; tables are frames of 512 atomics in the direct map.
    unsafe { &*phys_to_virt(phys).cast() }
}

#[inline(always)]
pub(crate) fn index(addr: usize, level: u32) -> usize {
    (addr >> (12 + 9 * level)) & 511
}

/// The index of the first table entry of `level` is always in bounds; this says so to the compiler.
#[inline(always)]
pub(crate) fn slot(table: &'static Table, addr: usize, level: u32) -> &'static AtomicU64 {
    &table[index(addr, level)]
}

/// The entries of a last-level table for `[start, stop)`, which it covers.
#[inline(always)]
pub(crate) fn part(table: &'static Frame, start: usize, stop: usize) -> &'static [AtomicU64] {
    // SAFETY: Callers got `table` from `walk` or `make`.
    let entries = unsafe { table_at(table.phys()) };
    let first = index(start, 0);
    entries.get(first..first + (stop - start) / PAGE_SIZE).unwrap_or(&[])
}

/// Calls `f` with index, entry and value of each entry that is not 0. Looks at eight at a time: tables are mostly empty.
#[inline(always)]
pub(crate) fn scan(entries: &'static [AtomicU64], mut f: impl FnMut(usize, &'static AtomicU64, u64)) {
    // One place that calls `f`, so that it is inlined.
    for (i, chunk) in entries.chunks(8).enumerate() {
        if let Some(whole) = chunk.as_array::<8>()
            && whole.iter().fold(0, |any, entry| any | entry.load(Ordering::Relaxed)) == 0
        {
            continue;
        }
        for (j, entry) in chunk.iter().enumerate() {
            let value = entry.load(Ordering::Relaxed);
            if value != 0 {
                f(i * 8 + j, entry, value);
            }
        }
    }
}

/// A page-aligned user address, else EFAULT.
#[inline(always)]
pub(crate) fn check(addr: usize) -> Result {
    if addr >= TASK_SIZE { Err(EFAULT) } else { Ok(()) }
}

/// What a write to a page that cannot be written found.
pub enum WriteFault {
    /// Nothing is mapped (any more).
    Empty,
    /// The program can write now (or could already).
    Done,
    /// The page is shared: make a copy and give it to [`PageTable::replace`].
    Copy(Page, Entry),
    /// As `Copy`, of a page of the swap cache: it may be the caller's alone if it is taken out of there.
    SwapCache(Page, Entry),
    /// The zero page is mapped: make a cleared page and give it to [`PageTable::replace`].
    Zero(Entry),
    /// A device page or another that cannot be copied.
    Special,
}

impl PageTable {
    /// The CPUs that have it loaded, lazily or not, one bit each. One that is not among them loads CR3 before it uses it.
    pub fn loaded_on(&self) -> u64 {
        self.cpus.load(Ordering::SeqCst)
    }

    /// An empty address space. ENOMEM.
    pub fn new() -> Result<Arc<Self>> {
        let pgd = quicklist::get_root()?;
        let table = Self {
            pgd,
            cpus: AtomicU64::new(0),
            generation: AtomicU64::new(1),
            context: NEXT_CONTEXT.fetch_add(1, Ordering::Relaxed),
            structure: SpinLock::new(()),
            rss: Rss::new(),
            tables: AtomicUsize::new(0),
            huge: AtomicUsize::new(0),
            ldt: LdtSlot::new(),
        };
        // On failure the drop of `table` gives the page back.
        Ok(Arc::new(table, GFP_KERNEL)?)
    }

    /// Pages resident, by kind. At least 0.
    pub fn rss(&self, kind: Kind) -> usize {
        usize::try_from(self.rss.sum(kind)).unwrap_or(0)
    }

    /// Whether any page may be in swap space.
    #[inline(always)]
    pub fn has_swap(&self) -> bool {
        self.rss.has_swap()
    }

    /// Bytes of page tables (`VmPTE`).
    pub fn table_bytes(&self) -> usize {
        (self.tables.load(Ordering::Relaxed) + 1) * PAGE_SIZE
    }

    #[inline(always)]
    pub(crate) fn count(&self, kind: Kind, delta: i64) {
        self.rss.add(kind, delta);
        kind.count(delta);
    }

    pub(crate) fn count_all(&self, counts: &Counts) {
        for kind in [Kind::Anon, Kind::File, Kind::Shmem, Kind::Swap, Kind::Lazy] {
            let delta = counts[kind as usize];
            if delta != 0 {
                self.count(kind, delta);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn root(&self) -> &'static Table {
        // SAFETY: The top-level table lives as long as `self`; callers borrow it while they borrow `self`.
        unsafe { table_at(self.pgd.phys()) }
    }

    /// The last-level table for `addr`, if there is one. A huge mapping becomes one.
    #[inline(always)]
    pub(crate) fn walk(&self, addr: usize) -> Option<&'static Frame> {
        let mut entry = slot(self.root(), addr, 3).load(Ordering::Acquire);
        for level in [2, 1] {
            if entry & bits::PRESENT == 0 {
                return None;
            }
            // SAFETY: A present upper entry of ours leads to a table of ours.
            entry = slot(unsafe { table_at(entry & bits::ADDR) }, addr, level).load(Ordering::Acquire);
        }
        if is_table(entry) {
            // SAFETY: As above; tables are frames of memory.
            return Some(unsafe { Frame::of_phys(entry & bits::ADDR) });
        }
        if is_huge(entry) { self.walk_split(addr) } else { None }
    }

    /// The last-level table for `addr`, made if it is not there.
    #[inline(always)]
    pub(crate) fn make(&self, addr: usize) -> Result<&'static Frame> {
        match self.walk(addr) {
            Some(frame) => Ok(frame),
            None => self.make_slow(addr),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_slow(&self, addr: usize) -> Result<&'static Frame> {
        check(addr)?;
        self.make_level(addr, 0)
    }

    /// The table of `level` (0: last) for `addr`, made with those above if it is not there.
    pub(crate) fn make_level(&self, addr: usize, level: u32) -> Result<&'static Frame> {
        let mut table = self.root();
        let mut frame = self.pgd;
        for above in (level + 1..=3).rev() {
            let value = self.make_under(slot(table, addr, above), frame, addr, above)?;
            // SAFETY: A present upper entry of ours leads to a table of ours.
            let next = unsafe { (table_at(value & bits::ADDR), Frame::of_phys(value & bits::ADDR)) };
            (table, frame) = next;
        }
        Ok(frame)
    }

    /// What the entry of `level` for `addr`, in the table `frame`, says once there is a table under it.
    fn make_under(&self, entry: &AtomicU64, frame: &'static Frame, addr: usize, level: u32) -> Result<u64> {
        loop {
            let value = entry.load(Ordering::Acquire);
            if level == 1 && is_huge(value) {
                self.split_huge(addr);
                continue;
            }
            if value & bits::PRESENT != 0 {
                return Ok(value);
            }
            let new = quicklist::get()?;
            if level == 2 {
                new.kept().store(0, Ordering::Relaxed);
            }
            match entry.compare_exchange(0, new.phys() | bits::TABLE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    frame.entries().fetch_add(1, Ordering::Relaxed);
                    self.tables.fetch_add(1, Ordering::Relaxed);
                    return Ok(new.phys());
                }
                // SAFETY: Nobody has seen the new page.
                Err(_) => unsafe { quicklist::put(new) },
            }
        }
    }

    /// The entry of `addr` at this moment.
    #[inline]
    pub fn query(&self, addr: usize) -> Entry {
        if addr >= TASK_SIZE {
            return Entry::new(0);
        }
        if let Some(entry) = self.query_huge(addr) {
            return entry;
        }
        match self.walk(addr) {
            Some(frame) => Entry::new(entry_at(frame, addr).load(Ordering::Relaxed)),
            None => Entry::new(0),
        }
    }

    /// Maps `page` at `addr` if nothing is mapped there and `still_valid` says so (asked under the entry's lock: a page that
    /// leaves the cache is unmapped under it too). False if not: the page's reference is dropped.
    #[inline]
    pub fn map(
        &self,
        addr: usize,
        page: Page,
        prot: UserProt,
        still_valid: impl FnOnce(&Page) -> bool,
    ) -> Result<bool> {
        check(addr)?;
        let table = self.make(addr)?;
        let lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        let value = page.phys() | prot.bits();
        // Anonymous pages are mapped without the lock, hence the exchange.
        if !still_valid(&page) || entry.compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Ok(false);
        }
        table.entries().fetch_add(1, Ordering::Relaxed);
        let kind = Kind::of(page.frame());
        drop(lock);
        core::mem::forget(page);
        self.count(kind, 1);
        Ok(true)
    }

    /// Maps a fresh anonymous page: as [`PageTable::map`], for a page that nobody else has.
    #[inline]
    pub fn map_anon(&self, addr: usize, page: Page, prot: UserProt) -> Result<bool> {
        check(addr)?;
        page.set(PageFlags::ANON);
        let table = self.make(addr)?;
        let value = page.phys() | prot.bits();
        if entry_at(table, addr).compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Ok(false);
        }
        table.entries().fetch_add(1, Ordering::Relaxed);
        core::mem::forget(page);
        self.count(Kind::Anon, 1);
        Ok(true)
    }

    /// Maps several pages of a file with one walk, within one last-level table: for each page from `start`, if nothing is
    /// mapped there, what `page` gives. `page` is called under the entries' lock with the index. Returns how many were mapped.
    pub fn map_around(
        &self,
        start: usize,
        pages: usize,
        prot: UserProt,
        mut page: impl FnMut(usize) -> Option<Page>,
    ) -> Result<usize> {
        check(start)?;
        let table = self.make(start)?;
        // SAFETY: `make` gave a last-level table, which stays while the caller holds `mm`'s lock.
        let entries = unsafe { table_at(table.phys()) };
        let mut counts: Counts = [0; 5];
        let lock = TableLock::take(table);
        for (i, entry) in entries.iter().skip(index(start, 0)).take(pages).enumerate() {
            if entry.load(Ordering::Relaxed) != 0 {
                continue;
            }
            let Some(page) = page(i) else { continue };
            let value = page.phys() | prot.bits();
            if entry.compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                counts[Kind::of(page.frame()) as usize] += 1;
                core::mem::forget(page);
            }
        }
        table.entries().fetch_add(counts.iter().sum::<i64>() as i32, Ordering::Relaxed);
        drop(lock);
        self.count_all(&counts);
        Ok(counts.iter().sum::<i64>().unsigned_abs() as usize)
    }

    /// Maps a page that entries do not count, read-only unless `prot` says more: the zero page, the vDSO's data.
    /// False if something is mapped already.
    pub fn map_static(&self, addr: usize, page: &'static Page, prot: UserProt) -> Result<bool> {
        self.map_special(addr, page.phys(), prot.bits())
    }

    /// Maps device memory (uncached unless `cached`), page by page.
    ///
    /// # Safety
    /// The physical page is not memory that the kernel manages, or is meant to be shared with the program for ever.
    pub unsafe fn map_device(&self, addr: usize, phys: PhysAddr, prot: UserProt, cached: bool) -> Result<bool> {
        let cache = if cached { 0 } else { bits::PCD | bits::PWT };
        self.map_special(addr, phys & bits::ADDR, prot.bits() | cache)
    }

    fn map_special(&self, addr: usize, phys: PhysAddr, value: u64) -> Result<bool> {
        check(addr)?;
        let table = self.make(addr)?;
        let value = phys | value | bits::SPECIAL;
        let done = entry_at(table, addr).compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if done {
            table.entries().fetch_add(1, Ordering::Relaxed);
        }
        Ok(done)
    }

    /// What a write to `addr`, in memory that is private to the process, needs. A page that only this entry refers to, or that is this
    /// entry's own, becomes writable at once.
    pub fn write_private(&self, addr: usize, prot: UserProt) -> WriteFault {
        if self.has_huge() && self.write_huge(addr, prot) {
            return WriteFault::Done;
        }
        let Some(table) = self.walk(addr) else { return WriteFault::Empty };
        let lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        let value = entry.load(Ordering::Relaxed);
        if value & (bits::PRESENT | PROT_NONE) == 0 {
            return WriteFault::Empty;
        }
        if value & bits::WRITE != 0 {
            return WriteFault::Done;
        }
        if value & bits::SPECIAL != 0 {
            let zero = value & bits::ADDR == zero_page().phys();
            return if zero { WriteFault::Zero(Entry::new(value)) } else { WriteFault::Special };
        }
        // SAFETY: An entry that is not special holds a reference to a frame.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        let own = value & bits::OWN != 0 && frame.flag_bits() & PageFlags::SWAP_CACHE.0 == 0;
        if Kind::of(frame) == Kind::Anon && (own || frame.ref_count() == 1) {
            // A debugger writes where the program may not: what it could not write yet stays its own.
            let own = if prot.writable() { 0 } else { bits::OWN };
            self.keep_entry(entry, value);
            entry.store((value & bits::ADDR) | prot.bits() | own, Ordering::Release);
            drop(lock);
            // Other CPUs may have the read-only entry cached; they fault and find it writable.
            tlb::flush_local_page(self, addr);
            return WriteFault::Done;
        }
        // SAFETY: The entry's own reference keeps the frame while we hold the table's lock.
        let page = unsafe {
            get_frame(frame);
            Page::from_frame(frame)
        };
        if page.has(PageFlags::SWAP_CACHE) {
            return WriteFault::SwapCache(page, Entry::new(value));
        }
        WriteFault::Copy(page, Entry::new(value))
    }

    /// Maps the anonymous `new` in place of `old` at `addr`, if that is still what is mapped. False if not.
    pub fn replace(&self, addr: usize, old: Entry, new: Page, prot: UserProt) -> bool {
        let Some(table) = self.walk(addr) else { return false };
        new.set(PageFlags::ANON);
        let lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        // Accessed and dirty bits may have been set meanwhile.
        let volatile_bits = bits::ACCESSED | bits::DIRTY;
        let now = entry.load(Ordering::Relaxed);
        if now & !volatile_bits != old.value() & !volatile_bits {
            return false;
        }
        entry.store(new.phys() | prot.bits(), Ordering::Release);
        drop(lock);
        core::mem::forget(new);
        let mut counts: Counts = [0; 5];
        counts[Kind::Anon as usize] += 1;
        tlb::flush_range(self, addr, addr + PAGE_SIZE, false);
        if old.value() & bits::SPECIAL == 0 {
            // SAFETY: The entry's reference is ours since the exchange, and no CPU uses the old translation any more.
            let frame = unsafe { Frame::of_phys(old.phys()) };
            counts[Kind::of(frame) as usize] -= 1;
            counts[Kind::Lazy as usize] -= i64::from(is_marked(old.value()));
            // SAFETY: As above.
            unsafe { put_frame_of_any(frame) };
        }
        self.count_all(&counts);
        true
    }

    /// Makes an entry of a shared mapping writable if it still maps `page`. False if not.
    pub fn make_writable(&self, addr: usize, page: &Page, prot: UserProt) -> bool {
        let Some(table) = self.walk(addr) else { return false };
        let lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        if entry.load(Ordering::Relaxed) & (bits::ADDR | bits::PRESENT) != page.phys() | bits::PRESENT {
            return false;
        }
        entry.store(page.phys() | prot.bits(), Ordering::Release);
        drop(lock);
        tlb::flush_local_page(self, addr);
        true
    }

    /// A reference to the page mapped at `addr`, for access from elsewhere (`/proc/PID/mem`, futex keys). With `write` only if
    /// the program itself can write there, and it counts as needed again (`lazy`). `None` for device memory.
    pub fn page(&self, addr: usize, write: bool) -> Option<Page> {
        if addr >= TASK_SIZE {
            return None;
        }
        if self.has_huge()
            && let Ok(found) = self.page_huge(addr, write)
        {
            return found;
        }
        let table = self.walk(addr)?;
        let _lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        let value = entry.load(Ordering::Relaxed);
        if value & (bits::PRESENT | PROT_NONE) == 0 || write && value & bits::WRITE == 0 {
            return None;
        }
        if value & bits::SPECIAL != 0 {
            return (value & bits::ADDR == zero_page().phys()).then(|| zero_page().clone());
        }
        if write {
            self.keep_entry(entry, value);
        }
        // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
        unsafe {
            let frame = Frame::of_phys(value & bits::ADDR);
            get_frame(frame);
            Some(Page::from_frame(frame))
        }
    }
}

/// The entry of `addr` in its last-level table.
#[inline(always)]
pub(crate) fn entry_at(table: &'static Frame, addr: usize) -> &'static AtomicU64 {
    // SAFETY: Callers got `table` from `walk` or `make`.
    slot(unsafe { table_at(table.phys()) }, addr, 0)
}

static ZERO_PAGE: locking::SetOnce<Page> = locking::SetOnce::new();

/// The page of zeros that is mapped where programs read memory that nobody wrote.
#[inline(always)]
pub fn zero_page() -> &'static Page {
    match ZERO_PAGE.get() {
        Some(page) => page,
        None => zero_page_missing(),
    }
}

#[cold]
fn zero_page_missing() -> ! {
    panic!("x86_mm::init has not run")
}

pub(crate) fn make_zero_page() -> Result {
    let page = Page::alloc_zeroed(GFP_KERNEL)?;
    ZERO_PAGE.set(page).map_err(|_| EBUSY)
}
