// SPDX-License-Identifier: GPL-2.0
//! `/dev/random`, `/dev/urandom` and `getrandom(2)`: the generator is seeded before the first program runs, so none of them
//! ever waits and all give the same. No locks.

use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use vfs::{File, FileOps, IovIter, user};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::UserPtr;

/// Bytes made at a time.
const CHUNK: usize = 256;
/// What the input pool counts as when it is full, in bits.
const POOL_BITS: i32 = 256;

struct Random;

pub(crate) fn open() -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Random, GFP_KERNEL)?)
}

/// Gives random bytes until the reader is full, its memory faults, or a signal comes.
fn give(to: &mut IovIter<'_>) -> Result<usize> {
    let mut buffer = [0; CHUNK];
    let mut done = 0;
    while to.count() != 0 {
        let want = to.count().min(CHUNK);
        let Some(bytes) = buffer.get_mut(..want) else { break };
        random::fill(bytes);
        let n = to.copy_to_iter(bytes);
        done += n;
        if n < want {
            if done == 0 {
                return Err(EFAULT);
            }
            break;
        }
        // Small requests are never cut short; large ones look for signals once a page.
        if done % 4096 == 0 && task::current().signal_pending() {
            break;
        }
    }
    buffer.fill(0);
    Ok(done)
}

impl FileOps for Random {
    fn can_splice(&self, _: &File, _: bool) -> bool {
        true
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        give(to)
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let mut buffer = [0; CHUNK];
        let mut done = 0;
        while from.count() != 0 {
            let n = from.copy_from_iter(&mut buffer);
            if n == 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            random::add_entropy(buffer.get(..n).unwrap_or(&[]));
            done += n;
        }
        Ok(done)
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            uapi::RNDGETENTCNT => {
                user::put(arg, &POOL_BITS)?;
                Ok(0)
            }
            uapi::RNDADDENTROPY => add_entropy(arg),
            uapi::RNDADDTOENTCNT | uapi::RNDZAPENTCNT | uapi::RNDCLEARPOOL => {
                // The pool is full and stays so: there is no count to raise or to clear, only the right to ask.
                if cred::capable(CAP_SYS_ADMIN) { Ok(0) } else { Err(EPERM) }
            }
            _ => Err(EINVAL),
        }
    }
}

/// `RNDADDENTROPY`: a count of bits, a length, and the bytes.
fn add_entropy(arg: usize) -> Result<usize> {
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let [bits, len]: [i32; 2] = user::get(arg)?;
    let mut left = usize::try_from(len)?;
    if bits < 0 {
        return Err(EINVAL);
    }
    let mut at = arg.wrapping_add(8);
    let mut buffer = [0; CHUNK];
    while left != 0 {
        let Some(bytes) = buffer.get_mut(..left.min(CHUNK)) else { break };
        user::copy_in(at, bytes)?;
        random::add_entropy(bytes);
        at = at.wrapping_add(bytes.len());
        left -= bytes.len();
    }
    Ok(0)
}

/// `getrandom(buf, len, flags)`.
pub fn sys_getrandom(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg2() as u32;
    let known = uapi::GRND_NONBLOCK | uapi::GRND_RANDOM | uapi::GRND_INSECURE;
    if flags & !known != 0
        || flags & (uapi::GRND_RANDOM | uapi::GRND_INSECURE) == uapi::GRND_RANDOM | uapi::GRND_INSECURE
    {
        return Err(EINVAL);
    }
    give(&mut IovIter::user(UserPtr::from_addr(regs.arg0()), regs.arg1())?)
}
