// SPDX-License-Identifier: GPL-2.0
//! `mmap`: checks, a place, a new range or a longer neighbour. Source: `mmap(2)`.

use crate::account;
use crate::anon::AnonId;
use crate::file::{MmapRequest, VmFile};
use crate::flags::{Prot, VmFlags};
use crate::layout::{BOTTOM, STACK_GUARD_GAP, mmap_min_addr};
use crate::lock::POLITE;
use crate::mm_struct::{Inner, Mm};
use crate::shmem::anon_shared;
use crate::unmap::Removed;
use crate::vma::{Backing, Vma, merge_with_previous};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::Arc;
use mm_alloc::layout::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_align};

/// Most mappings of an address space (`vm.max_map_count`).
pub static MAX_MAP_COUNT: AtomicU32 = AtomicU32::new(65530);

/// Most mappings now.
pub(crate) fn max_map_count() -> usize {
    MAX_MAP_COUNT.load(Ordering::Relaxed) as usize
}

/// Flags that `MAP_SHARED` and `MAP_PRIVATE` have always taken, whatever they mean (`LEGACY_MAP_MASK`).
const LEGACY: u32 = uapi::MAP_SHARED
    | uapi::MAP_PRIVATE
    | uapi::MAP_FIXED
    | uapi::MAP_ANONYMOUS
    | uapi::MAP_DENYWRITE
    | uapi::MAP_EXECUTABLE
    | uapi::MAP_UNINITIALIZED
    | uapi::MAP_GROWSDOWN
    | uapi::MAP_LOCKED
    | uapi::MAP_NORESERVE
    | uapi::MAP_POPULATE
    | uapi::MAP_NONBLOCK
    | uapi::MAP_STACK
    | uapi::MAP_HUGETLB
    | uapi::MAP_32BIT
    | (uapi::MAP_HUGE_MASK << uapi::MAP_HUGE_SHIFT);

/// What `mmap` is asked for.
pub(crate) struct MapArgs {
    pub(crate) addr: usize,
    pub(crate) len: usize,
    pub(crate) prot: Prot,
    pub(crate) flags: u32,
    pub(crate) file: Option<Arc<dyn VmFile>>,
    pub(crate) pgoff: u64,
}

/// What was decided about a new mapping.
struct Plan {
    flags: VmFlags,
    pgoff: u64,
    backing: Backing,
}

impl Mm {
    /// `mmap(2)` but for finding the file. May sleep. Errors as there.
    pub(crate) fn mmap(&self, mut args: MapArgs) -> Result<usize> {
        if self.reads_execute(args.prot) && args.file.as_ref().is_none_or(|file| file.may_exec()) {
            args.prot.0 |= uapi::PROT_EXEC;
        }
        let len = page_align(args.len);
        if args.flags & uapi::MAP_HUGETLB != 0 || args.len == 0 {
            return Err(EINVAL);
        }
        if len == 0 || len > TASK_SIZE {
            return Err(ENOMEM);
        }
        let pages = (len >> PAGE_SHIFT) as u64;
        if args.pgoff.checked_add(pages).is_none() {
            return Err(EOVERFLOW);
        }
        let plan = match plan(&args, len) {
            Ok(plan) => plan,
            Err(error) => {
                self.check_place(&args, len)?;
                return Err(error);
            }
        };
        let mut removed = Removed::new();
        let mut tries = 0..POLITE;
        let (mut inner, addr, flags) = loop {
            let mut inner = match args.flags & uapi::MAP_FIXED {
                0 => self.inner.write_some(),
                _ => self.inner.write_range(args.addr, args.addr.saturating_add(len)),
            };
            // As Linux, before anything is unmapped, and one more than the setting says.
            if inner.areas.len() > max_map_count() {
                return Err(ENOMEM);
            }
            let addr = place(&mut inner, &args, len)?;
            let mut flags = plan.flags.with(inner.default_flags);
            if args.prot == Prot(uapi::PROT_EXEC)
                && let Some(key) = self.execute_only_key(&mut inner.keys)
            {
                flags = flags.with_key(key);
            }
            check_limits(&inner, flags, len)?;
            let Some((low, high)) = joins(&inner, addr + len, flags) else { break (inner, addr, flags) };
            if tries.next().is_none() || inner.areas.try_claim(low, high) {
                break (inner, addr, flags);
            }
            drop(inner);
            self.inner.wait_unused(low, high);
        };
        if args.flags & uapi::MAP_FIXED != 0 {
            self.unmap_locked(&mut inner, addr, addr + len, &mut removed)?;
        }
        let charged = flags.any(VmFlags::ACCOUNT);
        if charged {
            account::charge(len)?;
        }
        if let Err(error) = self.enter(&mut inner, addr, len, flags, plan) {
            if charged {
                account::uncharge(len);
            }
            return Err(error);
        }
        self.count(&mut inner, flags, len, true);
        drop(inner);
        drop(removed);
        let populate = args.flags & (uapi::MAP_POPULATE | uapi::MAP_NONBLOCK) == uapi::MAP_POPULATE;
        if populate || flags.any(VmFlags::LOCKED) && !flags.any(VmFlags::LOCKONFAULT) {
            // As Linux: what cannot be brought in now faults later.
            self.populate(addr, addr + len, flags.any(VmFlags::WRITE) && !flags.any(VmFlags::SHARED));
        }
        Ok(addr)
    }

    /// What is wrong with the place or with locking counts before what is wrong with the file.
    fn check_place(&self, args: &MapArgs, len: usize) -> Result {
        let fixed = args.flags & (uapi::MAP_FIXED | uapi::MAP_FIXED_NOREPLACE) != 0;
        if !fixed && args.flags & uapi::MAP_LOCKED == 0 {
            return Ok(());
        }
        let inner = self.inner.read();
        if fixed {
            fixed_place(&inner, args, len)?;
        }
        let locked = if args.flags & uapi::MAP_LOCKED != 0 { VmFlags::LOCKED } else { VmFlags(0) };
        check_locked(&inner, locked.with(inner.default_flags), len)
    }

    /// Puts a mapping into the free range, joined with its neighbours where they are alike.
    fn enter(&self, inner: &mut Inner, addr: usize, len: usize, flags: VmFlags, plan: Plan) -> Result {
        let Plan { pgoff, backing, .. } = plan;
        let pgoff = if matches!(backing, Backing::Anon) { (addr >> PAGE_SHIFT) as u64 } else { pgoff };
        let index = inner.areas.index(addr);
        // As Linux: first the one behind it, then the one before both.
        let next = inner.areas.get(index).filter(|next| next.start == addr + len).map(|next| &next.value);
        let next = next.filter(|next| AnonId::NONE.fits(next.anon()) && next.follows(len, flags, pgoff, &backing));
        let (joins_next, anon) = (next.is_some(), next.map_or(AnonId::NONE, |next| next.anon()));
        if let Some(previous) = inner.areas.before(index)
            && previous.end == addr
            && anon.fits(previous.value.anon())
            && previous.value.continues_with(previous.len(), flags, pgoff, &backing)
        {
            previous.value.grows();
            let (start, before) = (previous.start, index - 1);
            inner.areas.set_bounds(before, start, addr + len);
            if let Some(slot) = inner.areas.get(before)
                && let Some(link) = &slot.value.link
            {
                link.update(start, addr + len, slot.value.pgoff);
            }
            if joins_next {
                merge_with_previous(&mut inner.areas, index);
            }
            return Ok(());
        }
        let vma = Vma::new(flags, pgoff, backing, &self.table, addr, addr + len)?;
        let index = inner.areas.insert(addr, addr + len, vma).map_err(|_| ENOMEM)?;
        if joins_next {
            merge_with_previous(&mut inner.areas, index + 1);
        }
        Ok(())
    }
}

/// The mapping that begins at `end` and may become part of one with these flags that ends there, if faults have passes.
fn joins(inner: &Inner, end: usize, flags: VmFlags) -> Option<(usize, usize)> {
    if !inner.areas.is_open() {
        return None;
    }
    let next = inner.areas.find(end)?;
    (next.start == end && next.value.flags == flags).then_some((next.start, next.end))
}

/// Checks flags against the file; what the mapping will be.
fn plan(args: &MapArgs, len: usize) -> Result<Plan> {
    let mut flags = VmFlags(args.prot.to_flags().0 | VmFlags::MAYREAD.0 | VmFlags::MAYWRITE.0 | VmFlags::MAYEXEC.0);
    if args.flags & uapi::MAP_GROWSDOWN != 0 {
        flags = flags.with(VmFlags::GROWSDOWN);
    }
    if args.flags & uapi::MAP_LOCKED != 0 {
        flags = flags.with(VmFlags::LOCKED);
    }
    let shared = match args.flags & uapi::MAP_TYPE {
        uapi::MAP_PRIVATE => false,
        uapi::MAP_SHARED => true,
        uapi::MAP_SHARED_VALIDATE if args.file.is_some() => {
            if args.flags & !LEGACY & !uapi::MAP_SHARED_VALIDATE != 0 {
                return Err(EOPNOTSUPP);
            }
            true
        }
        _ => return Err(EINVAL),
    };
    // Where every promise is kept, none is left out.
    if args.flags & uapi::MAP_NORESERVE != 0 && !account::is_strict() {
        flags = flags.with(VmFlags::NORESERVE);
    }
    let mut backing = Backing::Anon;
    let mut pgoff = args.pgoff;
    match &args.file {
        Some(file) => {
            flags = file_flags(&**file, flags, shared)?;
            let request = MmapRequest { pgoff, len, shared, write: flags.any(VmFlags::WRITE) };
            file.mmap(&request)?;
            backing = Backing::File(file.clone());
        }
        None if shared => {
            if flags.any(VmFlags::GROWSDOWN) {
                return Err(EINVAL);
            }
            flags = flags.with(VmFlags(VmFlags::SHARED.0 | VmFlags::MAYSHARE.0));
            pgoff = 0;
            backing = Backing::File(anon_shared(len as u64)?);
        }
        None => {}
    }
    // Shared memory is promised too: nothing else holds it.
    let shared_memory = args.file.is_none() && shared && !flags.any(VmFlags::NORESERVE);
    if flags.is_accountable() || shared_memory {
        flags = flags.with(VmFlags::ACCOUNT);
    }
    Ok(Plan { flags, pgoff, backing })
}

/// What the file's own mode allows.
fn file_flags(file: &dyn VmFile, mut flags: VmFlags, shared: bool) -> Result<VmFlags> {
    if shared {
        if flags.any(VmFlags::WRITE) && !file.writable() {
            return Err(EACCES);
        }
        flags = flags.with(VmFlags(VmFlags::SHARED.0 | VmFlags::MAYSHARE.0));
        if !file.writable() {
            // Shown as private, as Linux does: it can never be written through.
            flags = flags.without(VmFlags(VmFlags::MAYWRITE.0 | VmFlags::SHARED.0));
        }
    }
    if !file.readable() {
        return Err(EACCES);
    }
    if !file.may_exec() {
        if flags.any(VmFlags::EXEC) {
            return Err(EPERM);
        }
        flags = flags.without(VmFlags::MAYEXEC);
    }
    if flags.any(VmFlags::GROWSDOWN) {
        return Err(EINVAL);
    }
    Ok(flags)
}

/// Where a mapping goes whose place is given.
fn fixed_place(inner: &Inner, args: &MapArgs, len: usize) -> Result<usize> {
    if args.addr > TASK_SIZE - len {
        return Err(ENOMEM);
    }
    if args.addr & !PAGE_MASK != 0 {
        return Err(EINVAL);
    }
    if args.addr < mmap_min_addr() && !cred::capable(cred::CAP_SYS_RAWIO) {
        return Err(EPERM);
    }
    if args.flags & uapi::MAP_FIXED_NOREPLACE != 0 && !inner.areas.is_free(args.addr, args.addr + len) {
        return Err(EEXIST);
    }
    Ok(args.addr)
}

/// Where the mapping goes.
fn place(inner: &mut Inner, args: &MapArgs, len: usize) -> Result<usize> {
    if args.flags & (uapi::MAP_FIXED | uapi::MAP_FIXED_NOREPLACE) != 0 {
        return fixed_place(inner, args, len);
    }
    if args.flags & uapi::MAP_32BIT != 0 {
        // As Linux: the second gigabyte, from below.
        return inner.areas.hole_above(len, 0x4000_0000, 0x8000_0000).ok_or(ENOMEM);
    }
    pick(inner, args.addr, len)
}

/// A free place for `len` bytes, at `hint` if that is free.
pub(crate) fn pick(inner: &mut Inner, hint: usize, len: usize) -> Result<usize> {
    if hint != 0 {
        // A hint below the minimum is rounded up to it.
        let addr = page_align(hint).max(mmap_min_addr());
        if addr <= TASK_SIZE - len && fits(inner, addr, addr + len) {
            return Ok(addr);
        }
    }
    if inner.places.bottom_up {
        return pick_above(inner, inner.places.mmap_base, len);
    }
    let mut high = inner.places.mmap_base;
    while let Some(addr) = inner.areas.hole_below(len, mmap_min_addr(), high) {
        if fits(inner, addr, addr + len) {
            return Ok(addr);
        }
        // In the gap below a stack: further down.
        high = match inner.areas.find(addr + len) {
            Some(stack) => stack.start.saturating_sub(STACK_GUARD_GAP).min(high),
            None => break,
        };
    }
    // Linux then goes bottom up, through what is above the base too.
    pick_above(inner, BOTTOM, len)
}

/// The lowest free place from `low` on.
fn pick_above(inner: &Inner, mut low: usize, len: usize) -> Result<usize> {
    while let Some(addr) = inner.areas.hole_above(len, low, TASK_SIZE) {
        if fits(inner, addr, addr + len) {
            return Ok(addr);
        }
        // In the gap below a stack: behind it.
        low = inner.areas.find(addr).ok_or(ENOMEM)?.end;
    }
    Err(ENOMEM)
}

/// Whether `[start, end)` is free and keeps clear of the gap below a stack.
fn fits(inner: &Inner, start: usize, end: usize) -> bool {
    match inner.areas.find(start) {
        Some(next) if next.value.flags.any(VmFlags::GROWSDOWN) => next.start.saturating_sub(STACK_GUARD_GAP) >= end,
        Some(next) => next.start >= end,
        None => true,
    }
}

/// Resource limits and locking rights.
fn check_limits(inner: &Inner, flags: VmFlags, len: usize) -> Result {
    check_locked(inner, flags, len)?;
    check_room(inner, flags, len / PAGE_SIZE)
}

/// RLIMIT_MEMLOCK, if the mapping is to be locked.
fn check_locked(inner: &Inner, flags: VmFlags, len: usize) -> Result {
    let pages = len / PAGE_SIZE;
    if flags.any(VmFlags::LOCKED) {
        let limit = rlimit::current(uapi::RLIMIT_MEMLOCK);
        let privileged = cred::capable(cred::CAP_IPC_LOCK);
        if limit == 0 && !privileged {
            return Err(EPERM);
        }
        let wanted = (inner.locked.saturating_add(pages) as u64).saturating_mul(PAGE_SIZE as u64);
        if wanted > limit && !privileged {
            return Err(EAGAIN);
        }
    }
    Ok(())
}

/// RLIMIT_AS and RLIMIT_DATA for `pages` more. ENOMEM.
pub(crate) fn check_room(inner: &Inner, flags: VmFlags, pages: usize) -> Result {
    let over = |now: usize, resource: u32| {
        let limit = rlimit::current(resource);
        limit != rlimit::INFINITY && (now.saturating_add(pages) as u64).saturating_mul(PAGE_SIZE as u64) > limit
    };
    if over(inner.total, uapi::RLIMIT_AS) || flags.is_data() && over(inner.data, uapi::RLIMIT_DATA) {
        return Err(ENOMEM);
    }
    Ok(())
}
