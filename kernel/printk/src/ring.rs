// SPDX-License-Identifier: GPL-2.0
//! The record ring: any number of writers in any context (NMI included) and any number of readers, without a lock.
//!
//! A writer reserves a sequence number and a stretch of text words together, by one compare-and-swap on `head`. It fills the
//! descriptor and the text and commits by storing `seq + 1` into the descriptor's state. A reader copies and then checks that
//! neither the descriptor nor the text was reused meanwhile, like a sequence lock. Everything is an atomic, so a reader that
//! loses a race gets `Lost`, never torn memory. A writer that is lapped by the whole ring while it fills its record can only
//! spoil the text of a newer one.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Words of text in the ring: 128 KiB, Linux's `CONFIG_LOG_BUF_SHIFT=17`.
const WORDS: u32 = 1 << 14;
/// Descriptors in the ring.
const RECORDS: u32 = 1 << 12;
/// Longest text of one record, in bytes; longer ones are cut.
pub const TEXT_MAX: usize = 1000;

/// What a record is, besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Nanoseconds of the log clock.
    pub ts_ns: u64,
    /// Syslog severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Syslog facility: 0 kernel, 1 user, ...
    pub facility: u8,
    /// A fragment that continues an earlier record.
    pub cont: bool,
    /// Bytes of text.
    pub len: u16,
}

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Not written yet (or being written right now).
    NotYet,
    /// Overwritten; the oldest record that is still there has this number.
    Lost(u32),
}

struct Descriptor {
    /// `seq + 1` once record `seq` is complete; anything else: not readable.
    state: AtomicU32,
    begin: AtomicU32,
    ts_ns: AtomicU64,
    /// len | level << 16 | facility << 24 | cont << 32.
    info: AtomicU64,
}

/// The ring. One static instance holds the kernel log.
pub struct Ring {
    /// Next sequence number (high half) and next text position in words (low half), both wrapping.
    head: AtomicU64,
    descriptors: [Descriptor; RECORDS as usize],
    text: [AtomicU64; WORDS as usize],
}

const fn unpack(head: u64) -> (u32, u32) {
    ((head >> 32) as u32, head as u32)
}

const fn pack(seq: u32, pos: u32) -> u64 {
    ((seq as u64) << 32) | pos as u64
}

impl Ring {
    /// An empty ring.
    #[allow(clippy::new_without_default, reason = "only statics hold it")]
    pub const fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            descriptors: [const {
                Descriptor {
                    state: AtomicU32::new(0),
                    begin: AtomicU32::new(0),
                    ts_ns: AtomicU64::new(0),
                    info: AtomicU64::new(0),
                }
            }; RECORDS as usize],
            text: [const { AtomicU64::new(0) }; WORDS as usize],
        }
    }

    fn descriptor(&self, seq: u32) -> &Descriptor {
        // The mask keeps the index in range, so the check is compiled away.
        &self.descriptors[(seq & (RECORDS - 1)) as usize]
    }

    fn word(&self, pos: u32) -> &AtomicU64 {
        &self.text[(pos & (WORDS - 1)) as usize]
    }

    /// Appends a record (text beyond [`TEXT_MAX`] is cut) and returns its sequence number.
    pub fn append(&self, meta: Meta, text: &[u8]) -> u32 {
        let text = text.get(..TEXT_MAX).unwrap_or(text);
        let words = text.len().div_ceil(8) as u32;
        let mut head = self.head.load(Ordering::Relaxed);
        let (seq, begin) = loop {
            let (seq, pos) = unpack(head);
            let next = pack(seq.wrapping_add(1), pos.wrapping_add(words));
            match self.head.compare_exchange_weak(head, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break (seq, pos),
                Err(now) => head = now,
            }
        };
        let d = self.descriptor(seq);
        // `seq` itself is the committed state of the record before, which lives in another slot: here it means "being filled".
        d.state.store(seq, Ordering::Relaxed);
        fence(Ordering::Release);
        d.begin.store(begin, Ordering::Relaxed);
        d.ts_ns.store(meta.ts_ns, Ordering::Relaxed);
        let info = text.len() as u64
            | u64::from(meta.level) << 16
            | u64::from(meta.facility) << 24
            | u64::from(meta.cont) << 32;
        d.info.store(info, Ordering::Relaxed);
        for (i, chunk) in text.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.word(begin.wrapping_add(i as u32)).store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        d.state.store(seq.wrapping_add(1), Ordering::SeqCst);
        seq
    }

    /// The number that the next record will get.
    pub fn next_seq(&self) -> u32 {
        unpack(self.head.load(Ordering::SeqCst)).0
    }

    fn position(&self) -> u32 {
        unpack(self.head.load(Ordering::Relaxed)).1
    }

    fn committed_meta(&self, seq: u32) -> Option<(Meta, u32)> {
        let d = self.descriptor(seq);
        if d.state.load(Ordering::Acquire) != seq.wrapping_add(1) {
            return None;
        }
        let info = d.info.load(Ordering::Relaxed);
        let meta = Meta {
            ts_ns: d.ts_ns.load(Ordering::Relaxed),
            level: (info >> 16) as u8,
            facility: (info >> 24) as u8,
            cont: info >> 32 & 1 != 0,
            len: info as u16,
        };
        let begin = d.begin.load(Ordering::Relaxed);
        (self.still_there(seq, begin)).then_some((meta, begin))
    }

    /// Whether descriptor and text of a committed record have not been handed to a newer one.
    fn still_there(&self, seq: u32, begin: u32) -> bool {
        fence(Ordering::Acquire);
        self.descriptor(seq).state.load(Ordering::Relaxed) == seq.wrapping_add(1)
            && self.position().wrapping_sub(begin) <= WORDS
    }

    /// Copies record `seq` into `out` (at most its size) and returns its description.
    pub fn read(&self, seq: u32, out: &mut [u8]) -> Result<Meta, Missing> {
        let next = self.next_seq();
        let behind = next.wrapping_sub(seq);
        if behind == 0 || behind > u32::MAX / 2 {
            return Err(Missing::NotYet);
        }
        if behind > RECORDS {
            return Err(Missing::Lost(self.first_seq()));
        }
        let state = self.descriptor(seq).state.load(Ordering::Acquire);
        // A state of an older lap or "being filled" means its writer is still at it; a newer lap's means it is gone.
        if state != seq.wrapping_add(1) {
            let newer = state.wrapping_sub(seq.wrapping_add(1)) < u32::MAX / 2;
            return Err(if newer { Missing::Lost(self.first_seq()) } else { Missing::NotYet });
        }
        let Some((meta, begin)) = self.committed_meta(seq) else {
            return Err(Missing::Lost(self.first_seq()));
        };
        let len = usize::from(meta.len).min(out.len());
        for (i, chunk) in out.get_mut(..len).unwrap_or_default().chunks_mut(8).enumerate() {
            let bytes = self.word(begin.wrapping_add(i as u32)).load(Ordering::Relaxed).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
        }
        if self.still_there(seq, begin) { Ok(meta) } else { Err(Missing::Lost(self.first_seq())) }
    }

    /// Only the description of record `seq`.
    pub fn read_meta(&self, seq: u32) -> Result<Meta, Missing> {
        self.read(seq, &mut [])
    }

    /// The oldest record whose descriptor and text are still there. Linear in what is stored; readers call it when they have
    /// fallen behind.
    pub fn first_seq(&self) -> u32 {
        let next = self.next_seq();
        let mut seq = next;
        while next.wrapping_sub(seq) < RECORDS && seq != 0 {
            let before = seq.wrapping_sub(1);
            let d = self.descriptor(before);
            let begin = d.begin.load(Ordering::Relaxed);
            let state = d.state.load(Ordering::Relaxed);
            let live = state == before || (state == before.wrapping_add(1) && self.still_there(before, begin));
            if !live {
                break;
            }
            seq = before;
        }
        seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(ts_ns: u64, len: usize) -> Meta {
        Meta { ts_ns, level: 6, facility: 0, cont: false, len: len as u16 }
    }

    static RING: Ring = Ring::new();
    static SHARED: Ring = Ring::new();

    #[test]
    fn wraps_and_reports_loss() {
        let mut out = [0; TEXT_MAX];
        assert_eq!(RING.read(0, &mut out), Err(Missing::NotYet));
        for i in 0..20_000u32 {
            let text = std::format!("record {i} {}", "x".repeat((i % 300) as usize));
            let seq = RING.append(meta(u64::from(i), text.len()), text.as_bytes());
            assert_eq!(seq, i);
            assert_eq!(RING.read(seq, &mut out), Ok(meta(u64::from(i), text.len())));
            assert_eq!(&out[..text.len()], text.as_bytes());
        }
        let first = RING.first_seq();
        assert!(first > 0 && first < 20_000);
        assert_eq!(RING.read(first - 1, &mut out), Err(Missing::Lost(first)));
        for seq in first..20_000 {
            let got = RING.read(seq, &mut out).unwrap();
            assert!(out[..usize::from(got.len)].starts_with(std::format!("record {seq} ").as_bytes()));
        }
    }

    #[test]
    fn many_writers() {
        std::thread::scope(|scope| {
            for t in 0..4u8 {
                scope.spawn(move || {
                    for i in 0..500u32 {
                        let text = std::format!("{t}:{i}");
                        SHARED.append(meta(u64::from(t), text.len()), text.as_bytes());
                    }
                });
            }
        });
        let mut next = [0u32; 4];
        let mut out = [0; TEXT_MAX];
        for seq in 0..2000 {
            let got = SHARED.read(seq, &mut out).unwrap();
            let t = got.ts_ns as usize;
            assert_eq!(&out[..usize::from(got.len)], std::format!("{t}:{}", next[t]).as_bytes());
            next[t] += 1;
        }
        assert_eq!(next, [500; 4]);
    }
}
