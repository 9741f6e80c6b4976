// SPDX-License-Identifier: GPL-2.0
//! What the switch saves and loads besides the stack: segments and FS/GS bases, floating-point state, the address space, preemption depth.

use crate::IoPorts;
use crate::debug_regs::DebugRegs;
use errno::Result;
use kalloc::Arc;
use x86_cpu::segments::Selectors;
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
    /// User mode's segment selectors.
    pub(crate) selectors: Selectors,
    /// The address space; `None` for kernel threads, which run on whatever is loaded.
    pub(crate) page_table: Option<Arc<PageTable>>,
    /// The I/O ports that the program may use; `None`: none.
    pub(crate) io_ports: Option<Arc<IoPorts>>,
    /// RDTSC faults in user mode (`PR_SET_TSC`).
    pub(crate) no_tsc: bool,
    /// Hardware breakpoints.
    pub(crate) debug: DebugRegs,
    /// What the switch has to load besides what every task has: the bits below.
    pub(crate) special: u32,
    /// Floating-point and vector state; `None` for kernel threads.
    pub(crate) fpu: Option<FpuState>,
}

impl Context {
    /// `special`: `io_ports` is there.
    pub(crate) const IO_PORTS: u32 = 1 << 0;
    /// `special`: `no_tsc` is set.
    pub(crate) const NO_TSC: u32 = 1 << 1;
    /// `special`: breakpoints are on.
    pub(crate) const DEBUG: u32 = 1 << 2;
    /// `special`: system calls take the traced entry.
    pub(crate) const TRACED: u32 = 1 << 3;

    /// Sets or clears a bit of `special`.
    pub(crate) fn mark(&mut self, bit: u32, on: bool) {
        self.special = if on { self.special | bit } else { self.special & !bit };
    }

    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            sp: 0,
            preempt: 0,
            fs_base: 0,
            gs_base: 0,
            selectors: Selectors::default(),
            page_table: None,
            io_ports: None,
            no_tsc: false,
            debug: DebugRegs::default(),
            special: 0,
            fpu: None,
        })
    }
}
