// SPDX-License-Identifier: GPL-2.0
//! Names of directory entries as the dentry cache compares them: a hash, a length, and words of eight bytes.

use core::sync::atomic::{AtomicU64, Ordering};

/// Longest name of one component.
pub const NAME_MAX: usize = 255;
/// Names up to this length live inside the dentry.
pub const INLINE_NAME: usize = 32;
const WORDS: usize = INLINE_NAME / 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// Odd constant of the multiplicative hash (2^64 divided by the golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A component of a path, prepared for comparing.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The first 32 bytes in words, zero-padded.
    pub(crate) words: [u64; WORDS],
    /// Hash of all bytes.
    pub(crate) hash: u64,
}

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(MIX)
}

/// Bits 7 of the bytes of `word` that are zero: exact for the lowest such byte, which is what is used.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

impl<'a> Key<'a> {
    /// The key of a whole name.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut words = [0; WORDS];
        let mut hash = 0;
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut raw = [0; 8];
            for (to, from) in raw.iter_mut().zip(chunk) {
                *to = *from;
            }
            let word = u64::from_le_bytes(raw);
            if let Some(slot) = words.get_mut(index) {
                *slot = word;
            }
            hash = mix(hash, word);
        }
        Self { bytes, words, hash }
    }

    /// Cuts the component at `at` off `path`, up to a slash, a NUL or the end, and returns its key. `path` should have eight
    /// bytes behind the path's own end, else the slow way is taken.
    #[inline(always)]
    pub fn scan(path: &'a [u8], at: usize) -> Self {
        let mut words = [0; WORDS];
        let mut hash = 0;
        let mut index = 0;
        let mut pos = at;
        loop {
            let Some(raw) = path.get(pos..).and_then(<[u8]>::first_chunk::<8>) else {
                return Self::scan_slow(path, at);
            };
            let word = u64::from_le_bytes(*raw);
            let stop = zero_bytes(word) | zero_bytes(word ^ (ONES * b'/' as u64));
            if stop == 0 {
                if let Some(slot) = words.get_mut(index) {
                    *slot = word;
                }
                hash = mix(hash, word);
                index += 1;
                pos += 8;
                continue;
            }
            let used = stop.trailing_zeros() & !7;
            if used != 0 {
                let word = word & ((1u64 << used) - 1);
                if let Some(slot) = words.get_mut(index) {
                    *slot = word;
                }
                hash = mix(hash, word);
            }
            let end = pos + (used >> 3) as usize;
            return Self { bytes: path.get(at..end).unwrap_or(&[]), words, hash };
        }
    }

    #[cold]
    fn scan_slow(path: &'a [u8], at: usize) -> Self {
        let rest = path.get(at..).unwrap_or(&[]);
        let len = rest.iter().position(|&b| b == b'/' || b == 0).unwrap_or(rest.len());
        Self::new(rest.get(..len).unwrap_or(&[]))
    }

    /// Whether this is `.` (1), `..` (2) or an ordinary name (0).
    #[inline(always)]
    pub(crate) fn dots(&self) -> usize {
        match (self.bytes.len(), self.words) {
            (1, [0x2e, ..]) => 1,
            (2, [0x2e2e, ..]) => 2,
            _ => 0,
        }
    }

    /// The hash of this name in directory `parent` (an address).
    #[inline(always)]
    pub(crate) fn hash_in(&self, parent: usize) -> u32 {
        (mix(self.hash ^ self.bytes.len() as u64, (parent >> 4) as u64) >> 32) as u32
    }
}

/// The first 32 bytes of a dentry's name; read under the dentry's sequence counter.
pub(crate) struct NameWords([AtomicU64; WORDS]);

impl NameWords {
    pub(crate) fn new(key: &Key<'_>) -> Self {
        Self(key.words.map(AtomicU64::new))
    }

    pub(crate) fn set(&self, key: &Key<'_>) {
        for (to, from) in self.0.iter().zip(key.words) {
            to.store(from, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn matches(&self, key: &Key<'_>) -> bool {
        let [a, b, c, d] = &self.0;
        let [w, x, y, z] = key.words;
        a.load(Ordering::Relaxed) == w
            && b.load(Ordering::Relaxed) == x
            && (c.load(Ordering::Relaxed) ^ y) | (d.load(Ordering::Relaxed) ^ z) == 0
    }

    pub(crate) fn bytes(&self) -> [u8; INLINE_NAME] {
        let mut out = [0; INLINE_NAME];
        for (to, from) in out.chunks_mut(8).zip(&self.0) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_le_bytes());
        }
        out
    }
}
