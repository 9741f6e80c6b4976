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

/// A component of a path, prepared for comparing: most names are short, and are compared as one word in a register.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The bytes; no NUL among them.
    pub bytes: &'a [u8],
    /// The first word, zero-padded.
    first: u64,
    /// What is behind the last whole word, zero-padded.
    tail: u64,
    /// Hash of all bytes.
    hash: u64,
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

/// Up to eight bytes as a zero-padded word.
fn partial(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl<'a> Key<'a> {
    /// The key of a whole name.
    pub fn new(bytes: &'a [u8]) -> Self {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let hash = chunks.iter().fold(0, |hash, chunk| mix(hash, u64::from_le_bytes(*chunk)));
        let tail = partial(rest);
        let first = chunks.first().map_or(tail, |chunk| u64::from_le_bytes(*chunk));
        Self { bytes, first, tail, hash: mix(hash, tail) }
    }

    /// Cuts the component at `at` off `path`, up to a slash, a NUL or the end, and returns its key. `path` should have eight
    /// bytes behind the path's own end, else the slow way is taken.
    #[inline(always)]
    pub fn scan(path: &'a [u8], at: usize) -> Self {
        let mut hash = 0;
        let mut first = 0;
        let mut pos = at;
        loop {
            let Some(raw) = path.get(pos..).and_then(<[u8]>::first_chunk::<8>) else {
                return Self::scan_slow(path, at);
            };
            let word = u64::from_le_bytes(*raw);
            let stop = zero_bytes(word) | zero_bytes(word ^ (ONES * b'/' as u64));
            if stop == 0 {
                if pos == at {
                    first = word;
                }
                hash = mix(hash, word);
                pos += 8;
                continue;
            }
            let used = stop.trailing_zeros() & 0x38;
            let tail = word & ((1u64 << used) - 1);
            if pos == at {
                first = tail;
            }
            let end = pos + (used >> 3) as usize;
            return Self { bytes: path.get(at..end).unwrap_or(&[]), first, tail, hash: mix(hash, tail) };
        }
    }

    #[cold]
    #[inline(never)]
    fn scan_slow(path: &'a [u8], at: usize) -> Self {
        let rest = path.get(at..).unwrap_or(&[]);
        let len = rest.iter().position(|&b| b == b'/' || b == 0).unwrap_or(rest.len());
        Self::new(rest.get(..len).unwrap_or(&[]))
    }

    /// Whether this is `.` (1), `..` (2) or an ordinary name (0).
    #[inline(always)]
    pub(crate) fn dots(&self) -> usize {
        match self.first {
            0x2e => 1,
            0x2e2e => 2,
            _ => 0,
        }
    }

    /// The hash of this name in directory `parent` (an address).
    #[inline(always)]
    pub(crate) fn hash_in(&self, parent: usize) -> u32 {
        (mix(self.hash, (parent >> 4) as u64) >> 32) as u32
    }
}

/// The first 32 bytes of a dentry's name, zero-padded; read under the dentry's sequence counter.
pub(crate) struct NameWords([AtomicU64; WORDS]);

impl NameWords {
    pub(crate) fn new(key: &Key<'_>) -> Self {
        let words = Self([const { AtomicU64::new(0) }; WORDS]);
        words.set(key);
        words
    }

    pub(crate) fn set(&self, key: &Key<'_>) {
        let mut chunks = key.bytes.chunks(8);
        for word in &self.0 {
            word.store(chunks.next().map_or(0, partial), Ordering::Relaxed);
        }
    }

    /// Whether the (at most 32) bytes are those of `key`, which is as long as this name.
    #[inline(always)]
    pub(crate) fn matches(&self, key: &Key<'_>) -> bool {
        let [first, ..] = &self.0;
        first.load(Ordering::Relaxed) == key.first && (key.bytes.len() <= 8 || self.rest_matches(key))
    }

    #[inline(never)]
    fn rest_matches(&self, key: &Key<'_>) -> bool {
        let (chunks, rest) = key.bytes.as_chunks::<8>();
        let mut words = self.0.iter().map(|word| word.load(Ordering::Relaxed));
        // A longer name has its rest elsewhere: the caller compares that.
        chunks.iter().take(WORDS).all(|chunk| words.next() == Some(u64::from_le_bytes(*chunk)))
            && (rest.is_empty() || words.next().is_none_or(|word| word == key.tail))
    }

    pub(crate) fn bytes(&self) -> [u8; INLINE_NAME] {
        let mut out = [0; INLINE_NAME];
        for (to, from) in out.chunks_mut(8).zip(&self.0) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_le_bytes());
        }
        out
    }
}
