// SPDX-License-Identifier: GPL-2.0
//! A journal as a whole: opening (with recovery), its superblock, aborting, emptying, closing.

use crate::Tid;
use crate::fast_commit::Replay;
use crate::format::*;
use crate::recovery::{Recovered, Recovery};
use crate::state::{State, Stats};
use crate::system::{LogBuf, Monitor, System, WriteFlags};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use errno::code::{EINVAL, EIO, ENOSPC, ESHUTDOWN, EUCLEAN};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVVec, KVec};

/// A run of the log's blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// First block, counted within the log.
    pub logical: u32,
    /// Where it lies on the log's device.
    pub physical: u64,
    /// How many blocks.
    pub len: u32,
}

/// Where the blocks of a log lie.
pub struct Geometry(KVVec<Run>);

impl Geometry {
    /// From runs in order without gaps, beginning at 0. `EUCLEAN` if they are not so.
    pub fn new(runs: impl IntoIterator<Item = Run>) -> Result<Self> {
        let (mut all, mut next) = (KVVec::new(), 0u32);
        for run in runs {
            if run.logical != next || run.len == 0 || run.physical.checked_add(run.len.into()).is_none() {
                return Err(EUCLEAN);
            }
            next = next.checked_add(run.len).ok_or(EUCLEAN)?;
            all.push(run, GFP_KERNEL)?;
        }
        Ok(Self(all))
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u32 {
        self.0.last().map_or(0, |run| run.logical + run.len)
    }

    /// The block of the device behind a block of the log, and how many follow it there (with itself). `EUCLEAN` beyond the end.
    pub fn run(&self, logical: u32) -> Result<(u64, u32)> {
        let after = self.0.partition_point(|run| run.logical <= logical);
        let run = after.checked_sub(1).and_then(|index| self.0.get(index)).ok_or(EUCLEAN)?;
        let offset = logical - run.logical;
        if offset >= run.len {
            return Err(EUCLEAN);
        }
        Ok((run.physical + u64::from(offset), run.len - offset))
    }

    /// The block of the device behind a block of the log.
    pub fn map(&self, logical: u32) -> Result<u64> {
        self.run(logical).map(|(physical, _)| physical)
    }
}

/// The parts of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Area {
    /// First block for transactions, ...
    pub(crate) first: u32,
    /// ... and the block after the last.
    pub(crate) last: u32,
    /// First and last block for fast commits; the last is below the first if there are none.
    pub(crate) fast_first: u32,
    pub(crate) fast_last: u32,
}

impl Area {
    /// The parts of the log that has this superblock (which was checked).
    pub(crate) fn new(sb: &Superblock) -> Self {
        let (first, mut last) = (sb.first(), sb.max_len());
        let (mut fast_first, mut fast_last) = (1, 0);
        if sb.features().has(INCOMPAT_FAST_COMMIT) {
            let blocks = if sb.fast_commit_blocks() == 0 { 256 } else { sb.fast_commit_blocks() };
            if let Some(rest) = last.checked_sub(blocks).filter(|rest| *rest >= MIN_BLOCKS && *rest > first) {
                (fast_first, fast_last) = (rest + 1, last - 1);
                last = rest;
            }
        }
        Self { first, last, fast_first, fast_last }
    }

    /// `blocks` after `at`, going round.
    pub(crate) fn forward(&self, at: u32, blocks: u32) -> u32 {
        let size = u64::from(self.last - self.first);
        let offset = u64::from(at.saturating_sub(self.first)) + u64::from(blocks);
        self.first + (offset % size) as u32
    }

    /// How many blocks `to` is after `from`, going round.
    pub(crate) fn distance(&self, from: u32, to: u32) -> u32 {
        if to >= from { to - from } else { (self.last - self.first) - (from - to) }
    }
}

/// How a journal is run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// A transaction is committed at the latest after this time.
    pub commit_interval_ns: u64,
    /// Those who wait for a commit give others at least this time to join ...
    pub min_batch_ns: u64,
    /// ... and at most this.
    pub max_batch_ns: u64,
    /// The device's cache is flushed where order matters (mount option `barrier`).
    pub barrier: bool,
    /// `COMPAT_*` and `INCOMPAT_*` that the log shall have, and those that it shall not have (of both kinds: it has them); looked at when
    /// it is opened.
    pub set_compat: u32,
    /// See `set_compat`.
    pub clear_compat: u32,
    /// See `set_compat`.
    pub set_incompat: u32,
    /// See `set_compat`.
    pub clear_incompat: u32,
    /// The file system says that it was unmounted: what is in the log is left out when it is opened ...
    pub skip: bool,
    /// ... and that is not written to the disk.
    pub read_only: bool,
}

impl Config {
    /// Puts the features that are wanted into a superblock.
    fn apply(&self, sb: &mut Superblock) {
        sb.set_compat((sb.compat() & !self.clear_compat) | self.set_compat);
        // New transactions may have revoke records, and need the format that has them.
        sb.set_incompat((sb.incompat() & !self.clear_incompat) | self.set_incompat | INCOMPAT_REVOKE);
        if sb.features().checksums() {
            sb.set_compat(sb.compat() & !COMPAT_CHECKSUM);
            sb.set_checksum_type();
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            commit_interval_ns: 5_000_000_000,
            min_batch_ns: 0,
            max_batch_ns: 15_000_000,
            barrier: true,
            set_compat: 0,
            clear_compat: 0,
            set_incompat: 0,
            clear_incompat: 0,
            skip: false,
            read_only: false,
        }
    }
}

/// The configuration in force; read without a lock.
struct Settings {
    interval: AtomicU64,
    min_batch: AtomicU64,
    max_batch: AtomicU64,
    barrier: AtomicBool,
}

/// A journal in use.
pub struct Journal<S: System> {
    pub(crate) sys: S,
    pub(crate) geometry: Geometry,
    pub(crate) features: Features,
    pub(crate) block_size: usize,
    /// The most blocks of log that a transaction may take, ...
    pub(crate) max_transaction: u32,
    /// ... and of them for handles: the rest is for descriptors and the commit block.
    pub(crate) max_credits: u32,
    pub(crate) state: KBox<S::Monitor<State<S>>>,
    pub(crate) superblock: S::Monitor<Superblock>,
    /// Held by the one who advances the tail.
    pub(crate) checkpointing: S::Monitor<()>,
    /// Memory for writing the log; taken by the one who commits.
    pub(crate) writer: S::Monitor<Option<S::LogBuf>>,
    pub(crate) dead: AtomicBool,
    settings: Settings,
}

/// Blocks that are written to the log at once.
const BATCH: usize = 128;

impl<S: System> Journal<S> {
    /// Reads and checks the superblock of a log: `EINVAL`, `EBADMSG`, `EUCLEAN`, `EIO` as [`Superblock::check`].
    #[inline(never)]
    pub fn read_superblock(sys: &S, geometry: &Geometry, block_size: usize) -> Result<Superblock> {
        let mut block = KVec::from_elem(0u8, block_size, GFP_KERNEL)?;
        sys.log().read(geometry.map(0)?, &mut block)?;
        let mut bytes = KBox::<[u8; SUPERBLOCK_SIZE]>::zeroed(GFP_KERNEL)?;
        bytes.copy_from_slice(block.get(..SUPERBLOCK_SIZE).ok_or(EINVAL)?);
        let sb = Superblock(bytes);
        sb.check(block_size, geometry.blocks().into())?;
        Ok(sb)
    }

    /// Recovers the log without opening it (a read-only look would not: the caller decides). The superblock on the disk then
    /// says that the log is empty. An error recorded there is kept. `EUCLEAN` if the log ends at a damaged transaction.
    #[inline(never)]
    pub fn recover(
        sys: &S,
        geometry: &Geometry,
        sb: &mut Superblock,
        fast: Option<&mut dyn Replay>,
    ) -> Result<Recovered> {
        let recovery = Recovery { superblock: sb, geometry, log: sys.log(), fs: sys.fs() };
        let done = recovery.run(fast)?;
        if done.failed_commit.is_some() {
            return Err(EUCLEAN);
        }
        if done.needed {
            set_empty(sb, done.next_tid);
            write_superblock(sys, geometry, sb, true)?;
        }
        Ok(done)
    }

    /// Leaves out what is in the log (`Config::skip`).
    fn skip(sys: &S, geometry: &Geometry, sb: &mut Superblock, read_only: bool) -> Result<Recovered> {
        let done = Recovery { superblock: sb, geometry, log: sys.log(), fs: sys.fs() }.skip()?;
        if done.needed {
            set_empty(sb, done.next_tid);
            if !read_only {
                write_superblock(sys, geometry, sb, true)?;
            }
        }
        Ok(done)
    }

    /// Opens a journal: reads the superblock, recovers if need be. No thread commits yet.
    pub fn open(sys: S, geometry: Geometry, block_size: usize, config: Config) -> Result<(Arc<Self>, Recovered)> {
        Self::open_with(sys, geometry, block_size, config, None)
    }

    /// As `open`, with one who can replay fast commits. `EINVAL` for a log that is too short.
    #[inline(never)]
    pub fn open_with(
        sys: S,
        geometry: Geometry,
        block_size: usize,
        config: Config,
        fast: Option<&mut dyn Replay>,
    ) -> Result<(Arc<Self>, Recovered)> {
        let mut sb = Self::read_superblock(&sys, &geometry, block_size)?;
        if sb.max_len() < MIN_BLOCKS {
            return Err(EINVAL);
        }
        let done = if config.skip {
            Self::skip(&sys, &geometry, &mut sb, config.read_only)?
        } else {
            Self::recover(&sys, &geometry, &mut sb, fast)?
        };
        if sb.kind() == SUPERBLOCK_V1 {
            sb.set_kind(SUPERBLOCK_V2);
            sb.0.get_mut(0x24..).unwrap_or_default().fill(0);
        }
        config.apply(&mut sb);
        let area = Area::new(&sb);
        let usable = area.last.checked_sub(area.first).ok_or(EUCLEAN)?;
        let max_transaction = usable / 4;
        let features = sb.features();
        let overhead = 2 + max_transaction / features.tags_per_block(block_size).max(1) as u32;
        let max_credits = max_transaction.checked_sub(overhead).filter(|credits| *credits >= 8).ok_or(ENOSPC)?;
        let writer = sys.log_buf(BATCH.min(max_transaction as usize))?;
        let journal = Self {
            geometry,
            features,
            block_size,
            max_transaction,
            max_credits,
            state: Self::new_state(area, done.next_tid)?,
            superblock: Monitor::new(sb)?,
            checkpointing: Monitor::new(())?,
            writer: Monitor::new(Some(writer))?,
            dead: AtomicBool::new(false),
            settings: Settings {
                interval: AtomicU64::new(config.commit_interval_ns),
                min_batch: AtomicU64::new(config.min_batch_ns),
                max_batch: AtomicU64::new(config.max_batch_ns),
                barrier: AtomicBool::new(config.barrier),
            },
            sys,
        };
        Ok((Arc::new(journal, GFP_KERNEL)?, done))
    }

    /// The state of a journal that is not used yet. In a box: it is large for a stack.
    #[inline(never)]
    fn new_state(area: Area, next_tid: Tid) -> Result<KBox<S::Monitor<State<S>>>> {
        Ok(KBox::new(Monitor::new(State::new(area, next_tid))?, GFP_KERNEL)?)
    }

    /// The system below.
    pub fn system(&self) -> &S {
        &self.sys
    }

    /// The configuration.
    pub fn config(&self) -> Config {
        Config {
            commit_interval_ns: self.settings.interval.load(Ordering::Relaxed),
            min_batch_ns: self.settings.min_batch.load(Ordering::Relaxed),
            max_batch_ns: self.settings.max_batch.load(Ordering::Relaxed),
            barrier: self.settings.barrier.load(Ordering::Relaxed),
            ..Config::default()
        }
    }

    /// Changes the configuration (remount).
    pub fn set_config(&self, config: Config) {
        self.settings.interval.store(config.commit_interval_ns, Ordering::Relaxed);
        self.settings.min_batch.store(config.min_batch_ns, Ordering::Relaxed);
        self.settings.max_batch.store(config.max_batch_ns, Ordering::Relaxed);
        self.settings.barrier.store(config.barrier, Ordering::Relaxed);
    }

    pub(crate) fn barrier(&self) -> bool {
        self.settings.barrier.load(Ordering::Relaxed)
    }

    /// The format's features.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The most credits that one handle can have.
    pub fn max_credits(&self) -> u32 {
        self.max_credits
    }

    /// Sums over all commits so far.
    pub fn stats(&self) -> Stats {
        self.state.with(|state| state.stats)
    }

    /// Identity of the log.
    pub fn uuid(&self) -> [u8; 16] {
        self.superblock.with(|sb| sb.uuid())
    }

    /// Writes the superblock: recovery is to begin at `tail` with `tid` (`None`: there is nothing to recover).
    pub(crate) fn write_tail(&self, tid: Tid, tail: Option<u32>) -> Result {
        if self.is_aborted() {
            return Err(EIO);
        }
        let done = self.superblock.with(|sb| {
            sb.set_sequence(tid);
            sb.set_start(tail.unwrap_or(0));
            write_superblock(&self.sys, &self.geometry, sb, self.barrier())
        });
        match done {
            Ok(()) => {
                self.state.with(|state| state.flushed = tail.is_none());
                Ok(())
            }
            Err(error) => {
                self.abort(error);
                Err(error)
            }
        }
    }

    /// Whether the journal has been aborted. Any context.
    pub fn is_aborted(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Gives up: nothing is committed any more, and nobody gets a handle. `error` is noted in the superblock, so that the next
    /// mount knows (not `ESHUTDOWN`: somebody wanted that); the first one counts. The file system is told.
    pub fn abort(&self, error: Error) {
        let first = self.state.with(|state| {
            self.dead.store(true, Ordering::Release);
            let first = state.abort.is_none();
            state.abort.get_or_insert(error);
            first
        });
        self.state.wake();
        if !first {
            return;
        }
        self.superblock.with(|sb| {
            if sb.errno() == 0 && error != ESHUTDOWN {
                sb.set_errno(error.to_errno() as u32);
                // It may well fail: that is perhaps why we are here.
                let _ = write_superblock(&self.sys, &self.geometry, sb, self.barrier());
            }
        });
        self.sys.aborted(error);
    }

    /// Why the journal was aborted, if it was.
    pub fn abort_reason(&self) -> Option<Error> {
        self.state.with(|state| state.abort)
    }

    /// The error noted in the superblock by an earlier abort.
    pub fn recorded_error(&self) -> Option<Error> {
        let errno = self.superblock.with(|sb| sb.errno());
        (errno != 0).then(|| Error::from_errno(errno as i32))
    }

    /// Takes the error out of the superblock, after the file system has noted it in its own.
    pub fn clear_error(&self) -> Result {
        self.superblock.with(|sb| {
            sb.set_errno(0);
            write_superblock(&self.sys, &self.geometry, sb, self.barrier())
        })
    }

    /// Keeps new handles out and waits for those that there are (freezing, changing the mode of data).
    pub fn lock_updates(&self) {
        self.state.with(|state| state.barriers += 1);
        self.state.wait(|state| {
            let done = state.running.as_ref().is_none_or(|running| running.updates == 0);
            state.joining |= !done;
            done.then_some(())
        });
    }

    /// Lets new handles in again.
    pub fn unlock_updates(&self) {
        self.state.with(|state| state.barriers = state.barriers.saturating_sub(1));
        self.state.wake();
    }

    /// Commits what there is, writes everything home and marks the log as empty. The caller keeps handles out if it is to
    /// stay so.
    pub fn flush(&self) -> Result {
        self.commit_all()?;
        self.checkpoint_all()?;
        self.checkpointing.with(|()| {
            let (tid, idle, flushed) =
                self.state.with(|state| (state.oldest().0, state.running.is_none(), state.flushed));
            if !idle {
                return Ok(());
            }
            if self.barrier() {
                self.sys.fs().flush().inspect_err(|error| self.abort(*error))?;
            }
            // The disk says so already: a device that cannot be written is not written to.
            if flushed {
                return Ok(());
            }
            self.write_tail(tid, None)?;
            self.state.with(|state| {
                state.free = state.area.last - state.area.first;
                (state.tail, state.tail_tid) = (state.head, tid);
            });
            Ok(())
        })
    }

    /// Ends the use of the journal: flushes it; the thread, if any, is told to end.
    pub fn close(&self) -> Result {
        let done = if self.is_aborted() { Err(EIO) } else { self.flush() };
        self.state.with(|state| state.stopping = true);
        self.state.wake();
        self.state.wait(|state| (!state.threaded).then_some(()));
        done
    }
}

/// Nothing in the log is to be recovered.
fn set_empty(sb: &mut Superblock, next_tid: Tid) {
    sb.set_start(0);
    sb.set_sequence(next_tid);
    sb.set_head(0);
    // An empty log has no fast commits: who does not know of them may use it.
    sb.set_incompat(sb.incompat() & !INCOMPAT_FAST_COMMIT);
}

/// Writes the superblock, durably, with its checksum.
#[inline(never)]
fn write_superblock<S: System>(sys: &S, geometry: &Geometry, sb: &mut Superblock, barrier: bool) -> Result {
    let block = geometry.map(0)?;
    sb.seal();
    let mut buf = sys.log_buf(1)?;
    let to = buf.block_mut(0);
    to.fill(0);
    to.get_mut(..SUPERBLOCK_SIZE).ok_or(EINVAL)?.copy_from_slice(&*sb.0);
    sys.write_log(block, &buf, 0, 1, WriteFlags { preflush: barrier, fua: barrier })
}
