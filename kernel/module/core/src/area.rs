// SPDX-License-Identifier: GPL-2.0
//! `Area`: a range of the modules' addresses with its pages. Bytes are written before they are mapped, through the pages'
//! own addresses, so no mapping is ever both writable and executable. A guard page follows each area.
//!
//! Addresses are handed out from a sorted list of what is in use (first fit: modules come close together, and the page tables
//! that were made for one serve the next). Lock: `RESERVED`.

use crate::{ExitFn, Header, InitFn, Param};
use core::ops::Range;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kunit_suites::Suite;
use locking::SpinLock;
use mm_alloc::kpt::{self, Prot};
use mm_alloc::layout::{MODULES_END, MODULES_START};
use mm_alloc::{PAGE_SIZE, Page};

/// Ranges in use, sorted, each with its guard page.
static RESERVED: SpinLock<KVec<Range<usize>>> = SpinLock::new(KVec::new());

/// A range of the modules' addresses, and the pages mapped there.
///
/// # Invariants
/// `start..start + len` and the page after it are in `RESERVED` because of this value. `pages` are mapped there in order, the
/// part `code` executable, `data` writable, the rest read-only; no page is mapped anywhere else but in the direct map.
pub struct Area {
    start: usize,
    len: usize,
    pages: KVec<Page>,
    code: Range<usize>,
    data: Range<usize>,
}

/// Finds room for `len` bytes.
fn reserve(len: usize) -> Result<usize> {
    let whole = len.checked_add(PAGE_SIZE).ok_or(ENOMEM)?;
    let mut reserved = RESERVED.lock();
    reserved.reserve(1, GFP_ATOMIC)?;
    let mut start = MODULES_START;
    let mut at = 0;
    for range in reserved.iter() {
        if range.start.saturating_sub(start) >= whole {
            break;
        }
        start = range.end;
        at += 1;
    }
    let end = start.checked_add(whole).filter(|&end| end <= MODULES_END).ok_or(ENOMEM)?;
    reserved.insert(at, start..end, GFP_ATOMIC)?;
    Ok(start)
}

impl Area {
    /// Reserves `len` bytes (whole pages). `EINVAL` for none, `ENOMEM`.
    pub fn reserve(len: usize) -> Result<Self> {
        if len == 0 || !len.is_multiple_of(PAGE_SIZE) {
            return Err(EINVAL);
        }
        Ok(Self { start: reserve(len)?, len, pages: KVec::new(), code: 0..0, data: 0..0 })
    }

    /// Its first address.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes: never.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The addresses of its code.
    pub fn code(&self) -> Range<usize> {
        self.start.wrapping_add(self.code.start)..self.start.wrapping_add(self.code.end)
    }

    /// Whether `address` is in its code.
    pub fn is_code(&self, address: usize) -> bool {
        address.checked_sub(self.start).is_some_and(|offset| self.code.contains(&offset))
    }

    /// Fills and maps it, once: `bytes` are [`Self::len`] bytes, `code` and `data` whole pages of it.
    pub fn map(&mut self, bytes: &[u8], code: Range<usize>, data: Range<usize>) -> Result {
        if bytes.len() != self.len || !self.pages.is_empty() || code.end > data.start && !code.is_empty() {
            return Err(EINVAL);
        }
        self.pages.reserve(self.len / PAGE_SIZE, GFP_KERNEL)?;
        for (index, chunk) in bytes.chunks(PAGE_SIZE).enumerate() {
            let offset = index * PAGE_SIZE;
            let prot = match () {
                () if code.contains(&offset) => Prot::RX,
                () if data.contains(&offset) => Prot::RW,
                () => Prot::RO,
            };
            let page = Page::alloc(GFP_KERNEL)?;
            page.write(0, chunk)?;
            // SAFETY: The address is reserved for this area and not mapped yet; the page stays in `pages`, which has room for
            // it, until it is unmapped.
            unsafe { kpt::map_page(self.start + offset, page.frame(), prot)? };
            self.pages.push(page, GFP_KERNEL)?;
        }
        (self.code, self.data) = (code, data);
        Ok(())
    }

    /// Offset of `count` objects of type `T` at `address` in `part`.
    fn object<T>(&self, address: usize, count: usize, part: &Range<usize>) -> Option<usize> {
        let offset = address.checked_sub(self.start)?;
        let size = count.checked_mul(size_of::<T>())?;
        let inside = offset >= part.start && offset.checked_add(size)? <= part.end;
        (inside && address.is_multiple_of(align_of::<T>()) && part.end <= self.pages.len() * PAGE_SIZE)
            .then_some(offset)
    }

    /// The part that is neither code nor data.
    fn constants(&self) -> Range<usize> {
        self.code.end..self.data.start
    }

    /// Constant bytes at `address`.
    pub fn bytes(&self, address: usize, len: usize) -> Result<&[u8]> {
        if len == 0 {
            return Ok(&[]);
        }
        self.object::<u8>(address, len, &self.constants()).ok_or(ENOEXEC)?;
        // SAFETY: Inside of pages that are mapped read-only at this address as long as `self` is there, and that nobody writes.
        Ok(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), len) })
    }

    /// The module's header at `address`, which is in its data.
    pub fn header(&self, address: usize) -> Result<&Header> {
        self.object::<Header>(address, 1, &self.data).ok_or(ENOEXEC)?;
        // SAFETY: Inside of the area's mapped data and aligned; by acceptance a `Header` is there, of which only the atomic
        // part ever changes. It lives as long as the pages, which `self` keeps.
        let header = unsafe { &*core::ptr::with_exposed_provenance::<Header>(address) };
        if header.is_sane() { Ok(header) } else { Err(ENOEXEC) }
    }

    /// The module's parameters: `len` bytes at `address`, in its constants.
    pub fn params(&self, address: usize, len: usize) -> Result<&[Param]> {
        if len == 0 {
            return Ok(&[]);
        }
        let count = len / size_of::<Param>();
        if !len.is_multiple_of(size_of::<Param>()) {
            return Err(ENOEXEC);
        }
        self.object::<Param>(address, count, &self.constants()).ok_or(ENOEXEC)?;
        // SAFETY: Inside of the area's mapped constants and aligned; by acceptance entries of `__param` are there, which never
        // change. Where they lead is looked at before anything there is.
        let params: &[Param] =
            unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), count) };
        if params.iter().all(|param| self.is_own(param)) { Ok(params) } else { Err(ENOEXEC) }
    }

    /// Whether name and value of a parameter are in this area.
    fn is_own(&self, param: &Param) -> bool {
        let (name, len) = (param.name.as_ptr().addr(), param.name.len());
        let value = core::ptr::from_ref(param.value).addr();
        len != 0
            && self.object::<u8>(name, len, &self.constants()).is_some()
            && core::str::from_utf8(param.name.as_bytes()).is_ok()
            && value.checked_sub(self.start).is_some_and(|offset| (self.code.end..=self.len).contains(&offset))
    }

    /// The module's suites of tests: `len` bytes of references at `address`, in its constants.
    pub fn suites(&self, address: usize, len: usize) -> Result<&[&Suite]> {
        if len == 0 {
            return Ok(&[]);
        }
        let count = len / size_of::<&Suite>();
        if !len.is_multiple_of(size_of::<&Suite>()) {
            return Err(ENOEXEC);
        }
        self.object::<usize>(address, count, &self.constants()).ok_or(ENOEXEC)?;
        // SAFETY: Inside of the area's mapped constants and aligned; nobody writes there.
        let addresses: &[usize] =
            unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), count) };
        let whole = self.code.end..self.len;
        if !addresses.iter().all(|&suite| self.object::<Suite>(suite, 1, &whole).is_some()) {
            return Err(ENOEXEC);
        }
        // SAFETY: As above; each leads to aligned, mapped memory of this area, where by acceptance a `Suite` is that never changes.
        Ok(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), count) })
    }

    /// Calls the module's `init`, which is code of `init` or of this area. `ENOEXEC` if it is elsewhere.
    pub fn call_init(&self, function: InitFn, init: Option<&Area>) -> Result<i32> {
        let address = function as usize;
        if !self.is_code(address) && !init.is_some_and(|area| area.is_code(address)) {
            return Err(ENOEXEC);
        }
        Ok(function())
    }

    /// Calls the module's `exit`, which is code of this area. `ENOEXEC` if it is elsewhere.
    pub fn call_exit(&self, function: ExitFn) -> Result {
        if !self.is_code(function as usize) {
            return Err(ENOEXEC);
        }
        function();
        Ok(())
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let mapped = self.pages.len() * PAGE_SIZE;
        if mapped != 0 {
            // SAFETY: Mapped by `map`; who drops the area uses nothing of it any more (the loader drops it after the module's end).
            unsafe { kpt::unmap(self.start, mapped, |_| {}) };
            // Before the pages and the addresses may be used again.
            kpt::flush_kernel_range(self.start, self.start + mapped);
        }
        self.pages.clear();
        let start = self.start;
        RESERVED.lock().retain(|range| range.start != start);
    }
}

impl core::fmt::Debug for Area {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Area({:#x}, {} pages)", self.start, self.pages.len())
    }
}
