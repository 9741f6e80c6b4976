// SPDX-License-Identifier: GPL-2.0
//! Rock Ridge: the fields behind a directory record, and those where it says they go on.

use crate::{Store, Volume, byte, date, le32};
use errno::Result;
use errno::code::EIO;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// Times that fields can go on elsewhere: a damaged disc may lead round.
const CONTINUATIONS: usize = 32;
/// Longest symbolic link.
const LINK_MAX: usize = 4095;

/// What the fields of a record say.
#[derive(Default)]
pub(crate) struct Rock {
    /// Mode, links, owner, group.
    pub(crate) posix: Option<[u32; 4]>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) name: KVec<u8>,
    pub(crate) link: KVec<u8>,
    pub(crate) has_link: bool,
    /// Where the directory really is.
    pub(crate) child: Option<u32>,
    /// A directory that is shown elsewhere.
    pub(crate) relocated: bool,
    pub(crate) mtime: Option<i64>,
    pub(crate) atime: Option<i64>,
    pub(crate) ctime: Option<i64>,
    /// There is a list of extensions: the disc says that it has Rock Ridge.
    pub(crate) extensions: bool,
    /// The link's last component goes on in the next field.
    joins: bool,
    /// The name was too long: nothing more is added.
    cut: bool,
}

/// Where fields go on.
struct Next {
    block: u32,
    offset: u32,
    len: u32,
}

impl Rock {
    /// Reads all fields, the first of which are in `area`.
    pub(crate) fn read<S: Store>(volume: &Volume<S>, area: &[u8]) -> Result<Self> {
        let mut rock = Self::default();
        let mut next = rock.area(area)?;
        for _ in 0..CONTINUATIONS {
            let Some(Next { block, offset, len }) = next else { return Ok(rock) };
            next = rock.area(&volume.continuation(block, offset, len)?)?;
        }
        Err(EIO)
    }

    fn area(&mut self, area: &[u8]) -> Result<Option<Next>> {
        let mut rest = area;
        let mut next = None;
        while rest.len() >= 4 {
            let len = usize::from(byte(rest, 2));
            let Some(field) = rest.get(..len).filter(|field| field.len() >= 4) else { break };
            rest = rest.get(len..).unwrap_or(b"");
            match field.first_chunk::<2>() {
                Some(b"ST") => break,
                Some(b"CE") => {
                    next = Some(Next { block: le32(field, 4), offset: le32(field, 12), len: le32(field, 20) })
                }
                _ => self.field(field)?,
            }
        }
        Ok(next)
    }

    fn field(&mut self, field: &[u8]) -> Result {
        match field.first_chunk::<2>() {
            Some(b"PX") => {
                self.posix = Some([le32(field, 4), le32(field, 12), le32(field, 20), le32(field, 28)]);
            }
            Some(b"PN") => {
                let (high, low) = (le32(field, 4), le32(field, 12));
                // Some writers put both numbers into the low half.
                self.device = Some(if low & !0xff != 0 && high == 0 { (low >> 8, low & 0xff) } else { (high, low) });
            }
            // `.` and `..` by flags are not names.
            Some(b"NM") if byte(field, 4) & !1 == 0 && !self.cut => {
                let name = field.get(5..).unwrap_or(b"");
                self.cut = self.name.len() + name.len() >= 254;
                if !self.cut {
                    let end = name.iter().position(|c| *c == 0).unwrap_or(name.len());
                    self.name.extend_from_slice(name.get(..end).unwrap_or(b""), GFP_NOFS)?;
                }
            }
            Some(b"SL") => self.link(field)?,
            Some(b"CL") => self.child = Some(le32(field, 4)),
            Some(b"RE") => self.relocated = true,
            Some(b"TF") => self.times(field),
            Some(b"ER") => self.extensions = true,
            _ => {}
        }
        Ok(())
    }

    fn times(&mut self, field: &[u8]) {
        let flags = byte(field, 4);
        let width = if flags & 0x80 != 0 { 17 } else { 7 };
        let mut rest = field.get(5..).unwrap_or(b"");
        let mut take = |bit: u8| {
            if flags & bit == 0 || rest.len() < width {
                return None;
            }
            let (bytes, left) = rest.split_at(width);
            rest = left;
            Some(if width == 17 { date::long(bytes) } else { date::short(bytes) })
        };
        let created = take(1);
        let (modified, accessed, changed) = (take(2), take(4), take(8));
        self.mtime = modified.or(self.mtime);
        self.atime = accessed.or(self.atime);
        self.ctime = changed.or(created).or(self.ctime);
    }

    fn link(&mut self, field: &[u8]) -> Result {
        self.has_link = true;
        let mut rest = field.get(5..).unwrap_or(b"");
        while rest.len() >= 2 {
            let (flags, len) = (byte(rest, 0), usize::from(byte(rest, 1)));
            let text = rest.get(2..2 + len).ok_or(EIO)?;
            rest = rest.get(2 + len..).unwrap_or(b"");
            if !self.joins && !self.link.is_empty() && self.link.last() != Some(&b'/') {
                self.link.push(b'/', GFP_NOFS)?;
            }
            let text = match flags & 0xe {
                2 => &b"."[..],
                4 => b"..",
                8 => b"/",
                _ => text,
            };
            if self.link.len() + text.len() > LINK_MAX {
                return Err(EIO);
            }
            self.link.extend_from_slice(text, GFP_NOFS)?;
            self.joins = flags & 1 != 0;
        }
        Ok(())
    }
}

/// How many bytes to skip before the fields of every record, if the `.` record of the root has the mark of the protocol.
pub(crate) fn skip(area: &[u8]) -> Option<usize> {
    // Some discs have 14 bytes for others in front.
    [0, 14].into_iter().find_map(|at| {
        let field = area.get(at..)?;
        let found = field.starts_with(b"SP") && byte(field, 4) == 0xbe && byte(field, 5) == 0xef;
        found.then(|| usize::from(byte(field, 6)))
    })
}
