// SPDX-License-Identifier: GPL-2.0
//! `/dev/random`, `/dev/urandom` and `getrandom(2)`. Where the CPU's random numbers are trusted the generator is ready before the
//! first program runs; else whoever needs it ready collects the jitter of its own sleeps, and all wait in one queue. No locks.

use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use sync::{PollMask, PollTable, WaitQueue};
use vfs::{File, FileOps, IovIter, fmode, user};
use x86_cpu::regs::PtRegs;
use x86_cpu::tsc;
use x86_mm::uaccess::UserPtr;

/// Bytes made at a time.
const CHUNK: usize = 256;
/// How long a sleep is whose end gives a bit.
const SLEEP_NS: u64 = 4_000_000;

/// Those who wait for the generator, and who poll `/dev/random`.
static WAITERS: SetOnce<Arc<WaitQueue>> = SetOnce::new();

struct WakeWaiters;

impl random::ReadyHandler for WakeWaiters {
    fn ready(&self) {
        if let Some(waiters) = WAITERS.get() {
            waiters.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        }
    }
}

/// Makes the queue. Once, at boot, before the devices are there.
pub(crate) fn init() -> Result {
    static HANDLER: &dyn random::ReadyHandler = &WakeWaiters;
    WAITERS.set(Arc::new(WaitQueue::new(), GFP_KERNEL)?).map_err(|_| EBUSY)?;
    random::ON_READY.set(&HANDLER);
    Ok(())
}

/// Waits until the generator is ready. A signal ends the wait: `ERESTARTSYS`.
fn wait_ready() -> Result {
    let waiters = WAITERS.get().ok_or(ENODEV)?;
    while !random::is_ready() {
        // When a sleep ends nobody can tell to the cycle.
        random::add_entropy(&tsc::rdtsc().to_le_bytes());
        let deadline = ktime::now_ns().saturating_add(SLEEP_NS);
        if !waiters.wait_interruptible_deadline(Some(deadline), random::is_ready)? {
            random::add_entropy(&tsc::rdtsc().to_le_bytes());
            random::credit(1);
        }
    }
    Ok(())
}

/// `/dev/random`, or (`urandom`) the one that only tries to have the generator ready.
struct Random {
    urandom: bool,
}

pub(crate) fn open(urandom: bool) -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Random { urandom }, GFP_KERNEL)?)
}

/// Gives random bytes until the reader is full, its memory faults, or a signal comes.
fn give(to: &mut IovIter<'_>) -> Result<usize> {
    random::reseed_if_due(ktime::now_ns());
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

    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if !random::is_ready() {
            if self.urandom {
                // A signal leaves it as it is: this device never refuses.
                let _ = wait_ready();
            } else if file.nonblock() {
                return Err(EAGAIN);
            } else {
                wait_ready()?;
            }
        }
        give(to)
    }

    fn llseek(&self, _: &File, pos: &mut i64, _: i64, _: u32) -> Result<i64> {
        Ok(*pos)
    }

    fn can_poll(&self) -> bool {
        !self.urandom
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        if self.urandom {
            return PollMask::DEFAULT;
        }
        if let Some(waiters) = WAITERS.get() {
            table.add(waiters);
        }
        if random::is_ready() { PollMask::IN | PollMask::RDNORM } else { PollMask::OUT | PollMask::WRNORM }
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
        if cmd == uapi::RNDGETENTCNT {
            user::put(arg, &random::entropy_count().cast_signed())?;
            return Ok(0);
        }
        let known =
            [uapi::RNDADDTOENTCNT, uapi::RNDADDENTROPY, uapi::RNDZAPENTCNT, uapi::RNDCLEARPOOL, uapi::RNDRESEEDCRNG];
        if !known.contains(&cmd) {
            return Err(EINVAL);
        }
        if !cred::capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        match cmd {
            uapi::RNDADDTOENTCNT => random::credit(bits(arg)?),
            uapi::RNDADDENTROPY => add_entropy(arg)?,
            uapi::RNDRESEEDCRNG if !random::is_ready() => return Err(ENODATA),
            uapi::RNDRESEEDCRNG => random::reseed(),
            // As in Linux since 5.18 nothing takes back what was credited.
            _ => {}
        }
        Ok(0)
    }
}

/// A count of bits in user memory.
fn bits(arg: usize) -> Result<u32> {
    u32::try_from(user::get::<i32>(arg)?).map_err(|_| EINVAL)
}

/// `RNDADDENTROPY`: a count of bits, a length, and the bytes.
fn add_entropy(arg: usize) -> Result {
    let bits = bits(arg)?;
    let len: i32 = user::get(arg.wrapping_add(4))?;
    let mut left = usize::try_from(len).map_err(|_| EINVAL)?;
    let mut at = arg.wrapping_add(8);
    let mut buffer = [0; CHUNK];
    while left != 0 {
        let Some(bytes) = buffer.get_mut(..left.min(CHUNK)) else { break };
        // Credited is only what came in whole.
        user::copy_in(at, bytes)?;
        random::add_entropy(bytes);
        at = at.wrapping_add(bytes.len());
        left -= bytes.len();
    }
    random::credit(bits);
    Ok(())
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
    if !random::is_ready() && flags & uapi::GRND_INSECURE == 0 {
        if flags & uapi::GRND_NONBLOCK != 0 {
            return Err(EAGAIN);
        }
        wait_ready()?;
    }
    give(&mut IovIter::user(UserPtr::from_addr(regs.arg0()), regs.arg1())?)
}
