// SPDX-License-Identifier: GPL-2.0
//! `claims ROUNDS SEED`: threads use ranges of one map while others change it. What is used must not change, which is looked at
//! word by word; at the end the copy that users look at must be the map, and nothing may be left.

#[path = "../../../../../kernel/locking/wait/claim/src/lib.rs"]
#[allow(dead_code, unused_attributes, reason = "what others use of it; it is a crate in the kernel")]
mod claim;

use claim::{ClaimedMap, Gate};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Addresses.
const PLACES: usize = 256;
const USERS: usize = 4;
const WRITERS: usize = 2;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A value that says where its range begins, in words that are written plainly: who writes one while another reads it is at fault.
struct Told {
    start: usize,
    check: usize,
}

const SECRET: usize = 0x5555_aaaa;

impl Told {
    fn new(start: usize) -> KBox<Self> {
        LIVE.fetch_add(1, SeqCst);
        KBox::new(Self { start, check: start ^ SECRET }, GFP_KERNEL).unwrap_or_else(|_| panic!("no memory"))
    }

    fn set(&mut self, start: usize) {
        // Seen in between by whoever should not look.
        *black_box(&mut self.check) = 0;
        *black_box(&mut self.start) = start;
        *black_box(&mut self.check) = start ^ SECRET;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        *black_box(&mut self.start) = usize::MAX;
        *black_box(&mut self.check) = 0;
        LIVE.fetch_sub(1, SeqCst);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// Uses ranges until it is told to stop; how many, and how many were not as they have to be.
fn use_ranges(gate: &Gate<Told>, mut random: Random, stop: &AtomicBool) -> (usize, usize) {
    let (mut used, mut bad) = (0, 0);
    while !stop.load(SeqCst) {
        let at = random.below(PLACES);
        let Some(pass) = gate.enter(at) else {
            std::hint::spin_loop();
            continue;
        };
        used += 1;
        for look in 0..16 {
            let told: &Told = black_box(&pass);
            let right = told.start == pass.start() && told.check == told.start ^ SECRET;
            if !right || !(pass.start()..pass.end()).contains(&at) {
                bad += 1;
            }
            // Others run meanwhile, for longer than anybody spins.
            if look % 4 == 3 && at.is_multiple_of(8) {
                std::thread::yield_now();
            }
        }
    }
    (used, bad)
}

/// Changes the map at a place of its choice.
fn change(map: &mut ClaimedMap<Told>, random: &mut Random) {
    let at = random.below(PLACES);
    let index = map.index(at);
    let found = map.get(index).filter(|slot| slot.start <= at).map(|slot| (slot.start, slot.end));
    let Some((start, end)) = found else {
        let limit = map.get(index).map_or(PLACES, |slot| slot.start);
        assert!(map.insert(at, limit.min(at + 1 + random.below(3)), Told::new(at)).is_ok());
        return;
    };
    match random.below(6) {
        0 if start < at => assert!(map.split(index, at, Told::new(at)).is_ok()),
        1 if end - start > 1 => {
            assert!(map.set_bounds(index, start + 1, end));
            map.value_mut(index).unwrap().set(start + 1);
        }
        2 => drop(map.remove(index)),
        3 => map.remove_many(index, 2, drop),
        4 => {
            let limit = map.get(index + 1).map_or(PLACES, |next| next.start);
            assert!(map.set_bounds(index, start, limit));
        }
        // As `munmap`: the rest is free again while something is done to the range.
        5 => {
            map.claim(start, end);
            map.keep_claimed(at, at + 1);
            std::thread::yield_now();
        }
        _ => {}
    }
}

fn write(map: &Mutex<ClaimedMap<Told>>, gate: &Gate<Told>, mut random: Random, rounds: usize) {
    for _ in 0..rounds {
        let mut inner = map.lock().unwrap();
        if random.below(4) == 0 {
            let low = random.below(PLACES);
            let high = low + 1 + random.below(PLACES / 4);
            if !inner.try_claim(low, high) {
                inner.release();
                drop(inner);
                gate.wait_unused(low, high);
                inner = map.lock().unwrap();
            }
        }
        if random.below(64) == 0 {
            inner.claim(0, usize::MAX);
        }
        for _ in 0..=random.below(3) {
            change(&mut inner, &mut random);
        }
        inner.release();
        drop(inner);
        if random.below(4) == 0 {
            std::thread::yield_now();
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().expect("a number"));
    let (rounds, seed) = (numbers.next().unwrap_or(20000) as usize, numbers.next().unwrap_or(1));
    let map = ClaimedMap::new();
    let gate = map.open().expect("memory").clone();
    let (map, stop) = (Mutex::new(map), AtomicBool::new(false));
    let (used, bad) = std::thread::scope(|scope| {
        let random = |number: usize| Random(seed << 8 | number as u64);
        let (map, gate, stop) = (&map, &*gate, &stop);
        let users: Vec<_> = (0..USERS).map(|user| scope.spawn(move || use_ranges(gate, random(user), stop))).collect();
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(map, gate, random(USERS + writer), rounds))).collect();
        let written = writers.into_iter().all(|writer| writer.join().is_ok());
        stop.store(true, SeqCst);
        let counts = users.into_iter().map(|user| user.join().expect("a user"));
        let sum = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        assert!(written);
        sum
    });
    println!("{used} uses, {bad} bad");
    assert!(used > 0 && bad == 0);
    println!("ok 1 threads");
    let mut map = map.into_inner().unwrap();
    map.release();
    for at in 0..PLACES {
        let seen = gate.enter(at).map(|pass| (pass.start(), pass.end()));
        assert_eq!(seen, map.containing(at).map(|slot| (slot.start, slot.end)), "at {at}");
    }
    assert_eq!(LIVE.load(SeqCst), map.len());
    drop(map);
    assert_eq!(LIVE.load(SeqCst), 0);
    assert!((0..PLACES).all(|at| gate.enter(at).is_none()));
    println!("ok 2 copy");
}
