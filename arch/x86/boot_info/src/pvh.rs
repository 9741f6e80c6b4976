// SPDX-License-Identifier: GPL-2.0
//! Xen's `hvm_start_info`, which QEMU and small monitors pass to the PVH entry, read into a [`BootInfo`].
//! Source: xen/include/public/arch-x86/hvm/start_info.h. Called by `x86_head`. No locks.

use crate::bytes::{u32_at, u64_at};
use crate::memmap::MAX_REGIONS;
use crate::{BootInfo, MAX_INITRDS, MemKind, PhysRead, Protocol};

/// `HVM_START_INFO` magic.
pub const MAGIC: u32 = 0x336e_c578;
/// Bytes of version 1 of the structure.
pub const SIZE: usize = 56;
const MODULE_SIZE: usize = 32;
const MEMMAP_SIZE: usize = 24;

/// Fills `info` from the structure at physical address `addr`. `false` when there is no valid structure there.
pub fn parse(info: &mut BootInfo, addr: u64, mem: &dyn PhysRead) -> bool {
    let mut start = [0u8; SIZE];
    // Version 0 is 16 bytes shorter; it lies in RAM like all else, so reading on is harmless.
    if !mem.read(addr, &mut start) || u32_at(&start, 0) != Some(MAGIC) {
        return false;
    }
    info.protocol = Protocol::Pvh;
    fields(info, &start, mem).is_some()
}

fn fields(info: &mut BootInfo, start: &[u8], mem: &dyn PhysRead) -> Option<()> {
    let version = u32_at(start, 4)?;
    if version >= 1 {
        memory(info, u64_at(start, 40)?, u32_at(start, 48)?, mem);
    }
    info.memory.sanitize();
    modules(info, u64_at(start, 16)?, u32_at(start, 12)?, mem);
    info.rsdp = Some(u64_at(start, 32)?).filter(|addr| *addr != 0);
    info.read_cmdline(mem, u64_at(start, 24)?);
    Some(())
}

fn memory(info: &mut BootInfo, table: u64, count: u32, mem: &dyn PhysRead) {
    for_each::<MEMMAP_SIZE>(table, (count as usize).min(MAX_REGIONS), mem, |entry| {
        let kind = MemKind::from_e820(u32_at(entry, 16)?);
        info.memory.push(u64_at(entry, 0)?, u64_at(entry, 8)?, kind);
        Some(())
    });
}

fn modules(info: &mut BootInfo, table: u64, count: u32, mem: &dyn PhysRead) {
    for_each::<MODULE_SIZE>(table, (count as usize).min(MAX_INITRDS), mem, |entry| {
        info.push_initrd(u64_at(entry, 0)?, u64_at(entry, 8)?);
        Some(())
    });
}

/// Calls `each` with `count` entries of `N` bytes from physical `table`, until one cannot be read.
fn for_each<const N: usize>(table: u64, count: usize, mem: &dyn PhysRead, mut each: impl FnMut(&[u8]) -> Option<()>) {
    let mut at = table;
    for _ in 0..count {
        let mut entry = [0u8; N];
        if table == 0 || !mem.read(at, &mut entry) || each(&entry).is_none() {
            return;
        }
        at = at.saturating_add(N as u64);
    }
}
