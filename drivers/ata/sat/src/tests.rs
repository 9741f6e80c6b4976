// SPDX-License-Identifier: GPL-2.0
//! Tests on the build machine: a disk as QEMU's, commands as frames, and whatever a device or a program may send.

use crate::*;
use proptest::prelude::*;
use scsi_proto::{Cdb, Transfer, key, opcode};
use std::vec::Vec;

/// The answer of a disk with 2048 blocks that queues 32 commands and trims.
fn words() -> Vec<u8> {
    let mut words = [0u16; 256];
    words[0] = 0x40;
    words[49] = 1 << 9 | 1 << 8;
    words[53] = 7;
    words[60] = 2048;
    words[69] = 1 << 14 | 1 << 5;
    words[75] = 31;
    words[76] = 1 << 8;
    words[82] = 1 << 5 | 1 << 14;
    words[83] = 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10;
    words[84] = 1 << 14 | 1 << 8 | 1 << 6;
    words[85] = 1 << 5;
    words[86] = 1 << 10 | 1 << 13;
    words[88] = 0x3f;
    words[100] = 2048;
    words[106] = 0x6003;
    words[108] = 0x5000;
    words[111] = 7;
    words[169] = 1;
    words[217] = 1;
    for (at, text) in [(10, "SN1                 "), (23, "2.5+    "), (27, "QEMU HARDDISK                           ")]
    {
        for (word, pair) in words[at..].iter_mut().zip(text.as_bytes().chunks(2)) {
            *word = u16::from_be_bytes([pair[0], pair[1]]);
        }
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn disk() -> Identity {
    identify(&words(), false).unwrap()
}

#[test]
fn a_disk() {
    let disk = disk();
    assert_eq!((disk.blocks, disk.block, disk.physical, disk.queue, disk.udma), (2048, 512, 3, 32, Some(5)));
    assert!(disk.long && disk.write_cache && disk.flush_long && disk.fua && disk.trim && disk.zeroes && !disk.packet);
    assert_eq!(
        (&disk.model[..14], &disk.serial[..4], disk.wwn),
        (&b"QEMU HARDDISK "[..], &b"SN1 "[..], 0x5000_0000_0000_0007)
    );
    assert_eq!(identify(&[0; 512], false), None);
    assert_eq!(identify(&[0xff; 512], false), None);
    assert_eq!(identify(&words()[..511], false), None);
}

#[test]
fn answers_are_understood() {
    let (disk, mut out) = (disk(), [0; MOST_REPLY]);
    let mut ask = |cdb: Cdb| match translate(&cdb, &disk, true, &mut out) {
        Action::Reply(len) => out[..len].to_vec(),
        other => panic!("{other:?}"),
    };
    let inquiry = scsi_proto::inquiry(&ask(Cdb::inquiry(None, 96))).unwrap();
    assert_eq!((&inquiry.vendor, &inquiry.model, &inquiry.revision), (b"ATA     ", b"QEMU HARDDISK   ", b"2.5+"));
    assert_eq!(scsi_proto::vpd_pages(&ask(Cdb::inquiry(Some(0), 252))), [0, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for page in [0x80, 0x83, 0xb0, 0xb1, 0xb2] {
        let bytes = ask(Cdb::inquiry(Some(page), 252));
        assert_eq!(scsi_proto::vpd_len(&bytes, page), Some(bytes.len() as u16));
    }
    assert_eq!(
        scsi_proto::wwid(&ask(Cdb::inquiry(Some(0x83), 252))).unwrap(),
        scsi_proto::Wwid::Naa(&[0x50, 0, 0, 0, 0, 0, 0, 7])
    );
    let limits = scsi_proto::limits(&ask(Cdb::inquiry(Some(0xb0), 252))).unwrap();
    assert_eq!((limits.granularity, limits.max_write_same, limits.max_unmap), (8, 64 * 65535, 0));
    assert!(scsi_proto::provisioning(&ask(Cdb::inquiry(Some(0xb2), 252))).unwrap().write_same_16);
    assert_eq!(scsi_proto::characteristics(&ask(Cdb::inquiry(Some(0xb1), 252))), Some(1));
    let capacity = scsi_proto::capacity16(&ask(Cdb::read_capacity_16())).unwrap();
    assert_eq!((capacity.blocks, capacity.physical, capacity.provisioned, capacity.zeroes), (2048, 3, true, true));
    assert_eq!(scsi_proto::capacity10(&ask(Cdb::read_capacity_10())).unwrap().unwrap().blocks, 2048);
    let mode = scsi_proto::mode(&ask(Cdb::mode_sense(8, 192))).unwrap();
    assert_eq!((mode.write_cache, mode.fua, mode.read_only), (Some(true), false, false));
    assert_eq!(scsi_proto::luns(&ask(Cdb::report_luns(64))).collect::<Vec<_>>(), [0]);
}

#[test]
fn commands() {
    let (disk, mut out) = (disk(), [0; MOST_REPLY]);
    let read = Transfer { write: false, lba: 0x123, blocks: 8, fua: false };
    let Action::Command(task) = translate(&Cdb::transfer(read, false), &disk, true, &mut out) else { panic!() };
    assert_eq!((task.command, task.protocol, task.features), (0x60, Protocol::Ncq, 8));
    assert_eq!(frame(&task, 5), [0x27, 0x80, 0x60, 8, 0x23, 1, 0, 0x40, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0]);
    let Action::Command(task) = translate(&Cdb::transfer(read, false), &disk, false, &mut out) else { panic!() };
    assert_eq!((task.command, task.count, task.protocol), (0x25, 8, Protocol::Dma));
    let write = Transfer { write: true, lba: 0, blocks: 8, fua: true };
    let Action::Command(task) = translate(&Cdb::transfer(write, false), &disk, true, &mut out) else { panic!() };
    assert_eq!((task.command, task.device), (0x61, 0xc0));
    let beyond = Transfer { lba: 2041, ..read };
    let refused = Action::Refused((key::ILLEGAL_REQUEST, 0x21, 0));
    assert_eq!(translate(&Cdb::transfer(beyond, false), &disk, true, &mut out), refused);
    assert_eq!(translate(&Cdb::write_same_16(8, 1024, true), &disk, true, &mut out), Action::Trim(8, 1024));
    let list = trim_ranges(8, 65536);
    assert_eq!((&list[..8], &list[8..16]), (&[8, 0, 0, 0, 0, 0, 0xff, 0xff][..], &[7, 0, 1, 0, 0, 0, 1, 0][..]));
    let flush = translate(&Cdb::synchronize_cache(), &disk, true, &mut out);
    assert!(matches!(flush, Action::Command(Taskfile { command: 0xea, .. })));
    let unknown = Cdb::new(&[opcode::UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0]).unwrap();
    assert_eq!(translate(&unknown, &disk, true, &mut out), Action::Refused((key::ILLEGAL_REQUEST, 0x20, 0)));
}

#[test]
fn programs_commands() {
    let (disk, mut out) = (disk(), [0; MOST_REPLY]);
    // IDENTIFY DEVICE and SMART RETURN STATUS, as hdparm and smartctl send them.
    let cdb = Cdb::new(&[0x85, 8, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec, 0]).unwrap();
    let Action::Pass(task, false) = translate(&cdb, &disk, true, &mut out) else { panic!() };
    assert_eq!((task.command, task.count, task.protocol, task.write), (0xec, 1, Protocol::Dma, false));
    let cdb = Cdb::new(&[0x85, 6, 0x2c, 0, 0xda, 0, 0, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0xb0, 0]).unwrap();
    let Action::Pass(task, true) = translate(&cdb, &disk, true, &mut out) else { panic!() };
    assert_eq!((task.command, task.features, task.lba, task.protocol), (0xb0, 0xda, 0xc2_4f00, Protocol::NonData));
    let back = [0x34, 0x40, 0x50, 0, 0, 0x4f, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sense = registers_sense(&back);
    assert_eq!(sense[..4], [0x72, 1, 0, 0x1d]);
    assert_eq!((sense[17], sense[19], sense[21]), (0x4f, 0xc2, 0x50));
    let queued = Cdb::new(&[0x85, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0]).unwrap();
    assert!(matches!(translate(&queued, &disk, true, &mut out), Action::Refused(_)));
}

#[test]
fn failures() {
    assert_eq!(sense_of(0x50, 0), None);
    assert_eq!(sense_of(0x51, 0x40), Some((key::MEDIUM_ERROR, 0x11, 4)));
    assert_eq!(sense_of(0x51, 0x04), Some((key::ABORTED_COMMAND, 0, 0)));
    assert_eq!(sense_of(0x51, 0x10), Some((key::ILLEGAL_REQUEST, 0x21, 0)));
    let sense = scsi_proto::sense(&fixed_sense((3, 0x11, 4))).unwrap();
    assert_eq!((sense.key, sense.asc, sense.ascq), (3, 0x11, 4));
    let mut log = [0u8; 512];
    (log[0], log[2], log[3]) = (7, 0x41, 0x40);
    log[511] = 0u8.wrapping_sub(7 + 0x41 + 0x40);
    assert_eq!(failed_of_log(&log), Some((7, 0x41, 0x40)));
    log[9] = 1;
    assert_eq!(failed_of_log(&log), None);
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), cdb in proptest::collection::vec(any::<u8>(), 1..=32),
                      ncq: bool, packet: bool) {
        let _ = failed_of_log(&bytes);
        let cdb = Cdb::new(&cdb).unwrap();
        let mut out = [0; MOST_REPLY];
        for disk in [identify(&bytes, packet), Some(disk())].into_iter().flatten() {
            match translate(&cdb, &disk, ncq, &mut out) {
                Action::Reply(len) => prop_assert!(len <= MOST_REPLY),
                Action::Trim(lba, blocks) => {
                    prop_assert!(lba + blocks <= disk.blocks);
                    let sum: u64 = trim_ranges(lba, blocks).chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap()) >> 48).sum();
                    prop_assert_eq!(sum, blocks);
                }
                Action::Command(task) => { let _ = frame(&task, 31); }
                Action::Pass(task, _) => {
                    let _ = registers_sense(&frame(&task, 0));
                }
                Action::Refused(_) => {}
            }
        }
    }

    #[test]
    fn reads_stay_inside(lba in 0u64..5000, blocks in 0u32..70000, write: bool, fua: bool, ncq: bool) {
        let (disk, mut out) = (disk(), [0; MOST_REPLY]);
        let action = translate(&Cdb::transfer(Transfer { write, lba, blocks, fua }, true), &disk, ncq, &mut out);
        if let Action::Command(task) = action {
            prop_assert!(task.lba + u64::from(blocks) <= disk.blocks && task.write == write);
        }
    }
}
