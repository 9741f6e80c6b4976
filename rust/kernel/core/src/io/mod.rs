// SPDX-License-Identifier: GPL-2.0
//! Ways to reach registers and memory of devices: what `kernel::io` has accesses for.
//!
//! No locks: who writes a register that another CPU may write sees to the order.

mod backend;
#[cfg(CONFIG_KUNIT = "y")]
#[doc(hidden)]
pub mod for_tests;
pub mod mem;
mod mmio;
mod part;
mod project;
mod region;
mod sys_map;
mod sys_mem;

pub use crate::io_project;
pub(crate) use backend::io_backend;
pub use backend::{IoBackend, IoBase, IoCapable, IoCopyable};
pub use kernel_base::io::resource::{self, Resource};
pub use kernel_base::io::{PhysAddr, ResourceSize};
pub use mmio::{Mmio, MmioBackend, MmioRaw, RelaxedMmio, RelaxedMmioBackend};
#[doc(hidden)]
pub use part::{checked, copy_in, copy_out, known};
#[doc(hidden)]
pub use project::{finish, start};
pub use region::Region;
pub use sys_map::{IoSysMap, IoSysMapBackend};
pub use sys_mem::{SysMem, SysMemBackend};
