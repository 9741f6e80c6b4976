// SPDX-License-Identifier: GPL-2.0
//! What the switch saves and loads besides the stack: FS/GS bases, floating-point state, the address space, preemption depth.

use crate::io_ports::IoPorts;
use errno::Result;
use kalloc::Arc;
use x86_fpu::FpuState;
use x86_mm::PageTable;

/// Saved machine state of a task that does not run.
pub(crate) struct Context {
    /// Stack pointer: below it lie the callee-saved registers and the return address.
    pub(crate) sp: usize,
    /// Depth of preemption-off (the scheduler's own level while switched out).
    pub(crate) preempt: u32,
    /// User FS base.
    pub(crate) fs_base: u64,
    /// User GS base.
    pub(crate) gs_base: u64,
    /// The address space; `None` for kernel threads, which run on whatever is loaded.
    pub(crate) page_table: Option<Arc<PageTable>>,
    /// The I/O ports that the program may use; `None`: none.
    pub(crate) io_ports: Option<Arc<IoPorts>>,
    /// RDTSC faults in user mode (`PR_SET_TSC`).
    pub(crate) no_tsc: bool,
    /// Floating-point and vector state; `None` for kernel threads.
    pub(crate) fpu: Option<FpuState>,
}

impl Context {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            sp: 0,
            preempt: 0,
            fs_base: 0,
            gs_base: 0,
            page_table: None,
            io_ports: None,
            no_tsc: false,
            fpu: None,
        })
    }
}
