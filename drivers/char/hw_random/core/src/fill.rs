// SPDX-License-Identifier: GPL-2.0
//! The thread `hwrng`: reads from the generator in use and adds what it gets to the random numbers of everybody, credited by the
//! generator's quality. It is there as long as a generator with a quality is in use.

use crate::list::LIST;
use crate::{MAX_QUALITY, dev};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::ext::Thread;
use kernel::hardware::{ktime, random, sync};
use klog::pr_err;
use sync::{Mutex, WaitQueue};

/// Time between two reads, once there are random numbers at all (`CRNG_RESEED_INTERVAL`).
const INTERVAL_NS: u64 = 60_000_000_000;
/// Time after a read that failed.
const RETRY_NS: u64 = 10_000_000_000;

/// The thread.
struct Running {
    /// It goes on.
    on: bool,
    /// What to wait for: it may have ended.
    thread: Option<Thread>,
}

/// See [`Running`].
static RUNNING: Mutex<Running> = Mutex::new(Running { on: false, thread: None });
/// Goes up when another generator is in use, or has another quality.
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// Where the thread sleeps.
static WAIT: WaitQueue = WaitQueue::new();

/// The generator in use, or its quality, may be another: the thread looks, and is started if it is wanted. May sleep.
pub(crate) fn changed() {
    CHANGES.fetch_add(1, Ordering::SeqCst);
    WAIT.wake_up_all();
    let mut running = RUNNING.lock();
    if !running.on && wanted() {
        // The one before has let go of the lock for good, or there was none.
        if let Some(before) = running.thread.take() {
            before.join();
        }
        match Thread::run(b"hwrng", run) {
            Ok(thread) => *running = Running { on: true, thread: Some(thread) },
            Err(error) => pr_err!("hwrng_fill thread creation failed: {error}"),
        }
    }
}

/// A generator went. If it was the last one, waits for the thread, which has nothing to read any more: nothing of that generator's is
/// in anybody's hands then. No generator comes meanwhile (`list::CHANGING`). May sleep.
pub(crate) fn end_if_alone() {
    changed();
    // One of no quality may get some meanwhile.
    if LIST.lock().current.is_some() {
        return;
    }
    let thread = RUNNING.lock().thread.take();
    if let Some(thread) = thread {
        thread.join();
    }
}

/// Whether the thread is there.
#[cfg(CONFIG_KUNIT = "y")]
pub(crate) fn is_running() -> bool {
    RUNNING.lock().thread.is_some()
}

fn wanted() -> bool {
    LIST.lock().current.as_ref().is_some_and(|source| source.quality() != 0)
}

fn run() {
    // Bits that did not make a whole one, in 1024ths.
    let mut rest = 0;
    loop {
        let seen = CHANGES.load(Ordering::SeqCst);
        {
            let mut running = RUNNING.lock();
            if !wanted() {
                running.on = false;
                return;
            }
        }
        let pause = match once(&mut rest) {
            // Bits are wanted: at once again.
            Some(1..) if !random::is_ready() => continue,
            Some(_) => INTERVAL_NS,
            None => RETRY_NS,
        };
        let until = ktime::now_ns().saturating_add(pause);
        WAIT.wait_idle_exclusive(Some(until), || CHANGES.load(Ordering::SeqCst) != seen);
    }
}

/// Reads once; how many bits were credited. `None`: there was nothing.
fn once(rest: &mut usize) -> Option<u32> {
    let source = LIST.lock().current.clone()?;
    let mut bytes = [0; dev::BUFFER];
    let len = dev::read_from(&source, &mut bytes, true).ok().filter(|&len| len != 0)?;
    let bits = whole_bits(len, source.quality(), rest);
    random::add_entropy(bytes.get(..len).unwrap_or_default());
    random::credit(bits);
    bytes.fill(0);
    Some(bits)
}

/// What `len` bytes of a quality are worth, with the `rest` from before; fewer bits than one are kept there for the next.
fn whole_bits(len: usize, quality: u32, rest: &mut usize) -> u32 {
    let parts = len * 8 * quality as usize + *rest;
    *rest = parts % MAX_QUALITY as usize;
    (parts / MAX_QUALITY as usize) as u32
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(hw_random_fill)]
mod tests {
    use super::*;

    #[test]
    fn bits_by_quality() {
        let mut rest = 0;
        assert_eq!((whole_bits(64, 1024, &mut rest), rest), (512, 0));
        assert_eq!((whole_bits(64, 1, &mut rest), rest), (0, 512));
        assert_eq!((whole_bits(64, 1, &mut rest), rest), (1, 0));
        assert_eq!((whole_bits(64, 1000, &mut rest), rest), (500, 0));
    }
}
