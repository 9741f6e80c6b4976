// SPDX-License-Identifier: GPL-2.0
//! Free memory grouped by mobility (Linux's migrate types), so that what cannot be moved does not lie scattered between what can: memory
//! is divided into page blocks of 2 MB, each of which belongs to one kind of allocation, and an allocation takes pages of its own kind's
//! blocks as long as there are some. What is done when there are none is decided here; the lists are `mm_alloc::buddy`. No locks.

use crate::zone::MAX_ORDER;
use kalloc::Flags;
use kalloc::flags::{__GFP_MOVABLE, __GFP_RECLAIMABLE};

/// Binary logarithm of the pages of a page block.
pub const BLOCK_ORDER: usize = 9;
/// Pages of a page block.
pub const BLOCK_PAGES: usize = 1 << BLOCK_ORDER;

/// What can be done with the pages of a block. A block that nobody has said anything about is movable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mobility {
    /// Pages of programs and files: they can be moved.
    Movable,
    /// The kernel's own.
    Unmovable,
    /// The kernel's own, but it can give them up.
    Reclaimable,
    /// Being emptied: nothing is allocated here.
    Isolate,
}

impl Mobility {
    /// How many kinds there are.
    pub const COUNT: usize = 4;
    /// Kinds that can be allocated.
    pub const USED: usize = 3;
    /// All, in the order in which Linux shows them.
    pub const ALL: [Self; Self::COUNT] = [Self::Unmovable, Self::Movable, Self::Reclaimable, Self::Isolate];

    /// What an allocation is.
    #[inline(always)]
    pub const fn of(flags: Flags) -> Self {
        if flags.contains(__GFP_MOVABLE) {
            Self::Movable
        } else if flags.contains(__GFP_RECLAIMABLE) {
            Self::Reclaimable
        } else {
            Self::Unmovable
        }
    }

    /// From its number.
    #[inline(always)]
    pub const fn from_raw(number: u8) -> Self {
        match number & 3 {
            0 => Self::Movable,
            1 => Self::Unmovable,
            2 => Self::Reclaimable,
            _ => Self::Isolate,
        }
    }

    /// Linux's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Movable => "Movable",
            Self::Unmovable => "Unmovable",
            Self::Reclaimable => "Reclaimable",
            Self::Isolate => "Isolate",
        }
    }

    /// Whose blocks an allocation takes when its own kind has none, in order.
    pub const fn fallbacks(self) -> [Self; 2] {
        match self {
            Self::Unmovable => [Self::Reclaimable, Self::Movable],
            Self::Reclaimable => [Self::Unmovable, Self::Movable],
            Self::Movable | Self::Isolate => [Self::Reclaimable, Self::Unmovable],
        }
    }
}

/// A free block of another kind that an allocation may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fallback {
    /// Its order.
    pub order: usize,
    /// The list that it is on.
    pub from: Mobility,
    /// Whether all that is free in its page block comes along.
    pub whole: bool,
}

/// Whether an allocation that takes a free block of `order` of another kind takes all that is free around it, too: what is large, so that
/// its next allocations need no third block, and whatever cannot be moved, so that it fills this block before it spoils another.
const fn takes_whole(order: usize, kind: Mobility) -> bool {
    order >= BLOCK_ORDER / 2 || matches!(kind, Mobility::Unmovable | Mobility::Reclaimable)
}

/// Where an allocation of 2^`order` pages of a kind whose lists have none is to come from; `has` says what lists have. The largest block
/// is best, since it spoils fewest of others' blocks; for what can be moved, and so spoils nothing, the smallest, if only that is taken.
pub fn find_fallback(order: usize, kind: Mobility, has: impl Fn(usize, Mobility) -> bool) -> Option<Fallback> {
    let at = |at: usize| kind.fallbacks().into_iter().find(|from| has(at, *from)).map(|from| (at, from));
    let (mut found, mut from) = (order..=MAX_ORDER).rev().find_map(at)?;
    let mut whole = takes_whole(found, kind);
    if !whole && kind == Mobility::Movable && found > order {
        (found, from) = (order..=MAX_ORDER).find_map(at)?;
        whole = takes_whole(found, kind);
    }
    Some(Fallback { order: found, from, whole })
}

/// Whether a page block of kind `old`, of which `free` pages were free and `movable` can be moved, belongs to `kind` from now on, which
/// took what was free: if at least half of it is free or alike.
pub const fn changes_hands(kind: Mobility, old: Mobility, free: usize, movable: usize) -> bool {
    let alike = match (kind, old) {
        (Mobility::Movable, _) => movable,
        // What is in use in a movable block and is not movable.
        (_, Mobility::Movable) => BLOCK_PAGES.saturating_sub(free + movable),
        // Who knows: the kernel's, in any case.
        _ => 0,
    };
    free + alike >= BLOCK_PAGES / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_come_back() {
        for kind in Mobility::ALL {
            assert_eq!(Mobility::from_raw(kind as u8), kind);
            assert!(!kind.fallbacks().contains(&kind) && !kind.fallbacks().contains(&Mobility::Isolate));
        }
        assert_eq!(Mobility::of(__GFP_MOVABLE), Mobility::Movable);
        assert_eq!(Mobility::of(__GFP_RECLAIMABLE), Mobility::Reclaimable);
        assert_eq!(Mobility::of(kalloc::flags::GFP_KERNEL), Mobility::Unmovable);
    }

    #[test]
    fn the_kernel_takes_the_largest() {
        let has = |order, kind| kind == Mobility::Movable && [2, 5, 10].contains(&order);
        let found = find_fallback(0, Mobility::Unmovable, has);
        assert_eq!(found, Some(Fallback { order: 10, from: Mobility::Movable, whole: true }));
        // Programs take a little of what is little.
        let has = |order, kind| kind == Mobility::Unmovable && [1, 3].contains(&order);
        let found = find_fallback(0, Mobility::Movable, has);
        assert_eq!(found, Some(Fallback { order: 1, from: Mobility::Unmovable, whole: false }));
    }

    #[test]
    fn half_is_enough() {
        assert!(changes_hands(Mobility::Unmovable, Mobility::Movable, 256, 256));
        assert!(!changes_hands(Mobility::Unmovable, Mobility::Movable, 100, 400));
        assert!(changes_hands(Mobility::Unmovable, Mobility::Movable, 1, 200));
        assert!(changes_hands(Mobility::Movable, Mobility::Unmovable, 6, 250));
        assert!(!changes_hands(Mobility::Reclaimable, Mobility::Unmovable, 255, 0));
    }

    proptest! {
        /// Something is found if and only if a list that may be asked has something large enough, and it is what that list has.
        #[test]
        fn what_is_found_is_there(order in 0..=MAX_ORDER, kind in 0u8..3, lists in any::<[[bool; MAX_ORDER + 1]; 4]>()) {
            let kind = Mobility::from_raw(kind);
            let has = |order: usize, kind: Mobility| lists[kind as usize][order];
            let any = (order..=MAX_ORDER).any(|at| kind.fallbacks().into_iter().any(|from| has(at, from)));
            let found = find_fallback(order, kind, has);
            prop_assert_eq!(found.is_some(), any);
            if let Some(found) = found {
                prop_assert!(found.order >= order && has(found.order, found.from) && found.from != kind);
                prop_assert!(kind == Mobility::Movable || found.whole);
            }
        }
    }
}
