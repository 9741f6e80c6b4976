// SPDX-License-Identifier: GPL-2.0
//! The options of a mount. Not built: `nocompress` (there is nothing that decompresses files, so Linux has no such option either),
//! character sets other than UTF-8 and Latin-1 (`EINVAL`).

use core::fmt::Write;
use isofs_format::{Choice, Names, Volume};
use kernel::filesystem::vfs::FsContext;
use kernel::prelude::*;

/// What was asked for.
pub(crate) struct Options {
    pub(crate) choice: Choice,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mode: Option<u32>,
    pub(crate) dmode: Option<u32>,
    pub(crate) override_rock: bool,
    /// Of a disc's sessions; a device without a table of contents has one, which begins at its front.
    session: Option<u32>,
    sbsector: Option<u32>,
}

/// A number as C writes it: octal behind a 0, hexadecimal behind 0x.
fn number(text: &[u8]) -> Result<u32> {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let lower = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let (digits, base) = match lower {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // A sign would be taken too.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u32::from_str_radix(digits, base).map_err(|_| EINVAL)
}

impl Options {
    /// `EINVAL` for what is not known.
    pub(crate) fn parse(context: &FsContext<'_>) -> Result<Self> {
        let choice = Choice {
            rock: true,
            joliet: true,
            utf8: true,
            hide: false,
            associated: false,
            cruft: false,
            relaxed: None,
            names: Names::Normal,
            start: 0,
        };
        let (uid, gid, mode, dmode) = (None, None, None, None);
        let mut out = Self { choice, uid, gid, mode, dmode, override_rock: false, session: None, sbsector: None };
        for option in context.iter_options() {
            out.take(option)?;
        }
        out.choice.start = out.sbsector.unwrap_or(0);
        Ok(out)
    }

    fn take(&mut self, option: (&[u8], Option<&[u8]>)) -> Result {
        let choice = &mut self.choice;
        match option {
            (b"norock", None) => choice.rock = false,
            (b"nojoliet", None) => choice.joliet = false,
            (b"hide", None) => choice.hide = true,
            (b"unhide", None) => choice.hide = false,
            (b"showassoc", None) => choice.associated = true,
            (b"cruft", None) => choice.cruft = true,
            (b"utf8", None) | (b"iocharset", Some(b"utf8")) => choice.utf8 = true,
            (b"iocharset", Some(b"iso8859-1")) => choice.utf8 = false,
            (b"check", Some(b"r" | b"relaxed")) => choice.relaxed = Some(true),
            (b"check", Some(b"s" | b"strict")) => choice.relaxed = Some(false),
            (b"map", Some(b"n" | b"normal")) => choice.names = Names::Normal,
            (b"map", Some(b"o" | b"off")) => choice.names = Names::Off,
            (b"map", Some(b"a" | b"acorn")) => choice.names = Names::Acorn,
            (b"overriderockperm", None) => self.override_rock = true,
            (b"uid", Some(value)) => self.uid = Some(number(value)?),
            (b"gid", Some(value)) => self.gid = Some(number(value)?),
            (b"mode", Some(value)) => self.mode = Some(number(value)? & 0o777),
            (b"dmode", Some(value)) => self.dmode = Some(number(value)? & 0o777),
            (b"session", Some(value)) => self.session = Some(number(value).ok().filter(|n| *n <= 99).ok_or(EINVAL)?),
            (b"sbsector", Some(value)) => self.sbsector = Some(number(value)?),
            // The disc says what its blocks are; Linux begins to read with this size and asks no more of it.
            (b"block", Some(b"512" | b"1024" | b"2048")) => {}
            // Obsolete in Linux too.
            (b"conv", Some(b"b" | b"binary" | b"t" | b"text" | b"m" | b"mtext" | b"a" | b"auto")) => {}
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// As `/proc/mounts` shows them.
    pub(crate) fn show<S: isofs_format::Store>(&self, out: &mut dyn Write, volume: &Volume<S>) -> core::fmt::Result {
        let choice = &self.choice;
        let flags = [
            (volume.rock.is_none(), ",norock"),
            (volume.rock.is_some() && volume.joliet == 0, ",nojoliet"),
            (choice.cruft, ",cruft"),
            (choice.hide, ",hide"),
            (self.override_rock, ",overriderockperm"),
            (choice.associated, ",showassoc"),
        ];
        for (_, text) in flags.iter().filter(|flag| flag.0) {
            out.write_str(text)?;
        }
        let names = match choice.names {
            Names::Off => 'o',
            Names::Normal => 'n',
            Names::Acorn => 'a',
        };
        write!(out, ",check={},map={names}", if volume.relaxed() { 'r' } else { 's' })?;
        let numbers = [("session", self.session), ("sbsector", self.sbsector)];
        for (name, value) in numbers {
            if let Some(value) = value {
                write!(out, ",{name}={value}")?;
            }
        }
        if volume.block_size != 1024 {
            write!(out, ",blocksize={}", volume.block_size)?;
        }
        for (name, value) in [("uid", self.uid), ("gid", self.gid)] {
            if let Some(value) = value {
                write!(out, ",{name}={value}")?;
            }
        }
        for (name, value) in [("dmode", self.dmode), ("fmode", self.mode)] {
            if let Some(value) = value {
                write!(out, ",{name}={value:o}")?;
            }
        }
        out.write_str(if choice.utf8 || volume.joliet == 0 { ",iocharset=utf8" } else { ",iocharset=iso8859-1" })
    }
}
