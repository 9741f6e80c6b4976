// SPDX-License-Identifier: GPL-2.0

use crate::ldt::{Ldt, UserDesc};
use crate::swap::SwapEntry;
use crate::{Entry, Pcids, UserProt};
use mm_alloc::kpt::bits;

/// A place in swap space, with the mark of writing and without, is what it was, and nothing for the hardware.
#[test]
fn swap_entries_come_back() {
    for area in [0, 1, SwapEntry::MAX_AREAS as u8 - 1] {
        for offset in [0, 1, 0x1234_5678, SwapEntry::MAX_PAGES] {
            let place = SwapEntry { area, offset };
            for extra in [0, bits::SOFT_DIRTY] {
                let entry = Entry::new(place.to_bits() | extra);
                assert_eq!(entry.swap(), Some(place));
                assert_eq!(entry.is_soft_dirty(), extra != 0);
                assert!(!entry.is_present() && !entry.is_none() && entry.is_special());
            }
        }
    }
}

/// No right has a bit of an address.
#[test]
fn rights_have_no_address() {
    for write in [false, true] {
        for exec in [false, true] {
            let prot = UserProt::new(write, exec).with_key(15);
            assert_eq!((prot.bits() | prot.read_only().bits()) & bits::ADDR, 0);
            assert_eq!(prot.writable(), write);
            assert!(!prot.read_only().writable());
        }
    }
    assert_eq!(UserProt::NONE.with_key(255).bits() & (bits::ADDR | bits::PRESENT), 0);
}

/// A context that was loaded has its PCID until six others came, and its translations are true as long as nothing was flushed.
#[test]
fn contexts_keep_their_pcid() {
    let pcids = Pcids::new();
    let (first, fresh) = pcids.choose(1, 10, None);
    assert!(first != 0 && !fresh);
    let (second, fresh) = pcids.choose(2, 5, Some(10));
    assert!(second != first && !fresh);
    assert_eq!(pcids.choose(1, 10, Some(5)), (first, true));
    // Flushed up to 12 while it was loaded, and to 13 while it was not.
    assert_eq!(pcids.choose(2, 5, Some(12)), (second, true));
    assert_eq!(pcids.choose(1, 13, Some(5)), (first, false));
    for context in 3..=8 {
        pcids.choose(context, 1, Some(13));
    }
    assert!(!pcids.choose(1, 13, Some(1)).1, "its PCID is another's");
}

/// Descriptors are of privilege 3 and no system segments, whatever is asked for.
#[test]
fn descriptors_are_the_programs() {
    for flags in 0..=0xffff {
        let desc = UserDesc::new([5, 0x1234_5678, 0xf_ffff, flags]);
        for old in [false, true] {
            let Ok(ldt) = Ldt::changed(None, &desc, old) else { continue };
            assert_eq!(ldt.entries().len(), 6);
            for &entry in ldt.entries() {
                assert!(entry == 0 || entry >> 44 & 1 == 1 && entry >> 45 & 3 == 3, "{flags:#x}: {entry:#x}");
            }
        }
    }
}
