// SPDX-License-Identifier: GPL-2.0
//! Files: a text that is made when it is read, or bytes. What is written goes to the owner as it comes from the program.

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::{Attribute, Node, Revocable};
use vfs::{FileOps, Inode, OpenFlags, SeqBuf, SeqFile, SeqShow, fmode};
use x86_mm::uaccess::{IovIter, UserPtr};

/// What is behind a file. All may sleep.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait Ops: Send + Sync {
    /// Whether reading is [`Self::show`]; else it is [`Self::read`].
    fn is_text(&self) -> bool;

    /// Makes the text.
    fn show(&self, out: &mut SeqBuf) -> Result {
        Err(EINVAL)
    }

    /// A program reads `len` bytes to `to`; how many it got. Moves the position.
    fn read(&self, to: UserPtr, len: usize, pos: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    /// A program writes `len` bytes from `from`; how many were taken. Moves the position, if there is one.
    fn write(&self, from: UserPtr, len: usize, pos: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }
}

type Slot = Revocable<dyn Ops>;

/// A file, owned: it goes when this is dropped, which waits for calls that are in it. May sleep.
pub struct File {
    slot: Arc<Slot>,
    node: Arc<Node>,
}

impl File {
    pub(crate) fn new(dir: &Arc<Node>, name: &[u8], mode: u32, ops: Arc<dyn Ops>) -> Result<Self> {
        let slot = Arc::new(Revocable::new(ops), GFP_KERNEL)?;
        let node = dir.attr(name, mode, Behind(slot.clone()))?;
        Ok(Self { slot, node })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.node.remove();
        self.slot.revoke();
    }
}

/// The tree's part of a file.
struct Behind(Arc<Slot>);

impl Attribute for Behind {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<Option<KBox<dyn FileOps>>> {
        let text = self.0.with(|ops| ops.is_text()).ok_or(ENOENT)?;
        let open = Open { text: text.then(|| SeqFile::new(Source(self.0.clone()))), slot: self.0.clone() };
        Ok(Some(KBox::new(open, GFP_KERNEL)?))
    }
}

struct Source(Arc<Slot>);

impl SeqShow for Source {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.0.with(|ops| ops.show(out)).ok_or(EIO)??;
        Ok(None)
    }
}

/// An open file.
struct Open {
    text: Option<SeqFile<Source>>,
    slot: Arc<Slot>,
}

/// Calls `part` for each stretch of the program's memory, as Linux does for files that know no vectors.
fn parts(iter: &mut IovIter<'_>, mut part: impl FnMut(UserPtr, usize) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    loop {
        let (at, len) = iter.next_part().ok_or(EINVAL)?;
        if len == 0 && done != 0 {
            return Ok(done);
        }
        match part(at, len) {
            Ok(n) => {
                let n = n.min(len);
                iter.advance(n);
                done += n;
                if n < len || iter.is_empty() {
                    return Ok(done);
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
}

impl FileOps for Open {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &vfs::File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        match &self.text {
            Some(text) => text.read(file, to, pos),
            None => parts(to, |at, len| self.slot.with(|ops| ops.read(at, len, pos)).ok_or(EIO)?),
        }
    }

    fn write(&self, _: &vfs::File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        parts(from, |at, len| self.slot.with(|ops| ops.write(at, len, pos)).ok_or(EIO)?)
    }

    fn llseek(&self, file: &vfs::File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        match &self.text {
            Some(text) => text.llseek(file, pos, offset, whence),
            None => vfs::seek::generic(file, pos, offset, whence),
        }
    }

    fn can_poll(&self) -> bool {
        false
    }
}
