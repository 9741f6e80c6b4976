// SPDX-License-Identifier: GPL-2.0
//! Transfers between pages and an area: a run of places is cut where the area's extents end. A file's blocks are found once, at
//! `swapon`; the file system is not asked again.

use block::{BlockDevice, Op, OpFlags};
use buffer::bios::{RunIo, transfer};
use errno::{Error, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_NOIO;
use mm::ReadRun;
use mm::swap::{SwapIo, SwapWrite};
use mm_alloc::Page;
use swap_map::Extents;

/// A device, or the blocks of a file on one.
pub(crate) struct Device {
    pub(crate) bdev: Arc<BlockDevice>,
    pub(crate) extents: Extents,
    pub(crate) id: usize,
}

/// Pages on their way out.
struct Out(SwapWrite);

impl RunIo for Out {
    const OP: Op = Op::Write;

    fn pages(&self) -> &[Page] {
        self.0.pages()
    }

    fn fail(&self, error: Error) {
        self.0.fail(error);
    }
}

impl Device {
    /// Transfers all of a run whose first page has place `first`.
    fn transfer_all<I: RunIo>(&self, io: &Arc<I>, first: u64) {
        let count = io.pages().len();
        let mut skip = 0;
        while skip < count {
            let Some((pos, left)) = self.extents.find(first.saturating_add(skip as u64)) else {
                io.fail(EIO);
                return;
            };
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(count - skip);
            // What could not be sent is told to the run.
            if transfer(&self.bdev, io, skip, part, pos, OpFlags::NONE).is_err() {
                return;
            }
            skip += part;
        }
    }
}

impl SwapIo for Device {
    fn read(&self, run: ReadRun) {
        let first = run.first();
        // Without memory the run failed, and whoever wants a page reads it alone.
        if let Ok(io) = run.start() {
            self.transfer_all(&io, first);
        }
    }

    fn write(&self, run: SwapWrite) {
        let first = run.first();
        // Without memory nothing was begun, and the pages stay.
        if let Ok(io) = Arc::new(Out(run), GFP_NOIO) {
            io.0.begin();
            self.transfer_all(&io, first);
        }
    }

    fn id(&self) -> usize {
        self.id
    }
}
