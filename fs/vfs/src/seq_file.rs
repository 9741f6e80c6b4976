// SPDX-License-Identifier: GPL-2.0
//! Files whose text is made when it is read (`/proc`, `/sys`): records are shown one by one into a buffer, from which reads of
//! any size are served, so that what one reader sees hangs together. Reading from offset 0 makes the text anew.
//!
//! Locks: each open file's reader state has a mutex; `SeqShow::show` runs under it and may sleep.

use crate::file::{File, FileOps, fmode};
use core::any::Any;
use core::fmt;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVVec};
use sync::{Mutex, PollMask, PollTable};
use x86_mm::uaccess::IovIter;

/// Text under construction. Writing fails only for want of memory.
pub struct SeqBuf {
    text: KVVec<u8>,
    limit: usize,
}

const PAGE: usize = 4096;

/// `value` in decimal, at the end of `digits`.
pub fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        len += 1;
        if value == 0 {
            break;
        }
    }
    digits.get(digits.len() - len..).unwrap_or(b"")
}

impl SeqBuf {
    /// An empty buffer that takes at most `limit` bytes (`usize::MAX`: any number).
    pub const fn new(limit: usize) -> Self {
        Self { text: KVVec::new(), limit }
    }

    /// What was written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Drops what was written after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// Adds `bytes`; what is over the limit is cut off. `ENOMEM`.
    pub fn put(&mut self, bytes: &[u8]) -> Result {
        let room = self.limit.saturating_sub(self.text.len());
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let free = self.text.capacity() - self.text.len();
        if free < bytes.len() {
            self.text.reserve(bytes.len().max(self.text.len()).max(256), GFP_KERNEL)?;
        }
        Ok(self.text.extend_from_slice(bytes, GFP_KERNEL)?)
    }

    /// Adds one byte.
    pub fn byte(&mut self, byte: u8) -> Result {
        self.put(&[byte])
    }

    /// Adds `value` in decimal. Quicker than formatting.
    pub fn dec(&mut self, value: u64) -> Result {
        self.put(decimal(value, &mut [0; 20]))
    }

    /// Adds a space and `value` in decimal.
    pub fn field(&mut self, value: u64) -> Result {
        self.byte(b' ')?;
        self.dec(value)
    }

    /// Adds a space and `value` in decimal with its sign.
    pub fn signed_field(&mut self, value: i64) -> Result {
        self.put(if value < 0 { b" -" } else { b" " })?;
        self.dec(value.unsigned_abs())
    }

    /// Adds formatted text (`write!` works too; its error is turned to `ENOMEM` by `?` through this).
    pub fn print(&mut self, args: fmt::Arguments<'_>) -> Result {
        fmt::Write::write_fmt(self, args).map_err(|_| ENOMEM)
    }

    /// Adds `bytes` with those of `special`, the backslash and what cannot be printed as `\ooo` (`seq_escape`, `mangle`).
    pub fn escaped(&mut self, bytes: &[u8], special: &[u8]) -> Result {
        for &byte in bytes {
            if special.contains(&byte) {
                self.put(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)])?;
            } else {
                self.byte(byte)?;
            }
        }
        Ok(())
    }
}

impl fmt::Write for SeqBuf {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.put(s.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Writes formatted text to a [`SeqBuf`]; the value is a `Result` with `ENOMEM`.
#[macro_export]
macro_rules! seq_print {
    ($buf:expr, $($arg:tt)*) => { $buf.print(format_args!($($arg)*)) };
}

/// What makes the text of a file.
pub trait SeqShow: Send + Sync + 'static {
    /// Writes record `at` (0 is the first; later numbers are what this returned) and returns the number of the one behind it.
    /// `None`: this was the last, or there is none at `at`. May sleep.
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>>;

    /// Whether `poll(2)` has something to say of it ([`Self::poll`]).
    fn can_poll(&self) -> bool {
        false
    }

    /// What is ready. Does not sleep.
    fn poll(&self, table: &mut PollTable) -> PollMask {
        let _ = table;
        PollMask::DEFAULT
    }

    /// A program wrote `data` at offset 0 (later parts of a longer write come as calls of their own). The bytes taken.
    fn write(&self, data: &[u8]) -> Result<usize> {
        let _ = data;
        Err(EIO)
    }
}

/// A text of a single record.
pub struct Single<F>(pub F);

impl<F: Fn(&mut SeqBuf) -> Result + Send + Sync + 'static> SeqShow for Single<F> {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        (self.0)(out)?;
        Ok(None)
    }
}

impl<T: SeqShow + ?Sized> SeqShow for &'static T {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        (**self).show(at, out)
    }
    fn write(&self, data: &[u8]) -> Result<usize> {
        (**self).write(data)
    }
}

/// Where a reader is.
struct Reader {
    buf: SeqBuf,
    /// Bytes of `buf` already given.
    given: usize,
    /// The next record.
    next: Option<u64>,
    /// Offset in the file that `given` stands for.
    pos: i64,
}

/// An open file over a [`SeqShow`].
pub struct SeqFile<T: SeqShow> {
    source: T,
    reader: Mutex<Reader>,
}

/// Most bytes of one write.
const WRITE_MAX: usize = PAGE;

impl<T: SeqShow> SeqFile<T> {
    /// A reader at the start. May sleep.
    pub fn new(source: T) -> Self {
        Self::with_limit(source, usize::MAX)
    }

    /// As [`Self::new`], for a text that is cut off after `limit` bytes.
    pub fn with_limit(source: T, limit: usize) -> Self {
        let reader = Reader { buf: SeqBuf::new(limit), given: 0, next: Some(0), pos: 0 };
        Self { source, reader: Mutex::new(reader) }
    }

    /// As the operations of a file to be opened.
    pub fn boxed(source: T) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(Self::new(source), GFP_KERNEL)?)
    }

    /// The source of the text.
    pub fn source(&self) -> &T {
        &self.source
    }
}

impl Reader {
    fn restart(&mut self) {
        self.buf.truncate(0);
        self.given = 0;
        self.next = Some(0);
        self.pos = 0;
    }

    fn left(&self) -> usize {
        self.buf.len() - self.given
    }

    /// Shows records until there are `wanted` bytes or no more records. An error after some text waits for the next read.
    fn fill<T: SeqShow>(&mut self, source: &T, wanted: usize) -> Result {
        if self.given == self.buf.len() {
            self.buf.truncate(0);
            self.given = 0;
        }
        while self.left() < wanted {
            let Some(at) = self.next else { break };
            let before = self.buf.len();
            match source.show(at, &mut self.buf) {
                Ok(next) => self.next = next,
                Err(error) => {
                    self.buf.truncate(before);
                    return if self.left() > 0 { Ok(()) } else { Err(error) };
                }
            }
        }
        Ok(())
    }

    /// Moves to offset `pos`, from the start if need be.
    fn seek<T: SeqShow>(&mut self, source: &T, pos: i64) -> Result {
        if pos == self.pos && pos != 0 {
            return Ok(());
        }
        self.restart();
        while self.pos < pos {
            self.fill(source, 1)?;
            let step = self.left().min(usize::try_from(pos - self.pos).unwrap_or(usize::MAX));
            if step == 0 {
                // Past the end: there is nothing there.
                self.pos = pos;
                return Ok(());
            }
            self.given += step;
            self.pos += step as i64;
        }
        Ok(())
    }
}

impl<T: SeqShow> FileOps for SeqFile<T>
where
    Self: Any,
{
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let mut reader = self.reader.lock();
        reader.seek(&self.source, *pos)?;
        let mut done = 0;
        while !to.is_empty() {
            // A page at least, so that the text of one moment is not made in crumbs.
            match reader.fill(&self.source, to.count().min(PAGE)) {
                Ok(()) => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            let text = reader.buf.text().get(reader.given..).unwrap_or(b"");
            if text.is_empty() {
                break;
            }
            let copied = to.copy_to_iter(text);
            if copied == 0 {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            reader.given += copied;
            reader.pos = reader.pos.saturating_add(copied as i64);
            done += copied;
        }
        *pos = reader.pos;
        Ok(done)
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let len = from.count().min(WRITE_MAX);
        let mut data = KVVec::from_elem(0, len, GFP_KERNEL)?;
        let copied = from.copy_from_iter(&mut data);
        if copied < len && copied == 0 {
            return Err(EFAULT);
        }
        let taken = self.source.write(data.get(..copied).unwrap_or(b""))?.min(copied);
        *pos = pos.saturating_add(taken as i64);
        Ok(taken)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        match whence {
            uapi::SEEK_SET | uapi::SEEK_CUR => {
                crate::seek::with_size(pos, offset, whence, 0, file.inode().sb().max_bytes.cast_signed())
            }
            _ => Err(EINVAL),
        }
    }

    fn can_poll(&self) -> bool {
        self.source.can_poll()
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        self.source.poll(table)
    }
}
