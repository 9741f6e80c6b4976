// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: private memory that programs do not need any more (`MADV_FREE`).

#[macros::kunit_tests(mm_lazy)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::flags::Prot;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::proc::SmapsInfo;
    use errno::{Result, code::*};
    use kalloc::Arc;
    use mm_alloc::layout::PAGE_SIZE;
    use mm_alloc::stat::{self, Item};
    use x86_mm::Kind;

    const PAGES: usize = 8;
    const LEN: usize = PAGES * PAGE_SIZE;
    const RW: u32 = uapi::PROT_READ | uapi::PROT_WRITE;
    const SOFT_DIRTY: u64 = 1 << 55;
    /// The first bytes of all pages, when they are new.
    const NUMBERS: [u8; PAGES] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn map(mm: &Mm, len: usize) -> Result<usize> {
        let flags = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
        mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: None, pgoff: 0 })
    }

    /// An address space with some pages that have their numbers.
    fn space() -> Result<(Arc<Mm>, usize)> {
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        let at = map(&mm, LEN)?;
        for (page, number) in NUMBERS.iter().enumerate() {
            assert_eq!(mm.write(at + page * PAGE_SIZE, &[*number], false), 1);
        }
        Ok((mm, at))
    }

    /// The first bytes of all pages.
    fn look(mm: &Mm, at: usize) -> [u8; PAGES] {
        let mut bytes = [0; PAGES];
        for (page, byte) in bytes.iter_mut().enumerate() {
            mm.read(at + page * PAGE_SIZE, core::slice::from_mut(byte), false);
        }
        bytes
    }

    /// `LazyFree` and `Private_Clean` of all, in pages.
    fn shown(mm: &Mm, at: usize) -> (u64, u64) {
        let mut info = SmapsInfo::default();
        mm.smaps(at, at + LEN, &mut info);
        (info.lazy_free / PAGE_SIZE as u64, info.private_clean / PAGE_SIZE as u64)
    }

    /// How many pages go when memory is short.
    fn gone(mm: &Mm) -> usize {
        mm.drop_lazy_once().gone
    }

    #[test]
    fn what_is_not_written_goes() -> Result {
        let (mm, at) = space()?;
        assert_eq!((shown(&mm, at), gone(&mm)), ((0, 0), 0));
        let (freed, dropped) = (stat::get(Item::PgLazyFree), stat::get(Item::PgLazyFreed));
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        assert!(stat::get(Item::PgLazyFree) >= freed + PAGES as u64 && stat::get(Item::LazyFree) >= PAGES as u64);
        assert_eq!((shown(&mm, at), look(&mm, at)), ((8, 8), NUMBERS));
        // Twice is once.
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        assert_eq!(mm.table.rss(Kind::Lazy), PAGES);
        assert_eq!((mm.write(at + 2 * PAGE_SIZE, &[9], false), mm.write(at + 6 * PAGE_SIZE, &[9], false)), (1, 1));
        assert_eq!(shown(&mm, at).0, 6);
        assert_eq!((gone(&mm), gone(&mm)), (6, 0));
        assert!(stat::get(Item::PgLazyFreed) >= dropped + 6);
        assert_eq!((mm.table.rss(Kind::Anon), mm.table.rss(Kind::Lazy)), (2, 0));
        assert_eq!((shown(&mm, at), look(&mm, at)), ((0, 0), [0, 0, 9, 0, 0, 0, 9, 0]));
        Ok(())
    }

    #[test]
    fn who_holds_a_page_loses_nothing() -> Result {
        let (mm, at) = space()?;
        let held = mm.pin_page(at + PAGE_SIZE, true)?;
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        assert_eq!(shown(&mm, at).0, 7);
        // Taken later, to be written and to be read.
        let written = mm.pin_page(at + 2 * PAGE_SIZE, true)?;
        let read = mm.pin_page(at + 3 * PAGE_SIZE, false)?;
        held.fill(0, 1, 77)?;
        written.fill(0, 1, 78)?;
        drop(held);
        drop(written);
        assert_eq!((gone(&mm), look(&mm, at)), (5, [0, 77, 78, 4, 0, 0, 0, 0]));
        drop(read);
        assert_eq!(gone(&mm), 0);
        // A debugger writes where the program may not.
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        mm.mprotect(at, LEN, uapi::PROT_READ)?;
        assert_eq!(mm.write(at + PAGE_SIZE, &[5], true), 1);
        assert_eq!((gone(&mm), look(&mm, at)), (2, [0, 5, 0, 0, 0, 0, 0, 0]));
        Ok(())
    }

    #[test]
    fn changes_of_the_map() -> Result {
        let (mm, at) = space()?;
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        mm.mprotect(at, LEN, uapi::PROT_NONE)?;
        mm.mprotect(at, LEN, uapi::PROT_READ)?;
        mm.mprotect(at, LEN, RW)?;
        assert_eq!((shown(&mm, at), look(&mm, at)), ((8, 8), NUMBERS));
        let to = mm.mremap(at, LEN, LEN, uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED, at - (64 << 20))?;
        assert_eq!((shown(&mm, to), mm.table.rss(Kind::Lazy)), ((8, 8), PAGES));
        // What is written is not forgotten when it is no more to be seen.
        assert_eq!(mm.write(to, &[9], false), 1);
        mm.clear_soft_dirty();
        let words = |mm: &Mm| {
            let mut words = [0; PAGES];
            mm.pagemap(to, &mut words, false);
            words.map(|word: u64| word & SOFT_DIRTY != 0)
        };
        assert_eq!(words(&mm), [false; PAGES]);
        mm.madvise(to + PAGE_SIZE, PAGE_SIZE, uapi::MADV_DONTNEED)?;
        mm.munmap(to + 2 * PAGE_SIZE, PAGE_SIZE)?;
        assert_eq!(mm.table.rss(Kind::Lazy), 5);
        assert_eq!((gone(&mm), look(&mm, to)), (5, [9, 0, 0, 0, 0, 0, 0, 0]));
        // That it was written is known as before.
        assert_eq!(mm.write(to + 4 * PAGE_SIZE, &[9], false), 1);
        mm.madvise(to + 4 * PAGE_SIZE, PAGE_SIZE, uapi::MADV_FREE)?;
        assert!(words(&mm)[4]);
        Ok(())
    }

    #[test]
    fn children_lose_their_own() -> Result {
        let (mm, at) = space()?;
        mm.madvise(at, LEN / 2, uapi::MADV_FREE)?;
        let child = mm.fork()?;
        assert_eq!((mm.table.rss(Kind::Lazy), child.table.rss(Kind::Lazy)), (4, 4));
        // Each copies before it writes.
        assert_eq!((mm.write(at, &[9], false), child.write(at + PAGE_SIZE, &[8], false)), (1, 1));
        assert_eq!((gone(&child), look(&child, at)), (3, [0, 8, 0, 0, 5, 6, 7, 8]));
        assert_eq!(look(&mm, at), [9, 2, 3, 4, 5, 6, 7, 8]);
        // Of what both have the child keeps its own.
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        assert_eq!((gone(&mm), look(&mm, at)), (8, [0; PAGES]));
        assert_eq!(look(&child, at), [0, 8, 0, 0, 5, 6, 7, 8]);
        Ok(())
    }

    #[test]
    fn locked_memory_stays() -> Result {
        let (mm, at) = space()?;
        mm.madvise(at, LEN, uapi::MADV_FREE)?;
        // Bringing it in to be written is needing it.
        mm.mlock(at, PAGE_SIZE, false)?;
        mm.mlock(at + PAGE_SIZE, PAGE_SIZE, true)?;
        assert_eq!(mm.madvise(at, LEN, uapi::MADV_FREE), Err(EINVAL));
        assert_eq!((gone(&mm), look(&mm, at)), (6, [1, 2, 0, 0, 0, 0, 0, 0]));
        mm.munlock(at, LEN)?;
        assert_eq!((gone(&mm), look(&mm, at)), (1, [1, 0, 0, 0, 0, 0, 0, 0]));
        Ok(())
    }

    #[test]
    fn pageout_takes_it_at_once() -> Result {
        let (mm, at) = space()?;
        mm.madvise(at, LEN / 2, uapi::MADV_FREE)?;
        mm.madvise(at, LEN, uapi::MADV_COLD)?;
        assert_eq!(look(&mm, at), NUMBERS);
        crate::swap::madvise(&mm, at + PAGE_SIZE, LEN - PAGE_SIZE, uapi::MADV_PAGEOUT)?;
        assert_eq!(look(&mm, at), [1, 0, 0, 0, 5, 6, 7, 8]);
        Ok(())
    }
}
