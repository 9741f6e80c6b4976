// SPDX-License-Identifier: GPL-2.0
//! Random operations on files whose content is known: each thread has a file of its own, and its lanes of a file that all share, whose
//! bytes lie in the same pages. What is read must be what was written.
//!
//! `dir=`, `threads=`, `seconds=`, `seed=`, `max=` (bytes of a file), `pressure=` (MiB of memory taken and given back all the time),
//! `drop=1` (caches are dropped all the time), `errors=full` (ENOSPC and EDQUOT may come) or `errors=any` (EIO and EROFS, too: then only
//! what is said to be written counts until the first error).

mod lanes;
mod memory;
mod model;

use crate::lanes::Lanes;
use crate::model::Model;
use ext4_tests::Words;
use ext4_tests::sys::Pages;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PAGE: u64 = 4096;

/// What all threads know.
struct Common {
    dir: String,
    threads: u64,
    max: u64,
    /// Errors of a full disk are no mistakes; nor those of a broken one.
    full: bool,
    any: bool,
    stop: AtomicBool,
    ops: AtomicU64,
    failed: AtomicU64,
    /// Errors that might come, and came.
    refused: AtomicU64,
}

fn thread(common: &Arc<Common>, index: u64, seed: u64) {
    let name = format!("{}/file{index}", common.dir);
    let (mut own, mut lanes) =
        match (Model::new(common, name, seed * 1000 + index), Lanes::new(common, index, seed * 1000 + 500 + index)) {
            (Ok(own), Ok(lanes)) => (own, lanes),
            (own, lanes) => {
                println!("cannot begin: {:?} {:?}", own.err(), lanes.err());
                common.failed.fetch_add(u64::from(!common.any), Relaxed);
                return;
            }
        };
    while !common.stop.load(Relaxed) {
        if own.rng.one_in(5) {
            lanes.step();
        } else {
            own.step();
        }
        common.ops.fetch_add(1, Relaxed);
    }
    if common.failed.load(Relaxed) == 0 {
        own.whole();
    }
}

/// Takes memory and gives it back, again and again.
fn press(common: &Common, bytes: usize) {
    while !common.stop.load(Relaxed) {
        let mut memory = Pages::new(bytes);
        for at in (0..bytes).step_by(4096) {
            memory[at] = 1;
            if common.stop.load(Relaxed) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn main() {
    let words = Words::new();
    let errors = words.text("errors").unwrap_or("");
    let common = Arc::new(Common {
        dir: words.text("dir").expect("dir=").into(),
        threads: words.number("threads", 4),
        max: words.number("max", 300_000),
        full: errors == "full" || errors == "any",
        any: errors == "any",
        stop: AtomicBool::new(false),
        ops: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let (seed, seconds) = (words.number("seed", 1), words.number("seconds", 10));
    let mut threads = Vec::new();
    for index in 0..common.threads {
        let common = common.clone();
        threads.push(std::thread::spawn(move || thread(&common, index, seed)));
    }
    let pressure = words.number("pressure", 0) as usize;
    if pressure > 0 {
        let common = common.clone();
        threads.push(std::thread::spawn(move || press(&common, pressure << 20)));
    }
    let (start, mut dropped, mut said) = (Instant::now(), Instant::now(), Instant::now());
    while start.elapsed() < Duration::from_secs(seconds) && !common.stop.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        if words.number("drop", 0) == 1 && dropped.elapsed() > Duration::from_millis(700) {
            std::fs::write("/proc/sys/vm/drop_caches", "3").ok();
            dropped = Instant::now();
        }
        if said.elapsed() > Duration::from_secs(20) {
            println!("fsx: {} operations so far", common.ops.load(Relaxed));
            said = Instant::now();
        }
    }
    common.stop.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends well"));
    let failed = common.failed.load(Relaxed);
    println!("fsx: {} operations, {} refused, {failed} wrong", common.ops.load(Relaxed), common.refused.load(Relaxed));
    std::process::exit(i32::from(failed != 0));
}
