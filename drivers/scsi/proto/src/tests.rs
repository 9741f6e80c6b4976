// SPDX-License-Identifier: GPL-2.0
//! Tests on the build machine: answers of real devices, and every length and many mutations of them.

use crate::*;
use errno::code::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const DISK: &[u8] = b"\x00\x00\x05\x02\x1f\x00\x00\x02QEMU    QEMU HARDDISK   2.5+";

#[test]
fn commands() {
    let read = Transfer { write: false, lba: 0x12345678, blocks: 0x1234, fua: false };
    assert_eq!(Cdb::transfer(read, false).bytes(), [0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0x12, 0x34, 0]);
    let large = Transfer { write: true, lba: 1 << 32, blocks: 1, fua: true };
    assert_eq!(Cdb::transfer(large, false).bytes(), [0x8a, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    for transfer in [read, large] {
        for long in [false, true] {
            assert_eq!(Cdb::transfer(transfer, long).as_transfer(), Some(transfer));
        }
    }
    let six = Cdb::new(&[8, 0x21, 2, 3, 0, 0]).unwrap().as_transfer().unwrap();
    assert_eq!((six.lba, six.blocks), (0x10203, 256));
    assert_eq!(Cdb::new(&[0x28]).unwrap().as_transfer(), None);
    assert_eq!(Cdb::new(&[0; 33]), None);
    assert_eq!(Cdb::new(&[]), None);
    assert_eq!(Cdb::unmap_list(7, 9)[7..20], [0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9]);
    assert_eq!(Cdb::write_same_10(0, 0x10000, true), None);
}

#[test]
fn senses() {
    let fixed = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
    assert_eq!(sense(&fixed), Some(Sense { key: 3, asc: 0x11, ascq: 0, deferred: false }));
    assert_eq!(sense(&[0x72, 5, 0x24, 1]), Some(Sense { key: 5, asc: 0x24, ascq: 1, deferred: false }));
    assert_eq!(sense(&[]), None);
    assert_eq!(sense(&[0]), None);
    let of = |key, asc, ascq| outcome(status::CHECK_CONDITION, Some(Sense { key, asc, ascq, deferred: false }));
    assert_eq!(of(key::MEDIUM_ERROR, 0x11, 0), Outcome::Failed(ENODATA));
    assert_eq!(of(key::ILLEGAL_REQUEST, 0x21, 0), Outcome::Failed(EREMOTEIO));
    assert_eq!(of(key::DATA_PROTECT, 0x27, 7), Outcome::Failed(ENOSPC));
    assert_eq!(of(key::UNIT_ATTENTION, 0x29, 0), Outcome::Retry);
    assert_eq!(of(key::NOT_READY, 4, 1), Outcome::Later);
    assert_eq!(of(key::RECOVERED_ERROR, 0, 0), Outcome::Done);
    assert_eq!(outcome(status::CHECK_CONDITION, None), Outcome::Retry);
    assert_eq!(outcome(status::RESERVATION_CONFLICT, None), Outcome::Failed(EBADE));
}

#[test]
fn answers() {
    let disk = inquiry(DISK).unwrap();
    assert_eq!((&disk.vendor, &disk.model, &disk.revision), (b"QEMU    ", b"QEMU HARDDISK   ", b"2.5+"));
    assert!(disk.queues && disk.kind == 0 && disk.version == 5);
    assert_eq!(capacity10(&[0, 0, 0x3f, 0xff, 0, 0, 2, 0]).unwrap().unwrap().blocks, 0x4000);
    assert_eq!(capacity10(&[0xff; 8]), Some(None));
    assert_eq!(capacity16(&[0xff; 32]), None);
    let mut luns16 = [0u8; 24];
    luns16[3] = 16;
    luns16[9] = 1;
    luns16[16] = 0x41;
    assert_eq!(luns(&luns16).collect::<Vec<_>>(), [1, 256]);
    assert_eq!((wire_lun(1), wire_lun(256)), ([0, 1], [0x41, 0]));
    let caching = [23, 0, 0x90, 0, 8, 18, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(mode(&caching), Some(Mode { read_only: true, fua: true, write_cache: Some(true) }));
    assert_eq!(vpd_pages(&[0, 0, 0, 3, 0, 0x83, 0xb0, 9]), [0, 0x83, 0xb0]);
    assert_eq!(provisioning(&[0, 0xb2, 0, 4, 0, 0xe0, 0, 0]).unwrap().unmap, true);
    assert_eq!(characteristics(&[0, 0xb1, 0, 2, 0, 1]), Some(1));
}

#[test]
fn names() {
    // A vendor's text, then a number.
    let page =
        b"\x00\x83\x00\x1b\x02\x01\x00\x07rideau1\x01\x03\x00\x08\x50\x00\x00\x00\x00\x00\x00\x07\x61\x94\x00\x00";
    assert_eq!(wwid(page).unwrap().to_string(), "naa.5000000000000007");
    assert_eq!(wwid(&page[..15]).unwrap().to_string(), "t10.rideau1");
    assert_eq!(wwid(&page[..4]), None);
    assert_eq!(wwid(&[0, 0x80, 0, 4]), None);
    assert_eq!(vpd_len(page, 0x83), Some(31));
    assert_eq!(vpd_len(page, 0x80), None);
}

proptest! {
    #[test]
    fn nonsense(bytes in proptest::collection::vec(any::<u8>(), 0..80), page in prop::sample::select(&[0u8, 0x83, 0xb0, 0xb1, 0xb2][..])) {
        let mut paged = bytes.clone();
        for (to, from) in paged.iter_mut().zip([0, page, 0, 60]) {
            *to = from;
        }
        for bytes in [&bytes, &paged] {
            let _ = (sense(bytes), inquiry(bytes), limits(bytes), provisioning(bytes), characteristics(bytes));
            let _ = (capacity10(bytes), capacity16(bytes), mode(bytes), vpd_pages(bytes).len(), vpd_len(bytes, page));
            let _ = wwid(bytes).map(|name| name.to_string());
            prop_assert!(luns(bytes).count() <= bytes.len() / 8);
            if let Some(cdb) = Cdb::new(&bytes[..bytes.len().min(32)]) {
                let _ = cdb.as_transfer();
            }
        }
    }

    #[test]
    fn transfers_come_back(lba: u64, blocks in 0u32.., write: bool, fua: bool, long: bool) {
        let transfer = Transfer { write, lba, blocks, fua };
        prop_assert_eq!(Cdb::transfer(transfer, long).as_transfer(), Some(transfer));
    }
}
