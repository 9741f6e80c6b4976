// SPDX-License-Identifier: GPL-2.0
//! Mount options. Parsing only; no locks. Source: Linux's `filesystems/devpts`, `mount(8)`.

use core::fmt::Write;
use errno::{Result, code::EINVAL};
use tty::pty::PTS_COUNT;
use vfs::option;

/// What a mount was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Owner of new nodes; without it who opens the master.
    pub(crate) uid: Option<u32>,
    /// Group of new nodes.
    pub(crate) gid: Option<u32>,
    /// Mode of new nodes.
    pub(crate) mode: u32,
    /// Mode of `ptmx`.
    pub(crate) ptmx_mode: u32,
    /// Most ptys of the instance.
    pub(crate) max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { uid: None, gid: None, mode: 0o600, ptmx_mode: 0, max: PTS_COUNT }
    }
}

fn number(value: Option<&[u8]>, radix: u32) -> Result<u32> {
    option::number(value.ok_or(EINVAL)?, radix)
}

impl Options {
    /// Reads options separated by commas, beginning with the defaults. `EINVAL`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(|&b| b == b',').filter(|o| !o.is_empty()) {
            let mut parts = option.splitn(2, |&b| b == b'=');
            let (key, value) = (parts.next().unwrap_or_default(), parts.next());
            match key {
                b"uid" => options.uid = Some(option::id(value.ok_or(EINVAL)?)?),
                b"gid" => options.gid = Some(option::id(value.ok_or(EINVAL)?)?),
                b"mode" => options.mode = number(value, 8)? & 0o7777,
                b"ptmxmode" => options.ptmx_mode = number(value, 8)? & 0o7777,
                b"max" => {
                    options.max = number(value, 0)?;
                    if options.max > PTS_COUNT {
                        return Err(EINVAL);
                    }
                }
                // Every mount is a new instance.
                b"newinstance" if value.is_none() => {}
                _ => return Err(EINVAL),
            }
        }
        Ok(options)
    }

    /// As `/proc/mounts` shows them.
    pub(crate) fn show(&self, out: &mut dyn Write) -> core::fmt::Result {
        if let Some(uid) = self.uid {
            write!(out, ",uid={uid}")?;
        }
        if let Some(gid) = self.gid {
            write!(out, ",gid={gid}")?;
        }
        write!(out, ",mode={:03o},ptmxmode={:03o}", self.mode, self.ptmx_mode)?;
        if self.max < PTS_COUNT {
            write!(out, ",max={}", self.max)?;
        }
        Ok(())
    }
}
