// SPDX-License-Identifier: GPL-2.0
//! The system below a journal on the host: `std`'s locks, and a disk in memory that records its writes and flushes, so that a
//! test can cut the power anywhere.

use crate::Tid;
use crate::state::Mark;
use crate::system::*;
use errno::code::EIO;
use errno::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};
use std::vec::Vec;
use std::{format, vec};

/// A lock with a condition.
pub struct HostMonitor<T>(Mutex<T>, Condvar);

impl<T: Send> Monitor<T> for HostMonitor<T> {
    fn new(value: T) -> Result<Self> {
        Ok(Self(Mutex::new(value), Condvar::new()))
    }
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
    fn wait<R>(&self, mut f: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut guard = self.0.lock().unwrap();
        loop {
            if let Some(value) = f(&mut guard) {
                return value;
            }
            guard = self.1.wait(guard).unwrap();
        }
    }
    fn wait_until<R>(&self, deadline_ns: u64, mut f: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut guard = self.0.lock().unwrap();
        loop {
            if let Some(value) = f(&mut guard) {
                return Some(value);
            }
            let left = deadline_ns.checked_sub(clock_ns()).filter(|left| *left != 0)?;
            guard = self.1.wait_timeout(guard, Duration::from_nanos(left.min(1 << 60))).unwrap().0;
        }
    }
    fn wake(&self) {
        self.1.notify_all();
    }
}

fn clock_ns() -> u64 {
    static START: Mutex<Option<Instant>> = Mutex::new(None);
    let start = *START.lock().unwrap().get_or_insert_with(Instant::now);
    start.elapsed().as_nanos() as u64 + 1
}

/// What reached a disk, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A write, durable at the next flush.
    Write(u64, Vec<u8>),
    /// A write that is durable at once.
    Fua(u64, Vec<u8>),
    /// All before is durable.
    Flush,
    /// A test's mark.
    Note(u64),
}

/// A disk in memory.
pub struct Disk {
    block_size: usize,
    data: Mutex<Vec<u8>>,
    events: Mutex<Vec<Event>>,
    recording: AtomicBool,
    /// Every write fails from now on.
    pub broken: AtomicBool,
}

impl Disk {
    /// A disk with these bytes.
    pub fn new(data: Vec<u8>, block_size: usize) -> Arc<Self> {
        Arc::new(Self {
            block_size,
            data: Mutex::new(data),
            events: Mutex::new(Vec::new()),
            recording: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        })
    }
    /// Begins to record.
    pub fn record(&self) {
        self.recording.store(true, Ordering::Relaxed);
    }
    /// A mark in the record.
    pub fn note(&self, note: u64) {
        self.push(Event::Note(note));
    }
    /// The record so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
    /// The bytes as they are.
    pub fn bytes(&self) -> Vec<u8> {
        self.data.lock().unwrap().clone()
    }
    fn push(&self, event: Event) {
        if self.recording.load(Ordering::Relaxed) {
            self.events.lock().unwrap().push(event);
        }
    }
}

impl BlockDevice for Disk {
    fn read(&self, block: u64, data: &mut [u8]) -> Result {
        let at = block as usize * self.block_size;
        data.copy_from_slice(self.data.lock().unwrap().get(at..at + data.len()).ok_or(EIO)?);
        Ok(())
    }
    fn write(&self, block: u64, data: &[u8], flags: WriteFlags) -> Result {
        if self.broken.load(Ordering::Relaxed) {
            return Err(EIO);
        }
        let at = block as usize * self.block_size;
        let mut bytes = self.data.lock().unwrap();
        bytes.get_mut(at..at + data.len()).ok_or(EIO)?.copy_from_slice(data);
        if flags.preflush {
            self.push(Event::Flush);
        }
        self.push(if flags.fua { Event::Fua(block, data.to_vec()) } else { Event::Write(block, data.to_vec()) });
        Ok(())
    }
    fn flush(&self) -> Result {
        self.push(Event::Flush);
        Ok(())
    }
}

struct Shared {
    block: u64,
    mark: Mark,
    data: Mutex<Vec<u8>>,
    flags: Mutex<Flags>,
    done: Condvar,
    disk: Arc<Disk>,
}

#[derive(Default)]
struct Flags {
    dirty: bool,
    writing: bool,
    failed: bool,
}

/// A buffer.
#[derive(Clone)]
pub struct HostBuf(Arc<Shared>);

impl HostBuf {
    /// A copy of the content.
    pub fn get(&self) -> Vec<u8> {
        self.0.data.lock().unwrap().clone()
    }
    /// Changes the content.
    pub fn set(&self, f: impl FnOnce(&mut [u8])) {
        f(&mut self.0.data.lock().unwrap());
    }
    /// Writes it home if it is dirty.
    pub fn write_back(&self) -> Result {
        {
            let mut flags = self.0.flags.lock().unwrap();
            if flags.writing || !flags.dirty {
                drop(flags);
                self.wait_written();
                return Ok(());
            }
            (flags.dirty, flags.writing) = (false, true);
        }
        let data = self.get();
        let done = self.0.disk.write(self.0.block, &data, WriteFlags::default());
        let mut flags = self.0.flags.lock().unwrap();
        flags.writing = false;
        flags.failed |= done.is_err();
        self.0.done.notify_all();
        done
    }
}

impl Buffer for HostBuf {
    fn block(&self) -> u64 {
        self.0.block
    }
    fn mark(&self) -> &Mark {
        &self.0.mark
    }
    fn copy_to(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.data.lock().unwrap());
    }
    fn claim(&self) -> Claim {
        let mut flags = self.0.flags.lock().unwrap();
        if flags.writing { Claim::Busy } else { Claim::Claimed(core::mem::take(&mut flags.dirty)) }
    }
    fn wait_written(&self) {
        let mut flags = self.0.flags.lock().unwrap();
        while flags.writing {
            flags = self.0.done.wait(flags).unwrap();
        }
    }
    fn mark_dirty(&self) {
        self.0.flags.lock().unwrap().dirty = true;
    }
    fn is_busy(&self) -> bool {
        let flags = self.0.flags.lock().unwrap();
        flags.dirty || flags.writing
    }
    fn has_failed(&self) -> bool {
        self.0.flags.lock().unwrap().failed
    }
    fn forget(&self) {
        self.0.flags.lock().unwrap().dirty = false;
    }
}

/// Blocks of the log.
pub struct HostLogBuf(Vec<Vec<u8>>);

impl LogBuf for HostLogBuf {
    fn blocks(&self) -> usize {
        self.0.len()
    }
    fn block(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], |block| block)
    }
    fn block_mut(&mut self, index: usize) -> &mut [u8] {
        self.0.get_mut(index).map_or(&mut [], |block| block)
    }
}

/// A file system's side of the test.
pub struct HostSystem {
    disk: Arc<Disk>,
    log: Arc<Disk>,
    block_size: usize,
    cache: Mutex<HashMap<u64, HostBuf>>,
    /// Transactions that were committed, in order.
    pub committed: Mutex<Vec<Tid>>,
    /// Why the journal was aborted.
    pub abort: Mutex<Option<Error>>,
    /// Ordered data asked for.
    pub ordered: Mutex<Vec<OrderedRange>>,
    /// How long what is committed may wait to be written home.
    pub expire_ns: AtomicU64,
}

impl HostSystem {
    /// File system and log on these disks (which may be the same).
    pub fn new(disk: Arc<Disk>, log: Arc<Disk>) -> Self {
        let block_size = disk.block_size;
        Self {
            disk,
            log,
            block_size,
            cache: Mutex::new(HashMap::new()),
            committed: Mutex::new(Vec::new()),
            abort: Mutex::new(None),
            ordered: Mutex::new(Vec::new()),
            expire_ns: AtomicU64::new(30_000_000_000),
        }
    }
    /// The buffer of a block, read if it is not there.
    pub fn bread(&self, block: u64) -> HostBuf {
        let mut cache = self.cache.lock().unwrap();
        cache
            .entry(block)
            .or_insert_with(|| {
                let mut data = vec![0; self.block_size];
                self.disk.read(block, &mut data).unwrap();
                HostBuf(Arc::new(Shared {
                    block,
                    mark: Mark::new(),
                    data: Mutex::new(data),
                    flags: Mutex::new(Flags::default()),
                    done: Condvar::new(),
                    disk: self.disk.clone(),
                }))
            })
            .clone()
    }
    /// All buffers.
    pub fn buffers(&self) -> Vec<HostBuf> {
        self.cache.lock().unwrap().values().cloned().collect()
    }
}

impl System for HostSystem {
    type Monitor<T: Send + 'static> = HostMonitor<T>;
    type Buf = HostBuf;
    type LogBuf = HostLogBuf;

    fn log(&self) -> &dyn BlockDevice {
        &*self.log
    }
    fn fs(&self) -> &dyn BlockDevice {
        &*self.disk
    }
    fn is_external(&self) -> bool {
        !Arc::ptr_eq(&self.disk, &self.log)
    }
    fn log_buf(&self, blocks: usize) -> Result<HostLogBuf> {
        Ok(HostLogBuf(vec![vec![0; self.block_size]; blocks]))
    }
    fn write_log(&self, block: u64, buf: &HostLogBuf, begin: usize, end: usize, mut flags: WriteFlags) -> Result {
        for (index, data) in buf.0.iter().enumerate().take(end).skip(begin) {
            self.log.write(block + (index - begin) as u64, data, flags)?;
            flags.preflush = false;
        }
        Ok(())
    }
    fn write_back(&self, buffers: &[HostBuf]) -> Result {
        buffers.iter().try_for_each(HostBuf::write_back)
    }
    fn write_ordered(&self, ranges: &[OrderedRange]) -> Result {
        self.ordered.lock().unwrap().extend_from_slice(ranges);
        Ok(())
    }
    fn wait_ordered(&self, _: &[OrderedRange]) -> Result {
        Ok(())
    }
    fn committed(&self, tid: Tid) {
        self.disk.note(tid.into());
        self.committed.lock().unwrap().push(tid);
    }
    fn aborted(&self, error: Error) {
        *self.abort.lock().unwrap() = Some(error);
    }
    fn now(&self) -> (u64, u32) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        (now.as_secs(), now.subsec_nanos())
    }
    fn clock_ns(&self) -> u64 {
        clock_ns()
    }
    fn expire_ns(&self) -> u64 {
        self.expire_ns.load(Ordering::Relaxed)
    }
    fn task(&self) -> u64 {
        // Good enough to tell threads apart.
        let name = format!("{:?}", std::thread::current().id());
        name.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte))
    }
    fn sleep(&self, ns: u64) {
        std::thread::sleep(Duration::from_nanos(ns));
    }
}
