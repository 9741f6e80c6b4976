// SPDX-License-Identifier: GPL-2.0
//! Building a new program's address space, piece by piece, by `execve`: nobody runs in it yet.
//!
//! Order: [`Mm::new_exec`], [`Mm::map_segment`]s and [`Mm::map_zero`]s, [`Mm::set_heap`], [`Mm::map_stack`], strings by
//! [`Mm::write`], [`Mm::map_special`] for the vDSO; then [`crate::replace_mm`].

use crate::file::VmFile;
use crate::flags::{Prot, VmFlags};
use crate::layout::{LEGACY_VA_LAYOUT, Places, RANDOMIZE_VA_SPACE, brk_start};
use crate::mm_struct::{Mm, with_mm_of};
use crate::mmap::MapArgs;
use crate::vma::{Backing, Vma};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_MASK, PAGE_SIZE, page_align};

/// How to lay the address space out.
#[derive(Clone, Copy, Debug)]
pub struct ExecLayout {
    /// Random addresses (not with ADDR_NO_RANDOMIZE; `kernel.randomize_va_space` 0 counts besides).
    pub randomize: bool,
    /// Soft RLIMIT_STACK of the new program.
    pub stack_limit: u64,
    /// Maps go bottom up (`ADDR_COMPAT_LAYOUT`).
    pub legacy: bool,
}

/// Pages of the kernel's that programs may map: the vDSO and its data.
pub struct SpecialMapping {
    name: &'static str,
    pages: KVec<Page>,
}

impl SpecialMapping {
    /// `name` is what `/proc/PID/maps` shows (`[vdso]`). ENOMEM.
    pub fn new(name: &'static str, pages: KVec<Page>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { name, pages }, GFP_KERNEL)?)
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Whether there are no pages.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub(crate) fn page(&self, index: u64) -> Option<&Page> {
        self.pages.get(usize::try_from(index).ok()?)
    }
}

/// Stack that is there from the start; it grows on demand.
const INITIAL_STACK: usize = 132 << 10;

impl Mm {
    /// An empty address space with its places chosen. ENOMEM.
    pub fn new_exec(layout: &ExecLayout) -> Result<Arc<Self>> {
        let randomize = layout.randomize && RANDOMIZE_VA_SPACE.load(Ordering::Relaxed) != 0;
        let legacy = layout.legacy || LEGACY_VA_LAYOUT.load(Ordering::Relaxed) != 0;
        let mm = Mm::new(Places::choose(randomize, layout.stack_limit, legacy), randomize)?;
        let no_huge = task::try_current().and_then(|task| with_mm_of(&task, |mm| mm.huge_pages_disabled()));
        mm.disable_huge_pages(no_huge == Some(true));
        Ok(mm)
    }

    /// Where a position-independent program goes that has an interpreter (others, and interpreters, go where `mmap` puts them).
    pub fn pie_base(&self) -> usize {
        self.inner.read().places.pie_base
    }

    /// Maps a file's pages privately at exactly `addr`: a program's `first` segment where nothing is (EEXIST), others over what is
    /// there. All but `prot` in whole pages: `offset` and `addr` are page aligned, `len` is rounded up. Returns the address.
    pub fn map_segment(
        &self,
        file: &Arc<dyn VmFile>,
        addr: usize,
        len: usize,
        prot: Prot,
        offset: u64,
        first: bool,
    ) -> Result<usize> {
        let fixed = if first { uapi::MAP_FIXED_NOREPLACE } else { uapi::MAP_FIXED };
        let flags = uapi::MAP_PRIVATE | fixed;
        self.mmap(MapArgs { addr, len, prot, flags, file: Some(file.clone()), pgoff: offset / PAGE_SIZE as u64 })
    }

    /// Maps zeros at exactly `[addr, addr + len)` over whatever is there: memory like the heap's, whatever the segment's flags
    /// say, as Linux's `vm_brk_flags` makes it, and `ENOMEM` if so much cannot be promised.
    pub fn map_zero(&self, addr: usize, len: usize, exec: bool) -> Result {
        if len == 0 {
            return Ok(());
        }
        let start = addr & PAGE_MASK;
        let len = page_align(addr.checked_add(len).ok_or(ENOMEM)?) - start;
        let flags = uapi::MAP_PRIVATE | uapi::MAP_FIXED | uapi::MAP_ANONYMOUS;
        let prot = Prot(uapi::PROT_READ | uapi::PROT_WRITE | if exec { uapi::PROT_EXEC } else { 0 });
        self.mmap(MapArgs { addr: start, len, prot, flags, file: None, pgoff: 0 }).map(|_| ())
    }

    /// Maps a page of zeros at address 0 for programs that read there (`MMAP_PAGE_ZERO`). `EPERM` below `vm.mmap_min_addr`.
    pub fn map_page_zero(&self) -> Result {
        let flags = uapi::MAP_PRIVATE | uapi::MAP_FIXED | uapi::MAP_ANONYMOUS;
        self.mmap(MapArgs { addr: 0, len: PAGE_SIZE, prot: Prot::RX, flags, file: None, pgoff: 0 }).map(drop)
    }

    /// Reserves `len` bytes of addresses anywhere, for a program with several segments: its address. They are unmapped again as
    /// the segments are put in with [`Mm::map_zero`] or after [`Mm::munmap`].
    pub fn find_room(&self, len: usize) -> Result<usize> {
        let mut inner = self.inner.write();
        crate::mmap::pick(&mut inner, 0, page_align(len))
    }

    /// The heap begins above `end`, where the program's data ends.
    pub fn set_heap(&self, end: usize) {
        let mut inner = self.inner.write();
        let start = brk_start(end, inner.randomize);
        inner.marks.start_brk = start;
        inner.marks.brk = start;
    }

    /// Maps the stack; returns one past its highest address. `exec`: PT_GNU_STACK asks for an executable one.
    pub fn map_stack(&self, exec: bool) -> Result<usize> {
        let mut inner = self.inner.write();
        let top = inner.places.stack_top;
        let start = top - INITIAL_STACK;
        let mut flags = VmFlags(
            VmFlags::READ.0
                | VmFlags::WRITE.0
                | VmFlags::MAYREAD.0
                | VmFlags::MAYWRITE.0
                | VmFlags::MAYEXEC.0
                | VmFlags::GROWSDOWN.0
                | VmFlags::ACCOUNT.0,
        );
        if exec {
            flags = flags.with(VmFlags::EXEC);
        }
        crate::account::charge(INITIAL_STACK)?;
        let pgoff = (start / PAGE_SIZE) as u64;
        let made = Vma::new(flags, pgoff, Backing::Anon, &self.table, start, top)
            .and_then(|vma| inner.areas.insert(start, top, vma).map_err(|_| ENOMEM));
        if made.is_err() {
            crate::account::uncharge(INITIAL_STACK);
        }
        made?;
        self.count(&mut inner, flags, INITIAL_STACK, true);
        Ok(top)
    }

    /// Maps pages of the kernel's at `addr` (0: anywhere); returns the address. `exec` for code, else data to read.
    pub fn map_special(&self, special: &Arc<SpecialMapping>, addr: usize, exec: bool) -> Result<usize> {
        let mut inner = self.inner.write();
        let len = special.len();
        let addr = if addr == 0 { crate::mmap::pick(&mut inner, 0, len)? } else { addr };
        let mut flags = VmFlags(VmFlags::READ.0 | VmFlags::MAYREAD.0);
        flags = match exec {
            true => flags.with(VmFlags(VmFlags::EXEC.0 | VmFlags::MAYWRITE.0 | VmFlags::MAYEXEC.0)),
            false => {
                flags.with(VmFlags(VmFlags::IO.0 | VmFlags::DONTEXPAND.0 | VmFlags::DONTDUMP.0 | VmFlags::PFNMAP.0))
            }
        };
        let vma = Vma::new(flags, 0, Backing::Special(special.clone()), &self.table, addr, addr + len)?;
        inner.areas.insert(addr, addr + len, vma).map_err(|_| ENOMEM)?;
        self.count(&mut inner, flags, len, true);
        Ok(addr)
    }

    /// Puts `new` in the place of the special mapping that has its name and length, if there is one. May sleep.
    pub fn replace_special(&self, new: &Arc<SpecialMapping>) {
        let mut inner = self.inner.write();
        let place = inner.areas.iter().find_map(|slot| match &slot.value.backing {
            Backing::Special(old) if old.name() == new.name() && slot.len() == new.len() => {
                Some((slot.start, slot.end))
            }
            _ => None,
        });
        let Some((start, end)) = place else { return };
        let index = inner.areas.index(start);
        if let Some(vma) = inner.areas.value_mut(index) {
            vma.backing = Backing::Special(new.clone());
            self.table.zap_range(start, end);
        }
    }
}
