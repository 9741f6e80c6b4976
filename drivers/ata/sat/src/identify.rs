// SPDX-License-Identifier: GPL-2.0
//! IDENTIFY DEVICE: 256 words of what a device is.

/// Bytes of the answer.
pub const IDENTIFY_BYTES: usize = 512;

/// What a device says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// It takes packets (a CD).
    pub packet: bool,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of a block.
    pub block: u32,
    /// Physical blocks have `1 << physical` logical ones.
    pub physical: u8,
    /// Addresses of 48 bits.
    pub long: bool,
    /// Commands that it queues; 0: none.
    pub queue: u8,
    /// It has a cache of writes, and that is on.
    pub write_cache: bool,
    /// FLUSH CACHE, and FLUSH CACHE EXT.
    pub flush: bool,
    /// FLUSH CACHE EXT.
    pub flush_long: bool,
    /// WRITE DMA FUA EXT.
    pub fua: bool,
    /// DATA SET MANAGEMENT can trim.
    pub trim: bool,
    /// What was trimmed reads as zeros.
    pub zeroes: bool,
    /// Revolutions a minute; 1: none; 0: it does not say.
    pub rotation: u16,
    /// The fastest Ultra DMA mode.
    pub udma: Option<u8>,
    /// The medium can be taken out.
    pub removable: bool,
    /// Packets have 16 bytes.
    pub packet_16: bool,
    /// Serial number, firmware, model: filled with spaces.
    pub serial: [u8; 20],
    /// Version of the firmware.
    pub firmware: [u8; 8],
    /// Name of the model.
    pub model: [u8; 40],
    /// World wide name; 0 without one.
    pub wwn: u64,
}

fn text<const N: usize>(words: &impl Fn(usize) -> u16, at: usize) -> [u8; N] {
    let mut field = [b' '; N];
    for (i, pair) in field.chunks_exact_mut(2).enumerate() {
        for (to, byte) in pair.iter_mut().zip(words(at + i).to_be_bytes()) {
            if matches!(byte, 0x20..=0x7e) {
                *to = byte;
            }
        }
    }
    field
}

/// Takes the answer apart; `None` if it is no answer. `packet`: it is that to IDENTIFY PACKET DEVICE.
pub fn identify(bytes: &[u8], packet: bool) -> Option<Identity> {
    if bytes.len() < IDENTIFY_BYTES || bytes.iter().all(|&byte| byte == 0) || bytes.iter().all(|&byte| byte == 0xff) {
        return None;
    }
    let word =
        |at: usize| bytes.get(at * 2..).and_then(|rest| rest.first_chunk()).map_or(0, |pair| u16::from_le_bytes(*pair));
    // Words 82 to 87 mean something if bits 15 and 14 of word 83 are 01.
    let known = word(83) >> 14 == 1;
    let has = |at: usize, bit: u32| known && word(at) >> bit & 1 != 0;
    let long = has(83, 10) && has(86, 10);
    let dword = |at: usize| u64::from(word(at)) | u64::from(word(at + 1)) << 16;
    let blocks = if long { dword(100) | dword(102) << 32 } else { dword(60) };
    let sizes = word(106);
    let sized = sizes >> 14 == 1;
    let block = if sized && sizes >> 12 & 1 != 0 { (dword(117) as u32).checked_mul(2)? } else { 512 };
    let lba = word(49) >> 9 & 1 != 0;
    if !packet && (!lba || blocks == 0 || blocks >> 48 != 0) {
        return None;
    }
    let extended = word(84) >> 14 == 1;
    Some(Identity {
        packet,
        blocks,
        block,
        physical: if sized && sizes >> 13 & 1 != 0 { (sizes & 0xf) as u8 } else { 0 },
        long,
        queue: if long && word(76) != 0xffff && word(76) >> 8 & 1 != 0 { (word(75) & 0x1f) as u8 + 1 } else { 0 },
        write_cache: has(82, 5) && word(85) >> 5 & 1 != 0,
        flush: has(83, 12) || has(83, 13),
        flush_long: has(83, 13),
        fua: long && extended && word(84) >> 6 & 1 != 0,
        trim: word(169) & 1 != 0 && word(169) != 0xffff,
        zeroes: word(69) >> 14 & 1 != 0 && word(69) >> 5 & 1 != 0,
        rotation: if word(217) == 0xffff { 0 } else { word(217) },
        udma: (word(53) >> 2 & 1 != 0 && word(88) & 0x7f != 0).then(|| 15 - (word(88) & 0x7f).leading_zeros() as u8),
        removable: word(0) >> 7 & 1 != 0,
        packet_16: packet && word(0) & 3 == 1,
        serial: text(&word, 10),
        firmware: text(&word, 23),
        model: text(&word, 27),
        wwn: if extended && word(84) >> 8 & 1 != 0 {
            (0..4).fold(0, |sum, i| sum << 16 | u64::from(word(108 + i)))
        } else {
            0
        },
    })
}
