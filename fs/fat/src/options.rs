// SPDX-License-Identifier: GPL-2.0
//! The options of a mount. Not built (`EINVAL`): code pages other than 437, character sets other than ASCII, Latin-1 and UTF-8,
//! `nfs`, `dos1xfloppy`, `debug`, `sys_immutable`.

use core::fmt::Write;
use fat_format::charset::{Charset, Coding};
use fat_format::short::Style;
use kernel::filesystem::cred;
use kernel::filesystem::vfs::FsContext;
use kernel::filesystem::vfs::namei::create::current_umask;
use kernel::filesystem::vfs::option::{id, number};
use kernel::prelude::*;

/// What an error does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    Continue,
    Panic,
    ReadOnly,
}

/// What was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) fmask: u32,
    pub(crate) dmask: u32,
    /// Who may set times though he is not the owner: the group, the others.
    pub(crate) allow_utime: u32,
    pub(crate) coding: Coding,
    pub(crate) style: Style,
    /// `check=`.
    check: u8,
    /// The free count on the disk is believed.
    pub(crate) usefree: bool,
    pub(crate) quiet: bool,
    pub(crate) showexec: bool,
    /// Short names get a number only if they must.
    pub(crate) numtail: bool,
    /// A read-only attribute of directories counts.
    pub(crate) rodir: bool,
    pub(crate) flush: bool,
    pub(crate) discard: bool,
    /// Minutes that local time is before UTC, if the mount says so.
    time_offset: Option<i32>,
    pub(crate) errors: Policy,
}

fn decide(value: Option<&[u8]>) -> Result<bool> {
    match value {
        None | Some(b"1" | b"yes" | b"true") => Ok(true),
        Some(b"0" | b"no" | b"false") => Ok(false),
        Some(_) => Err(EINVAL),
    }
}

impl Options {
    /// `EINVAL` for what is not known.
    pub(crate) fn parse(context: &FsContext<'_>) -> Result<Self> {
        let cred = cred::current_cred()?;
        let mask = current_umask();
        let mut out = Self {
            uid: cred.uid,
            gid: cred.gid,
            fmask: mask,
            dmask: mask,
            allow_utime: u32::MAX,
            coding: Coding { utf8: true, io: Charset::Ascii, escapes: false, strict: false },
            style: Style::Mixed,
            check: b'n',
            usefree: false,
            quiet: false,
            showexec: false,
            numtail: true,
            rodir: false,
            flush: false,
            discard: false,
            time_offset: None,
            errors: Policy::ReadOnly,
        };
        for option in context.iter_options() {
            out.take(option)?;
        }
        if out.allow_utime == u32::MAX {
            // Who may write in directories.
            out.allow_utime = !out.dmask & 0o022;
        }
        if out.coding.escapes {
            out.coding.utf8 = false;
        }
        out.coding.strict = out.check == b's';
        Ok(out)
    }

    fn take(&mut self, option: (&[u8], Option<&[u8]>)) -> Result {
        match option {
            (b"uid", Some(value)) => self.uid = id(value)?,
            (b"gid", Some(value)) => self.gid = id(value)?,
            (b"umask", Some(value)) => {
                self.fmask = number(value, 8)?;
                self.dmask = self.fmask;
            }
            (b"fmask", Some(value)) => self.fmask = number(value, 8)?,
            (b"dmask", Some(value)) => self.dmask = number(value, 8)?,
            (b"allow_utime", Some(value)) => self.allow_utime = number(value, 8)? & 0o022,
            (b"codepage", Some(b"437")) => {}
            (b"iocharset", Some(b"ascii")) => self.coding.io = Charset::Ascii,
            (b"iocharset", Some(b"iso8859-1")) => self.coding.io = Charset::Latin1,
            (b"iocharset", Some(b"utf8")) => self.coding.io = Charset::Utf8,
            (b"utf8", value) => self.coding.utf8 = decide(value)?,
            (b"uni_xlate", value) => self.coding.escapes = decide(value)?,
            (b"nonumtail", value) => self.numtail = !decide(value)?,
            (b"shortname", Some(b"lower")) => self.style = Style::Lower,
            (b"shortname", Some(b"win95")) => self.style = Style::Win95,
            (b"shortname", Some(b"winnt")) => self.style = Style::WinNt,
            (b"shortname", Some(b"mixed")) => self.style = Style::Mixed,
            (b"check", Some(b"r" | b"relaxed")) => self.check = b'r',
            (b"check", Some(b"s" | b"strict")) => self.check = b's',
            (b"check", Some(b"n" | b"normal")) => self.check = b'n',
            (b"tz", Some(b"UTC")) => self.time_offset = Some(0),
            (b"time_offset", Some(value)) => {
                let text = core::str::from_utf8(value).map_err(|_| EINVAL)?;
                // A day in both directions.
                let minutes: i32 = text.parse().map_err(|_| EINVAL)?;
                self.time_offset = Some(minutes).filter(|minutes| (-24 * 60..=24 * 60).contains(minutes));
                if self.time_offset.is_none() {
                    return Err(EINVAL);
                }
            }
            (b"errors", Some(b"continue")) => self.errors = Policy::Continue,
            (b"errors", Some(b"panic")) => self.errors = Policy::Panic,
            (b"errors", Some(b"remount-ro")) => self.errors = Policy::ReadOnly,
            (b"usefree", None) => self.usefree = true,
            (b"quiet", None) => self.quiet = true,
            (b"showexec", None) => self.showexec = true,
            (b"rodir", None) => self.rodir = true,
            (b"flush", None) => self.flush = true,
            (b"discard", None) => self.discard = true,
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Seconds to add to local time. Without an option the kernel's own zone is UTC.
    pub(crate) fn west(&self) -> i64 {
        -60 * i64::from(self.time_offset.unwrap_or(0))
    }

    /// As `/proc/mounts` shows them.
    pub(crate) fn show(&self, out: &mut dyn Write) -> core::fmt::Result {
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id != 0 {
                write!(out, ",{name}={id}")?;
            }
        }
        write!(out, ",fmask={:04o},dmask={:04o}", self.fmask, self.dmask)?;
        if self.allow_utime != 0 {
            write!(out, ",allow_utime={:04o}", self.allow_utime)?;
        }
        out.write_str(",codepage=437")?;
        let style = match self.style {
            Style::Lower => "lower",
            Style::Win95 => "win95",
            Style::WinNt => "winnt",
            Style::Mixed => "mixed",
        };
        write!(out, ",iocharset={},shortname={style}", self.coding.io.name())?;
        if self.check != b'n' {
            write!(out, ",check={}", char::from(self.check))?;
        }
        let flags = [
            (self.usefree, ",usefree"),
            (self.quiet, ",quiet"),
            (self.showexec, ",showexec"),
            (self.coding.utf8, ",utf8"),
            (self.coding.escapes, ",uni_xlate"),
            (!self.numtail, ",nonumtail"),
            (self.rodir, ",rodir"),
            (self.flush, ",flush"),
        ];
        for (_, text) in flags.iter().filter(|flag| flag.0) {
            out.write_str(text)?;
        }
        match self.time_offset {
            None => {}
            Some(0) => out.write_str(",tz=UTC")?,
            Some(minutes) => write!(out, ",time_offset={minutes}")?,
        }
        out.write_str(match self.errors {
            Policy::Continue => ",errors=continue",
            Policy::Panic => ",errors=panic",
            Policy::ReadOnly => ",errors=remount-ro",
        })?;
        out.write_str(if self.discard { ",discard" } else { "" })
    }
}
