// SPDX-License-Identifier: GPL-2.0
//! What happens when something on the disk is wrong: the log line, the record for the superblock, `errors=`.
//!
//! An error is found deep inside an operation, with locks held: here it is noted; the superblock is written by the next sync (or
//! not at all where the journal is dead). Locks: `record` (short).

use crate::journal::Journal;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use errno::Error;
use ext4_store::Report;
use kalloc::{Arc, KString};
use kernel::filesystem::locking::{SetOnce, SpinLock};
use kernel::filesystem::{ktime, task, vfs};
use kernel::prelude::*;

/// `errors=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Policy {
    /// Go on.
    Continue = 1,
    /// Nothing is changed any more.
    RemountRo = 2,
    /// The machine stops.
    Panic = 3,
}

impl Policy {
    /// From `s_errors`; what is not known counts as going on.
    pub(crate) fn from_disk(value: u16) -> Self {
        match value {
            2 => Self::RemountRo,
            3 => Self::Panic,
            _ => Self::Continue,
        }
    }

    /// As the mount option says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::RemountRo => "remount-ro",
            Self::Panic => "panic",
        }
    }
}

/// One error for the superblock.
#[derive(Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) report: Report,
    pub(crate) time: i64,
}

/// Errors since they were last written.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) first: Option<Noted>,
    pub(crate) last: Option<Noted>,
    pub(crate) count: u32,
}

impl Record {
    /// Takes errors back that came before those that it has.
    pub(crate) fn put_back(&mut self, before: Self) {
        self.first = before.first.or(self.first);
        self.last = self.last.or(before.last);
        self.count = self.count.saturating_add(before.count);
    }
}

/// The state of a mounted file system that errors change.
pub(crate) struct Health {
    /// The device's name.
    pub(crate) name: KString,
    policy: AtomicU8,
    /// Nothing may be changed any more: an error, or `EXT4_IOC_SHUTDOWN`.
    dead: AtomicBool,
    shut_down: AtomicBool,
    pub(crate) record: SpinLock<Record>,
    /// All errors since the mount.
    pub(crate) errors: AtomicU32,
    pub(crate) journal: SetOnce<Arc<Journal>>,
    pub(crate) sb: SetOnce<kalloc::WeakArc<vfs::SuperBlock>>,
}

impl Health {
    pub(crate) fn new(name: KString, policy: Policy) -> Self {
        Self {
            name,
            policy: AtomicU8::new(policy as u8),
            dead: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
            record: SpinLock::new(Record::default()),
            errors: AtomicU32::new(0),
            journal: SetOnce::new(),
            sb: SetOnce::new(),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::from_disk(self.policy.load(Ordering::Relaxed).into())
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Nothing may be changed any more.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// `EXT4_IOC_SHUTDOWN`: nothing can be changed, and no file opened, read, mapped or written to the disk from now on (`EIO`).
    pub(crate) fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
        self.kill();
    }

    #[inline]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// `EIO` after `EXT4_IOC_SHUTDOWN`.
    #[inline]
    pub(crate) fn usable(&self) -> Result {
        if self.is_shut_down() { Err(EIO) } else { Ok(()) }
    }

    /// Something is wrong on the disk. Returns the error to pass on.
    pub(crate) fn report(&self, report: &Report) -> Error {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let noted = Noted { report: *report, time: (ktime::real_ns() / 1_000_000_000).cast_signed() };
        {
            let mut record = self.record.lock();
            record.first.get_or_insert(noted);
            record.last = Some(noted);
            record.count = record.count.saturating_add(1);
        }
        self.log(report);
        self.obey(report.error);
        report.error
    }

    fn log(&self, report: &Report) {
        let task = task::current();
        let comm = task.comm();
        let comm = core::str::from_utf8(&comm).unwrap_or("?").trim_end_matches('\0');
        let what = match report.error {
            errno::code::EBADMSG => "bad checksum",
            errno::code::EIO => "unable to read it",
            _ => "corrupted",
        };
        let (name, place) = (&self.name, report.what);
        match (report.ino, report.block) {
            (0, 0) => pr_crit!("EXT4-fs error (device {name}): {place}: comm {comm}: {what}\n"),
            (0, block) => pr_crit!("EXT4-fs error (device {name}): {place}: comm {comm}: block {block}: {what}\n"),
            (ino, 0) => pr_crit!("EXT4-fs error (device {name}): {place}: inode #{ino}: comm {comm}: {what}\n"),
            (ino, block) => {
                pr_crit!("EXT4-fs error (device {name}): {place}: inode #{ino}: block {block}: comm {comm}: {what}\n");
            }
        }
    }

    /// `errors=panic`: the machine stops.
    pub(crate) fn panic(&self) -> ! {
        kernel::filesystem::panic(format_args!("EXT4-fs (device {}): panic forced after error", self.name))
    }

    /// Does what `errors=` says.
    pub(crate) fn obey(&self, error: Error) {
        let policy = self.policy();
        if policy == Policy::Continue || self.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(journal) = self.journal.get() {
            journal.abort(error);
        }
        if policy == Policy::Panic {
            self.panic();
        }
        pr_crit!("EXT4-fs ({}): Remounting filesystem read-only\n", self.name);
        if let Some(sb) = self.sb.get().and_then(kalloc::WeakArc::upgrade) {
            sb.set_rdonly();
        }
    }
}
