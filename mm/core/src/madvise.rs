// SPDX-License-Identifier: GPL-2.0
//! `madvise`, `mlock` and its kin, `mincore`, `msync`. Source: the manual pages. Pages of locked mappings do not leave (`swap::out`), so
//! locking is bringing in, plus the limits and the figures.

use crate::flags::VmFlags;
use crate::mapping::Mapping;
use crate::mm_struct::Mm;
use crate::vma::{Backing, Vma};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::layout::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE};
use x86_mm::Kind;

/// A length in whole pages, as Linux has it: one that is more than all addresses goes round to 0.
pub(crate) const fn align_round(len: usize) -> usize {
    len.wrapping_add(PAGE_SIZE - 1) & PAGE_MASK
}

/// The pages of a range that is locked or unlocked, and their length, which may go round.
fn lock_span(start: usize, len: usize) -> (usize, usize) {
    (start & PAGE_MASK, align_round(len.wrapping_add(start & !PAGE_MASK)))
}

impl Mm {
    /// `madvise(2)`. May sleep.
    pub fn madvise(&self, start: usize, len: usize, advice: u32) -> Result {
        let pages = align_round(len);
        if !known(advice) || start & !PAGE_MASK != 0 || len != 0 && pages == 0 {
            return Err(EINVAL);
        }
        let end = start.checked_add(pages).ok_or(EINVAL)?;
        if start == end {
            return Ok(());
        }
        match advice {
            uapi::MADV_POPULATE_READ | uapi::MADV_POPULATE_WRITE => {
                return self.populate_advice(start, end, advice == uapi::MADV_POPULATE_WRITE);
            }
            uapi::MADV_REMOVE => return self.remove_advice(start, end),
            uapi::MADV_COLLAPSE => return self.collapse(start, end),
            uapi::MADV_WILLNEED => return self.will_need(start, end),
            uapi::MADV_DONTNEED | uapi::MADV_DONTNEED_LOCKED | uapi::MADV_FREE => {
                return self.dont_need(start, end, advice);
            }
            uapi::MADV_COLD | uapi::MADV_PAGEOUT => {
                return self.reclaim_advice(start, end, advice == uapi::MADV_PAGEOUT);
            }
            _ => {}
        }
        let mut inner = self.inner.write_range(start, end);
        self.change_flags(&mut inner, start, end, true, |vma| advised_flags(vma, advice))
    }

    /// Drops private pages, with `MADV_FREE` later (`lazy`); those of files come back from the file.
    fn dont_need(&self, start: usize, end: usize, advice: u32) -> Result {
        let inner = self.inner.read();
        self.note_rss();
        let mut at = start;
        let mut holes = false;
        for slot in inner.areas.overlapping(start, end) {
            holes |= slot.start > at;
            let flags = slot.value.flags;
            let locked = flags.any(VmFlags::LOCKED) && advice != uapi::MADV_DONTNEED_LOCKED;
            if locked || flags.any(VmFlags::PFNMAP) {
                return Err(EINVAL);
            }
            if advice == uapi::MADV_FREE && !matches!(slot.value.backing, Backing::Anon) {
                return Err(EINVAL);
            }
            let (from, to) = (slot.start.max(start), slot.end.min(end));
            match advice {
                uapi::MADV_FREE => self.free_lazily(from, to),
                _ => self.table.zap_range(from, to),
            }
            at = slot.end;
        }
        if holes || at < end { Err(ENOMEM) } else { Ok(()) }
    }

    /// What is mapped here counts as not used lately. Pages of files that nobody else has mapped become the next to be reclaimed, or
    /// (`out`) are reclaimed now if they are clean. Private memory is left to `swap::madvise`, as is shared memory, which is only
    /// unmapped here.
    fn reclaim_advice(&self, start: usize, end: usize, out: bool) -> Result {
        let inner = self.inner.read();
        if out {
            self.note_rss();
        }
        let mut at = start;
        let mut holes = false;
        for slot in inner.areas.overlapping(start, end) {
            holes |= slot.start > at;
            if slot.value.flags.any(VmFlags(VmFlags::LOCKED.0 | VmFlags::PFNMAP.0)) {
                return Err(EINVAL);
            }
            let (from, to) = (slot.start.max(start), slot.end.min(end));
            self.table.clear_accessed(from, to);
            if out {
                self.drop_lazy(&slot.value, from, to);
            }
            // Who could not change a file is not to learn from it what others read.
            let may = match &slot.value.backing {
                Backing::File(file) => !out || file.may_tell_cached(),
                _ => true,
            };
            if let Some(mapping) = slot.value.mapping().filter(|_| may) {
                let pgoff = slot.value.pgoff_at(slot.start, from);
                self.reclaim_pages(mapping, pgoff, from, to, out);
            }
            at = slot.end;
        }
        if holes || at < end { Err(ENOMEM) } else { Ok(()) }
    }

    /// The pages of a file at `[from, to)`, where its page `pgoff` is the first.
    fn reclaim_pages(&self, mapping: &Arc<Mapping>, pgoff: u64, from: usize, to: usize, out: bool) {
        // So many at a time that their bits fit a word.
        const WINDOW: usize = 64 * PAGE_SIZE;
        for window in (from..to).step_by(WINDOW) {
            let mut mapped = 0u64;
            self.table.for_each_entry(window, to.min(window.saturating_add(WINDOW)), |addr, entry, frame| {
                if entry.is_present() && frame.is_some_and(|frame| matches!(Kind::of(frame), Kind::File | Kind::Shmem))
                {
                    mapped |= 1 << ((addr - window) >> PAGE_SHIFT);
                }
            });
            let first = pgoff + ((window - from) >> PAGE_SHIFT) as u64;
            for index in (0..64).filter(|bit| mapped & 1 << bit != 0).map(|bit| first + bit) {
                if let Some(page) = mapping.get(index) {
                    crate::reclaim::advised(mapping, index, &page, out);
                }
            }
        }
    }

    /// Starts reading files' pages ahead of their use; waits for none of it.
    fn will_need(&self, start: usize, end: usize) -> Result {
        let mut at = start;
        while at < end {
            let (mapping, first, pages, next) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { break };
                let (from, to) = (slot.start.max(at), slot.end.min(end));
                if !matches!(slot.value.backing, Backing::File(_)) && !crate::swap::is_built_in() {
                    return Err(EBADF);
                }
                let first = slot.value.pgoff_at(slot.start, from);
                (slot.value.mapping().cloned(), first, ((to - from) >> PAGE_SHIFT) as u64, to)
            };
            if let Some(mapping) = mapping {
                mapping.read_forced(first, pages);
            }
            at = next;
        }
        if self.inner.read().areas.is_covered(start, end) { Ok(()) } else { Err(ENOMEM) }
    }

    /// Makes a hole in a shared file; what the file system says of that is the answer. The mapping must be one that may be written, but
    /// need not be writable now.
    fn remove_advice(&self, start: usize, end: usize) -> Result {
        let mut at = start;
        // A hole is told when all that is there was done.
        let mut holes = false;
        while at < end {
            let (file, from, len, next) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return Err(ENOMEM) };
                holes |= slot.start > at;
                at = at.max(slot.start);
                let flags = slot.value.flags;
                if flags.any(VmFlags::LOCKED) {
                    return Err(EINVAL);
                }
                let Backing::File(file) = &slot.value.backing else { return Err(EINVAL) };
                if !flags.has(VmFlags(VmFlags::SHARED.0 | VmFlags::MAYWRITE.0)) {
                    return Err(EACCES);
                }
                let to = slot.end.min(end);
                let first = slot.value.pgoff_at(slot.start, at) << PAGE_SHIFT;
                (file.clone(), first, (to - at) as u64, to)
            };
            file.punch_hole(from, len)?;
            at = next;
        }
        if holes { Err(ENOMEM) } else { Ok(()) }
    }

    /// Brings pages in as the program's own accesses would. EINVAL where it has not the right, by PKRU neither, EFAULT, EINTR: what
    /// comes before is there then. ENOMEM for a hole when all else is there.
    fn populate_advice(&self, start: usize, end: usize, write: bool) -> Result {
        let needed = if write { VmFlags::WRITE } else { VmFlags::READ };
        let mut at = start;
        let mut holes = false;
        while at < end {
            let (from, stop) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return Err(ENOMEM) };
                holes |= slot.start > at;
                let flags = slot.value.flags;
                let special = flags.any(VmFlags(VmFlags::PFNMAP.0 | VmFlags::IO.0));
                if !flags.any(needed) || special || !self.key_permits(flags, write) {
                    return Err(EINVAL);
                }
                (slot.start.max(at), slot.end.min(end))
            };
            for addr in (from..stop).step_by(PAGE_SIZE) {
                self.bring_one_in(addr, write)?;
            }
            at = stop;
        }
        if holes { Err(ENOMEM) } else { Ok(()) }
    }

    /// `mlock(2)` and `mlock2(2)`. ENOMEM, EAGAIN, EPERM, EINVAL, EINTR. May sleep.
    pub fn mlock(&self, start: usize, len: usize, on_fault: bool) -> Result {
        check_may_lock()?;
        let (start, len) = lock_span(start, len);
        let end = start.checked_add(len);
        {
            let mut inner = self.inner.write_range(start, end.unwrap_or(usize::MAX));
            let already: usize = inner
                .areas
                .overlapping(start, end.unwrap_or(usize::MAX))
                .filter(|slot| slot.value.flags.any(VmFlags::LOCKED))
                .map(|slot| slot.end.min(end.unwrap_or(usize::MAX)) - slot.start.max(start))
                .sum();
            let wanted = inner.locked.saturating_mul(PAGE_SIZE).saturating_add(len).saturating_sub(already);
            if wanted as u64 > rlimit::current(uapi::RLIMIT_MEMLOCK) && !cred::capable(cred::CAP_IPC_LOCK) {
                return Err(ENOMEM);
            }
            // Only after the limit, as in Linux.
            let end = end.ok_or(EINVAL)?;
            let lock = if on_fault { LOCK_ON_FAULT } else { VmFlags::LOCKED };
            self.change_flags(&mut inner, start, end, false, |vma| Ok(lockable(vma.flags, lock)))?;
        }
        if on_fault {
            return Ok(());
        }
        // The errors of `mlock(2)`: addresses that cannot be brought in are ENOMEM, and too little memory for them is EAGAIN.
        self.bring_in(start, start + len, false, true).map_err(|error| match error {
            ENOMEM => EAGAIN,
            EINTR => EINTR,
            _ => ENOMEM,
        })
    }

    /// `munlock(2)`.
    pub fn munlock(&self, start: usize, len: usize) -> Result {
        let (start, len) = lock_span(start, len);
        let end = start.checked_add(len).ok_or(EINVAL)?;
        let mut inner = self.inner.write_range(start, end);
        self.change_flags(&mut inner, start, end, false, |vma| Ok(vma.flags.without(LOCK_ON_FAULT)))
    }

    /// `mlockall(2)`; 0 is `munlockall(2)`.
    pub fn mlockall(&self, flags: u32) -> Result {
        let known = uapi::MCL_CURRENT | uapi::MCL_FUTURE | uapi::MCL_ONFAULT;
        if flags & !known != 0 || flags == uapi::MCL_ONFAULT {
            return Err(EINVAL);
        }
        let lock = if flags & uapi::MCL_ONFAULT != 0 { LOCK_ON_FAULT } else { VmFlags::LOCKED };
        let mut inner = self.inner.write();
        if flags != 0 {
            check_may_lock()?;
            let limit = rlimit::current(uapi::RLIMIT_MEMLOCK);
            let total = (inner.total as u64).saturating_mul(PAGE_SIZE as u64);
            if flags & uapi::MCL_CURRENT != 0 && total > limit && !cred::capable(cred::CAP_IPC_LOCK) {
                return Err(ENOMEM);
            }
        }
        inner.default_flags = if flags & uapi::MCL_FUTURE != 0 { lock } else { VmFlags::NONE };
        if flags == 0 || flags & uapi::MCL_CURRENT != 0 {
            let new = |vma: &Vma| match flags {
                0 => Ok(vma.flags.without(LOCK_ON_FAULT)),
                _ => Ok(lockable(vma.flags, lock)),
            };
            // There are holes between the mappings; they are no error here.
            match self.change_flags(&mut inner, 0, TASK_SIZE, true, new) {
                Err(ENOMEM | EAGAIN) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        drop(inner);
        if flags & uapi::MCL_CURRENT != 0 && flags & uapi::MCL_ONFAULT == 0 {
            // As Linux: what cannot be brought in is no error.
            self.populate(0, TASK_SIZE, false);
        }
        Ok(())
    }

    /// For each page of `[start, start + pages * 4096)`: whether it is in memory (`mincore(2)`). ENOMEM for holes.
    pub fn mincore(&self, start: usize, out: &mut [u8]) -> Result {
        let end = start + out.len() * PAGE_SIZE;
        let inner = self.inner.read();
        if !inner.areas.is_covered(start, end) {
            return Err(ENOMEM);
        }
        out.fill(0);
        self.table.for_each_entry(start, end, |addr, entry, _| {
            // A page that the program may not touch at the moment (`PROT_NONE`) is there too.
            let there = entry.swap().is_none_or(crate::swap::is_cached);
            if there && let Some(byte) = out.get_mut((addr - start) / PAGE_SIZE) {
                *byte = 1;
            }
        });
        for slot in inner.areas.overlapping(start, end) {
            let Some(mapping) = slot.value.mapping() else { continue };
            // What others read is nobody's business: pages of files that the caller could not change look as if they were there.
            let may_know = match &slot.value.backing {
                Backing::File(file) => file.may_tell_cached(),
                _ => true,
            };
            for addr in (slot.start.max(start)..slot.end.min(end)).step_by(PAGE_SIZE) {
                if let Some(byte) = out.get_mut((addr - start) / PAGE_SIZE)
                    && *byte == 0
                    && (!may_know || mapping.is_resident(slot.value.pgoff_at(slot.start, addr)))
                {
                    *byte = 1;
                }
            }
        }
        Ok(())
    }

    /// `msync(2)`. May sleep.
    pub fn msync(&self, start: usize, len: usize, flags: u32) -> Result {
        let known = uapi::MS_ASYNC | uapi::MS_INVALIDATE | uapi::MS_SYNC;
        let both = uapi::MS_ASYNC | uapi::MS_SYNC;
        if flags & !known != 0 || start & !PAGE_MASK != 0 || flags & both == both {
            return Err(EINVAL);
        }
        let end = start.checked_add(align_round(len)).ok_or(ENOMEM)?;
        let mut at = start;
        let mut holes = false;
        while at < end {
            let (file, first, bytes, next) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else {
                    holes = true;
                    break;
                };
                holes |= slot.start > at;
                if flags & uapi::MS_INVALIDATE != 0 && slot.value.flags.any(VmFlags::LOCKED) {
                    return Err(EBUSY);
                }
                let (from, to) = (slot.start.max(at), slot.end.min(end));
                let file = match &slot.value.backing {
                    Backing::File(file) if slot.value.flags.any(VmFlags::SHARED) => Some(Arc::clone(file)),
                    _ => None,
                };
                (file, slot.value.pgoff_at(slot.start, from) << PAGE_SHIFT, (to - from) as u64, to)
            };
            if let Some(file) = file.filter(|_| flags & uapi::MS_SYNC != 0) {
                file.sync_range(first, first.saturating_add(bytes))?;
            }
            at = next;
        }
        if holes { Err(ENOMEM) } else { Ok(()) }
    }

    /// Brings the pages of `[start, end)` in as far as that goes, holes left out. `write`: ready to be written. May sleep.
    pub(crate) fn populate(&self, start: usize, end: usize, write: bool) {
        let _ = self.bring_in(start, end, write, false);
    }

    /// Brings in, to be written, the private memory of `[start, end)` that is locked and can be written. May sleep.
    pub(crate) fn populate_locked(&self, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let (from, to) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return };
                let flags = slot.value.flags;
                let wanted = flags.has(VmFlags(VmFlags::LOCKED.0 | VmFlags::WRITE.0))
                    && !flags.any(VmFlags(VmFlags::SHARED.0 | VmFlags::LOCKONFAULT.0));
                (if wanted { slot.start.max(at) } else { slot.end.min(end) }, slot.end.min(end))
            };
            self.populate(from, to, true);
            at = to;
        }
    }

    /// As [`Self::populate`]; with `strict` the first failure ends it, also that of a mapping without access. EFAULT, ENOMEM, EINTR. May
    /// sleep.
    fn bring_in(&self, start: usize, end: usize, write: bool, strict: bool) -> Result {
        let mut at = start;
        while at < end {
            let (from, to, write) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { break };
                let flags = slot.value.flags;
                // Private memory that is locked is to be the program's own already.
                let write =
                    write || flags.has(VmFlags(VmFlags::LOCKED.0 | VmFlags::WRITE.0)) && !flags.any(VmFlags::SHARED);
                if strict && !flags.any(VmFlags(VmFlags::ACCESS.0 | VmFlags::PFNMAP.0 | VmFlags::IO.0)) {
                    return Err(EFAULT);
                }
                let write = write && flags.any(VmFlags::WRITE);
                let permitted = self.key_permits(flags, write);
                if strict && !permitted {
                    return Err(EFAULT);
                }
                match flags.any(VmFlags::ACCESS) && !flags.any(VmFlags::PFNMAP) && permitted {
                    true => (slot.start.max(at), slot.end.min(end), write),
                    false => (slot.end, slot.end, false),
                }
            };
            let done = (from..to).step_by(PAGE_SIZE).try_for_each(|addr| self.bring_one_in(addr, write));
            if strict || done == Err(EINTR) {
                done?;
            }
            at = to.max(from);
        }
        Ok(())
    }

    /// As [`Self::fault_in`]. EINTR for who is killed meanwhile: it is not to bring in all that it asked for first.
    fn bring_one_in(&self, addr: usize, write: bool) -> Result {
        if crate::throttle::dies() { Err(EINTR) } else { self.fault_in(addr, write) }
    }
}

const LOCK_ON_FAULT: VmFlags = VmFlags(VmFlags::LOCKED.0 | VmFlags::LOCKONFAULT.0);

/// Special mappings are never locked.
fn lockable(flags: VmFlags, lock: VmFlags) -> VmFlags {
    match flags.any(VmFlags(VmFlags::PFNMAP.0 | VmFlags::IO.0 | VmFlags::DONTEXPAND.0)) {
        true => flags,
        false => flags.without(LOCK_ON_FAULT).with(lock),
    }
}

fn check_may_lock() -> Result {
    if rlimit::current(uapi::RLIMIT_MEMLOCK) != 0 || cred::capable(cred::CAP_IPC_LOCK) { Ok(()) } else { Err(EPERM) }
}

/// Advice that is understood. What needs merging or poison is not built in.
fn known(advice: u32) -> bool {
    matches!(
        advice,
        uapi::MADV_NORMAL
            | uapi::MADV_RANDOM
            | uapi::MADV_SEQUENTIAL
            | uapi::MADV_WILLNEED
            | uapi::MADV_DONTNEED
            | uapi::MADV_FREE
            | uapi::MADV_REMOVE
            | uapi::MADV_DONTFORK
            | uapi::MADV_DOFORK
            | uapi::MADV_DONTDUMP
            | uapi::MADV_DODUMP
            | uapi::MADV_WIPEONFORK
            | uapi::MADV_KEEPONFORK
            | uapi::MADV_COLD
            | uapi::MADV_PAGEOUT
            | uapi::MADV_POPULATE_READ
            | uapi::MADV_POPULATE_WRITE
            | uapi::MADV_DONTNEED_LOCKED
    ) || x86_mm::huge::ENABLED && matches!(advice, uapi::MADV_HUGEPAGE | uapi::MADV_NOHUGEPAGE | uapi::MADV_COLLAPSE)
}

fn advised_flags(vma: &Vma, advice: u32) -> Result<VmFlags> {
    let flags = vma.flags;
    let reading = VmFlags(VmFlags::RAND_READ.0 | VmFlags::SEQ_READ.0);
    Ok(match advice {
        uapi::MADV_NORMAL => flags.without(reading),
        uapi::MADV_SEQUENTIAL => flags.without(reading).with(VmFlags::SEQ_READ),
        uapi::MADV_RANDOM => flags.without(reading).with(VmFlags::RAND_READ),
        uapi::MADV_DONTFORK => flags.with(VmFlags::DONTCOPY),
        uapi::MADV_DOFORK if flags.any(VmFlags::IO) => return Err(EINVAL),
        uapi::MADV_DOFORK => flags.without(VmFlags::DONTCOPY),
        uapi::MADV_WIPEONFORK if !matches!(vma.backing, Backing::Anon) || flags.any(VmFlags::SHARED) => {
            return Err(EINVAL);
        }
        uapi::MADV_WIPEONFORK => flags.with(VmFlags::WIPEONFORK),
        uapi::MADV_KEEPONFORK => flags.without(VmFlags::WIPEONFORK),
        uapi::MADV_HUGEPAGE => flags.without(VmFlags::NOHUGEPAGE).with(VmFlags::HUGEPAGE),
        uapi::MADV_NOHUGEPAGE => flags.without(VmFlags::HUGEPAGE).with(VmFlags::NOHUGEPAGE),
        uapi::MADV_DONTDUMP => flags.with(VmFlags::DONTDUMP),
        uapi::MADV_DODUMP if flags.any(VmFlags(VmFlags::IO.0 | VmFlags::DONTEXPAND.0 | VmFlags::PFNMAP.0)) => {
            return Err(EINVAL);
        }
        uapi::MADV_DODUMP => flags.without(VmFlags::DONTDUMP),
        _ => return Err(EINVAL),
    })
}

/// `mincore(2)` into user memory. EINVAL, ENOMEM, EFAULT.
pub(crate) fn mincore_user(mm: &Mm, start: usize, len: usize, vec: usize) -> Result<usize> {
    if start & !PAGE_MASK != 0 {
        return Err(EINVAL);
    }
    if len > TASK_SIZE || start > TASK_SIZE - len {
        return Err(ENOMEM);
    }
    let mut left = len.div_ceil(PAGE_SIZE);
    if !x86_mm::access_ok(vec, left) {
        return Err(EFAULT);
    }
    let mut bytes = kalloc::KBox::new([0u8; PAGE_SIZE], GFP_KERNEL)?;
    let (mut at, mut to) = (start, vec);
    while left > 0 {
        let part = left.min(PAGE_SIZE);
        let Some(out) = bytes.get_mut(..part) else { return Err(EFAULT) };
        mm.mincore(at, out)?;
        x86_mm::copy_to_user(to, out)?;
        (at, to, left) = (at + part * PAGE_SIZE, to + part, left - part);
    }
    Ok(0)
}
