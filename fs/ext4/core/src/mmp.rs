// SPDX-License-Identifier: GPL-2.0
//! Multiple-mount protection (`mmp`): a block that whoever has the file system mounted for writing changes again and again, so
//! that another machine (or e2fsck) sees it in use. The block is written past the journal; the waiting and the thread are the
//! module's.

use crate::fs::Fs;
use errno::{Result, code::*};
use ext4_format::crc::crc32c;
use ext4_format::feature::incompat;
use ext4_format::le;
use ext4_store::Store;

const MAGIC: u32 = 0x004d_4d50;
/// `mmp_seq` of a file system that nobody uses.
pub const SEQ_CLEAN: u32 = 0xff4d_4d50;
/// `mmp_seq` while e2fsck runs.
pub const SEQ_FSCK: u32 = 0xe24d_4d50;
/// The largest number that a mount counts to.
pub const SEQ_MAX: u32 = 0xe24d_4d4f;
/// Seconds between changes, at least (`EXT4_MMP_MIN_CHECK_INTERVAL`).
const MIN_INTERVAL: u16 = 5;
/// Seconds between changes, at most.
const MAX_INTERVAL: u16 = 300;

const SEQ: usize = 4;
const TIME: usize = 8;
const NODE: usize = 16;
const DEVICE: usize = 80;
const INTERVAL: usize = 112;
const CHECKSUM: usize = 1020;

/// What the block says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mmp {
    /// Changes with each beat; or one of the constants.
    pub seq: u32,
    /// Seconds between beats, as the one before had it.
    pub interval: u16,
}

/// What a mount must do about the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmpCheck {
    /// Nobody uses the file system: write a random number, and see that it is still there.
    Free,
    /// Somebody may: wait so many seconds; only if the number is then the same is it free.
    Wait(u64),
}

/// Where the block of a file system is, and how it is written.
#[derive(Clone, Copy, Debug)]
pub struct Protect {
    /// The block.
    pub block: u64,
    /// Seconds between beats.
    pub interval: u16,
    /// Of the checksum, if blocks have one.
    seed: Option<u32>,
}

impl<S: Store> Fs<S> {
    /// What the file system has of this feature, if it has it. `EUCLEAN` if the block cannot be where it is said to be.
    pub fn mmp(&self) -> Result<Option<Protect>> {
        if !self.geo.has_incompat(incompat::MMP) {
            return Ok(None);
        }
        let (block, interval) = self.with_super(|sb| (sb.mmp_block.get(), sb.mmp_interval.get()));
        if block <= self.geo.first_data_block || block >= self.blocks_count() {
            return Err(self.corrupt("mmp_block", 0, block));
        }
        let interval = if interval == 0 { MIN_INTERVAL } else { interval.min(MAX_INTERVAL) };
        Ok(Some(Protect { block, interval, seed: self.geo.csum.then_some(self.geo.csum_seed) }))
    }
}

impl Protect {
    /// Decodes the block as read anew from the device. `EUCLEAN` without its magic, `EBADMSG` for a wrong checksum.
    pub fn decode(&self, data: &[u8]) -> Result<Mmp> {
        if le::u32_at(data, 0) != MAGIC {
            return Err(EUCLEAN);
        }
        if self.seed.is_some_and(|seed| le::u32_at(data, CHECKSUM) != checksum(seed, data)) {
            return Err(EBADMSG);
        }
        Ok(Mmp { seq: le::u32_at(data, SEQ), interval: le::u16_at(data, INTERVAL) })
    }

    /// What is to be done before mounting for writing. `EBUSY` while e2fsck runs.
    pub fn check(&self, mmp: &Mmp) -> Result<MmpCheck> {
        if mmp.seq == SEQ_CLEAN {
            return Ok(MmpCheck::Free);
        }
        if mmp.seq == SEQ_FSCK {
            return Err(EBUSY);
        }
        let interval = u64::from(mmp.interval.max(self.interval).clamp(MIN_INTERVAL, MAX_INTERVAL));
        Ok(MmpCheck::Wait((interval * 2 + 1).min(interval + 60)))
    }

    /// Puts a number into the block, with the time in seconds, names and checksum; the caller writes it to the device at once.
    pub fn encode(&self, data: &mut [u8], time: i64, seq: u32, node: &[u8], device: &[u8]) {
        le::put_u32(data, 0, MAGIC);
        le::put_u32(data, SEQ, seq);
        le::put_u64(data, TIME, time as u64);
        for (at, room, text) in [(NODE, 64, node), (DEVICE, 32, device)] {
            let mut field = [0u8; 64];
            for (to, from) in field.iter_mut().zip(text.iter().take(room - 1)) {
                *to = *from;
            }
            le::put(data, at, field.get(..room).unwrap_or(&[]));
        }
        // How long others wait for the next beat: twice as long as it takes to come.
        le::put_u16(data, INTERVAL, self.interval.saturating_mul(2).clamp(MIN_INTERVAL, MAX_INTERVAL));
        if let Some(seed) = self.seed {
            let crc = checksum(seed, data);
            le::put_u32(data, CHECKSUM, crc);
        }
    }
}

fn checksum(seed: u32, data: &[u8]) -> u32 {
    crc32c(seed, data.get(..CHECKSUM).unwrap_or(&[]))
}

/// The number after `seq`, for the next beat.
pub fn next(seq: u32) -> u32 {
    if seq >= SEQ_MAX { 1 } else { seq + 1 }
}
