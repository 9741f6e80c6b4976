// SPDX-License-Identifier: GPL-2.0
//! What `/proc/PID/maps`, `smaps`, `stat` and `statm` show of an address space. Source: `proc(5)`.

use crate::file::VmFile;
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::Backing;
use kalloc::Arc;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use x86_mm::Kind;

/// One line of `/proc/PID/maps`.
pub struct VmaInfo {
    /// First address.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Flags.
    pub flags: VmFlags,
    /// Byte offset in the file; 0 for memory without one.
    pub offset: u64,
    /// The file.
    pub file: Option<Arc<dyn VmFile>>,
    /// `[heap]`, `[stack]`, `[vdso]`... where there is no file.
    pub name: Option<&'static str>,
}

/// The figures of one mapping in `/proc/PID/smaps`, in bytes.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in /proc/PID/smaps")]
pub struct SmapsInfo {
    pub rss: usize,
    pub pss: usize,
    pub shared_clean: usize,
    pub shared_dirty: usize,
    pub private_clean: usize,
    pub private_dirty: usize,
    pub referenced: usize,
    pub anonymous: usize,
}

impl Mm {
    /// The first mapping that ends above `addr`: call again with its end for the next one. May sleep.
    pub fn vma_after(&self, addr: usize) -> Option<VmaInfo> {
        let inner = self.inner.read();
        let slot = inner.areas.find(addr)?;
        let vma = &slot.value;
        let marks = inner.marks;
        let (file, name) = match &vma.backing {
            Backing::File(file) => (Some(file.clone()), None),
            Backing::Special(special) => (None, Some(special.name())),
            Backing::Anon if slot.start < marks.brk.max(marks.start_brk + 1) && slot.end > marks.start_brk => {
                (None, (marks.brk > marks.start_brk).then_some("[heap]"))
            }
            Backing::Anon if slot.contains(marks.start_stack) => (None, Some("[stack]")),
            Backing::Anon => (None, None),
        };
        let offset = if file.is_some() { vma.pgoff << PAGE_SHIFT } else { 0 };
        Some(VmaInfo { start: slot.start, end: slot.end, flags: vma.flags, offset, file, name })
    }

    /// Counts the pages of `[start, end)` for `smaps`. May sleep.
    pub fn smaps(&self, start: usize, end: usize) -> SmapsInfo {
        let _inner = self.inner.read();
        let mut info = SmapsInfo::default();
        self.table.for_each_entry(start, end, |_, entry, frame| {
            let Some(frame) = frame else { return };
            let anon = Kind::of(frame) == Kind::Anon;
            // The cache's own reference is not a user.
            let users = frame.ref_count().saturating_sub(u32::from(!anon)).max(1) as usize;
            info.rss += PAGE_SIZE;
            info.pss += PAGE_SIZE / users;
            let dirty = entry.is_dirty() || anon;
            let sum = match (users > 1, dirty) {
                (true, true) => &mut info.shared_dirty,
                (true, false) => &mut info.shared_clean,
                (false, true) => &mut info.private_dirty,
                (false, false) => &mut info.private_clean,
            };
            *sum += PAGE_SIZE;
            if entry.is_accessed() {
                info.referenced += PAGE_SIZE;
            }
            if anon {
                info.anonymous += PAGE_SIZE;
            }
        });
        info
    }
}
