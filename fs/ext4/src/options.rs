// SPDX-License-Identifier: GPL-2.0
//! Mount options under Linux's names, and how `/proc/mounts` shows them. What is not built in is refused with `EINVAL`.
//! Source: `ext4(5)`.

use crate::health::Policy;
use core::fmt::Write;
use errno::Result;
use errno::code::EINVAL;
use ext4_format::SuperBlock;
use kernel::filesystem::vfs::FsContext;
use kernel::prelude::*;

/// What happens to data with respect to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DataMode {
    /// Data is on the disk before the transaction that gives it a place.
    Ordered,
    /// No order.
    Writeback,
}

impl DataMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Writeback => "writeback",
        }
    }
}

/// What a mount was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) errors: Policy,
    pub(crate) data: DataMode,
    pub(crate) barrier: bool,
    /// Seconds.
    pub(crate) commit: u32,
    /// Microseconds.
    pub(crate) min_batch: u32,
    pub(crate) max_batch: u32,
    pub(crate) noload: bool,
    pub(crate) discard: bool,
    pub(crate) auto_da_alloc: bool,
    pub(crate) user_xattr: bool,
    pub(crate) acl: bool,
    pub(crate) grpid: bool,
    pub(crate) minixdf: bool,
    pub(crate) resuid: u32,
    pub(crate) resgid: u32,
    pub(crate) stripe: u32,
    /// Limits of users, groups and projects hold.
    pub(crate) quotas: [bool; 3],
    pub(crate) journal_checksum: bool,
    pub(crate) async_commit: bool,
    /// The superblock asks for `data=journal`, or `nodelalloc`, and no option for anything else.
    journals_data: bool,
    no_delalloc: bool,
    /// Errors policy of the superblock, which is not shown.
    default_errors: Policy,
}

const DEFAULT_COMMIT: u32 = 5;
const DEFAULT_MAX_BATCH: u32 = 15_000;

/// `s_default_mount_opts`.
mod default_opt {
    pub(super) const BSDGROUPS: u32 = 2;
    pub(super) const JMODE: u32 = 0x60;
    pub(super) const JMODE_DATA: u32 = 0x20;
    pub(super) const JMODE_WRITEBACK: u32 = 0x60;
    pub(super) const NOBARRIER: u32 = 0x100;
    pub(super) const DISCARD: u32 = 0x400;
    pub(super) const NODELALLOC: u32 = 0x800;
}

fn number(value: Option<&[u8]>) -> Result<u32> {
    let text = core::str::from_utf8(value.ok_or(EINVAL)?)?;
    text.parse().map_err(|_| EINVAL)
}

impl Options {
    /// What the superblock says.
    pub(crate) fn of_disk(sb: &SuperBlock) -> Self {
        let opts = sb.default_mount_opts.get();
        let errors = Policy::from_disk(sb.errors.get());
        let writeback = opts & default_opt::JMODE == default_opt::JMODE_WRITEBACK;
        Self {
            errors,
            default_errors: errors,
            data: if writeback { DataMode::Writeback } else { DataMode::Ordered },
            barrier: opts & default_opt::NOBARRIER == 0,
            commit: DEFAULT_COMMIT,
            min_batch: 0,
            max_batch: DEFAULT_MAX_BATCH,
            noload: false,
            discard: opts & default_opt::DISCARD != 0,
            journals_data: sb.has_journal() && opts & default_opt::JMODE == default_opt::JMODE_DATA,
            no_delalloc: opts & default_opt::NODELALLOC != 0,
            auto_da_alloc: true,
            user_xattr: true,
            acl: true,
            grpid: opts & default_opt::BSDGROUPS != 0,
            minixdf: false,
            resuid: sb.def_resuid.get().into(),
            resgid: sb.def_resgid.get().into(),
            stripe: 0,
            quotas: [false; 3],
            journal_checksum: false,
            async_commit: false,
        }
    }

    /// Reads options over what is there. `EINVAL` for those that are unknown or not built in.
    pub(crate) fn parse(mut self, context: &FsContext<'_>) -> Result<Self> {
        for (key, value) in context.iter_options() {
            self.option(key, value)?;
        }
        for (wanted, what) in [(self.journals_data, "data=journal"), (self.no_delalloc, "nodelalloc")] {
            if wanted {
                pr_err!("EXT4-fs: {what}, which the superblock asks for, is not built in: name another option\n");
                return Err(EINVAL);
            }
        }
        Ok(self)
    }

    fn quota(&mut self, kind: usize) {
        if let Some(on) = self.quotas.get_mut(kind) {
            *on = true;
        }
    }

    fn option(&mut self, key: &[u8], value: Option<&[u8]>) -> Result {
        match (key, value) {
            (b"errors", Some(b"continue")) => self.errors = Policy::Continue,
            (b"errors", Some(b"remount-ro")) => self.errors = Policy::RemountRo,
            (b"errors", Some(b"panic")) => self.errors = Policy::Panic,
            (b"data", Some(b"ordered")) => (self.data, self.journals_data) = (DataMode::Ordered, false),
            (b"data", Some(b"writeback")) => (self.data, self.journals_data) = (DataMode::Writeback, false),
            (b"barrier", None) => self.barrier = true,
            (b"barrier", value) => self.barrier = number(value)? != 0,
            (b"nobarrier", None) => self.barrier = false,
            (b"commit", value) => {
                let seconds = number(value)?;
                self.commit = if seconds == 0 { DEFAULT_COMMIT } else { seconds };
            }
            (b"min_batch_time", value) => self.min_batch = number(value)?,
            (b"max_batch_time", value) => self.max_batch = number(value)?,
            (b"noload" | b"norecovery", None) => self.noload = true,
            (b"discard", None) => self.discard = true,
            (b"nodiscard", None) => self.discard = false,
            // Space is reserved, and its place chosen later, in any case.
            (b"delalloc", None) => self.no_delalloc = false,
            (b"auto_da_alloc", None) => self.auto_da_alloc = true,
            (b"auto_da_alloc", value) => self.auto_da_alloc = number(value)? != 0,
            (b"noauto_da_alloc", None) => self.auto_da_alloc = false,
            (b"user_xattr", None) => self.user_xattr = true,
            (b"nouser_xattr", None) => self.user_xattr = false,
            (b"acl", None) => self.acl = true,
            (b"noacl", None) => self.acl = false,
            (b"grpid" | b"bsdgroups", None) => self.grpid = true,
            (b"nogrpid" | b"sysvgroups", None) => self.grpid = false,
            (b"usrquota" | b"quota", None) => self.quota(0),
            (b"grpquota", None) => self.quota(1),
            (b"prjquota", None) => self.quota(2),
            (b"noquota", None) => self.quotas = [false; 3],
            (b"minixdf", None) => self.minixdf = true,
            (b"bsddf", None) => self.minixdf = false,
            (b"resuid", value) => self.resuid = number(value)?,
            (b"resgid", value) => self.resgid = number(value)?,
            (b"stripe", value) => self.stripe = number(value)?,
            (b"journal_async_commit", None) => (self.async_commit, self.journal_checksum) = (true, true),
            (b"journal_checksum", None) => self.journal_checksum = true,
            (b"nojournal_checksum", None) => self.journal_checksum = false,
            // What Linux takes without effect, or what is the case here anyway.
            (b"oldalloc" | b"orlov" | b"nobh" | b"bh" | b"i_version", None) => {}
            (b"block_validity" | b"dioread_lock" | b"noinit_itable", None) => {}
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Shows what differs from the defaults, in Linux's order.
    pub(crate) fn show(&self, has_journal: bool, out: &mut dyn Write) -> core::fmt::Result {
        let [user, group, project] = self.quotas;
        for (on, name) in [
            (self.minixdf, "minixdf"),
            (self.grpid, "grpid"),
            (!self.user_xattr, "nouser_xattr"),
            (!self.acl, "noacl"),
            (!self.barrier, "nobarrier"),
            (self.async_commit, "journal_async_commit"),
            (self.journal_checksum && !self.async_commit, "journal_checksum"),
            (!self.auto_da_alloc, "noauto_da_alloc"),
            (self.discard, "discard"),
            (self.noload, "norecovery"),
            (user, "usrquota"),
            (group, "grpquota"),
            (project, "prjquota"),
        ] {
            if on {
                write!(out, ",{name}")?;
            }
        }
        if self.resuid != 0 {
            write!(out, ",resuid={}", self.resuid)?;
        }
        if self.resgid != 0 {
            write!(out, ",resgid={}", self.resgid)?;
        }
        if self.errors != self.default_errors {
            write!(out, ",errors={}", self.errors.name())?;
        }
        if self.commit != DEFAULT_COMMIT {
            write!(out, ",commit={}", self.commit)?;
        }
        if self.min_batch != 0 {
            write!(out, ",min_batch_time={}", self.min_batch)?;
        }
        if self.max_batch != DEFAULT_MAX_BATCH {
            write!(out, ",max_batch_time={}", self.max_batch)?;
        }
        if self.stripe != 0 {
            write!(out, ",stripe={}", self.stripe)?;
        }
        if has_journal && self.data != DataMode::Ordered {
            write!(out, ",data={}", self.data.name())?;
        }
        Ok(())
    }
}
