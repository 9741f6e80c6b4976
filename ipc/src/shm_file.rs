// SPDX-License-Identifier: GPL-2.0
//! A segment as a mapping sees it: the tmpfs file behind it, with the rights of one `shmat(2)`, and a count of the mappings.
//! No locks but the segment's.

use crate::ns::NsRef;
use crate::shm::Segment;
use core::fmt;
use errno::Result;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use mm::{Mapping, VmFile};

/// Minor 1 of the devices without a device: Linux's internal mount.
const DEVICE: u64 = 1;

/// What one `shmat` maps.
pub(crate) struct ShmFile {
    /// Kept as long as the mapping.
    ns: NsRef,
    segment: Arc<Segment>,
    writable: bool,
}

impl ShmFile {
    pub(crate) fn shared(ns: NsRef, segment: Arc<Segment>, writable: bool) -> Result<Arc<dyn VmFile>> {
        let file: Arc<dyn VmFile> = Arc::new(Self { ns, segment, writable }, GFP_KERNEL)?;
        Ok(file)
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }
}

impl VmFile for ShmFile {
    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        self.writable
    }

    fn may_exec(&self) -> bool {
        true
    }

    fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.segment.file.ops().mapping(&self.segment.file)
    }

    fn id(&self) -> (u64, u64) {
        (DEVICE, self.segment.id().into())
    }

    fn show_path(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.segment.file.show_path(out)
    }

    fn punch_hole(&self, start: u64, len: u64) -> Result {
        self.segment.file.punch_hole(start, len)
    }

    fn counts_mappings(&self) -> bool {
        true
    }

    fn mapped(&self) {
        self.segment.open();
    }

    fn unmapped(&self) {
        self.segment.close(&self.ns);
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
