// SPDX-License-Identifier: GPL-2.0
//! The options of a mount. What is not built here (`index`, `metacopy`, `nfs_export`) can only be switched off.

use core::fmt::Write;
use kalloc::KVec;
use kernel::prelude::*;

/// How inode numbers of layers on different file systems become one space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Xino {
    /// They do not.
    Off,
    /// They do if they stay the same when a file is copied; else it is `Off`.
    Auto,
    /// They do.
    On,
}

/// What becomes of directories that are in a lower layer when they are renamed, and of those that were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Redirect {
    /// They can be renamed.
    On,
    /// They are found where they are, and cannot be renamed.
    Follow,
    /// As Linux as Debian builds it: the same, by another name.
    Off,
    /// One that was renamed is refused.
    NoFollow,
}

impl Redirect {
    pub(crate) fn follows(self) -> bool {
        self != Self::NoFollow
    }

    pub(crate) fn makes(self) -> bool {
        self == Self::On
    }
}

/// What was asked for.
pub(crate) struct Options {
    /// Lower directories, topmost first, as they were written and without their escapes.
    pub(crate) lower_text: KVec<u8>,
    pub(crate) lower: KVec<KVec<u8>>,
    pub(crate) upper: Option<KVec<u8>>,
    pub(crate) work: Option<KVec<u8>>,
    pub(crate) default_permissions: bool,
    pub(crate) userxattr: bool,
    pub(crate) xino: Xino,
    pub(crate) redirect: Redirect,
    /// Nothing is written to the disk because of the overlay; after a crash the upper layer is worth nothing.
    pub(crate) volatile: bool,
    /// It was said.
    said_redirect: bool,
}

/// Splits `text` at each `at` that has no backslash before it. Backslashes stay.
fn split(text: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let mut escaped = false;
        let end = text.iter().position(|&byte| {
            let found = byte == at && !escaped;
            escaped = byte == b'\\' && !escaped;
            found
        });
        let (part, left) = match end {
            Some(end) => (text.get(..end)?, text.get(end + 1..)),
            None => (text, None),
        };
        rest = left;
        Some(part)
    })
}

/// Without the backslashes that keep a character.
fn unescaped(text: &[u8]) -> Result<KVec<u8>> {
    let mut out = KVec::with_capacity(text.len(), GFP_KERNEL)?;
    let mut escaped = false;
    for &byte in text {
        if byte == b'\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        out.push(byte, GFP_KERNEL)?;
    }
    Ok(out)
}

impl Options {
    /// From the text of `mount(2)`. `EINVAL`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut out = Self {
            lower_text: KVec::new(),
            lower: KVec::new(),
            upper: None,
            work: None,
            default_permissions: false,
            userxattr: false,
            xino: Xino::Off,
            redirect: Redirect::Off,
            volatile: false,
            said_redirect: false,
        };
        for option in split(text, b',').filter(|option| !option.is_empty()) {
            let mut parts = option.splitn(2, |&byte| byte == b'=');
            out.take(parts.next().unwrap_or(option), parts.next())?;
        }
        if out.userxattr {
            // Anybody may write these attributes.
            if out.said_redirect && out.redirect.follows() {
                pr_err!("overlayfs: conflicting options: userxattr,redirect_dir\n");
                return Err(EINVAL);
            }
            out.redirect = Redirect::NoFollow;
        }
        Ok(out)
    }

    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result {
        match (key, value) {
            (b"lowerdir", Some(dirs)) => {
                self.lower.clear();
                // Commas are escaped for the options, colons for the list.
                let dirs_text = KVec::from_slice(dirs, GFP_KERNEL)?;
                for dir in split(dirs, b':') {
                    if dir.is_empty() {
                        return Err(EINVAL);
                    }
                    self.lower.push(unescaped(dir)?, GFP_KERNEL)?;
                }
                self.lower_text = dirs_text;
            }
            (b"upperdir", Some(dir)) => self.upper = Some(unescaped(dir)?),
            (b"workdir", Some(dir)) => self.work = Some(unescaped(dir)?),
            (b"default_permissions", None) => self.default_permissions = true,
            (b"userxattr", None) => self.userxattr = true,
            (b"volatile", None) => self.volatile = true,
            (b"xino", Some(b"off")) => self.xino = Xino::Off,
            (b"xino", Some(b"auto")) => self.xino = Xino::Auto,
            (b"xino", Some(b"on")) => self.xino = Xino::On,
            (b"redirect_dir", Some(mode)) => {
                self.redirect = match mode {
                    b"on" => Redirect::On,
                    b"follow" => Redirect::Follow,
                    b"off" => Redirect::Off,
                    b"nofollow" => Redirect::NoFollow,
                    _ => return Err(EINVAL),
                };
                self.said_redirect = true;
            }
            (b"index" | b"nfs_export" | b"metacopy", Some(b"off")) => {}
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// As `/proc/mounts` shows them.
    pub(crate) fn show(&self, out: &mut dyn Write) -> core::fmt::Result {
        path(out, ",lowerdir=", &self.lower_text)?;
        if let (Some(upper), Some(work)) = (&self.upper, &self.work) {
            path(out, ",upperdir=", upper)?;
            path(out, ",workdir=", work)?;
        }
        if self.default_permissions {
            out.write_str(",default_permissions")?;
        }
        match self.redirect {
            Redirect::On => out.write_str(",redirect_dir=on")?,
            Redirect::Follow => out.write_str(",redirect_dir=follow")?,
            Redirect::NoFollow if self.said_redirect => out.write_str(",redirect_dir=nofollow")?,
            Redirect::Off | Redirect::NoFollow => {}
        }
        match self.xino {
            Xino::Off => {}
            Xino::Auto => out.write_str(",xino=auto")?,
            Xino::On => out.write_str(",xino=on")?,
        }
        if self.volatile {
            out.write_str(",volatile")?;
        }
        if self.userxattr {
            out.write_str(",userxattr")?;
        }
        Ok(())
    }
}

/// A path with what separates options and fields in octal.
fn path(out: &mut dyn Write, key: &str, text: &[u8]) -> core::fmt::Result {
    out.write_str(key)?;
    for &byte in text {
        if b",= \t\n\\#".contains(&byte) || !byte.is_ascii() {
            write!(out, "\\{byte:03o}")?;
        } else {
            out.write_char(char::from(byte))?;
        }
    }
    Ok(())
}
