// SPDX-License-Identifier: GPL-2.0
//! Answers to SCSI commands that are made up from what the disk says of itself. Texts and values are libata's.

use crate::identify::Identity;
use crate::translate::{Action, MOST_REPLY, TRIM_SECTORS};

type Out = [u8; MOST_REPLY];

/// An answer of these bytes.
pub(crate) fn put(out: &mut Out, bytes: &[u8]) -> Action {
    set(out, 0, bytes);
    Action::Reply(bytes.len())
}

fn set(out: &mut Out, at: usize, bytes: &[u8]) {
    for (to, byte) in out.iter_mut().skip(at).zip(bytes) {
        *to = *byte;
    }
}

/// Standard inquiry data.
pub(crate) fn inquiry(disk: &Identity, out: &mut Out) -> usize {
    set(out, 0, &[0, if disk.removable { 0x80 } else { 0 }, 5, 2, 95 - 4, 0, 0, 2]);
    set(out, 8, b"ATA     ");
    set(out, 16, disk.model.get(..16).unwrap_or_default());
    // The last four characters that are none of filling.
    let firmware = disk.firmware.trim_ascii_end();
    let tail = firmware.get(firmware.len().saturating_sub(4)..).unwrap_or_default();
    set(out, 32, b"    ");
    set(out, 32, if firmware.len() > 4 { tail } else { firmware });
    // SAM-3, SBC-3, SPC-3.
    set(out, 58, &[0x00, 0x60, 0x04, 0xc0, 0x02, 0x60]);
    96
}

/// A page of vital product data: its bytes. `None`: there is no such page.
pub(crate) fn page(disk: &Identity, number: u8, out: &mut Out) -> Option<usize> {
    let len = match number {
        0 => {
            let pages: &[u8] = &[0, 0x80, 0x83, 0xb0, 0xb1, 0xb2];
            set(out, 4, pages);
            pages.len()
        }
        0x80 => {
            set(out, 4, &disk.serial);
            disk.serial.len()
        }
        0x83 => identification(disk, out),
        0xb0 => {
            set(out, 6, &1u16.checked_shl(disk.physical.into()).unwrap_or(1).to_be_bytes());
            if disk.trim {
                set(out, 28, &1u32.to_be_bytes());
                set(out, 36, &TRIM_SECTORS.to_be_bytes());
            }
            0x3c
        }
        0xb1 => {
            set(out, 4, &disk.rotation.to_be_bytes());
            0x3c
        }
        // WRITE SAME (16) gives blocks back.
        0xb2 => {
            set(out, 5, &[if disk.trim { 0x40 } else { 0 }]);
            4
        }
        _ => return None,
    };
    set(out, 1, &[number]);
    set(out, 2, &(len as u16).to_be_bytes());
    Some(4 + len)
}

/// Page 83: the serial number as the vendor's own name, ATA's name of vendor, model and serial number, the world wide name.
fn identification(disk: &Identity, out: &mut Out) -> usize {
    let mut at = 4;
    let mut add = |head: [u8; 3], parts: &[&[u8]]| {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        set(out, at, &head);
        set(out, at + 3, &[len as u8]);
        at += 4;
        for part in parts {
            set(out, at, part);
            at += part.len();
        }
    };
    add([2, 0, 0], &[&disk.serial]);
    add([2, 1, 0], &[b"ATA     ", &disk.model, &disk.serial]);
    if disk.wwn != 0 {
        add([1, 3, 0], &[&disk.wwn.to_be_bytes()]);
    }
    at - 4
}

/// READ CAPACITY (10).
pub(crate) fn capacity_10(disk: &Identity, out: &mut Out) -> usize {
    let last = u32::try_from(disk.blocks.saturating_sub(1)).unwrap_or(u32::MAX);
    set(out, 0, &last.to_be_bytes());
    set(out, 4, &disk.block.to_be_bytes());
    8
}

/// READ CAPACITY (16).
pub(crate) fn capacity_16(disk: &Identity, out: &mut Out) -> usize {
    set(out, 0, &disk.blocks.saturating_sub(1).to_be_bytes());
    set(out, 8, &disk.block.to_be_bytes());
    let provisioned = if disk.trim { 0x80 } else { 0 } | if disk.trim && disk.zeroes { 0x40 } else { 0 };
    set(out, 13, &[disk.physical & 0xf, provisioned]);
    32
}

/// MODE SENSE, of pages 1 (recovery), 8 (caching), 10 (control), or all. `None`: there is no such page.
pub(crate) fn mode_sense(disk: &Identity, cdb: &[u8], out: &mut Out) -> Option<usize> {
    let (long, &flags, &page) = (cdb.first() == Some(&scsi_proto::opcode::MODE_SENSE_10), cdb.get(1)?, cdb.get(2)?);
    let (control, page, sub) = (page >> 6, page & 0x3f, cdb.get(3).copied().unwrap_or(0));
    if control == 3 || sub != 0 && sub != 0xff {
        // Values are not saved.
        return None;
    }
    let changeable = control == 1;
    let mut at = if long { 8 } else { 4 };
    let descriptor = flags & 8 == 0;
    if descriptor {
        set(out, at, &[0, 0, 0, 0, 0, 0, 2, 0]);
        at += 8;
    }
    let mut add = |bytes: &[u8]| {
        set(out, at, bytes);
        at += bytes.len();
    };
    let mut caching = [0u8; 20];
    caching[0] = 8;
    caching[1] = 0x12;
    caching[2] = if disk.write_cache && !changeable { 4 } else { 0 };
    let mut control_page = [0u8; 12];
    control_page[0] = 10;
    control_page[1] = 10;
    if !changeable {
        // Commands may be put in any order.
        control_page[3] = 0;
        control_page[4] = 0;
    }
    let recovery: [u8; 12] = [1, 10, if changeable { 0 } else { 0x80 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match page {
        1 => add(&recovery),
        8 => add(&caching),
        10 => add(&control_page),
        0x3f => {
            add(&recovery);
            add(&caching);
            add(&control_page);
        }
        _ => return None,
    }
    // As libata by default, a write is not said to be forced to the medium: a flush follows it.
    let descriptors = if descriptor { 8 } else { 0 };
    if long {
        set(out, 0, &((at - 2) as u16).to_be_bytes());
        set(out, 7, &[descriptors]);
    } else {
        set(out, 0, &[(at - 1) as u8]);
        set(out, 3, &[descriptors]);
    }
    Some(at)
}
