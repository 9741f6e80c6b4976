// SPDX-License-Identifier: GPL-2.0
//! Which private pages belong together: what Linux's `anon_vma` says of a mapping, as far as programs can see it, which is in what joins.
//! A mapping gets an identity with its first private page: that of a neighbour that it could be one with but for rights, or a new one.
//! Parts that are split off keep it. A child's mappings have new ones, each its own, which are marked as inherited: nothing that is added
//! joins them.
//!
//! Locks: the address space's, shared, or passes.

use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::{Area, Areas, Backing, Vma};
use core::sync::atomic::Ordering;
use kalloc::Arc;
use mm_alloc::layout::PAGE_SHIFT;

/// An identity within an address space: a number and the mark, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AnonId(u64);

impl AnonId {
    /// Without private pages.
    pub(crate) const NONE: Self = Self(0);
    /// Came by `fork`.
    const INHERITED: u64 = 1;

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether others may be given it (`list_is_singular`).
    const fn is_own(self) -> bool {
        self.0 != 0 && self.0 & Self::INHERITED == 0
    }

    /// Whether something with this identity, that was changed, moved or made just now, may become part of `neighbour`.
    pub(crate) fn fits(self, neighbour: Self) -> bool {
        self == neighbour || self.is_none() && neighbour.is_own()
    }

    /// Whether both may be in one mapping, what is between them too.
    pub(crate) fn joins(self, other: Self) -> bool {
        self == other || self.is_none() || other.is_none()
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl Mm {
    fn fresh_anon(&self) -> u64 {
        self.anon_ids.fetch_add(1, Ordering::Relaxed).wrapping_add(1) << 1
    }

    /// What a child's mapping has whose parent's has private pages.
    pub(crate) fn inherited_anon(&self) -> AnonId {
        AnonId(self.fresh_anon() | AnonId::INHERITED)
    }

    /// A private page is being mapped, and the neighbours are not known.
    #[inline(always)]
    pub(crate) fn note_anon(&self, vma: &Vma) {
        if vma.anon().is_none() {
            vma.be_anon(AnonId(self.fresh_anon()));
        }
    }

    /// The mapping of `addr` is about to get a private page.
    #[cold]
    #[inline(never)]
    pub(crate) fn prepare_anon(&self, areas: &Areas, addr: usize) {
        let index = areas.index(addr);
        let Some(slot) = areas.get(index).filter(|slot| slot.value.anon().is_none()) else { return };
        let seen = |slot| Seen::of(Area::of(slot));
        let neighbours = [areas.get(index + 1).map(seen), index.checked_sub(1).and_then(|at| areas.get(at)).map(seen)];
        slot.value.be_anon(self.anon_beside(seen(slot), neighbours));
    }

    /// As [`Self::prepare_anon`], by passes, of which there is one at a time. If somebody changes the neighbours they have nothing to
    /// say.
    #[cold]
    #[inline(never)]
    pub(crate) fn prepare_anon_by_pass(&self, addr: usize) {
        let at = |addr| self.inner.pass(addr).map(|pass| Seen::of(Area::by(&pass)));
        let Some(own) = at(addr) else { return };
        let neighbours = [at(own.end), own.start.checked_sub(1).and_then(at)];
        let anon = self.anon_beside(own, neighbours);
        if let Some(pass) = self.inner.pass(addr) {
            pass.be_anon(anon);
        }
    }

    /// What a mapping gets between these neighbours, the one behind it first.
    fn anon_beside(&self, own: Seen, neighbours: [Option<Seen>; 2]) -> AnonId {
        let fits = |seen: &Seen| seen.anon.is_own() && (own.could_go_on_in(seen) || seen.could_go_on_in(&own));
        match neighbours.into_iter().flatten().find(fits) {
            Some(seen) => seen.anon,
            None => AnonId(self.fresh_anon()),
        }
    }
}

/// What was seen of a mapping.
#[derive(Clone, Copy)]
struct Seen {
    start: usize,
    end: usize,
    flags: VmFlags,
    pgoff: u64,
    /// Which file; 0 for none, and nothing for what has no private pages.
    file: Option<usize>,
    anon: AnonId,
}

impl Seen {
    fn of(area: Area<'_>) -> Self {
        let file = match &area.vma.backing {
            Backing::Anon => Some(0),
            Backing::File(file) => Some(Arc::as_ptr(file).addr()),
            Backing::Special(_) => None,
        };
        let (flags, pgoff) = (area.vma.flags, area.vma.pgoff);
        Self { start: area.start, end: area.end, flags, pgoff, file, anon: area.vma.anon() }
    }

    /// Whether `next` goes on where this one ends, and could be one with it if the rights were the same.
    fn could_go_on_in(&self, next: &Self) -> bool {
        self.end == next.start
            && (self.flags.0 ^ next.flags.0) & !VmFlags::ACCESS.0 == 0
            && self.file.is_some()
            && self.file == next.file
            && self.pgoff.wrapping_add(((self.end - self.start) >> PAGE_SHIFT) as u64) == next.pgoff
    }
}

impl Vma {
    /// Whether a write that is allowed makes its first private page.
    #[inline(always)]
    pub(crate) fn lacks_anon(&self) -> bool {
        self.anon().is_none() && self.flags.0 & (VmFlags::SHARED.0 | VmFlags::WRITE.0) == VmFlags::WRITE.0
    }
}
