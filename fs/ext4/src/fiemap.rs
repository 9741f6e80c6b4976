// SPDX-License-Identifier: GPL-2.0
//! `FS_IOC_FIEMAP`: where the blocks of a file are. Source: `Documentation/filesystems/fiemap` of Linux, `linux/fiemap.h`.

use crate::mounted::parts;
use errno::code::EINVAL;
use errno::{Error, Result};
use ext4_core::State;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, Inode};

/// Invalid request descriptor.
const EBADR: Error = Error::from_errno(53);
const FLAG_SYNC: u32 = 1;
/// Where the attributes are, and not the data.
const FLAG_XATTR: u32 = 2;
const FLAG_CACHE: u32 = 4;
const FLAGS: u32 = FLAG_SYNC | FLAG_XATTR | FLAG_CACHE;
const LAST: u32 = 1;
const UNKNOWN: u32 = 2;
const DELALLOC: u32 = 4;
const NOT_ALIGNED: u32 = 0x100;
const DATA_INLINE: u32 = 0x200;
const UNWRITTEN: u32 = 0x800;
/// The file has no extents: runs of blocks were joined to one.
const MERGED: u32 = 0x1000;
/// Bytes of the request, and of an extent behind it.
const HEADER: usize = 32;
const EXTENT: usize = 56;

/// An extent in bytes.
#[derive(Clone, Copy)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    flags: u32,
}

impl Extent {
    /// Whether `next` lies behind it, in the file and on the disk, and may be joined to it.
    fn goes_on_in(&self, next: &Self) -> bool {
        let kind = |extent: &Self| extent.flags & !LAST;
        kind(self) & MERGED != 0
            && kind(self) & UNKNOWN == 0
            && kind(self) == kind(next)
            && self.logical + self.length == next.logical
            && self.physical + self.length == next.physical
    }
}

/// What is gathered, and how much of it is wanted.
struct Gathered {
    list: KVec<Extent>,
    count: u32,
    most: u32,
    /// The last one, although none is wanted.
    last: Option<Extent>,
}

impl Gathered {
    /// Adds an extent, or joins it to the last if both are `MERGED`; false when there is room for no more.
    fn push(&mut self, extent: Extent) -> Result<bool> {
        if let Some(last) = self.last.as_mut().filter(|last| last.goes_on_in(&extent)) {
            last.length += extent.length;
            last.flags |= extent.flags;
            if let Some(listed) = self.list.last_mut() {
                *listed = *last;
            }
            return Ok(true);
        }
        if self.most != 0 && self.count == self.most {
            return Ok(false);
        }
        if self.most != 0 {
            self.list.push(extent, GFP_KERNEL)?;
        }
        self.last = Some(extent);
        self.count += 1;
        // One that may grow is the last only when another comes.
        Ok(self.most == 0 || self.count < self.most || extent.flags & MERGED != 0)
    }
}

/// The request at `arg`.
pub(crate) fn fiemap(file: &File, arg: usize) -> Result<usize> {
    let (start, length) = (get_user::<u64>(arg)?, get_user::<u64>(arg + 8)?);
    let (flags, most) = (get_user::<u32>(arg + 16)?, get_user::<u32>(arg + 24)?);
    if flags & !FLAGS != 0 {
        put_user(arg + 16, flags & FLAGS)?;
        return Err(EBADR);
    }
    if length == 0 || most as usize > (u32::MAX as usize) / EXTENT {
        return Err(EINVAL);
    }
    let inode = file.inode();
    if flags & FLAG_SYNC != 0
        && let Some(mapping) = inode.mapping()
    {
        mapping.write_and_wait(0, u64::MAX)?;
    }
    let mut gathered = Gathered { list: KVec::new(), count: 0, most, last: None };
    if flags & FLAG_XATTR != 0 {
        attributes(inode, start, &mut gathered)?;
    } else {
        gather(inode, start, start.saturating_add(length), &mut gathered)?;
    }
    for (index, extent) in gathered.list.iter().enumerate() {
        let at = arg + HEADER + index * EXTENT;
        put_user(at, extent.logical)?;
        put_user(at + 8, extent.physical)?;
        put_user(at + 16, extent.length)?;
        put_user(at + 24, 0u64)?;
        put_user(at + 32, 0u64)?;
        put_user(at + 40, extent.flags)?;
        put_user(at + 44, 0u32)?;
        put_user(at + 48, 0u64)?;
    }
    put_user(arg + 20, gathered.count)?;
    Ok(0)
}

/// The one extent of the attributes.
fn attributes(inode: &Inode, start: u64, gathered: &mut Gathered) -> Result {
    let (node, mount) = parts(inode)?;
    let tree = node.shared.tree.read();
    if let Some((physical, length, inside)) =
        mount.core.xattr_place(&tree.inode)?.filter(|(_, length, _)| start < *length)
    {
        let flags = LAST | if inside { DATA_INLINE | NOT_ALIGNED } else { 0 };
        gathered.push(Extent { logical: 0, physical, length, flags })?;
    }
    Ok(())
}

fn gather(inode: &Inode, start: u64, end: u64, gathered: &mut Gathered) -> Result {
    let (node, mount) = parts(inode)?;
    let tree = node.shared.tree.read();
    if tree.inode.is_inline() {
        let (flags, physical) = (DATA_INLINE | NOT_ALIGNED | LAST, mount.core.inline_place(&tree.inode)?);
        gathered.push(Extent { logical: 0, physical, length: inode.size(), flags })?;
        return Ok(());
    }
    let merged = if tree.inode.uses_extents() { 0 } else { MERGED };
    let bits = mount.core.geo.block_bits;
    let first = u32::try_from(start >> bits).unwrap_or(u32::MAX);
    let past = (end.div_ceil(1 << bits)).min(u64::from(u32::MAX));
    let bytes = |blocks: u32| u64::from(blocks) << bits;
    let mut at = first;
    // Blocks that wait for their place lie between those that have one.
    let delayed_until = |at: &mut u32, limit: u32, gathered: &mut Gathered| -> Result<bool> {
        while let Some((lblk, len)) = tree.delayed.next(*at).filter(|(lblk, _)| *lblk < limit) {
            let len = len.min(limit - lblk);
            *at = lblk + len;
            let last = if tree.delayed.next(*at).is_none() && limit == u32::MAX { LAST } else { 0 };
            let flags = DELALLOC | UNKNOWN | merged | last;
            if !gathered.push(Extent { logical: bytes(lblk), physical: 0, length: bytes(len), flags })? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let mut more = true;
    let mut ended = false;
    mount.core.runs(&tree.inode, first, past, |run, last| {
        more = delayed_until(&mut at, run.lblk, gathered)?;
        if !more {
            return Ok(false);
        }
        at = run.lblk.saturating_add(run.len);
        let unwritten = if matches!(run.state, State::Unwritten(_)) { UNWRITTEN } else { 0 };
        ended = last && tree.delayed.next(at).is_none();
        let extent = Extent {
            logical: bytes(run.lblk),
            physical: run.allocated().unwrap_or(0) << bits,
            length: bytes(run.len),
            flags: unwritten | merged | if ended { LAST } else { 0 },
        };
        more = gathered.push(extent)?;
        Ok(more)
    })?;
    if more && !ended && past == u64::from(u32::MAX) {
        delayed_until(&mut at, u32::MAX, gathered)?;
    } else if more && !ended {
        delayed_until(&mut at, past as u32, gathered)?;
    }
    Ok(())
}
