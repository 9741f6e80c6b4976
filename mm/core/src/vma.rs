// SPDX-License-Identifier: GPL-2.0
//! `Vma`: what one range of addresses is. The range itself is the key in the address space's `RangeMap`.

use crate::anon::AnonId;
use crate::exec::SpecialMapping;
use crate::file::VmFile;
use crate::flags::VmFlags;
use crate::mapping::{MapLink, Mapping};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use errno::Result;
use errno::code::{EINVAL, ENOMEM};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use mm_alloc::layout::PAGE_SHIFT;
use range_map::Slot;
use sync::{ClaimedMap, Pass};
use x86_mm::PageTable;

/// What is behind the pages.
#[derive(Clone)]
pub(crate) enum Backing {
    /// Zeros.
    Anon,
    /// A file, or shared memory.
    File(Arc<dyn VmFile>),
    /// Pages of the kernel's (vDSO).
    Special(Arc<SpecialMapping>),
}

impl Backing {
    /// The cached pages that the file has now.
    fn mapping(&self) -> Option<&Arc<Mapping>> {
        match self {
            Self::File(file) => file.mapping(),
            _ => None,
        }
    }
}

fn same(one: Option<&Arc<Mapping>>, other: Option<&Arc<Mapping>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// What a range of addresses is.
pub(crate) struct Vma {
    pub(crate) flags: VmFlags,
    /// Page of the file at the start; for anonymous memory the start's own page number when it was made, or when it was moved without
    /// private pages.
    pub(crate) pgoff: u64,
    pub(crate) backing: Backing,
    /// In the list of users of the mapping that the file had when it was mapped; that it may have another later (overlayfs) changes
    /// nothing here.
    pub(crate) link: Option<MapLink>,
    /// Which private pages are in there, if any may be ([`AnonId`]); then fork must copy entries.
    anon: AtomicU64,
    /// It was there when soft-dirty bits were cleared, so that only its entries say what was written since (else: everything).
    pub(crate) soft_clean: AtomicBool,
}

pub(crate) type Areas = ClaimedMap<Vma>;

/// One range with what it is, for who keeps it as it is.
#[derive(Clone, Copy)]
pub(crate) struct Area<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) vma: &'a Vma,
}

impl<'a> Area<'a> {
    /// By the lock.
    #[inline(always)]
    pub(crate) fn of(slot: &'a Slot<KBox<Vma>>) -> Self {
        Self { start: slot.start, end: slot.end, vma: &slot.value }
    }

    /// By a pass.
    #[inline(always)]
    pub(crate) fn by(pass: &'a Pass<'_, Vma>) -> Self {
        Self { start: pass.start(), end: pass.end(), vma: pass }
    }

    /// The page offset at `addr`.
    #[inline(always)]
    pub(crate) fn pgoff_at(&self, addr: usize) -> u64 {
        self.vma.pgoff_at(self.start, addr)
    }
}

impl Vma {
    /// A VMA for `[start, end)`, entered in the list of the mapping that its file has now.
    pub(crate) fn new(
        flags: VmFlags,
        pgoff: u64,
        backing: Backing,
        table: &Arc<PageTable>,
        start: usize,
        end: usize,
    ) -> Result<KBox<Self>> {
        let link = match backing.mapping() {
            Some(mapping) => Some(MapLink::new(mapping, table, start, end, pgoff)?),
            None => None,
        };
        Self::with_link(flags, pgoff, backing, link)
    }

    fn with_link(flags: VmFlags, pgoff: u64, backing: Backing, link: Option<MapLink>) -> Result<KBox<Self>> {
        let (anon, soft_clean) = (AtomicU64::new(0), AtomicBool::new(false));
        let vma = KBox::new(Self { flags, pgoff, backing, link, anon, soft_clean }, GFP_KERNEL)?;
        vma.tell_locked(VmFlags::NONE);
        if let Backing::File(file) = &vma.backing {
            file.mapped();
        }
        Ok(vma)
    }

    /// Gives it other flags.
    pub(crate) fn set_flags(&mut self, flags: VmFlags) -> VmFlags {
        let old = core::mem::replace(&mut self.flags, flags);
        self.tell_locked(old);
        old
    }

    /// Files know where their pages have to stay. `old`: the flags before.
    fn tell_locked(&self, old: VmFlags) {
        let locked = self.flags.any(VmFlags::LOCKED);
        if locked != old.any(VmFlags::LOCKED)
            && let Some(link) = &self.link
        {
            link.set_locked(locked);
        }
    }

    /// A copy for `[start, end)`, of which this one is for `[own_start, ..)`, in the address space of `table`.
    pub(crate) fn copy_for(
        &self,
        own_start: usize,
        start: usize,
        end: usize,
        table: &Arc<PageTable>,
    ) -> Result<KBox<Self>> {
        let pgoff = self.pgoff_at(own_start, start);
        let link = match self.mapping() {
            Some(mapping) => Some(MapLink::new(mapping, table, start, end, pgoff)?),
            None => None,
        };
        let copy = Self::with_link(self.flags, pgoff, self.backing.clone(), link)?;
        copy.set_anon(self.anon());
        copy.soft_clean.store(self.soft_clean.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(copy)
    }

    /// The page offset at `addr`, if this VMA starts at `start`.
    #[inline(always)]
    pub(crate) fn pgoff_at(&self, start: usize, addr: usize) -> u64 {
        self.pgoff.wrapping_add((addr.wrapping_sub(start) as isize >> PAGE_SHIFT) as u64)
    }

    /// The cached pages that are shown: those that the file had when it was mapped.
    #[inline(always)]
    pub(crate) fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.link.as_ref().map(|link| &link.mapping)
    }

    /// It is about to be moved to `start`. As in Linux, private memory without pages then is as if it had been made there.
    pub(crate) fn moves_to(&mut self, start: usize) {
        if matches!(self.backing, Backing::Anon) && !self.has_anon() {
            self.pgoff = (start >> PAGE_SHIFT) as u64;
        }
    }

    /// Which private pages it has.
    #[inline(always)]
    pub(crate) fn anon(&self) -> AnonId {
        AnonId::from_bits(self.anon.load(Ordering::Relaxed))
    }

    /// Whether there may be private pages.
    #[inline(always)]
    pub(crate) fn has_anon(&self) -> bool {
        !self.anon().is_none()
    }

    /// It gets its first private page, unless another thread's fault was first.
    pub(crate) fn be_anon(&self, anon: AnonId) {
        let _ = self.anon.compare_exchange(0, anon.bits(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Who has the address space to himself says what it has.
    pub(crate) fn set_anon(&self, anon: AnonId) {
        self.anon.store(anon.bits(), Ordering::Relaxed);
    }

    /// New addresses are about to belong to it, of which entries say nothing.
    pub(crate) fn grows(&self) {
        self.soft_clean.store(false, Ordering::Relaxed);
    }

    /// Whether a new mapping with these properties that begins with page `pgoff` continues this one, which ends where that begins.
    pub(crate) fn continues_with(&self, own_len: usize, flags: VmFlags, pgoff: u64, backing: &Backing) -> bool {
        self.is_alike(own_len, flags, pgoff, backing) && same(self.mapping(), backing.mapping())
    }

    /// Whether a new mapping of `len` bytes with these properties, which ends where this one begins, is continued by this one.
    pub(crate) fn follows(&self, len: usize, flags: VmFlags, pgoff: u64, backing: &Backing) -> bool {
        self.is_of(flags, backing)
            && pgoff.wrapping_add((len >> PAGE_SHIFT) as u64) == self.pgoff
            && same(self.mapping(), backing.mapping())
    }

    /// Whether `next`, which begins where this one ends, continues it.
    fn continues(&self, own_len: usize, next: &Self) -> bool {
        self.is_alike(own_len, next.flags, next.pgoff, &next.backing) && same(self.mapping(), next.mapping())
    }

    fn is_alike(&self, own_len: usize, flags: VmFlags, pgoff: u64, backing: &Backing) -> bool {
        // Private memory has no offset that could be seen: it keeps apart what was moved with pages.
        self.is_of(flags, backing) && self.pgoff.wrapping_add((own_len >> PAGE_SHIFT) as u64) == pgoff
    }

    fn is_of(&self, flags: VmFlags, backing: &Backing) -> bool {
        if self.flags != flags || flags.any(VmFlags(VmFlags::PFNMAP.0 | VmFlags::DONTEXPAND.0 | VmFlags::IO.0)) {
            return false;
        }
        match (&self.backing, backing) {
            (Backing::Anon, Backing::Anon) => true,
            (Backing::File(a), Backing::File(b)) => Arc::ptr_eq(a, b) && !a.counts_mappings(),
            _ => false,
        }
    }
}

impl Drop for Vma {
    fn drop(&mut self) {
        if let Backing::File(file) = &self.backing {
            file.unmapped();
        }
    }
}

/// Splits the range around `at` so that one begins there, if `at` is inside one. ENOMEM (also above the limit of mappings); EINVAL for
/// what only goes as a whole.
pub(crate) fn split_at(areas: &mut Areas, table: &Arc<PageTable>, at: usize) -> Result {
    let index = areas.index(at);
    let Some(slot) = areas.get(index) else { return Ok(()) };
    if slot.start >= at {
        return Ok(());
    }
    if areas.len() >= crate::mmap::max_map_count() {
        return Err(ENOMEM);
    }
    split_uncounted(areas, table, at)
}

/// [`split_at`] for who takes one of the parts away: the limit of mappings is the caller's matter.
pub(crate) fn split_uncounted(areas: &mut Areas, table: &Arc<PageTable>, at: usize) -> Result {
    let index = areas.index(at);
    let Some(slot) = areas.get(index) else { return Ok(()) };
    if slot.start >= at {
        return Ok(());
    }
    if matches!(slot.value.backing, Backing::Special(_)) {
        // As in Linux: the program is told of the vDSO as one piece.
        return Err(EINVAL);
    }
    let (start, end, pgoff) = (slot.start, slot.end, slot.value.pgoff);
    let mapping = slot.value.mapping().cloned();
    // Before anything that a fault may wait for, and before what a fault notes in it is copied.
    areas.claim(start, end);
    let _moving = mapping.as_deref().map(Mapping::moving);
    table.split_huge_at(at);
    let Some(slot) = areas.get(index) else { return Ok(()) };
    let upper = slot.value.copy_for(start, at, end, table)?;
    areas.split(index, at, upper).map_err(|_| ENOMEM)?;
    if let Some(link) = areas.get(index).and_then(|slot| slot.value.link.as_ref()) {
        link.update(start, at, pgoff);
    }
    Ok(())
}

/// Whether the range at `index`, were it to have `flags`, could become part of the one before it, and of the one behind it. `start` and
/// `end`: the part of it that is meant.
fn fits(areas: &Areas, index: usize, start: usize, end: usize, flags: VmFlags) -> (bool, bool) {
    let Some(slot) = areas.get(index) else { return (false, false) };
    let (vma, anon) = (&slot.value, slot.value.anon());
    let pgoff = vma.pgoff_at(slot.start, start);
    let previous = areas.before(index).filter(|previous| slot.start == start && previous.end == start);
    let next = areas.get(index + 1).filter(|next| slot.end == end && next.start == end);
    let mapping = vma.mapping();
    let before = previous.is_some_and(|Slot { value, .. }| anon.fits(value.anon()) && same(value.mapping(), mapping))
        && previous.is_some_and(|slot| slot.value.is_alike(slot.len(), flags, pgoff, &vma.backing));
    let after = next.is_some_and(|Slot { value, .. }| {
        let ends = pgoff.wrapping_add(((end - start) >> PAGE_SHIFT) as u64);
        anon.fits(value.anon())
            && same(value.mapping(), mapping)
            && value.is_of(flags, &vma.backing)
            && value.pgoff == ends
    });
    (before, after)
}

/// Whether `[start, end)` of the range at `index` becomes part of a neighbour if it gets `flags`: there is no mapping more then.
pub(crate) fn only_shifts(areas: &Areas, index: usize, start: usize, end: usize, flags: VmFlags) -> bool {
    let (before, after) = fits(areas, index, start, end, flags);
    before || after
}

/// Joins the range at `index`, which was changed or moved just now, with its neighbours where it fits: as in Linux, rather with the one
/// before it, if it is either.
pub(crate) fn merge_changed(areas: &mut Areas, index: usize) {
    let Some(slot) = areas.get(index) else { return };
    let (before, after) = fits(areas, index, slot.start, slot.end, slot.value.flags);
    let anon = |slot: Option<&Slot<KBox<Vma>>>| slot.map_or(AnonId::NONE, |slot| slot.value.anon());
    let both = anon(areas.before(index)).joins(anon(areas.get(index + 1)));
    if after && (!before || both) {
        merge_with_previous(areas, index + 1);
    }
    if before {
        merge_with_previous(areas, index);
    }
}

/// Joins the range at `index`, which was changed just now, with the one behind it if it fits.
pub(crate) fn merge_with_next(areas: &mut Areas, index: usize) {
    let Some(slot) = areas.get(index) else { return };
    if fits(areas, index, slot.start, slot.end, slot.value.flags).1 {
        merge_with_previous(areas, index + 1);
    }
}

/// Joins the range at `index` with the one before it, if they are alike and touch. Returns whether it did.
pub(crate) fn merge_with_previous(areas: &mut Areas, index: usize) -> bool {
    let (Some(previous), Some(slot)) = (areas.before(index), areas.get(index)) else { return false };
    let alike = previous.end == slot.start && previous.value.continues(previous.len(), &slot.value);
    if !alike {
        return false;
    }
    let (start, end) = (previous.start, slot.end);
    let (from, mapping) = (slot.start, slot.value.mapping().cloned());
    // As in `split_uncounted`. The one before only grows.
    areas.claim(from, end);
    let _moving = mapping.as_deref().map(Mapping::moving);
    let Some(slot) = areas.get(index) else { return false };
    let anon = slot.value.anon();
    let soft_clean = slot.value.soft_clean.load(Ordering::Relaxed);
    let removed = areas.remove(index);
    let before = index.saturating_sub(1);
    areas.set_bounds(before, start, end);
    if let Some(slot) = areas.get(before) {
        // It is not claimed: a fault may give it one of its own just now.
        if !anon.is_none() {
            slot.value.be_anon(anon);
        }
        if !soft_clean {
            slot.value.grows();
        }
        if let Some(link) = &slot.value.link {
            link.update(start, end, slot.value.pgoff);
        }
    }
    drop(removed);
    true
}
