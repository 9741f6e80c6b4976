// SPDX-License-Identifier: GPL-2.0
//! The vDSO in a new program: the data page, and the code directly above it.

use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SetOnce;
use mm::{Mm, SpecialMapping};
use mm_alloc::{PAGE_SIZE, Page};
use process::hooks::{Vdso, VdsoData};

struct Pages {
    data: Arc<SpecialMapping>,
    code: Arc<SpecialMapping>,
}

static PAGES: SetOnce<Pages> = SetOnce::new();

struct Mapper;

impl Vdso for Mapper {
    fn map(&self, mm: &Mm, data: Option<&dyn VdsoData>) -> Result<usize> {
        let Some(pages) = PAGES.get() else { return Ok(0) };
        let data = data.map_or(&pages.data, |data| data.mapping());
        let room = mm.find_room(data.len() + pages.code.len())?;
        mm.map_special(data, room, false)?;
        mm.map_special(&pages.code, room + PAGE_SIZE, true)
    }

    fn switch(&self, mm: &Mm, data: Option<&dyn VdsoData>) {
        let Some(pages) = PAGES.get() else { return };
        mm.replace_special(data.map_or(&pages.data, |data| data.mapping()));
    }

    fn shifted(&self, monotonic: i64, boottime: i64) -> Result<Arc<dyn VdsoData>> {
        let page = x86_vdso::Shifted::new(monotonic, boottime)?;
        ktime::timekeeper::publish_vdso();
        let mapping = mapping_of(page.data())?;
        let data: Arc<dyn VdsoData> = Arc::new(ShiftedData { mapping, _page: page }, GFP_KERNEL)?;
        Ok(data)
    }
}

/// The page of a time name space.
struct ShiftedData {
    mapping: Arc<SpecialMapping>,
    /// Kept up to date as long as this is there.
    _page: x86_vdso::Shifted,
}

impl VdsoData for ShiftedData {
    fn mapping(&self) -> &Arc<SpecialMapping> {
        &self.mapping
    }
}

fn mapping_of(data: &Page) -> Result<Arc<SpecialMapping>> {
    let mut pages = KVec::with_capacity(1, GFP_KERNEL)?;
    pages.push(data.clone(), GFP_KERNEL)?;
    SpecialMapping::new("[vvar]", pages)
}

/// Offers the pages (made in the first half of start-up) to `execve`. Task context.
pub(crate) fn init() -> Result {
    let Some(image) = x86_vdso::image() else { return Ok(()) };
    let mut code = KVec::with_capacity(image.code.len(), GFP_KERNEL)?;
    for page in image.code.iter() {
        code.push(page.clone(), GFP_KERNEL)?;
    }
    let pages = Pages { data: mapping_of(&image.data)?, code: SpecialMapping::new("[vdso]", code)? };
    // Once: nobody else sets it.
    let _ = PAGES.set(pages);
    static MAPPER: &dyn Vdso = &Mapper;
    process::hooks::VDSO.set(&MAPPER);
    Ok(())
}
