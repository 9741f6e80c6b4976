// SPDX-License-Identifier: GPL-2.0
//! The vDSO: a small shared object that the kernel maps into every program (`user/vdso.rs`), and the data page below it that
//! tells it the time. `mm` maps [`image`]; `kernel/time` updates the page through `clock_hw::VDSO`.
//!
//! Each time name space has a data page of its own. Lock: `SHIFTED`, their list (spin, interrupts off; inside the clocks'). Updates are
//! serialised by `kernel/time`, readers (all of user space) retry by the sequence counter.

#![no_std]
#![forbid(unsafe_code)]

pub mod layout;

use clock_hw::{VDSO, VdsoMode, VdsoTime, VdsoUpdate};
use core::mem::offset_of;
use core::sync::atomic::{Ordering, fence};
use errno::{Result, code::EINVAL};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use layout::*;
use locking::{SetOnce, SpinLock};
use mm_alloc::{PAGE_SIZE, Page};

static IMAGE_BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

/// What to map: the data page (read-only), and directly above it the code (read, execute).
pub struct Image {
    /// `[vvar]`.
    pub data: Page,
    /// `[vdso]`, in order. `AT_SYSINFO_EHDR` is where the first is mapped.
    pub code: KVec<Page>,
}

static IMAGE: SetOnce<Image> = SetOnce::new();

/// Makes the pages and offers the data page to `kernel/time`. Once, at boot, when pages can be allocated; call
/// `ktime`'s `publish_vdso` afterwards. ENOMEM.
pub fn init() -> Result {
    let data = Page::alloc_zeroed(GFP_KERNEL)?;
    let mut code = KVec::new();
    for chunk in IMAGE_BYTES.chunks(PAGE_SIZE) {
        let page = Page::alloc_zeroed(GFP_KERNEL)?;
        page.write(0, chunk)?;
        code.push(page, GFP_KERNEL)?;
    }
    IMAGE.set(Image { data, code }).map_err(|_| EINVAL)?;
    static UPDATER: &dyn VdsoUpdate = &Updater;
    VDSO.set(&UPDATER);
    Ok(())
}

/// The pages; `None` before [`init`] (and on its failure: programs then do without).
pub fn image() -> Option<&'static Image> {
    IMAGE.get()
}

/// Writes the word at `offset` of the data page.
fn put(page: &Page, offset: usize, value: u64) {
    if let Some(word) = page.atomic_u64(offset) {
        word.store(value, Ordering::Relaxed);
    }
}

/// A data page for programs whose monotonic and boot time are other ones. It follows the clocks until this is dropped.
pub struct Shifted(Arc<ShiftedPage>);

struct ShiftedPage {
    page: Page,
    monotonic: i64,
    boottime: i64,
}

static SHIFTED: SpinLock<KVec<Arc<ShiftedPage>>> = SpinLock::new(KVec::new());

impl Shifted {
    /// A page with nanoseconds to be added to the clocks. It shows nothing before `ktime`'s next `publish_vdso`. ENOMEM. May sleep.
    pub fn new(monotonic: i64, boottime: i64) -> Result<Self> {
        let page = Page::alloc_zeroed(GFP_KERNEL)?;
        if let Some(Image { data, .. }) = IMAGE.get() {
            for offset in [offset_of!(DataPage, minutes_west), offset_of!(DataPage, dst_time)] {
                if let (Some(to), Some(from)) = (page.atomic_u32(offset), data.atomic_u32(offset)) {
                    to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
        }
        let shifted = Arc::new(ShiftedPage { page, monotonic, boottime }, GFP_KERNEL)?;
        let mut all = SHIFTED.lock_irqsave();
        all.push(shifted.clone(), GFP_ATOMIC)?;
        Ok(Self(shifted))
    }

    /// The page.
    pub fn data(&self) -> &Page {
        &self.0.page
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        let mut all = SHIFTED.lock_irqsave();
        let index = all.iter().position(|other| Arc::ptr_eq(other, &self.0));
        let gone = index.and_then(|index| all.swap_remove(index));
        drop(all);
        drop(gone);
    }
}

struct Updater;

impl VdsoUpdate for Updater {
    fn update(&self, time: &VdsoTime) {
        if let Some(Image { data, .. }) = IMAGE.get() {
            fill(data, time, 0, 0);
        }
        for shifted in SHIFTED.lock_irqsave().iter() {
            fill(&shifted.page, time, shifted.monotonic, shifted.boottime);
        }
    }
}

/// Writes the time to a page whose clocks have something added.
fn fill(page: &Page, time: &VdsoTime, monotonic: i64, boottime: i64) {
    let (Some(seq), Some(mode)) =
        (page.atomic_u32(offset_of!(DataPage, seq)), page.atomic_u32(offset_of!(DataPage, mode)))
    else {
        return;
    };
    let before = seq.load(Ordering::Relaxed);
    seq.store(before.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    mode.store(if time.mode == VdsoMode::Tsc { MODE_TSC } else { MODE_SYSCALL }, Ordering::Relaxed);
    put(page, offset_of!(DataPage, cycle_last), time.cycle_last);
    put(page, offset_of!(DataPage, mult), time.mult);
    put(page, offset_of!(DataPage, frac), time.frac);
    put(page, offset_of!(DataPage, raw_mult), time.raw_mult);
    put(page, offset_of!(DataPage, raw_frac), time.raw_frac);
    let mono = time.base_ns;
    let real = mono.wrapping_add_signed(time.real_offset_ns);
    let bases = [
        (CLOCK_REALTIME, real),
        (CLOCK_MONOTONIC, mono.wrapping_add_signed(monotonic)),
        (CLOCK_MONOTONIC_RAW, time.raw_base_ns.wrapping_add_signed(monotonic)),
        (CLOCK_REALTIME_COARSE, real),
        (CLOCK_MONOTONIC_COARSE, mono.wrapping_add_signed(monotonic)),
        (CLOCK_BOOTTIME, mono.wrapping_add_signed(time.boot_offset_ns).wrapping_add_signed(boottime)),
        (CLOCK_TAI, real.wrapping_add_signed(time.tai_offset_ns)),
    ];
    for (clock, base) in bases {
        put(page, offset_of!(DataPage, base_ns) + clock * size_of::<u64>(), base);
    }
    seq.store(before.wrapping_add(2), Ordering::Release);
}

/// Tells programs the time zone (`settimeofday(2)` with one). Rare; not part of the sequence.
pub fn set_timezone(minutes_west: i32, dst_time: i32) {
    let Some(Image { data: page, .. }) = IMAGE.get() else { return };
    let put = |page: &Page| {
        for (offset, value) in
            [(offset_of!(DataPage, minutes_west), minutes_west), (offset_of!(DataPage, dst_time), dst_time)]
        {
            if let Some(word) = page.atomic_u32(offset) {
                word.store(value.cast_unsigned(), Ordering::Relaxed);
            }
        }
    };
    put(page);
    SHIFTED.lock_irqsave().iter().for_each(|shifted| put(&shifted.page));
}
