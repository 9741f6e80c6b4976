// SPDX-License-Identifier: GPL-2.0
//! The ELF file: a header, a segment of notes, and a segment for each mapping with as much of it as the filter lets through. Pages
//! that were never there are holes. Locks: the address space's, for short.

use super::{interrupted, notes};
use crate::signal::SigInfo;
use crate::thread::Process;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{E2BIG, EFBIG, EINTR, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec};
use mm::{Mm, VmFlags, VmaInfo};
use mm_alloc::layout::PAGE_SIZE;
use task::Task;
use vfs::File;

const EHDR: usize = 64;
const PHDR: usize = 56;
/// Bit of an entry of `pagemap`: there is a page.
const PRESENT: u64 = 1 << 63;

/// Bits of the filter.
const ANON_PRIVATE: u32 = 1 << 0;
const ANON_SHARED: u32 = 1 << 1;
const MAPPED_PRIVATE: u32 = 1 << 2;
const MAPPED_SHARED: u32 = 1 << 3;
const ELF_HEADERS: u32 = 1 << 4;

/// A mapping, and how many bytes of it go into the file.
pub(super) struct Area {
    pub(super) info: VmaInfo,
    size: usize,
}

struct Out<'a> {
    file: &'a File,
    process: &'a Process,
    at: u64,
    /// Bytes that really were written, for the limit.
    written: u64,
    limit: u64,
    hole: bool,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result {
        if interrupted(self.process) {
            return Err(EINTR);
        }
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.limit {
            return Err(EFBIG);
        }
        let at = i64::try_from(self.at).map_err(|_| EFBIG)?;
        vfs::tasks::kernel_write(self.file, at, bytes)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.hole = false;
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes as u64);
        self.hole |= bytes != 0;
    }
}

/// Writes the core file of the current process, whose other threads rest.
pub(super) fn write(file: &File, task: &Task, process: &Arc<Process>, info: &SigInfo) -> Result {
    let mm = mm::mm_of(task).ok_or(ESRCH)?;
    let areas = areas(&mm, process)?;
    let notes = notes::all(task, process, info, &areas)?;
    let count = areas.len() + 1;
    let phnum = u16::try_from(count).ok().filter(|&n| n != u16::MAX).ok_or(E2BIG)?;
    let notes_at = EHDR + count * PHDR;
    let data_at = (notes_at + notes.len()).next_multiple_of(PAGE_SIZE);
    let limit = rlimit::current(uapi::RLIMIT_CORE);
    let mut out = Out { file, process, at: 0, written: 0, limit, hole: false };
    out.put(&header(phnum))?;
    out.put(&segment(uapi::PT_NOTE, 0, notes_at, 0, [notes.len(), 0], 4))?;
    let mut at = data_at;
    for area in &areas {
        let flags = area.info.flags;
        let right = |flag, bit| if flags.any(flag) { bit } else { 0 };
        let rights = right(VmFlags::READ, 4) | right(VmFlags::WRITE, 2) | right(VmFlags::EXEC, 1);
        let sizes = [area.size, area.info.end - area.info.start];
        out.put(&segment(uapi::PT_LOAD, rights, at, area.info.start, sizes, PAGE_SIZE))?;
        at = at.checked_add(area.size).ok_or(EFBIG)?;
    }
    out.put(&notes)?;
    out.skip(data_at - notes_at - notes.len());
    let mut page = KVVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    for area in &areas {
        put_area(&mut out, &mm, area, &mut page)?;
    }
    if out.hole {
        vfs::attr::truncate(file.inode(), out.at, true)?;
    }
    Ok(())
}

fn put_area(out: &mut Out<'_>, mm: &Mm, area: &Area, page: &mut [u8]) -> Result {
    let anonymous = area.info.file.is_none();
    let mut at = area.info.start;
    while at < area.info.start + area.size {
        // Also where nothing is written, which may be terabytes.
        if interrupted(out.process) {
            return Err(EINTR);
        }
        let mut entry = [0u64];
        if anonymous {
            mm.pagemap(at, &mut entry, false);
        }
        let there = !anonymous || entry[0] & PRESENT != 0 || area.info.name == Some("[vdso]");
        if there && mm.read(at, page, true) == page.len() {
            out.put(page)?;
        } else {
            out.skip(PAGE_SIZE);
        }
        at += PAGE_SIZE;
    }
    Ok(())
}

/// Every mapping.
fn areas(mm: &Mm, process: &Process) -> Result<KVVec<Area>> {
    let filter = process.coredump_filter.load(Ordering::Relaxed);
    let mut areas = KVVec::new();
    let mut from = 0;
    while let Some(info) = mm.vma_after(from) {
        from = info.end;
        if info.start >= mm_alloc::layout::TASK_SIZE {
            break;
        }
        let size = size_of_area(mm, &info, filter);
        areas.push(Area { info, size }, GFP_KERNEL)?;
    }
    Ok(areas)
}

/// How many bytes of a mapping the filter lets through.
fn size_of_area(mm: &Mm, info: &VmaInfo, filter: u32) -> usize {
    let whole = info.end - info.start;
    let on = |bit: u32, size: usize| if filter & bit != 0 { size } else { 0 };
    if info.file.is_none() && matches!(info.name, Some("[vdso]" | "[vvar]")) {
        return whole;
    }
    if info.flags.any(VmFlags::DONTDUMP.with(VmFlags::IO)) {
        return 0;
    }
    if info.flags.any(VmFlags::SHARED) {
        let nameless = info.file.as_ref().is_some_and(|file| file.mapping().is_some_and(|m| m.is_memory()));
        return on(if nameless { ANON_SHARED } else { MAPPED_SHARED }, whole);
    }
    let mut pages = mm::SmapsInfo::default();
    mm.smaps(info.start, info.end, &mut pages);
    if pages.anonymous != 0 && filter & ANON_PRIVATE != 0 {
        return whole;
    }
    if info.file.is_none() {
        return 0;
    }
    if filter & MAPPED_PRIVATE != 0 {
        return whole;
    }
    let mut magic = [0; 4];
    let first = info.offset == 0 && info.flags.any(VmFlags::READ);
    if filter & ELF_HEADERS != 0 && first && mm.read(info.start, &mut magic, true) == 4 && magic == *b"\x7fELF" {
        return PAGE_SIZE;
    }
    0
}

fn header(phnum: u16) -> [u8; EHDR] {
    let mut bytes = [0; EHDR];
    let mut put = |at: usize, value: &[u8]| {
        for (to, from) in bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    };
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &4u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(32, &(EHDR as u64).to_le_bytes());
    put(52, &(EHDR as u16).to_le_bytes());
    put(54, &(PHDR as u16).to_le_bytes());
    put(56, &phnum.to_le_bytes());
    bytes
}

/// A program header; `sizes` are those in the file and in memory.
fn segment(kind: u32, flags: u32, offset: usize, address: usize, sizes: [usize; 2], align: usize) -> [u8; PHDR] {
    let mut bytes = [0; PHDR];
    let [in_file, in_memory] = sizes;
    let head = u64::from(kind) | u64::from(flags) << 32;
    let words = [head, offset as u64, address as u64, 0, in_file as u64, in_memory as u64, align as u64];
    for (to, from) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    bytes
}
