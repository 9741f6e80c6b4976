// SPDX-License-Identifier: GPL-2.0
//! What a record says of its file.

use crate::record::{Record, flag};
use crate::rock::Rock;
use crate::{Place, SECTOR, Store, Volume, date};
use errno::Result;
use errno::code::EIO;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// A piece of a file: its first block, and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Of the disc.
    pub block: u32,
    /// In bytes.
    pub size: u32,
}

/// A file.
pub struct Inode {
    /// Number.
    pub ino: u64,
    /// Mode with its type from Rock Ridge; `None`: it is up to the mount.
    pub mode: Option<u32>,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Owner and group, from Rock Ridge.
    pub owner: Option<(u32, u32)>,
    /// Links.
    pub nlink: u32,
    /// The device it is.
    pub device: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// Modification, access, change: seconds since 1970.
    pub times: [i64; 3],
    /// Where its data is, in order.
    pub sections: KVec<Section>,
    /// Bytes that its pieces take.
    pub taken: u64,
    /// Where a symbolic link leads.
    pub link: KVec<u8>,
}

/// The pieces that a file may have.
const SECTIONS_MAX: usize = 100;

pub(crate) const S_IFMT: u32 = 0o170000;
pub(crate) const S_IFDIR: u32 = 0o040000;
const S_IFLNK: u32 = 0o120000;

impl<S: Store> Volume<S> {
    /// The file whose record is at `at`. For a directory, that is the first record of its own. EIO.
    pub fn inode(&self, at: Place) -> Result<Inode> {
        let (mut inode, child, more) = self.with_record(at, |record| {
            let rock = self.rock_of(record)?;
            let child = rock.as_ref().and_then(|rock| rock.child);
            Ok((inode_of(at, record, rock)?, child, record.flags() & flag::MORE != 0))
        })?;
        if let Some(block) = child {
            // The directory is elsewhere; the number stays that of the place where it is shown.
            let place = self.block(block);
            let ino = inode.ino;
            inode = self.with_record(place, |record| inode_of(place, record, self.rock_of(record)?))?;
            inode.ino = ino;
        } else if more {
            self.more_sections(at, &mut inode)?;
        }
        if self.choice.cruft {
            inode.size &= 0xff_ffff;
        }
        let shown = inode.mode.map_or(inode.is_dir, |mode| mode & S_IFMT == S_IFDIR);
        if shown != inode.is_dir { Err(EIO) } else { Ok(inode) }
    }

    /// The records behind the first one of a file in several pieces.
    fn more_sections(&self, at: Place, inode: &mut Inode) -> Result {
        let mut at = at;
        for _ in 0..SECTIONS_MAX {
            let len = self.with_record(at, |record| Ok(record.len() as u32))?;
            at.0 += u64::from(len);
            let next = self.with_record(at, |record| Ok((section(record), record.flags())));
            // No record fits: the next is in the next sector.
            let (section, flags) = match next {
                Ok(found) => found,
                Err(_) => {
                    at = Place((at.0 / SECTOR + 1) * SECTOR);
                    self.with_record(at, |record| Ok((section(record), record.flags())))?
                }
            };
            inode.size = inode.size.saturating_add(section.size.into());
            inode.taken = inode.size;
            inode.sections.push(section, GFP_NOFS)?;
            if flags & flag::MORE == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn section(record: &Record<'_>) -> Section {
    Section { block: record.extent(), size: record.size() }
}

fn inode_of(at: Place, record: &Record<'_>, rock: Option<Rock>) -> Result<Inode> {
    let is_dir = record.flags() & flag::DIR != 0;
    let time = date::short(record.date());
    let mut inode = Inode {
        ino: at.ino(),
        mode: None,
        is_dir,
        owner: None,
        nlink: 1,
        device: (0, 0),
        size: if record.is_interleaved() { 0 } else { record.size().into() },
        taken: 0,
        times: [time; 3],
        sections: KVec::new(),
        link: KVec::new(),
    };
    inode.taken = inode.size;
    if inode.size != 0 {
        inode.sections.push(section(record), GFP_NOFS)?;
    }
    let Some(rock) = rock else { return Ok(inode) };
    // A directory that is shown here but lies elsewhere has a file's record.
    inode.is_dir |= rock.child.is_some();
    if let Some([mode, nlink, uid, gid]) = rock.posix {
        inode.mode = Some(mode & 0o177777);
        inode.nlink = nlink;
        inode.owner = Some((uid, gid));
    }
    inode.device = rock.device.unwrap_or((0, 0));
    inode.times = [rock.mtime.unwrap_or(time), rock.atime.unwrap_or(time), rock.ctime.unwrap_or(time)];
    if rock.has_link && inode.mode.is_some_and(|mode| mode & S_IFMT == S_IFLNK) {
        inode.size = rock.link.len() as u64;
        inode.link = rock.link;
    }
    Ok(inode)
}
