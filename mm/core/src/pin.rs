// SPDX-License-Identifier: GPL-2.0
//! Pages of programs for transfers that go on after the call that began them, and memory that the kernel shares with a program
//! (rings of asynchronous I/O).

use crate::file::VmFile;
use crate::flags::Prot;
use crate::mm_struct::Mm;
use crate::mmap::MapArgs;
use crate::page_lock::{lock_page, unlock_page};
use crate::vma::Backing;
use errno::Result;
use kalloc::Arc;
use mm_alloc::{Page, PageFlags};

impl Mm {
    /// The page behind a program's address, brought in; `write`: somebody is going to write to it for the program, so a page that
    /// is shared copy-on-write is copied first. It stays while it is held, whatever the program does to its addresses. EFAULT,
    /// also if the program's PKRU forbids the access now; ENOMEM. May sleep.
    pub fn pin_page(&self, addr: usize, write: bool) -> Result<Page> {
        self.own_page(addr, write)
    }

    /// Maps the first `len` bytes of a file of the kernel's for reading and writing, shared, wherever there is room; the address. Errors
    /// of `mmap(2)`. May sleep.
    pub fn map_shared(&self, file: Arc<dyn VmFile>, len: usize) -> Result<usize> {
        let prot = Prot(uapi::PROT_READ | uapi::PROT_WRITE);
        self.mmap(MapArgs { addr: 0, len, prot, flags: uapi::MAP_SHARED, file: Some(file), pgoff: 0 })
    }

    /// The file whose mapping begins at `addr`.
    pub fn file_mapped_at(&self, addr: usize) -> Option<Arc<dyn VmFile>> {
        let inner = self.inner.read();
        let slot = inner.areas.containing(addr).filter(|slot| slot.start == addr)?;
        match &slot.value.backing {
            Backing::File(file) => Some(file.clone()),
            _ => None,
        }
    }
}

/// Whether a page that a device writes to for a program is one of a file on a device: then it is to be looked at when the device is done
/// ([`is_clean`]).
pub fn is_cached(page: &Page) -> bool {
    let private = page.has(PageFlags::ANON) || page.has(PageFlags::SWAP_BACKED);
    !private && page.owner() != 0
}

/// Whether such a page was written back since it was pinned, perhaps before the device wrote to it. Any context.
pub fn is_clean(page: &Page) -> bool {
    !page.has(PageFlags::DIRTY) && !page.has(PageFlags::TRUNCATED)
}

/// A device wrote to such a page: what its file has is old. If there is no room for it any more the file's writers hear of that. May
/// sleep.
pub fn dirty_page(page: &Page) {
    let Some(mapping) = crate::reclaim::find(page.owner()) else { return };
    let index = page.index();
    // As for a program that stores to it.
    let _stays = mapping.invalidate_shared();
    if !mapping.has_page(index) || page.has(PageFlags::TRUNCATED) {
        return;
    }
    if let Err(error) = mapping.ops().make_writable(index) {
        return mapping.write_error(error);
    }
    lock_page(page);
    mapping.set_dirty(index, page);
    unlock_page(page);
}
