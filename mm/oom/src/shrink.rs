// SPDX-License-Identifier: GPL-2.0
//! Caches that can be made smaller: what each CPU keeps of pages, tables and small objects, then clean pages of files and private
//! pages for which there is swap space. No locks.

use crate::badness::with_mm;
use crate::kill::Memalloc;
use kalloc::flags::__GFP_IO;
use kalloc::{Arc, Flags};
use mm::Mm;
use mm::swap::AddressSpaces;
use mm_alloc::buddy;
use mm_alloc::reclaim::Reclaim;
use mm_alloc::stat::{self, Item};

pub(crate) struct Caches;

impl Reclaim for Caches {
    fn refilled(&self) {
        mm::reclaim::check_low();
    }

    fn written(&self) -> u64 {
        stat::get(Item::Written)
    }

    fn reclaim(&self, pages: usize, flags: Flags) -> usize {
        let Some(_inside) = Memalloc::enter() else { return 0 };
        let before = buddy::free_pages_total();
        x86::smp::call::on_each_cpu(&x86_mm::init::drain_local);
        let freed = buddy::free_pages_total().saturating_sub(before);
        mm::reclaim::wake_kswapd();
        // More than is needed just now, so that not every allocation comes here.
        freed + mm::reclaim::shrink(pages.max(32), flags.contains(__GFP_IO))
    }
}

/// The address spaces of all processes, for `mm`.
pub(crate) struct AllSpaces;

impl AddressSpaces for AllSpaces {
    fn visit(&self, from: u32, f: &mut dyn FnMut(u32, &Arc<Mm>)) -> Option<u32> {
        let mut at = from;
        loop {
            let (tid, leader) = process::pid::next_thread(at)?;
            at = tid.saturating_add(1);
            let Some(process) = process::process_of(&leader).filter(|process| process.pid() == tid) else { continue };
            with_mm(&process, &leader, |mm| f(tid, mm));
            return Some(tid);
        }
    }
}
