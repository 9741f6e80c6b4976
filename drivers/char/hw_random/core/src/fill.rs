// SPDX-License-Identifier: GPL-2.0
//! The thread `hwrng`: reads from the generator in use and adds what it gets to the random numbers of everybody. It is there as long
//! as a generator with a quality is in use.

use crate::dev;
use crate::list::LIST;
use core::sync::atomic::{AtomicU32, Ordering};
use klog::pr_err;
use sync::{Mutex, WaitQueue};

/// Time between two reads, once there are random numbers at all (`CRNG_RESEED_INTERVAL`).
const INTERVAL_NS: u64 = 60_000_000_000;
/// Time after a read that failed.
const RETRY_NS: u64 = 10_000_000_000;

/// The thread is there.
static RUNNING: Mutex<bool> = Mutex::new(false);
/// Goes up when another generator is in use, or has another quality.
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// Where the thread sleeps.
static WAIT: WaitQueue = WaitQueue::new();

/// The generator in use, or its quality, may be another: the thread looks, and is started if it is wanted. May sleep.
pub(crate) fn changed() {
    CHANGES.fetch_add(1, Ordering::SeqCst);
    WAIT.wake_up_all();
    let mut running = RUNNING.lock();
    if !*running && wanted() {
        match task::kthread::kthread_run(b"hwrng", run) {
            Ok(_) => *running = true,
            Err(error) => pr_err!("hwrng_fill thread creation failed: {error}"),
        }
    }
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
                *running = false;
                return;
            }
        }
        let pause = match once(&mut rest) {
            true if random::is_ready() => INTERVAL_NS,
            true => continue,
            false => RETRY_NS,
        };
        let until = ktime::now_ns().saturating_add(pause);
        WAIT.wait_idle_exclusive(Some(until), || CHANGES.load(Ordering::SeqCst) != seen);
    }
}

/// Reads once; whether there was something.
fn once(rest: &mut usize) -> bool {
    let Some(source) = LIST.lock().current.clone() else { return false };
    let mut bytes = [0; dev::BUFFER];
    let len = match dev::read_from(&source, &mut bytes, true) {
        Ok(len) if len != 0 => len,
        _ => return false,
    };
    // Fewer bits than one are added with the next.
    let bits = len * 8 * source.quality() as usize + *rest;
    *rest = if bits >> 10 == 0 { bits } else { 0 };
    random::add_entropy(bytes.get(..len).unwrap_or_default());
    bytes.fill(0);
    true
}
