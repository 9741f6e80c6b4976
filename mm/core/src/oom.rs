// SPDX-License-Identifier: GPL-2.0
//! What the OOM killer needs of an address space: its size without locks, and taking its memory before its threads have ended.

use crate::flags::VmFlags;
use crate::mm_struct::{Inner, Mm};
use crate::vma::Backing;
use core::sync::atomic::Ordering;
use mm_alloc::layout::PAGE_SIZE;
use x86_mm::Kind;

/// Sizes in pages, taken without a lock.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in the OOM killer's table")]
pub struct OomSize {
    pub total: usize,
    pub anon: usize,
    pub file: usize,
    pub shmem: usize,
    pub swap: usize,
    pub table_bytes: usize,
}

impl OomSize {
    /// Resident pages.
    pub fn rss(&self) -> usize {
        self.anon.saturating_add(self.file).saturating_add(self.shmem)
    }
}

impl Mm {
    /// The sizes.
    pub fn oom_size(&self) -> OomSize {
        OomSize {
            total: self.total_pages(),
            anon: self.table.rss(Kind::Anon),
            file: self.table.rss(Kind::File),
            shmem: self.table.rss(Kind::Shmem),
            swap: self.table.rss(Kind::Swap),
            table_bytes: self.table.table_bytes(),
        }
    }

    /// Whether ending its processes would free nothing more.
    pub fn is_reaped(&self) -> bool {
        self.reaped.load(Ordering::Relaxed)
    }

    /// Says that there is nothing more to be had from it.
    pub fn set_reaped(&self) {
        self.reaped.store(true, Ordering::Relaxed);
    }

    /// Frees private memory of an address space whose processes were all killed; from now on they get no more. False if somebody
    /// holds the lock for writing. May sleep.
    pub fn oom_reap(&self) -> bool {
        let Some(inner) = self.inner.try_read() else { return false };
        self.take_memory(&inner);
        true
    }

    /// As [`Self::oom_reap`], for who can wait for the lock (`process_mrelease(2)`). May sleep.
    pub fn release_memory(&self) {
        let inner = self.inner.read();
        if !self.is_reaped() {
            self.take_memory(&inner);
        }
    }

    fn take_memory(&self, inner: &Inner) {
        self.dying.store(true, Ordering::SeqCst);
        for slot in inner.areas.iter() {
            let flags = slot.value.flags;
            if flags.any(VmFlags(VmFlags::LOCKED.0 | VmFlags::PFNMAP.0)) {
                continue;
            }
            // Pages that others may look at stay what they are.
            if matches!(slot.value.backing, Backing::Anon) || !flags.any(VmFlags::SHARED) {
                self.table.zap_range(slot.start, slot.end);
            }
        }
        self.set_reaped();
    }
}

/// Pages in KiB, for messages.
pub const fn kib(pages: usize) -> usize {
    pages * (PAGE_SIZE / 1024)
}
