// SPDX-License-Identifier: GPL-2.0
//! `FS_IOC_GETFSMAP`: what the device's blocks are, in order: free, metadata at fixed places, the rest unknown. Source: `linux/fsmap.h` of the
//! UAPI headers, `ioctl_getfsmap(2)`.

use crate::mounted::Mounted;
use errno::Result;
use errno::code::{EFAULT, EINVAL};
use ext4_core::{Run, Use};
use kalloc::KVec;
use kernel::filesystem::uaccess::{copy_from_user, copy_to_user, put_user};
use kernel::filesystem::vfs::{File, Inode};
use kernel::filesystem::{process, task};

/// Bytes of the head, and of a record behind it.
const HEAD: usize = 192;
const RECORD: usize = 64;
/// Where the two keys are in the head.
const KEYS: [usize; 2] = [64, 128];
const OF_SPECIAL_OWNER: u32 = 0x10;
const OF_LAST: u32 = 0x20;
/// `fmh_oflags`: the device's number is a `dev_t`.
const DEV_T: u32 = 1;

const fn owner(kind: u8, code: u32) -> u64 {
    (kind as u64) << 32 | code as u64
}

fn owner_of(what: Use) -> u64 {
    match what {
        Use::Free => owner(0, 1),
        Use::Unknown => owner(0, 2),
        Use::Super => owner(b'X', 1),
        Use::InodeTable => owner(b'X', 5),
        Use::Descriptors => owner(b'f', 1),
        Use::Reserved => owner(b'f', 2),
        Use::BlockBitmap => owner(b'f', 3),
        Use::InodeBitmap => owner(b'f', 4),
    }
}

/// One of the two records that bound what is asked for.
#[derive(Clone, Copy)]
struct Key {
    device: u32,
    physical: u64,
    owner: u64,
    offset: u64,
    length: u64,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn is_zero(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes.get(from..to).is_some_and(|part| part.iter().all(|byte| *byte == 0))
}

/// The key at `at`. EINVAL for what must be 0.
fn key(head: &[u8], at: usize) -> Result<Key> {
    if !is_zero(head, at + 40, at + RECORD) {
        return Err(EINVAL);
    }
    let [physical, owner, offset, length] = [8, 16, 24, 32].map(|field| long(head, at + field));
    Ok(Key { device: word(head, at), physical, owner, offset, length })
}

/// First and last block that are wanted of a device of `total` blocks of `1 << bits` bytes; `None`: nothing of it. A key bounds its own device
/// alone: with a lower one all from its begin is wanted, with a higher one all to its end. EINVAL: another device, or the keys are not in order.
fn bounds(low: &Key, high: &Key, device: u32, bits: u32, total: u64) -> Result<Option<(u64, u64)>> {
    let good = |wanted: u32| wanted == 0 || wanted == u32::MAX || wanted == device;
    // Extents of files are not told of: an offset says nothing.
    if !good(low.device) || !good(high.device) || low.offset != 0 || !matches!(high.offset, 0 | u64::MAX) {
        return Err(EINVAL);
    }
    // The low key may be the last record of a call before: what it is about is not told again.
    let (from, to) = ((low.physical >> bits) + (low.length >> bits), high.physical >> bits);
    if (low.device, from, 0) >= (high.device, to, high.owner) {
        return Err(EINVAL);
    }
    if low.device > device || high.device < device {
        return Ok(None);
    }
    let first = if low.device == device { from } else { 0 };
    let last = if high.device == device { to } else { u64::MAX }.min(total.saturating_sub(1));
    Ok((first <= last).then_some((first, last)))
}

/// Writes records for those who have room, and counts them.
struct Output {
    at: usize,
    room: u32,
    written: u32,
    device: u32,
    bits: u32,
    /// Blocks that are wanted.
    first: u64,
    last: u64,
}

impl Output {
    /// One record; whether there may be more.
    fn put(&mut self, run: Run, last: bool) -> Result<bool> {
        if self.room == 0 {
            self.written = self.written.saturating_add(1);
            return Ok(true);
        }
        if self.written == self.room {
            return Ok(false);
        }
        let mut record = [0u8; RECORD];
        let flags = OF_SPECIAL_OWNER | if last { OF_LAST } else { 0 };
        for (at, value) in [
            (0, u64::from(self.device) | u64::from(flags) << 32),
            (8, run.start << self.bits),
            (16, owner_of(run.what)),
            (32, run.len << self.bits),
        ] {
            if let Some(to) = record.get_mut(at..at + 8) {
                to.copy_from_slice(&value.to_le_bytes());
            }
        }
        let at = self.at.wrapping_add(HEAD).wrapping_add(self.written as usize * RECORD);
        copy_to_user(at, &record).map_err(|_| EFAULT)?;
        self.written += 1;
        Ok(true)
    }
}

/// Puts runs in order, with what nobody knows between them; one is kept back, since the last one says so.
struct Joiner<'a> {
    out: &'a mut Output,
    next: u64,
    kept: Option<Run>,
}

impl Joiner<'_> {
    fn one(&mut self, run: Run) -> Result<bool> {
        if run.start > self.out.last {
            return Ok(true);
        }
        match &mut self.kept {
            // Runs that go on in the next group.
            Some(last) if last.what == run.what && last.start + last.len == run.start => last.len += run.len,
            kept => {
                if let Some(last) = kept.replace(run) {
                    return self.out.put(last, false);
                }
            }
        }
        Ok(true)
    }

    /// The next known run: what lies before it is unknown. One that begins before what is wanted is passed over, as in Linux.
    fn known(&mut self, run: Run) -> Result<bool> {
        let from = self.next;
        self.next = self.next.max(run.start + run.len);
        if run.start < self.out.first {
            return Ok(true);
        }
        if from < run.start && !self.one(Run { start: from, len: run.start - from, what: Use::Unknown })? {
            return Ok(false);
        }
        self.one(run)
    }
}

/// The request at `arg`. EINVAL, EFAULT, ENOMEM.
pub(crate) fn ioctl(file: &File, mount: &Mounted, arg: usize) -> Result {
    let mut head = [0u8; HEAD];
    copy_from_user(&mut head, arg)?;
    if word(&head, 0) != 0 || !is_zero(&head, 16, 64) {
        return Err(EINVAL);
    }
    let (low, high) = (key(&head, KEYS[0])?, key(&head, KEYS[1])?);
    let device = device_of(file.inode());
    let (bits, total) = (mount.core.geo.block_bits, mount.core.blocks_count());
    let wanted = bounds(&low, &high, device, bits, total)?;
    let (first, last) = wanted.unwrap_or_default();
    let mut out = Output { at: arg, room: word(&head, 8), written: 0, device, bits, first, last };
    if wanted.is_some() {
        walk(mount, &mut out, total)?;
    }
    put_user(arg.wrapping_add(4), DEV_T)?;
    put_user(arg.wrapping_add(12), out.written)
}

fn device_of(inode: &Inode) -> u32 {
    // As `stat` has it; fits, since the encoding of numbers this small has 32 bits.
    inode.sb().dev.encode() as u32
}

fn walk(mount: &Mounted, out: &mut Output, total: u64) -> Result {
    let core = &mount.core;
    let fixed = core.fixed_metadata()?;
    let mut fixed = fixed.iter().copied().peekable();
    let (low, high) = (core.geo.locate(out.first.max(core.geo.first_data_block)).0, core.geo.locate(out.last).0);
    let mut joiner = Joiner { next: out.first.max(core.geo.first_data_block), kept: None, out };
    while fixed.next_if(|run| run.start + run.len <= joiner.next).is_some() {}
    for number in low..=high {
        let free: KVec<Run> = core.free_space(number)?;
        for run in free.iter() {
            while let Some(meta) = fixed.next_if(|meta| meta.start < run.start) {
                if !joiner.known(meta)? {
                    return Ok(());
                }
            }
            if !joiner.known(*run)? {
                return Ok(());
            }
        }
        if process::fatal_pending(&task::current()) {
            return Err(errno::code::EINTR);
        }
    }
    let end = total.min(core.geo.group_start(high + 1));
    while let Some(meta) = fixed.next_if(|meta| meta.start < end) {
        if !joiner.known(meta)? {
            return Ok(());
        }
    }
    let from = joiner.next;
    if from < end && !joiner.one(Run { start: from, len: end - from, what: Use::Unknown })? {
        return Ok(());
    }
    match joiner.kept.take() {
        Some(last) => joiner.out.put(last, true).map(drop),
        None => Ok(()),
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(ext4_fsmap)]
mod tests {
    use super::*;

    fn at(device: u32, physical: u64, owner: u64) -> Key {
        Key { device, physical, owner, offset: 0, length: 0 }
    }

    #[test]
    fn keys_bound_their_device() {
        let bounds = |low: Key, high: Key| super::bounds(&low, &high, 7, 12, 100);
        let all = at(u32::MAX, u64::MAX, u64::MAX);
        assert_eq!(bounds(at(0, 0, 0), all), Ok(Some((0, 99))));
        assert_eq!(bounds(at(0, 8 << 12, 0), all), Ok(Some((0, 99))));
        assert_eq!(bounds(Key { length: 2 << 12, ..at(7, 8 << 12, 5) }, all), Ok(Some((10, 99))));
        assert_eq!(bounds(at(0, 0, 0), at(7, 5 << 12, 0)), Ok(Some((0, 5))));
        assert_eq!(bounds(at(7, 100 << 12, 0), all), Ok(None));
        assert_eq!(bounds(at(0, 0, 0), at(0, 1 << 12, 0)), Ok(None));
        assert_eq!(bounds(at(u32::MAX, 0, 0), all), Ok(None));
        assert_eq!(bounds(at(7, 4096, 9), at(7, 4096, 1)), Ok(Some((1, 1))));
        for (low, high) in
            [(at(7, 4096, 0), at(7, 4096, 0)), (at(7, 8192, 0), at(7, 4096, 1)), (at(7, 0, 0), at(0, 4096, 0))]
        {
            assert_eq!(bounds(low, high), Err(EINVAL));
        }
        assert_eq!(bounds(at(6, 0, 0), all), Err(EINVAL));
        assert_eq!(bounds(Key { offset: 1, ..at(0, 0, 0) }, all), Err(EINVAL));
        assert_eq!(bounds(at(0, 0, 0), Key { offset: 1, ..all }), Err(EINVAL));
        assert_eq!(bounds(at(0, 0, 0), Key { offset: u64::MAX, ..all }), Ok(Some((0, 99))));
    }
}
