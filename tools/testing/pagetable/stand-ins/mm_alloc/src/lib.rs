// SPDX-License-Identifier: GPL-2.0
//! Physical memory of 320 MB, with a record for each frame. It notices what must never be: a page freed twice, or while somebody's TLB
//! has it, a reference taken to a free page. Blocks of 2 MB are the kernel's own code.

pub mod buddy;
pub mod page;

#[path = "../../../../../../mm/alloc/src/huge.rs"]
pub mod huge;

// What mappings of the kernel have is in the same file.
#[allow(dead_code, reason = "only the bits are asked for")]
#[path = "../../../../../../mm/base/src/pgprot.rs"]
mod pgprot;

pub use page::{Page, PageFlags};

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

pub type PhysAddr = u64;

pub mod layout {
    pub use super::{PhysAddr, phys_to_virt};
    pub const PAGE_SIZE: usize = 4096;
    pub const PMD_SIZE: usize = 2 << 20;
    pub const TASK_SIZE: usize = (1 << 47) - PAGE_SIZE;
}

pub mod kpt {
    pub use crate::pgprot::bits;
}

pub mod frame {
    pub use super::Frame;
}

pub mod pcp {
    pub fn free_page(frame: &'static super::Frame) {
        super::give(frame);
    }
}

pub mod reclaim {
    pub fn refilled(_: kalloc::Flags) {}
}

pub mod mem {
    /// # Safety
    /// `page` is a page of the caller's.
    pub unsafe fn clear_page(page: *mut u8) {
        // SAFETY: As the caller promises.
        unsafe { page.write_bytes(0, 4096) };
    }

    /// # Safety
    /// Both are pages.
    pub unsafe fn same_page(a: *const u8, b: *const u8) -> bool {
        // SAFETY: As the caller promises.
        unsafe { std::slice::from_raw_parts(a, 4096) == std::slice::from_raw_parts(b, 4096) }
    }

    /// # Safety
    /// Both are pages; `to` is the caller's.
    pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
        // SAFETY: As the caller promises.
        unsafe { to.copy_from_nonoverlapping(from, 4096) };
    }
}

pub mod stat {
    use std::sync::atomic::{AtomicI64, Ordering};

    #[derive(Clone, Copy, Debug)]
    #[repr(usize)]
    pub enum Item {
        Anon,
        FileMapped,
        AnonHuge,
        ThpSplitPmd,
        ThpSwpoutFallback,
        ThpZeroAlloc,
        ThpZeroAllocFailed,
        PgFree,
        PageTables,
        LazyFree,
        PgLazyFree,
        PgLazyFreed,
    }

    static COUNTS: [AtomicI64; 12] = [const { AtomicI64::new(0) }; 12];

    pub fn add(item: Item, delta: i64) {
        COUNTS[item as usize].fetch_add(delta, Ordering::Relaxed);
    }

    pub fn get(item: Item) -> i64 {
        COUNTS[item as usize].load(Ordering::Relaxed)
    }
}

/// Blocks of 2 MB.
pub const BLOCKS: usize = 160;
/// Pages of all.
pub const PAGES: usize = BLOCKS * 512;
/// Where memory begins.
const FIRST: PhysAddr = 2 << 20;

pub struct Frame {
    pub(crate) flags: AtomicU64,
    pub(crate) refs: AtomicU32,
    pub(crate) order: AtomicU32,
    kept: AtomicUsize,
    private: AtomicU64,
    entries: AtomicI32,
    lazy: AtomicU64,
    /// Translations to it in TLBs.
    cached: AtomicU32,
}

struct Memory {
    bytes: usize,
    frames: Vec<Frame>,
}

static MEMORY: LazyLock<Memory> = LazyLock::new(|| {
    let layout = std::alloc::Layout::from_size_align(BLOCKS << 21, 2 << 20).expect("a size");
    let frame = || Frame {
        flags: AtomicU64::new(0),
        refs: AtomicU32::new(0),
        order: AtomicU32::new(0),
        // Whatever was there before.
        kept: AtomicUsize::new(77),
        private: AtomicU64::new(0),
        entries: AtomicI32::new(0),
        lazy: AtomicU64::new(5),
        cached: AtomicU32::new(0),
    };
    // SAFETY: The size is not 0.
    let bytes = unsafe { std::alloc::alloc_zeroed(layout) }.expose_provenance();
    assert_ne!(bytes, 0);
    Memory { bytes, frames: (0..PAGES).map(|_| frame()).collect() }
});

pub(crate) struct Free {
    pub(crate) pages: BTreeSet<usize>,
    pub(crate) of_block: Vec<usize>,
}

static FREE: LazyLock<Mutex<Free>> =
    LazyLock::new(|| Mutex::new(Free { pages: (0..PAGES).collect(), of_block: vec![512; BLOCKS] }));

pub(crate) fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Free pages.
pub fn free_pages() -> usize {
    free().pages.len()
}

pub fn phys_to_virt(phys: PhysAddr) -> *mut u8 {
    assert!((FIRST..FIRST + (PAGES as u64) * 4096).contains(&phys), "no memory at {phys:#x}");
    std::ptr::with_exposed_provenance_mut(MEMORY.bytes + (phys - FIRST) as usize)
}

/// Takes back a page that nobody has.
pub(crate) fn give(frame: &'static Frame) {
    assert_eq!(frame.ref_count(), 0);
    assert_eq!(frame.cached.load(Ordering::SeqCst), 0, "freed while it is in a TLB");
    // SAFETY: Nobody has the page.
    unsafe { frame.virt().write_bytes(0xaa, 4096) };
    let mut free = free();
    assert!(free.pages.insert(frame.number()), "freed twice");
    free.of_block[frame.number() / 512] += 1;
}

impl Frame {
    pub(crate) fn ptr_of(pfn: usize) -> *const Frame {
        Self::at(pfn - (FIRST >> 12) as usize)
    }

    pub(crate) fn at(number: usize) -> &'static Frame {
        &MEMORY.frames[number]
    }

    /// # Safety
    /// None: there is a check.
    pub unsafe fn of_phys(phys: PhysAddr) -> &'static Frame {
        Self::at(((phys - FIRST) >> 12) as usize)
    }

    pub(crate) fn number(&self) -> usize {
        (core::ptr::from_ref(self).addr() - MEMORY.frames.as_ptr().addr()) / size_of::<Frame>()
    }

    pub fn pfn(&self) -> usize {
        self.number() + (FIRST >> 12) as usize
    }

    pub fn phys(&self) -> PhysAddr {
        (self.pfn() << 12) as PhysAddr
    }

    pub fn virt(&self) -> *mut u8 {
        phys_to_virt(self.phys())
    }

    pub fn ref_count(&self) -> u32 {
        self.refs.load(Ordering::Relaxed)
    }

    pub fn flag_bits(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    pub fn set_flag(&self, flags: PageFlags) {
        self.flags.fetch_or(flags.0, Ordering::Relaxed);
    }

    pub fn entries(&self) -> &AtomicI32 {
        &self.entries
    }

    pub fn private(&self) -> &AtomicU64 {
        &self.private
    }

    pub fn kept(&self) -> &AtomicUsize {
        &self.kept
    }

    pub fn lazy(&self) -> &AtomicU64 {
        &self.lazy
    }

    /// Counts translations in TLBs.
    pub fn cached(&self) -> &AtomicU32 {
        &self.cached
    }
}
