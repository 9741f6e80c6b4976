// SPDX-License-Identifier: GPL-2.0
//! Views of ordinary memory, which is borrowed meanwhile: for tests.

use super::{Mmio, MmioRaw, Region, SysMem};
use crate::error::Result;
use zerocopy::{FromBytes, IntoBytes};

/// A view as of a device's memory, which ordinary memory answers like. `EINVAL` as for [`MmioRaw::new_region`].
pub fn mmio<const SIZE: usize>(memory: &mut [u8]) -> Result<Mmio<'_, Region<SIZE>>> {
    let raw = MmioRaw::new_region(memory.as_mut_ptr().expose_provenance(), memory.len())?;
    // SAFETY: It is mapped and borrowed as long as the view is there; the place and size were just checked.
    Ok(unsafe { Mmio::from_raw(raw) })
}

/// A view as of memory that a device writes, too.
pub fn sys_mem<T: FromBytes + IntoBytes + ?Sized>(memory: &mut T) -> SysMem<'_, T> {
    // SAFETY: It is a reference's memory, borrowed by nobody else as long as the view is there; any bytes are a `T`.
    unsafe { SysMem::new(memory) }
}
