// SPDX-License-Identifier: GPL-2.0
//! Frame records made when they are wanted. A section that was all free memory at boot gets its records, in its own first 2 MB, when
//! its zone runs short; until then it is only counted. So a machine of 64 GB starts like one of 1 GB.
//!
//! Lock: `POPULATE` (spin, interrupts off), outermost in this crate: around making one section's records, a few dozen
//! microseconds once in 126 MB of allocations.

use crate::buddy::{self, ZoneId};
use crate::frame::{Frame, SECTION_FRAMES};
use crate::layout::{PAGE_SIZE, PMD_SIZE, PhysAddr, VMEMMAP_START, phys_to_virt};
use crate::memblock::{self, MAX_SECTIONS};
use crate::{kpt, mem};
use locking::SpinLock;
use mm_base::sections::{self, start_of};

pub(crate) use sections::is_deferred;
pub use sections::section_ready;

static POPULATE: SpinLock<()> = SpinLock::new(());

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
            sections::set_deferred(section);
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
    sections::set_ready(section);
    Ok(())
}

/// Makes the records of one more section of a zone and gives its memory to the zone. False if there is none left.
#[inline]
pub(crate) fn populate(id: ZoneId) -> bool {
    if !sections::any_deferred(id) {
        return false;
    }
    populate_slow(id)
}

#[cold]
#[inline(never)]
fn populate_slow(id: ZoneId) -> bool {
    let _populating = POPULATE.lock_irqsave();
    let Some(section) = sections::take_deferred(id) else { return false };
    if make_records(section, start_of(section)).is_err() {
        // Its table was made at boot, so this cannot be; the memory would stay unused.
        return false;
    }
    let first = section * SECTION_FRAMES;
    buddy::add_populated(id, first, first + SECTION_FRAMES, PMD_SIZE / PAGE_SIZE);
    true
}

const _: () = assert!(SECTION_FRAMES * size_of::<Frame>() == PMD_SIZE);
