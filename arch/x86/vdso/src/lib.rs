// SPDX-License-Identifier: GPL-2.0
//! The vDSO: a small shared object that the kernel maps into every program (`user/vdso.rs`), and the data page below it that
//! tells it the time. `mm` maps [`image`]; `kernel/time` updates the page through `clock_hw::VDSO`.
//!
//! Lock: none; updates are serialised by `kernel/time`, readers (all of user space) retry by the sequence counter.

#![no_std]

pub mod layout;

use clock_hw::{VDSO, VdsoMode, VdsoTime, VdsoUpdate};
use core::sync::atomic::{Ordering, fence};
use errno::{Result, code::EINVAL};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use layout::*;
use locking::SetOnce;
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

fn page() -> Option<&'static DataPage> {
    let image = IMAGE.get()?;
    // SAFETY: The page lives for ever in a static, is mapped and zeroed (a valid `DataPage`, all atomics), and everybody accesses
    // it through atomics only.
    Some(unsafe { &*image.data.as_ptr().cast::<DataPage>() })
}

struct Updater;

impl VdsoUpdate for Updater {
    fn update(&self, time: &VdsoTime) {
        let Some(page) = page() else { return };
        let seq = page.seq.load(Ordering::Relaxed);
        page.seq.store(seq.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let mode = if time.mode == VdsoMode::Tsc { MODE_TSC } else { MODE_SYSCALL };
        page.mode.store(mode, Ordering::Relaxed);
        page.cycle_last.store(time.cycle_last, Ordering::Relaxed);
        page.mult.store(time.mult, Ordering::Relaxed);
        page.frac.store(time.frac, Ordering::Relaxed);
        page.raw_mult.store(time.raw_mult, Ordering::Relaxed);
        page.raw_frac.store(time.raw_frac, Ordering::Relaxed);
        let mono = time.base_ns;
        let real = mono.wrapping_add_signed(time.real_offset_ns);
        let bases = [
            (CLOCK_REALTIME, real),
            (CLOCK_MONOTONIC, mono),
            (CLOCK_MONOTONIC_RAW, time.raw_base_ns),
            (CLOCK_REALTIME_COARSE, real),
            (CLOCK_MONOTONIC_COARSE, mono),
            (CLOCK_BOOTTIME, mono.wrapping_add_signed(time.boot_offset_ns)),
            (CLOCK_TAI, real.wrapping_add_signed(time.tai_offset_ns)),
        ];
        for (clock, base) in bases {
            if let Some(slot) = page.base_ns.get(clock) {
                slot.store(base, Ordering::Relaxed);
            }
        }
        page.seq.store(seq.wrapping_add(2), Ordering::Release);
    }
}

/// Tells programs the time zone (`settimeofday(2)` with one). Rare; not part of the sequence.
pub fn set_timezone(minutes_west: i32, dst_time: i32) {
    if let Some(page) = page() {
        page.minutes_west.store(minutes_west, Ordering::Relaxed);
        page.dst_time.store(dst_time, Ordering::Relaxed);
    }
}
