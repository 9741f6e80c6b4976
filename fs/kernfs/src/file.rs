// SPDX-License-Identifier: GPL-2.0
//! Open attributes: reading through the text machinery of `vfs::seq_file`, writing, and waiting for changes. Locks: none of its
//! own.

use crate::node::{Kind, Node};
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use sync::{PollMask, PollTable};
use vfs::{File, FileOps, SeqBuf, SeqFile, SeqShow};
use x86_mm::uaccess::IovIter;

/// A node's attribute as the source of a text.
struct Source(Arc<Node>);

impl SeqShow for Source {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let Kind::Attribute(attribute, _) = &self.0.kind else { return Err(EINVAL) };
        if !self.0.is_active() {
            return Err(ENODEV);
        }
        attribute.with(|attribute| attribute.show(at, out))
    }

    fn write(&self, data: &[u8]) -> Result<usize> {
        let Kind::Attribute(attribute, _) = &self.0.kind else { return Err(EINVAL) };
        if !self.0.is_active() {
            return Err(ENODEV);
        }
        attribute.with(|attribute| attribute.store(data))
    }
}

/// An open attribute.
pub(crate) struct AttrFile {
    text: SeqFile<Source>,
    /// The count of changes that the last read from the start has seen.
    seen: AtomicU64,
    notifies: bool,
}

impl AttrFile {
    pub(crate) fn open(node: &Arc<Node>) -> Result<KBox<dyn FileOps>> {
        let Kind::Attribute(attribute, notice) = &node.kind else { return Err(EINVAL) };
        let (notifies, limit) = attribute.with(|attribute| Ok((attribute.can_notify(), attribute.limit())))?;
        if notifies {
            notice.queue()?;
        }
        let text = SeqFile::with_limit(Source(node.clone()), limit);
        // Until the first read there is something unread.
        let seen = AtomicU64::new(u64::MAX);
        Ok(KBox::new(Self { text, seen, notifies }, GFP_KERNEL)?)
    }

    fn node(&self) -> &Node {
        &self.text.source().0
    }
}

impl FileOps for AttrFile {
    fn mode(&self) -> u32 {
        self.text.mode()
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if *pos == 0
            && let Kind::Attribute(_, notice) = &self.node().kind
        {
            self.seen.store(notice.count(), Ordering::Release);
        }
        self.text.read(file, to, pos)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        self.text.write(file, from, pos)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        self.text.llseek(file, pos, offset, whence)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        let Kind::Attribute(_, notice) = &self.node().kind else { return PollMask::DEFAULT };
        let Some(queue) = notice.ready_queue() else { return PollMask::DEFAULT };
        table.add(queue);
        if notice.count() != self.seen.load(Ordering::Acquire) || !self.node().is_active() {
            return PollMask::DEFAULT | PollMask::ERR | PollMask::PRI;
        }
        PollMask::DEFAULT
    }

    fn can_poll(&self) -> bool {
        self.notifies
    }
}
