// SPDX-License-Identifier: GPL-2.0
//! The header of a file in a "newc" archive: thirteen fields of eight hexadecimal digits after a magic. No locks.

use crate::Error;

/// How long a header is.
pub(crate) const LEN: usize = 110;

/// What an archive says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Inode number: with `major` and `minor` it tells hard links.
    pub ino: u32,
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub nlink: u32,
    /// Time of modification in seconds.
    pub mtime: u32,
    /// Length in bytes.
    pub size: u32,
    /// Device the file was on.
    pub major: u32,
    /// Device the file was on.
    pub minor: u32,
    /// Which device this is.
    pub rmajor: u32,
    /// Which device this is.
    pub rminor: u32,
    /// Length of the name with its NUL.
    pub name_size: u32,
    /// The sum of the bytes, in "crc" archives.
    pub check: u32,
    /// Whether this is a "crc" archive.
    pub has_check: bool,
}

/// The bits of `mode` that tell the type.
const S_IFMT: u32 = 0o170_000;

impl Header {
    /// The type bits of the mode.
    pub const fn file_type(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// Whether this is a regular file.
    pub const fn is_reg(&self) -> bool {
        self.file_type() == 0o100_000
    }

    /// Whether this is a directory.
    pub const fn is_dir(&self) -> bool {
        self.file_type() == 0o040_000
    }

    /// Whether this is a symbolic link.
    pub const fn is_lnk(&self) -> bool {
        self.file_type() == 0o120_000
    }

    pub(crate) fn parse(bytes: &[u8; LEN]) -> Result<Self, Error> {
        let (magic, fields) = bytes.split_at(6);
        let has_check = match magic {
            b"070701" => false,
            b"070702" => true,
            b"070707" => return Err(Error::OldFormat),
            _ => return Err(Error::NoMagic),
        };
        let (fields, _) = fields.as_chunks::<8>();
        let mut values = [0u32; 13];
        for (value, field) in values.iter_mut().zip(fields) {
            for &c in field {
                let digit = char::from(c).to_digit(16).ok_or(Error::BadHeader)?;
                *value = *value << 4 | digit;
            }
        }
        let [ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, name_size, check] = values;
        Ok(Self { ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, name_size, check, has_check })
    }
}
