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
    /// Nobody uses the file system: write a random number, wait twice the interval, and see that it is still there.
    Free,
    /// Somebody may: wait so many seconds; only if the number is then the same is it free.
    Wait(u64),
}

impl<S: Store> Fs<S> {
    /// The block, if the file system has the feature. `EUCLEAN` if it cannot be there.
    pub fn mmp_block(&self) -> Result<Option<u64>> {
        if !self.geo.has_incompat(incompat::MMP) {
            return Ok(None);
        }
        let block = self.with_super(|sb| sb.mmp_block.get());
        if block <= self.geo.first_data_block || block >= self.blocks_count() {
            return Err(self.corrupt("mmp_block", 0, block));
        }
        Ok(Some(block))
    }

    /// Decodes the block as read anew from the device. `EUCLEAN` without its magic, `EBADMSG` for a wrong checksum.
    pub fn mmp_decode(&self, data: &[u8]) -> Result<Mmp> {
        if le::u32_at(data, 0) != MAGIC {
            return Err(self.corrupt("mmp_magic", 0, 0));
        }
        if self.geo.csum && le::u32_at(data, CHECKSUM) != self.mmp_checksum(data) {
            return Err(self.bad_csum("mmp_block", 0, 0));
        }
        Ok(Mmp { seq: le::u32_at(data, SEQ), interval: le::u16_at(data, INTERVAL) })
    }

    fn mmp_checksum(&self, data: &[u8]) -> u32 {
        crc32c(self.geo.csum_seed, data.get(..CHECKSUM).unwrap_or(&[]))
    }

    /// Seconds between beats, from the superblock.
    pub fn mmp_interval(&self) -> u16 {
        self.with_super(|sb| sb.mmp_interval.get()).max(MIN_INTERVAL)
    }

    /// What is to be done before mounting for writing. `EBUSY` while e2fsck runs.
    pub fn mmp_check(&self, mmp: &Mmp) -> Result<MmpCheck> {
        if mmp.seq == SEQ_CLEAN {
            return Ok(MmpCheck::Free);
        }
        if mmp.seq == SEQ_FSCK {
            return Err(EBUSY);
        }
        let interval = u64::from(mmp.interval.max(self.mmp_interval()).clamp(MIN_INTERVAL, MAX_INTERVAL));
        Ok(MmpCheck::Wait((interval * 2 + 1).min(interval + 60)))
    }

    /// Puts a number into the block, with time, names and checksum; the caller writes it to the device at once.
    pub fn mmp_encode(&self, data: &mut [u8], seq: u32, node: &[u8], device: &[u8]) {
        let now = self.store.now().sec;
        le::put_u32(data, 0, MAGIC);
        le::put_u32(data, SEQ, seq);
        le::put_u64(data, TIME, now as u64);
        for (at, room, text) in [(NODE, 64, node), (DEVICE, 32, device)] {
            let mut field = [0u8; 64];
            for (to, from) in field.iter_mut().zip(text.iter().take(room - 1)) {
                *to = *from;
            }
            le::put(data, at, field.get(..room).unwrap_or(&[]));
        }
        le::put_u16(data, INTERVAL, self.mmp_interval());
        if self.geo.csum {
            let crc = self.mmp_checksum(data);
            le::put_u32(data, CHECKSUM, crc);
        }
    }

    /// The number after `seq`, for the next beat.
    pub fn mmp_next(&self, seq: u32) -> u32 {
        if seq >= SEQ_MAX { 1 } else { seq + 1 }
    }
}
