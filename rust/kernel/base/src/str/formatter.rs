// SPDX-License-Identifier: GPL-2.0
//! Writers into memory that is there already.

use core::fmt::{self, Write};
use core::ops::{Deref, DerefMut};

/// Writes into a slice, and counts on when it is full.
pub struct RawFormatter<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl RawFormatter<'_> {
    /// Bytes written, those included that did not fit.
    pub fn bytes_written(&self) -> usize {
        self.written
    }
}

impl Write for RawFormatter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.buffer.get_mut(self.written..).unwrap_or(&mut []);
        for (to, from) in room.iter_mut().zip(s.bytes()) {
            *to = from;
        }
        self.written = self.written.saturating_add(s.len());
        Ok(())
    }
}

/// Writes into a slice; what does not fit is an error.
pub struct Formatter<'a>(RawFormatter<'a>);

impl<'a> Formatter<'a> {
    /// A writer at the start of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self(RawFormatter { buffer, written: 0 })
    }
}

impl<'a> Deref for Formatter<'a> {
    type Target = RawFormatter<'a>;

    fn deref(&self) -> &RawFormatter<'a> {
        &self.0
    }
}

impl<'a> DerefMut for Formatter<'a> {
    fn deref_mut(&mut self) -> &mut RawFormatter<'a> {
        &mut self.0
    }
}

impl Write for Formatter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.write_str(s)?;
        if self.0.written > self.0.buffer.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Writes into a slice that always ends with a NUL.
///
/// # Invariants
/// The first byte of `buffer` is there, and is NUL: the end of what was written.
pub struct NullTerminatedFormatter<'a> {
    buffer: &'a mut [u8],
}

impl<'a> NullTerminatedFormatter<'a> {
    /// A writer at the start of `buffer`; `None` if that is empty.
    pub fn new(buffer: &'a mut [u8]) -> Option<Self> {
        *buffer.first_mut()? = 0;
        Some(Self { buffer })
    }
}

impl Write for NullTerminatedFormatter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let bytes = s.as_bytes();
        if self.buffer.len() <= bytes.len() {
            return Err(fmt::Error);
        }
        let buffer = core::mem::take(&mut self.buffer);
        let (head, tail) = buffer.split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        if let Some(first) = tail.first_mut() {
            *first = 0;
        }
        self.buffer = tail;
        Ok(())
    }
}
