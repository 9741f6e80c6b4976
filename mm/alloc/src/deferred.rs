// SPDX-License-Identifier: GPL-2.0
//! Frame records made when they are wanted. A section that was all free memory at boot gets its records, in its own first 2 MB, when
//! its zone runs short; until then it is only counted. So a machine of 64 GB starts like one of 1 GB.
//!
//! Lock: `POPULATE` (spin, interrupts off), outermost in this crate: around making one section's records, a few dozen
//! microseconds once in 126 MB of allocations.

use crate::buddy::{self, ZoneId};
use crate::frame::{Frame, SECTION_FRAMES};
use crate::layout::{PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PhysAddr, VMEMMAP_START, phys_to_virt};
use crate::memblock::{self, MAX_SECTIONS};
use crate::{kpt, mem};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use locking::SpinLock;

type Bits = [AtomicU64; MAX_SECTIONS / 64];

/// Sections whose frames have records.
static READY: Bits = [const { AtomicU64::new(0) }; MAX_SECTIONS / 64];
/// Sections of free memory without records.
static DEFERRED: Bits = [const { AtomicU64::new(0) }; MAX_SECTIONS / 64];
/// How many there are of them, by zone.
static LEFT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static POPULATE: SpinLock<()> = SpinLock::new(());

/// First section above 4 GB.
const NORMAL_SECTION: usize = (1 << (32 - PAGE_SHIFT)) / SECTION_FRAMES;

fn has(bits: &Bits, section: usize) -> bool {
    bits.get(section / 64).is_some_and(|word| word.load(Ordering::Acquire) & (1 << (section % 64)) != 0)
}

fn set(bits: &Bits, section: usize) {
    if let Some(word) = bits.get(section / 64) {
        word.fetch_or(1 << (section % 64), Ordering::Release);
    }
}

/// Whether the frames of a section have records.
#[inline]
pub fn section_ready(section: usize) -> bool {
    has(&READY, section)
}

/// Whether a section is free memory without records.
pub(crate) fn is_deferred(section: usize) -> bool {
    has(&DEFERRED, section)
}

fn left(id: ZoneId) -> &'static AtomicUsize {
    let [normal, dma32] = &LEFT;
    match id {
        ZoneId::Normal => normal,
        // The first section holds the kernel or what the firmware keeps, and is never deferred; nor is so the lowest zone.
        ZoneId::Dma32 | ZoneId::Dma => dma32,
    }
}

fn start_of(section: usize) -> PhysAddr {
    ((section * SECTION_FRAMES) as PhysAddr) << PAGE_SHIFT
}

/// Maps and clears the records of the sections that are not all free, at boot; the others are noted.
pub(crate) fn map_memmap() -> errno::Result {
    for section in (0..MAX_SECTIONS).filter(|section| memblock::section_present(*section)) {
        kpt::prepare_huge(VMEMMAP_START + section * PMD_SIZE)?;
    }
    // Each section's records are taken from some section, which is then not all free any more.
    loop {
        let mut changed = false;
        for section in (0..MAX_SECTIONS).filter(|section| memblock::section_present(*section)) {
            if section_ready(section) || memblock::is_all_free(start_of(section), start_of(section + 1)) {
                continue;
            }
            let phys = memblock::alloc(PMD_SIZE, PMD_SIZE).ok_or(errno::code::ENOMEM)?;
            make_records(section, phys)?;
            changed = true;
        }
        if !changed {
            break;
        }
    }
    for section in (0..MAX_SECTIONS).filter(|section| memblock::section_present(*section)) {
        if !section_ready(section) {
            set(&DEFERRED, section);
            let id = if section < NORMAL_SECTION { ZoneId::Dma32 } else { ZoneId::Normal };
            left(id).fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Clears `phys` and makes it the records of `section`.
fn make_records(section: usize, phys: PhysAddr) -> errno::Result {
    for at in (0..PMD_SIZE).step_by(PAGE_SIZE) {
        // SAFETY: Free memory that was just taken for this, mapped by the direct map.
        unsafe { mem::clear_page(phys_to_virt(phys + at as u64)) };
    }
    kpt::map_huge(VMEMMAP_START + section * PMD_SIZE, phys, kpt::Prot::RW)?;
    set(&READY, section);
    Ok(())
}

/// Makes the records of one more section of a zone and gives its memory to the zone. False if there is none left.
#[inline]
pub(crate) fn populate(id: ZoneId) -> bool {
    if id == ZoneId::Dma || left(id).load(Ordering::Relaxed) == 0 {
        return false;
    }
    populate_slow(id)
}

#[cold]
#[inline(never)]
fn populate_slow(id: ZoneId) -> bool {
    let _populating = POPULATE.lock_irqsave();
    let range = match id {
        ZoneId::Dma32 | ZoneId::Dma => 0..NORMAL_SECTION,
        ZoneId::Normal => NORMAL_SECTION..MAX_SECTIONS,
    };
    let Some(section) = next_deferred(range) else { return false };
    if let Some(word) = DEFERRED.get(section / 64) {
        word.fetch_and(!(1 << (section % 64)), Ordering::Relaxed);
    }
    left(id).fetch_sub(1, Ordering::Relaxed);
    if make_records(section, start_of(section)).is_err() {
        // Its table was made at boot, so this cannot be; the memory would stay unused.
        return false;
    }
    let first = section * SECTION_FRAMES;
    buddy::add_populated(id, first, first + SECTION_FRAMES, PMD_SIZE / PAGE_SIZE);
    true
}

/// The lowest deferred section of a range that starts and ends at whole words' multiples of 32 or more.
fn next_deferred(range: core::ops::Range<usize>) -> Option<usize> {
    let mut at = range.start;
    while at < range.end {
        let word = DEFERRED.get(at / 64)?.load(Ordering::Relaxed) >> (at % 64);
        if word != 0 {
            let found = at + word.trailing_zeros() as usize;
            return (found < range.end).then_some(found);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

const _: () = assert!(SECTION_FRAMES * size_of::<Frame>() == PMD_SIZE);
