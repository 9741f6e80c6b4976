// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: which protection keys an address space has, and that they get into mappings and entries. Nobody runs in
//! these address spaces: what PKRU makes of keys is tested by programs (`tools/testing/selftests`, `pkeys`).

#[macros::kunit_tests(mm_pkey)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::flags::{Prot, VmFlags};
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use errno::{Result, code::*};
    use kalloc::Arc;
    use mm_alloc::layout::PAGE_SIZE;
    use x86_cpu::cpuid::features;
    use x86_cpu::pkru;

    const PAGES: usize = 8;
    const RW: u32 = uapi::PROT_READ | uapi::PROT_WRITE;

    fn space() -> Result<Arc<Mm>> {
        Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })
    }

    fn map(mm: &Mm, prot: Prot) -> Result<usize> {
        let flags = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
        mm.mmap(MapArgs { addr: 0, len: PAGES * PAGE_SIZE, prot, flags, file: None, pgoff: 0 })
    }

    fn take(mm: &Mm) -> Option<u8> {
        mm.inner.write().keys.take()
    }

    /// First address, end and key of the mapping at `addr`.
    fn area(mm: &Mm, addr: usize) -> Option<(usize, usize, u8)> {
        mm.vma_after(addr).map(|area| (area.start, area.end, area.flags.key()))
    }

    #[test]
    fn rights() {
        assert!(pkru::allows(pkru::INIT, 0, true) && !pkru::allows(pkru::INIT, 1, false));
        let reads = pkru::with_rights(pkru::INIT, 15, 2);
        assert!(pkru::allows(reads, 15, false) && !pkru::allows(reads, 15, true) && !pkru::allows(reads, 14, false));
        assert_eq!(pkru::with_rights(reads, 15, 1), pkru::INIT);
        let flags = VmFlags::READ.with(VmFlags::WRITE).with_key(9);
        assert_eq!((flags.key(), flags.with_key(3).key(), flags.with_key(0)), (9, 3, flags.without(VmFlags::KEY)));
        assert!(flags.prot().writable() && flags.prot() != flags.with_key(8).prot());
    }

    #[test]
    fn keys_are_handed_out() -> Result {
        let mm = space()?;
        if !features().pku {
            assert_eq!((mm.pkey_free(0), mm.pkey_alloc(0), mm.pkey_alloc(0)), (Err(EINVAL), Err(EINVAL), Err(ENOSPC)));
            return Ok(());
        }
        for key in 1..16 {
            assert_eq!(take(&mm), Some(key));
        }
        assert_eq!((take(&mm), mm.pkey_alloc(0)), (None, Err(ENOSPC)));
        for bad in [-1, 16, i32::MIN, i32::MAX] {
            assert_eq!(mm.pkey_free(bad), Err(EINVAL));
        }
        mm.pkey_free(7)?;
        assert_eq!(mm.pkey_free(7), Err(EINVAL));
        // A child has what its parent has.
        let child = mm.fork()?;
        assert_eq!((take(&child), take(&child), take(&mm)), (Some(7), None, Some(7)));
        Ok(())
    }

    #[test]
    fn a_key_goes_to_mapping_and_entries() -> Result {
        let mm = space()?;
        let at = map(&mm, Prot::RW)?;
        let (middle, end) = (at + 2 * PAGE_SIZE, at + PAGES * PAGE_SIZE);
        assert_eq!(mm.write(middle, &[1], false), 1);
        let protect = |key| mm.pkey_mprotect(middle, PAGE_SIZE, RW, Some(key));
        assert_eq!(protect(1), Err(EINVAL));
        let Some(key) = take(&mm).filter(|_| features().pku) else { return Ok(()) };
        protect(key.into())?;
        assert_eq!(mm.table.query(middle).key(), key);
        assert!(mm.table.query(middle).is_writable());
        let parts = [(at, middle, 0), (middle, middle + PAGE_SIZE, key), (middle + PAGE_SIZE, end, 0)];
        for part in parts {
            assert_eq!(area(&mm, part.0), Some(part));
        }
        // Other rights keep the key, what comes in gets it, and so does a child.
        mm.mprotect(at, PAGES * PAGE_SIZE, uapi::PROT_READ)?;
        assert_eq!(mm.table.query(middle).key(), key);
        mm.mprotect(at, PAGES * PAGE_SIZE, RW)?;
        mm.table.zap_range(at, end);
        assert_eq!(mm.write(middle, &[2], false), 1);
        let child = mm.fork()?;
        for mm in [&mm, &child] {
            assert_eq!((mm.table.query(middle).key(), area(mm, middle)), (key, Some(parts[1])));
        }
        assert_eq!(child.write(middle, &[3], false), 1);
        assert_eq!(child.table.query(middle).key(), key);
        // A key that is given back stays in mappings; with key 0 the parts are one again.
        mm.pkey_free(key.into())?;
        assert_eq!((protect(key.into()), mm.table.query(middle).key()), (Err(EINVAL), key));
        protect(0)?;
        assert_eq!((mm.table.query(middle).key(), area(&mm, at)), (0, Some((at, end, 0))));
        Ok(())
    }

    #[test]
    fn what_is_only_executed_has_a_key() -> Result {
        let mm = space()?;
        let at = map(&mm, Prot::RW)?;
        let end = at + PAGES * PAGE_SIZE;
        assert_eq!(mm.write(at, &[1], false), 1);
        mm.mprotect(at, PAGES * PAGE_SIZE, uapi::PROT_EXEC)?;
        let key = u8::from(features().pku);
        assert_eq!((area(&mm, at), mm.table.query(at).key()), (Some((at, end, key)), key));
        // Nobody can name it, and there is one for all.
        assert_eq!(mm.pkey_free(1), Err(EINVAL));
        let more = map(&mm, Prot(uapi::PROT_EXEC))?;
        assert_eq!(area(&mm, more).map(|(_, _, key)| key), Some(key));
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ)?;
        assert_eq!((area(&mm, at), mm.table.query(at).key()), (Some((at, at + PAGE_SIZE, 0)), 0));
        Ok(())
    }
}
