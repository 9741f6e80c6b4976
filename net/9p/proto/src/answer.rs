// SPDX-License-Identifier: GPL-2.0
//! Answers. Each type is read from what follows the frame; too few bytes are EFAULT, more than it needs are ignored, as in Linux.

use crate::wire::Reader;
use errno::{Result, code::*};

/// What a file is to the server: equal for the same file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Qid {
    /// Its type; `0x80` directory, `0x02` symbolic link.
    pub kind: u8,
    /// Changes with its contents.
    pub version: u32,
    /// Its number.
    pub path: u64,
}

impl Qid {
    /// Reads one.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { kind: reader.take_u8()?, version: reader.take_u32()?, path: reader.take_u64()? })
    }
}

/// What was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version<'a> {
    /// Bytes of the greatest message.
    pub msize: u32,
    /// The version.
    pub version: &'a [u8],
}

impl<'a> Version<'a> {
    /// Reads it.
    pub fn read(body: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(body);
        Ok(Self { msize: reader.take_u32()?, version: reader.string()? })
    }
}

/// How far a walk came: the last file's qid, and how many names it took. EINVAL for more than `asked`.
pub fn walked(body: &[u8], asked: usize) -> Result<(Option<Qid>, usize)> {
    let mut reader = Reader::new(body);
    let count = usize::from(reader.take_u16()?);
    if count > asked {
        return Err(EINVAL);
    }
    let mut last = None;
    for _ in 0..count {
        last = Some(Qid::read(&mut reader)?);
    }
    Ok((last, count))
}

/// An open file: what it is, and how many bytes are best read at once (0: the server does not say).
pub fn opened(body: &[u8]) -> Result<(Qid, u32)> {
    let mut reader = Reader::new(body);
    Ok((Qid::read(&mut reader)?, reader.take_u32()?))
}

/// A qid alone.
pub fn qid(body: &[u8]) -> Result<Qid> {
    Qid::read(&mut Reader::new(body))
}

/// Bytes of a read or a write. EIO for more than `asked`: the server cannot count.
pub fn count(body: &[u8], asked: u32) -> Result<u32> {
    let count = Reader::new(body).take_u32()?;
    if count > asked { Err(EIO) } else { Ok(count) }
}

/// The attributes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Attributes {
    /// Which fields are true.
    pub valid: u64,
    pub qid: Qid,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u64,
    /// In the server's form.
    pub rdev: u64,
    pub size: u64,
    pub blksize: u64,
    pub blocks: u64,
    /// Seconds and nanoseconds.
    pub atime: (u64, u64),
    pub mtime: (u64, u64),
    pub ctime: (u64, u64),
    pub btime: (u64, u64),
    pub gen_: u64,
    pub data_version: u64,
}

impl Attributes {
    /// Reads them.
    pub fn read(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body);
        let time = |r: &mut Reader<'_>| -> Result<(u64, u64)> { Ok((r.take_u64()?, r.take_u64()?)) };
        Ok(Self {
            valid: r.take_u64()?,
            qid: Qid::read(&mut r)?,
            mode: r.take_u32()?,
            uid: r.take_u32()?,
            gid: r.take_u32()?,
            nlink: r.take_u64()?,
            rdev: r.take_u64()?,
            size: r.take_u64()?,
            blksize: r.take_u64()?,
            blocks: r.take_u64()?,
            atime: time(&mut r)?,
            mtime: time(&mut r)?,
            ctime: time(&mut r)?,
            btime: time(&mut r)?,
            gen_: r.take_u64()?,
            data_version: r.take_u64()?,
        })
    }
}

/// Counts of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct StatFs {
    pub kind: u32,
    pub bsize: u32,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub fsid: u64,
    pub namelen: u32,
}

impl StatFs {
    /// Reads them.
    pub fn read(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body);
        Ok(Self {
            kind: r.take_u32()?,
            bsize: r.take_u32()?,
            blocks: r.take_u64()?,
            bfree: r.take_u64()?,
            bavail: r.take_u64()?,
            files: r.take_u64()?,
            ffree: r.take_u64()?,
            fsid: r.take_u64()?,
            namelen: r.take_u32()?,
        })
    }
}

/// A lock that is in the way; `UNLCK`: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct GotLock {
    pub kind: u8,
    pub start: u64,
    pub length: u64,
    pub pid: u32,
}

impl GotLock {
    /// Reads it.
    pub fn read(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body);
        let lock = Self { kind: r.take_u8()?, start: r.take_u64()?, length: r.take_u64()?, pid: r.take_u32()? };
        // The machine that has it.
        r.string()?;
        Ok(lock)
    }
}

/// An entry of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Entry<'a> {
    pub qid: Qid,
    /// Where the next one is, in the server's counting.
    pub next: u64,
    /// `DT_*`.
    pub kind: u8,
    pub name: &'a [u8],
}

/// The entries of a piece of a directory. One that is not whole, or whose name no file can have, is EIO and the last.
pub struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    /// Of the data of an answer.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Reader::new(data))
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.0.rest().len()
    }

    fn entry(&mut self) -> Result<Entry<'a>> {
        let r = &mut self.0;
        let entry = Entry { qid: Qid::read(r)?, next: r.take_u64()?, kind: r.take_u8()?, name: r.string()? };
        let bad = entry.name.is_empty() || entry.name.len() > 255 || entry.name.iter().any(|&b| b == 0 || b == b'/');
        if bad { Err(EIO) } else { Ok(entry) }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left() == 0 {
            return None;
        }
        let entry = self.entry().map_err(|_| EIO);
        if entry.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(entry)
    }
}
