// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: what `khugepaged` puts together, and what it leaves alone.

#[macros::kunit_tests(mm_khugepaged)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::flags::Prot;
    use crate::huge::HugeMode;
    use crate::huge::khugepaged::{MAX_NONE, MAX_SHARED, enter, leave, look_at};
    use crate::kunit_asked::Asked;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use core::sync::atomic::{AtomicU32, Ordering};
    use errno::{Result, code::*};
    use kalloc::Arc;
    use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
    use mm_alloc::stat::{self, Item};
    use x86_mm::huge::Room;

    const PAGES: usize = PMD_SIZE / PAGE_SIZE;

    /// A limit that is another while a test runs.
    struct Changed(&'static AtomicU32, u32);

    impl Changed {
        fn new(limit: &'static AtomicU32, value: u32) -> Self {
            Self(limit, limit.swap(value, Ordering::Relaxed))
        }
    }

    impl Drop for Changed {
        fn drop(&mut self) {
            self.0.store(self.1, Ordering::Relaxed);
        }
    }

    /// An address space, and the first of 2 MB of which every third page has its number in it.
    fn space() -> Result<(Arc<Mm>, usize)> {
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        let (len, flags) = (2 * PMD_SIZE, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS);
        let start = mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: None, pgoff: 0 })?;
        let at = start.next_multiple_of(PMD_SIZE);
        for page in (0..PAGES).step_by(3) {
            assert_eq!(mm.write(at + page * PAGE_SIZE, &(page as u16).to_le_bytes(), false), 2);
        }
        mm.madvise(start, len, uapi::MADV_HUGEPAGE)?;
        Ok((mm, at))
    }

    fn intact(mm: &Mm, at: usize) -> bool {
        (0..PAGES).all(|page| {
            let mut bytes = [0u8; 2];
            let wanted = if page % 3 == 0 { page as u16 } else { 0 };
            mm.read(at + page * PAGE_SIZE, &mut bytes, false) == 2 && u16::from_le_bytes(bytes) == wanted
        })
    }

    /// [`look_at`]; `None` without a block.
    fn collapsed(mm: &Arc<Mm>) -> Result<Option<usize>> {
        match look_at(mm) {
            Err(ENOMEM) => Ok(None),
            other => other.map(Some),
        }
    }

    #[test]
    fn what_is_worth_it() -> Result {
        let _asked = Asked::new();
        let (mm, at) = space()?;
        assert_eq!(mm.table.room(at), Room::Table);
        {
            let _few = Changed::new(&MAX_NONE, 300);
            let before = stat::get(Item::ThpScanExceedNone);
            assert_eq!(collapsed(&mm)?, Some(0));
            assert!(stat::get(Item::ThpScanExceedNone) > before);
        }
        // What is not in use is left alone.
        mm.clear_refs(true, false);
        assert_eq!((collapsed(&mm)?, mm.table.room(at)), (Some(0), Room::Table));
        assert_eq!(mm.write(at + PAGE_SIZE, &[0], false), 1);
        let Some(done) = collapsed(&mm)? else { kunit::kunit_skip!("no 2 MB in one piece") };
        assert_eq!((done, mm.table.room(at), mm.rss()), (1, Room::Huge, PAGES));
        assert!(intact(&mm, at));
        assert_eq!(collapsed(&mm)?, Some(0));
        mm.munmap(at, PMD_SIZE)?;
        assert_eq!((mm.rss(), collapsed(&mm)?), (0, Some(0)));
        Ok(())
    }

    #[test]
    fn what_is_shared() -> Result {
        let _asked = Asked::new();
        let (mm, at) = space()?;
        let child = mm.fork()?;
        assert_eq!(mm.write(at, &[0; 2], false), 2);
        {
            let _none = Changed::new(&MAX_SHARED, 0);
            let before = stat::get(Item::ThpScanExceedShare);
            assert_eq!(collapsed(&mm)?, Some(0));
            assert!(stat::get(Item::ThpScanExceedShare) > before);
        }
        // A page that somebody has for a transfer stays where it is.
        let page = mm.pin_page(at, true)?;
        assert_eq!(collapsed(&mm)?, Some(0));
        drop(page);
        let Some(done) = collapsed(&mm)? else { kunit::kunit_skip!("no 2 MB in one piece") };
        assert_eq!((done, mm.table.room(at), child.table.room(at)), (1, Room::Huge, Room::Table));
        assert!(intact(&mm, at) && intact(&child, at));
        Ok(())
    }

    #[test]
    fn who_wants_none() -> Result {
        let _asked = Asked::new();
        let (mm, at) = space()?;
        mm.disable_huge_pages(true);
        assert_eq!(collapsed(&mm)?, Some(0));
        mm.disable_huge_pages(false);
        mm.madvise(at, PMD_SIZE, uapi::MADV_NOHUGEPAGE)?;
        assert_eq!(collapsed(&mm)?, Some(0));
        HugeMode::Never.set()?;
        mm.madvise(at, PMD_SIZE, uapi::MADV_HUGEPAGE)?;
        assert_eq!((collapsed(&mm)?, mm.table.room(at)), (Some(0), Room::Table));
        Ok(())
    }

    #[test]
    fn the_list() -> Result {
        let _asked = Asked::new();
        let (mm, _) = space()?;
        enter(&mm);
        assert!(mm.scanned.load(Ordering::Relaxed));
        let child = mm.fork()?;
        assert!(child.scanned.load(Ordering::Relaxed));
        // Who has it besides keeps it there, unless the thread just lets go of it: then its next fault enters it again.
        let other = mm.clone();
        let stays = || {
            enter(&mm);
            leave(&mm);
            mm.scanned.load(Ordering::Relaxed)
        };
        assert!((0..100).any(|_| stays()));
        drop(other);
        leave(&mm);
        assert!(!mm.scanned.load(Ordering::Relaxed));
        assert_eq!(Arc::strong_count(&mm), 1);
        enter(&mm);
        drop((mm, child));
        Ok(())
    }
}
