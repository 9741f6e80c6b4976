// SPDX-License-Identifier: GPL-2.0
//! Transfers between a program's own pages and the device, past the cache ([`buffer::direct`]): the submitter waits for the end, or
//! somebody is told (asynchronous I/O).
//!
//! Memory that is not aligned as the device wants it (`dma_alignment`) is not taken here: its bytes are copied (`rw`).

use crate::BlockFile;
use block::BlockDevice;
use buffer::DeviceCache;
use buffer::direct::{Direct, Ending};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use vfs::kiocb::IoDone;
use x86_mm::uaccess::IovIter;

/// Whether all of the program's memory is aligned as the device wants it. False for the kernel's own.
pub(crate) fn is_aligned(bdev: &BlockDevice, iter: &IovIter<'_>) -> bool {
    let mask = bdev.disk().limits().dma_alignment as usize;
    iter.user_alignment().is_some_and(|(addresses, lengths)| (addresses | lengths) & mask == 0)
}

/// What is left to do: after a write, to forget what was read in meanwhile.
struct End {
    cache: Arc<DeviceCache>,
    written: Option<(u64, u64)>,
}

impl Ending for End {
    fn needs_task(&self, _: Result<usize>) -> bool {
        self.written.is_some() && self.cache.mapping().page_count() != 0
    }

    fn settle(&mut self, result: Result<usize>) -> Result<usize> {
        if let Some((start, end)) = self.written {
            // Its errors are those of buffers that are in use, which is their users' affair.
            let _ = buffer::io::after_direct(&self.cache, start, end);
        }
        result
    }
}

/// What is transferred.
pub(crate) struct Transfer<'a, 'b> {
    pub(crate) file: &'a BlockFile,
    pub(crate) iter: &'a mut IovIter<'b>,
    pub(crate) pos: u64,
    pub(crate) write: bool,
    /// It is to be on stable storage.
    pub(crate) sync: bool,
}

impl<'a> Transfer<'a, '_> {
    /// Transfers and waits: how many bytes.
    pub(crate) fn wait(self) -> Result<usize> {
        self.begin(false, false)?.wait()
    }

    /// Begins; `done` hears of the end, which the submitter looks for if it is `polled`.
    pub(crate) fn submit(self, done: KBox<dyn IoDone>, polled: bool) {
        let cache = &self.file.cache;
        let written = self.write.then(|| (self.pos, self.pos.saturating_add(self.iter.count() as u64)));
        let end = match KBox::new(End { cache: cache.clone(), written }, GFP_KERNEL) {
            Ok(end) => end,
            Err(error) => return done.done(Err(error.into())),
        };
        match self.begin(true, polled) {
            Ok(direct) => direct.submit(end, done, cache.endings()),
            Err(error) => done.done(Err(error)),
        }
    }

    /// Sends all. What could not be sent is the transfer's error.
    fn begin(self, told: bool, polled: bool) -> Result<Direct<'a>> {
        let len = self.iter.count();
        let mut direct = Direct::new(self.file.bdev(), self.write, self.sync, len, told)?;
        if polled {
            direct.set_polled();
        }
        if let Err(error) = direct.send(self.iter, self.pos >> 9, len) {
            direct.fail(error);
        }
        Ok(direct)
    }
}
