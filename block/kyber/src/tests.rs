// SPDX-License-Identifier: GPL-2.0
use crate::fifo::Fifo;
use crate::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request(Domain, u32);

impl Item for Request {
    fn domain(&self) -> Domain {
        self.0
    }
}

const MS: u64 = 1_000_000;

fn kyber(depth: u32) -> Kyber<Request> {
    Kyber::new(depth, Tunables::default()).unwrap()
}

#[test]
fn turns() {
    let mut kyber = kyber(64);
    for n in 0..40 {
        kyber.insert(Request(Domain::Read, n)).unwrap();
        if n < 12 {
            kyber.insert(Request(Domain::Write, n)).unwrap();
        }
        if n < 2 {
            kyber.insert(Request(Domain::Discard, n)).unwrap();
            kyber.insert(Request(Domain::Other, n)).unwrap();
        }
    }
    let mut order = String::new();
    while let Some((Request(domain, n), found)) = kyber.dispatch() {
        assert_eq!(domain, found);
        let letter = ['r', 'w', 'd', 'o'][domain as usize];
        order.push(letter);
        // First come, first served.
        assert_eq!(order.matches(letter).count() as u32, n + 1);
    }
    assert_eq!(
        order,
        format!(
            "{r}{w}do{r}{rest}do{last}",
            r = "r".repeat(16),
            w = "w".repeat(8),
            rest = "wwww",
            last = "r".repeat(8)
        )
    );
    assert!(kyber.is_empty());
}

#[test]
fn the_device_has_no_more_than_its_depth() {
    let mut kyber = kyber(40);
    for n in 0..40 {
        kyber.insert(Request(Domain::Other, n)).unwrap();
    }
    assert_eq!(kyber.insert(Request(Domain::Other, 40)), Err(Request(Domain::Other, 40)));
    for _ in 0..16 {
        assert!(kyber.dispatch().is_some());
    }
    assert!(kyber.dispatch().is_none());
    assert_eq!(kyber.len(), 24);
    // Others are not kept back by that.
    kyber.insert(Request(Domain::Read, 0)).unwrap();
    assert_eq!(kyber.dispatch().map(|found| found.1), Some(Domain::Read));
    kyber.release(Domain::Other);
    assert_eq!(kyber.dispatch(), Some((Request(Domain::Other, 16), Domain::Other)));
    assert!(kyber.dispatch().is_none());
    assert_eq!(std::iter::from_fn(|| kyber.take_any()).count(), 23);
}

/// Lets `count` requests of each kind take so long, over a window.
fn load(kyber: &mut Kyber<Request>, now: &mut u64, read: (u64, u64), write: (u64, u64)) {
    for _ in 0..600 {
        kyber.note(Domain::Read, read.0, read.1, *now);
        kyber.note(Domain::Write, write.0, write.1, *now);
        *now += MS / 2;
    }
}

#[test]
fn writes_make_room_for_slow_reads() {
    let (mut kyber, mut now) = (kyber(8), 0);
    load(&mut kyber, &mut now, (MS, MS), (MS, MS));
    assert_eq!((kyber.depth(Domain::Read), kyber.depth(Domain::Write)), (256, 128));
    // The device is slow, and reads wait too long: writes, which do well, have to do with fewer.
    for _ in 0..8 {
        load(&mut kyber, &mut now, (20 * MS, 20 * MS), (MS, MS));
    }
    assert_eq!(kyber.depth(Domain::Read), 256);
    assert!(kyber.depth(Domain::Write) < 16, "{}", kyber.depth(Domain::Write));
    // Writes wait too long now: they may have more again.
    for _ in 0..20 {
        load(&mut kyber, &mut now, (MS, MS), (100 * MS, MS));
    }
    assert_eq!(kyber.depth(Domain::Write), 128);
}

#[test]
fn targets_can_be_changed() {
    let (mut kyber, mut now) = (kyber(8), 0);
    kyber.tunables.read_lat = 1;
    for _ in 0..8 {
        load(&mut kyber, &mut now, (MS, MS), (MS, MS));
    }
    assert!(kyber.depth(Domain::Write) < 16);
    // Nothing is wanted of others, and nothing can be divided by.
    kyber.tunables.write_lat = 0;
    kyber.note(Domain::Other, u64::MAX, u64::MAX, u64::MAX);
    load(&mut kyber, &mut now, (0, 0), (0, u64::MAX));
}

proptest! {
    #[test]
    fn fifo_is_a_queue(room in 0usize..9, ops in prop::collection::vec(any::<Option<u8>>(), 0..200), most in 0usize..10) {
        let (mut fifo, mut model) = (Fifo::new(room).unwrap(), VecDeque::new());
        for op in ops {
            match op {
                Some(value) if model.len() < room => {
                    prop_assert_eq!(fifo.push(value), Ok(()));
                    model.push_back(value);
                }
                Some(value) => prop_assert_eq!(fifo.push(value), Err(value)),
                None => prop_assert_eq!(fifo.pop(), model.pop_front()),
            }
            prop_assert_eq!(fifo.len(), model.len());
            let newest: Vec<u8> = fifo.newest(most).map(|value| *value).collect();
            prop_assert_eq!(newest, model.iter().rev().take(most).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn all_come_out(ops in prop::collection::vec((0usize..5, any::<u64>(), any::<u64>()), 0..300)) {
        let mut kyber = kyber(32);
        let (mut out, mut now, mut number) = (vec![], 0u64, 0);
        let mut next = [0u32; 4];
        let mut came = [0u32; 4];
        for (what, a, b) in ops {
            if let Some(domain) = DOMAINS.get(what) {
                if kyber.insert(Request(*domain, came[what])).is_ok() {
                    came[what] += 1;
                    number += 1;
                }
            } else if a % 3 == 0 {
                if let Some(domain) = out.pop() {
                    now = now.saturating_add(b % (400 * MS));
                    kyber.release(domain);
                    kyber.note(domain, a, b, now);
                }
            } else if let Some((Request(domain, n), _)) = kyber.dispatch() {
                prop_assert_eq!(n, next[domain as usize]);
                next[domain as usize] += 1;
                out.push(domain);
                number -= 1;
            }
            prop_assert_eq!(kyber.len(), number);
            for domain in DOMAINS {
                prop_assert!((1..=DEPTHS[domain as usize]).contains(&kyber.depth(domain)));
            }
        }
        // Whatever was decided, what waits goes as soon as others are over.
        while !kyber.is_empty() {
            if kyber.dispatch().is_none() {
                for _ in 0..512 {
                    DOMAINS.into_iter().for_each(|domain| kyber.release(domain));
                }
            }
        }
    }
}
