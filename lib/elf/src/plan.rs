// SPDX-License-Identifier: GPL-2.0
//! From program headers to what is mapped where. Addresses in a plan are the file's: the loader adds its bias. No locks.

use crate::format::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use crate::{FileHeader, Kind, PAGE_SIZE, Phdr};
use core::ops::Range;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use zerocopy::FromBytes;

/// Longest path of an interpreter, with its NUL.
const PATH_MAX: u64 = 4096;

/// A program, its headers read.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    header: FileHeader,
    phdrs: &'a [u8],
    /// Where in the file the path of the interpreter is, with its NUL (read it, then `check_interp`).
    pub interp: Option<(u64, usize)>,
    /// Whether the program asks for an executable stack; `None` if it does not say (x86-64: not executable).
    pub exec_stack: Option<bool>,
}

/// A part of the file to map, and zeros behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Page-aligned start.
    pub start: u64,
    /// Page-aligned place in the file that is mapped at `start`.
    pub offset: u64,
    /// Page-aligned end of what is mapped from the file; `start` if nothing is.
    pub file_end: u64,
    /// The bytes to clear on the last page from the file; empty if there is no memory beyond the file's bytes.
    pub clear: AddrRange,
    /// Page-aligned end: from `file_end` up to here is memory of zeros.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub exec: bool,
}

/// A range of addresses (`core::ops::Range` is not `Copy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddrRange {
    /// The first.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
}

impl AddrRange {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// As a range.
    pub fn range(self) -> Range<u64> {
        self.start..self.end
    }
}

/// What to map, and the numbers that `/proc`, `brk` and the auxiliary vector need.
#[derive(Debug)]
pub struct Plan {
    /// Whether the addresses are fixed.
    pub kind: Kind,
    /// In the order of the file.
    pub segments: KVec<Segment>,
    /// Where the first instruction is.
    pub entry: u64,
    /// Where the program headers are in memory, if they are (`AT_PHDR`).
    pub phdr_addr: Option<u64>,
    /// `AT_PHNUM`.
    pub phnum: u16,
    /// Page-aligned start of the lowest and end of the highest segment.
    pub span: AddrRange,
    /// What the bias must be a multiple of: the greatest alignment of a segment.
    pub align: u64,
    /// Unaligned end of memory: the program break starts at its page.
    pub brk: u64,
    /// Code, for `/proc/PID/stat`.
    pub code: AddrRange,
    /// Data, for `/proc/PID/stat`.
    pub data: AddrRange,
}

const fn page_down(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

fn page_up(addr: u64) -> Result<u64> {
    addr.checked_next_multiple_of(PAGE_SIZE).ok_or(EINVAL)
}

impl<'a> Image<'a> {
    /// Looks through the program headers `phdrs`, read from the file at `header.phoff()`. `ENOEXEC` if there are too few
    /// bytes or the interpreter's path is too short or long.
    pub fn parse(header: FileHeader, phdrs: &'a [u8]) -> Result<Self> {
        let phdrs = phdrs.get(..header.phdrs_len()).ok_or(ENOEXEC)?;
        let mut this = Self { header, phdrs, interp: None, exec_stack: None };
        for p in this.phdrs() {
            match p.p_type {
                PT_INTERP if this.interp.is_none() => {
                    if !(2..=PATH_MAX).contains(&p.p_filesz) {
                        return Err(ENOEXEC);
                    }
                    this.interp = Some((p.p_offset, p.p_filesz as usize));
                }
                PT_GNU_STACK => this.exec_stack = Some(p.p_flags & PF_X != 0),
                _ => {}
            }
        }
        Ok(this)
    }

    /// The program headers.
    pub fn phdrs(&self) -> impl Iterator<Item = Phdr> + use<'a> {
        self.phdrs.chunks_exact(size_of::<Phdr>()).filter_map(|c| Phdr::read_from_bytes(c).ok())
    }

    /// The file header.
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// The interpreter's path from the bytes at `interp`: up to the first NUL. `ENOEXEC` if the last byte is not NUL.
    pub fn check_interp(bytes: &[u8]) -> Result<&[u8]> {
        if bytes.last() != Some(&0) {
            return Err(ENOEXEC);
        }
        bytes.split(|&c| c == 0).next().ok_or(ENOEXEC)
    }

    /// What to map in an address space of user addresses below `task_size`. `EINVAL` for segments that cannot be, or if
    /// there are none; `ENOMEM`.
    pub fn plan(&self, task_size: u64) -> Result<Plan> {
        let mut plan = Plan {
            kind: self.header.kind,
            segments: KVec::new(),
            entry: self.header.entry,
            phdr_addr: None,
            phnum: self.header.phnum,
            span: AddrRange { start: u64::MAX, end: 0 },
            align: PAGE_SIZE,
            brk: 0,
            code: AddrRange { start: u64::MAX, end: 0 },
            data: AddrRange { start: 0, end: 0 },
        };
        for p in self.phdrs().filter(|p| p.p_type == PT_LOAD) {
            plan.add(&p, self.header.phoff, task_size)?;
        }
        if plan.segments.is_empty() {
            return Err(EINVAL);
        }
        Ok(plan)
    }
}

impl Plan {
    fn add(&mut self, p: &Phdr, phoff: u64, task_size: u64) -> Result {
        let mem_end = p.p_vaddr.checked_add(p.p_memsz).ok_or(EINVAL)?;
        if p.p_vaddr >= task_size || p.p_filesz > p.p_memsz || mem_end > task_size {
            return Err(EINVAL);
        }
        let in_page = p.p_vaddr % PAGE_SIZE;
        if p.p_offset % PAGE_SIZE != in_page || p.p_offset.checked_add(p.p_filesz).is_none_or(|e| e > i64::MAX as u64) {
            return Err(EINVAL);
        }
        let file_data_end = p.p_vaddr.wrapping_add(p.p_filesz);
        let start = page_down(p.p_vaddr);
        let file_end = if p.p_filesz == 0 { start } else { page_up(file_data_end)? };
        let end = page_up(mem_end)?.max(file_end);
        let clears = p.p_memsz > p.p_filesz && p.p_filesz != 0;
        let clear = if clears { AddrRange { start: file_data_end, end: file_end } } else { AddrRange::default() };
        let flag = |f| p.p_flags & f != 0;
        let segment = Segment {
            start,
            offset: page_down(p.p_offset),
            file_end,
            clear,
            end,
            read: flag(PF_R),
            write: flag(PF_W),
            exec: flag(PF_X),
        };
        self.segments.push(segment, GFP_KERNEL)?;

        if (p.p_offset..p.p_offset.wrapping_add(p.p_filesz)).contains(&phoff) {
            self.phdr_addr = Some(phoff.wrapping_sub(p.p_offset).wrapping_add(p.p_vaddr));
        }
        self.span = AddrRange { start: self.span.start.min(start), end: self.span.end.max(end) };
        if p.p_align.is_power_of_two() {
            self.align = self.align.max(p.p_align);
        }
        self.brk = self.brk.max(mem_end);
        if segment.exec {
            self.code.start = self.code.start.min(p.p_vaddr);
            self.code.end = self.code.end.max(file_data_end);
        }
        self.data = AddrRange { start: self.data.start.max(p.p_vaddr), end: self.data.end.max(file_data_end) };
        Ok(())
    }

    /// How many bytes of address space the program takes, holes included.
    pub fn total_size(&self) -> u64 {
        self.span.end.saturating_sub(self.span.start)
    }

    /// What to add to the plan's addresses for a program that is to lie at or just below `base`: 0 for fixed addresses.
    /// `EINVAL` if it would not lie below `task_size`.
    pub fn bias(&self, base: u64, task_size: u64) -> Result<u64> {
        let bias = match self.kind {
            Kind::Exec => 0,
            Kind::Dyn => page_down(base & !(self.align.wrapping_sub(1))).wrapping_sub(self.span.start),
        };
        let start = self.span.start.wrapping_add(bias);
        let end = start.checked_add(self.total_size()).ok_or(EINVAL)?;
        if end > task_size || (self.kind == Kind::Dyn && start > base) { Err(EINVAL) } else { Ok(bias) }
    }
}
