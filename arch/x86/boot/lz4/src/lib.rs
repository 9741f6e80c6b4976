// SPDX-License-Identifier: GPL-2.0
//! LZ4's block format, and its legacy frame of such blocks, unpacked into a slice without allocation. Source: lz4_Block_format.md. Used by
//! bzImage's stub.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// Magic number of LZ4's legacy frame.
const LZ4_LEGACY: u32 = 0x184c_2102;

/// Unpacks a legacy frame: a magic number, then blocks of up to 8 MB, each after its packed length.
pub fn decompress_legacy(packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    let (magic, mut rest) = packed.split_first_chunk::<4>().ok_or("no kernel")?;
    if u32::from_le_bytes(*magic) != LZ4_LEGACY {
        return Err("the kernel is not in LZ4 format");
    }
    let mut done = 0;
    while done < out.len() {
        let (len, blocks) = rest.split_first_chunk::<4>().ok_or("the kernel is cut off")?;
        let len = u32::from_le_bytes(*len) as usize;
        let (block, after) = blocks.split_at_checked(len).ok_or("the kernel is cut off")?;
        let room = out.get_mut(done..).ok_or("the kernel is too large")?;
        done += decompress_block(block, room).ok_or("the kernel is corrupt")?;
        rest = after;
    }
    Ok(())
}

/// Unpacks one block to the start of `out`; returns how many bytes it made, or `None` if the block is broken or `out` too
/// small.
pub fn decompress_block(block: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut input = block;
    let mut done = 0usize;
    loop {
        let token = byte(&mut input)?;
        let literals = length(usize::from(token >> 4), &mut input)?;
        let (text, rest) = input.split_at_checked(literals)?;
        copy(out.get_mut(done..done.checked_add(literals)?)?, text, literals);
        done += literals;
        input = rest;
        // The last sequence has literals only.
        if input.is_empty() {
            return Some(done);
        }
        let distance = usize::from(byte(&mut input)?) | usize::from(byte(&mut input)?) << 8;
        let count = length(usize::from(token & 15), &mut input)?.checked_add(4)?;
        let from = done.checked_sub(distance).filter(|_| distance != 0)?;
        let end = done.checked_add(count)?;
        copy_match(out.get_mut(from..end)?, distance);
        done = end;
    }
}

/// Fills `window` beyond its first `distance` bytes by repeating them. Each round doubles what can be copied at once.
fn copy_match(window: &mut [u8], distance: usize) {
    let mut have = distance;
    while have < window.len() {
        let (made, rest) = window.split_at_mut(have);
        let take = made.len().min(rest.len());
        copy(rest, made, take);
        have += take;
    }
}

/// The first `len` bytes. Most are few, so that a call of `memcpy` would cost more: words of eight bytes.
#[inline]
fn copy(to: &mut [u8], from: &[u8], len: usize) {
    let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) else { return };
    let (to_words, to_rest) = to.as_chunks_mut::<8>();
    let (from_words, from_rest) = from.as_chunks::<8>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// A length that continues in further bytes while they are 255, if its four bits are all set.
fn length(nibble: usize, input: &mut &[u8]) -> Option<usize> {
    let mut total = nibble;
    if nibble == 15 {
        loop {
            let more = byte(input)?;
            total = total.checked_add(usize::from(more))?;
            if more != 255 {
                break;
            }
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::decompress_block;
    use std::vec::Vec;

    fn unpack(block: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut out = std::vec![0; room];
        let made = decompress_block(block, &mut out)?;
        out.truncate(made);
        Some(out)
    }

    #[test]
    fn literals_matches_and_long_lengths() {
        assert_eq!(unpack(b"\x50hello", 5).as_deref(), Some(&b"hello"[..]));
        // "ab", then 8 bytes from 2 back, then "!".
        assert_eq!(unpack(b"\x24ab\x02\x00\x10!", 11).as_deref(), Some(&b"ababababab!"[..]));
        // 1 literal, a match of 4 + 15 + 255 + 6 bytes from 1 back, no more.
        let run = unpack(b"\x1fx\x01\x00\xff\x06\x00", 400).unwrap_or_default();
        assert_eq!(run, std::vec![b'x'; 281]);
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [&b""[..], b"\x50hell", b"\x14a\x00\x00\x00", b"\x14a\x02\x00\x00", b"\xf0\xff", b"\x14a\x01"] {
            assert_eq!(unpack(block, 100), None, "{block:x?}");
        }
        assert_eq!(unpack(b"\x50hello", 4), None);
    }

    #[test]
    fn random_bytes_do_not_panic() {
        let mut state = 1u64;
        for len in 0..2000 {
            let block: Vec<u8> = (0..len % 97)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            let _ = unpack(&block, 300);
        }
    }
}
