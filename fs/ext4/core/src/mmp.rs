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

/// Room for a host's name, and for a device's.
const NODE_BYTES: usize = 64;
const DEVICE_BYTES: usize = 32;

/// What the block says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mmp {
    /// Changes with each beat; or one of the constants.
    pub seq: u32,
    /// Seconds after which others may take the file system for left (they wait twice as long).
    pub interval: u16,
    /// When it was written, in seconds.
    pub time: u64,
    /// Who wrote it: his host's name.
    pub node: [u8; NODE_BYTES],
    /// And the name of his device.
    pub device: [u8; DEVICE_BYTES],
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
    /// What the file system has of this feature, if it has it. `EINVAL` if the block cannot be where it is said to be.
    pub fn mmp(&self) -> Result<Option<Protect>> {
        if !self.geo.has_incompat(incompat::MMP) {
            return Ok(None);
        }
        let (block, interval) = self.with_super(|sb| (sb.mmp_block.get(), sb.mmp_interval.get()));
        if block <= self.geo.first_data_block || block >= self.blocks_count() {
            return Err(EINVAL);
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
        let (mut node, mut device) = ([0; NODE_BYTES], [0; DEVICE_BYTES]);
        copy(&mut node, data.get(NODE..).unwrap_or(&[]));
        copy(&mut device, data.get(DEVICE..).unwrap_or(&[]));
        let (seq, time) = (le::u32_at(data, SEQ), le::u64_at(data, TIME));
        Ok(Mmp { seq, interval: le::u16_at(data, INTERVAL), time, node, device })
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

    /// What a block that was just taken says: twice as long as it takes to the next beat, until beats are seen to come in time.
    pub fn first_interval(&self) -> u16 {
        check_interval(self.interval.into())
    }

    /// Puts what is said into the block, with the time in seconds, the device's name and the checksum; the caller writes it to the device
    /// at once.
    pub fn encode(&self, data: &mut [u8], time: i64, said: &Mmp, device: &[u8]) {
        let mut name = [0; DEVICE_BYTES];
        copy(&mut name, device.get(..device.len().min(DEVICE_BYTES - 1)).unwrap_or(&[]));
        le::put_u32(data, 0, MAGIC);
        le::put_u32(data, SEQ, said.seq);
        le::put_u64(data, TIME, time as u64);
        le::put(data, NODE, &said.node);
        le::put(data, DEVICE, &name);
        le::put_u16(data, INTERVAL, said.interval);
        if let Some(seed) = self.seed {
            let crc = checksum(seed, data);
            le::put_u32(data, CHECKSUM, crc);
        }
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// A host's name as the block has it.
pub fn node(name: &[u8]) -> [u8; NODE_BYTES] {
    let mut node = [0; NODE_BYTES];
    copy(&mut node, name.get(..name.len().min(NODE_BYTES - 1)).unwrap_or(&[]));
    node
}

/// What the block says of the time between beats when the last took so many seconds: twice that, within bounds.
pub fn check_interval(took: u64) -> u16 {
    took.saturating_mul(2).clamp(MIN_INTERVAL.into(), MAX_INTERVAL.into()) as u16
}

fn checksum(seed: u32, data: &[u8]) -> u32 {
    crc32c(seed, data.get(..CHECKSUM).unwrap_or(&[]))
}

/// The number after `seq`, for the next beat.
pub fn next(seq: u32) -> u32 {
    if seq >= SEQ_MAX { 1 } else { seq + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let protect = Protect { block: 9, interval: 5, seed: Some(7) };
        let mut data = [0u8; 1024];
        assert_eq!(protect.decode(&data), Err(EUCLEAN));
        let said = Mmp { seq: 3, interval: protect.first_interval(), time: 0, node: node(b"host"), device: [0; 32] };
        protect.encode(&mut data, 1234, &said, b"a device whose name is longer than the room");
        let found = protect.decode(&data).unwrap();
        assert_eq!((found.seq, found.interval, found.time), (3, 10, 1234));
        assert_eq!(found.node, node(b"host"));
        assert_eq!(&found.device, b"a device whose name is longer t\0");
        data[SEQ] ^= 1;
        assert_eq!(protect.decode(&data), Err(EBADMSG));
    }

    #[test]
    fn how_long_to_wait() {
        let protect = Protect { block: 9, interval: 1, seed: None };
        let mut said = Mmp { seq: SEQ_CLEAN, interval: 10, time: 0, node: node(b""), device: [0; 32] };
        assert_eq!(protect.check(&said), Ok(MmpCheck::Free));
        said.seq = SEQ_FSCK;
        assert_eq!(protect.check(&said), Err(EBUSY));
        // (what the block says, seconds)
        for (interval, seconds) in [(0, 11), (10, 21), (80, 140), (300, 360), (u16::MAX, 360)] {
            (said.seq, said.interval) = (1, interval);
            assert_eq!(protect.check(&said), Ok(MmpCheck::Wait(seconds)), "{interval}");
        }
        assert_eq!([0, 5, 100, u64::MAX].map(check_interval), [5, 10, 200, 300]);
        assert_eq!((next(1), next(SEQ_MAX)), (2, 1));
    }
}
