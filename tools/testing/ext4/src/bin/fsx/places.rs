// SPDX-License-Identifier: GPL-2.0
//! Where data is, by SEEK_HOLE and FIEMAP.

use super::Model;
use ext4_tests::sys;

/// Flags of a run of FIEMAP.
const LAST: u32 = 1;
const INLINE: u32 = 0x200;
const UNWRITTEN: u32 = 0x800;
/// Runs that are asked for.
const MOST: usize = 1000;

impl Model {
    /// Holes hold zeroes, and what is no hole is data.
    pub(super) fn holes(&mut self) {
        self.note("holes".into());
        let (mut at, size) = (0, self.size());
        while at < size {
            let data = match self.file.seek(at, libc::SEEK_DATA) {
                Ok(data) => data,
                Err(libc::ENXIO) => size,
                Err(errno) => return self.refused("seek", errno),
            };
            if data < at || data > size {
                return self.wrong(&format!("SEEK_DATA from {at} gives {data}"));
            }
            if let Some(n) = self.span(at, data - at).iter().position(|byte| *byte != 0) {
                return self.wrong(&format!("a hole from {at} to {data}, but byte {} is data", at + n as u64));
            }
            if data == size {
                break;
            }
            at = match self.file.seek(data, libc::SEEK_HOLE) {
                Ok(hole) if hole > data && hole <= size => hole,
                other => return self.wrong(&format!("SEEK_HOLE from {data} gives {other:?}, size {size}")),
            };
        }
    }

    /// What FIEMAP leaves out, or calls unwritten, is zeroes.
    pub(super) fn places(&mut self) {
        self.note("fiemap".into());
        let runs = match sys::fiemap(&self.file, 1, MOST) {
            Ok(runs) => runs,
            Err(errno) => return self.refused("fiemap", errno),
        };
        let (mut at, size) = (0, self.size());
        for (number, (start, _, length, flags)) in runs.iter().copied().enumerate() {
            if (start < at && flags & INLINE == 0) || (length == 0 && flags & INLINE == 0) {
                return self.wrong(&format!("FIEMAP: a run of {length} at {start} after one up to {at}"));
            }
            if (flags & LAST != 0) != (number + 1 == runs.len()) && runs.len() < MOST {
                return self.wrong(&format!("FIEMAP: run {number} of {} has flags {flags:x}", runs.len()));
            }
            let end = if flags & UNWRITTEN != 0 { start } else { start + length };
            let unwritten = (end.min(start), start + length);
            for (from, to) in [(at, start), unwritten].into_iter().take(1 + usize::from(flags & UNWRITTEN != 0)) {
                let (from, to) = (from.min(size), to.min(size).max(from.min(size)));
                if self.span(from, to - from).iter().any(|byte| *byte != 0) {
                    return self.wrong(&format!("FIEMAP has nothing from {from} to {to}, where data is"));
                }
            }
            at = start + length;
        }
        // No block of the disk is in two runs.
        let mut blocks: Vec<_> = runs.iter().filter(|run| run.1 != 0).map(|run| (run.1, run.2)).collect();
        blocks.sort_unstable();
        if let Some(two) = blocks.windows(2).find(|two| two[0].0 + two[0].1 > two[1].0) {
            return self.wrong(&format!("FIEMAP: two runs have the same blocks: {two:?}"));
        }
        if runs.len() == MOST {
            return;
        }
        let from = at.min(size);
        if self.span(from, size - from).iter().any(|byte| *byte != 0) {
            self.wrong(&format!("FIEMAP has nothing from {from} on, where data is"));
        }
    }
}
