// SPDX-License-Identifier: GPL-2.0
//! Page faults: what a program's access needs is brought in, or the program gets a signal.
//!
//! Short path: find the mapping under the shared lock, or by a pass for it where threads meet (`lock`), make or find the page, put it into
//! the entry if that is still empty. Two threads may do that at once; the second finds the entry filled and drops its page.

use crate::flags::VmFlags;
use crate::layout::STACK_GUARD_GAP;
use crate::mapping::Mapping;
use crate::mm_struct::{Mm, own_mm};
use crate::readahead::Readahead;
use crate::vma::{Area, Backing, Vma};
use core::sync::atomic::Ordering;
use errno::{Error, Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_HIGHUSER_MOVABLE;
use mm_alloc::layout::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};
use x86_mm::WriteFault;
use x86_mm::table::zero_page;

/// Error code of the exception: the entry was present.
const PRESENT: u64 = 1;
/// A write.
const WRITE: u64 = 2;
/// An instruction fetch.
const FETCH: u64 = 16;
/// The page's protection key forbids it.
const KEY: u64 = 32;

/// Pages around a file's page that are mapped with it if they are cached (`fault_around_bytes`).
const AROUND: usize = 16;

/// Why a fault cannot be resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultSignal {
    /// Nothing is mapped there (`SEGV_MAPERR`).
    MapError,
    /// The mapping does not allow that (`SEGV_ACCERR`).
    AccessError,
    /// PKRU does not allow that with the mapping's protection key (`SEGV_PKUERR`).
    KeyError(u8),
    /// Beyond the end of the file, or it cannot be read (`BUS_ADRERR`).
    BusError,
    /// No memory.
    OutOfMemory,
}

impl From<Error> for FaultSignal {
    fn from(error: Error) -> Self {
        if error == ENOMEM { Self::OutOfMemory } else { Self::BusError }
    }
}

/// Who counts the faults of each thread (`ru_minflt`, `ru_majflt`).
pub trait FaultCounter: Sync {
    /// The current thread had a fault that was not the program's own: the kernel used a program's memory. `major`: something was read.
    fn count(&self, major: bool);
}

/// The registered counter.
pub static FAULT_COUNTER: Hook<dyn FaultCounter> = Hook::new();

/// What is done to an address: as [`Mm::reach`] is told.
#[derive(Clone, Copy)]
struct Access {
    write: bool,
    fetch: bool,
    present: bool,
    keys: bool,
}

type Fault<T = bool> = core::result::Result<T, FaultSignal>;

/// A fault of user mode at `address`, with the exception's error code and the program's stack pointer. `Ok(true)`: input was
/// waited for. May sleep.
pub fn handle_user_fault(address: usize, error_code: u64, _stack: usize) -> Fault {
    stat::add(Item::PgFault, 1);
    let Some(mm) = own_mm() else { return Err(FaultSignal::MapError) };
    if error_code & KEY != 0 {
        return Err(mm.key_error(address));
    }
    mm.handle(address, error_code & WRITE != 0, error_code & FETCH != 0, error_code & PRESENT != 0)
}

/// A fault of the kernel on a user address, in code that may fault. False: the access fails. May sleep; where the caller must
/// not (preemption or interrupts off) it fails, and for who is killed meanwhile: nobody looks at what was copied.
pub fn handle_kernel_fault(address: usize, error_code: u64) -> bool {
    if x86_cpu::preempt::in_atomic() || error_code & (FETCH | KEY) != 0 || crate::throttle::dies() {
        return false;
    }
    let Some(mm) = own_mm() else { return false };
    count(mm.handle(address, error_code & WRITE != 0, false, error_code & PRESENT != 0)).is_ok()
}

impl Mm {
    /// What a program is told whose PKRU forbade an access. The key is the mapping's now, as in Linux.
    #[cold]
    fn key_error(&self, address: usize) -> FaultSignal {
        match self.inner.read().areas.containing(address) {
            Some(slot) => FaultSignal::KeyError(slot.value.flags.key()),
            None => FaultSignal::MapError,
        }
    }

    /// Resolves an access of the running program, within its rights.
    pub(crate) fn handle(&self, address: usize, write: bool, fetch: bool, present: bool) -> Fault {
        self.reach(address, write, fetch, present, true)
    }

    /// As [`Self::handle`]; without `keys` for others, whom PKRU has nothing to say.
    #[inline(always)]
    fn reach(&self, address: usize, write: bool, fetch: bool, present: bool, keys: bool) -> Fault {
        if address >= TASK_SIZE {
            return Err(FaultSignal::MapError);
        }
        let addr = address & PAGE_MASK;
        let first = |vma: &Vma| write && vma.lacks_anon() && (!keys || crate::pkey::allows(vma.flags, true));
        let mut pass = self.inner.pass(addr);
        if pass.as_ref().is_some_and(|pass| first(pass)) {
            drop(pass);
            self.prepare_anon_by_pass(addr);
            pass = self.inner.pass(addr);
        }
        if let Some(pass) = pass {
            return self.reach_by_pass(Area::by(&pass), addr, Access { write, fetch, present, keys });
        }
        let mut expanded = false;
        loop {
            let inner = self.inner.read_for_fault();
            let Some(slot) = inner.areas.find(addr) else { return Err(FaultSignal::MapError) };
            if slot.start <= addr {
                if first(&slot.value) {
                    self.prepare_anon(&inner.areas, addr);
                }
                return self.reach_in(Area::of(slot), addr, Access { write, fetch, present, keys });
            }
            if expanded || !slot.value.flags.any(VmFlags::GROWSDOWN) {
                return Err(FaultSignal::MapError);
            }
            drop(inner);
            self.grow_stack(addr)?;
            expanded = true;
        }
    }

    /// [`Self::reach_in`], out of the way of programs whose threads do not meet.
    #[inline(never)]
    fn reach_by_pass(&self, area: Area<'_>, addr: usize, access: Access) -> Fault {
        self.reach_in(area, addr, access)
    }

    /// [`Self::reach`] within the mapping that `addr` is in.
    #[inline(always)]
    fn reach_in(&self, area: Area<'_>, addr: usize, access: Access) -> Fault {
        let Access { write, fetch, present, keys } = access;
        let needed = if write {
            VmFlags::WRITE
        } else if fetch {
            VmFlags::EXEC
        } else {
            VmFlags::ACCESS
        };
        let flags = area.vma.flags;
        // First, as in Linux. Instructions are fetched whatever the key.
        if keys && !fetch && !crate::pkey::allows(flags, write) {
            return Err(FaultSignal::KeyError(flags.key()));
        }
        if !flags.any(needed) {
            return Err(FaultSignal::AccessError);
        }
        self.resolve(area, addr, write, present)
    }

    /// Makes the access possible within one mapping whose rights allow it.
    #[inline]
    pub(crate) fn resolve(&self, area: Area<'_>, addr: usize, write: bool, present: bool) -> Fault {
        let vma = area.vma;
        if self.table.has_swap()
            && let Some(entry) = self.table.query(addr).swap()
        {
            let major = self.swap_fault(vma, addr, entry, write)?;
            if major {
                stat::add(Item::PgMajFault, 1);
            }
            return Ok(major);
        }
        if present && write {
            return self.write_present(area, addr);
        }
        match &vma.backing {
            Backing::Anon => {
                if crate::huge::may(vma.flags)
                    && let Some(done) = self.huge_fault(area, addr, write)
                {
                    return done;
                }
                self.anon_fault(vma, addr, write)
            }
            Backing::File(file) => match vma.mapping() {
                Some(mapping) => self.file_fault(area, mapping, addr, write),
                None => {
                    let page = file.fault(area.pgoff_at(addr), write).map_err(bus_or_memory)?;
                    self.put_page(vma, addr, page, write)
                }
            },
            Backing::Special(special) => {
                let page = special.page(area.pgoff_at(addr)).ok_or(FaultSignal::BusError)?;
                self.put_page(vma, addr, page.clone(), write)
            }
        }
    }

    #[inline]
    fn anon_fault(&self, vma: &Vma, addr: usize, write: bool) -> Fault {
        if !write {
            self.table.map_static(addr, zero_page(), vma.flags.prot().read_only())?;
            return self.check_stable();
        }
        let page = Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?;
        self.note_anon(vma);
        if !self.table.map_anon(addr, page, vma.flags.prot())? {
            // Another thread was first, or the zero page is there after all.
            return self.write_private(vma, addr);
        }
        self.check_stable()
    }

    /// What was in memory that is being reaped is lost: the program must not see zeros instead. Asked after the page is mapped, so
    /// that whoever reaped a page here is seen.
    #[inline(always)]
    pub(crate) fn check_stable(&self) -> Fault {
        if self.dying.load(Ordering::Acquire) { Err(FaultSignal::BusError) } else { Ok(false) }
    }

    /// A write to an entry that is present but read-only.
    fn write_present(&self, area: Area<'_>, addr: usize) -> Fault {
        let vma = area.vma;
        if !vma.flags.any(VmFlags::SHARED) {
            return self.write_private(vma, addr);
        }
        let Some(page) = self.table.page(addr, false) else { return Ok(false) };
        if let Some(mapping) = vma.mapping() {
            if !mapping.is_memory() {
                let index = area.pgoff_at(addr);
                return self.share_writable(vma, mapping, index, &page, |page| {
                    self.table.make_writable(addr, page, vma.flags.prot());
                    Ok(())
                });
            }
            page.set(PageFlags::DIRTY);
        }
        // If the entry changed meanwhile the program faults again.
        self.table.make_writable(addr, &page, vma.flags.prot());
        Ok(false)
    }

    /// A program is to write to `page` of a file on a device through shared memory: space is reserved, `map` makes the entry
    /// writable, and the page is dirty, all before write-back can look at it again.
    fn share_writable(
        &self,
        vma: &Vma,
        mapping: &Mapping,
        index: u64,
        page: &Page,
        map: impl FnOnce(&Page) -> Result,
    ) -> Fault {
        note_store(vma);
        let _stays = mapping.invalidate_shared();
        if !mapping.has_page(index) {
            return Err(FaultSignal::BusError);
        }
        if page.has(PageFlags::TRUNCATED) {
            // The program faults again and gets the page that is there now.
            return Ok(false);
        }
        mapping.ops().make_writable(index).map_err(bus_or_memory)?;
        crate::page_lock::lock_page(page);
        let mapped = map(page);
        if mapped.is_ok() {
            mapping.set_dirty(index, page);
        }
        crate::page_lock::unlock_page(page);
        mapped?;
        Ok(false)
    }

    /// A write to private memory where something is mapped: copy it unless it is ours alone.
    pub(crate) fn write_private(&self, vma: &Vma, addr: usize) -> Fault {
        let prot = vma.flags.prot();
        let found = match self.table.write_private(addr, prot) {
            WriteFault::SwapCache(page, _) => {
                crate::swap::make_private(&page);
                drop(page);
                self.table.write_private(addr, prot)
            }
            found => found,
        };
        // What is copied stays until the copy is in its place: were it free before, its frame could be there again with other bytes, and
        // the entry would look as it did.
        let (new, old, _from) = match found {
            WriteFault::Empty | WriteFault::Done => return Ok(false),
            WriteFault::Special => return Err(FaultSignal::AccessError),
            WriteFault::Zero(old) => (Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?, old, None),
            // In the swap cache still: others have it too.
            WriteFault::Copy(from, old) | WriteFault::SwapCache(from, old) => {
                let new = Page::alloc(GFP_HIGHUSER_MOVABLE)?;
                new.copy_from(&from);
                stat::add(Item::CowBreak, 1);
                (new, old, Some(from))
            }
        };
        self.note_anon(vma);
        // If the entry changed meanwhile the program faults again.
        self.table.replace(addr, old, new, prot);
        Ok(false)
    }

    fn file_fault(&self, area: Area<'_>, mapping: &Mapping, addr: usize, write: bool) -> Fault {
        let vma = area.vma;
        let index = area.pgoff_at(addr);
        if !mapping.has_page(index) {
            // As in Linux, what is there around it comes in even so.
            if !write && !vma.flags.any(VmFlags::RAND_READ) {
                self.map_around(area, mapping, addr, file_prot(vma, mapping, false))?;
            }
            return Err(FaultSignal::BusError);
        }
        let (page, major) = match mapping.get(index) {
            Some(page) => {
                if !mapping.is_memory() {
                    let state = match &vma.backing {
                        Backing::File(file) => file.readahead(),
                        _ => None,
                    };
                    if !state.is_some_and(Readahead::is_once) {
                        page.mark_accessed();
                    }
                    if let Some(state) = state {
                        mapping.fault_hit(state, &page, index, vma.flags.any(VmFlags::RAND_READ));
                    }
                } else if crate::swap::is_watching() {
                    page.mark_accessed();
                }
                (page, false)
            }
            None if mapping.is_memory() => {
                let (page, read) = mapping.page_for_fault(index).map_err(bus_or_memory)?;
                if read {
                    stat::add(Item::PgMajFault, 1);
                }
                (page, read)
            }
            // Who waits for what another reads has a major fault too, though it is read but once.
            None => (self.read_around(vma, mapping, index)?, true),
        };
        // Asked under the entry's lock. Who cuts the file changes its size, marks pages, and then empties entries.
        let stays = |page: &Page| !page.has(PageFlags::TRUNCATED) && mapping.has_page(index);
        let shared = vma.flags.any(VmFlags::SHARED);
        if write && !shared {
            let copy = Page::alloc(GFP_HIGHUSER_MOVABLE)?;
            copy.copy_from(&page);
            copy.set(PageFlags::ANON);
            self.note_anon(vma);
            if !self.table.map(addr, copy, vma.flags.prot(), |_| stays(&page))? {
                return self.write_private(vma, addr).map(|_| major);
            }
            return self.check_stable().map(|_| major);
        }
        if write && !mapping.is_memory() {
            let map = |page: &Page| self.table.map(addr, page.clone(), vma.flags.prot(), stays).map(drop);
            return self.share_writable(vma, mapping, index, &page, map).map(|_| major);
        }
        if write {
            page.set(PageFlags::DIRTY);
            note_store(vma);
        }
        let prot = file_prot(vma, mapping, write);
        self.table.map(addr, page, prot, stays)?;
        if !write && !vma.flags.any(VmFlags::RAND_READ) {
            self.map_around(area, mapping, addr, prot)?;
        }
        Ok(major)
    }

    /// A file's page that is not cached, with what the way of access suggests around it; or one that is on its way in.
    #[cold]
    fn read_around(&self, vma: &Vma, mapping: &Mapping, index: u64) -> Fault<Page> {
        if mapping.find(index).is_some() {
            return mapping.get_or_read(index).map_err(bus_or_memory);
        }
        stat::add(Item::PgMajFault, 1);
        if let Backing::File(file) = &vma.backing
            && let Some(state) = file.readahead()
        {
            let way = if vma.flags.any(VmFlags::RAND_READ) {
                crate::readahead::Way::Random
            } else if vma.flags.any(VmFlags::SEQ_READ) {
                crate::readahead::Way::Sequential
            } else {
                crate::readahead::Way::Around
            };
            mapping.readahead_for_fault(state, index, way);
        }
        mapping.get_or_read(index).map_err(bus_or_memory)
    }

    /// Maps cached neighbours of a file's page: the program will want them, and each saves it a fault.
    fn map_around(&self, area: Area<'_>, mapping: &Mapping, addr: usize, prot: x86_mm::UserProt) -> Fault<()> {
        // From there as many as a window has, in this table: also where the mapping begins within one.
        let low = (addr & !(AROUND * PAGE_SIZE - 1)).max(area.start);
        let file_end = mapping.size().div_ceil(PAGE_SIZE as u64);
        let first = area.pgoff_at(low);
        let left = usize::try_from(file_end.saturating_sub(first)).unwrap_or(AROUND).min(AROUND);
        let pages = ((area.end - low) >> PAGE_SHIFT).min(left);
        if pages == 0 || pages == 1 && low == addr {
            return Ok(());
        }
        let mapped = self.table.map_around(low, pages, prot, |i| {
            let page = mapping.find(first + i as u64)?;
            // Asked under the entries' lock, as where a single page is mapped. A page with the mark is to be noticed when it is reached.
            let stays = !page.has(PageFlags::TRUNCATED) && mapping.has_page(first + i as u64);
            (page.is_ready() && stays).then_some(page)
        })?;
        stat::add(Item::FaultAround, mapped as i64);
        Ok(())
    }

    /// The page behind `addr` although the mapping's rights do not allow the access (a debugger's). To be written it must be this address
    /// space's alone, and not in swap space too. The caller holds the lock.
    pub(crate) fn forced_page(&self, area: Area<'_>, addr: usize, write: bool) -> Result<Page> {
        /// The entry's reference and ours.
        const ALONE: u32 = 2;
        for _ in 0..8 {
            let step = match self.table.page(addr, false) {
                Some(page) => {
                    let own = page.has(PageFlags::ANON) && !page.has(PageFlags::SWAP_CACHE);
                    if !write || own && (page.ref_count() <= ALONE || self.table.query(addr).is_own()) {
                        if write && !self.table.keep(addr, Some(&page)) {
                            // It was not needed, and is gone.
                            continue;
                        }
                        return Ok(page);
                    }
                    // Ours would make it somebody else's too.
                    drop(page);
                    // The program's next write would copy: here the copy is mapped with the rights that the mapping has.
                    self.write_private(area.vma, addr)
                }
                None => self.resolve(area, addr, false, false),
            };
            count(step).map_err(|signal| if signal == FaultSignal::OutOfMemory { ENOMEM } else { EFAULT })?;
        }
        Err(EFAULT)
    }

    /// Maps a page that a device or the kernel gave; private writes get a copy.
    fn put_page(&self, vma: &Vma, addr: usize, page: Page, write: bool) -> Fault {
        if write && !vma.flags.any(VmFlags::SHARED) {
            let copy = Page::alloc(GFP_HIGHUSER_MOVABLE)?;
            copy.copy_from(&page);
            self.note_anon(vma);
            self.table.map_anon(addr, copy, vma.flags.prot())?;
            return Ok(false);
        }
        let prot = if vma.flags.any(VmFlags::SHARED) { vma.flags.prot() } else { vma.flags.prot().read_only() };
        self.table.map(addr, page, prot, |_| true)?;
        Ok(false)
    }

    /// Extends a stack down to `addr`.
    #[cold]
    fn grow_stack(&self, addr: usize) -> Fault<()> {
        let mut inner = self.inner.write();
        let index = inner.areas.index(addr);
        let Some(slot) = inner.areas.get(index) else { return Err(FaultSignal::MapError) };
        if slot.start <= addr {
            return Ok(());
        }
        let (start, end, flags, pgoff) = (slot.start, slot.end, slot.value.flags, slot.value.pgoff);
        let below = inner.areas.before(index).map(|slot| (slot.end, slot.value.flags));
        // The gap: but another stack may end right below, and what cannot be accessed is a guard of its own.
        let clear = match below {
            Some((below, flags)) if !flags.any(VmFlags::GROWSDOWN) && flags.any(VmFlags::ACCESS) => {
                addr.checked_sub(below).is_some_and(|room| room >= STACK_GUARD_GAP)
            }
            _ => true,
        };
        let limit = rlimit::current(uapi::RLIMIT_STACK);
        let grow = start - addr;
        if !clear
            || addr < crate::layout::mmap_min_addr()
            || (end - addr) as u64 > limit
            || crate::mmap::check_room(&inner, flags, grow >> PAGE_SHIFT).is_err()
        {
            return Err(FaultSignal::MapError);
        }
        if flags.any(VmFlags::ACCOUNT) {
            crate::account::charge(grow).map_err(|_| FaultSignal::MapError)?;
        }
        // As in Linux: the page that it grows for is taken to be a private one, whatever comes.
        self.prepare_anon(&inner.areas, start);
        inner.areas.set_bounds(index, addr, end);
        if let Some(vma) = inner.areas.value_mut(index) {
            vma.pgoff = pgoff.wrapping_sub((grow >> PAGE_SHIFT) as u64);
        }
        self.count(&mut inner, flags, grow, true);
        Ok(())
    }

    /// Brings one page in, as the program's own access would. EFAULT, ENOMEM. May sleep.
    pub(crate) fn fault_in(&self, addr: usize, write: bool) -> Result {
        for _ in 0..8 {
            let step = match self.try_in(addr & PAGE_MASK, write) {
                Some(Ok(true)) => return Ok(()),
                Some(step) => step,
                // A stack may grow.
                None => count(self.reach(addr, write, false, false, false)),
            };
            match step {
                Ok(_) => {}
                Err(FaultSignal::OutOfMemory) => return Err(ENOMEM),
                Err(_) => return Err(EFAULT),
            }
        }
        // Somebody takes the page away each time (truncation, another thread's unmapping).
        if self.dying.load(Ordering::Relaxed) { Err(ENOMEM) } else { Err(EFAULT) }
    }

    /// Brings the page of `addr` in, under one hold of the lock; whether it is there then. `None`: nothing is mapped there.
    fn try_in(&self, addr: usize, write: bool) -> Option<Fault> {
        let inner = self.inner.read();
        let slot = inner.areas.containing(addr)?;
        let there = |entry: x86_mm::Entry| entry.is_present() && (!write || entry.is_writable());
        let entry = self.table.query(addr);
        if there(entry) {
            // Who wants it to be there to be written needs it again.
            return Some(Ok(!write || !entry.is_lazy() || self.table.keep(addr, None)));
        }
        if !slot.value.flags.any(if write { VmFlags::WRITE } else { VmFlags::ACCESS }) {
            return Some(Err(FaultSignal::AccessError));
        }
        if write && slot.value.lacks_anon() {
            self.prepare_anon(&inner.areas, addr);
        }
        let step = count(self.resolve(Area::of(slot), addr, write, entry.is_present()));
        Some(step.map(|_| there(self.table.query(addr))))
    }
}

/// A program is to store to memory that it shares with a file.
fn note_store(vma: &Vma) {
    if let Backing::File(file) = &vma.backing {
        file.stored();
    }
}

/// What the entry of a file's page gets that is reached. Memory-only files need not notice the first write, unless who watches soft-dirty
/// bits does.
#[inline(always)]
fn file_prot(vma: &Vma, mapping: &Mapping, write: bool) -> x86_mm::UserProt {
    let watched = vma.soft_clean.load(Ordering::Relaxed);
    match vma.flags.any(VmFlags::SHARED) && (write || mapping.is_memory() && !watched) {
        true => vma.flags.prot(),
        false => vma.flags.prot().read_only(),
    }
}

/// Counts a fault that the kernel has for a program.
fn count(result: Fault) -> Fault {
    stat::add(Item::PgFault, 1);
    if let (Ok(major), Some(counter)) = (result, FAULT_COUNTER.get()) {
        counter.count(major);
    }
    result
}

fn bus_or_memory(error: Error) -> FaultSignal {
    error.into()
}
