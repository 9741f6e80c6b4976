// SPDX-License-Identifier: GPL-2.0
//! Rings against a device of the specification: chains arrive as they were added, tokens come back as they were used, nobody sleeps
//! while there is something to do, and whatever the device writes, nothing panics and no token is lost or doubled.

mod device;

use device::{Chain, Device, Shared, allow_tables, tables};
use errno::code::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use virtio_ring::{Ring, Sg, Shape};

#[derive(Clone, Debug)]
enum Op {
    Add(usize, usize),
    Kick,
    Get,
    Disable,
    Enable,
    Tables(bool),
    Take,
    Give(usize, u32),
    Signal,
    Sleep,
    Busy,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..4, 0usize..4).prop_map(|(out, into)| Op::Add(out, into)),
        4 => Just(Op::Kick),
        8 => Just(Op::Get),
        2 => Just(Op::Disable),
        2 => Just(Op::Enable),
        1 => any::<bool>().prop_map(Op::Tables),
        6 => Just(Op::Take),
        6 => (any::<usize>(), any::<u32>()).prop_map(|(which, len)| Op::Give(which, len)),
        4 => Just(Op::Signal),
        2 => Just(Op::Sleep),
        1 => Just(Op::Busy),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (0u32..5, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(size, packed, event_idx, indirect)| Shape {
        size: 1 << size,
        packed,
        event_idx,
        indirect,
    })
}

fn pieces(token: u32, n: usize) -> Vec<Sg> {
    (0..n as u32).map(|i| Sg { addr: u64::from(token) << 16 | u64::from(i), len: 1 + (token + i) % 700 }).collect()
}

struct World {
    shape: Shape,
    ring: Ring<u32, Shared>,
    device: Device,
    next: u32,
    /// Added, not taken: token, pieces, how many are read.
    added: VecDeque<(u32, Vec<Sg>, usize)>,
    taken: Vec<(u32, Chain)>,
    used: VecDeque<(u32, u32, u16)>,
    free: u16,
    callbacks: bool,
    /// The driver waits for an interrupt; the device for a notification.
    waiting: bool,
    asleep: bool,
}

impl World {
    fn new(shape: Shape) -> Self {
        allow_tables(true);
        let mem = Shared::new(shape);
        let ring = Ring::with_memory(shape, mem.clone()).unwrap();
        Self {
            device: Device::new(mem, shape),
            ring,
            shape,
            next: 1,
            added: VecDeque::new(),
            taken: vec![],
            used: VecDeque::new(),
            free: shape.size,
            callbacks: true,
            waiting: true,
            asleep: true,
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Add(out, into) => self.add(out, into),
            Op::Kick => {
                if self.ring.prepare_kick() {
                    self.asleep = false;
                }
                assert!(!(self.asleep && self.device.has_available()), "the device sleeps on");
            }
            Op::Get => {
                let wanted = self.used.pop_front();
                assert_eq!(self.ring.get(), Ok(wanted.map(|(token, len, _)| (token, len))));
                self.free += wanted.map_or(0, |(_, _, count)| count);
                self.waiting = self.callbacks && wanted.is_none();
            }
            Op::Disable => {
                self.ring.disable_callbacks();
                (self.callbacks, self.waiting) = (false, false);
            }
            Op::Enable => {
                assert_eq!(self.ring.enable_callbacks(), self.used.is_empty());
                (self.callbacks, self.waiting) = (true, self.used.is_empty());
            }
            Op::Tables(allow) => allow_tables(allow),
            Op::Take => {
                let Some(chain) = self.device.take() else { return assert!(self.added.is_empty()) };
                // Whoever takes is awake, told or not, and says anew where to be told before it sleeps again. (The place it
                // named before means another one as soon as a packed ring has gone round.)
                self.asleep = false;
                let (token, pieces, out) = self.added.pop_front().unwrap();
                assert_eq!((&chain.out[..], &chain.into[..]), pieces.split_at(out));
                self.taken.push((token, chain));
            }
            Op::Give(which, len) => self.give(which, len),
            Op::Signal => self.signal(),
            Op::Sleep => self.asleep = self.device.sleep(),
            Op::Busy => {
                self.device.busy();
                self.asleep = false;
            }
        }
        assert_eq!(self.ring.free(), self.free);
    }

    fn add(&mut self, out: usize, into: usize) {
        let (token, n) = (self.next, out + into);
        let pieces = pieces(token, n);
        let before = self.ring.free();
        match self.ring.add(&pieces, out, token) {
            Ok(()) => {
                self.next += 1;
                let took = before - self.ring.free();
                assert!(usize::from(took) == n || took == 1 && self.shape.indirect);
                self.free -= took;
                self.added.push_back((token, pieces, out));
            }
            Err((error, back)) => {
                assert_eq!(back, token);
                let wanted = if n == 0 || n > self.shape.size.into() { EINVAL } else { ENOSPC };
                assert_eq!(error, wanted);
                assert!(error == EINVAL || n > self.free.into());
            }
        }
    }

    fn give(&mut self, which: usize, len: u32) {
        if self.taken.is_empty() {
            return;
        }
        let (token, chain) = self.taken.swap_remove(which % self.taken.len());
        // A device signals before it has come round.
        if self.device.unsignalled + chain.count > self.shape.size {
            self.signal();
        }
        let len = len % (chain.room() + 1);
        self.device.give(&chain, len);
        self.used.push_back((token, len, chain.count));
    }

    fn signal(&mut self) {
        let interrupt = self.device.signal();
        assert!(interrupt || !self.waiting || self.used.is_empty(), "no interrupt");
        // It is on its way now.
        self.waiting &= !interrupt;
    }

    /// All that the device has comes back.
    fn finish(mut self) {
        for op in [Op::Tables(true), Op::Kick, Op::Enable] {
            self.step(&op);
        }
        while self.device.has_available() {
            self.step(&Op::Take);
        }
        while !self.taken.is_empty() {
            self.step(&Op::Give(0, 1));
        }
        self.step(&Op::Signal);
        while !self.used.is_empty() {
            self.step(&Op::Get);
        }
        assert_eq!(self.ring.free(), self.shape.size);
        assert!(self.ring.detach_unused().is_none() && !self.ring.is_broken());
        drop(self);
        assert_eq!(tables(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_honest_device(shape in shape(), ops in prop::collection::vec(op(), 1..400)) {
        let mut world = World::new(shape);
        for op in &ops {
            world.step(op);
        }
        world.finish();
    }

    #[test]
    fn any_memory(
        shape in shape(),
        ops in prop::collection::vec((op(), prop::option::of((any::<usize>(), any::<u64>()))), 1..200),
    ) {
        allow_tables(true);
        let mem = Shared::new(shape);
        let mut ring = Ring::with_memory(shape, mem.clone()).unwrap();
        let mut device = Device::new(mem.clone(), shape);
        let (mut out, mut next) = (BTreeSet::new(), 0u32);
        for (op, noise) in ops {
            if let Some((at, value)) = noise {
                // Small numbers are likelier to be taken for something.
                let value = value as u32 & if value >> 63 != 0 { 0x8080_001f } else { u32::MAX };
                mem.put(at % (mem.len() / 4) * 4, &value.to_le_bytes());
            }
            match op {
                Op::Add(a, b) => {
                    next += 1;
                    match ring.add(&pieces(next, a + b), a, next) {
                        Ok(()) => assert!(out.insert(next)),
                        Err((_, token)) => assert_eq!(token, next),
                    }
                }
                Op::Kick => drop(ring.prepare_kick()),
                Op::Get => match ring.get() {
                    Ok(Some((token, _))) => assert!(out.remove(&token)),
                    Ok(None) => {}
                    Err(error) => assert!(error == EIO && ring.is_broken()),
                },
                Op::Disable => ring.disable_callbacks(),
                Op::Enable => drop(ring.enable_callbacks()),
                Op::Give(id, len) => device.lie((id % 20) as u16, len % 2000),
                _ => {}
            }
            assert!(ring.free() <= shape.size);
        }
        assert_eq!(mem.wrong.get(), ring.is_broken());
        ring.set_broken();
        assert_eq!(ring.add(&pieces(1, 1), 1, 0), Err((EIO, 0)));
        while let Some(token) = ring.detach_unused() {
            assert!(out.remove(&token));
        }
        assert!(out.is_empty() && ring.free() == shape.size);
    }
}

fn kinds() -> impl Iterator<Item = Shape> {
    (0..8).map(|bits| Shape { size: 8, packed: bits & 1 != 0, event_idx: bits & 2 != 0, indirect: bits & 4 != 0 })
}

/// What a lie ends in; the chain it is about has two pieces, the second of 512 bytes.
fn lies(shape: Shape, lie: impl FnOnce(&mut Device)) {
    allow_tables(true);
    let mem = Shared::new(shape);
    let mut ring = Ring::with_memory(shape, mem.clone()).unwrap();
    let mut device = Device::new(mem.clone(), shape);
    assert!(ring.add(&[Sg { addr: 0, len: 16 }, Sg { addr: 64, len: 512 }], 1, 7).is_ok());
    lie(&mut device);
    assert_eq!(ring.get(), Err(EIO), "{shape:?}");
    assert!(ring.is_broken() && mem.wrong.get());
    assert_eq!(ring.add(&[Sg { addr: 0, len: 1 }], 1, 8), Err((EIO, 8)));
    assert_eq!(ring.get(), Err(EIO));
    assert_eq!((ring.detach_unused(), ring.detach_unused()), (Some(7), None));
}

#[test]
fn nonsense_breaks_the_ring_only() {
    for shape in kinds() {
        lies(shape, |device| device.lie(8, 0));
        lies(shape, |device| device.lie(u16::MAX, 0));
        lies(shape, |device| device.lie(1, 0));
        lies(shape, |device| device.lie(0, 513));
        lies(shape, |device| device.lie(0, u32::MAX));
    }
}

#[test]
fn a_chain_is_used_once() {
    for shape in kinds() {
        allow_tables(true);
        let mem = Shared::new(shape);
        let mut ring = Ring::with_memory(shape, mem.clone()).unwrap();
        let mut device = Device::new(mem, shape);
        assert!(ring.add(&[Sg { addr: 0, len: 16 }], 1, 7).is_ok());
        assert!(ring.add(&[Sg { addr: 0, len: 16 }], 1, 8).is_ok());
        device.lie(0, 0);
        device.lie(0, 0);
        assert_eq!(ring.get(), Ok(Some((7, 0))));
        assert_eq!(ring.get(), Err(EIO));
        assert_eq!(ring.detach_unused(), Some(8));
    }
}

#[test]
fn lengths_are_cut_where_that_is_wanted() {
    for shape in kinds() {
        let mem = Shared::new(shape);
        let mut ring = Ring::with_memory(shape, mem.clone()).unwrap();
        ring.cut_lengths();
        let mut device = Device::new(mem, shape);
        assert!(ring.add(&[Sg { addr: 0, len: 512 }], 0, 7).is_ok());
        device.lie(0, 1000);
        assert_eq!(ring.get(), Ok(Some((7, 512))));
    }
}

#[test]
fn many_turns() {
    // More than the indices of either kind count.
    for shape in kinds() {
        let mut world = World::new(shape);
        for turn in 0..33_000u32 {
            for _ in 0..2 {
                world.step(&Op::Add(1, (turn % 3) as usize));
            }
            world.step(&Op::Kick);
            world.step(&Op::Take);
            world.step(&Op::Take);
            // Out of order.
            world.step(&Op::Give(1, turn));
            world.step(&Op::Give(0, turn));
            world.step(&Op::Signal);
            for op in [Op::Disable, Op::Get, Op::Get, Op::Enable, Op::Sleep] {
                world.step(&op);
            }
        }
        world.finish();
    }
}

#[test]
fn the_largest_ring() {
    for packed in [false, true] {
        let shape = Shape { size: 32768, packed, event_idx: true, indirect: false };
        let mut world = World::new(shape);
        let all = pieces(1, 32768);
        for turn in 0..5 {
            assert!(world.ring.add(&all, 5, turn).is_ok());
            assert!(world.ring.prepare_kick());
            let chain = world.device.take().unwrap();
            assert_eq!(chain.out.len() + chain.into.len(), 32768);
            assert!(world.device.sleep());
            world.device.give(&chain, 9);
            assert!(world.device.signal());
            assert_eq!(world.ring.get(), Ok(Some((turn, 9))));
        }
        assert!(!Shape { size: 3, ..shape }.is_valid() && !Shape { size: 0, ..shape }.is_valid());
    }
}

#[test]
fn shapes_are_told_apart() {
    // A split ring's layout is that of legacy devices.
    let split = Shape { size: 256, packed: false, event_idx: true, indirect: true };
    let places = split.places();
    assert_eq!((places.desc, places.driver, places.device), (0, 4096, 8192));
    let seen: BTreeMap<bool, usize> =
        [false, true].map(|packed| (packed, Shape { packed, ..split }.places().len)).into();
    assert!(seen[&true] < seen[&false]);
}
