// SPDX-License-Identifier: GPL-2.0
//! The kernel half's page tables: the final tables of the image and the direct map (no mapping both writable and executable),
//! and mapping and unmapping of single ranges for vmalloc and devices. Every address space shares the tables below the top
//! level: [`init`] makes all top-level entries that will ever be used, so that they are copied once per address space.
//!
//! Lock: `LOCK` for changes after boot, with interrupts off. Entries are 8-byte atomics: the hardware reads them at any time.

use crate::frame::Frame;
use crate::layout::*;
use crate::{buddy, memblock};
use boot_info::BootInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_ATOMIC;
use locking::SpinLock;
use x86_cpu::cpuid;

pub use mm_base::pgprot::{Prot, bits};

/// A page table of any level.
type Table = [AtomicU64; 512];

/// Physical address of the kernel's own top-level table.
static KERNEL_PGD: AtomicU64 = AtomicU64::new(0);
static LOCK: SpinLock<()> = SpinLock::new(());

/// Flushes translations of the kernel half on every CPU; `x86_mm` registers it.
pub trait KernelTlb: Sync {
    /// Returns when no CPU has translations of `[start, end)` any more. Interrupts are on, or only one CPU runs.
    fn flush_kernel_range(&self, start: usize, end: usize);
}

/// The registered flusher.
pub static KERNEL_TLB: Hook<dyn KernelTlb> = Hook::new();

/// Physical address of the kernel's own top-level table: what CR3 holds while no address space is loaded.
#[inline(always)]
pub fn kernel_pgd() -> PhysAddr {
    KERNEL_PGD.load(Ordering::Relaxed)
}

#[inline(always)]
fn table_at(phys: PhysAddr) -> &'static Table {
    // SAFETY: Called with addresses that were put into kernel page tables by this module only: live frames that are never
    // freed, in the direct map, of atomics.
    unsafe { &*phys_to_virt(phys).cast() }
}

#[inline(always)]
fn entry_of(table: &'static Table, addr: usize, level: u32) -> &'static AtomicU64 {
    &table[(addr >> (12 + 9 * level)) & 511]
}

/// Before the buddy allocator is there, tables come from memblock.
fn new_table() -> Result<PhysAddr> {
    let phys = match memblock::alloc(PAGE_SIZE, PAGE_SIZE) {
        Some(phys) => phys,
        None => buddy::alloc_pages(0, GFP_ATOMIC).map(Frame::phys).ok_or(ENOMEM)?,
    };
    // SAFETY: Just allocated and in the direct map.
    unsafe { crate::mem::clear_page(phys_to_virt(phys)) };
    Ok(phys)
}

/// The table one level down, made if it is not there. EBUSY if a large page is in the way.
fn descend(entry: &AtomicU64) -> Result<&'static Table> {
    let value = entry.load(Ordering::Acquire);
    if value & bits::PRESENT != 0 {
        return if value & bits::HUGE != 0 { Err(EBUSY) } else { Ok(table_at(value & bits::ADDR)) };
    }
    let phys = new_table()?;
    entry.store(phys | bits::KERNEL_TABLE, Ordering::Release);
    Ok(table_at(phys))
}

/// Maps a range in tables that may not be in use yet, with the largest pages that fit.
fn map_range(pgd: PhysAddr, virt: usize, phys: PhysAddr, len: usize, prot: Prot, large: bool) -> Result {
    let gb = cpuid::features().gb_pages && large;
    let value = prot.bits();
    let mut done = 0;
    while done < len {
        let (at, to, left) = (virt + done, phys + done as u64, len - done);
        let fits = |size: usize| at.is_multiple_of(size) && (to as usize).is_multiple_of(size) && left >= size;
        let pud = entry_of(descend(entry_of(table_at(pgd), at, 3))?, at, 2);
        if gb && fits(PUD_SIZE) && pud.load(Ordering::Relaxed) == 0 {
            pud.store(to | value | bits::HUGE, Ordering::Release);
            done += PUD_SIZE;
            continue;
        }
        let pmd = entry_of(descend(pud)?, at, 1);
        if large && fits(PMD_SIZE) && pmd.load(Ordering::Relaxed) == 0 {
            pmd.store(to | value | bits::HUGE, Ordering::Release);
            done += PMD_SIZE;
            continue;
        }
        entry_of(descend(pmd)?, at, 0).store(to | value, Ordering::Release);
        done += PAGE_SIZE;
    }
    Ok(())
}

unsafe extern "C" {
    static _text: u8;
    static _etext: u8;
    static __start_rodata: u8;
    static __end_rodata: u8;
    static _end: u8;
    static boot_stack_guard: u8;
}

/// Builds and loads the final kernel page tables. Boot CPU, once, after `memblock::init`.
pub fn init(info: &BootInfo) -> Result {
    let pgd = new_table()?;
    let image_phys = info.kernel.phys_base;
    let delta = info.kernel.virt_base.wrapping_sub(image_phys) as usize;
    let text = ((&raw const _text).addr(), page_align((&raw const _etext).addr()));
    let rodata = ((&raw const __start_rodata).addr() & PAGE_MASK, page_align((&raw const __end_rodata).addr()));
    let end = page_align((&raw const _end).addr());
    map_image(pgd, delta, text, rodata, end)?;
    // What the image must not be written through is not writable through the direct map either.
    let mut hidden = [(text.0 - delta, text.1 - delta), (rodata.0 - delta, rodata.1 - delta)];
    hidden.sort_unstable();
    map_direct(pgd, 0, 1 << 20, &hidden)?;
    memblock::for_each_memory(|r| map_direct(pgd, r.start.max(1 << 20), r.end, &hidden))?;
    for window in
        [(VMALLOC_START, VMALLOC_END), (VMEMMAP_START, VMEMMAP_START + VMEMMAP_SIZE), (KERNEL_MAP, KERNEL_MAP + 1)]
    {
        for at in (window.0..window.1).step_by(PGDIR_SIZE) {
            descend(entry_of(table_at(pgd), at, 3))?;
        }
    }
    // The page below the boot stack, which CPU 0's idle task keeps, catches overflow.
    unmap_one(pgd, (&raw const boot_stack_guard).addr());
    KERNEL_PGD.store(pgd, Ordering::Release);
    // SAFETY: The new tables map the image, its stack included, and all memory at the addresses where they are now.
    unsafe { x86_cpu::cr::write_cr3(pgd) };
    flush_all_local();
    memblock::lift_limit();
    Ok(())
}

fn map_image(pgd: PhysAddr, delta: usize, text: (usize, usize), rodata: (usize, usize), end: usize) -> Result {
    let mut cuts = [(text.0, text.1, Prot::RX), (rodata.0, rodata.1, Prot::RO)];
    cuts.sort_unstable_by_key(|c| c.0);
    let mut at = text.0.min(rodata.0);
    let map = |from: usize, to: usize, prot: Prot| match to.checked_sub(from) {
        Some(len) if len > 0 => map_range(pgd, from, (from - delta) as u64, len, prot, true),
        _ => Ok(()),
    };
    for (from, to, prot) in cuts {
        map(at, from, Prot::RW)?;
        map(from.max(at), to, prot)?;
        at = at.max(to);
    }
    map(at, end, Prot::RW)
}

/// Maps `[start, end)` of physical memory in the direct map, read-only where `hidden` (sorted) says so.
fn map_direct(pgd: PhysAddr, start: PhysAddr, end: PhysAddr, hidden: &[(usize, usize)]) -> Result {
    let (mut at, end) = (start as usize, end as usize);
    while at < end {
        let next = hidden.iter().find(|h| h.1 > at && h.0 < end).copied();
        let (stop, prot) = match next {
            Some((from, to)) if from <= at => (to.min(end), Prot::RO),
            Some((from, _)) => (from, Prot::RW),
            None => (end, Prot::RW),
        };
        map_range(pgd, PAGE_OFFSET + at, at as u64, stop - at, prot, true)?;
        at = stop;
    }
    Ok(())
}

/// Makes the tables above the PMD entry for `virt`, so that [`map_huge`] needs none.
pub(crate) fn prepare_huge(virt: usize) -> Result {
    let pud = entry_of(descend(entry_of(table_at(kernel_pgd()), virt, 3))?, virt, 2);
    descend(pud).map(|_| ())
}

/// Maps 2 MB at `virt` with one entry that was not present, whose table [`prepare_huge`] made.
pub(crate) fn map_huge(virt: usize, phys: PhysAddr, prot: Prot) -> Result {
    let _guard = LOCK.lock_irqsave();
    map_range(kernel_pgd(), virt, phys, PMD_SIZE, prot, true)
}

/// Maps `len` bytes (whole pages) of physical memory at `virt` in the vmalloc area or the modules' range.
///
/// # Safety
/// The range is reserved for the caller and not mapped. What `phys` is stays valid while it is mapped.
pub unsafe fn map(virt: usize, phys: PhysAddr, len: usize, prot: Prot) -> Result {
    let _guard = LOCK.lock_irqsave();
    map_range(kernel_pgd(), virt, phys, len, prot, false)
}

/// Maps one page at `virt`, as [`map`].
///
/// # Safety
/// As [`map`].
pub unsafe fn map_page(virt: usize, frame: &'static Frame, prot: Prot) -> Result {
    // SAFETY: As the caller promises.
    unsafe { map(virt, frame.phys(), PAGE_SIZE, prot) }
}

/// The entry of a 4 KB page, if there is a table for it.
fn walk(pgd: PhysAddr, virt: usize) -> Option<&'static AtomicU64> {
    let mut table = table_at(pgd);
    for level in [3, 2, 1] {
        let value = entry_of(table, virt, level).load(Ordering::Acquire);
        if value & bits::PRESENT == 0 || value & bits::HUGE != 0 {
            return None;
        }
        table = table_at(value & bits::ADDR);
    }
    Some(entry_of(table, virt, 0))
}

fn unmap_one(pgd: PhysAddr, virt: usize) -> Option<PhysAddr> {
    if let Some(entry) = walk(pgd, virt) {
        let old = entry.swap(0, Ordering::AcqRel);
        return (old & bits::PRESENT != 0).then_some(old & bits::ADDR);
    }
    split_large(pgd, virt).ok()?;
    let old = walk(pgd, virt)?.swap(0, Ordering::AcqRel);
    (old & bits::PRESENT != 0).then_some(old & bits::ADDR)
}

/// Replaces the 2 MB page around `virt` by a table of 4 KB pages with the same access. Only before the tables are in use.
fn split_large(pgd: PhysAddr, virt: usize) -> Result {
    let pud = entry_of(descend(entry_of(table_at(pgd), virt, 3))?, virt, 2);
    let pmd = entry_of(descend(pud)?, virt, 1);
    let value = pmd.load(Ordering::Relaxed);
    if value & bits::HUGE == 0 {
        return Err(EINVAL);
    }
    let phys = new_table()?;
    for (i, entry) in table_at(phys).iter().enumerate() {
        entry.store((value & !bits::HUGE) + (i * PAGE_SIZE) as u64, Ordering::Relaxed);
    }
    pmd.store(phys | bits::KERNEL_TABLE, Ordering::Release);
    Ok(())
}

/// Unmaps `len` bytes from `virt`, calling `gone` for each frame address. CPUs may use cached translations until
/// [`flush_kernel_range`] returns: only then may the frames and the addresses be used for something else.
///
/// # Safety
/// The range was mapped with [`map`] by the caller, and nobody uses it any more.
pub unsafe fn unmap(virt: usize, len: usize, mut gone: impl FnMut(PhysAddr)) {
    let _guard = LOCK.lock_irqsave();
    for at in (virt..virt + len).step_by(PAGE_SIZE) {
        if let Some(phys) = unmap_one(kernel_pgd(), at) {
            gone(phys);
        }
    }
}

/// Returns when no CPU has translations of `[start, end)` any more. Interrupts are on (other CPUs are waited for).
pub fn flush_kernel_range(start: usize, end: usize) {
    match KERNEL_TLB.get() {
        Some(tlb) => tlb.flush_kernel_range(start, end),
        None => flush_all_local(),
    }
}

/// Drops all of this CPU's translations, global ones too.
pub fn flush_all_local() {
    let cr4 = x86_cpu::cr::read_cr4();
    // SAFETY: CR4 is written back as it was; toggling PGE, or reloading CR3, drops translations only.
    unsafe {
        if cr4 & x86_cpu::cr::CR4_PGE != 0 {
            x86_cpu::cr::write_cr4(cr4 & !x86_cpu::cr::CR4_PGE);
            x86_cpu::cr::write_cr4(cr4);
        } else {
            x86_cpu::cr::write_cr3(x86_cpu::cr::read_cr3());
        }
    }
}

/// Copies the kernel half's entries to a new, cleared top-level table.
///
/// # Safety
/// `to` is a page that the caller owns, in the direct map.
pub unsafe fn copy_kernel_half(to: PhysAddr) {
    let (from, to) = (table_at(kernel_pgd()), table_at(to));
    for (from, to) in from.iter().zip(to).skip(256) {
        let value = from.load(Ordering::Relaxed);
        if value != 0 {
            to.store(value, Ordering::Relaxed);
        }
    }
}

/// A top-level table below 1 MB for the start-up code of other CPUs: the kernel half and the first 2 MB identity mapped,
/// executable. Give it back by never using it after start-up. ENOMEM when there is no low memory.
pub fn trampoline_pgd() -> Result<PhysAddr> {
    let table = || -> Result<PhysAddr> {
        let phys = memblock::alloc_low(PAGE_SIZE, PAGE_SIZE).ok_or(ENOMEM)?;
        // SAFETY: Low memory is ours alone and in the direct map.
        unsafe { crate::mem::clear_page(phys_to_virt(phys)) };
        Ok(phys)
    };
    let (pgd, pud, pmd) = (table()?, table()?, table()?);
    table_at(pmd)[0].store(bits::PRESENT | bits::WRITE | bits::ACCESSED | bits::DIRTY | bits::HUGE, Ordering::Relaxed);
    table_at(pud)[0].store(pmd | bits::KERNEL_TABLE, Ordering::Relaxed);
    // SAFETY: Just allocated.
    unsafe { copy_kernel_half(pgd) };
    table_at(pgd)[0].store(pud | bits::KERNEL_TABLE, Ordering::Release);
    Ok(pgd)
}

/// What a kernel address is mapped to: physical address, whether writable, whether executable. For checks and dumps.
pub fn translate(virt: usize) -> Option<(PhysAddr, bool, bool)> {
    let mut table = table_at(kernel_pgd());
    for level in (0..4u32).rev() {
        let value = entry_of(table, virt, level).load(Ordering::Acquire);
        if value & bits::PRESENT == 0 {
            return None;
        }
        if level == 0 || value & bits::HUGE != 0 {
            let mask = (1u64 << (12 + 9 * level)) - 1;
            let phys = value & bits::ADDR & !mask | virt as u64 & mask;
            return Some((phys, value & bits::WRITE != 0, value & bits::NX == 0));
        }
        table = table_at(value & bits::ADDR);
    }
    None
}
