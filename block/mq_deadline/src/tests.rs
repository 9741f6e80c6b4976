// SPDX-License-Identifier: GPL-2.0
//! Tests on the host: the policy against its description, and nothing lost or sent twice whatever is done.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Io {
    id: usize,
    sector: u64,
    len: u64,
    write: bool,
}

impl Item for Io {
    fn sector(&self) -> u64 {
        self.sector
    }

    fn end(&self) -> u64 {
        self.sector + self.len
    }

    fn is_write(&self) -> bool {
        self.write
    }
}

fn io(id: usize, sector: u64, write: bool) -> Io {
    Io { id, sector, len: 8, write }
}

fn drain(deadline: &mut Deadline<Io>, now: u64) -> Vec<u64> {
    core::iter::from_fn(|| deadline.dispatch(now)).map(|io| io.sector).collect()
}

#[test]
fn goes_up_by_sector_and_comes_back() {
    let mut d = Deadline::new(8, Tunables::default()).unwrap();
    for (id, sector) in [800, 100, 500, 300].into_iter().enumerate() {
        d.insert(io(id, sector, false), Class::Be, 0).unwrap();
    }
    assert_eq!(drain(&mut d, 1), [100, 300, 500, 800]);
    d.insert(io(9, 400, false), Class::Be, 0).unwrap();
    d.insert(io(9, 900, false), Class::Be, 0).unwrap();
    // The last one ended at 808: first what lies beyond.
    assert_eq!(drain(&mut d, 1), [900, 400]);
}

#[test]
fn an_expired_one_goes_first_when_the_batch_is_over() {
    let tunables = Tunables { fifo_batch: 2, ..Tunables::default() };
    let mut d = Deadline::new(8, tunables).unwrap();
    d.insert(io(0, 900, false), Class::Be, 0).unwrap();
    for (id, sector) in [100, 200, 300, 400].into_iter().enumerate() {
        d.insert(io(id, sector, false), Class::Be, 400_000_000).unwrap();
    }
    assert_eq!(drain(&mut d, 450_000_000), [100, 200, 300, 400, 900]);
    d.insert(io(0, 900, false), Class::Be, 0).unwrap();
    for (id, sector) in [100, 200, 300, 400].into_iter().enumerate() {
        d.insert(io(id, sector, false), Class::Be, 400_000_000).unwrap();
    }
    // 900 has expired: it begins the first batch; then the way up starts again.
    assert_eq!(drain(&mut d, 600_000_000).first(), Some(&900));
}

#[test]
fn writes_are_put_off_for_reads_twice() {
    let tunables = Tunables { fifo_batch: 1, ..Tunables::default() };
    let mut d = Deadline::new(16, tunables).unwrap();
    for n in 0..6 {
        d.insert(io(n, 1000 + n as u64 * 100, false), Class::Be, 0).unwrap();
    }
    d.insert(io(9, 5000, true), Class::Be, 0).unwrap();
    // The first goes on where the last batch was; then two choices are for reads.
    assert_eq!(drain(&mut d, 1), [1000, 1100, 1200, 5000, 1300, 1400, 1500]);
}

#[test]
fn classes_go_before_each_other_until_they_age() {
    let mut d = Deadline::new(16, Tunables::default()).unwrap();
    d.insert(io(0, 10, false), Class::Idle, 0).unwrap();
    d.insert(io(1, 20, false), Class::Be, 0).unwrap();
    d.insert(io(2, 30, false), Class::Rt, 0).unwrap();
    assert_eq!(drain(&mut d, 1), [30, 20, 10]);
    d.insert(io(0, 10, false), Class::Idle, 0).unwrap();
    d.insert(io(2, 30, false), Class::Rt, 9_000_000_000).unwrap();
    assert_eq!(drain(&mut d, 11_000_000_000), [10, 30]);
}

#[test]
fn neighbours_are_found() {
    let mut d = Deadline::new(4, Tunables::default()).unwrap();
    d.insert(io(0, 100, true), Class::Be, 0).unwrap();
    assert_eq!(d.ending_at(Class::Be, true, 108), Some(0));
    assert_eq!(d.ending_at(Class::Be, false, 108), None);
    assert_eq!(d.ending_at(Class::Rt, true, 108), None);
    assert_eq!(d.starting_at(Class::Be, true, 100), Some(0));
    let grown = d.item_mut(0).unwrap();
    (grown.sector, grown.len) = (92, 16);
    d.moved(Class::Be, 0);
    assert_eq!(d.starting_at(Class::Be, true, 92), Some(0));
    assert_eq!(d.starting_at(Class::Be, true, 100), None);
    d.tunables.front_merges = false;
    assert_eq!(d.starting_at(Class::Be, true, 92), None);
    assert_eq!(drain(&mut d, 1), [92]);
    assert!(d.is_empty());
}

proptest! {
    #[test]
    fn nothing_is_lost(ops in prop::collection::vec((0u8..4, 0u64..64, any::<bool>(), 0u8..3, 0u64..2_000_000_000), 1..400)) {
        let mut d = Deadline::<Io>::new(32, Tunables { fifo_batch: 3, ..Tunables::default() }).unwrap();
        let (mut inside, mut now) = (std::collections::BTreeSet::new(), 0);
        for (id, (op, sector, write, class, step)) in ops.into_iter().enumerate() {
            now += step;
            if op == 0 {
                match d.dispatch(now) {
                    Some(io) => prop_assert!(inside.remove(&io.id)),
                    None => prop_assert!(inside.is_empty()),
                }
            } else {
                match d.insert(io(id, sector, write), CLASSES[usize::from(class)], now) {
                    Ok(()) => prop_assert!(inside.insert(id)),
                    Err(_) => prop_assert_eq!(inside.len(), 32),
                }
            }
            prop_assert_eq!(d.len(), inside.len());
        }
        while let Some(io) = d.dispatch(now) {
            prop_assert!(inside.remove(&io.id));
        }
        prop_assert!(inside.is_empty());
    }
}
