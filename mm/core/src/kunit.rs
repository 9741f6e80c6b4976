// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: address spaces that nobody runs in, used through the access from elsewhere, which faults as a program would.

#[macros::kunit_tests(mm)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::file::VmFile;
    use crate::flags::Prot;
    use crate::kunit_file::{Open, Shown};
    use crate::mapping::Mapping;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::shmem::anon_shared;
    use core::sync::atomic::{AtomicBool, Ordering};
    use errno::{Result, code::*};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use mm_alloc::layout::PAGE_SIZE;
    use x86_mm::Kind;

    const PRIVATE: u32 = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
    const SHARED: u32 = uapi::MAP_SHARED | uapi::MAP_ANONYMOUS;
    const MIB: usize = 1 << 20;

    fn space() -> Result<Arc<Mm>> {
        Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })
    }

    fn map(mm: &Mm, len: usize, prot: Prot, flags: u32) -> Result<usize> {
        mm.mmap(MapArgs { addr: 0, len, prot, flags, file: None, pgoff: 0 })
    }

    fn map_file(mm: &Mm, file: &Arc<dyn VmFile>, len: usize, flags: u32) -> Result<usize> {
        mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: Some(file.clone()), pgoff: 0 })
    }

    fn byte(mm: &Mm, addr: usize) -> Option<u8> {
        let mut one = [0u8];
        (mm.read(addr, &mut one, false) == 1).then_some(one[0])
    }

    fn set(mm: &Mm, addr: usize, value: u8) -> bool {
        mm.write(addr, &[value], false) == 1
    }

    #[test]
    fn zero_page_then_own_page() -> Result {
        let mm = space()?;
        let at = map(&mm, MIB, Prot::RW, PRIVATE)?;
        assert_eq!(byte(&mm, at + 5), Some(0));
        assert_eq!(mm.rss(), 0);
        assert!(set(&mm, at + 5, 7));
        assert_eq!(byte(&mm, at + 5), Some(7));
        assert_eq!(mm.table.rss(Kind::Anon), 1);
        mm.munmap(at, MIB)?;
        assert_eq!(byte(&mm, at + 5), None);
        assert_eq!(mm.rss(), 0);
        assert_eq!(mm.table.table_bytes(), PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn fork_copies_on_write() -> Result {
        let parent = space()?;
        let at = map(&parent, 4 * MIB, Prot::RW, PRIVATE)?;
        // Page by page; without huge pages it is EINVAL, which is as good.
        let _ = parent.madvise(at, 4 * MIB, uapi::MADV_NOHUGEPAGE);
        for page in 0..600 {
            assert!(set(&parent, at + page * PAGE_SIZE, page as u8));
        }
        let child = parent.fork()?;
        assert_eq!(child.rss(), 600);
        assert!(set(&child, at, 99));
        assert!(set(&parent, at + PAGE_SIZE, 98));
        assert_eq!((byte(&parent, at), byte(&child, at)), (Some(0), Some(99)));
        assert_eq!((byte(&parent, at + PAGE_SIZE), byte(&child, at + PAGE_SIZE)), (Some(98), Some(1)));
        drop(child);
        for page in 2..600 {
            assert_eq!(byte(&parent, at + page * PAGE_SIZE), Some(page as u8));
            assert!(set(&parent, at + page * PAGE_SIZE, 1));
        }
        Ok(())
    }

    #[test]
    fn shared_memory_is_shared() -> Result {
        let parent = space()?;
        let at = map(&parent, MIB, Prot::RW, SHARED)?;
        assert!(set(&parent, at, 1));
        let child = parent.fork()?;
        assert_eq!(byte(&child, at), Some(1));
        assert!(set(&child, at + 9, 2));
        assert_eq!(byte(&parent, at + 9), Some(2));
        assert_eq!(parent.futex_key(at + 8, true)?, child.futex_key(at + 8, true)?);
        assert_ne!(parent.futex_key(at + 8, false)?, child.futex_key(at + 8, false)?);
        Ok(())
    }

    #[test]
    fn truncation_takes_pages_away() -> Result {
        let mm = space()?;
        let file = anon_shared(MIB as u64)?;
        let shared = map_file(&mm, &file, MIB, uapi::MAP_SHARED)?;
        let private = map_file(&mm, &file, MIB, uapi::MAP_PRIVATE)?;
        assert!(set(&mm, shared + 3 * PAGE_SIZE, 5));
        assert_eq!(byte(&mm, private + 3 * PAGE_SIZE), Some(5));
        assert!(set(&mm, private + 3 * PAGE_SIZE, 6));
        assert_eq!(byte(&mm, shared + 3 * PAGE_SIZE), Some(5));
        assert!(set(&mm, shared + 100, 8));
        let mapping = file.mapping().ok_or(ENODEV)?;
        mapping.truncate(50);
        assert_eq!(mapping.page_count(), 1);
        assert_eq!(byte(&mm, shared + 100), Some(0));
        assert_eq!(byte(&mm, shared + 3 * PAGE_SIZE), None);
        assert_eq!(byte(&mm, private + 3 * PAGE_SIZE), None);
        mapping.set_size(MIB as u64);
        assert_eq!(byte(&mm, shared + 3 * PAGE_SIZE), Some(0));
        Ok(())
    }

    /// A file that has other cached pages after a while, as one of overlayfs that is copied up.
    struct Moves {
        files: [Arc<dyn VmFile>; 2],
        moved: AtomicBool,
    }

    impl Shown for Moves {
        fn mapping(&self) -> Option<&Arc<Mapping>> {
            let [first, second] = &self.files;
            if self.moved.load(Ordering::Relaxed) { second.mapping() } else { first.mapping() }
        }
    }

    #[test]
    fn mapped_pages_stay() -> Result {
        let mm = space()?;
        let files = [anon_shared(MIB as u64)?, anon_shared(MIB as u64)?];
        let old = map_file(&mm, &files[0], MIB, uapi::MAP_SHARED)?;
        assert!(set(&mm, old, 1) && set(&mm, old + PAGE_SIZE, 2) && set(&mm, old + 2 * PAGE_SIZE, 3));
        let moves = Arc::new(Open(Moves { files, moved: AtomicBool::new(false) }), GFP_KERNEL)?;
        let file: Arc<dyn VmFile> = moves.clone();
        let at = map_file(&mm, &file, 2 * PAGE_SIZE, uapi::MAP_SHARED)?;
        assert_eq!(byte(&mm, at), Some(1));
        moves.0.moved.store(true, Ordering::Relaxed);
        // Neither what is brought in later, nor a part, nor a child's copy follows.
        assert_eq!(byte(&mm, at + PAGE_SIZE), Some(2));
        mm.mprotect(at + PAGE_SIZE, PAGE_SIZE, uapi::PROT_READ)?;
        let child = mm.fork()?;
        assert_eq!((byte(&child, at), byte(&child, at + PAGE_SIZE)), (Some(1), Some(2)));
        assert_eq!(mm.futex_key(at, true)?, mm.futex_key(old, true)?);
        // What is mapped now shows the new pages, and does not join the old ones.
        mm.munmap(at + PAGE_SIZE, PAGE_SIZE)?;
        let flags = uapi::MAP_SHARED | uapi::MAP_FIXED;
        let (addr, file) = (at + PAGE_SIZE, Some(file));
        mm.mmap(MapArgs { addr, len: PAGE_SIZE, prot: Prot::RW, flags, file, pgoff: 1 })?;
        assert_eq!((byte(&mm, at), byte(&mm, addr)), (Some(1), Some(0)));
        Ok(())
    }

    #[test]
    fn protection_changes() -> Result {
        let mm = space()?;
        let at = map(&mm, MIB, Prot::RW, PRIVATE)?;
        assert!(set(&mm, at + PAGE_SIZE, 3));
        mm.mprotect(at + PAGE_SIZE, PAGE_SIZE, uapi::PROT_NONE)?;
        assert_eq!(byte(&mm, at + PAGE_SIZE), None);
        assert!(set(&mm, at, 4));
        mm.mprotect(at, MIB, uapi::PROT_READ)?;
        assert!(!set(&mm, at, 5));
        assert_eq!(byte(&mm, at + PAGE_SIZE), Some(3));
        // A debugger may write all the same, to a copy.
        assert_eq!(mm.write(at, &[9], true), 1);
        assert_eq!(byte(&mm, at), Some(9));
        // Nor does a child see it, or its parent what is written to the child.
        let child = mm.fork()?;
        assert_eq!((mm.write(at, &[10], true), child.write(at + 1, &[11], true)), (1, 1));
        assert_eq!((byte(&mm, at), byte(&mm, at + 1)), (Some(10), Some(0)));
        assert_eq!((byte(&child, at), byte(&child, at + 1)), (Some(9), Some(11)));
        drop(child);
        mm.mprotect(at, MIB, uapi::PROT_NONE)?;
        let child = mm.fork()?;
        assert_eq!(child.write(at, &[12], true), 1);
        mm.mprotect(at, MIB, uapi::PROT_READ)?;
        child.mprotect(at, MIB, uapi::PROT_READ)?;
        assert_eq!((byte(&mm, at), byte(&child, at)), (Some(10), Some(12)));
        drop(child);
        mm.mprotect(at, MIB, uapi::PROT_READ | uapi::PROT_WRITE)?;
        assert!(set(&mm, at + PAGE_SIZE, 6));
        assert_eq!(mm.inner.read().areas.len(), 1);
        assert_eq!(mm.mprotect(at, 2 * MIB, uapi::PROT_READ), Err(ENOMEM));
        Ok(())
    }

    #[test]
    fn remap_moves_and_grows() -> Result {
        let mm = space()?;
        let at = map(&mm, 4 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        for page in 0..4 {
            assert!(set(&mm, at + page * PAGE_SIZE, page as u8 + 1));
        }
        let to = mm.mremap(at, 4 * PAGE_SIZE, MIB, uapi::MREMAP_MAYMOVE, 0)?;
        for page in 0..4 {
            assert_eq!(byte(&mm, to + page * PAGE_SIZE), Some(page as u8 + 1));
        }
        assert!(set(&mm, to + MIB - 1, 7));
        assert_eq!(mm.mremap(to, MIB, PAGE_SIZE, 0, 0)?, to);
        assert_eq!(byte(&mm, to + PAGE_SIZE), None);
        assert_eq!(mm.rss(), 1);
        assert_eq!(mm.mremap(to, PAGE_SIZE, PAGE_SIZE, uapi::MREMAP_FIXED, at), Err(EINVAL));
        Ok(())
    }

    /// What is moved with private pages keeps its page offset; without, it is as if it had been made where it goes.
    #[test]
    fn moved_pages_keep_apart() -> Result {
        const FIXED: u32 = uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED;
        let mm = space()?;
        let at = map(&mm, 6 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        let places = || mm.inner.read().areas.len();
        mm.munmap(at + 2 * PAGE_SIZE, 2 * PAGE_SIZE)?;
        mm.mremap(at + 4 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, FIXED, at + 2 * PAGE_SIZE)?;
        assert_eq!(places(), 2);
        assert!(set(&mm, at + 5 * PAGE_SIZE, 1));
        assert!(set(&mm, at, 1));
        mm.mremap(at + 5 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, FIXED, at + 3 * PAGE_SIZE)?;
        assert_eq!(places(), 2);
        assert_eq!(byte(&mm, at + 3 * PAGE_SIZE), Some(1));
        Ok(())
    }

    /// Something changed that has private pages becomes no part of what has none; the other way round it does.
    #[test]
    fn pages_join_pages() -> Result {
        let mm = space()?;
        let at = map(&mm, 3 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        let places = || mm.inner.read().areas.len();
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ)?;
        assert!(set(&mm, at + PAGE_SIZE, 1));
        assert_eq!(places(), 2);
        mm.mprotect(at + PAGE_SIZE, 2 * PAGE_SIZE, uapi::PROT_READ)?;
        assert_eq!(places(), 2);
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ)?;
        assert_eq!(places(), 1);
        Ok(())
    }

    /// What got its first private pages apart stays apart, unless they could be one but for rights.
    #[test]
    fn pages_know_their_neighbours() -> Result {
        const FIXED: u32 = PRIVATE | uapi::MAP_FIXED;
        let mm = space()?;
        let at = map(&mm, 16 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        mm.munmap(at, 16 * PAGE_SIZE)?;
        let put = |mm: &Mm, page: usize, count: usize| -> Result {
            let (addr, len) = (at + page * PAGE_SIZE, count * PAGE_SIZE);
            mm.mmap(MapArgs { addr, len, prot: Prot::RW, flags: FIXED, file: None, pgoff: 0 }).map(drop)
        };
        let bounds = |mm: &Mm, page: usize| {
            let inner = mm.inner.read();
            let page_of = |addr: usize| (addr - at) / PAGE_SIZE;
            inner.areas.containing(at + page * PAGE_SIZE).map(|slot| (page_of(slot.start), page_of(slot.end)))
        };
        // A hole is filled: with what is above, if both have pages or that alone has, else with both.
        for (below, above, whole) in [(true, true, false), (true, false, true), (false, true, false)] {
            put(&mm, 0, 1)?;
            put(&mm, 2, 1)?;
            assert!((!below || set(&mm, at, 1)) && (!above || set(&mm, at + 2 * PAGE_SIZE, 1)));
            put(&mm, 1, 1)?;
            assert_eq!(bounds(&mm, 1), Some(if whole { (0, 3) } else { (1, 3) }));
            mm.munmap(at, 3 * PAGE_SIZE)?;
        }
        // Side by side with other rights.
        put(&mm, 0, 2)?;
        mm.mprotect(at + PAGE_SIZE, PAGE_SIZE, uapi::PROT_WRITE)?;
        assert!(set(&mm, at, 1) && set(&mm, at + PAGE_SIZE, 1));
        mm.mprotect(at + PAGE_SIZE, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        assert_eq!(bounds(&mm, 0), Some((0, 2)));
        // What is left behind by a move and what came of it.
        put(&mm, 8, 2)?;
        let flags = uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED | uapi::MREMAP_DONTUNMAP;
        mm.mremap(at + 8 * PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE, flags, at + 10 * PAGE_SIZE)?;
        assert_eq!((bounds(&mm, 8), bounds(&mm, 10)), (Some((8, 10)), Some((10, 12))));
        // Nothing joins what a child has, though its own parts do.
        let child = mm.fork()?;
        put(&child, 2, 1)?;
        put(&mm, 2, 1)?;
        assert_eq!((bounds(&mm, 0), bounds(&child, 0), bounds(&child, 2)), (Some((0, 3)), Some((0, 2)), Some((2, 3))));
        assert!(set(&child, at + 2 * PAGE_SIZE, 1));
        child.mprotect(at, PAGE_SIZE, uapi::PROT_READ)?;
        child.mprotect(at, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        assert_eq!((bounds(&child, 0), bounds(&child, 2)), (Some((0, 2)), Some((2, 3))));
        Ok(())
    }

    /// Locked memory that can be written only now is there, the program's own.
    #[test]
    fn locked_then_writable() -> Result {
        let mm = space()?;
        let at = map(&mm, 2 * PAGE_SIZE, Prot::READ, PRIVATE)?;
        mm.mlock(at, PAGE_SIZE, false)?;
        assert_eq!(mm.rss(), 0);
        mm.mprotect(at, 2 * PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        assert_eq!(mm.rss(), 1);
        Ok(())
    }

    #[test]
    fn heap_and_stack_grow() -> Result {
        let mm = space()?;
        mm.set_heap(0x40_0000);
        let start = mm.brk(0);
        assert_eq!(mm.brk(start + 3 * PAGE_SIZE), start + 3 * PAGE_SIZE);
        assert!(set(&mm, start + 2 * PAGE_SIZE, 1));
        assert_eq!(mm.brk(start + PAGE_SIZE), start + PAGE_SIZE);
        assert_eq!(byte(&mm, start + 2 * PAGE_SIZE), None);
        let top = mm.map_stack(false)?;
        assert!(set(&mm, top - 1, 1));
        assert!(set(&mm, top - MIB, 2));
        assert_eq!(byte(&mm, top - MIB), Some(2));
        Ok(())
    }

    #[test]
    fn splits_and_holes() -> Result {
        let mm = space()?;
        let at = map(&mm, 16 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        for page in 0..16 {
            assert!(set(&mm, at + page * PAGE_SIZE, page as u8 + 1));
        }
        mm.munmap(at + 4 * PAGE_SIZE, 2 * PAGE_SIZE)?;
        assert_eq!(mm.inner.read().areas.len(), 2);
        assert_eq!(mm.rss(), 14);
        assert_eq!(byte(&mm, at + 3 * PAGE_SIZE), Some(4));
        assert_eq!(byte(&mm, at + 4 * PAGE_SIZE), None);
        assert_eq!(byte(&mm, at + 6 * PAGE_SIZE), Some(7));
        let again = map(&mm, 2 * PAGE_SIZE, Prot::RW, PRIVATE)?;
        assert_eq!(again, at + 4 * PAGE_SIZE);
        assert_eq!(mm.inner.read().areas.len(), 1);
        assert_eq!(byte(&mm, again), Some(0));
        mm.madvise(at, PAGE_SIZE, uapi::MADV_DONTNEED)?;
        assert_eq!(byte(&mm, at), Some(0));
        Ok(())
    }

    #[test]
    fn nothing_leaks() -> Result {
        let round = || -> Result {
            let mm = space()?;
            let at = map(&mm, 24 * MIB, Prot::RW, PRIVATE)?;
            for page in 0..24 {
                assert!(set(&mm, at + page * MIB, 1));
            }
            let child = mm.fork()?;
            assert!(set(&child, at, 2));
            Ok(())
        };
        round()?;
        let before = crate::meminfo().free;
        for _ in 0..20 {
            round()?;
        }
        let after = crate::meminfo().free;
        // Lists of other CPUs may have moved a little.
        assert!(before.abs_diff(after) < 200);
        Ok(())
    }
}

#[macros::kunit_tests(readahead)]
mod windows {
    use crate::readahead::{Plan, Query, Window, plan};

    const MAX: u64 = 32;

    fn ask(state: Window, index: u64, wanted: u64, prev: u64, hit: bool) -> Plan {
        plan(state, Query { index, wanted, max: MAX, prev, hit }, |at| Some(at + 3), |_| 0)
    }

    fn window(start: u64, size: u64, ahead: u64) -> Window {
        Window { start, size, ahead }
    }

    #[test]
    fn a_stream_ramps_up() {
        let first = window(0, 4, 3);
        assert_eq!(ask(Window::default(), 0, 1, u64::MAX, false), Plan::Window(first));
        // The mark is at page 1.
        let second = window(4, 8, 8);
        assert_eq!(ask(first, 1, 1, 0, true), Plan::Window(second));
        let third = window(12, 16, 16);
        assert_eq!(ask(second, 4, 1, 3, true), Plan::Window(third));
        let fourth = window(28, 32, 32);
        assert_eq!(ask(third, 12, 1, 11, true), Plan::Window(fourth));
        assert_eq!(ask(fourth, 28, 1, 27, true), Plan::Window(window(60, 32, 32)));
        // The mark was missed: the window's end does as well, and the next mark comes soon.
        assert_eq!(ask(fourth, 60, 1, 59, false), Plan::Window(window(60, 32, 16)));
    }

    #[test]
    fn random_reads_are_exact() {
        let state = window(100, 8, 8);
        assert_eq!(ask(state, 5000, 2, 7, false), Plan::Exactly);
        // A large one is a stream of its own.
        assert_eq!(ask(state, 5000, 40, 7, false), Plan::Window(window(5000, 32, 16)));
        // Right after what was read last it goes on, though the state knows nothing of it.
        assert_eq!(ask(Window::default(), 51, 1, 50, false), Plan::Window(window(51, 4, 3)));
        assert_eq!(ask(Window::default(), 50, 1, 50, false), Plan::Window(window(50, 4, 3)));
    }

    #[test]
    fn another_streams_mark_is_served() {
        assert_eq!(ask(window(100, 8, 8), 500, 1, 99, true), Plan::Window(window(503, 8, 8)));
        let full =
            plan(Window::default(), Query { index: 9, wanted: 1, max: MAX, prev: 3, hit: true }, |_| None, |_| 0);
        assert_eq!(full, Plan::Nothing);
    }

    #[test]
    fn what_is_cached_before_tells_of_a_stream() {
        let query = Query { index: 40, wanted: 1, max: MAX, prev: u64::MAX, hit: false };
        assert_eq!(plan(Window::default(), query, |_| None, |_| 12), Plan::Window(window(40, 13, 1)));
    }
}
