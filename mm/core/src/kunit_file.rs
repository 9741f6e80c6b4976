// SPDX-License-Identifier: GPL-2.0
//! For the tests in the kernel: pages that tell their number, and files to be mapped.

use crate::file::VmFile;
use crate::mapping::{Mapping, MappingOps};
use crate::readahead::Readahead;
use errno::Result;
use kalloc::Arc;
use mm_alloc::Page;

/// Pages as of a file on a device: each begins with its number, counted from 1.
pub(crate) struct Numbered;

impl MappingOps for Numbered {
    fn read_page(&self, index: u64, page: &Page) -> Result {
        page.zero();
        page.fill(0, 1, index as u8 + 1)
    }
}

/// What a file shows to who maps it.
pub(crate) trait Shown: Send + Sync + 'static {
    fn mapping(&self) -> Option<&Arc<Mapping>>;
    fn readahead(&self) -> Option<&Readahead> {
        None
    }
    fn stored(&self) {}
}

impl Shown for Arc<Mapping> {
    fn mapping(&self) -> Option<&Arc<Mapping>> {
        Some(self)
    }
}

impl Shown for (Arc<Mapping>, Readahead) {
    fn mapping(&self) -> Option<&Arc<Mapping>> {
        Some(&self.0)
    }

    fn readahead(&self) -> Option<&Readahead> {
        Some(&self.1)
    }
}

/// A file, open for reading and writing.
pub(crate) struct Open<S>(pub(crate) S);

impl<S: Shown> VmFile for Open<S> {
    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        true
    }

    fn may_exec(&self) -> bool {
        false
    }

    fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.0.mapping()
    }

    fn readahead(&self) -> Option<&Readahead> {
        self.0.readahead()
    }

    fn stored(&self) {
        self.0.stored();
    }

    fn id(&self) -> (u64, u64) {
        (0, 0)
    }

    fn show_path(&self, _: &mut dyn core::fmt::Write) -> core::fmt::Result {
        Ok(())
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
