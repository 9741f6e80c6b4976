// SPDX-License-Identifier: GPL-2.0
//! A file's blocks for swap space: pages go to them without the file system, so all must have their place. Source: what Linux's
//! `iomap_swapfile_activate` refuses, with its messages.

use crate::mounted::parts;
use errno::Result;
use errno::code::EINVAL;
use kernel::filesystem::vfs::Inode;

/// Calls `add` with position and length, in bytes, of each run of blocks from the file's first on. Blocks that were given to the file but
/// not written yet (`fallocate`) will do. EINVAL for holes, and for files without blocks of their own.
pub(crate) fn extents(inode: &Inode, add: &mut dyn FnMut(u64, u64) -> Result) -> Result {
    let (node, mount) = parts(inode)?;
    let tree = node.shared.tree.read();
    let refuse = |why: &str| {
        kernel::pr_err!("swapon: {why}\n");
        Err(EINVAL)
    };
    if tree.inode.is_inline() {
        return refuse("file is inline");
    }
    let bits = mount.core.geo.block_bits;
    let end = inode.size().div_ceil(1 << bits);
    let mut at = 0u64;
    let mut hole = false;
    mount.core.runs(&tree.inode, 0, end, |run, _| {
        let Some(block) = run.allocated().filter(|_| u64::from(run.lblk) == at) else {
            hole = true;
            return Ok(false);
        };
        let len = u64::from(run.len).min(end - at);
        at += len;
        add(block << bits, len << bits)?;
        Ok(at < end)
    })?;
    if hole || at < end {
        return refuse("file has holes");
    }
    Ok(())
}
