// SPDX-License-Identifier: GPL-2.0
//! The text forms of a record: console and syslog(2) lines (`<6>[    0.000000] text`), and `/dev/kmsg`'s
//! `prio,seq,usec,flags;text` (Documentation/ABI/testing/dev-kmsg). Pure formatting into a byte slice.

use crate::ring::Meta;
use core::fmt::Write;

/// Longest form of one record: every byte of text escaped, plus the prefix.
pub const KMSG_MAX: usize = 4 * crate::ring::TEXT_MAX + 64;
/// Longest console form: text of which every other byte is a newline gets a prefix of up to 25 bytes for each; beyond this it
/// is cut.
pub const LINE_MAX: usize = 2048;

/// A writer into a slice that cuts what does not fit.
pub struct SliceWriter<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> SliceWriter<'a> {
    /// A writer at the start of `buf`.
    pub fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Appends bytes as far as they fit.
    pub fn push(&mut self, bytes: &[u8]) {
        for (to, from) in self.buf.get_mut(self.len..).unwrap_or_default().iter_mut().zip(bytes) {
            *to = *from;
            self.len += 1;
        }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Write for SliceWriter<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

/// Which prefixes a line gets.
#[derive(Clone, Copy)]
pub struct Prefix {
    /// `<prio>`, as syslog(2) shows it.
    pub syslog: bool,
    /// `[seconds.micros] `.
    pub time: bool,
}

/// Writes the record as lines, each with its prefix and a newline; returns the length.
pub fn format_lines(meta: &Meta, text: &[u8], prefix: Prefix, out: &mut [u8]) -> usize {
    let mut w = SliceWriter::new(out);
    for line in text.split(|&b| b == b'\n') {
        // Writing into a slice cannot fail; what does not fit is cut.
        if prefix.syslog {
            let _ = write!(w, "<{}>", priority(meta));
        }
        if prefix.time {
            let _ = write!(w, "[{:5}.{:06}] ", meta.ts_ns / 1_000_000_000, meta.ts_ns % 1_000_000_000 / 1000);
        }
        w.push(line);
        w.push(b"\n");
    }
    let len = w.len();
    // A cut line still ends the line.
    if let Some(last) = len.checked_sub(1).and_then(|i| out.get_mut(i)) {
        *last = b'\n';
    }
    len
}

/// Writes `/dev/kmsg`'s form; returns the length.
pub fn format_kmsg(seq: u64, meta: &Meta, text: &[u8], out: &mut [u8]) -> usize {
    let mut w = SliceWriter::new(out);
    let flag = if meta.cont { 'c' } else { '-' };
    let _ = write!(w, "{},{},{},{};", priority(meta), seq, meta.ts_ns / 1000, flag);
    for &b in text {
        if !(b' '..127).contains(&b) || b == b'\\' {
            let _ = write!(w, "\\x{b:02x}");
        } else {
            w.push(&[b]);
        }
    }
    w.push(b"\n");
    w.len()
}

/// Facility and level in syslog's encoding.
pub fn priority(meta: &Meta) -> u32 {
    u32::from(meta.facility) << 3 | u32::from(meta.level & 7)
}

/// Splits a `<N>` prefix off what a program writes to `/dev/kmsg`: (facility, level if given, text).
pub fn split_priority(text: &[u8]) -> (u8, Option<u8>, &[u8]) {
    const LOG_USER: u8 = 1;
    let mut digits = 0;
    let mut value = 0u32;
    if let [b'<', rest @ ..] = text {
        for &b in rest.iter().take(10) {
            if !b.is_ascii_digit() {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u32::from(b - b'0'));
            digits += 1;
        }
        if digits > 0 && rest.get(digits) == Some(&b'>') {
            // Programs cannot log as the kernel: facility 0 becomes user.
            let facility = match (value >> 3) as u8 {
                0 => LOG_USER,
                f => f,
            };
            return (facility, Some((value & 7) as u8), rest.get(digits + 1..).unwrap_or_default());
        }
    }
    (LOG_USER, None, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta { ts_ns: 12_345_678_901, level: 4, facility: 1, cont: false, len: 0 };

    #[test]
    fn lines() {
        let mut out = [0; 100];
        let n = format_lines(&META, b"a\nb", Prefix { syslog: true, time: true }, &mut out);
        assert_eq!(&out[..n], b"<12>[   12.345678] a\n<12>[   12.345678] b\n");
        let n = format_lines(&META, b"abcdef", Prefix { syslog: false, time: false }, &mut out[..4]);
        assert_eq!(&out[..n], b"abc\n");
    }

    #[test]
    fn kmsg() {
        let mut out = [0; 100];
        let n = format_kmsg(7, &META, b"x\\\n\xc3", &mut out);
        assert_eq!(&out[..n], b"12,7,12345678,-;x\\x5c\\x0a\\xc3\n");
    }

    #[test]
    fn prefix() {
        assert_eq!(split_priority(b"<6>hi"), (1, Some(6), &b"hi"[..]));
        assert_eq!(split_priority(b"<30>hi"), (3, Some(6), &b"hi"[..]));
        assert_eq!(split_priority(b"<>hi"), (1, None, &b"<>hi"[..]));
        assert_eq!(split_priority(b"hi"), (1, None, &b"hi"[..]));
    }
}
