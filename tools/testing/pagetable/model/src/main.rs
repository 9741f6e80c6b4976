// SPDX-License-Identifier: GPL-2.0
//! The page tables of `arch/x86/mm`, the kernel's own files, under programs that do anything in any order, beside a list of what each
//! page has to hold: `pagetable [rounds] [first seed]`. Memory, TLBs and locks are stand-ins that notice more than the real ones.
//!
//! | file | what |
//! |---|---|
//! | `cpu` | a processor: it walks the tables as the hardware does, and remembers what it found |
//! | `tlb`, `quicklist`, `ldt` | in the place of the kernel's |
//! | `keeper` | the books of swap space |
//! | `space` | an address space: faults, and what is expected of it |
//! | `alone` | one program at a time: every operation, failing allocations too |
//! | `threads` | threads with pages of their own, the lock shared for faults |

// The kernel's files are here for what is tested of them.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../../../../../arch/x86/mm/src/fork.rs"]
mod fork;
#[path = "../../../../../arch/x86/mm/src/free.rs"]
mod free;
#[path = "../../../../../arch/x86/mm/src/gather.rs"]
mod gather;
#[path = "../../../../../arch/x86/mm/src/huge.rs"]
mod huge;
#[path = "../../../../../arch/x86/mm/src/join.rs"]
mod join;
#[path = "../../../../../arch/x86/mm/src/lazy.rs"]
mod lazy;
#[path = "../../../../../arch/x86/mm/src/marks.rs"]
mod marks;
#[path = "../../../../../arch/x86/mm/src/range.rs"]
mod range;
#[path = "../../../../../arch/x86/mm/src/swap.rs"]
mod swap;
#[path = "../../../../../arch/x86/mm/src/table.rs"]
mod table;

mod alone;
mod cpu;
mod keeper;
mod ldt;
mod quicklist;
mod space;
mod threads;
mod tlb;

pub use join::{Census, Joined};
pub use table::{Kind, PageTable, WriteFault};
pub use x86_pte::{Entry, UserProt};

use mm_alloc::stat::{Item, get};

/// A generator of numbers that are the same every time.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// After everything is gone nothing is left over but the page of zeros, and the block of zeros once it was wanted.
fn check_end() {
    for item in [Item::AnonHuge, Item::Anon, Item::PageTables, Item::LazyFree] {
        assert_eq!(get(item), 0, "{item:?}");
    }
    let zeros = if get(Item::ThpZeroAlloc) == 0 { 1 } else { 1 + 512 };
    assert_eq!(mm_alloc::free_pages(), mm_alloc::PAGES - zeros, "pages were lost");
    assert_eq!(keeper::users(), 0, "entries of swap space were lost");
    assert_eq!(tlb::mixed(), 0, "translations of both sizes");
}

fn main() {
    static KEEPER: &dyn swap::Swap = &keeper::Keeper;
    swap::SWAP.set(&KEEPER);
    table::make_zero_page().expect("memory");
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().expect("a number"));
    let (rounds, first) = (numbers.next().unwrap_or(40), numbers.next().unwrap_or(1));
    let mut seen = alone::Seen::default();
    for seed in first..first + rounds {
        alone::run(seed, &mut seen);
    }
    println!("ok 1 alone: {rounds} programs, {} splits, {seen:?}", get(Item::ThpSplitPmd));
    for seed in first..first + rounds.div_ceil(4) {
        threads::run(seed);
    }
    println!("ok 2 threads: {} programs, {} splits", rounds.div_ceil(4), get(Item::ThpSplitPmd));
}
