// SPDX-License-Identifier: GPL-2.0
//! What a disk is like, asked from the disk. What it says is checked: a size or a limit that cannot be is left out.

use block::QueueLimits;
use errno::{Result, code::*};
use kalloc::Arc;
use kernel::hardware::{block, ktime};
use klog::{pr_info, pr_notice, pr_warn};
use scsi::Unit;
use scsi_proto::{Capacity, Cdb, Limits, Mode, Provisioning, Sense, key, opcode};

/// Most blocks of WRITE SAME (16), and of UNMAP (`SD_MAX_WS16_BLOCKS`), and of WRITE SAME (10).
const MAX_WS16: u32 = 0x7f_ffff;
const MAX_WS10: u32 = 0xffff;
/// Until a disk that is told to start is ready: 100 seconds.
const SPIN_UP_NS: u64 = 100_000_000_000;
const READY_NS: u64 = 30_000_000_000;
/// How often a disk is asked that has something to tell first.
const TESTS: u32 = 3;

/// How blocks are given back (`provisioning_mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Discard {
    /// Not at all; every block is there.
    #[default]
    Full,
    /// UNMAP.
    Unmap,
    /// WRITE SAME (16) with its UNMAP bit.
    WriteSame16,
    /// WRITE SAME (10) with its UNMAP bit.
    WriteSame10,
    /// The disk said it could, and could not.
    Disabled,
}

impl Discard {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unmap => "unmap",
            Self::WriteSame16 => "writesame_16",
            Self::WriteSame10 => "writesame_10",
            Self::Disabled => "disabled",
        }
    }
}

/// What is known of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Blocks; 0 without a medium.
    pub(crate) blocks: u64,
    /// log2 of the bytes of a block.
    pub(crate) shift: u32,
    /// Bytes of a physical block.
    pub(crate) physical: u32,
    pub(crate) read_only: bool,
    pub(crate) write_cache: bool,
    pub(crate) fua: bool,
    /// Addresses need 16-byte commands.
    pub(crate) long: bool,
    /// Blocks may be missing (`thin_provisioning`).
    pub(crate) thin: bool,
    pub(crate) discard: Discard,
    /// Most blocks of a discard.
    pub(crate) max_discard: u32,
    /// Bytes.
    pub(crate) discard_granularity: u32,
    pub(crate) discard_alignment: u32,
    /// Most blocks of a WRITE SAME; 0: none.
    pub(crate) max_write_same: u32,
    /// WRITE SAME has 16 bytes.
    pub(crate) write_same_16: bool,
    /// Given back, blocks read as zeros: a WRITE SAME of zeros may give them back.
    pub(crate) zeroes: bool,
    pub(crate) rotational: bool,
    /// Blocks.
    pub(crate) max_transfer: u32,
    /// Bytes.
    pub(crate) io_min: u32,
    pub(crate) io_opt: u32,
    pub(crate) alignment: u32,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            blocks: 0,
            shift: 9,
            physical: 512,
            read_only: false,
            write_cache: false,
            fua: false,
            long: false,
            thin: false,
            discard: Discard::Full,
            max_discard: 0,
            discard_granularity: 0,
            discard_alignment: 0,
            max_write_same: 0,
            write_same_16: false,
            zeroes: false,
            rotational: true,
            max_transfer: 0,
            io_min: 0,
            io_opt: 0,
            alignment: 0,
        }
    }
}

/// Whether a disk is ready now, and why not if it says. What only waits to be told (a reset, a new medium) is asked again. ENOMEM. May
/// sleep.
pub(crate) fn test(unit: &Arc<Unit>) -> Result<(bool, Option<Sense>)> {
    for tries in 1.. {
        let answer = unit.execute_plain(Cdb::test_unit_ready(), READY_NS, 3)?;
        let sense = answer.sense_data().filter(|_| answer.result.is_err());
        if tries == TESTS || sense.is_none_or(|sense| sense.key != key::UNIT_ATTENTION) {
            return Ok((answer.result.is_ok(), sense));
        }
    }
    Ok((false, None))
}

/// What is to be done about a disk that is not ready (`sd_spinup_disk`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Patience {
    /// Starting it would not help: there is no medium, or it waits for somebody or something else.
    None,
    /// It is started, if it was not, and waited for.
    Start,
}

fn patience(sense: Sense) -> Patience {
    match (sense.key, sense.asc, sense.ascq) {
        // No medium; wants something by hand; standby; unavailable; being wiped.
        (key::NOT_READY, 0x3a, _) | (key::NOT_READY, 0x04, 0x03 | 0x0b | 0x0c | 0x1b) => Patience::None,
        (key::NOT_READY, ..) => Patience::Start,
        _ => Patience::None,
    }
}

/// Whether there is a medium that can be used; a disk that is not ready is started, and waited for. ENOMEM. May sleep.
fn is_ready(unit: &Arc<Unit>, name: &str) -> Result<bool> {
    let mut deadline = None;
    loop {
        let (ready, sense) = test(unit)?;
        // A disk that is gone has nothing to say.
        let Some(sense) = sense else { return Ok(ready) };
        if patience(sense) == Patience::None {
            return Ok(false);
        }
        match deadline {
            None => {
                pr_notice!("sd: [{name}] Spinning up disk...");
                deadline = Some(ktime::now_ns().saturating_add(SPIN_UP_NS));
                unit.execute_plain(Cdb::start_stop(true, false), SPIN_UP_NS, 3)?;
            }
            Some(deadline) if ktime::now_ns() > deadline => {
                pr_notice!("sd: [{name}] not responding...");
                return Ok(false);
            }
            Some(_) => ktime::sleep_ns(200_000_000),
        }
    }
}

/// Asks for the size. EIO if the answer is nonsense. May sleep.
fn capacity(unit: &Arc<Unit>) -> Result<Capacity> {
    let long_first = unit.inquiry().is_some_and(|inquiry| inquiry.version >= 5);
    let long = || unit.ask(Cdb::read_capacity_16(), 32).and_then(|bytes| scsi_proto::capacity16(&bytes).ok_or(EIO));
    if long_first && let Ok(capacity) = long() {
        return Ok(capacity);
    }
    match scsi_proto::capacity10(&unit.ask(Cdb::read_capacity_10(), 8)?).ok_or(EIO)? {
        Some(capacity) => Ok(capacity),
        None => long(),
    }
}

/// Asks for the page about caches. What does not come is not there. May sleep.
pub(crate) fn mode(unit: &Arc<Unit>) -> Result<Mode> {
    let ask = |page, len| match unit.ask(Cdb::mode_sense(page, len), len.into()) {
        Ok(bytes) => Ok(scsi_proto::mode(&bytes)),
        Err(ENOMEM) => Err(ENOMEM),
        Err(_) => Ok(None),
    };
    if let Some(mode) = ask(8, 192)? {
        return Ok(mode);
    }
    // Without that page the header alone says whether the medium is protected.
    Ok(ask(0x3f, 4)?.unwrap_or_default())
}

/// Whether the disk says that it knows a command. May sleep.
fn knows(unit: &Arc<Unit>, code: u8) -> bool {
    let answer = unit.ask(Cdb::report_opcode(code, 20), 20);
    answer.is_ok_and(|bytes| bytes.get(1).is_some_and(|flags| flags & 7 == 3))
}

/// Finds out what a disk is like. What it does not say is as if it could not. EIO without a size that can be. May sleep.
pub(crate) fn learn(unit: &Arc<Unit>, name: &str) -> Result<Facts> {
    let mut facts = Facts::default();
    if !is_ready(unit, name)? {
        return Ok(facts);
    }
    let capacity = capacity(unit)?;
    let shift = capacity.block.trailing_zeros();
    if !capacity.block.is_power_of_two() || !(9..=12).contains(&shift) {
        pr_notice!("sd: [{name}] Unsupported sector size {}.", capacity.block);
        return Err(EOPNOTSUPP);
    }
    // Sectors must be countable.
    if capacity.blocks > (i64::MAX as u64) >> shift {
        return Err(EFBIG);
    }
    facts.blocks = capacity.blocks;
    facts.shift = shift;
    facts.physical = capacity
        .block
        .checked_shl(capacity.physical.into())
        .filter(|&size| size >= capacity.block)
        .unwrap_or(capacity.block);
    facts.alignment = u32::from(capacity.alignment) << shift;
    facts.long = capacity.blocks > u64::from(u32::MAX);
    facts.thin = capacity.provisioned;
    let limits = unit.page(0xb0).and_then(scsi_proto::limits).unwrap_or_default();
    facts.max_transfer = limits.max_transfer;
    facts.io_min = u32::from(limits.granularity).checked_shl(shift).unwrap_or(0);
    facts.io_opt = limits.optimal.checked_mul(1 << shift).unwrap_or(0);
    facts.rotational = unit.page(0xb1).and_then(scsi_proto::characteristics) != Some(1);
    let its = unit.page(0xb2).and_then(scsi_proto::provisioning);
    learn_discard(&mut facts, &capacity, &limits, its);
    learn_write_same(&mut facts, unit, &limits, its.unwrap_or_default());
    let mode = mode(unit)?;
    facts.read_only = mode.read_only;
    facts.write_cache = mode.write_cache.unwrap_or(false);
    facts.fua = mode.fua && facts.write_cache;
    Ok(facts)
}

fn learn_discard(facts: &mut Facts, capacity: &Capacity, limits: &Limits, its: Option<Provisioning>) {
    if !capacity.provisioned {
        return;
    }
    let at_most = |value: u64, most: u32| {
        u32::try_from(value).ok().filter(|&value| value != 0).map_or(most, |value| value.min(most))
    };
    let (unmap, same) = (limits.max_unmap, limits.max_write_same);
    (facts.discard, facts.max_discard) = match its {
        // It does not say how.
        None if unmap != 0 => (Discard::Unmap, at_most(unmap.into(), MAX_WS16)),
        None => (Discard::WriteSame16, at_most(same, MAX_WS16)),
        Some(its) if its.unmap && unmap != 0 => (Discard::Unmap, at_most(unmap.into(), MAX_WS16)),
        Some(its) if its.write_same_16 => (Discard::WriteSame16, at_most(same, MAX_WS16)),
        Some(its) if its.write_same_10 => (Discard::WriteSame10, at_most(same, MAX_WS10)),
        Some(_) => (Discard::Disabled, 0),
    };
    let unit = limits.unmap_granularity.checked_shl(facts.shift).unwrap_or(0);
    facts.discard_granularity = unit.max(facts.physical);
    facts.discard_alignment =
        limits.unmap_alignment.checked_shl(facts.shift).unwrap_or(0) % facts.discard_granularity.max(1);
    facts.zeroes = capacity.zeroes;
}

fn learn_write_same(facts: &mut Facts, unit: &Arc<Unit>, limits: &Limits, its: Provisioning) {
    if unit.host().params().no_write_same {
        return;
    }
    let most = u32::try_from(limits.max_write_same).unwrap_or(MAX_WS16);
    let (long, short) = (
        its.write_same_16 || knows(unit, opcode::WRITE_SAME_16),
        its.write_same_10 || knows(unit, opcode::WRITE_SAME_10),
    );
    facts.write_same_16 = long || most > MAX_WS10;
    facts.max_write_same = match (facts.write_same_16, short) {
        (true, _) if most == 0 => MAX_WS10,
        (true, _) => most.min(MAX_WS16),
        (false, true) if most == 0 => MAX_WS10,
        (false, true) => most.min(MAX_WS10),
        (false, false) => 0,
    };
}

impl Facts {
    /// 512-byte sectors.
    pub(crate) fn sectors(&self) -> u64 {
        self.blocks << (self.shift - 9)
    }

    fn blocks_to_sectors(&self, blocks: u32) -> u32 {
        blocks.checked_mul(1 << (self.shift - 9)).unwrap_or(u32::MAX >> self.shift << (self.shift - 9))
    }

    /// The limits of the disk's queue: those of the adapter, and the disk's own.
    pub(crate) fn limits(&self, unit: &Unit) -> QueueLimits {
        let host = unit.host().params();
        // 16-byte commands count blocks in 32 bits, 10-byte ones in 16.
        let most = if self.long { u32::MAX } else { self.blocks_to_sectors(0xffff) };
        let its = if self.max_transfer == 0 { u32::MAX } else { self.blocks_to_sectors(self.max_transfer) };
        let max_hw = host.max_sectors.min(most).min(its).max(8);
        let discard = self.blocks_to_sectors(self.max_discard);
        QueueLimits {
            logical_block_size: 1 << self.shift,
            physical_block_size: self.physical,
            io_min: self.io_min,
            io_opt: if self.io_opt >= 4096 && self.io_opt.is_multiple_of(self.physical) { self.io_opt } else { 0 },
            alignment_offset: self.alignment,
            max_hw_sectors: max_hw,
            max_sectors: max_hw.min(block::BLK_DEF_MAX_SECTORS),
            max_segments: host.max_segments,
            max_segment_size: host.max_segment_size,
            seg_boundary_mask: host.seg_boundary_mask,
            dma_alignment: host.dma_alignment,
            max_discard_sectors: discard,
            max_hw_discard_sectors: discard,
            discard_granularity: if discard != 0 { self.discard_granularity } else { 0 },
            discard_alignment: if discard != 0 { self.discard_alignment } else { 0 },
            max_write_zeroes_sectors: self.blocks_to_sectors(self.max_write_same),
            write_cache: self.write_cache,
            fua: self.fua,
            rotational: self.rotational,
            add_random: self.rotational,
            ..QueueLimits::default()
        }
    }

    /// What Linux says of a disk when it comes.
    pub(crate) fn announce(&self, unit: &Unit, name: &str) -> Result {
        let at = unit.name()?;
        if self.blocks == 0 {
            return Ok(());
        }
        let (block, bytes) = (1u64 << self.shift, u128::from(self.blocks) << self.shift);
        let tenth = |unit: u128| (bytes / unit, bytes * 10 / unit % 10);
        let ((mb, mb1), (mib, mib1)) = (tenth(1_000_000), tenth(1 << 20));
        let blocks = self.blocks;
        pr_notice!("sd {at}: [{name}] {blocks} {block}-byte logical blocks: ({mb}.{mb1} MB/{mib}.{mib1} MiB)");
        if u64::from(self.physical) != block {
            pr_notice!("sd {at}: [{name}] {}-byte physical blocks", self.physical);
        }
        pr_notice!("sd {at}: [{name}] Write Protect is {}", if self.read_only { "on" } else { "off" });
        let on = |on| if on { "enabled" } else { "disabled" };
        let fua = if self.fua { "supports DPO and FUA" } else { "doesn't support DPO or FUA" };
        pr_notice!("sd {at}: [{name}] Write cache: {}, {fua}", on(self.write_cache));
        if self.discard == Discard::Disabled {
            pr_info!("sd {at}: [{name}] blocks cannot be given back");
        }
        Ok(())
    }
}

/// Makes the disk's cache of writes volatile or not (MODE SELECT). EINVAL if it has no such page. May sleep.
pub(crate) fn set_write_cache(unit: &Arc<Unit>, on: bool) -> Result {
    let mut bytes = unit.ask(Cdb::mode_sense(8, 192), 192)?;
    let len = usize::from(*bytes.first().ok_or(EINVAL)?) + 1;
    bytes.truncate(len);
    let descriptors = usize::from(*bytes.get(3).ok_or(EINVAL)?);
    let page = bytes.get_mut(4 + descriptors..).ok_or(EINVAL)?;
    if page.first().is_none_or(|code| code & 0x7f != 8) {
        return Err(EINVAL);
    }
    if let Some(code) = page.first_mut() {
        // Bit 7 says that the page can be kept; it is not for the disk.
        *code &= 0x3f;
    }
    let flags = page.get_mut(2).ok_or(EINVAL)?;
    *flags = if on { *flags | 4 } else { *flags & !4 };
    for at in [0, 2] {
        // Length and what the disk alone says are reserved here.
        if let Some(byte) = bytes.get_mut(at) {
            *byte = 0;
        }
    }
    let len = u8::try_from(bytes.len()).map_err(|_| EINVAL)?;
    unit.tell(Cdb::mode_select(len), &bytes).inspect_err(|error| pr_warn!("sd: the cache's mode was refused: {error}"))
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(sd)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ready_is_started() {
        let of = |key, asc, ascq| patience(Sense { key, asc, ascq, deferred: false });
        for ascq in [0, 1, 2, 4, 0x12] {
            assert_eq!(of(key::NOT_READY, 4, ascq), Patience::Start);
        }
        for ascq in [3, 0xb, 0xc, 0x1b] {
            assert_eq!(of(key::NOT_READY, 4, ascq), Patience::None);
        }
        assert_eq!(of(key::NOT_READY, 0x3a, 1), Patience::None);
        assert_eq!(of(key::ILLEGAL_REQUEST, 0x20, 0), Patience::None);
    }
}
