// SPDX-License-Identifier: GPL-2.0
//! The vDSO in a new program: the data page, and the code directly above it.

use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SetOnce;
use mm::{Mm, SpecialMapping};
use mm_alloc::PAGE_SIZE;
use process::hooks::Vdso;

struct Pages {
    data: Arc<SpecialMapping>,
    code: Arc<SpecialMapping>,
}

static PAGES: SetOnce<Pages> = SetOnce::new();

struct Mapper;

impl Vdso for Mapper {
    fn map(&self, mm: &Mm) -> Result<usize> {
        let Some(pages) = PAGES.get() else { return Ok(0) };
        let room = mm.find_room(pages.data.len() + pages.code.len())?;
        mm.map_special(&pages.data, room, false)?;
        mm.map_special(&pages.code, room + PAGE_SIZE, true)
    }
}

/// Offers the pages (made in the first half of start-up) to `execve`. Task context.
pub(crate) fn init() -> Result {
    let Some(image) = x86_vdso::image() else { return Ok(()) };
    let mut data = KVec::with_capacity(1, GFP_KERNEL)?;
    data.push(image.data.clone(), GFP_KERNEL)?;
    let mut code = KVec::with_capacity(image.code.len(), GFP_KERNEL)?;
    for page in image.code.iter() {
        code.push(page.clone(), GFP_KERNEL)?;
    }
    let pages = Pages { data: SpecialMapping::new("[vvar]", data)?, code: SpecialMapping::new("[vdso]", code)? };
    // Once: nobody else sets it.
    let _ = PAGES.set(pages);
    static MAPPER: &dyn Vdso = &Mapper;
    process::hooks::VDSO.set(&MAPPER);
    Ok(())
}
