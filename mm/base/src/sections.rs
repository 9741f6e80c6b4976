// SPDX-License-Identifier: GPL-2.0
//! Sections of physical memory (128 MB each): which have frame records, and which are free memory whose records are made when they are
//! wanted (`mm_alloc::deferred`). No locks; sections are taken under that one's.

use crate::layout::{PAGE_SHIFT, PhysAddr};
use crate::memblock::{MAX_SECTIONS, SECTION_FRAMES};
use crate::zone::ZoneId;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

type Bits = [AtomicU64; MAX_SECTIONS / 64];

/// Sections whose frames have records.
static READY: Bits = [const { AtomicU64::new(0) }; MAX_SECTIONS / 64];
/// Sections of free memory without records.
static DEFERRED: Bits = [const { AtomicU64::new(0) }; MAX_SECTIONS / 64];
/// How many there are of them, by zone.
static LEFT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// First section above 4 GB.
const NORMAL_SECTION: usize = (1 << (32 - PAGE_SHIFT)) / SECTION_FRAMES;

#[inline]
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
#[inline]
pub fn is_deferred(section: usize) -> bool {
    has(&DEFERRED, section)
}

#[inline]
fn left(id: ZoneId) -> &'static AtomicUsize {
    let [normal, dma32] = &LEFT;
    match id {
        ZoneId::Normal => normal,
        // The first section holds the kernel or what the firmware keeps, and is never deferred; nor is so the lowest zone.
        ZoneId::Dma32 | ZoneId::Dma => dma32,
    }
}

/// Where a section begins.
#[inline]
pub fn start_of(section: usize) -> PhysAddr {
    ((section * SECTION_FRAMES) as PhysAddr) << PAGE_SHIFT
}

/// The frames of a section have records now.
pub fn set_ready(section: usize) {
    set(&READY, section);
}

/// A section is free memory without records.
pub fn set_deferred(section: usize) {
    set(&DEFERRED, section);
    let id = if section < NORMAL_SECTION { ZoneId::Dma32 } else { ZoneId::Normal };
    left(id).fetch_add(1, Ordering::Relaxed);
}

/// Whether a zone has sections without records.
#[inline]
pub fn any_deferred(id: ZoneId) -> bool {
    id != ZoneId::Dma && left(id).load(Ordering::Relaxed) != 0
}

/// Takes the lowest section without records of a zone: its records are to be made. Callers exclude each other.
pub fn take_deferred(id: ZoneId) -> Option<usize> {
    let range = match id {
        ZoneId::Dma32 | ZoneId::Dma => 0..NORMAL_SECTION,
        ZoneId::Normal => NORMAL_SECTION..MAX_SECTIONS,
    };
    let section = next_deferred(range)?;
    if let Some(word) = DEFERRED.get(section / 64) {
        word.fetch_and(!(1 << (section % 64)), Ordering::Relaxed);
    }
    left(id).fetch_sub(1, Ordering::Relaxed);
    Some(section)
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
