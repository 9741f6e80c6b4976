// SPDX-License-Identifier: GPL-2.0
//! Small texts: version, file systems, devices, consoles, swap areas and partitions.

use super::file;
use errno::{Result, code::*};
use hook::Hook;
use kalloc::{Arc, KVec, flags::GFP_KERNEL};
use kernfs::Node;
use process::misc::VERSION;
use vfs::nth_filesystem;
use vfs::{SeqBuf, seq_print};

/// Makes the files.
pub(super) fn add(tree: &Arc<Node>) -> Result {
    file(tree, "version", 0o444, version)?;
    file(tree, "filesystems", 0o444, filesystems)?;
    file(tree, "devices", 0o444, devices)?;
    file(tree, "consoles", 0o444, consoles)?;
    #[cfg(feature = "CONFIG_SWAP")]
    file(tree, "swaps", 0o444, swaps)?;
    // Without block devices there is no partition; Linux shows no header then.
    file(tree, "partitions", 0o444, |_| Ok(()))
}

/// `/proc/swaps`.
#[cfg(feature = "CONFIG_SWAP")]
fn swaps(out: &mut SeqBuf) -> Result {
    out.put(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")?;
    match mm::swap::LIST.get() {
        Some(list) => list.show(out).map_err(|_| ENOMEM),
        None => Ok(()),
    }
}

fn version(out: &mut SeqBuf) -> Result {
    seq_print!(out, "Linux version {} (rideau) {VERSION}\n", uapi::UTS_RELEASE)
}

fn filesystems(out: &mut SeqBuf) -> Result {
    let mut index = 0;
    while let Some(kind) = nth_filesystem(index) {
        if let Some(kind) = kind {
            out.put(if kind.get().requires_dev() { b"\t" } else { b"nodev\t" })?;
            out.put(kind.get().name().as_bytes())?;
            out.byte(b'\n')?;
        }
        index += 1;
    }
    Ok(())
}

/// `/proc/devices`.
fn devices(out: &mut SeqBuf) -> Result {
    // The list is walked under a spin lock: room first.
    let mut capacity = 64;
    let list = loop {
        let mut list: KVec<(u32, &str)> = KVec::with_capacity(capacity, GFP_KERNEL)?;
        let mut complete = true;
        vfs::chrdev::for_each_chrdev(|major, name| complete &= list.push_within_capacity((major, name)).is_ok());
        if complete {
            break list;
        }
        capacity = capacity.checked_mul(2).ok_or(ENOMEM)?;
    };
    out.put(b"Character devices:\n")?;
    for (major, name) in &list {
        seq_print!(out, "{major:>3} {name}\n")?;
    }
    out.put(b"\nBlock devices:\n")?;
    match BLOCK_MAJORS.get() {
        Some(majors) => majors.list(&mut |major, name| seq_print!(out, "{major:>3} {name}\n")),
        None => Ok(()),
    }
}

/// The block layer, when there is one.
pub trait BlockMajors: Sync {
    /// Calls `f` for each major number and its driver's name, in order.
    fn list(&self, f: &mut dyn FnMut(u32, &str) -> Result) -> Result;
}

/// Lists block drivers.
pub static BLOCK_MAJORS: Hook<dyn BlockMajors> = Hook::new();

/// `/proc/consoles`: name, whether it can be written to and read, flags (enabled, preferred, boot).
fn consoles(out: &mut SeqBuf) -> Result {
    let preferred = printk::console::preferred();
    for console in printk::console::consoles() {
        let mut name = SeqBuf::new(32);
        seq_print!(name, "{}{}", console.name(), console.index())?;
        let is_preferred =
            preferred.is_some_and(|other| other.name() == console.name() && other.index() == console.index());
        let flag = |on: bool, letter: char| if on { letter } else { ' ' };
        seq_print!(
            out,
            "{:<21}-W{} (E{}{}p {})",
            core::str::from_utf8(name.text()).unwrap_or(""),
            if console.can_unblank() { 'U' } else { '-' },
            flag(is_preferred, 'C'),
            flag(console.is_boot(), 'B'),
            flag(console.any_time(), 'a'),
        )?;
        if let Some((major, minor)) = console.device() {
            seq_print!(out, " {major:>4}:{minor}")?;
        }
        out.byte(b'\n')?;
    }
    Ok(())
}
