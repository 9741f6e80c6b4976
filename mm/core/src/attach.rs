// SPDX-License-Identifier: GPL-2.0
//! Mapping and unmapping of System V shared memory, whose mappings are known by their file. Source: `shmat(2)`.

use crate::file::VmFile;
use crate::flags::Prot;
use crate::mm_struct::Mm;
use crate::mmap::MapArgs;
use crate::unmap::Removed;
use crate::vma::Backing;
use errno::{Result, code::*};
use kalloc::Arc;
use mm_alloc::layout::{PAGE_SHIFT, page_align};

impl Mm {
    /// Maps the first `len` bytes of `file`, shared, with the rights `prot`: at `addr` if that is not `None`, there also in place
    /// of other mappings (`replace`). The address; `EINVAL` where others are in the way, and those of `mmap`. May sleep.
    pub fn attach(
        &self,
        addr: Option<usize>,
        len: usize,
        prot: Prot,
        file: Arc<dyn VmFile>,
        replace: bool,
    ) -> Result<usize> {
        let place = match (addr, replace) {
            (None, _) => 0,
            (Some(_), true) => uapi::MAP_FIXED,
            (Some(_), false) => uapi::MAP_FIXED_NOREPLACE,
        };
        let flags = uapi::MAP_SHARED | place;
        let args = MapArgs { addr: addr.unwrap_or(0), len, prot, flags, file: Some(file), pgoff: 0 };
        self.mmap(args).map_err(|error| if error == EEXIST { EINVAL } else { error })
    }

    /// Unmaps what is left of a mapping by [`Self::attach`] at `addr`: the parts of the first file for which `size` gives the
    /// bytes that were mapped. `EINVAL` if there is none. May sleep.
    pub fn detach(&self, addr: usize, size: impl Fn(&dyn VmFile) -> Option<usize>) -> Result {
        let mut removed = Removed::new();
        let mut inner = self.inner.write_some();
        let mut found: Option<(Arc<dyn VmFile>, usize)> = None;
        let mut at = addr;
        loop {
            let end = found.as_ref().map_or(usize::MAX, |(_, end)| *end);
            let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { break };
            let (start, stop) = (slot.start, slot.end);
            at = stop;
            let Backing::File(file) = &slot.value.backing else { continue };
            // Where this part would be if the whole were still at `addr`.
            if start.checked_sub(addr) != Some((slot.value.pgoff << PAGE_SHIFT) as usize) {
                continue;
            }
            match &found {
                Some((first, _)) if !Arc::ptr_eq(first, file) => continue,
                Some(_) => {}
                None => match size(&**file) {
                    Some(size) => found = Some((file.clone(), addr.saturating_add(page_align(size)))),
                    None => continue,
                },
            }
            if let Err(error) = self.unmap_locked(&mut inner, start, stop, &mut removed) {
                drop(inner);
                drop(removed);
                return Err(error);
            }
        }
        drop(inner);
        drop(removed);
        if found.is_some() { Ok(()) } else { Err(EINVAL) }
    }
}
