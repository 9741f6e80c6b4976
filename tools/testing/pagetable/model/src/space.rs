// SPDX-License-Identifier: GPL-2.0
//! An address space with what each of its pages has to hold, and the faults that make it so: `mm/core`'s, but for files.

use crate::cpu::{self, Miss};
use crate::huge::{Found, Room, zeros};
use crate::swap::{Swap, SwapEntry};
use crate::table::{Kind, PageTable, WriteFault, part, zero_page};
use crate::{Census, Entry, UserProt, keeper};
use kalloc::Arc;
use kalloc::flags::GFP_HIGHUSER;
use mm_alloc::huge::Block;
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::{Page, PageFlags, phys_to_virt};
use std::sync::atomic::{AtomicU64, Ordering};

/// Pages that are looked after: 8 times 2 MB.
pub const PAGES: usize = 8 * 512;
/// Where they begin: a border of the higher tables is among them.
pub const BASE: usize = 0x7f00_0000_0000 - PAGES / 2 * PAGE_SIZE;
/// Where they end.
pub const END: usize = BASE + PAGES * PAGE_SIZE;

/// What a program may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rights {
    Write,
    Read,
    Nothing,
}

impl Rights {
    pub fn prot(self) -> UserProt {
        match self {
            Self::Write => UserProt::new(true, false),
            Self::Read => UserProt::new(false, false),
            Self::Nothing => UserProt::NONE,
        }
    }
}

/// The address of a page.
pub fn at(page: usize) -> usize {
    BASE + page * PAGE_SIZE
}

/// The first page of the 2 MB that a page is in.
pub fn first(page: usize) -> usize {
    page / 512 * 512
}

pub struct Space {
    pub table: Arc<PageTable>,
    /// The first word of each page.
    pub values: Vec<u64>,
    pub rights: Vec<Rights>,
    /// Their protection keys.
    pub keys: Vec<u8>,
    /// Pages that are not needed: they may be empty at any time.
    pub lazy: Vec<bool>,
    /// How many of them were found empty.
    pub lost: u64,
}

impl Space {
    pub fn new() -> Self {
        let table = PageTable::new().expect("memory");
        let (rights, keys) = (vec![Rights::Write; PAGES], vec![0; PAGES]);
        Self { table, values: vec![0; PAGES], rights, keys, lazy: vec![false; PAGES], lost: 0 }
    }

    /// Whether the 2 MB around a page can all be written, as if they were in one mapping.
    pub fn is_writable_around(&self, page: usize) -> bool {
        let (mut around, key) = (first(page)..first(page) + 512, self.keys[page]);
        around.all(|other| self.rights[other] == Rights::Write && self.keys[other] == key)
    }

    /// The program does not need pages any more: what is in them may go.
    pub fn free_lazily(&mut self, from: usize, to: usize) {
        self.table.free_lazily(at(from), at(to));
        self.lazy[from..to].fill(true);
    }

    /// What is found in a page that holds `found`: of one that is not needed nothing may be left.
    fn look(&mut self, page: usize, found: u64) {
        if self.lazy[page] && found == 0 && self.values[page] != 0 {
            self.values[page] = 0;
            self.lost += 1;
        }
        assert_eq!(found, self.values[page], "page {page}");
    }

    /// What the program may do with a page.
    pub fn prot(&self, page: usize) -> UserProt {
        self.rights[page].prot().with_key(self.keys[page])
    }

    /// The program writes to a page, which it may.
    pub fn write(&mut self, page: usize, value: u64, huge: bool) {
        self.values[page] = value;
        self.lazy[page] = false;
        self.reach(page, true, huge, |word| word.store(value, Ordering::Relaxed));
    }

    /// The program reads a page, which it may.
    pub fn read(&mut self, page: usize, huge: bool) {
        let found = self.reach(page, false, huge, |word| word.load(Ordering::Relaxed));
        self.look(page, found);
    }

    fn reach<T>(&self, page: usize, write: bool, huge: bool, mut f: impl FnMut(&AtomicU64) -> T) -> T {
        let (prot, huge) = (self.prot(page), huge && self.is_writable_around(page));
        let mut f = |word: &AtomicU64, key| {
            assert_eq!(key, self.keys[page], "key of page {page}");
            f(word)
        };
        for _ in 0..20 {
            match cpu::access(&self.table, at(page), write, &mut f) {
                Ok(value) => return value,
                Err(miss) => fault(&self.table, at(page), write, miss, prot, huge),
            }
        }
        panic!("page {page} cannot be reached")
    }

    /// Nothing is in `[from, to)` any more; whatever comes next may be written.
    pub fn forget(&mut self, from: usize, to: usize) {
        self.values[from..to].fill(0);
        self.lazy[from..to].fill(false);
        self.rights[from..to].fill(Rights::Write);
        self.keys[from..to].fill(0);
    }

    /// Compares with what has to be there.
    pub fn check(&mut self) {
        let mut seen = vec![0; PAGES];
        self.table.for_each_entry(BASE, END, |addr, entry, frame| {
            let page = (addr - BASE) / PAGE_SIZE;
            seen[page] = match entry.swap() {
                Some(place) => keeper::value(place),
                None => {
                    // SAFETY: Memory is there for ever, and the address is aligned.
                    let word: &AtomicU64 = unsafe { &*phys_to_virt(entry.phys()).cast() };
                    word.load(Ordering::Relaxed)
                }
            };
            assert_eq!(frame.is_some(), !entry.is_special());
            assert_eq!(self.table.query(addr), entry);
            assert!(self.rights[page] == Rights::Write || !entry.is_writable());
            assert!(entry.swap().is_some() || entry.key() == self.keys[page]);
            assert!(self.rights[page] != Rights::Nothing || !entry.is_present());
        });
        for (page, found) in seen.into_iter().enumerate() {
            self.look(page, found);
        }
        check_counts(&self.table);
    }
}

/// Compares what is counted with what is there.
pub fn check_counts(table: &PageTable) {
    let (mut anon, mut swapped, mut lazy) = (0, 0, 0);
    let mut marked = [false; PAGES / 512];
    table.for_each_entry(BASE, END, |addr, entry, frame| {
        anon += usize::from(frame.is_some());
        if frame.is_some() && entry.value() & bits::LAZY != 0 {
            lazy += 1;
            marked[(addr - BASE) / PMD_SIZE] = true;
        }
        swapped += usize::from(entry.swap().is_some());
    });
    let counted = [Kind::Anon, Kind::File, Kind::Swap, Kind::Lazy].map(|kind| table.rss(kind));
    assert_eq!(counted, [anon, 0, swapped, lazy]);
    for addr in (BASE..END).step_by(PMD_SIZE) {
        check_census(table, addr);
        if let Ok(Found::Table(last)) = table.look(addr) {
            let entries = part(last, addr, addr + PMD_SIZE).iter().filter(|entry| entry.load(Ordering::Relaxed) != 0);
            assert_eq!(last.entries().load(Ordering::Relaxed), entries.count() as i32);
            assert!(!marked[(addr - BASE) / PMD_SIZE] || last.lazy().load(Ordering::Relaxed) != 0);
        }
    }
}

/// Compares what is counted for who decides whether to put pages together.
fn check_census(table: &PageTable, addr: usize) {
    let Some(census) = table.census(addr) else { return };
    let mut wanted = Census { none: 512, ..Census::default() };
    table.for_each_entry(addr, addr + PMD_SIZE, |_, entry, frame| {
        if entry.maps(zero_page()) {
            return;
        }
        wanted.none -= 1;
        wanted.swapped += usize::from(entry.swap().is_some());
        let Some(frame) = frame else { return };
        if !entry.is_present() {
            wanted.unfit += 1;
            return;
        }
        let cached = u32::from(frame.flag_bits() & PageFlags::SWAP_CACHE.0 != 0);
        let alone = frame.ref_count() - cached == 1;
        wanted.busy += usize::from(!alone && entry.is_own());
        wanted.shared += usize::from(!alone && !entry.is_own());
        wanted.writable += usize::from(entry.is_own());
        wanted.used += usize::from(entry.is_accessed());
    });
    assert_eq!(census, wanted);
}

/// Makes an access possible.
pub fn fault(table: &PageTable, addr: usize, write: bool, miss: Miss, prot: UserProt, huge: bool) {
    if miss == Miss::ReadOnly {
        return write_private(table, addr, prot);
    }
    if let Some(place) = table.query(addr).swap() {
        return swap_in(table, addr, place, prot);
    }
    if huge {
        match table.room(addr) {
            Room::Huge => return,
            Room::Table => {}
            // Some read zeros without a block of their own.
            Room::Free if !write && addr / PAGE_SIZE % 3 != 0 => {
                if let Some(zeros) = zeros()
                    && table.map_huge_zeros(addr, zeros, prot).is_ok()
                {
                    return;
                }
            }
            Room::Free => {
                if Block::alloc_zeroed(GFP_HIGHUSER).is_some_and(|block| table.map_huge(addr, block, prot).is_ok()) {
                    return;
                }
            }
        }
    }
    if !write {
        let _ = table.map_static(addr, zero_page(), prot.read_only());
        return;
    }
    let page = Page::alloc_zeroed(GFP_HIGHUSER).expect("memory");
    if let Ok(false) = table.map_anon(addr, page, prot) {
        write_private(table, addr, prot);
    }
}

fn swap_in(table: &PageTable, addr: usize, place: SwapEntry, prot: UserProt) {
    let page = Page::alloc_zeroed(GFP_HIGHUSER).expect("memory");
    page.word().store(keeper::value(place), Ordering::Relaxed);
    page.set(PageFlags::ANON);
    assert!(table.map_swapped(addr, place, page, prot));
    keeper::Keeper.free(place);
}

fn write_private(table: &PageTable, addr: usize, prot: UserProt) {
    let (new, old) = match table.write_private(addr, prot) {
        WriteFault::Empty | WriteFault::Done => return,
        WriteFault::Special => panic!("there are no devices"),
        WriteFault::Zero(old) => (Page::alloc_zeroed(GFP_HIGHUSER).expect("memory"), old),
        WriteFault::Copy(from, old) | WriteFault::SwapCache(from, old) => {
            let new = Page::alloc(GFP_HIGHUSER).expect("memory");
            new.copy_from(&from);
            (new, old)
        }
    };
    table.replace(addr, old, new, prot);
}
