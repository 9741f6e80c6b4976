// SPDX-License-Identifier: GPL-2.0
//! One program at a time.

use crate::lazy::Dropped;
use crate::space::{BASE, END, PAGES, Rights, Space, at, check_counts, first};
use crate::table::{PageTable, zero_page};
use crate::{Joined, Random, check_end, huge, keeper, quicklist};
use kalloc::flags::GFP_HIGHUSER;
use kalloc::{Arc, KVec};
use mm_alloc::huge::Block;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::stat::{Item, get};
use mm_alloc::{Page, PageFlags, free_pages};
use std::sync::atomic::Ordering;

const STEPS: usize = 3000;
/// Below and above what is looked after nothing is mapped.
const FLOOR: usize = 0x7e00_0000_0000;
const CEILING: usize = 1 << 47;

/// What happened in all programs, so that it is seen that they do what they are for.
#[derive(Default, Debug)]
pub struct Seen {
    forks: u64,
    failed_forks: u64,
    /// Pages that somebody held while `fork` ran, and those of them in huge mappings.
    pinned: u64,
    pinned_huge: u64,
    swapped: u64,
    /// Writes to pages that somebody held, and that could not be written for a while.
    kept: u64,
    /// Reads of huge mappings of zeros.
    zeros: u64,
    /// Pages that were not needed and went; those of them in huge mappings; those that were found empty.
    dropped: u64,
    dropped_huge: u64,
    lost: u64,
}

/// A page that somebody holds, perhaps to write to it.
struct Held {
    page: Page,
    write: bool,
}

struct Run<'a> {
    seen: &'a mut Seen,
    random: Random,
    spaces: Vec<Space>,
    /// Pages that somebody holds, and pages that look as if they were in the swap cache.
    held: Vec<Held>,
    cached: Vec<Page>,
    stamp: u64,
}

/// Where the 2 MB of a page begin.
fn first_at(page: usize) -> usize {
    at(first(page))
}

/// What is in use: pages, tables, private pages that are mapped, entries of swap space.
fn in_use() -> (usize, i64, i64, u32) {
    (free_pages(), get(Item::PageTables), get(Item::Anon), keeper::users())
}

pub fn run(seed: u64, seen: &mut Seen) {
    let spaces = vec![Space::new()];
    let mut run = Run { seen, random: Random::new(seed), spaces, held: Vec::new(), cached: Vec::new(), stamp: 1 };
    for step in 0..STEPS {
        run.step();
        if step % 37 == 0 {
            run.spaces.iter_mut().for_each(Space::check);
        }
    }
    run.spaces.iter_mut().for_each(Space::check);
    run.seen.lost += run.spaces.iter().map(|space| space.lost).sum::<u64>();
    run.spaces.clear();
    run.held.clear();
    run.cached.drain(..).for_each(|page| page.clear(PageFlags::SWAP_CACHE));
    check_end();
}

impl Run<'_> {
    fn step(&mut self) {
        let which = self.random.below(self.spaces.len());
        let page = self.random.below(PAGES);
        let (from, to) = self.range();
        let (start, end) = (at(from), at(to));
        match self.random.below(31) {
            0..=7 => self.write(which, page),
            8..=11 => {
                let huge = !self.random.one_in(3);
                let space = &mut self.spaces[which];
                if space.rights[page] != Rights::Nothing {
                    space.read(page, huge);
                    self.seen.zeros += u64::from(space.table.has_huge_zeros(at(page)));
                }
            }
            12 => (page..PAGES.min(page + 40)).for_each(|page| self.write(which, page)),
            13 => {
                self.spaces[which].table.unmap(start, end, FLOOR, CEILING);
                self.spaces[which].forget(from, to);
            }
            14 => {
                self.spaces[which].table.zap_range(start, end);
                self.spaces[which].values[from..to].fill(0);
                self.spaces[which].lazy[from..to].fill(false);
            }
            15 => {
                let rights = [Rights::Write, Rights::Read, Rights::Nothing, Rights::Write][self.random.below(4)];
                let key = if self.random.one_in(2) { 0 } else { self.random.below(16) as u8 };
                self.spaces[which].table.protect(start, end, rights.prot().with_key(key), true);
                self.spaces[which].rights[from..to].fill(rights);
                self.spaces[which].keys[from..to].fill(key);
            }
            16 => self.fork(which),
            17 => self.exit(which),
            18 => self.move_part(which),
            19 => self.join(which, page),
            20 => self.spaces[which].table.split_huge_at(at(page)),
            21 => self.hold(which, page),
            22 => self.spaces[which].table.clear_accessed(start, end),
            23 => self.spaces[which].table.clear_soft_dirty(start, end),
            24 => self.swap_out(which, start, end),
            25 => {
                // Walkers without the lock: private copies stay, whatever they are told of files.
                let table = &self.spaces[which].table;
                table.zap_shared(start, end, true);
                table.clean(start, end);
                table.clear_accessed_shared(at(page));
            }
            26 => self.cache(which, page),
            27..=28 => {
                self.spaces[which].free_lazily(from, to);
                self.transfer(which);
            }
            _ => self.drop_lazy(which, start, end),
        }
    }

    /// Who holds pages of the program's own to write to them does, and sometimes is done with it.
    fn transfer(&mut self, which: usize) {
        let (space, stamp) = (&mut self.spaces[which], &mut self.stamp);
        let (values, lazy) = (&mut space.values, &mut space.lazy);
        space.table.for_each_entry(BASE, END, |addr, entry, _| {
            let holder = self.held.iter().find(|held| held.write && entry.is_own() && entry.maps(&held.page));
            if let Some(holder) = holder {
                *stamp += 1;
                holder.page.word().store(*stamp, Ordering::Relaxed);
                (values[(addr - BASE) / PAGE_SIZE], lazy[(addr - BASE) / PAGE_SIZE]) = (*stamp, false);
            }
        });
        if self.random.one_in(2) {
            self.held.retain(|held| !held.write);
        }
    }

    /// Memory is short: pages that are not needed go.
    fn drop_lazy(&mut self, which: usize, start: usize, end: usize) {
        let (mut budget, mut dropped) = (1 + self.random.below(3000), Dropped::default());
        let force = self.random.one_in(3);
        let table = &self.spaces[which].table;
        let huge = get(Item::AnonHuge);
        table.drop_lazy(start, end, &mut budget, force, &mut dropped);
        assert!(dropped.gone <= dropped.seen);
        self.seen.dropped += dropped.gone as u64;
        self.seen.dropped_huge += (huge - get(Item::AnonHuge)) as u64;
    }

    /// A range of pages, often of whole 2 MB, often short.
    fn range(&mut self) -> (usize, usize) {
        let random = &mut self.random;
        let (mut from, mut to) = (random.below(PAGES), random.below(PAGES));
        if random.one_in(3) {
            (from, to) = (first(from), first(to) + 512);
        }
        if from > to {
            (from, to) = (to, from);
        }
        if random.one_in(2) { (from, to.min(from + 600)) } else { (from, to) }
    }

    fn write(&mut self, which: usize, page: usize) {
        if self.spaces[which].rights[page] == Rights::Write {
            self.stamp += 1;
            let huge = !self.random.one_in(3);
            let before = self.spaces[which].table.query(at(page));
            self.spaces[which].write(page, self.stamp, huge);
            let after = self.spaces[which].table.query(at(page));
            let cached = self.cached.iter().any(|cached| before.maps(cached));
            if before.is_own() && !cached {
                assert!(before.phys() == after.phys(), "what was the program's own was copied");
                let held = self.held.iter().any(|held| before.maps(&held.page));
                self.seen.kept += u64::from(held && !before.is_writable());
            }
        }
    }

    /// Sometimes one of the next tables cannot be had.
    fn maybe_fail(&mut self) {
        if self.random.one_in(4) {
            quicklist::fail(1 + self.random.below(6) as u32);
        }
    }

    fn fork(&mut self, which: usize) {
        if self.spaces.len() == 4 {
            return;
        }
        let before = in_use();
        let pinned = self.pinned(which);
        let mut child = PageTable::new().expect("memory");
        let fails = self.random.one_in(3);
        if fails {
            self.maybe_fail();
            mm_alloc::page::fail(self.random.below(4) as u32);
            keeper::fail(self.random.below(9) as u32);
        }
        let parent = &self.spaces[which];
        let done = parent.table.fork_range(&child, BASE, END, true);
        parent.table.flush_all();
        quicklist::fail(0);
        mm_alloc::page::fail(0);
        keeper::fail(0);
        self.seen.forks += 1;
        for (addr, page) in &pinned {
            // What somebody is about to read or write stays the parent's.
            let entry = parent.table.query(*addr);
            assert!(entry.is_own() && entry.maps(page), "a page that somebody held left the parent");
            assert!(!child.query(*addr).maps(page), "a page that somebody held went to the child");
        }
        if let Err(error) = done {
            assert!(fails && error == errno::code::ENOMEM);
            self.seen.failed_forks += 1;
            check_counts(&child);
            self.free(&mut child);
            drop(child);
            assert_eq!(in_use(), before, "a child that did not come to be left something");
            return self.spaces[which].check();
        }
        let (values, rights, keys) = (parent.values.clone(), parent.rights.clone(), parent.keys.clone());
        let mut child = Space { table: child, values, rights, keys, lazy: parent.lazy.clone(), lost: 0 };
        child.check();
        self.spaces.push(child);
    }

    /// The pages that are the program's own and somebody holds, with their addresses.
    fn pinned(&mut self, which: usize) -> Vec<(usize, Page)> {
        let mut found = Vec::new();
        let seen = &mut self.seen;
        self.spaces[which].table.for_each_entry(BASE, END, |addr, entry, _| {
            let others = || self.held.iter().map(|held| &held.page).chain(&self.cached);
            if entry.is_own()
                && let Some(page) = others().find(|page| entry.maps(page))
            {
                seen.pinned += 1;
                seen.pinned_huge += u64::from(entry.is_huge());
                found.push((addr, page.clone()));
            }
        });
        found
    }

    /// Pages that were not used lately are looked for, and sometimes leave.
    fn swap_out(&mut self, which: usize, start: usize, end: usize) {
        let (mut out, mut budget) = (KVec::with_room(8), 300);
        let force = self.random.one_in(2);
        let table = &self.spaces[which].table;
        table.collect_idle(start, end, &mut budget, force, &mut out);
        if self.random.one_in(2) {
            let done = table.unmap_to_swap(out.as_mut_slice(), force, |_, page, writable| {
                // The entry has a reference and the victim. Who holds a page that can be written may write it.
                let alone = page.frame().ref_count() == 2;
                (alone || !writable).then(|| keeper::keep(page.word().load(Ordering::Relaxed)))
            });
            self.seen.swapped += done as u64;
        }
    }

    fn exit(&mut self, which: usize) {
        if self.spaces.len() == 1 {
            return;
        }
        let mut gone = self.spaces.swap_remove(which);
        self.seen.lost += gone.lost;
        self.free(&mut gone.table);
    }

    /// A table is about to go; sometimes nobody says what was mapped.
    fn free(&mut self, table: &mut Arc<PageTable>) {
        if self.random.one_in(2)
            && let Some(table) = Arc::get_mut(table)
        {
            table.teardown([(BASE, at(PAGES / 2)), (at(PAGES / 2), END)].into_iter());
        }
    }

    /// Moves pages from one half to the other, as `mremap` does.
    fn move_part(&mut self, which: usize) {
        let half = PAGES / 2;
        let random = &mut self.random;
        let len = if random.one_in(2) { 512 * (1 + random.below(2)) } else { 1 + random.below(900) };
        let (mut from, mut to) = (random.below(half - len), half + random.below(half - len));
        if random.one_in(2) {
            (from, to) = (first(from), first(to));
        }
        if random.one_in(2) {
            (from, to) = (to, from);
        }
        self.maybe_fail();
        let space = &mut self.spaces[which];
        space.table.unmap(at(to), at(to + len), FLOOR, CEILING);
        space.forget(to, to + len);
        space.table.split_huge_at(at(from));
        space.table.split_huge_at(at(from + len));
        let moved = space.table.move_range(at(from), at(to), len * PAGE_SIZE);
        quicklist::fail(0);
        if moved.is_err() {
            // There are tables where they were.
            assert!(space.table.move_range(at(to), at(from), len * PAGE_SIZE).is_ok());
            return;
        }
        space.values.copy_within(from..from + len, to);
        space.rights.copy_within(from..from + len, to);
        space.lazy.copy_within(from..from + len, to);
        space.keys.copy_within(from..from + len, to);
        space.forget(from, from + len);
    }

    fn join(&mut self, which: usize, page: usize) {
        let page = first(page);
        if !self.spaces[which].is_writable_around(page) {
            return;
        }
        let Some(block) = Block::alloc_zeroed(GFP_HIGHUSER) else { return };
        if self.random.one_in(2) {
            // As for `MADV_COLLAPSE`: what is shared becomes its own first.
            for page in page..page + 512 {
                let entry = self.spaces[which].table.query(at(page));
                if entry.is_present() && !entry.is_special() && !entry.is_writable() {
                    let space = &mut self.spaces[which];
                    if space.rights[page] != Rights::Nothing {
                        space.read(page, false);
                    }
                    let value = space.values[page];
                    space.write(page, value, false);
                }
            }
        }
        let table = &self.spaces[which].table;
        if table.join_huge(at(page), block, self.spaces[which].prot(page)) == Joined::Done {
            assert_eq!(table.room(at(page)), huge::Room::Huge);
        }
    }

    /// Somebody takes a page for a while.
    fn hold(&mut self, which: usize, page: usize) {
        let space = &self.spaces[which];
        let write = self.random.one_in(3);
        if let Some(held) = space.table.page(at(page), write) {
            let found = held.word().load(Ordering::Relaxed);
            assert!(found == space.values[page] || space.lazy[page] && found == 0);
            let space = &mut self.spaces[which];
            if write {
                // A transfer's bytes are not lost, though no program wrote them.
                self.stamp += 1;
                held.word().store(self.stamp, Ordering::Relaxed);
                (space.values[page], space.lazy[page]) = (self.stamp, false);
                if self.random.one_in(2) {
                    drop(held);
                    let (start, end) = (first_at(page), first_at(page) + PMD_SIZE);
                    return (0..3).for_each(|_| self.drop_lazy(which, start, end));
                }
            }
            let space = &self.spaces[which];
            self.held.push(Held { page: held, write });
            if space.rights[page] == Rights::Write && self.random.one_in(2) {
                // It cannot be written for a moment.
                let (start, end) = (at(page), at(page) + PAGE_SIZE);
                match self.random.one_in(2) {
                    true => space.table.protect(start, end, Rights::Read.prot(), true),
                    false => space.table.clear_soft_dirty(first_at(page), first_at(page) + PMD_SIZE),
                }
                space.table.protect(start, end, Rights::Write.prot(), true);
                self.write(which, page);
            }
        }
        if self.held.len() > 6 {
            self.held.swap_remove(self.random.below(6));
        }
    }

    /// A page looks as if it had a place in swap space for a while.
    fn cache(&mut self, which: usize, page: usize) {
        if let Some(found) = self.spaces[which].table.page(at(page), false)
            && found.phys() != zero_page().phys()
            && !found.has(PageFlags::SWAP_CACHE)
        {
            found.set(PageFlags::SWAP_CACHE);
            self.cached.push(found);
        }
        if self.cached.len() > 20 {
            self.cached.swap_remove(self.random.below(20)).clear(PageFlags::SWAP_CACHE);
        }
    }
}
