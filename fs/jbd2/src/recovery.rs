// SPDX-License-Identifier: GPL-2.0
//! Recovery: three passes over the log, from the first transaction that may not be on the disk to the last whole one.
//! *scan* finds the end, *revoke* collects blocks that must not be replayed, *replay* copies blocks home.
//! Runs when a journal is opened, before anybody else uses it.

use crate::append::End;
use crate::csum::crc32_be;
use crate::fast_commit::{FastLog, Replay};
use crate::format::*;
use crate::journal::{Area, Geometry};
use crate::system::{BlockDevice, WriteFlags};
use crate::{Tid, tid_gt};
use containers::HashMap;
use errno::code::{EBADMSG, EIO, EOPNOTSUPP, EUCLEAN};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KVVec, KVec};

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number for the next transaction.
    pub next_tid: Tid,
    /// Where the log ended.
    pub head: u32,
    /// Blocks copied home.
    pub replayed: u32,
    /// Revoke records seen.
    pub revokes: u32,
    /// Blocks not copied because they were revoked.
    pub revoke_hits: u32,
    /// The transaction at which a wrong checksum ended the log.
    pub failed_commit: Option<Tid>,
    /// Records of fast commits that were replayed.
    pub fast_tags: u32,
    /// Whether there was anything to do.
    pub needed: bool,
}

/// A log to recover.
pub struct Recovery<'a> {
    /// Its superblock, checked.
    pub superblock: &'a Superblock,
    /// Where its blocks lie.
    pub geometry: &'a Geometry,
    /// The device of the log.
    pub log: &'a dyn BlockDevice,
    /// The device of the file system.
    pub fs: &'a dyn BlockDevice,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pass {
    Scan,
    Revoke,
    Replay,
}

/// Bytes of copies that are read together.
const AHEAD: usize = 64 << 10;

struct Walk<'a, 'b> {
    what: &'b Recovery<'a>,
    features: Features,
    area: Area,
    block: KVec<u8>,
    copy: KVec<u8>,
    /// Copies that follow each other on the disk, and where: first block, number.
    ahead: KVVec<u8>,
    there: (u64, u64),
    revoked: HashMap<u64, Tid>,
    end: Option<Tid>,
    head: Option<u32>,
    /// When the last transaction was committed.
    time: u64,
    done: Recovered,
    error: Option<Error>,
}

/// How a pass goes on after a block.
enum Step {
    Next,
    End,
}

/// The state of one pass.
struct Cursor {
    tid: Tid,
    at: u32,
    /// Blocks that may still be read: a damaged log must not be walked in circles.
    budget: u32,
    crc32: u32,
    last_time: u64,
    suspect: bool,
    /// A copy of this transaction is not what was written.
    torn: bool,
    head: u32,
}

impl Recovery<'_> {
    /// Recovers. An error means that the file system must not be used: `EBADMSG` and `EUCLEAN` for a damaged log, or the
    /// device's. A log that ends at a commit with a wrong checksum is replayed up to there, and `failed_commit` says so.
    pub fn run(&self, mut fast: Option<&mut dyn Replay>) -> Result<Recovered> {
        let sb = self.superblock;
        if sb.start() == 0 {
            return Ok(self.nothing());
        }
        let mut walk = self.walk()?;
        let inode_size = fast.as_deref().map_or(usize::MAX, |fast| fast.inode_size());
        let mut fast_tags = 0;
        for pass in [Pass::Scan, Pass::Revoke, Pass::Replay] {
            walk.pass(pass)?;
            // What cannot be recovered as a whole is not to be changed further.
            let whole = walk.error.is_none() && walk.done.failed_commit.is_none();
            if !walk.features.has(INCOMPAT_FAST_COMMIT) || pass == Pass::Revoke || !whole {
                continue;
            }
            let tid = walk.end.unwrap_or(sb.sequence());
            let fast_log = FastLog { recovery: self, area: &walk.area, tid, inode_size };
            if pass == Pass::Scan {
                fast_tags = fast_log.scan()?;
            } else if fast_tags != 0 {
                // Without someone who knows the file system's records, what they hold would be lost silently.
                let fast = fast.as_deref_mut().ok_or(EOPNOTSUPP)?;
                fast_log.replay(fast_tags, fast)?;
                fast_log.append(fast, End { head: walk.head.unwrap_or(sb.start()), time: walk.time })?;
                fast.write_home()?;
                walk.done.fast_tags = fast_tags;
            }
        }
        self.fs.flush()?;
        if let Some(error) = walk.error {
            return Err(error);
        }
        Ok(walk.end())
    }

    /// Replays nothing: the file system says that it does not need the log. Only where that ends is looked for, so that no number comes
    /// twice.
    pub fn skip(&self) -> Result<Recovered> {
        if self.superblock.start() == 0 {
            return Ok(self.nothing());
        }
        let mut walk = self.walk()?;
        walk.pass(Pass::Scan)?;
        walk.done.failed_commit = None;
        Ok(walk.end())
    }

    /// The log is empty.
    fn nothing(&self) -> Recovered {
        let sb = self.superblock;
        let head = if sb.head() == 0 { Area::new(sb).first } else { sb.head() };
        Recovered { next_tid: sb.sequence().wrapping_add(1), head, ..Default::default() }
    }

    fn walk(&self) -> Result<Walk<'_, '_>> {
        let sb = self.superblock;
        let area = Area::new(sb);
        if sb.start() < area.first || sb.start() >= area.last {
            return Err(EUCLEAN);
        }
        let size = sb.block_size() as usize;
        Ok(Walk {
            what: self,
            features: sb.features(),
            area,
            block: KVec::from_elem(0, size, GFP_KERNEL)?,
            copy: KVec::from_elem(0, size, GFP_KERNEL)?,
            ahead: KVVec::from_elem(0, AHEAD.max(size), GFP_KERNEL)?,
            there: (0, 0),
            revoked: HashMap::new(),
            end: None,
            head: None,
            time: 0,
            done: Recovered { needed: true, ..Default::default() },
            error: None,
        })
    }
}

impl Walk<'_, '_> {
    /// What was done.
    fn end(self) -> Recovered {
        // One number is left out, so that a transaction that was begun but not finished cannot be taken for a new one.
        let next_tid = self.end.unwrap_or(self.what.superblock.sequence()).wrapping_add(1);
        Recovered { next_tid, head: self.head.unwrap_or(self.area.first), ..self.done }
    }

    /// One pass.
    fn pass(&mut self, pass: Pass) -> Result {
        let sb = self.what.superblock;
        let mut cursor = Cursor {
            tid: sb.sequence(),
            at: sb.start(),
            budget: self.area.last - self.area.first,
            crc32: !0,
            last_time: 0,
            suspect: false,
            torn: false,
            head: sb.start(),
        };
        loop {
            if pass != Pass::Scan && self.end.is_some_and(|end| !tid_gt(end, cursor.tid)) {
                break;
            }
            if cursor.budget == 0 {
                break;
            }
            self.read(cursor.at)?;
            let Some(header) = Header::parse(&self.block) else { break };
            if header.tid != cursor.tid {
                break;
            }
            self.advance(&mut cursor, 1);
            let step = match header.kind {
                DESCRIPTOR_BLOCK => self.descriptor(pass, &mut cursor)?,
                COMMIT_BLOCK => self.commit(pass, &mut cursor)?,
                REVOKE_BLOCK => self.revoke(pass, &mut cursor)?,
                _ => Step::End,
            };
            if let Step::End = step {
                break;
            }
        }
        if pass == Pass::Scan {
            self.end.get_or_insert(cursor.tid);
            self.head.get_or_insert(cursor.head);
            self.time = cursor.last_time;
        } else if self.end != Some(cursor.tid) {
            self.error.get_or_insert(EIO);
        }
        Ok(())
    }

    fn read(&mut self, at: u32) -> Result {
        self.what.log.read(self.what.geometry.map(at)?, &mut self.block)
    }

    fn advance(&self, cursor: &mut Cursor, blocks: u32) {
        cursor.at = self.area.forward(cursor.at, blocks);
        cursor.budget = cursor.budget.saturating_sub(blocks);
    }

    fn descriptor(&mut self, pass: Pass, cursor: &mut Cursor) -> Result<Step> {
        if !self.features.is_sealed(&self.block) {
            // Scanning may meet blocks of an older life of this area: the commit block's time will tell.
            if pass != Pass::Scan {
                return Err(EBADMSG);
            }
            cursor.suspect = true;
        }
        if pass == Pass::Replay {
            return self.replay(cursor);
        }
        let count = Tags::new(self.features, &self.block).count() as u32;
        if pass == Pass::Scan && self.features.checksum_v1() && self.end.is_none() {
            cursor.crc32 = crc32_be(cursor.crc32, &self.block);
            for _ in 0..count {
                if cursor.budget == 0 {
                    return Ok(Step::End);
                }
                let block = self.what.geometry.map(cursor.at)?;
                self.what.log.read(block, &mut self.copy)?;
                cursor.crc32 = crc32_be(cursor.crc32, &self.copy);
                self.advance(cursor, 1);
            }
            return Ok(Step::Next);
        }
        if pass == Pass::Scan && self.may_be_torn() {
            self.verify_copies(cursor)?;
        } else {
            self.advance(cursor, count);
        }
        Ok(Step::Next)
    }

    /// Whether a commit block can be on the disk without what it commits: then only the copies' checksums tell. (Linux finds
    /// out in the replay, and refuses to mount.)
    fn may_be_torn(&self) -> bool {
        self.features.has(INCOMPAT_ASYNC_COMMIT) && self.features.checksums()
    }

    /// Looks whether the copies of the descriptor in `self.block` are what was written.
    fn verify_copies(&mut self, cursor: &mut Cursor) -> Result {
        let mut tags = Tags::new(self.features, &self.block);
        while let Some(tag) = tags.next().filter(|_| cursor.budget != 0) {
            let block = self.what.geometry.map(cursor.at)?;
            self.what.log.read(block, &mut self.copy)?;
            cursor.torn |= self.features.data_checksum(cursor.tid, &self.copy) != tag.checksum;
            cursor.at = self.area.forward(cursor.at, 1);
            cursor.budget -= 1;
        }
        Ok(())
    }

    /// Copies the blocks of the descriptor in `self.block` home.
    fn replay(&mut self, cursor: &mut Cursor) -> Result<Step> {
        let mut tags: KVVec<Tag> = KVVec::new();
        for tag in Tags::new(self.features, &self.block) {
            tags.push(tag, GFP_KERNEL)?;
        }
        for (index, tag) in tags.iter().enumerate() {
            let at = cursor.at;
            self.advance(cursor, 1);
            if self.revoked.get(&tag.block).is_some_and(|tid| !tid_gt(cursor.tid, *tid)) {
                self.done.revoke_hits += 1;
                continue;
            }
            if let Err(error) = self.replay_one(cursor.tid, tag, at, tags.len() - index) {
                self.error.get_or_insert(error);
            }
        }
        Ok(Step::Next)
    }

    /// Reads the copy at `at`, which others follow, `left` with it.
    fn read_copy(&mut self, at: u32, left: usize) -> Result {
        let block = self.what.geometry.map(at)?;
        let size = self.copy.len();
        let mut place = block.wrapping_sub(self.there.0);
        if place >= self.there.1 {
            let most = left.min(self.ahead.len() / size) as u32;
            let follows =
                |n: &u32| self.what.geometry.map(self.area.forward(at, *n)) == Ok(block.wrapping_add(u64::from(*n)));
            let count = 1 + (1..most).take_while(follows).count();
            self.there = (block, 0);
            let window = self.ahead.get_mut(..count * size).ok_or(EIO)?;
            if self.what.log.read_run(block, window, size).is_err() {
                // One of them cannot be read: this one perhaps can.
                return self.what.log.read(block, &mut self.copy);
            }
            self.there = (block, count as u64);
            place = 0;
        }
        let from = place as usize * size;
        self.copy.copy_from_slice(self.ahead.get(from..from + size).ok_or(EIO)?);
        Ok(())
    }

    fn replay_one(&mut self, tid: Tid, tag: &Tag, at: u32, left: usize) -> Result {
        self.read_copy(at, left)?;
        if self.features.checksums() && self.features.data_checksum(tid, &self.copy) != tag.checksum {
            return Err(EBADMSG);
        }
        if tag.flags & TAG_ESCAPE != 0 {
            put32(&mut self.copy, 0, MAGIC);
        }
        self.what.fs.write(tag.block, &self.copy, WriteFlags::default())?;
        self.done.replayed += 1;
        Ok(())
    }

    fn commit(&mut self, pass: Pass, cursor: &mut Cursor) -> Result<Step> {
        if pass == Pass::Scan {
            let time = commit_time(&self.block);
            if cursor.suspect {
                // Time that goes on says that the block with the wrong checksum is of this log; else it is stale.
                return if time >= cursor.last_time { Err(EBADMSG) } else { Ok(Step::End) };
            }
            let mut good = commit_is_sealed(&self.features, &self.block);
            if self.may_be_torn() {
                // The last transaction may be incomplete; one that others follow was not written so.
                if self.end.is_some() {
                    self.done.failed_commit = self.end;
                    return Ok(Step::End);
                }
                good &= !core::mem::take(&mut cursor.torn);
            }
            if self.features.checksum_v1() {
                if self.end.is_some() {
                    self.done.failed_commit = self.end;
                    return Ok(Step::End);
                }
                good &= commit_matches(&self.block, cursor.crc32);
                cursor.crc32 = !0;
            }
            if !good {
                if time < cursor.last_time {
                    return Ok(Step::End);
                }
                self.end = Some(cursor.tid);
                self.head = Some(cursor.head);
                if !self.features.has(INCOMPAT_ASYNC_COMMIT) {
                    self.done.failed_commit = Some(cursor.tid);
                    return Ok(Step::End);
                }
            }
            cursor.last_time = time;
            cursor.head = cursor.at;
        }
        cursor.tid = cursor.tid.wrapping_add(1);
        Ok(Step::Next)
    }

    fn revoke(&mut self, pass: Pass, cursor: &mut Cursor) -> Result<Step> {
        if !self.features.is_sealed(&self.block) {
            if pass == Pass::Scan {
                cursor.suspect = true;
            } else if pass == Pass::Revoke {
                return Err(EBADMSG);
            }
        }
        if pass != Pass::Revoke {
            return Ok(Step::Next);
        }
        for number in revoked(&self.features, &self.block)? {
            self.done.revokes += 1;
            if self.revoked.get(&number).is_none_or(|tid| tid_gt(cursor.tid, *tid)) {
                self.revoked.insert(number, cursor.tid)?;
            }
        }
        Ok(Step::Next)
    }
}
