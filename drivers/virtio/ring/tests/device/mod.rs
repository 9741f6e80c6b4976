// SPDX-License-Identifier: GPL-2.0
//! Memory of the host, and a device of each kind of ring, written from the specification alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use virtio_ring::{Memory, Sg, Shape, Table};

/// A ring's memory, which both sides hold.
#[derive(Clone)]
pub(crate) struct Shared {
    bytes: Rc<RefCell<Vec<u8>>>,
    pub(crate) wrong: Rc<Cell<bool>>,
}

impl Shared {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { bytes: Rc::new(RefCell::new(vec![0; shape.places().len])), wrong: Rc::default() }
    }

    pub(crate) fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at.is_multiple_of(N));
        self.bytes.borrow()[at..at + N].try_into().unwrap()
    }

    pub(crate) fn put(&self, at: usize, value: &[u8]) {
        self.bytes.borrow_mut()[at..at + value.len()].copy_from_slice(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.get(at))
    }
}

impl Memory for Shared {
    type Table = Page;

    fn read16(&self, at: usize) -> u16 {
        self.u16(at)
    }
    fn read32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.get(at))
    }
    fn read64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.get(at))
    }
    fn write16(&self, at: usize, value: u16) {
        assert!(at.is_multiple_of(2));
        self.put(at, &value.to_le_bytes());
    }
    fn write64(&self, at: usize, value: u64) {
        assert!(at.is_multiple_of(8));
        self.put(at, &value.to_le_bytes());
    }
    fn wrong(&self, _: &str, _: u32) {
        assert!(!self.wrong.replace(true), "broken twice");
    }
}

thread_local! {
    /// Tables by their addresses; whether there is memory for more.
    static TABLES: RefCell<BTreeMap<u64, Rc<RefCell<Vec<u8>>>>> = const { RefCell::new(BTreeMap::new()) };
    static MORE: Cell<bool> = const { Cell::new(true) };
    static NEXT: Cell<u64> = const { Cell::new(1 << 40) };
}

/// Whether there is memory for tables.
pub(crate) fn allow_tables(allow: bool) {
    MORE.set(allow);
}

/// How many tables there are.
pub(crate) fn tables() -> usize {
    TABLES.with_borrow(BTreeMap::len)
}

pub(crate) struct Page(u64, Rc<RefCell<Vec<u8>>>);

impl Table for Page {
    const ROOM: usize = 5;

    fn new() -> Option<Self> {
        if !MORE.get() {
            return None;
        }
        let (addr, bytes) = (NEXT.replace(NEXT.get() + 4096), Rc::new(RefCell::new(vec![0xaa; 80])));
        TABLES.with_borrow_mut(|tables| tables.insert(addr, bytes.clone()));
        Some(Self(addr, bytes))
    }
    fn addr(&self) -> u64 {
        self.0
    }
    fn put(&self, at: usize, value: u64) {
        self.1.borrow_mut()[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        TABLES.with_borrow_mut(|tables| tables.remove(&self.0));
    }
}

/// A chain as the device found it.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    id: u16,
    /// Descriptors in the ring.
    pub(crate) count: u16,
    pub(crate) out: Vec<Sg>,
    pub(crate) into: Vec<Sg>,
}

/// A descriptor's parts, at `at` of `bytes`.
fn parts(bytes: &[u8]) -> (Sg, u16, u16) {
    let sg = Sg {
        addr: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
        len: u32::from_le_bytes(bytes[8..12].try_into().unwrap()),
    };
    (sg, u16::from_le_bytes(bytes[12..14].try_into().unwrap()), u16::from_le_bytes(bytes[14..16].try_into().unwrap()))
}

fn table(at: Sg) -> Vec<u8> {
    TABLES.with_borrow(|tables| tables[&at.addr].borrow()[..at.len as usize].to_vec())
}

impl Chain {
    fn push(&mut self, sg: Sg, flags: u16) {
        if flags & 2 != 0 {
            self.into.push(sg);
        } else {
            assert!(self.into.is_empty(), "read after write");
            self.out.push(sg);
        }
    }

    /// Bytes that the device may write.
    pub(crate) fn room(&self) -> u32 {
        self.into.iter().map(|sg| sg.len).sum()
    }
}

/// The device's side of a ring.
pub(crate) struct Device {
    mem: Shared,
    shape: Shape,
    /// Split: running indices. Packed: index, turn.
    avail: (u16, bool),
    used: (u16, bool),
    signalled: u16,
    /// Descriptors used since the last signal.
    pub(crate) unsignalled: u16,
}

fn needs(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Device {
    pub(crate) fn new(mem: Shared, shape: Shape) -> Self {
        Self { mem, shape, avail: (0, true), used: (0, true), signalled: 0, unsignalled: 0 }
    }

    fn n(&self) -> usize {
        self.shape.size.into()
    }

    fn step(&self, (at, turn): (u16, bool), by: u16) -> (u16, bool) {
        let at = at + by;
        if at >= self.shape.size { (at - self.shape.size, !turn) } else { (at, turn) }
    }

    fn descriptor(&self, index: u16) -> (Sg, u16, u16) {
        assert!(index < self.shape.size);
        parts(&self.mem.get::<16>(usize::from(index) * 16))
    }

    pub(crate) fn has_available(&self) -> bool {
        if !self.shape.packed {
            return self.mem.u16(self.shape.places().driver + 2) != self.avail.0;
        }
        let flags = self.descriptor(self.avail.0).2;
        (flags >> 7 & 1 != 0) == self.avail.1 && (flags >> 15 & 1 != 0) != self.avail.1
    }

    pub(crate) fn take(&mut self) -> Option<Chain> {
        if !self.has_available() {
            return None;
        }
        let mut chain = Chain { id: 0, count: 0, out: vec![], into: vec![] };
        if self.shape.packed {
            self.take_packed(&mut chain)
        } else {
            self.take_split(&mut chain)
        }
        Some(chain)
    }

    fn take_split(&mut self, chain: &mut Chain) {
        let at = self.shape.places().driver + 4 + 2 * (usize::from(self.avail.0) % self.n());
        self.avail.0 = self.avail.0.wrapping_add(1);
        chain.id = self.mem.u16(at);
        let mut index = chain.id;
        loop {
            let (sg, flags, next) = self.descriptor(index);
            chain.count += 1;
            if flags & 4 != 0 {
                assert_eq!(flags, 4);
                let bytes = table(sg);
                let mut at = 0;
                loop {
                    let (sg, flags, next) = parts(&bytes[at..]);
                    chain.push(sg, flags);
                    if flags & 1 == 0 {
                        return;
                    }
                    at = usize::from(next) * 16;
                }
            }
            chain.push(sg, flags);
            if flags & 1 == 0 {
                return;
            }
            index = next;
        }
    }

    fn take_packed(&mut self, chain: &mut Chain) {
        loop {
            assert!(self.has_available(), "a chain that is not whole");
            let (sg, id, flags) = self.descriptor(self.avail.0);
            self.avail = self.step(self.avail, 1);
            chain.count += 1;
            chain.id = id;
            if flags & 4 != 0 {
                assert_eq!(flags & 7, 4);
                table(sg).chunks(16).for_each(|one| {
                    let (sg, _, flags) = parts(one);
                    assert_eq!(flags & !2, 0);
                    chain.push(sg, flags);
                });
                return;
            }
            chain.push(sg, flags);
            if flags & 1 == 0 {
                return;
            }
        }
    }

    pub(crate) fn give(&mut self, chain: &Chain, len: u32) {
        if self.shape.packed {
            let turn = if self.used.1 { 0x8080u16 } else { 0 };
            let at = usize::from(self.used.0) * 16;
            self.mem.put(at + 8, &len.to_le_bytes());
            self.mem.put(at + 12, &chain.id.to_le_bytes());
            self.mem.put(at + 14, &turn.to_le_bytes());
            self.used = self.step(self.used, chain.count);
            self.unsignalled += chain.count;
        } else {
            let base = self.shape.places().device;
            let at = base + 4 + 8 * (usize::from(self.used.0) % self.n());
            self.mem.put(at, &u32::from(chain.id).to_le_bytes());
            self.mem.put(at + 4, &len.to_le_bytes());
            self.used.0 = self.used.0.wrapping_add(1);
            self.mem.put(base + 2, &self.used.0.to_le_bytes());
            self.unsignalled += 1;
        }
    }

    /// Whether an interrupt is due for what was used since the last call.
    pub(crate) fn signal(&mut self) -> bool {
        let (old, new) = (self.signalled, self.used.0);
        self.signalled = new;
        let count = std::mem::replace(&mut self.unsignalled, 0);
        if count == 0 {
            return false;
        }
        let driver = self.shape.places().driver;
        if !self.shape.packed {
            if self.shape.event_idx {
                return needs(self.mem.u16(driver + 4 + 2 * self.n()), new, old);
            }
            return self.mem.u16(driver) & 1 == 0;
        }
        let (event, flags) = (self.mem.u16(driver), self.mem.u16(driver + 2));
        match flags {
            0 => true,
            1 => false,
            2 => {
                assert!(self.shape.event_idx);
                let turn = if (event >> 15 != 0) == self.used.1 { 0 } else { self.shape.size };
                // A whole turn ends where it began.
                needs((event & 0x7fff).wrapping_sub(turn), new, new.wrapping_sub(count))
            }
            _ => panic!("flags {flags}"),
        }
    }

    /// Wants to be told of the next chain; true if there is none yet.
    pub(crate) fn sleep(&mut self) -> bool {
        let device = self.shape.places().device;
        if !self.shape.packed {
            if self.shape.event_idx {
                self.mem.put(device + 4 + 8 * self.n(), &self.avail.0.to_le_bytes());
            } else {
                self.mem.put(device, &[0, 0]);
            }
        } else if self.shape.event_idx {
            self.mem.put(device, &(self.avail.0 | u16::from(self.avail.1) << 15).to_le_bytes());
            self.mem.put(device + 2, &2u16.to_le_bytes());
        } else {
            self.mem.put(device + 2, &0u16.to_le_bytes());
        }
        !self.has_available()
    }

    /// Does not want to be told.
    pub(crate) fn busy(&mut self) {
        let device = self.shape.places().device;
        if self.shape.packed {
            self.mem.put(device + 2, &1u16.to_le_bytes());
        } else if !self.shape.event_idx {
            self.mem.put(device, &[1, 0]);
        }
    }

    /// Writes an answer that may be wrong.
    pub(crate) fn lie(&mut self, id: u16, len: u32) {
        self.unsignalled = 0;
        self.give(&Chain { id, count: 1, out: vec![], into: vec![] }, len);
    }
}
