// SPDX-License-Identifier: GPL-2.0
//! Bitmaps: `kernel::bitmap`. An index past the end is an error in the log, and changes nothing.
//!
//! ```
//! use kernel::bitmap::BitmapVec;
//!
//! let mut used = BitmapVec::new(70, GFP_KERNEL)?;
//! used.set_bit(0);
//! used.set_bit(64);
//! assert_eq!(used.next_bit(1), Some(64));
//! assert_eq!(used.next_zero_bit(64), Some(65));
//! assert_eq!(used.last_bit(), Some(64));
//! used.clear_bit(64);
//! assert_eq!(used.next_bit(1), None);
//! # Ok::<(), Error>(())
//! ```

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::flags::__GFP_ZERO;
use kalloc::{AllocError, Flags, KVec};
use klog::pr_err;

const WORD: usize = usize::BITS as usize;

/// Bits, borrowed.
///
/// # Invariants
/// The slice's address is that of the first word and its length the number of bits: it is never used as a slice.
#[repr(align(8))]
pub struct Bitmap {
    data: [()],
}

/// Words that `nbits` bits take.
const fn words(nbits: usize) -> usize {
    nbits.div_ceil(WORD)
}

impl Bitmap {
    /// The bits at `ptr`.
    ///
    /// # Safety
    /// There are `nbits` bits, in whole words, valid for `'a`, which nobody changes but atomically.
    pub unsafe fn from_raw<'a>(ptr: *const usize, nbits: usize) -> &'a Bitmap {
        let slice = core::ptr::slice_from_raw_parts(ptr.cast::<()>(), nbits);
        // SAFETY: A slice of nothing is valid at any aligned address that is not null.
        unsafe { &*(slice as *const Bitmap) }
    }

    /// The bits at `ptr`, to be changed.
    ///
    /// # Safety
    /// As for [`Self::from_raw`], and nobody else uses them during `'a`.
    pub unsafe fn from_raw_mut<'a>(ptr: *mut usize, nbits: usize) -> &'a mut Bitmap {
        let slice = core::ptr::slice_from_raw_parts_mut(ptr.cast::<()>(), nbits);
        // SAFETY: As above.
        unsafe { &mut *(slice as *mut Bitmap) }
    }

    /// Where the words are.
    pub fn as_ptr(&self) -> *const usize {
        core::ptr::from_ref(self).cast()
    }

    /// Where the words are.
    pub fn as_mut_ptr(&mut self) -> *mut usize {
        core::ptr::from_mut(self).cast()
    }

    /// How many bits there are.
    #[expect(clippy::len_without_is_empty, reason = "as in Rust-for-Linux: bitmaps are not containers")]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    fn words(&self) -> &[AtomicUsize] {
        // SAFETY: As many words are there (contract of the constructors), and are changed atomically if shared.
        unsafe { core::slice::from_raw_parts(self.as_ptr().cast(), words(self.len())) }
    }

    fn words_mut(&mut self) -> &mut [usize] {
        // SAFETY: As above; `&mut self` has them alone.
        unsafe { core::slice::from_raw_parts_mut(self.as_mut_ptr(), words(self.len())) }
    }

    /// The word and the bit in it; `None`, and a line in the log, past the end.
    fn place(&self, index: usize) -> Option<(usize, usize)> {
        if index < self.len() {
            return Some((index / WORD, 1 << (index % WORD)));
        }
        pr_err!("rust_kernel: bit {index} of a bitmap of {}", self.len());
        None
    }

    /// Sets a bit.
    #[inline]
    pub fn set_bit(&mut self, index: usize) {
        if let Some((word, bit)) = self.place(index)
            && let Some(word) = self.words_mut().get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Sets a bit that others may change at the same time. No order.
    #[inline]
    pub fn set_bit_atomic(&self, index: usize) {
        if let Some((word, bit)) = self.place(index)
            && let Some(word) = self.words().get(word)
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Clears a bit.
    #[inline]
    pub fn clear_bit(&mut self, index: usize) {
        if let Some((word, bit)) = self.place(index)
            && let Some(word) = self.words_mut().get_mut(word)
        {
            *word &= !bit;
        }
    }

    /// Clears a bit that others may change at the same time. No order.
    #[inline]
    pub fn clear_bit_atomic(&self, index: usize) {
        if let Some((word, bit)) = self.place(index)
            && let Some(word) = self.words().get(word)
        {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Becomes a copy of `src`, as far as that goes; the rest is clear.
    #[inline]
    pub fn copy_and_extend(&mut self, src: &Bitmap) {
        let len = src.len().min(self.len());
        for (at, word) in self.words_mut().iter_mut().enumerate() {
            let bits = len.saturating_sub(at * WORD).min(WORD);
            let mask = if bits == WORD { usize::MAX } else { (1 << bits) - 1 };
            *word = src.words().get(at).map_or(0, |word| word.load(Ordering::Relaxed)) & mask;
        }
    }

    /// The last bit that is set.
    #[inline]
    pub fn last_bit(&self) -> Option<usize> {
        (0..words(self.len())).rev().find_map(|at| {
            let word = self.word(at, 0);
            (word != 0).then(|| at * WORD + word.ilog2() as usize)
        })
    }

    /// A word with its bits past the end clear; `flip` turns its bits around first.
    #[inline(always)]
    fn word(&self, at: usize, flip: usize) -> usize {
        let word = self.words().get(at).map_or(0, |word| word.load(Ordering::Relaxed)) ^ flip;
        match self.len().saturating_sub(at * WORD) {
            left if left < WORD => word & ((1 << left) - 1),
            _ => word,
        }
    }

    #[inline(always)]
    fn next(&self, start: usize, flip: usize) -> Option<usize> {
        if start >= self.len() {
            return None;
        }
        let mut at = start / WORD;
        let mut word = self.word(at, flip) & (usize::MAX << (start % WORD));
        loop {
            if word != 0 {
                return Some(at * WORD + word.trailing_zeros() as usize);
            }
            at += 1;
            if at >= words(self.len()) {
                return None;
            }
            word = self.word(at, flip);
        }
    }

    /// The first bit at or after `start` that is set.
    #[inline]
    pub fn next_bit(&self, start: usize) -> Option<usize> {
        self.next(start, 0)
    }

    /// The first bit at or after `start` that is clear.
    #[inline]
    pub fn next_zero_bit(&self, start: usize) -> Option<usize> {
        self.next(start, usize::MAX)
    }
}

/// Bits, owned. A few are kept in the value itself.
///
/// # Invariants
/// `words` has as many words as `nbits` bits take, if those are more than one word.
pub struct BitmapVec {
    inline: usize,
    words: KVec<usize>,
    nbits: usize,
}

impl BitmapVec {
    /// Most bits that there can be.
    pub const MAX_LEN: usize = i32::MAX as usize;
    /// Most bits that need no memory of their own.
    pub const MAX_INLINE_LEN: usize = WORD;

    /// A bitmap of [`Self::MAX_INLINE_LEN`] bits, all clear.
    #[inline]
    pub fn new_inline() -> Self {
        Self { inline: 0, words: KVec::new(), nbits: Self::MAX_INLINE_LEN }
    }

    /// A bitmap of `nbits` bits, all clear.
    #[inline]
    pub fn new(nbits: usize, flags: Flags) -> Result<Self, AllocError> {
        if nbits > Self::MAX_LEN {
            return Err(AllocError);
        }
        let words = if nbits <= Self::MAX_INLINE_LEN {
            KVec::new()
        } else {
            KVec::from_elem(0, words(nbits), flags | __GFP_ZERO)?
        };
        Ok(Self { inline: 0, words, nbits })
    }

    /// How many bits there are.
    #[expect(clippy::len_without_is_empty, reason = "as in Rust-for-Linux: bitmaps are not containers")]
    #[inline]
    pub fn len(&self) -> usize {
        self.nbits
    }

    /// Random bits.
    pub fn fill_random(&mut self) {
        for word in self.words_mut() {
            *word = random::u64() as usize;
        }
    }
}

impl Deref for BitmapVec {
    type Target = Bitmap;

    fn deref(&self) -> &Bitmap {
        let ptr = if self.nbits <= Self::MAX_INLINE_LEN { &raw const self.inline } else { self.words.as_ptr() };
        // SAFETY: By the type invariant as many words are there; they are borrowed as `self` is.
        unsafe { Bitmap::from_raw(ptr, self.nbits) }
    }
}

impl DerefMut for BitmapVec {
    fn deref_mut(&mut self) -> &mut Bitmap {
        let ptr = if self.nbits <= Self::MAX_INLINE_LEN { &raw mut self.inline } else { self.words.as_mut_ptr() };
        // SAFETY: As above, and `self` is borrowed mutably.
        unsafe { Bitmap::from_raw_mut(ptr, self.nbits) }
    }
}
