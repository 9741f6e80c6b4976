// SPDX-License-Identifier: GPL-2.0
//! What a futex's address means: a place in private memory is named by address space and address, one in shared memory by the
//! file's page. Source: `futex(2)`, "private" and "shared".

use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use errno::{Result, code::*};
use mm_alloc::layout::{PAGE_MASK, TASK_SIZE};

/// Names a futex. Equal keys are the same futex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FutexKey {
    /// In memory that is not shared between processes.
    Private {
        /// The address space.
        mm: u64,
        /// The address.
        addr: usize,
    },
    /// In a file, or shared memory.
    Shared {
        /// The file's cache.
        mapping: usize,
        /// Page of the file.
        index: u64,
        /// Byte in the page.
        offset: usize,
    },
}

impl Mm {
    /// The key of the word at `addr`. `shared` is false for FUTEX_PRIVATE_FLAG: then nothing is looked up. EINVAL if not aligned,
    /// EFAULT. May sleep.
    pub fn futex_key(&self, addr: usize, shared: bool) -> Result<FutexKey> {
        if !addr.is_multiple_of(4) {
            return Err(EINVAL);
        }
        if addr >= TASK_SIZE - 4 {
            return Err(EFAULT);
        }
        if !shared {
            return Ok(FutexKey::Private { mm: self.id(), addr });
        }
        let page = addr & PAGE_MASK;
        let inner = self.inner.read();
        let slot = inner.areas.containing(addr).ok_or(EFAULT)?;
        if !self.key_permits(slot.value.flags, false) {
            return Err(EFAULT);
        }
        match slot.value.mapping() {
            Some(mapping) if slot.value.flags.any(VmFlags::MAYSHARE) => Ok(FutexKey::Shared {
                mapping: mapping.id(),
                index: slot.value.pgoff_at(slot.start, page),
                offset: addr - page,
            }),
            _ if slot.value.flags.any(VmFlags::ACCESS) => Ok(FutexKey::Private { mm: self.id(), addr }),
            _ => Err(EFAULT),
        }
    }
}
