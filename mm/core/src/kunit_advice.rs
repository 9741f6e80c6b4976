// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: what becomes of a file's pages that a program says it does not need, pages that are only kept for a file, and
//! which pages were written.

#[macros::kunit_tests(mm_advice)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::file::VmFile;
    use crate::flags::Prot;
    use crate::kunit_file::{Numbered, Open};
    use crate::mapping::Mapping;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::shmem::anon_shared;
    use errno::{Result, code::*};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox};
    use mm_alloc::PageFlags;
    use mm_alloc::layout::PAGE_SIZE;

    const PAGES: usize = 8;
    const LEN: usize = PAGES * PAGE_SIZE;
    const SOFT_DIRTY: u64 = 1 << 55;

    fn file() -> Result<(Arc<dyn VmFile>, Arc<Mapping>)> {
        let mapping = Mapping::new(KBox::new(Numbered, GFP_KERNEL)?, LEN as u64)?;
        let file: Arc<dyn VmFile> = Arc::new(Open(mapping.clone()), GFP_KERNEL)?;
        Ok((file, mapping))
    }

    fn space(file: Option<&Arc<dyn VmFile>>, flags: u32) -> Result<(Arc<Mm>, usize)> {
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        let at = mm.mmap(MapArgs { addr: 0, len: LEN, prot: Prot::RW, flags, file: file.cloned(), pgoff: 0 })?;
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

    fn cached(mapping: &Mapping) -> [bool; PAGES] {
        core::array::from_fn(|page| mapping.find(page as u64).is_some())
    }

    #[test]
    fn clean_pages_go_at_once() -> Result {
        let (file, mapping) = file()?;
        let (mm, at) = space(Some(&file), uapi::MAP_SHARED)?;
        let numbers = core::array::from_fn(|page| page as u8 + 1);
        assert_eq!(look(&mm, at), numbers);
        mm.madvise(at, LEN, uapi::MADV_COLD)?;
        assert_eq!(cached(&mapping), [true; PAGES]);
        // One page is dirty, another somebody else's too.
        let written = mapping.find(2).ok_or(ENOENT)?;
        written.set(PageFlags::DIRTY);
        let (other, there) = space(Some(&file), uapi::MAP_PRIVATE)?;
        other.read(there + 5 * PAGE_SIZE, &mut [0], false);
        other.madvise(there, 5 * PAGE_SIZE, uapi::MADV_DONTNEED)?;
        other.madvise(there + 6 * PAGE_SIZE, 2 * PAGE_SIZE, uapi::MADV_DONTNEED)?;
        drop(written);
        mm.madvise(at, LEN, uapi::MADV_PAGEOUT)?;
        assert_eq!(cached(&mapping), [false, false, true, false, false, true, false, false]);
        assert_eq!(look(&mm, at), numbers);
        if let Some(page) = mapping.find(2) {
            page.clear(PageFlags::DIRTY);
        }
        Ok(())
    }

    #[test]
    fn kept_pages_are_holes() -> Result {
        let file = anon_shared(LEN as u64)?;
        let mapping = file.mapping().ok_or(ENODEV)?;
        assert!(mapping.preallocate(3)?);
        assert_eq!(mapping.page_count(), 1);
        assert!(mapping.get(3).is_none() && mapping.find(3).is_some());
        let (mm, at) = space(Some(&file), uapi::MAP_SHARED)?;
        let mut there = [9; PAGES];
        mm.mincore(at, &mut there)?;
        assert_eq!(there, [0; PAGES]);
        assert_eq!(mm.write(at + 3 * PAGE_SIZE, &[7], false), 1);
        assert_eq!(mapping.page_count(), 1);
        mm.mincore(at, &mut there)?;
        assert_eq!(there, [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(look(&mm, at), [0, 0, 0, 7, 0, 0, 0, 0]);
        // Kept twice, it is data. Looking has filled the others.
        let file = anon_shared(LEN as u64)?;
        let mapping = file.mapping().ok_or(ENODEV)?;
        assert!(mapping.preallocate(5)? && mapping.get(5).is_none());
        assert!(!mapping.preallocate(5)? && mapping.get(5).is_some());
        Ok(())
    }

    #[test]
    fn written_pages_are_told() -> Result {
        let (mm, at) = space(None, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        let written = |mm: &Mm| {
            let mut words = [0; PAGES];
            mm.pagemap(at, &mut words, false);
            words.map(|word: u64| word & SOFT_DIRTY != 0)
        };
        assert_eq!(written(&mm), [true; PAGES]);
        assert_eq!(mm.write(at, &[1], false), 1);
        mm.clear_soft_dirty();
        assert_eq!(written(&mm), [false; PAGES]);
        look(&mm, at);
        assert_eq!(written(&mm), [false; PAGES]);
        let child = mm.fork()?;
        assert_eq!(mm.write(at + PAGE_SIZE, &[1], false), 1);
        assert_eq!(mm.write(at, &[2], false), 1);
        assert_eq!(written(&mm), [true, true, false, false, false, false, false, false]);
        assert_eq!(written(&child), [false; PAGES]);
        mm.mprotect(at, LEN, uapi::PROT_NONE)?;
        // They are in memory all the same.
        let mut there = [0; PAGES];
        mm.mincore(at, &mut there)?;
        assert_eq!(there, [1; PAGES]);
        mm.mprotect(at, LEN, uapi::PROT_READ)?;
        assert_eq!(written(&mm), [true, true, false, false, false, false, false, false]);
        Ok(())
    }
}
