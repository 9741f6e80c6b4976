// SPDX-License-Identifier: GPL-2.0
//! Texts about the system as a whole, at the top of `/proc`. Locks: those of what is shown.

mod cpuflags;
mod cpuinfo;
mod interrupts;
mod kallsyms;
mod memory;
mod stat;
mod system;

pub use system::{BLOCK_MAJORS, BlockMajors};

use errno::Result;
use kalloc::Arc;
use kernfs::{Node, Text};
use vfs::SeqBuf;

/// A readable text of one record.
pub(crate) fn file(
    dir: &Arc<Node>,
    name: &str,
    mode: u32,
    show: impl Fn(&mut SeqBuf) -> Result + Send + Sync + 'static,
) -> Result {
    dir.attr(name.as_bytes(), mode, Text(show))?;
    Ok(())
}

/// Writes a set of CPUs as Linux writes lists: `0-3,5`.
pub(crate) fn cpu_list(set: u64, out: &mut SeqBuf) -> Result {
    sysfs::cpu::put_list(set, out)
}

/// Makes the files.
pub(crate) fn add(tree: &Arc<Node>, command_line: &'static [u8]) -> Result {
    file(tree, "cmdline", 0o444, move |out| {
        out.put(command_line)?;
        out.byte(b'\n')
    })?;
    tree.attr(b"cpuinfo", 0o444, cpuinfo::CpuInfo)?;
    file(tree, "interrupts", 0o444, interrupts::show)?;
    file(tree, "meminfo", 0o444, memory::meminfo)?;
    file(tree, "vmstat", 0o444, memory::vmstat)?;
    file(tree, "buddyinfo", 0o444, memory::buddyinfo)?;
    file(tree, "zoneinfo", 0o444, memory::zoneinfo)?;
    file(tree, "pagetypeinfo", 0o400, memory::pagetypeinfo)?;
    file(tree, "slabinfo", 0o400, memory::slabinfo)?;
    file(tree, "stat", 0o444, stat::stat)?;
    if ::kallsyms::table().is_some() {
        tree.attr(b"kallsyms", 0o444, kallsyms::Kallsyms)?;
    }
    file(tree, "uptime", 0o444, stat::uptime)?;
    file(tree, "loadavg", 0o444, stat::loadavg)?;
    file(tree, "locks", 0o444, |out| vfs::lock_list::show_locks(&pid_namespace::here(), out))?;
    system::add(tree)
}
