// SPDX-License-Identifier: GPL-2.0
//! A store in memory without a journal: for tests on the host. It checks the protocol: a buffer may be written only after
//! `get_write_access` in a live handle, and every one that was must be declared dirty before the handle stops.

use crate::{Buffer, Locks, MutexLike, OnceLike, Report, Store, Time};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::{Error, Result, code::*};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::vec::Vec;
use std::{format, string::String, vec};

/// `std`'s mutex.
pub struct HostMutex<T>(Mutex<T>);

impl<T: Send> MutexLike<T> for HostMutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// `std`'s cell.
pub struct HostOnce<T>(OnceLock<T>);

impl<T: Send + Sync> OnceLike<T> for HostOnce<T> {
    fn new() -> Self {
        Self(OnceLock::new())
    }
    fn get(&self) -> Option<&T> {
        self.0.get()
    }
    fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}

struct Block {
    number: u64,
    data: RwLock<Vec<u8>>,
    verified: AtomicBool,
    writable: AtomicBool,
}

/// A buffer of the store.
#[derive(Clone)]
pub struct HostBuf(Arc<Block>);

/// Read access.
pub struct HostRead<'a>(RwLockReadGuard<'a, Vec<u8>>);
/// Write access.
pub struct HostWrite<'a>(RwLockWriteGuard<'a, Vec<u8>>);

impl core::ops::Deref for HostRead<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl core::ops::Deref for HostWrite<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl core::ops::DerefMut for HostWrite<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Buffer for HostBuf {
    type Read<'a> = HostRead<'a>;
    type Write<'a> = HostWrite<'a>;
    fn block(&self) -> u64 {
        self.0.number
    }
    fn read(&self) -> HostRead<'_> {
        HostRead(self.0.data.read().unwrap())
    }
    fn write(&self) -> HostWrite<'_> {
        assert!(self.0.writable.load(Ordering::Relaxed), "block {} written without access", self.0.number);
        HostWrite(self.0.data.write().unwrap())
    }
    fn is_verified(&self) -> bool {
        self.0.verified.load(Ordering::Relaxed)
    }
    fn set_verified(&self) {
        self.0.verified.store(true, Ordering::Relaxed);
    }
}

/// A handle: what it may still dirty, and what it promised to.
pub struct HostHandle {
    credits: u32,
    dirtied: HashSet<u64>,
    open: HashMap<u64, HostBuf>,
    stopped: bool,
    store: Arc<Inner>,
}

impl Drop for HostHandle {
    fn drop(&mut self) {
        self.store.handles.fetch_sub(1, Ordering::Relaxed);
        if !self.stopped && !std::thread::panicking() {
            panic!("a handle was dropped, not stopped");
        }
    }
}

struct Inner {
    disk: RwLock<Vec<u8>>,
    cache: Mutex<HashMap<u64, HostBuf>>,
    handles: AtomicU32,
    reports: Mutex<Vec<String>>,
    clock: AtomicU64,
    seed: AtomicU32,
    cpu: AtomicU32,
    most: AtomicU32,
    tid: AtomicU32,
}

/// A disk in memory.
pub struct HostStore {
    block_size: usize,
    inner: Arc<Inner>,
}

impl HostStore {
    /// A store over the bytes of an image.
    pub fn new(image: Vec<u8>, block_size: usize) -> Self {
        let inner = Inner {
            disk: RwLock::new(image),
            cache: Mutex::new(HashMap::new()),
            handles: AtomicU32::new(0),
            reports: Mutex::new(Vec::new()),
            clock: AtomicU64::new(1_700_000_000),
            seed: AtomicU32::new(1),
            cpu: AtomicU32::new(0),
            most: AtomicU32::new(0),
            tid: AtomicU32::new(0),
        };
        Self { block_size, inner: Arc::new(inner) }
    }

    /// A second handle on the same disk and cache.
    pub fn share(&self) -> Self {
        Self { block_size: self.block_size, inner: self.inner.clone() }
    }

    /// Writes all buffers to the image and gives its bytes.
    pub fn image(&self) -> Vec<u8> {
        self.flush();
        self.inner.disk.read().unwrap().clone()
    }

    /// Writes all buffers to the image.
    pub fn flush(&self) {
        let cache = self.inner.cache.lock().unwrap();
        let mut disk = self.inner.disk.write().unwrap();
        for (block, buf) in cache.iter() {
            let at = *block as usize * self.block_size;
            disk[at..at + self.block_size].copy_from_slice(&buf.read());
        }
    }

    /// File data, past the cache of metadata: as the page cache would read it.
    pub fn read_data(&self, block: u64) -> Vec<u8> {
        assert!(!self.inner.cache.lock().unwrap().contains_key(&block), "data block {block} is cached as metadata");
        let at = block as usize * self.block_size;
        self.inner.disk.read().unwrap()[at..at + self.block_size].to_vec()
    }

    /// A block, from the cache if it is there.
    pub fn read_data_or_cached(&self, block: u64) -> Vec<u8> {
        match self.inner.cache.lock().unwrap().get(&block) {
            Some(buf) => buf.read().to_vec(),
            None => {
                let at = block as usize * self.block_size;
                self.inner.disk.read().unwrap()[at..at + self.block_size].to_vec()
            }
        }
    }

    /// Writes file data.
    pub fn write_data(&self, block: u64, offset: usize, bytes: &[u8]) {
        self.inner.cache.lock().unwrap().remove(&block);
        let at = block as usize * self.block_size + offset;
        self.inner.disk.write().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// What was reported as wrong, since the last call.
    pub fn reports(&self) -> Vec<String> {
        core::mem::take(&mut self.inner.reports.lock().unwrap())
    }

    /// From now on all is one transaction, as with a journal: what is freed stays taken.
    pub fn hold_freed(&self) {
        self.inner.tid.store(1, Ordering::Relaxed);
    }

    /// The device grows to this many bytes.
    pub fn grow(&self, bytes: usize) {
        self.inner.disk.write().unwrap().resize(bytes, 0);
    }

    /// The most buffers that one handle dirtied so far.
    pub fn most_dirtied(&self) -> u32 {
        self.inner.most.load(Ordering::Relaxed)
    }

    fn cached(&self, block: u64, read: bool) -> Result<HostBuf> {
        let mut cache = self.inner.cache.lock().unwrap();
        if let Some(buf) = cache.get(&block) {
            return Ok(buf.clone());
        }
        let disk = self.inner.disk.read().unwrap();
        let at = (block as usize).checked_mul(self.block_size).ok_or(EIO)?;
        let bytes = disk.get(at..at.checked_add(self.block_size).ok_or(EIO)?).ok_or(EIO)?;
        let data = if read { bytes.to_vec() } else { vec![0; self.block_size] };
        let buf = HostBuf(Arc::new(Block {
            number: block,
            data: RwLock::new(data),
            verified: AtomicBool::new(false),
            writable: AtomicBool::new(false),
        }));
        cache.insert(block, buf.clone());
        Ok(buf)
    }

    fn access(&self, handle: &mut HostHandle, buf: &HostBuf) -> Result {
        assert!(!handle.stopped);
        buf.0.writable.store(true, Ordering::Relaxed);
        handle.open.insert(buf.block(), buf.clone());
        Ok(())
    }
}

impl Locks for HostStore {
    type Mutex<T: Send + 'static> = HostMutex<T>;
    type Once<T: Send + Sync + 'static> = HostOnce<T>;
}

impl Store for HostStore {
    type Buf = HostBuf;
    type Handle = HostHandle;

    fn block_size(&self) -> usize {
        self.block_size
    }
    fn device_blocks(&self) -> u64 {
        (self.inner.disk.read().unwrap().len() / self.block_size) as u64
    }
    fn bread(&self, block: u64) -> Result<HostBuf> {
        self.cached(block, true)
    }
    fn getblk(&self, block: u64) -> Result<HostBuf> {
        let buf = self.cached(block, false)?;
        Ok(buf)
    }
    fn zeroout(&self, block: u64, count: u32) -> Result {
        for at in block..block + u64::from(count) {
            self.write_data(at, 0, &vec![0; self.block_size]);
        }
        Ok(())
    }

    fn start(&self, credits: u32, _revokes: u32) -> Result<HostHandle> {
        self.inner.handles.fetch_add(1, Ordering::Relaxed);
        Ok(HostHandle {
            credits,
            dirtied: HashSet::new(),
            open: HashMap::new(),
            stopped: false,
            store: self.inner.clone(),
        })
    }
    fn credits(&self, handle: &HostHandle) -> u32 {
        handle.credits
    }
    fn extend(&self, handle: &mut HostHandle, more: u32, _revokes: u32) -> Result<bool> {
        // A transaction that has room for little: so that restarts are tested.
        if handle.dirtied.len() as u32 + handle.credits + more > 512 {
            return Ok(false);
        }
        handle.credits += more;
        Ok(true)
    }
    fn restart(&self, handle: &mut HostHandle, credits: u32, _revokes: u32) -> Result {
        assert!(handle.open.is_empty(), "restart with blocks {:?} not dirtied", handle.open.keys());
        self.inner.most.fetch_max(handle.dirtied.len() as u32, Ordering::Relaxed);
        handle.dirtied.clear();
        handle.credits = credits;
        Ok(())
    }
    fn stop(&self, mut handle: HostHandle) -> Result {
        handle.stopped = true;
        assert!(handle.open.is_empty(), "blocks {:?} were not dirtied", handle.open.keys());
        self.inner.most.fetch_max(handle.dirtied.len() as u32, Ordering::Relaxed);
        Ok(())
    }
    fn set_sync(&self, _handle: &mut HostHandle) {}
    fn tid(&self, _handle: &HostHandle) -> u32 {
        self.inner.tid.load(Ordering::Relaxed)
    }
    fn get_write_access(&self, handle: &mut HostHandle, buf: &HostBuf) -> Result {
        self.access(handle, buf)
    }
    fn get_create_access(&self, handle: &mut HostHandle, buf: &HostBuf) -> Result {
        self.access(handle, buf)
    }
    fn dirty_metadata(&self, handle: &mut HostHandle, buf: &HostBuf) -> Result {
        assert!(!handle.stopped);
        handle.open.remove(&buf.block());
        if handle.dirtied.insert(buf.block()) {
            assert!(handle.credits > 0, "more than its credits: {} blocks", handle.dirtied.len());
            handle.credits -= 1;
        }
        Ok(())
    }
    fn forget(&self, handle: &mut HostHandle, block: u64) -> Result {
        handle.open.remove(&block);
        if let Some(buf) = self.inner.cache.lock().unwrap().remove(&block) {
            buf.0.writable.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
    fn order_data(&self, _handle: &mut HostHandle, _ino: u32, _from: u64, _to: u64) -> Result {
        Ok(())
    }

    fn now(&self) -> Time {
        let tick = self.inner.clock.fetch_add(1, Ordering::Relaxed);
        Time { sec: tick as i64, nsec: (tick % 1000) as u32 * 1_000_001 }
    }
    fn random(&self) -> u32 {
        let mut x = self.inner.seed.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.inner.seed.store(x, Ordering::Relaxed);
        x
    }
    fn cpu(&self) -> usize {
        (self.inner.cpu.fetch_add(1, Ordering::Relaxed) as usize / 16) % self.cpus()
    }
    fn cpus(&self) -> usize {
        4
    }
    fn error(&self, report: &Report) -> Error {
        let mut reports = self.inner.reports.lock().unwrap();
        if reports.len() < 1000 {
            reports.push(format!("{report:?}"));
        }
        report.error
    }
}
