// SPDX-License-Identifier: GPL-2.0
//! Writing blocks of a transaction to the log: they are gathered in memory and written in long runs.

use crate::Tid;
use crate::csum::crc32_be;
use crate::format::*;
use crate::journal::Journal;
use crate::system::{LogBuf, Monitor, System, WriteFlags};
use errno::Result;
use errno::code::EIO;

/// Gathers the blocks of one transaction.
pub(crate) struct LogWriter<'a, S: System> {
    journal: &'a Journal<S>,
    tid: Tid,
    buf: &'a mut S::LogBuf,
    used: usize,
    /// Blocks before this one do not count for the checksum of format v1.
    summed: usize,
    open: Option<(usize, DescriptorWriter)>,
    crc32: u32,
    /// Blocks written so far.
    pub(crate) written: u64,
}

impl<'a, S: System> LogWriter<'a, S> {
    pub(crate) fn new(journal: &'a Journal<S>, tid: Tid, buf: &'a mut S::LogBuf) -> Self {
        Self { journal, tid, buf, used: 0, summed: 0, open: None, crc32: !0, written: 0 }
    }

    /// Whether a buffer (with a descriptor, if need be) can be taken without writing.
    pub(crate) fn has_room(&self) -> bool {
        self.used + 2 <= self.buf.blocks()
    }

    /// Takes one block of revoke records. Before any buffer.
    pub(crate) fn revokes(&mut self, numbers: &mut dyn Iterator<Item = u64>) -> Result {
        if !self.has_room() {
            self.write(WriteFlags::default())?;
        }
        let block = self.buf.block_mut(self.used);
        write_revokes(&self.journal.features, block, self.tid, numbers);
        self.used += 1;
        self.summed = self.used;
        Ok(())
    }

    /// Takes a buffer's content, which `fill` copies. There must be room.
    pub(crate) fn buffer(&mut self, block: u64, fill: impl FnOnce(&mut [u8])) {
        let features = self.journal.features;
        let (at, mut descriptor) = match self.open.take() {
            Some(open) => open,
            None => {
                let at = self.used;
                self.used += 1;
                (at, DescriptorWriter::new(features, self.buf.block_mut(at), self.tid))
            }
        };
        let copy = self.buf.block_mut(self.used);
        self.used += 1;
        fill(copy);
        let mut flags = 0;
        // A copied block must not look like one of the journal's own.
        if get32(copy, 0) == Some(MAGIC) {
            put32(copy, 0, 0);
            flags |= TAG_ESCAPE;
        }
        let checksum = if features.checksums() { features.data_checksum(self.tid, copy) } else { 0 };
        if descriptor.push(self.buf.block_mut(at), Tag { block, flags, checksum }) {
            self.open = Some((at, descriptor));
        } else {
            descriptor.finish(self.buf.block_mut(at));
        }
    }

    /// Takes the commit block. `EIO` never, but for a device that fails to take what was gathered.
    pub(crate) fn commit(&mut self) -> Result {
        self.close();
        if self.used + 1 > self.buf.blocks() {
            self.write(WriteFlags::default())?;
        }
        self.sum();
        let (features, time) = (self.journal.features, self.journal.sys.now());
        write_commit(&features, self.buf.block_mut(self.used), self.tid, time, self.crc32);
        self.used += 1;
        Ok(())
    }

    fn close(&mut self) {
        if let Some((at, descriptor)) = self.open.take() {
            descriptor.finish(self.buf.block_mut(at));
        }
    }

    fn sum(&mut self) {
        if self.journal.features.checksum_v1() {
            for index in self.summed..self.used {
                self.crc32 = crc32_be(self.crc32, self.buf.block(index));
            }
        }
        self.summed = self.used;
    }

    /// Writes what was gathered.
    pub(crate) fn write(&mut self, flags: WriteFlags) -> Result {
        self.close();
        self.sum();
        let journal = self.journal;
        let count = core::mem::take(&mut self.used);
        self.summed = 0;
        let mut at = journal.state.with(|state| {
            let at = state.head;
            // Cannot be: room was reserved. Overwriting what recovery needs would be worse than to give up.
            state.free = state.free.checked_sub(count as u32).ok_or(EIO)?;
            state.head = state.area.forward(at, count as u32);
            if let Some(committing) = &mut state.committing {
                committing.credits = committing.credits.saturating_sub(count as u32);
            }
            Ok::<u32, errno::Error>(at)
        })?;
        self.written += count as u64;
        let area = journal.state.with(|state| state.area);
        let mut done = 0;
        while done < count {
            let (physical, run) = journal.geometry.run(at)?;
            let run = (run.min(area.last - at) as usize).min(count - done);
            journal.sys.write_log(physical, self.buf, done, done + run, flags)?;
            done += run;
            at = area.forward(at, run as u32);
        }
        Ok(())
    }
}
