// SPDX-License-Identifier: GPL-2.0
//! `select(2)` and `pselect6(2)`: three bitmaps of descriptors in, three out.

use crate::limits::{INTERRUPTED, Limit, interrupted, with_mask};
use errno::Result;
use errno::code::EINVAL;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use sync::{PollMask, PollTable};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{UserPtr, copy_from_user, copy_to_user, get_user};

/// Words of a bitmap that need no allocation.
const ON_STACK: usize = 16;

const READ: PollMask = PollMask(0x001 | 0x040 | 0x080 | 0x010 | 0x008);
const WRITE: PollMask = PollMask(0x004 | 0x100 | 0x200 | 0x008);
const EXCEPT: PollMask = PollMask(0x002);

/// Six bitmaps of `words` words: wanted for reading, writing, exceptions; then the same of what is ready.
struct Sets<'a> {
    bits: &'a mut [u64],
    words: usize,
}

impl Sets<'_> {
    fn word(&self, set: usize, at: usize) -> u64 {
        self.bits.get(set * self.words + at).copied().unwrap_or(0)
    }

    fn mark(&mut self, set: usize, fd: usize) {
        if let Some(word) = self.bits.get_mut((3 + set) * self.words + fd / 64) {
            *word |= 1 << (fd % 64);
        }
    }

    fn load(&mut self, set: usize, address: usize, n: usize) -> Result {
        if address == 0 {
            return Ok(());
        }
        let bytes = n.div_ceil(64) * 8;
        let start = set * self.words;
        let words = self.bits.get_mut(start..start + self.words).ok_or(EINVAL)?;
        copy_from_user(
            zerocopy::IntoBytes::as_mut_bytes(words).get_mut(..bytes).ok_or(EINVAL)?,
            UserPtr::from(address),
        )?;
        // Bits at and beyond `n` do not count.
        if let (Some(last), 1..) = (words.get_mut(n / 64), n % 64) {
            *last &= (1 << (n % 64)) - 1;
        }
        Ok(())
    }

    fn store(&self, set: usize, address: usize, n: usize) -> Result {
        if address == 0 {
            return Ok(());
        }
        let bytes = n.div_ceil(64) * 8;
        let start = (3 + set) * self.words;
        let words = self.bits.get(start..start + self.words).ok_or(EINVAL)?;
        copy_to_user(UserPtr::from(address), zerocopy::IntoBytes::as_bytes(words).get(..bytes).ok_or(EINVAL)?)
    }

    /// One pass over all wanted descriptors; returns the number of bits set. `EBADF`.
    fn pass(&mut self, table: &mut PollTable) -> Result<usize> {
        let mut count = 0;
        let files = vfs::fdtable::current_files()?;
        for at in 0..self.words {
            let wanted = [0, 1, 2].map(|set| self.word(set, at));
            let mut left = wanted.iter().fold(0, |all, w| all | w);
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                let ready = files.get((at * 64 + bit) as u32)?.poll(table);
                for (set, mask) in [READ, WRITE, EXCEPT].into_iter().enumerate() {
                    let asked = wanted.get(set).is_some_and(|w| w >> bit & 1 != 0);
                    if asked && ready.intersects(mask) {
                        self.mark(set, at * 64 + bit);
                        count += 1;
                        table.stop();
                    }
                }
            }
        }
        Ok(count)
    }
}

fn wait(sets: &mut Sets<'_>, limit: Limit) -> Result<usize> {
    let mut table = if limit == Limit::Now { PollTable::query() } else { PollTable::for_task()? };
    let mut expired = limit == Limit::Now;
    loop {
        let count = sets.pass(&mut table)?;
        table.stop();
        if let Some(error) = table.error() {
            return Err(error);
        }
        if count != 0 || expired {
            return Ok(count);
        }
        if interrupted() {
            return Err(INTERRUPTED);
        }
        expired = table.wait(limit.deadline());
    }
}

/// `select` with the number of descriptors and the addresses of the three sets.
fn do_select(n: usize, addresses: [usize; 3], limit: Limit) -> Result<usize> {
    let n = usize::try_from(n as i32).map_err(|_| EINVAL)?;
    // Beyond the table there is no descriptor, so no bit there can be a valid one; Linux looks no further either.
    let n = n.min(usize::try_from(rlimit::current(uapi::RLIMIT_NOFILE)).unwrap_or(usize::MAX)).min(1 << 20);
    let words = n.div_ceil(64);
    if words <= ON_STACK {
        let mut small = [0u64; ON_STACK * 6];
        return select_in(Sets { bits: small.get_mut(..words * 6).ok_or(EINVAL)?, words }, n, addresses, limit);
    }
    let mut large = KVec::from_elem(0u64, words * 6, GFP_KERNEL)?;
    select_in(Sets { bits: &mut large, words }, n, addresses, limit)
}

fn select_in(mut sets: Sets<'_>, n: usize, addresses: [usize; 3], limit: Limit) -> Result<usize> {
    for (set, address) in addresses.into_iter().enumerate() {
        sets.load(set, address, n)?;
    }
    let count = wait(&mut sets, limit)?;
    for (set, address) in addresses.into_iter().enumerate() {
        sets.store(set, address, n)?;
    }
    Ok(count)
}

/// `select(2)`.
pub fn sys_select(regs: &PtRegs) -> Result<usize> {
    let timeout = regs.arg4();
    let limit = Limit::from_user(timeout, 1000)?;
    let result = do_select(regs.arg0(), [regs.arg1(), regs.arg2(), regs.arg3()], limit);
    limit.finish(result, timeout, 1000)
}

/// `pselect6(2)`: the sixth argument points at the mask's address and size.
pub fn sys_pselect6(regs: &PtRegs) -> Result<usize> {
    let timeout = regs.arg4();
    let [mask, size]: [usize; 2] = match regs.arg5() {
        0 => [0, 0],
        address => get_user(UserPtr::from(address))?,
    };
    let limit = Limit::from_user(timeout, 1)?;
    let result = with_mask(mask, size, || do_select(regs.arg0(), [regs.arg1(), regs.arg2(), regs.arg3()], limit));
    limit.finish(result, timeout, 1)
}
