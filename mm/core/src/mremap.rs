// SPDX-License-Identifier: GPL-2.0
//! `mremap`: shrink, grow, move. Source: `mremap(2)`.

use crate::account;
use crate::anon::AnonId;
use crate::flags::VmFlags;
use crate::madvise::align_round;
use crate::mapping::Mapping;
use crate::mm_struct::{Inner, Mm};
use crate::mmap::{MapArgs, check_room, max_map_count, pick};
use crate::unmap::Removed;
use crate::vma::{Backing, merge_changed, merge_with_next, split_at};
use errno::{Result, code::*};
use kalloc::Arc;
use mm_alloc::layout::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE};

/// The arguments, checked and rounded.
struct Args {
    old: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    new: usize,
}

impl Mm {
    /// `mremap(2)`; returns the new address. EINVAL, EFAULT, ENOMEM, EAGAIN. May sleep.
    pub fn mremap(&self, old: usize, old_len: usize, new_len: usize, flags: u32, new: usize) -> Result<usize> {
        let known = uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED | uapi::MREMAP_DONTUNMAP;
        let moves = uapi::MREMAP_FIXED | uapi::MREMAP_DONTUNMAP;
        if flags & !known != 0 || flags & moves != 0 && flags & uapi::MREMAP_MAYMOVE == 0 {
            return Err(EINVAL);
        }
        if flags & uapi::MREMAP_DONTUNMAP != 0 && old_len != new_len || old & !PAGE_MASK != 0 {
            return Err(EINVAL);
        }
        let args = Args { old, old_len: align_round(old_len), new_len: align_round(new_len), flags, new };
        if args.new_len == 0 || args.old_len > TASK_SIZE || args.old > TASK_SIZE - args.old_len {
            return Err(EINVAL);
        }
        let mut removed = Removed::new();
        let mut inner = self.inner.write();
        let result = self.mremap_locked(&mut inner, &args, &mut removed);
        // Where it is now: it may have moved.
        let locked = |addr| inner.areas.containing(addr).is_some_and(|s| s.value.flags.any(VmFlags::LOCKED));
        let locked = result.is_ok_and(locked);
        drop(inner);
        drop(removed);
        if let Ok(addr) = result
            && locked
            && args.new_len > args.old_len
        {
            // As `mmap`: what cannot be brought in now faults later.
            self.populate(addr + args.old_len, addr + args.new_len, false);
        }
        result
    }

    fn mremap_locked(&self, inner: &mut Inner, args: &Args, removed: &mut Removed) -> Result<usize> {
        let index = inner.areas.index(args.old);
        let slot = inner.areas.get(index).filter(|slot| slot.start <= args.old).ok_or(EFAULT)?;
        // Only a shared mapping can be shown a second time; none in its own place, which is made free before anybody looks.
        let own_place = args.flags & uapi::MREMAP_FIXED != 0 && args.new == args.old;
        if args.old_len == 0 && !own_place && !slot.value.flags.any(VmFlags::MAYSHARE) {
            return Err(EINVAL);
        }
        if args.flags & (uapi::MREMAP_FIXED | uapi::MREMAP_DONTUNMAP) != 0 {
            return self.move_to_chosen(inner, args, removed);
        }
        if args.new_len <= args.old_len {
            let (from, to) = (args.old + args.new_len, args.old + args.old_len);
            if from < to {
                self.unmap_locked(inner, from, to, removed)?;
            }
            return Ok(args.old);
        }
        check_growth(inner, args, slot.end)?;
        let slot = inner.areas.get(index).ok_or(EFAULT)?;
        let (start, end, flags) = (slot.start, slot.end, slot.value.flags);
        let new_end = args.old.checked_add(args.new_len).filter(|e| *e <= TASK_SIZE);
        // In place, if the range ends here and there is room behind it.
        if let Some(new_end) = new_end
            && end == args.old + args.old_len
            && inner.areas.is_free(end, new_end)
        {
            let grown = new_end - end;
            if flags.any(VmFlags::ACCOUNT) {
                account::charge(grown)?;
            }
            inner.areas.set_bounds(index, start, new_end);
            if let Some(slot) = inner.areas.get(index)
                && let Some(link) = &slot.value.link
            {
                link.update(start, new_end, slot.value.pgoff);
            }
            self.count(inner, flags, grown, true);
            merge_with_next(&mut inner.areas, index);
            return Ok(args.old);
        }
        if args.flags & uapi::MREMAP_MAYMOVE == 0 {
            return Err(ENOMEM);
        }
        let new = pick(inner, 0, args.new_len)?;
        self.move_area(inner, args, new, removed)
    }

    /// With MREMAP_FIXED to the given address, with MREMAP_DONTUNMAP alone to a free one: the given one has to be possible in any case.
    fn move_to_chosen(&self, inner: &mut Inner, args: &Args, removed: &mut Removed) -> Result<usize> {
        let fixed = args.flags & uapi::MREMAP_FIXED != 0;
        if args.new & !PAGE_MASK != 0 || args.new_len > TASK_SIZE || args.new > TASK_SIZE - args.new_len {
            return Err(EINVAL);
        }
        if args.new < args.old + args.old_len && args.old < args.new + args.new_len {
            return Err(EINVAL);
        }
        if fixed && args.new < crate::layout::mmap_min_addr() && !cred::capable(cred::CAP_SYS_RAWIO) {
            return Err(EPERM);
        }
        if inner.areas.len() + 5 >= max_map_count() {
            return Err(ENOMEM);
        }
        let slot = inner.areas.containing(args.old).ok_or(EFAULT)?;
        let (end, flags) = (slot.end, slot.value.flags);
        let dont_unmap = args.flags & uapi::MREMAP_DONTUNMAP != 0;
        if dont_unmap && flags.any(VmFlags(VmFlags::DONTEXPAND.0 | VmFlags::PFNMAP.0)) {
            return Err(EINVAL);
        }
        if args.new_len > args.old_len {
            check_growth(inner, args, end)?;
        } else if args.old + args.new_len > end {
            return Err(EFAULT);
        }
        if dont_unmap {
            check_room(inner, flags, args.old_len >> PAGE_SHIFT)?;
        }
        if fixed {
            self.unmap_locked(inner, args.new, args.new + args.new_len, removed)?;
        }
        let mut args = Args { ..*args };
        if args.old_len > args.new_len {
            self.unmap_locked(inner, args.old + args.new_len, args.old + args.old_len, removed)?;
            args.old_len = args.new_len;
        }
        let new = if fixed { args.new } else { pick(inner, args.new, args.new_len)? };
        self.move_area(inner, &args, new, removed)
    }

    /// Moves `[old, old + old_len)` to the free range at `new`, `new_len` long.
    fn move_area(&self, inner: &mut Inner, args: &Args, new: usize, removed: &mut Removed) -> Result<usize> {
        if inner.areas.len() + 3 >= max_map_count() {
            return Err(ENOMEM);
        }
        let old_end = args.old + args.old_len;
        // With an old length of 0 a shared mapping is shown a second time.
        let copy_only = args.old_len == 0;
        let dont_unmap = args.flags & uapi::MREMAP_DONTUNMAP != 0;
        let locked = VmFlags(VmFlags::LOCKED.0 | VmFlags::LOCKONFAULT.0);
        let locked = inner.areas.containing(args.old).is_some_and(|slot| slot.value.flags.any(locked));
        if dont_unmap && !locked {
            // The mapping stays one.
            self.table.split_huge_at(args.old);
            self.table.split_huge_at(old_end);
        } else if !copy_only {
            split_at(&mut inner.areas, &self.table, args.old)?;
            split_at(&mut inner.areas, &self.table, old_end)?;
        }
        let slot = inner.areas.containing(args.old).ok_or(EFAULT)?;
        let flags = slot.value.flags;
        // As Linux: what stays and what came of it are two mappings, where they would be one without private pages.
        let touches = new == slot.end || slot.start == new + args.new_len;
        let apart = dont_unmap && touches && !slot.value.has_anon() && matches!(slot.value.backing, Backing::Anon);
        let mut vma = slot.value.copy_for(slot.start, args.old, args.old + args.new_len, &self.table)?;
        vma.grows();
        vma.moves_to(new);
        if let Some(link) = &vma.link {
            link.update(new, new + args.new_len, vma.pgoff);
        }
        let accounted = flags.any(VmFlags::ACCOUNT);
        if accounted {
            account::charge(args.new_len)?;
        }
        let mapping = vma.mapping().cloned();
        let relocate = |from, to| {
            let _moving = mapping.as_deref().map(Mapping::moving);
            self.table.move_range(from, to, args.old_len)
        };
        let undo = || {
            if accounted {
                account::uncharge(args.new_len);
            }
            // Pages that were moved go back to where they were, for which there are tables.
            let _ = relocate(new, args.old);
        };
        if let Err(error) = relocate(args.old, new) {
            undo();
            return Err(error);
        }
        if inner.areas.insert(new, new + args.new_len, vma).is_err() {
            undo();
            return Err(ENOMEM);
        }
        self.count(inner, flags, args.new_len, true);
        if dont_unmap {
            self.leave_behind(inner, args.old, old_end);
        } else if !copy_only {
            self.unmap_locked(inner, args.old, old_end, removed)?;
        }
        if !apart {
            let index = inner.areas.index(new);
            merge_changed(&mut inner.areas, index);
        }
        Ok(new)
    }

    /// What was at `[addr, end)` went elsewhere, the mapping stays; a locked one is in pieces already, and this piece is locked no more.
    /// If all of it went it has no private pages.
    fn leave_behind(&self, inner: &mut Inner, addr: usize, end: usize) {
        let index = inner.areas.index(addr);
        let Some(slot) = inner.areas.get(index) else { return };
        let (len, whole) = (slot.len(), (slot.start, slot.end) == (addr, end));
        let Some(vma) = inner.areas.value_mut(index) else { return };
        if whole {
            vma.set_anon(AnonId::NONE);
        }
        let flags = vma.flags.without(VmFlags(VmFlags::LOCKED.0 | VmFlags::LOCKONFAULT.0));
        let old = vma.set_flags(flags);
        self.count(inner, old, len, false);
        self.count(inner, flags, len, true);
    }
}

impl Mm {
    /// `remap_file_pages(2)` on `[start, start + size)`, page aligned: shows the file from page `pgoff` on there. EINVAL unless it is
    /// all one file's, shared. May sleep.
    pub(crate) fn remap_file_pages(&self, start: usize, size: usize, pgoff: u64, flags: u32) -> Result {
        let end = start.checked_add(size).filter(|end| *end > start).ok_or(EINVAL)?;
        pgoff.checked_add((size / PAGE_SIZE) as u64).ok_or(EINVAL)?;
        let (file, rights) = {
            let inner = self.inner.read();
            let first = inner.areas.containing(start).ok_or(EINVAL)?;
            let Backing::File(file) = &first.value.backing else { return Err(EINVAL) };
            let rights = first.value.flags;
            let alike = |slot: &range_map::Slot<kalloc::KBox<crate::vma::Vma>>| {
                let same = matches!(&slot.value.backing, Backing::File(other) if Arc::ptr_eq(file, other));
                same && slot.value.flags == rights
            };
            if !rights.any(VmFlags::SHARED)
                || !inner.areas.is_covered(start, end)
                || !inner.areas.overlapping(start, end).all(alike)
            {
                return Err(EINVAL);
            }
            (file.clone(), rights)
        };
        let prot = crate::flags::Prot((rights.0 & VmFlags::ACCESS.0) as u32);
        let locked = if rights.any(VmFlags::LOCKED) { uapi::MAP_LOCKED } else { 0 };
        let flags = flags & uapi::MAP_NONBLOCK | uapi::MAP_SHARED | uapi::MAP_FIXED | uapi::MAP_POPULATE | locked;
        let args = MapArgs { addr: start, len: size, prot, flags, file: Some(file), pgoff };
        self.mmap(args).map(drop)
    }
}

/// Whether the mapping may grow.
fn check_growth(inner: &Inner, args: &Args, end: usize) -> Result {
    let slot = inner.areas.containing(args.old).ok_or(EFAULT)?;
    let flags = slot.value.flags;
    if args.old_len > end - args.old {
        return Err(EFAULT);
    }
    if flags.any(VmFlags(VmFlags::DONTEXPAND.0 | VmFlags::PFNMAP.0)) {
        return Err(EFAULT);
    }
    if matches!(slot.value.backing, Backing::Special(_)) {
        return Err(EFAULT);
    }
    let grown = (args.new_len - args.old_len) / PAGE_SIZE;
    if flags.any(VmFlags::LOCKED) {
        let limit = rlimit::current(uapi::RLIMIT_MEMLOCK);
        let wanted = (inner.locked.saturating_add(grown) as u64).saturating_mul(PAGE_SIZE as u64);
        if wanted > limit && !cred::capable(cred::CAP_IPC_LOCK) {
            return Err(EAGAIN);
        }
    }
    check_room(inner, flags, grown)
}
