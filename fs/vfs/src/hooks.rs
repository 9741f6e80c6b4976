// SPDX-License-Identifier: GPL-2.0
//! What the VFS asks of crates above it. Each is registered once at boot.

use crate::file::{FileOps, OpenFlags};
use crate::inode::Inode;
use errno::{Result, code::*};
use hook::Hook;
use kalloc::{Arc, KBox};
use pid_namespace::{PidName, PidNs};

/// Signals and identity of the current process (`kernel/process`).
pub trait ProcessHooks: Sync {
    /// Sends signal `signal` to the current thread (`SIGPIPE`, `SIGXFSZ`).
    fn send_current(&self, signal: u32);
    /// The current process's id in the first name space of process numbers.
    fn current_pid(&self) -> u32;
    /// What the current process is called at all levels.
    fn current_name(&self) -> PidName;
    /// What the current task calls `pid`, a number of the first name space; 0 if it cannot.
    fn number_here(&self, pid: u32) -> u32;
    /// As [`Self::number_here`] in name space `ns`.
    fn number_in(&self, pid: u32, ns: &PidNs) -> u32;
    /// What is called at all levels what the current task calls `id`, if anything is.
    fn name_of(&self, id: u32) -> Option<PidName>;
    /// What the current task calls `id` now. `ESRCH` if nothing. May sleep.
    fn find_target(&self, id: u32) -> Result<Arc<dyn crate::fasync::SignalTarget>>;
}

/// The process layer.
pub static PROCESS: Hook<dyn ProcessHooks> = Hook::new();

/// Opening a FIFO (`fs/pipe`).
pub trait FifoOpen: Sync {
    /// Opens the FIFO `inode`; may wait for the other side.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>>;
}

/// FIFOs.
pub static FIFO: Hook<dyn FifoOpen> = Hook::new();

/// Block devices with dirty pages of their own (`fs/buffer`).
pub trait SyncDevices: Sync {
    /// Writes all of them and waits. May sleep.
    fn sync_all(&self);
    /// Drops what is cached of metadata and not used, looking at about `count` places of each device; how many. May sleep.
    fn shrink(&self, count: usize) -> usize;
    /// Pages of their caches. May sleep.
    fn pages(&self) -> u64;
}

/// Block devices.
pub static DEVICES: Hook<dyn SyncDevices> = Hook::new();

/// Cached pages of block devices (`Buffers` of `/proc/meminfo`). May sleep.
pub fn device_pages() -> u64 {
    DEVICES.get().map_or(0, |devices| devices.pages())
}

/// Writes the dirty pages of all block devices and waits. May sleep.
pub(crate) fn sync_devices() {
    if let Some(devices) = DEVICES.get() {
        devices.sync_all();
    }
}

/// Who loads modules, when there are some to load.
pub trait RequestModule: Sync {
    /// Has the module `name` (which may be an alias) loaded, and waits for that. May sleep.
    fn request_module(&self, name: &[u8]) -> Result;
}

/// Loads modules.
pub static REQUEST_MODULE: Hook<dyn RequestModule> = Hook::new();

/// Asks for a module that has what is missing; that it came is for the caller to see. May sleep.
pub fn request_module(args: core::fmt::Arguments<'_>) {
    if let Some(loader) = REQUEST_MODULE.get()
        && let Ok(name) = kalloc::KString::from_fmt(args, kalloc::flags::GFP_KERNEL)
    {
        // Without it the caller says what is missing.
        let _ = loader.request_module(name.as_bytes());
    }
}

/// Sends a signal to the current thread, if processes are there.
pub fn send_current(signal: u32) {
    if let Some(process) = PROCESS.get() {
        process.send_current(signal);
    }
}

/// The current process's id in the first name space of process numbers; 0 before processes are there.
pub fn current_pid() -> u32 {
    PROCESS.get().map_or(0, |process| process.current_pid())
}

/// What the current process is called at all levels.
pub fn current_name() -> PidName {
    PROCESS.get().map_or(PidName::NONE, |process| process.current_name())
}

/// What the current task calls `pid`, a number of the first name space; 0 if it cannot.
pub fn number_here(pid: u32) -> u32 {
    if pid_namespace::here_is_first() { pid } else { PROCESS.get().map_or(0, |process| process.number_here(pid)) }
}

/// What `pid`, a number of the first name space, is called in `ns`; 0 if it has no number there.
pub fn number_in(pid: u32, ns: &PidNs) -> u32 {
    if ns.is_first() { pid } else { PROCESS.get().map_or(0, |process| process.number_in(pid, ns)) }
}

/// What is called at all levels what the current task calls `id`, if anything is.
pub fn name_of(id: u32) -> Option<PidName> {
    PROCESS.get()?.name_of(id)
}

pub(crate) fn open_fifo(inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
    FIFO.get().ok_or(ENXIO)?.open(inode, flags)
}
