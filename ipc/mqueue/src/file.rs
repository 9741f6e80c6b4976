// SPDX-License-Identifier: GPL-2.0
//! An open queue: it can be polled, and read as a line of text about it.

use crate::queue::Queue;
use errno::Result;
use errno::code::EFAULT;
use kalloc::Arc;
use vfs::{File, FileOps, IovIter, PollMask, PollTable, SeqBuf, fmode, seq_print};

/// An open queue.
pub(crate) struct QueueFile(pub(crate) Arc<Queue>);

/// The queue that `file` is.
pub(crate) fn queue_of(file: &File) -> Option<&Arc<Queue>> {
    file.private::<QueueFile>().map(|own| &own.0)
}

impl FileOps for QueueFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let shown = self.0.shown();
        let (kind, signal, pid) = shown.notify;
        let mut text = SeqBuf::new(80);
        seq_print!(text, "QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", shown.bytes)?;
        let from = usize::try_from(*pos).unwrap_or(usize::MAX);
        let Some(rest) = text.text().get(from..).filter(|rest| !rest.is_empty()) else { return Ok(0) };
        let wanted = rest.len().min(to.count());
        let part = rest.get(..wanted).unwrap_or(&[]);
        let done = to.copy_to_iter(part);
        if done == 0 && wanted != 0 {
            return Err(EFAULT);
        }
        *pos += done as i64;
        let now = vfs::current_time();
        file.inode().atime.set(now);
        file.inode().ctime.set(now);
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.0.pollers);
        self.0.poll()
    }

    fn flush(&self, _: &File) -> Result {
        // Who closes any descriptor of the queue is told no more.
        let pid = process::current_process().map_or(0, |process| process.pid());
        let old = self.0.with_notify(|slot| match slot {
            Some(registration) if registration.is_of(pid) => slot.take(),
            _ => None,
        });
        drop(old);
        Ok(())
    }
}
