// SPDX-License-Identifier: GPL-2.0
//! The clusters of a file. What was read of a chain is kept as runs of consecutive clusters. Locks: the file's `chain` is held by the
//! caller.

use crate::mounted::Mounted;
use crate::table::Cursor;
use fat_format::link::Link;
use kalloc::KVVec;
use kalloc::flags::GFP_NOFS;
use kernel::prelude::*;

/// Consecutive clusters.
#[derive(Clone, Copy)]
struct Run {
    /// Cluster of the file.
    file: u32,
    /// On the disk.
    disk: u32,
    len: u32,
}

/// The chain of a file, as far as it is known.
pub(crate) struct Chain {
    /// First cluster, 0 for none.
    pub(crate) start: u32,
    runs: KVVec<Run>,
    /// Clusters that are known.
    known: u32,
    /// There are no others.
    ended: bool,
    /// A cluster that came before: a chain that comes to it again is a circle. It moves whenever twice as many are known (Brent).
    seen: u32,
    move_at: u32,
}

impl Chain {
    pub(crate) fn new(start: u32) -> Self {
        Self { start, runs: KVVec::new(), known: 0, ended: start == 0, seen: 0, move_at: 1 }
    }

    fn last(&self) -> Option<u32> {
        self.runs.last().map(|run| run.disk + run.len - 1)
    }

    fn push(&mut self, cluster: u32) -> Result {
        match self.runs.last_mut() {
            Some(run) if run.disk + run.len == cluster => run.len += 1,
            _ => self.runs.push(Run { file: self.known, disk: cluster, len: 1 }, GFP_NOFS)?,
        }
        self.known += 1;
        Ok(())
    }

    /// Reads on until `wanted` clusters are known or the chain ends. EIO for one that is damaged: it leads nowhere, or in a circle.
    fn learn(&mut self, mounted: &Mounted, wanted: u32) -> Result {
        let mut cursor = Cursor::default();
        while self.known < wanted && !self.ended {
            let next = match self.last() {
                None => Link::Next(self.start),
                Some(last) => mounted.link(&mut cursor, last)?,
            };
            match next {
                Link::End => self.ended = true,
                Link::Next(next) if mounted.geo.has(next) && next != self.seen => {
                    self.push(next)?;
                    if self.known == self.move_at {
                        (self.seen, self.move_at) = (next, self.move_at.saturating_mul(2));
                    }
                }
                _ => return Err(mounted.error(format_args!("invalid cluster chain (first cluster {})", self.start))),
            }
        }
        Ok(())
    }

    /// Where cluster `number` of the file is, and how many of `count` follow it on the disk at least; `None` behind the end.
    pub(crate) fn map(&mut self, mounted: &Mounted, number: u32, count: u32) -> Result<Option<(u32, u32)>> {
        self.learn(mounted, number.saturating_add(count))?;
        let at = self.runs.partition_point(|run| run.file <= number);
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        Ok(run.and_then(|run| {
            let skip = number - run.file;
            run.len.checked_sub(skip).filter(|left| *left != 0).map(|left| (run.disk + skip, left))
        }))
    }

    /// Clusters in all.
    pub(crate) fn len(&mut self, mounted: &Mounted) -> Result<u32> {
        self.learn(mounted, u32::MAX)?;
        Ok(self.known)
    }

    /// Makes it at least `count` clusters long. Returns how long it is. ENOSPC: it stays as it was.
    pub(crate) fn grow(&mut self, mounted: &Mounted, count: u32) -> Result<u32> {
        if count > self.known {
            self.learn(mounted, u32::MAX)?;
        }
        if count <= self.known {
            return Ok(self.known);
        }
        if count > mounted.geo.clusters {
            // Before memory is asked for so many.
            return Err(ENOSPC);
        }
        let mut new = KVVec::new();
        // What follows must not fail.
        self.runs.reserve((count - self.known) as usize, GFP_NOFS)?;
        mounted.allocate(self.last(), count - self.known, &mut new)?;
        for cluster in new.iter() {
            self.push(*cluster)?;
        }
        if self.start == 0 {
            self.start = new.first().copied().unwrap_or(0);
        }
        Ok(self.known)
    }

    /// Makes it `count` clusters long at most; `buffered` as in [`Mounted::free_chain`].
    pub(crate) fn cut(&mut self, mounted: &Mounted, count: u32, buffered: bool) -> Result {
        if self.start == 0 {
            return Ok(());
        }
        if count == 0 {
            let start = self.start;
            *self = Self::new(0);
            return mounted.free_chain(start, buffered);
        }
        let Some((last, _)) = self.map(mounted, count - 1, 1)? else { return Ok(()) };
        let next = mounted.end_chain(last)?;
        self.runs.retain(|run| run.file < count);
        if let Some(run) = self.runs.last_mut() {
            run.len = run.len.min(count - run.file);
        }
        (self.known, self.ended) = (count, true);
        match next {
            Link::Next(next) => mounted.free_chain(next, buffered),
            _ => Ok(()),
        }
    }
}
