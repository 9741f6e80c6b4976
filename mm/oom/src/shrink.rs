// SPDX-License-Identifier: GPL-2.0
//! Caches that can be made smaller: what each CPU keeps of pages, tables and small objects, then clean pages of files. No locks.

use crate::kill::Memalloc;
use mm_alloc::buddy;
use mm_alloc::reclaim::Reclaim;

pub(crate) struct Caches;

impl Reclaim for Caches {
    fn reclaim(&self, pages: usize) -> usize {
        let Some(_inside) = Memalloc::enter() else { return 0 };
        let before = buddy::free_pages_total();
        x86::smp::call::on_each_cpu(&x86_mm::init::drain_local);
        let freed = buddy::free_pages_total().saturating_sub(before);
        mm::reclaim::wake_kswapd();
        // More than is needed just now, so that not every allocation comes here.
        freed + mm::reclaim::shrink(pages.max(32))
    }
}
