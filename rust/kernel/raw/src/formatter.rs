// SPDX-License-Identifier: GPL-2.0
//! Writers into memory that is there already.

use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// Writes into a range of memory, and counts on when it is full.
///
/// # Invariants
/// `beg <= end`, and the memory between them may be written.
pub struct RawFormatter {
    beg: usize,
    pos: usize,
    end: usize,
}

impl RawFormatter {
    fn new(buffer: &mut [u8]) -> Self {
        let beg = buffer.as_mut_ptr().expose_provenance();
        Self { beg, pos: beg, end: beg.saturating_add(buffer.len()) }
    }

    /// Bytes written, those included that did not fit.
    pub fn bytes_written(&self) -> usize {
        self.pos.wrapping_sub(self.beg)
    }
}

impl Write for RawFormatter {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.pos);
        let fits = room.min(s.len());
        if fits > 0 {
            // SAFETY: By the type invariant there are `room` bytes at `pos` that may be written.
            unsafe {
                core::ptr::copy_nonoverlapping(s.as_ptr(), core::ptr::with_exposed_provenance_mut(self.pos), fits);
            }
        }
        self.pos = self.pos.wrapping_add(s.len());
        Ok(())
    }
}

/// Writes into a slice; what does not fit is an error.
pub struct Formatter<'a>(RawFormatter, PhantomData<&'a mut ()>);

impl<'a> Formatter<'a> {
    /// A writer at the start of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self(RawFormatter::new(buffer), PhantomData)
    }
}

impl Deref for Formatter<'_> {
    type Target = RawFormatter;

    fn deref(&self) -> &RawFormatter {
        &self.0
    }
}

impl DerefMut for Formatter<'_> {
    fn deref_mut(&mut self) -> &mut RawFormatter {
        &mut self.0
    }
}

impl Write for Formatter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.write_str(s)?;
        if self.0.pos > self.0.end { Err(fmt::Error) } else { Ok(()) }
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
