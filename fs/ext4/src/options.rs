// SPDX-License-Identifier: GPL-2.0
//! Mount options under Linux's names, and how `/proc/mounts` shows them. What is not built in is refused with `EINVAL`.
//! Source: `ext4(5)`.

use crate::health::Policy;
use core::fmt::Write;
use errno::Result;
use errno::code::EINVAL;
use ext4_format::SuperBlock;
use kernel::filesystem::vfs::{Dev, FsContext, option};
use kernel::prelude::*;

/// What happens to data with respect to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DataMode {
    /// Data is on the disk before the transaction that gives it a place.
    Ordered,
    /// No order.
    Writeback,
    /// Data goes through the journal.
    Journal,
}

impl DataMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Writeback => "writeback",
            Self::Journal => "journal",
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
    /// Blocks that allocations are aligned to; 0: none.
    pub(crate) stripe: u32,
    /// What counts if no good stripe is named, and the largest that is one.
    default_stripe: u32,
    /// KB; 0: directories grow as they like.
    pub(crate) max_dir: u32,
    most_stripe: u32,
    /// Limits of users, groups and projects hold.
    pub(crate) quotas: [bool; 3],
    /// The log has checksums of its blocks.
    pub(crate) journal_checksum: bool,
    pub(crate) async_commit: bool,
    /// Where the log is (`journal_dev=`, `journal_path=`), if not where the superblock says.
    pub(crate) journal_dev: Option<Dev>,
    /// Blocks get their place when they are written, not when the program writes.
    pub(crate) delalloc: bool,
    /// What was named by an option, and what the superblock says: only what differs from that is shown.
    delalloc_named: bool,
    data_named: bool,
    checksum_named: bool,
    default_checksum: bool,
    default_delalloc: bool,
    default_data: Option<DataMode>,
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

/// Options that are asked for in operations: bits of one word ([`Options::bits`]), read without a lock.
pub(crate) mod ask {
    pub(crate) const ACL: u32 = 1;
    pub(crate) const USER_XATTR: u32 = 1 << 1;
    pub(crate) const GRPID: u32 = 1 << 2;
    pub(crate) const AUTO_DA_ALLOC: u32 = 1 << 3;
    pub(crate) const DISCARD: u32 = 1 << 4;
    /// `data=ordered`, `data=journal`.
    pub(crate) const ORDERED: u32 = 1 << 5;
    pub(crate) const JOURNAL: u32 = 1 << 6;
}

fn number(value: Option<&[u8]>) -> Result<u32> {
    option::number(value.ok_or(EINVAL)?, 0)
}

/// The first of two stripes that fits a group; one of a single block aligns nothing.
fn stripe(wanted: [u32; 2], most: u32) -> u32 {
    let found = wanted.into_iter().find(|&blocks| blocks != 0 && blocks <= most).unwrap_or(0);
    if found == 1 { 0 } else { found }
}

impl Options {
    /// What the superblock says.
    pub(crate) fn of_disk(sb: &SuperBlock) -> Self {
        let opts = sb.default_mount_opts.get();
        let errors = Policy::from_disk(sb.errors.get());
        let default_data = match opts & default_opt::JMODE {
            0 => None,
            default_opt::JMODE_WRITEBACK => Some(DataMode::Writeback),
            default_opt::JMODE_DATA => Some(DataMode::Journal),
            _ => Some(DataMode::Ordered),
        };
        let delalloc = opts & default_opt::NODELALLOC == 0;
        let most = sb.blocks_per_group.get();
        let default_stripe = stripe([sb.raid_stripe_width.get(), sb.raid_stride.get().into()], most);
        Self {
            errors,
            default_errors: errors,
            data: default_data.unwrap_or(DataMode::Ordered),
            default_data,
            data_named: false,
            delalloc,
            default_delalloc: delalloc,
            delalloc_named: false,
            barrier: opts & default_opt::NOBARRIER == 0,
            commit: DEFAULT_COMMIT,
            min_batch: 0,
            max_batch: DEFAULT_MAX_BATCH,
            noload: false,
            discard: opts & default_opt::DISCARD != 0,
            auto_da_alloc: true,
            user_xattr: true,
            acl: true,
            grpid: opts & default_opt::BSDGROUPS != 0,
            minixdf: false,
            resuid: sb.def_resuid.get().into(),
            resgid: sb.def_resgid.get().into(),
            stripe: default_stripe,
            default_stripe,
            max_dir: 0,
            most_stripe: most,
            quotas: [false; 3],
            journal_checksum: sb.has_metadata_csum(),
            default_checksum: sb.has_metadata_csum(),
            checksum_named: false,
            async_commit: false,
            journal_dev: None,
        }
    }

    /// Reads options over what is there. `EINVAL` for those that are unknown or not built in.
    pub(crate) fn parse(mut self, context: &FsContext<'_>) -> Result<Self> {
        for (key, value) in context.iter_options() {
            self.option(key, value)?;
        }
        if self.data == DataMode::Journal {
            if self.delalloc_named && self.delalloc {
                pr_err!("EXT4-fs: can't mount with both data=journal and delalloc\n");
                return Err(EINVAL);
            }
            self.delalloc = false;
        }
        Ok(self)
    }

    /// What is on, of the options that operations ask for.
    pub(crate) fn bits(&self) -> u32 {
        [
            (self.acl, ask::ACL),
            (self.user_xattr, ask::USER_XATTR),
            (self.grpid, ask::GRPID),
            (self.auto_da_alloc, ask::AUTO_DA_ALLOC),
            (self.discard, ask::DISCARD),
            (self.data == DataMode::Ordered, ask::ORDERED),
            (self.data == DataMode::Journal, ask::JOURNAL),
        ]
        .into_iter()
        .filter_map(|(on, bit)| on.then_some(bit))
        .sum()
    }

    /// Whether `data=` was named, and is not what the superblock says anyway.
    pub(crate) fn data_differs(&self) -> bool {
        self.data_named && self.default_data != Some(self.data)
    }

    /// The first option that says something about a journal and was given.
    pub(crate) fn of_journal(&self) -> Option<&'static str> {
        let given = [
            (self.async_commit, "journal_async_commit"),
            (self.checksum_named, "journal_checksum"),
            (self.commit != DEFAULT_COMMIT, "commit="),
            (self.data_differs(), "data="),
        ];
        given.into_iter().find_map(|(given, name)| given.then_some(name))
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
            (b"data", Some(b"ordered")) => (self.data, self.data_named) = (DataMode::Ordered, true),
            (b"data", Some(b"writeback")) => (self.data, self.data_named) = (DataMode::Writeback, true),
            (b"data", Some(b"journal")) => (self.data, self.data_named) = (DataMode::Journal, true),
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
            (b"delalloc", None) => (self.delalloc, self.delalloc_named) = (true, true),
            (b"nodelalloc", None) => (self.delalloc, self.delalloc_named) = (false, true),
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
            (b"resuid", value) => self.resuid = option::id(value.ok_or(EINVAL)?)?,
            (b"resgid", value) => self.resgid = option::id(value.ok_or(EINVAL)?)?,
            (b"max_dir_size_kb", value) => self.max_dir = number(value)?,
            (b"stripe", value) => self.stripe = stripe([number(value)?, self.default_stripe], self.most_stripe),
            (b"journal_async_commit", None) => (self.async_commit, self.journal_checksum) = (true, true),
            (b"journal_dev", value) => self.journal_dev = Some(Dev::decode(number(value)?)),
            (b"journal_path", Some(path)) => self.journal_dev = Some(crate::bdev::number_of(path)?),
            (b"journal_checksum", None) => (self.journal_checksum, self.checksum_named) = (true, true),
            (b"nojournal_checksum", None) => self.journal_checksum = false,
            // What Linux takes without effect, or what is the case here anyway.
            (b"oldalloc" | b"orlov" | b"nobh" | b"bh" | b"i_version", None) => {}
            (b"block_validity" | b"dioread_lock" | b"noinit_itable", None) => {}
            (b"data_err", Some(b"ignore")) => {}
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
            (!self.journal_checksum && self.default_checksum, "nojournal_checksum"),
            (self.journal_checksum && !self.default_checksum, "journal_checksum"),
            (self.async_commit, "journal_async_commit"),
            (!self.auto_da_alloc, "noauto_da_alloc"),
            (self.discard, "discard"),
            (self.delalloc && !self.default_delalloc, "delalloc"),
            (!self.delalloc && self.default_delalloc, "nodelalloc"),
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
        if self.max_dir != 0 {
            write!(out, ",max_dir_size_kb={}", self.max_dir)?;
        }
        if has_journal && self.data_differs() {
            write!(out, ",data={}", self.data.name())?;
        }
        Ok(())
    }
}
