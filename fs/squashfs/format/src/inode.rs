// SPDX-License-Identifier: GPL-2.0
//! Inodes: fourteen kinds, of which the second seven have room for attributes. No locks.

use crate::METADATA;
use crate::image::{Cursor, Image, Store};
use crate::le::Fields;
use errno::Result;
use errno::code::{EIO, ENAMETOOLONG};
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// A file whose end is in no fragment.
pub const NO_FRAGMENT: u32 = u32::MAX;
/// An inode without attributes.
pub const NO_XATTR: u32 = u32::MAX;

/// Longest symbolic link.
const LINK_MAX: u32 = 4095;

/// What an inode leads to.
#[derive(Debug)]
pub enum Data {
    /// A directory.
    Dir {
        /// Where its entries begin.
        entries: Cursor,
        /// Number of the directory that it is in.
        parent: u32,
        /// How many entries its index has, and where they are.
        index: (u16, Cursor),
    },
    /// A regular file.
    Reg {
        /// Where its first block is.
        start: u64,
        /// Where its list of block sizes is.
        list: Cursor,
        /// Number of the fragment that its end is in, or [`NO_FRAGMENT`].
        fragment: u32,
        /// Where in the fragment.
        offset: u32,
        /// Bytes of holes.
        sparse: u64,
    },
    /// A symbolic link.
    Link(KVec<u8>),
    /// A device, and which.
    Device {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO or socket.
    Special,
}

/// An inode.
#[derive(Debug)]
pub struct Inode {
    /// Number.
    pub ino: u32,
    /// Type and permissions (`S_IF*`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links.
    pub nlink: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes.
    pub size: u64,
    /// Number of its set of attributes, or [`NO_XATTR`].
    pub xattr: u32,
    /// Whether it is of the kinds with more room.
    pub extended: bool,
    /// The rest.
    pub data: Data,
}

/// Of the seven basic kinds: directory, file, link, block and character device, FIFO, socket.
pub(crate) const TYPES: [u32; 7] = [0o040000, 0o100000, 0o120000, 0o060000, 0o020000, 0o010000, 0o140000];

struct Head {
    kind: u16,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u32,
    ino: u32,
}

impl<S: Store> Image<S> {
    /// The inode at reference `at` (a block relative to the table of inodes, and an offset). EIO.
    pub fn inode(&self, at: u64) -> Result<Inode> {
        let block = self.sb.inode_table.checked_add(at >> 16).ok_or(EIO)?;
        if block >= self.sb.directory_table {
            return Err(EIO);
        }
        let mut cursor = Cursor { block, offset: (at & 0xffff) as usize };
        let head = self.head(&mut cursor)?;
        let mut inode = Inode {
            ino: head.ino,
            mode: head.mode,
            uid: head.uid,
            gid: head.gid,
            nlink: 1,
            mtime: head.mtime,
            size: 0,
            xattr: NO_XATTR,
            extended: head.kind > 7,
            data: Data::Special,
        };
        let cursor = &mut cursor;
        match head.kind {
            1 => self.dir(cursor, &mut inode)?,
            2 => self.reg(cursor, &mut inode)?,
            8 => self.long_dir(cursor, &mut inode)?,
            9 => self.long_reg(cursor, &mut inode)?,
            3 | 10 => self.link(cursor, &mut inode)?,
            4 | 5 | 11 | 12 => self.device(cursor, &mut inode)?,
            _ => inode.nlink = Fields(&self.record::<4>(cursor)?).u32()?,
        }
        // Of files and directories it is in the middle.
        if inode.extended && !matches!(head.kind, 8 | 9) {
            inode.xattr = Fields(&self.record::<4>(cursor)?).u32()?;
        }
        Ok(inode)
    }

    fn head(&self, cursor: &mut Cursor) -> Result<Head> {
        let bytes = self.record::<16>(cursor)?;
        let mut f = Fields(&bytes);
        let (kind, mode, uid, gid) = (f.u16()?, f.u16()?, f.u16()?, f.u16()?);
        let basic = if kind > 7 { kind.wrapping_sub(7) } else { kind };
        let file_type = TYPES.get(usize::from(basic).wrapping_sub(1)).ok_or(EIO)?;
        let head = Head {
            kind,
            mode: file_type | u32::from(mode & 0o7777),
            uid: self.id(uid)?,
            gid: self.id(gid)?,
            mtime: f.u32()?,
            ino: f.u32()?,
        };
        if head.ino == 0 { Err(EIO) } else { Ok(head) }
    }

    fn entries(&self, block: u32, offset: u16) -> Result<Cursor> {
        let block = self.sb.directory_table.checked_add(block.into()).ok_or(EIO)?;
        Ok(Cursor { block, offset: offset.into() })
    }

    fn dir(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<16>(cursor)?;
        let mut f = Fields(&bytes);
        let block = f.u32()?;
        inode.nlink = f.u32()?;
        inode.size = f.u16()?.into();
        let entries = self.entries(block, f.u16()?)?;
        inode.data = Data::Dir { entries, parent: f.u32()?, index: (0, *cursor) };
        Ok(())
    }

    fn long_dir(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<24>(cursor)?;
        let mut f = Fields(&bytes);
        inode.nlink = f.u32()?;
        inode.size = f.u32()?.into();
        let (block, parent, count) = (f.u32()?, f.u32()?, f.u16()?);
        let entries = self.entries(block, f.u16()?)?;
        inode.xattr = f.u32()?;
        inode.data = Data::Dir { entries, parent, index: (count, *cursor) };
        Ok(())
    }

    fn reg(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<16>(cursor)?;
        let mut f = Fields(&bytes);
        let (start, fragment, offset) = (f.u32()?, f.u32()?, f.u32()?);
        inode.size = f.u32()?.into();
        inode.data = Data::Reg { start: start.into(), list: *cursor, fragment, offset, sparse: 0 };
        self.check_file(inode)
    }

    fn long_reg(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<40>(cursor)?;
        let mut f = Fields(&bytes);
        let start = f.u64()?;
        inode.size = f.u64()?;
        let sparse = f.u64()?;
        inode.nlink = f.u32()?;
        let (fragment, offset) = (f.u32()?, f.u32()?);
        inode.xattr = f.u32()?;
        inode.data = Data::Reg { start, list: *cursor, fragment, offset, sparse };
        self.check_file(inode)
    }

    /// The list of a file's blocks must fit into the table of inodes, of which a block takes three bytes at least.
    fn check_file(&self, inode: &Inode) -> Result {
        let table = self.sb.directory_table.saturating_sub(self.sb.inode_table);
        let most = (table / 3).saturating_mul(METADATA as u64 / 4);
        let blocks = inode.size >> self.sb.block_log;
        if blocks > most || inode.size > i64::MAX.cast_unsigned() { Err(EIO) } else { Ok(()) }
    }

    fn link(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<8>(cursor)?;
        let mut f = Fields(&bytes);
        inode.nlink = f.u32()?;
        let len = f.u32()?;
        if len > LINK_MAX {
            return Err(ENAMETOOLONG);
        }
        let mut target = KVec::from_elem(0u8, len as usize, GFP_NOFS)?;
        self.read(cursor, &mut target)?;
        if target.is_empty() || target.contains(&0) {
            return Err(EIO);
        }
        inode.size = len.into();
        inode.data = Data::Link(target);
        Ok(())
    }

    fn device(&self, cursor: &mut Cursor, inode: &mut Inode) -> Result {
        let bytes = self.record::<8>(cursor)?;
        let mut f = Fields(&bytes);
        inode.nlink = f.u32()?;
        let dev = f.u32()?;
        inode.data = Data::Device { major: dev >> 8 & 0xfff, minor: dev & 0xff | dev >> 12 & 0xf_ff00 };
        Ok(())
    }
}
