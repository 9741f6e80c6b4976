// SPDX-License-Identifier: GPL-2.0
//! Pages of programs for transfers that go on after the call that began them, and memory that the kernel shares with a program
//! (rings of asynchronous I/O).

use crate::file::VmFile;
use crate::flags::Prot;
use crate::mm_struct::Mm;
use crate::mmap::MapArgs;
use crate::vma::Backing;
use errno::Result;
use kalloc::Arc;
use mm_alloc::Page;

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
