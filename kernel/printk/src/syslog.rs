// SPDX-License-Identifier: GPL-2.0
//! What programs read: `/dev/kmsg`'s cursor and `syslog(2)`'s actions, without the copying to user space (the callers' part).
//! Sources: syslog(2), Documentation/ABI/testing/dev-kmsg.

use crate::ring::{Meta, Missing, TEXT_MAX};
use crate::{RING, level, now_ns, record};
use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU32, Ordering};
use errno::{Result, code::*};

/// `kernel.dmesg_restrict`: the log is for the administrator alone.
pub static RESTRICTED: AtomicI32 = AtomicI32::new(0);

/// Where `syslog(2)`'s destructive read is.
static SYSLOG_NEXT: AtomicU32 = AtomicU32::new(0);
/// Bytes of the record at `SYSLOG_NEXT` that have been read already.
static SYSLOG_PARTIAL: AtomicU32 = AtomicU32::new(0);
/// Records before this were cleared by `dmesg -C`.
static CLEARED: AtomicU32 = AtomicU32::new(0);
/// The console level before action 6, or -1.
static SAVED_LEVEL: AtomicI16 = AtomicI16::new(-1);

/// One open `/dev/kmsg`: where its reader is.
pub struct Cursor {
    next: u32,
}

impl Cursor {
    /// At the oldest record, where a fresh `/dev/kmsg` starts.
    pub fn oldest() -> Self {
        Self { next: RING.first_seq() }
    }

    /// `SEEK_SET` 0: the oldest record.
    pub fn seek_oldest(&mut self) {
        self.next = RING.first_seq();
    }

    /// `SEEK_DATA` 0: after the last `dmesg -C`.
    pub fn seek_cleared(&mut self) {
        self.next = later(CLEARED.load(Ordering::Relaxed), RING.first_seq());
    }

    /// `SEEK_END` 0: after the newest record.
    pub fn seek_end(&mut self) {
        self.next = RING.next_seq();
    }

    /// Reads the next record in `/dev/kmsg`'s form and moves on. `EAGAIN`: none yet; `EPIPE`: records were overwritten and the
    /// cursor now stands at the oldest one; `EINVAL`: `out` is too small for this record. Never sleeps.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut text = [0; TEXT_MAX];
        let meta = match RING.read(self.next, &mut text) {
            Ok(meta) => meta,
            Err(Missing::NotYet) => return Err(EAGAIN),
            Err(Missing::Lost(first)) => {
                self.next = first;
                return Err(EPIPE);
            }
        };
        let text = text.get(..usize::from(meta.len)).unwrap_or_default();
        let n = record::format_kmsg(u64::from(self.next), &meta, text, out);
        if n == out.len() && out.last() != Some(&b'\n') {
            return Err(EINVAL);
        }
        self.next = self.next.wrapping_add(1);
        Ok(n)
    }

    /// Whether a record is there to be read.
    pub fn readable(&self) -> bool {
        RING.read_meta(self.next) != Err(Missing::NotYet)
    }

    /// Whether records were lost at the cursor (poll's `POLLERR`).
    pub fn lost(&self) -> bool {
        matches!(RING.read_meta(self.next), Err(Missing::Lost(_)))
    }
}

fn later(a: u32, b: u32) -> u32 {
    if b.wrapping_sub(a) < u32::MAX / 2 { b } else { a }
}

/// A program's line for `/dev/kmsg`: `<prio>text`. A trailing newline is taken off.
pub fn write_user(text: &[u8]) {
    let (facility, level, text) = record::split_priority(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let level = level.unwrap_or_else(level::default_message);
    RING.append(Meta { ts_ns: now_ns(), level, facility, cont: false, len: text.len().min(TEXT_MAX) as u16 }, text);
    crate::after_append();
}

/// Where `syslog(2)` puts what it reads: one call a piece, in order. An error (`EFAULT`) ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result;

fn line_of(seq: u32, out: &mut [u8; record::LINE_MAX]) -> Result<usize, Missing> {
    let mut text = [0; TEXT_MAX];
    let meta = RING.read(seq, &mut text)?;
    let text = text.get(..usize::from(meta.len)).unwrap_or_default();
    Ok(record::format_lines(&meta, text, record::Prefix { syslog: true, time: level::time() }, out))
}

/// Whether action 2 would find something.
pub fn unread() -> bool {
    RING.read_meta(SYSLOG_NEXT.load(Ordering::Relaxed)) != Err(Missing::NotYet)
}

/// Action 2: hands out up to `len` bytes that no one has read this way yet. 0: nothing there (the caller waits).
/// Callers are serialised by a mutex of theirs.
pub fn read(len: usize, sink: Sink<'_>) -> Result<usize> {
    let mut done = 0;
    let mut line = [0; record::LINE_MAX];
    while done < len {
        let seq = SYSLOG_NEXT.load(Ordering::Relaxed);
        let n = match line_of(seq, &mut line) {
            Ok(n) => n,
            Err(Missing::NotYet) => break,
            Err(Missing::Lost(first)) => {
                SYSLOG_NEXT.store(first, Ordering::Relaxed);
                SYSLOG_PARTIAL.store(0, Ordering::Relaxed);
                continue;
            }
        };
        let skip = SYSLOG_PARTIAL.load(Ordering::Relaxed) as usize;
        let rest = line.get(skip..n).unwrap_or_default();
        let piece = rest.get(..len - done).unwrap_or(rest);
        sink(piece)?;
        done += piece.len();
        if piece.len() == rest.len() {
            SYSLOG_NEXT.store(seq.wrapping_add(1), Ordering::Relaxed);
            SYSLOG_PARTIAL.store(0, Ordering::Relaxed);
        } else {
            SYSLOG_PARTIAL.store((skip + piece.len()) as u32, Ordering::Relaxed);
        }
    }
    Ok(done)
}

/// Actions 3 and 4: the newest records that fit into `len` bytes, whole; with `clear` they count as cleared afterwards.
pub fn read_all(len: usize, clear: bool, sink: Sink<'_>) -> Result<usize> {
    let end = RING.next_seq();
    let mut line = [0; record::LINE_MAX];
    let mut seq = later(CLEARED.load(Ordering::Relaxed), RING.first_seq());
    // Skip the oldest until the rest fits.
    let mut total = 0usize;
    let mut s = seq;
    while s != end {
        total += line_of(s, &mut line).unwrap_or(0);
        s = s.wrapping_add(1);
    }
    while total > len && seq != end {
        total -= line_of(seq, &mut line).unwrap_or(0).min(total);
        seq = seq.wrapping_add(1);
    }
    let mut done = 0;
    while seq != end {
        if let Ok(n) = line_of(seq, &mut line) {
            // Records that came meanwhile may have pushed lines out and changed the sum.
            if done + n > len {
                break;
            }
            sink(line.get(..n).unwrap_or_default())?;
            done += n;
        }
        seq = seq.wrapping_add(1);
    }
    if clear {
        CLEARED.store(end, Ordering::Relaxed);
    }
    Ok(done)
}

/// Action 5: everything up to now counts as cleared.
pub fn clear() {
    CLEARED.store(RING.next_seq(), Ordering::Relaxed);
}

/// Action 6: consoles show as little as possible.
pub fn console_off() {
    let before = level::console_off();
    let _ = SAVED_LEVEL.compare_exchange(-1, i16::from(before), Ordering::Relaxed, Ordering::Relaxed);
}

/// Action 7: undoes action 6.
pub fn console_on() {
    if let Ok(saved) = u8::try_from(SAVED_LEVEL.swap(-1, Ordering::Relaxed)) {
        level::set_console(saved);
    }
}

/// Action 8: sets the console level, 1 to 8 (else `EINVAL`).
pub fn console_level(value: usize) -> Result {
    match u8::try_from(value) {
        Ok(v @ 1..=8) => {
            SAVED_LEVEL.store(-1, Ordering::Relaxed);
            level::set_console(v);
            Ok(())
        }
        _ => Err(EINVAL),
    }
}

/// Action 9: bytes that action 2 could read.
pub fn size_unread() -> usize {
    let end = RING.next_seq();
    let mut line = [0; record::LINE_MAX];
    let mut seq = later(SYSLOG_NEXT.load(Ordering::Relaxed), RING.first_seq());
    let mut total = 0usize;
    while seq != end {
        total += line_of(seq, &mut line).unwrap_or(0);
        seq = seq.wrapping_add(1);
    }
    total.saturating_sub(SYSLOG_PARTIAL.load(Ordering::Relaxed) as usize)
}

/// Action 10: size of the ring in bytes.
pub const BUFFER_SIZE: usize = 1 << 17;
