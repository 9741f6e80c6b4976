// SPDX-License-Identifier: GPL-2.0
//! What is behind an attribute, and ready-made kinds: a text shown by a function, a text that can be written too, a flag.

use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};
use kalloc::{Arc, KBox};
use vfs::{FileOps, Inode, OpenFlags, SeqBuf};

/// An attribute. `show` and `store` may sleep and run for several open files at once.
pub trait Attribute: Send + Sync + 'static {
    /// Writes the text of record `at`; the value is the next record's number (see [`vfs::SeqShow`]). `EIO` by default: there is
    /// nothing to read.
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let _ = (at, out);
        Err(EIO)
    }

    /// A program wrote `data`; the bytes taken. `EIO` by default.
    fn store(&self, data: &[u8]) -> Result<usize> {
        let _ = data;
        Err(EIO)
    }

    /// Whether readers may wait for changes ([`crate::Node::notify`]).
    fn can_notify(&self) -> bool {
        false
    }

    /// Operations of its own in place of `show` and `store` (binary files, streams). `None`: it is a text.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<Option<KBox<dyn FileOps>>> {
        let _ = (inode, flags);
        Ok(None)
    }

    /// Whether the caller may write, where modes are fixed and this one lets nobody.
    fn may_write(&self) -> bool {
        false
    }

    /// Bytes that `stat` shows. sysfs's texts show a page, proc's nothing.
    fn size(&self) -> u64 {
        0
    }

    /// Most bytes of the text.
    fn limit(&self) -> usize {
        usize::MAX
    }
}

/// A text of one record that a function writes.
pub struct Text<F>(pub F);

impl<F: Fn(&mut SeqBuf) -> Result + Send + Sync + 'static> Attribute for Text<F> {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        (self.0)(out)?;
        Ok(None)
    }
}

/// A text that can be written too.
pub struct TextRw<F, G>(pub F, pub G);

impl<F, G> Attribute for TextRw<F, G>
where
    F: Fn(&mut SeqBuf) -> Result + Send + Sync + 'static,
    G: Fn(&[u8]) -> Result<usize> + Send + Sync + 'static,
{
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        (self.0)(out)?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        (self.1)(data)
    }
}

/// A switch that is read and written as `0` or `1` (`Y` and `N` are taken too).
pub struct Flag(pub &'static AtomicBool);

impl Attribute for Flag {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        out.put(if self.0.load(Ordering::Relaxed) { b"1\n" } else { b"0\n" })?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        let value = match data.trim_ascii() {
            b"1" | b"y" | b"Y" | b"on" => true,
            b"0" | b"n" | b"N" | b"off" => false,
            _ => return Err(EINVAL),
        };
        self.0.store(value, Ordering::Relaxed);
        Ok(data.len())
    }
}
