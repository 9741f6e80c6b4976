// SPDX-License-Identifier: GPL-2.0
//! Threads of one program, each with pages of its own between those of the others. As in `mm/core` the lock is shared for faults and
//! looks, exclusive for changes of the map; processors take none.

use crate::cpu::{self, Miss};
use crate::lazy::Dropped;
use crate::space::{BASE, END, PAGES, Rights, at, fault, first};
use crate::table::PageTable;
use crate::{Random, UserProt, check_end};
use kalloc::KVec;
use kalloc::flags::GFP_HIGHUSER;
use mm_alloc::huge::Block;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

const THREADS: usize = 4;
const STEPS: u64 = 6000;
/// Their protection key.
const KEY: u8 = 11;

/// What they may do with their pages.
fn rights() -> UserProt {
    Rights::Write.prot().with_key(KEY)
}

pub fn run(seed: u64) {
    let table = PageTable::new().expect("memory");
    let lock = RwLock::new(());
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let random = Random::new(seed * 31 + number as u64 + 1);
            let mut thread =
                Thread { table: &table, lock: &lock, number, random, values: vec![0; PAGES], lazy: vec![false; PAGES] };
            scope.spawn(move || thread.run());
        }
    });
    drop(table);
    check_end();
}

struct Thread<'a> {
    table: &'a PageTable,
    lock: &'a RwLock<()>,
    number: usize,
    random: Random,
    /// What its pages hold.
    values: Vec<u64>,
    /// Pages that it does not need: they may be empty.
    lazy: Vec<bool>,
}

impl<'a> Thread<'a> {
    fn shared(&self) -> RwLockReadGuard<'a, ()> {
        self.lock.read().expect("no thread panicked")
    }

    fn exclusive(&self) -> RwLockWriteGuard<'a, ()> {
        self.lock.write().expect("no thread panicked")
    }

    fn run(&mut self) {
        for step in 0..STEPS {
            let page = self.random.below(PAGES / THREADS) * THREADS + self.number;
            self.step(page, step * THREADS as u64 + self.number as u64 + 1);
        }
        for page in (self.number..PAGES).step_by(THREADS) {
            self.read(page);
        }
    }

    fn read(&mut self, page: usize) {
        let found = self.reach(page, false, |word| word.load(Ordering::Relaxed));
        self.look(page, found);
    }

    fn look(&mut self, page: usize, found: u64) {
        if self.lazy[page] && found == 0 {
            self.values[page] = 0;
        }
        assert_eq!(found, self.values[page], "page {page}");
    }

    fn reach<T>(&mut self, page: usize, write: bool, mut f: impl FnMut(&AtomicU64) -> T) -> T {
        let huge = !self.random.one_in(4);
        let mut f = |word: &AtomicU64, key| {
            assert_eq!(key, KEY);
            f(word)
        };
        for _ in 0..100_000 {
            match cpu::access(self.table, at(page), write, &mut f) {
                Ok(value) => return value,
                Err(miss) => {
                    let _lock = self.shared();
                    fault(self.table, at(page), write, miss, rights(), huge);
                }
            }
        }
        panic!("page {page} cannot be reached")
    }

    fn step(&mut self, page: usize, value: u64) {
        let (start, end) = (at(first(page)), at(first(page)) + PMD_SIZE);
        match self.random.below(23) {
            0..=8 => {
                self.reach(page, true, |word| word.store(value, Ordering::Relaxed));
                (self.values[page], self.lazy[page]) = (value, false);
            }
            9..=14 => self.read(page),
            15 => {
                let _lock = self.shared();
                self.table.zap_range(at(page), at(page) + PAGE_SIZE);
                self.values[page] = 0;
            }
            16 => {
                let _lock = self.shared();
                self.table.clear_accessed(start, end);
            }
            17 => {
                let _lock = self.shared();
                if let Some(found) = self.table.page(at(page), false) {
                    self.look(page, found.word().load(Ordering::Relaxed));
                }
            }
            18 => {
                let force = self.random.one_in(8);
                let _lock = self.shared();
                let mut entries = 0;
                self.table.for_each_entry(start, end, |_, _, _| entries += 1);
                assert!(entries <= 512);
                let (mut out, mut budget) = (KVec::with_room(4), 60);
                self.table.collect_idle(at(page), at(PAGES.min(page + 100)), &mut budget, force, &mut out);
            }
            19 => {
                let _lock = self.shared();
                self.table.free_lazily(at(page), at(page) + PAGE_SIZE);
                self.lazy[page] = true;
            }
            20..=21 => {
                // Memory is short.
                let (mut budget, mut dropped) = (200, Dropped::default());
                let force = self.random.one_in(3);
                let _lock = self.shared();
                self.table.drop_lazy(at(page), at(PAGES.min(page + 700)), &mut budget, force, &mut dropped);
            }
            _ => self.change(page),
        }
    }

    /// Something that all threads have to do with.
    fn change(&mut self, page: usize) {
        let (start, end) = (at(first(page)), at(first(page)) + PMD_SIZE);
        let rights = rights();
        match self.random.below(6) {
            0 => {
                let block = Block::alloc_zeroed(GFP_HIGHUSER);
                let _lock = self.exclusive();
                if let Some(block) = block {
                    self.table.join_huge(start, block, rights);
                }
            }
            1 => {
                let _lock = self.exclusive();
                self.table.protect(start, end, Rights::Nothing.prot().with_key(KEY), true);
                self.table.protect(start, end, rights, true);
            }
            2 => {
                let child = PageTable::new().expect("memory");
                let lock = self.exclusive();
                let done = self.table.fork_range(&child, BASE, END, true);
                self.table.flush_all();
                drop(lock);
                assert!(done.is_ok());
                if let Some(found) = child.page(at(page), false) {
                    let found = found.word().load(Ordering::Relaxed);
                    assert!(found == self.values[page] || self.lazy[page] && found == 0);
                }
            }
            3 => {
                // Without the lock.
                let end = at(PAGES.min(page + 700));
                self.table.zap_shared(at(page), end, true);
                self.table.clean(at(page), end);
            }
            4 => {
                let _lock = self.exclusive();
                self.table.split_huge_at(at(page));
            }
            _ => {
                // Memory in which nobody keeps anything comes and goes.
                let start = END + self.random.below(2) * PMD_SIZE;
                let addr = start + self.random.below(512) * PAGE_SIZE;
                let _lock = self.shared();
                match self.random.below(3) {
                    0 => self.table.zap_range(start, start + PMD_SIZE),
                    1 => self.table.zap_range(addr, addr + PAGE_SIZE),
                    _ => fault(self.table, addr, true, Miss::Absent, rights, true),
                }
            }
        }
    }
}
