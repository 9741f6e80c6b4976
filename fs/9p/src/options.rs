// SPDX-License-Identifier: GPL-2.0
//! The options of a mount. Not built (`EINVAL`): the older versions of the protocol (`version=9p2000`, `9p2000.u`, `noextend`), `posixacl`,
//! `cache=fscache`, `cachetag`, `debug`, `afid`, and what belongs to other ways to servers (`port`, `rfdno`...).

use core::fmt::Write;
use kalloc::KVec;
use kernel::filesystem::vfs::FsContext;
use kernel::filesystem::vfs::option::{id, number};
use kernel::prelude::*;
use p9net::MIN_MSIZE;

/// What of a file is kept here, in Linux's bits.
pub(crate) mod cache {
    /// Pages.
    pub(crate) const FILE: u32 = 1;
    /// Attributes and names.
    pub(crate) const META: u32 = 2;
    /// Pages that are written later.
    pub(crate) const WRITEBACK: u32 = 4;
    /// Nothing is asked again.
    pub(crate) const LOOSE: u32 = 8;
    pub(crate) const ALL: u32 = FILE | META | WRITEBACK | LOOSE;
}

/// Who acts on the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Each user himself.
    Client,
    /// The same: what Linux does less then, looking at access control lists here, is not there.
    User,
    /// The one who mounted it, for all.
    Any,
    /// This user, and nobody else.
    Single(u32),
}

/// `DEFAULT_MSIZE`.
const MSIZE: u32 = 128 * 1024;
/// Bytes of a name of a user.
const NAME_MAX: usize = 1024;
/// Ids that a server that knows none stands for.
const NOBODY: u32 = u32::MAX - 1;
const LOCK_TIMEOUT: u32 = 30;

/// What was asked for.
pub(crate) struct Options {
    pub(crate) transport: KVec<u8>,
    pub(crate) msize: u32,
    pub(crate) uname: KVec<u8>,
    pub(crate) aname: KVec<u8>,
    pub(crate) cache: u32,
    pub(crate) access: Access,
    pub(crate) xattrs: bool,
    /// Reading and writing go past the cache, whatever that is.
    pub(crate) directio: bool,
    /// A server whose versions of files are always 0 may be cached.
    pub(crate) ignoreqv: bool,
    /// Seconds after which a lock that another has on the server is asked for again.
    pub(crate) lock_timeout: u32,
    dfltuid: u32,
    dfltgid: u32,
    nodevmap: bool,
}

fn cache_mode(value: &[u8]) -> Result<u32> {
    Ok(match value {
        b"none" => 0,
        b"readahead" => cache::FILE,
        b"mmap" => cache::FILE | cache::WRITEBACK,
        b"loose" => cache::ALL,
        _ => Some(number(value, 0)?).filter(|bits| bits & !cache::ALL == 0).ok_or(EINVAL)?,
    })
}

fn text(value: &[u8]) -> Result<KVec<u8>> {
    if value.len() > NAME_MAX {
        return Err(EINVAL);
    }
    Ok(KVec::from_slice(value, GFP_KERNEL)?)
}

impl Options {
    /// `EINVAL` for what is not known.
    #[inline(never)]
    pub(crate) fn parse(context: &FsContext<'_>) -> Result<Self> {
        let mut out = Self {
            transport: text(b"virtio")?,
            msize: MSIZE,
            uname: text(b"nobody")?,
            aname: KVec::new(),
            cache: 0,
            access: Access::Client,
            xattrs: true,
            directio: false,
            ignoreqv: false,
            lock_timeout: LOCK_TIMEOUT,
            dfltuid: NOBODY,
            dfltgid: NOBODY,
            nodevmap: false,
        };
        for option in context.iter_options() {
            out.take(option)?;
        }
        Ok(out)
    }

    fn take(&mut self, option: (&[u8], Option<&[u8]>)) -> Result {
        match option {
            (b"trans", Some(value)) => self.transport = text(value)?,
            (b"msize", Some(value)) => {
                self.msize = number(value, 0)?;
                if self.msize < MIN_MSIZE {
                    pr_err!("msize should be at least 4k\n");
                    return Err(EINVAL);
                }
            }
            (b"version", Some(b"9p2000.L")) => {}
            (b"uname", Some(value)) => self.uname = text(value)?,
            (b"aname", Some(value)) => self.aname = text(value)?,
            (b"cache", Some(value)) => self.cache = cache_mode(value)?,
            (b"loose", None) => self.cache = cache::ALL,
            (b"mmap", None) => self.cache = cache::FILE | cache::WRITEBACK,
            (b"access", Some(b"client")) => self.access = Access::Client,
            (b"access", Some(b"user")) => self.access = Access::User,
            (b"access", Some(b"any")) => self.access = Access::Any,
            (b"access", Some(value)) => self.access = Access::Single(id(value)?),
            (b"dfltuid", Some(value)) => self.dfltuid = id(value)?,
            (b"dfltgid", Some(value)) => self.dfltgid = id(value)?,
            (b"noxattr", None) => self.xattrs = false,
            (b"directio", None) => self.directio = true,
            (b"ignoreqv", None) => self.ignoreqv = true,
            (b"nodevmap", None) => self.nodevmap = true,
            (b"locktimeout", Some(value)) => {
                self.lock_timeout = Some(number(value, 0)?).filter(|t| *t > 0).ok_or(EINVAL)?
            }
            (b"posixacl", None) => {
                pr_err!("access control lists are not supported\n");
                return Err(EINVAL);
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Whether these bits of `cache` were asked for.
    pub(crate) fn caches(&self, bits: u32) -> bool {
        self.cache & bits != 0
    }

    /// As `/proc/mounts` shows them, but for those of the connection.
    pub(crate) fn show(&self, out: &mut dyn Write) -> core::fmt::Result {
        for (name, id) in [("dfltuid", self.dfltuid), ("dfltgid", self.dfltgid)] {
            if id != NOBODY {
                write!(out, ",{name}={id}")?;
            }
        }
        for (name, text, usual) in
            [("uname", &self.uname, b"nobody".as_slice()), ("aname", &self.aname, b"".as_slice())]
        {
            if text.iter().ne(usual) {
                write!(out, ",{name}=")?;
                text.utf8_chunks().try_for_each(|chunk| out.write_str(chunk.valid()))?;
            }
        }
        if self.nodevmap {
            out.write_str(",nodevmap")?;
        }
        if self.cache != 0 {
            write!(out, ",cache={:#x}", self.cache)?;
        }
        match self.access {
            Access::User => out.write_str(",access=user")?,
            Access::Any => out.write_str(",access=any")?,
            Access::Client => out.write_str(",access=client")?,
            Access::Single(uid) => write!(out, ",access={uid}")?,
        }
        for (on, text) in [(self.ignoreqv, ",ignoreqv"), (self.directio, ",directio"), (!self.xattrs, ",noxattr")] {
            if on {
                out.write_str(text)?;
            }
        }
        Ok(())
    }

    /// As `/proc/mounts` shows what was agreed on with the server.
    pub(crate) fn show_connection(&self, msize: u32, transport: &str, out: &mut dyn Write) -> core::fmt::Result {
        if msize != MSIZE {
            write!(out, ",msize={msize}")?;
        }
        write!(out, ",trans={transport}")
    }
}
