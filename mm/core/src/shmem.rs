// SPDX-License-Identifier: GPL-2.0
//! Shared anonymous memory (`MAP_SHARED | MAP_ANONYMOUS`): a file without a name whose pages live in memory only. No locks.

use crate::file::VmFile;
use crate::mapping::{Mapping, MappingOps};
use core::fmt;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use mm_alloc::Page;

struct Zeros;

impl MappingOps for Zeros {
    fn read_page(&self, _index: u64, page: &Page) -> Result {
        page.zero();
        Ok(())
    }

    fn is_memory(&self) -> bool {
        true
    }
}

struct AnonShared {
    mapping: Arc<Mapping>,
}

impl VmFile for AnonShared {
    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        true
    }

    fn may_exec(&self) -> bool {
        true
    }

    fn mapping(&self) -> Option<&Arc<Mapping>> {
        Some(&self.mapping)
    }

    fn id(&self) -> (u64, u64) {
        // Device 0:1, as Linux's internal tmpfs mount has it.
        (1, self.mapping.id() as u64)
    }

    fn show_path(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/dev/zero (deleted)")
    }

    fn punch_hole(&self, start: u64, len: u64) -> Result {
        self.mapping.punch(start, start.saturating_add(len));
        Ok(())
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}

/// A new shared memory object of `size` bytes. ENOMEM.
pub fn anon_shared(size: u64) -> Result<Arc<dyn VmFile>> {
    let mapping = Mapping::new(KBox::new(Zeros, GFP_KERNEL)?, size)?;
    let file: Arc<dyn VmFile> = Arc::new(AnonShared { mapping }, GFP_KERNEL)?;
    Ok(file)
}
