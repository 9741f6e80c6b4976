// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: huge mappings, made and taken apart, in address spaces that nobody runs in. They need blocks of 2 MB;
//! where there are none left they see nothing.

#[macros::kunit_tests(mm_huge)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::flags::Prot;
    use crate::huge::HugeMode;
    use crate::kunit_asked::Asked;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::proc::SmapsInfo;
    use errno::{Result, code::*};
    use kalloc::Arc;
    use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
    use mm_alloc::stat::{self, Item};
    use x86_mm::Kind;
    use x86_mm::huge::Room;

    const PAGES: usize = PMD_SIZE / PAGE_SIZE;
    const RW: u32 = uapi::PROT_READ | uapi::PROT_WRITE;

    fn space() -> Result<Arc<Mm>> {
        Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })
    }

    /// A mapping of which `count` times 2 MB from the result on are aligned.
    fn map(mm: &Mm, count: usize) -> Result<usize> {
        let (len, flags) = ((count + 1) * PMD_SIZE, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS);
        let at = mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: None, pgoff: 0 })?;
        mm.madvise(at, len, uapi::MADV_HUGEPAGE)?;
        Ok(at.next_multiple_of(PMD_SIZE))
    }

    /// An address space with 2 MB that are mapped at once, each page with its number in its first two bytes; `None` without a
    /// block.
    fn mapped() -> Result<Option<(Arc<Mm>, usize)>> {
        let mm = space()?;
        let at = map(&mm, 2)?;
        for page in 0..PAGES {
            let number = (page as u16).to_le_bytes();
            assert_eq!(mm.write(at + page * PAGE_SIZE, &number, false), 2);
        }
        Ok((mm.table.room(at) == Room::Huge).then_some((mm, at)))
    }

    fn number(mm: &Mm, at: usize, page: usize) -> Option<u16> {
        let mut bytes = [0u8; 2];
        (mm.read(at + page * PAGE_SIZE, &mut bytes, false) == 2).then_some(u16::from_le_bytes(bytes))
    }

    /// Whether the pages of `range` have their numbers.
    fn intact(mm: &Mm, at: usize, mut range: core::ops::Range<usize>) -> bool {
        range.all(|page| number(mm, at, page) == Some(page as u16))
    }

    fn anon_huge(mm: &Mm) -> u64 {
        let mut info = SmapsInfo::default();
        mm.smaps(0, usize::MAX, &mut info);
        info.anon_huge
    }

    #[test]
    fn one_fault_brings_in_all() -> Result {
        let _asked = Asked::new();
        let (before, faults) = (stat::get(Item::AnonHuge), stat::get(Item::ThpFaultAlloc));
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        assert_eq!(mm.table.rss(Kind::Anon), PAGES);
        assert_eq!(stat::get(Item::ThpFaultAlloc), faults + 1);
        assert_eq!((stat::get(Item::AnonHuge), anon_huge(&mm)), (before + 1, PMD_SIZE as u64));
        let first = mm.table.query(at);
        for page in 0..PAGES {
            let entry = mm.table.query(at + page * PAGE_SIZE);
            assert!(entry.is_huge() && entry.is_writable() && entry.is_dirty() && !entry.is_special());
            assert_eq!(entry.phys(), first.phys() + (page * PAGE_SIZE) as u64);
        }
        assert!(intact(&mm, at, 0..PAGES));
        // Looking at it, and the other ways in, leave it whole.
        let mut bits = [0u64; 4];
        mm.pagemap(at + 3 * PAGE_SIZE, &mut bits, true);
        assert!(bits.iter().all(|bits| bits >> 63 == 1 && bits >> 56 & 1 == 1));
        assert_eq!(bits[1] & 0xffff_ffff, (first.phys() + 4 * PAGE_SIZE as u64) / PAGE_SIZE as u64);
        let mut there = [0u8; 4];
        mm.mincore(at, &mut there)?;
        assert_eq!((there, mm.table.room(at)), ([1; 4], Room::Huge));
        // Three levels above the pages, and the table for a split.
        assert_eq!(mm.table.table_bytes(), 4 * PAGE_SIZE);
        mm.munmap(at, PMD_SIZE)?;
        assert!(mm.rss() == 0 && mm.table.table_bytes() <= 3 * PAGE_SIZE);
        assert_eq!(stat::get(Item::AnonHuge), before);
        Ok(())
    }

    #[test]
    fn a_part_goes() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        let splits = stat::get(Item::ThpSplitPmd);
        mm.munmap(at + 7 * PAGE_SIZE, 2 * PAGE_SIZE)?;
        assert_eq!((mm.rss(), mm.table.room(at), anon_huge(&mm)), (PAGES - 2, Room::Table, 0));
        assert_eq!(stat::get(Item::ThpSplitPmd), splits + 1);
        assert!(intact(&mm, at, 0..7) && intact(&mm, at, 9..PAGES));
        assert_eq!(number(&mm, at, 7), None);
        mm.madvise(at, PAGE_SIZE, uapi::MADV_DONTNEED)?;
        assert_eq!((number(&mm, at, 0), mm.rss()), (Some(0), PAGES - 3));
        assert_eq!(mm.table.table_bytes(), 4 * PAGE_SIZE);
        mm.munmap(at, PMD_SIZE)?;
        assert!(mm.rss() == 0 && mm.table.table_bytes() <= 3 * PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn all_of_it_goes() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        // Who holds a page keeps that one.
        let page = mm.pin_page(at + 5 * PAGE_SIZE, true)?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_DONTNEED)?;
        assert_eq!((mm.rss(), mm.table.room(at)), (0, Room::Free));
        let mut bytes = [0u8; 2];
        page.read(0, &mut bytes)?;
        assert_eq!((u16::from_le_bytes(bytes), page.ref_count()), (5, 1));
        drop(page);
        assert_eq!(number(&mm, at, 5), Some(0));
        assert!(mm.oom_reap());
        assert_eq!((mm.rss(), anon_huge(&mm)), (0, 0));
        Ok(())
    }

    #[test]
    fn rights_change() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        // All of it: it stays whole, and is writable again at the first write.
        mm.mprotect(at, PMD_SIZE, uapi::PROT_NONE)?;
        assert_eq!((number(&mm, at, 1), mm.table.room(at)), (None, Room::Huge));
        mm.mprotect(at, PMD_SIZE, RW)?;
        assert!(!mm.table.query(at).is_writable());
        assert_eq!(mm.write(at + 2, &[1], false), 1);
        assert!(mm.table.query(at + PMD_SIZE - 1).is_writable() && mm.table.query(at).is_huge());
        // So it is if somebody has a page: it is the program's own still, and who has it sees what is written.
        let page = mm.pin_page(at + PAGE_SIZE, false)?;
        mm.mprotect(at, PMD_SIZE, uapi::PROT_READ)?;
        mm.mprotect(at, PMD_SIZE, RW)?;
        assert_eq!(mm.write(at + PAGE_SIZE + 2, &[9], false), 1);
        assert_eq!((mm.table.room(at), page.read_u64(0) >> 16 & 0xff), (Room::Huge, 9));
        drop(page);
        assert!(intact(&mm, at, 0..PAGES));
        Ok(())
    }

    #[test]
    fn a_part_gets_other_rights() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.mprotect(at + 100 * PAGE_SIZE, PAGE_SIZE, uapi::PROT_READ)?;
        assert_eq!((mm.table.room(at), mm.rss()), (Room::Table, PAGES));
        assert_eq!(mm.write(at + 100 * PAGE_SIZE, &[1], false), 0);
        assert_eq!(mm.write(at + 101 * PAGE_SIZE + 2, &[1], false), 1);
        assert!(intact(&mm, at, 0..PAGES));
        let entry = mm.table.query(at + 101 * PAGE_SIZE);
        assert!(entry.is_writable() && entry.is_dirty() && !entry.is_huge());
        // No huge mapping reaches across the end of a mapping, though its pages stay as they are.
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.madvise(at + 9 * PAGE_SIZE, PMD_SIZE, uapi::MADV_DONTDUMP)?;
        assert_eq!((mm.table.room(at), anon_huge(&mm)), (Room::Table, 0));
        assert!(intact(&mm, at, 0..PAGES));
        Ok(())
    }

    #[test]
    fn marks_outlive_a_split() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.clear_refs(true, false);
        let entry = mm.table.query(at + PAGE_SIZE);
        assert!(entry.is_huge() && !entry.is_accessed() && entry.is_dirty());
        mm.table.split_huge_at(at + PAGE_SIZE);
        for page in [0, 1, PAGES - 1] {
            let entry = mm.table.query(at + page * PAGE_SIZE);
            assert!(!entry.is_huge() && !entry.is_accessed() && entry.is_dirty() && entry.is_soft_dirty());
        }
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.clear_soft_dirty();
        assert_eq!(mm.write(at + 3 * PAGE_SIZE + 2, &[1], false), 1);
        assert!(mm.table.query(at + 3 * PAGE_SIZE).is_soft_dirty());
        assert!(!mm.table.query(at + 4 * PAGE_SIZE).is_soft_dirty());
        assert!(intact(&mm, at, 0..PAGES));
        Ok(())
    }

    #[test]
    fn fork_copies_on_write() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        // Both have it whole; who writes gets pages, of which one is a copy.
        let whole = PMD_SIZE as u64;
        let child = mm.fork()?;
        assert_eq!((child.rss(), anon_huge(&mm), anon_huge(&child)), (PAGES, whole, whole));
        assert!(!mm.table.query(at).is_writable() && intact(&child, at, 0..PAGES));
        assert_eq!(child.write(at, &[0xdd; 2], false), 2);
        assert_eq!((number(&mm, at, 0), number(&child, at, 0)), (Some(0), Some(0xdddd)));
        assert_eq!((child.rss(), anon_huge(&mm), anon_huge(&child)), (PAGES, whole, 0));
        let grandchild = child.fork()?;
        drop(child);
        assert!(intact(&mm, at, 0..PAGES) && intact(&grandchild, at, 1..PAGES));
        assert_eq!(number(&grandchild, at, 0), Some(0xdddd));
        // Once it is alone it writes to it as before.
        drop(grandchild);
        assert_eq!(mm.write(at + 2, &[1], false), 1);
        assert!(mm.table.query(at).is_huge() && mm.table.query(at + 9 * PAGE_SIZE).is_writable());
        let child = mm.fork()?;
        assert_eq!(mm.write(at, &[0xff; 2], false), 2);
        assert_eq!(child.write(at + PAGE_SIZE, &[0xee; 2], false), 2);
        assert_eq!((number(&mm, at, 0), number(&child, at, 0)), (Some(0xffff), Some(0)));
        assert_eq!((number(&mm, at, 1), number(&child, at, 1)), (Some(1), Some(0xeeee)));
        drop(mm);
        assert!(intact(&child, at, 2..PAGES));
        Ok(())
    }

    #[test]
    fn it_moves() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        // To another multiple of 2 MB: as it is.
        let to = at - 64 * PMD_SIZE;
        let flags = uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED;
        assert_eq!(mm.mremap(at, PMD_SIZE, PMD_SIZE, flags, to)?, to);
        assert_eq!((mm.table.room(to), mm.table.room(at)), (Room::Huge, Room::Free));
        assert!(intact(&mm, to, 0..PAGES));
        assert_eq!(number(&mm, at, 1), None);
        // Elsewhere page by page.
        let other = to - 8 * PMD_SIZE + PAGE_SIZE;
        assert_eq!(mm.mremap(to, PMD_SIZE, PMD_SIZE, flags, other)?, other);
        assert!(intact(&mm, other, 0..PAGES));
        assert_eq!((mm.rss(), anon_huge(&mm)), (PAGES, 0));
        mm.munmap(other, PMD_SIZE)?;
        assert_eq!(mm.rss(), 0);
        Ok(())
    }

    #[test]
    fn pages_are_put_together() -> Result {
        let _asked = Asked::new();
        if mapped()?.is_none() {
            kunit::kunit_skip!("no 2 MB in one piece");
        }
        let mm = space()?;
        let at = map(&mm, 3)?;
        HugeMode::Never.set()?;
        assert_eq!(mm.madvise(at, PMD_SIZE, uapi::MADV_COLLAPSE), Err(EINVAL));
        // Every third is there, every other third is a page of zeros.
        for page in 0..PAGES {
            match page % 3 {
                0 => assert_eq!(mm.write(at + page * PAGE_SIZE, &(page as u16).to_le_bytes(), false), 2),
                1 => assert_eq!(number(&mm, at, page), Some(0)),
                _ => {}
            }
        }
        let there = PAGES.div_ceil(3);
        assert_eq!((mm.rss(), mm.table.room(at)), (there, Room::Table));
        let pinned = mm.pin_page(at, false)?;
        assert_eq!(mm.madvise(at, PMD_SIZE, uapi::MADV_COLLAPSE), Err(EAGAIN));
        drop(pinned);
        let child = mm.fork()?;
        let bytes = mm.table.table_bytes();
        mm.madvise(at, PMD_SIZE, uapi::MADV_COLLAPSE)?;
        assert_eq!((child.rss(), number(&child, at, 6)), (there, Some(6)));
        drop(child);
        assert_eq!((mm.table.room(at), mm.rss(), anon_huge(&mm)), (Room::Huge, PAGES, PMD_SIZE as u64));
        assert_eq!(mm.table.table_bytes(), bytes);
        for page in 0..PAGES {
            assert_eq!(number(&mm, at, page), Some(if page % 3 == 0 { page as u16 } else { 0 }));
        }
        // What is whole stays so, and comes apart as any other.
        mm.madvise(at + PMD_SIZE - PAGE_SIZE, 2 * PAGE_SIZE, uapi::MADV_COLLAPSE)?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_COLLAPSE)?;
        mm.munmap(at + 3 * PAGE_SIZE, PAGE_SIZE)?;
        assert_eq!((mm.table.room(at), mm.rss(), number(&mm, at, 6)), (Room::Table, PAGES - 1, Some(6)));
        assert_eq!(mm.madvise(at, PMD_SIZE, uapi::MADV_COLLAPSE), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn who_gets_none() -> Result {
        let _asked = Asked::new();
        let one = |mm: &Mm, at: usize| -> Result<Option<usize>> {
            let before = mm.rss();
            assert_eq!(mm.write(at, &[1], false), 1);
            Ok(mm.rss().checked_sub(before))
        };
        let mm = space()?;
        let at = map(&mm, 4)?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_NOHUGEPAGE)?;
        assert_eq!(one(&mm, at)?, Some(1));
        HugeMode::Never.set()?;
        assert_eq!(one(&mm, at + PMD_SIZE)?, Some(1));
        HugeMode::Always.set()?;
        assert_eq!(one(&mm, at + PAGE_SIZE)?, Some(1));
        mm.disable_huge_pages(true);
        assert_eq!(one(&mm, at + 2 * PMD_SIZE)?, Some(1));
        assert!(mm.fork()?.huge_pages_disabled());
        // Where pages are already.
        mm.disable_huge_pages(false);
        assert_eq!(one(&mm, at + 2 * PMD_SIZE + PAGE_SIZE)?, Some(1));
        Ok(())
    }

    #[test]
    fn zeros_need_no_memory() -> Result {
        let _asked = Asked::new();
        let before = stat::get(Item::AnonHuge);
        let mm = space()?;
        let at = map(&mm, 2)?;
        let other = at + PMD_SIZE;
        assert!((0..PAGES).all(|page| number(&mm, at, page) == Some(0)) && number(&mm, other, 9) == Some(0));
        if !mm.table.has_huge_zeros(at) || !mm.table.has_huge_zeros(other) {
            kunit::kunit_skip!("no 2 MB in one piece");
        }
        assert_eq!((mm.rss(), anon_huge(&mm), stat::get(Item::AnonHuge)), (0, 0, before));
        let page = mm.pin_page(at + 5 * PAGE_SIZE, false)?;
        assert!(page.phys() == x86_mm::table::zero_page().phys());
        // Who writes gets a page.
        assert_eq!(mm.write(at + 7 * PAGE_SIZE, &7u16.to_le_bytes(), false), 2);
        assert_eq!((mm.rss(), mm.table.room(at), mm.table.room(other)), (1, Room::Table, Room::Huge));
        let child = mm.fork()?;
        assert!(child.table.has_huge_zeros(other) && number(&child, at, 7) == Some(7));
        assert_eq!((child.rss(), child.write(other, &[1], false), child.rss()), (1, 1, 2));
        assert_eq!(number(&mm, other, 0), Some(0));
        // Rights come and go; written it is nowhere.
        mm.mprotect(other, PMD_SIZE, uapi::PROT_NONE)?;
        mm.mprotect(other, PMD_SIZE, RW)?;
        mm.clear_soft_dirty();
        assert!(mm.table.has_huge_zeros(other) && !mm.table.query(other).is_writable());
        mm.madvise(other, PMD_SIZE, uapi::MADV_COLLAPSE)?;
        assert_eq!((mm.rss(), mm.write(other + PAGE_SIZE, &[1], false), mm.rss()), (1, 1, 2));
        mm.munmap(at, 2 * PMD_SIZE)?;
        assert_eq!(mm.rss(), 0);
        Ok(())
    }

    #[test]
    fn what_is_not_needed_goes_whole_or_in_part() -> Result {
        let _asked = Asked::new();
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.madvise(at, PMD_SIZE, uapi::MADV_FREE)?;
        let mut info = SmapsInfo::default();
        mm.smaps(at, at + PMD_SIZE, &mut info);
        assert_eq!((info.lazy_free, info.anon_huge), (PMD_SIZE as u64, PMD_SIZE as u64));
        assert!(intact(&mm, at, 0..PAGES));
        let child = mm.fork()?;
        assert_eq!((mm.drop_lazy_once().gone, mm.table.room(at)), (PAGES, Room::Free));
        // What a child has it keeps until its own turn.
        assert_eq!((child.table.rss(Kind::Lazy), child.table.room(at)), (PAGES, Room::Huge));
        assert!(intact(&child, at, 0..PAGES));
        assert_eq!(child.write(at + 9 * PAGE_SIZE, &[9], false), 1);
        child.drop_lazy_once();
        assert_eq!(number(&child, at, 9), Some(9));
        drop(child);
        // A part of one.
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        mm.madvise(at + 10 * PAGE_SIZE, 20 * PAGE_SIZE, uapi::MADV_FREE)?;
        assert_eq!((mm.table.room(at), mm.table.rss(Kind::Lazy)), (Room::Table, 20));
        assert_eq!(mm.write(at + 12 * PAGE_SIZE, &[12], false), 1);
        assert_eq!(mm.drop_lazy_once().gone, 19);
        assert!(intact(&mm, at, 0..10) && intact(&mm, at, 30..PAGES) && number(&mm, at, 12) == Some(12));
        assert!((13..30).all(|page| number(&mm, at, page) == Some(0)));
        // One that is shared is left alone, and one that somebody holds a page of.
        let Some((mm, at)) = mapped()? else { kunit::kunit_skip!("no 2 MB in one piece") };
        let held = mm.pin_page(at + 3 * PAGE_SIZE, true)?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_FREE)?;
        drop(held);
        let child = mm.fork()?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_FREE)?;
        mm.madvise(at, PAGE_SIZE, uapi::MADV_FREE)?;
        assert_eq!((mm.table.rss(Kind::Lazy), mm.table.room(at)), (0, Room::Huge));
        drop(child);
        // Written again as a whole.
        mm.madvise(at, PMD_SIZE, uapi::MADV_FREE)?;
        assert_eq!(mm.table.rss(Kind::Lazy), PAGES);
        assert_eq!(mm.write(at, &[0], false), 1);
        assert_eq!((mm.table.rss(Kind::Lazy), mm.drop_lazy_once().gone), (0, 0));
        assert!(intact(&mm, at, 0..PAGES));
        Ok(())
    }

    #[test]
    fn nothing_leaks() -> Result {
        let _asked = Asked::new();
        let round = || -> Result {
            let Some((mm, at)) = mapped()? else { return Ok(()) };
            let Some((other, there)) = mapped()? else { return Ok(()) };
            other.munmap(there + PAGE_SIZE, PAGE_SIZE)?;
            let child = other.fork()?;
            assert_eq!(child.write(there, &[1], false), 1);
            // One goes as a whole with its address space, one in pieces.
            drop((mm, at));
            Ok(())
        };
        round()?;
        let before = crate::meminfo().free;
        for _ in 0..20 {
            round()?;
        }
        assert!(before.abs_diff(crate::meminfo().free) < 300);
        Ok(())
    }
}
