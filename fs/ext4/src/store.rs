// SPDX-License-Identifier: GPL-2.0
//! The store that the file system's core stands on: metadata cache, journal (or none), clock.

use crate::buffer::{Buf, Cache};
use crate::health::Health;
use crate::journal::Sys;
use crate::locks::{KMutex, KOnce};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::code::{EIO, EROFS};
use errno::{Error, Result};
use ext4_store::{Locks, Report, Store, Time};
use kalloc::Arc;
use kernel::filesystem::{locking::SetOnce, percpu, random, vfs};

/// The parts of a mounted file system below its core; shared with what needs them elsewhere.
pub(crate) struct Base {
    pub(crate) cache: Arc<Cache>,
    pub(crate) health: Health,
    pub(crate) journal: SetOnce<Arc<crate::journal::Journal>>,
    /// Changes go through the journal: not while the superblock is written before the first transaction and after the last.
    pub(crate) journaling: AtomicBool,
}

/// The store.
pub(crate) struct KernelStore(pub(crate) Arc<Base>);

/// The part of a transaction that belongs to one operation.
pub(crate) enum KHandle {
    Journal(jbd2::Handle<Sys>),
    /// Without a journal blocks become dirty at once.
    Plain {
        credits: u32,
        sync: bool,
    },
}

impl Locks for KernelStore {
    type Mutex<T: Send + 'static> = KMutex<T>;
    type Once<T: Send + Sync + 'static> = KOnce<T>;
}

impl KernelStore {
    fn check(&self) -> Result {
        match &self.0.health {
            health if health.is_shut_down() => Err(EIO),
            health if health.is_dead() => Err(EROFS),
            _ => Ok(()),
        }
    }
}

impl Store for KernelStore {
    type Buf = Buf;
    type Handle = KHandle;

    fn block_size(&self) -> usize {
        self.0.cache.device.block_size
    }

    fn device_blocks(&self) -> u64 {
        self.0.cache.device.count()
    }

    fn bread(&self, block: u64) -> Result<Buf> {
        if block >= self.device_blocks() {
            return Err(EIO);
        }
        self.0.cache.read(block)
    }

    fn getblk(&self, block: u64) -> Result<Buf> {
        self.0.cache.get_new(block)
    }

    fn bread_near(&self, block: u64, near: impl FnOnce() -> (u64, u32)) -> Result<Buf> {
        if block >= self.device_blocks() {
            return Err(EIO);
        }
        self.0.cache.read_near(block, near)
    }

    fn start(&self, credits: u32, revokes: u32) -> Result<KHandle> {
        self.check()?;
        match self.0.journal.get().filter(|_| self.0.journaling.load(Ordering::Acquire)) {
            Some(journal) => Ok(KHandle::Journal(jbd2::Journal::start(journal, credits, revokes)?)),
            None => Ok(KHandle::Plain { credits, sync: false }),
        }
    }

    fn credits(&self, handle: &KHandle) -> u32 {
        match handle {
            KHandle::Journal(handle) => handle.credits(),
            KHandle::Plain { credits, .. } => *credits,
        }
    }

    fn extend(&self, handle: &mut KHandle, more: u32, revokes: u32) -> Result<bool> {
        match handle {
            KHandle::Journal(handle) => handle.extend(more, revokes),
            KHandle::Plain { credits, .. } => {
                *credits = credits.saturating_add(more);
                Ok(true)
            }
        }
    }

    fn restart(&self, handle: &mut KHandle, credits: u32, revokes: u32) -> Result {
        self.check()?;
        match handle {
            KHandle::Journal(handle) => handle.restart(credits, revokes),
            KHandle::Plain { credits: left, .. } => {
                *left = credits;
                Ok(())
            }
        }
    }

    fn stop(&self, handle: KHandle) -> Result {
        match handle {
            KHandle::Journal(handle) => handle.stop(),
            KHandle::Plain { sync: true, .. } => self.0.cache.sync(),
            KHandle::Plain { .. } => Ok(()),
        }
    }

    fn set_sync(&self, handle: &mut KHandle) {
        match handle {
            KHandle::Journal(handle) => handle.set_sync(),
            KHandle::Plain { sync, .. } => *sync = true,
        }
    }

    fn tid(&self, handle: &KHandle) -> u32 {
        match handle {
            KHandle::Journal(handle) => handle.tid(),
            KHandle::Plain { .. } => 0,
        }
    }

    fn get_write_access(&self, handle: &mut KHandle, buf: &Buf) -> Result {
        match handle {
            KHandle::Journal(handle) => handle.get_write_access(buf),
            KHandle::Plain { .. } => Ok(()),
        }
    }

    fn get_create_access(&self, handle: &mut KHandle, buf: &Buf) -> Result {
        match handle {
            KHandle::Journal(handle) => handle.get_create_access(buf),
            KHandle::Plain { .. } => Ok(()),
        }
    }

    fn dirty_metadata(&self, handle: &mut KHandle, buf: &Buf) -> Result {
        match handle {
            KHandle::Journal(handle) => handle.dirty_metadata(buf),
            KHandle::Plain { .. } => {
                self.0.cache.dirtied(buf);
                Ok(())
            }
        }
    }

    fn forget(&self, handle: &mut KHandle, block: u64) -> Result {
        let buf = self.0.cache.find(block);
        match (handle, buf) {
            (KHandle::Journal(handle), buf) => handle.revoke(block, buf.as_ref()),
            (KHandle::Plain { .. }, Some(buf)) => {
                jbd2::Buffer::forget(&buf);
                jbd2::Buffer::wait_written(&buf);
                Ok(())
            }
            (KHandle::Plain { .. }, None) => Ok(()),
        }
    }

    fn order_data(&self, handle: &mut KHandle, ino: u32, from: u64, to: u64) -> Result {
        match handle {
            KHandle::Journal(handle) => handle.order_data(jbd2::OrderedRange { ino: ino.into(), from, to }),
            KHandle::Plain { .. } => Ok(()),
        }
    }

    fn now(&self) -> Time {
        let now = vfs::current_time();
        Time { sec: now.sec, nsec: now.nsec }
    }

    fn random(&self) -> u32 {
        random::u64() as u32
    }

    fn cpu(&self) -> usize {
        percpu::cpu_id() as usize
    }

    fn cpus(&self) -> usize {
        percpu::MAX_CPUS.min(8)
    }

    fn error(&self, report: &Report) -> Error {
        self.0.health.report(report)
    }
}
