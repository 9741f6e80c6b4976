// SPDX-License-Identifier: GPL-2.0
//! Directory records and their names.

use crate::{byte, le32};
use errno::Result;
use errno::code::EIO;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// Flags of a record.
pub(crate) mod flag {
    pub(crate) const HIDDEN: u8 = 1;
    pub(crate) const DIR: u8 = 2;
    pub(crate) const ASSOCIATED: u8 = 4;
    /// More records of the same file follow.
    pub(crate) const MORE: u8 = 0x80;
}

/// Bytes before the name.
const HEADER: usize = 33;

/// A record.
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    name_len: usize,
}

impl<'a> Record<'a> {
    /// The record at the front of `bytes`, which reach to the end of the sector. EIO.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let len = usize::from(byte(bytes, 0));
        let bytes = bytes.get(..len).filter(|bytes| bytes.len() > HEADER).ok_or(EIO)?;
        let name_len = usize::from(byte(bytes, 32));
        if name_len == 0 || HEADER + name_len > len {
            return Err(EIO);
        }
        Ok(Self { bytes, name_len })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// First block, behind its extended attribute record.
    pub(crate) fn extent(&self) -> u32 {
        le32(self.bytes, 2).saturating_add(byte(self.bytes, 1).into())
    }

    pub(crate) fn size(&self) -> u32 {
        le32(self.bytes, 10)
    }

    pub(crate) fn date(&self) -> &'a [u8] {
        self.bytes.get(18..25).unwrap_or(b"")
    }

    pub(crate) fn flags(&self) -> u8 {
        byte(self.bytes, 25)
    }

    /// Whether the file's blocks lie in pieces with gaps, which nobody makes.
    pub(crate) fn is_interleaved(&self) -> bool {
        byte(self.bytes, 27) != 0
    }

    pub(crate) fn name(&self) -> &'a [u8] {
        self.bytes.get(HEADER..HEADER + self.name_len).unwrap_or(b"")
    }

    /// The fields behind the name.
    pub(crate) fn system_use(&self, skip: usize) -> &'a [u8] {
        let at = HEADER + self.name_len + usize::from(self.name_len.is_multiple_of(2));
        self.bytes.get(at + skip..).unwrap_or(b"")
    }

    /// Whether it is `.` or `..`.
    pub(crate) fn dots(&self) -> usize {
        match self.name() {
            [0] => 1,
            [1] => 2,
            _ => 0,
        }
    }
}

/// How plain names are shown (`map=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// As they are.
    Off,
    /// Small letters, without version.
    Normal,
    /// As `Normal`, with what RISC OS keeps behind them.
    Acorn,
}

/// The plain name of a record.
pub(crate) fn mapped(record: &Record<'_>, names: Names) -> Result<KVec<u8>> {
    match names {
        Names::Off => Ok(KVec::from_slice(record.name(), GFP_NOFS)?),
        Names::Normal => plain(record.name()),
        Names::Acorn => acorn(record),
    }
}

/// A name of RISC OS: a leading `!` that ISO 9660 has no letter for, and the type of a file as three digits behind a comma.
fn acorn(record: &Record<'_>) -> Result<KVec<u8>> {
    let mut out = plain(record.name())?;
    let extra = record.system_use(0);
    if out.is_empty() || extra.len() != 32 || !extra.starts_with(b"ARCHIMEDES") {
        return Ok(out);
    }
    if byte(extra, 19) & 1 == 1
        && let Some(first) = out.first_mut().filter(|first| **first == b'_')
    {
        *first = b'!';
    }
    if record.flags() & flag::DIR == 0 && byte(extra, 13) == 0xff && byte(extra, 12) & 0xf0 == 0xf0 {
        out.push(b',', GFP_NOFS)?;
        for digit in [byte(extra, 12) & 15, byte(extra, 11) >> 4, byte(extra, 11) & 15] {
            out.push(b"0123456789abcdef".get(usize::from(digit)).copied().unwrap_or(b'0'), GFP_NOFS)?;
        }
    }
    Ok(out)
}

/// A plain name as it is shown: small letters, without version and its full stop.
fn plain(name: &[u8]) -> Result<KVec<u8>> {
    let mut out = KVec::with_capacity(name.len(), GFP_NOFS)?;
    for (i, &c) in name.iter().enumerate() {
        let rest = name.get(i..).unwrap_or(b"");
        if c == 0 || rest == b".;1" || rest == b";1" {
            break;
        }
        let c = if c == b';' || c == b'/' { b'.' } else { c.to_ascii_lowercase() };
        out.push(c, GFP_NOFS)?;
    }
    Ok(out)
}

/// A Joliet name (big-endian UTF-16): in UTF-8, or in Latin-1 with `?` for what that lacks.
pub(crate) fn joliet(name: &[u8], utf8: bool) -> Result<KVec<u8>> {
    let units = name.chunks_exact(2).map(|pair| u16::from(byte(pair, 0)) << 8 | u16::from(byte(pair, 1)));
    let mut out = KVec::with_capacity(name.len(), GFP_NOFS)?;
    for c in char::decode_utf16(units) {
        match c {
            Ok('\0') => break,
            Ok(c) if utf8 => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes(), GFP_NOFS)?,
            Ok(c) => out.push(u8::try_from(u32::from(c)).unwrap_or(b'?'), GFP_NOFS)?,
            // Half of a pair stands for nothing.
            Err(_) if utf8 => {}
            Err(_) => out.push(b'?', GFP_NOFS)?,
        }
    }
    let keep = match out.as_slice() {
        [rest @ .., b';', b'1'] if !rest.is_empty() => rest.len(),
        all => all.len(),
    };
    out.truncate(keep);
    // A full stop that stands for no extension.
    while out.len() > 1 && out.last() == Some(&b'.') {
        out.pop();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let shown = |name: &[u8]| plain(name).unwrap().to_vec();
        assert_eq!(shown(b"FILE.TXT;1"), b"file.txt");
        assert_eq!(shown(b"FILE.;1"), b"file");
        assert_eq!(shown(b"A;2/B"), b"a.2.b");
        let wide = |text: &str, utf8| {
            let bytes: std::vec::Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            joliet(&bytes, utf8).unwrap().to_vec()
        };
        assert_eq!(wide("Name.txt;1", true), b"Name.txt");
        assert_eq!(wide("end...", true), b"end");
        assert_eq!(wide(".", true), b".");
        assert_eq!(wide("\u{e9}\u{4e16}", false), b"\xe9?");
        assert_eq!(joliet(&[0xd8, 0, 0, b'a'], true).unwrap().as_slice(), b"a");
    }

    #[test]
    fn of_risc_os() {
        let mut bytes = [0u8; 72];
        bytes[0] = 72;
        bytes[32] = 6;
        bytes[33..39].copy_from_slice(b"_BOOT;");
        bytes[40..50].copy_from_slice(b"ARCHIMEDES");
        (bytes[51], bytes[52], bytes[53], bytes[59]) = (0xeb, 0xff, 0xff, 1);
        let record = Record::new(&bytes).unwrap();
        assert_eq!(mapped(&record, Names::Acorn).unwrap().as_slice(), b"!boot.,feb");
        assert_eq!(mapped(&record, Names::Normal).unwrap().as_slice(), b"_boot.");
    }
}
