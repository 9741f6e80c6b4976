// SPDX-License-Identifier: GPL-2.0
//! Runs at the physical address, before the image is relocated: clears .bss, builds the early page tables, relocates.
//!
//! Until `relocate` is done no static pointer in memory (vtable, `&'static` in a static) is valid here, and addresses of
//! symbols are physical ones. So: plain loops over raw pointers, nothing dynamic, and symbols by `addr!` alone, since the
//! compiler may otherwise take an address from the GOT, which is not relocated either.
//!
//! The early tables: identity map and direct map ([`PAGE_OFFSET`]) of the first 4 GB, and the image at its link address, all
//! in 2 MB pages, writable and executable. `x86_mm` replaces them with tables that hold to W^X.

use crate::{KERNEL_MAP, LINK_TEXT, PAGE_OFFSET};

/// A page table of any level.
pub(crate) type Table = [u64; 512];

pub(crate) const PRESENT: u64 = 1;
pub(crate) const HUGE: u64 = 1 << 7;
/// Present, writable, accessed, dirty.
pub(crate) const TABLE: u64 = PRESENT | 1 << 1 | 1 << 5 | 1 << 6;
/// The same as a 2 MB page.
pub(crate) const PAGE_2M: u64 = TABLE | HUGE;
/// Address bits of an entry.
pub(crate) const ADDR_MASK: u64 = 0x000f_ffff_ffff_f000;
pub(crate) const SIZE_2M: usize = 1 << 21;

unsafe extern "C" {
    pub(crate) static mut early_pml4: Table;
    pub(crate) static mut early_pdpt: Table;
    static mut early_pd: [Table; 4];
    static mut early_kernel_pdpt: Table;
    pub(crate) static mut early_kernel_pd: Table;
    static _text: u8;
    static _end: u8;
    static __bss_start: u8;
    static __bss_stop: u8;
    static __rela_start: Rela;
    static __rela_end: Rela;
    static mut early_pool: [Table; crate::entry::POOL_PAGES];
}

/// The address of a symbol where the image runs now.
macro_rules! addr {
    ($symbol:path) => {{
        let address: usize;
        // SAFETY: Computes an address.
        unsafe {
            core::arch::asm!("lea {}, [rip + {}]", out(reg) address, sym $symbol,
                options(pure, nomem, nostack, preserves_flags));
        }
        address
    }};
}

/// An entry of `.rela.dyn`.
#[repr(C)]
struct Rela {
    offset: u64,
    info: u64,
    addend: u64,
}

/// `R_X86_64_RELATIVE`: the word at `offset` becomes base + `addend`.
const R_X86_64_RELATIVE: u32 = 8;

/// The index into a table of `level` (0 = lowest) for `addr`.
pub(crate) const fn index(addr: usize, level: u32) -> usize {
    addr >> (12 + 9 * level) & 511
}

/// First of the two calls from `entry`. Returns link address minus physical address of the image.
///
/// # Safety
/// Called once by `entry`, at the physical address, with all of the image identity mapped.
#[unsafe(no_mangle)]
unsafe extern "C" fn head_phys() -> u64 {
    let text = addr!(_text);
    let pml4 = addr!(early_pml4) as u64;
    // SAFETY: The caller runs this once, before any reference to these statics exists; symbols are from the linker script.
    unsafe {
        clear_bss();
        build_tables(text);
        x86_cpu::cr::write_cr3(pml4);
        relocate(text, false, 0);
    }
    (LINK_TEXT as u64).wrapping_sub(text as u64)
}

/// # Safety
/// As [`head_phys`].
unsafe fn clear_bss() {
    let (start, end) = (addr!(__bss_start), addr!(__bss_stop));
    // SAFETY: The linker script puts .bss between the symbols, and nothing in it is in use yet.
    unsafe { core::ptr::write_bytes(start as *mut u8, 0, end - start) };
    let pool = addr!(early_pool);
    // SAFETY: The pool is outside of .bss proper, like the early tables, and only used later.
    unsafe { core::ptr::write_bytes(pool as *mut u8, 0, size_of::<[Table; crate::entry::POOL_PAGES]>()) };
}

/// # Safety
/// As [`head_phys`]; `text` is the physical address of `_text`.
unsafe fn build_tables(text: usize) {
    let size = addr!(_end) - text;
    let pml4 = addr!(early_pml4) as *mut u64;
    let pdpt = addr!(early_pdpt) as *mut u64;
    let pd = addr!(early_pd) as *mut u64;
    let kernel_pdpt = addr!(early_kernel_pdpt) as *mut u64;
    let kernel_pd = addr!(early_kernel_pd) as *mut u64;
    let extra = addr!(early_pool) as *mut u64;
    // SAFETY: Each index is below the number of entries of its table. With PVH these tables are live, and every value
    // written over a live entry is the value it has.
    unsafe {
        for i in 0..4 * 512 {
            pd.add(i).write((i * SIZE_2M) as u64 | PAGE_2M);
        }
        for i in 0..512 {
            if i < 4 {
                pdpt.add(i).write((pd.addr() + i * 4096) as u64 | TABLE);
            } else {
                pdpt.add(i).write(0);
            }
            kernel_pdpt.add(i).write(0);
            kernel_pd.add(i).write(0);
            if i != 0 {
                pml4.add(i).write(0);
            }
        }
        // An image beyond 4 GB needs itself identity mapped: up to two gigabytes that it may touch, from the pool.
        for (page, addr) in [text, text + size - 1].into_iter().enumerate() {
            let slot = pdpt.add(index(addr, 2));
            if slot.read() != 0 || addr >> 39 != 0 {
                continue;
            }
            let table = extra.add(page * 512);
            for i in 0..512 {
                table.add(i).write(((addr >> 30 << 30) + i * SIZE_2M) as u64 | PAGE_2M);
            }
            slot.write(table.addr() as u64 | TABLE);
        }
        let mut at = 0;
        while at < size {
            kernel_pd.add(index(LINK_TEXT + at, 1)).write((text + at) as u64 | PAGE_2M);
            at += SIZE_2M;
        }
        kernel_pdpt.add(index(KERNEL_MAP, 2)).write(kernel_pd.addr() as u64 | TABLE);
        pml4.add(index(KERNEL_MAP, 3)).write(kernel_pdpt.addr() as u64 | TABLE);
        pml4.add(index(PAGE_OFFSET, 3)).write(pdpt.addr() as u64 | TABLE);
        pml4.write(pdpt.addr() as u64 | TABLE);
    }
}

/// Applies `.rela.dyn` to the image that can be written at `text`: to its link address, or (`again`) once more for `slide`.
/// `vmlinux` is linked as a static PIE, so there is one type of relocation; `head_main` reports others.
///
/// # Safety
/// The image is mapped writable at `text`; it was not relocated before, or was to its link address if `again`.
pub(crate) unsafe fn relocate(text: usize, again: bool, slide: u64) {
    let mut rela = addr!(__rela_start) as *const Rela;
    let end = addr!(__rela_end) as *const Rela;
    while rela < end {
        // SAFETY: Between the two symbols the linker put an array of `Rela`; their offsets are link addresses in the image.
        unsafe {
            let Rela { offset, info, addend } = rela.read();
            if info as u32 == R_X86_64_RELATIVE {
                let place = (text + (offset as usize).wrapping_sub(LINK_TEXT)) as *mut u64;
                if again {
                    place.write_unaligned(place.read_unaligned().wrapping_add(slide));
                } else {
                    place.write_unaligned(addend);
                }
            }
            rela = rela.add(1);
        }
    }
}

/// Whether every relocation is of the type that [`relocate`] knows. At the link address or later.
pub(crate) fn relocations_known() -> bool {
    let (start, end) = (&raw const __rela_start, &raw const __rela_end);
    let count = (end.addr() - start.addr()) / size_of::<Rela>();
    // SAFETY: The linker put an array of `Rela` between the two symbols; nobody writes to it.
    let all = unsafe { core::slice::from_raw_parts(start, count) };
    all.iter().all(|r| r.info as u32 == R_X86_64_RELATIVE)
}
