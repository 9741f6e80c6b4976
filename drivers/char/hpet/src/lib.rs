// SPDX-License-Identifier: GPL-2.0
//! The comparators of the HPET that the kernel does not use itself, for programs: `/dev/hpet`. A driver of the platform bus for
//! `PNP0103`, which `init` adds when the table of ACPI names an HPET that counts (`init/src/firmware.rs`).
//!
//! | file | what |
//! |---|---|
//! | `chip` | the registers, comparators and their interrupts |
//! | `dev` | the file |
//!
//! Locks: `BOUND` (sleeping); a comparator's `request` (sleeping), inside it its `state`, which its interrupt takes. Source:
//! IA-PC HPET specification 1.0a, Linux's `Documentation/timers/hpet.rst`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod chip;
mod dev;

use chip::Chip;
use core::sync::atomic::{AtomicI32, Ordering};
use device::{Device, Driver, DriverOps, platform};
use kernel::hardware::{device, kernfs, misc, proc, sync, vfs};
use kernel::prelude::*;
use kernel::sync::Arc;
use sync::Mutex;
use vfs::{SeqBuf, seq_print};

module! {
    type: HpetModule,
    name: "hpet",
    authors: ["The Rideau developers"],
    description: "High Precision Event Timer",
    license: "GPL",
    alias: ["acpi*:PNP0103:*"],
}

/// What ACPI calls it.
const ID: &str = "PNP0103";

/// The most interrupts a second that any program may have (`dev.hpet.max-user-freq`).
static MAX_USER_FREQ: AtomicI32 = AtomicI32::new(64);

/// Whether a program without privileges may ask for so many interrupts a second.
fn allows(frequency: usize) -> bool {
    // A negative setting is no limit, as in Linux.
    frequency <= MAX_USER_FREQ.load(Ordering::Relaxed) as usize
}

/// What is bound.
struct Bound {
    chip: Arc<Chip>,
    /// Before the chip goes nobody opens it any more.
    node: misc::Registration,
}

/// There is one.
static BOUND: Mutex<Option<Bound>> = Mutex::new(None);

struct HpetDriver;

impl DriverOps for HpetDriver {
    fn matches(&self, device: &Device) -> bool {
        device
            .info::<platform::Info>()
            .is_some_and(|info| info.acpi_ids.iter().any(|id| id.as_bytes() == ID.as_bytes()))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let mut bound = BOUND.lock();
        if bound.is_some() {
            return Err(EBUSY);
        }
        let info = device.info::<platform::Info>().ok_or(ENODEV)?;
        let memory = info.memory.first().ok_or(ENODEV)?;
        let chip = Arc::new(Chip::new(memory.start)?, GFP_KERNEL)?;
        chip.report();
        let node = dev::register(&chip)?;
        *bound = Some(Bound { chip, node });
        Ok(())
    }

    fn remove(&self, _: &Arc<Device>) {
        let Some(Bound { chip, node }) = BOUND.lock().take() else { return };
        drop(node);
        chip.go();
    }
}

/// `/proc/sys/dev/hpet`.
fn settings() -> Result<Arc<kernfs::Node>> {
    let dir = proc::root()?.path_or_new("sys/dev")?.mkdir_mode(b"hpet", 0o555)?;
    dir.fill_by_module();
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", MAX_USER_FREQ.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        MAX_USER_FREQ.store(proc::parse_number(data)?.try_into().map_err(|_| EINVAL)?, Ordering::Relaxed);
        Ok(data.len())
    };
    if let Err(error) = dir.attr(b"max-user-freq", 0o644, kernfs::TextRw(show, store)) {
        dir.remove();
        return Err(error);
    }
    Ok(dir)
}

/// The driver and its setting, while the module is there.
struct HpetModule {
    driver: Arc<Driver>,
    settings: Arc<kernfs::Node>,
}

impl kernel::Module for HpetModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let settings = settings()?;
        let driver = Driver::register(&platform::BUS, b"hpet", Arc::new(HpetDriver, GFP_KERNEL)?)
            .inspect_err(|_| settings.remove())?;
        Ok(Self { driver, settings })
    }
}

impl Drop for HpetModule {
    fn drop(&mut self) {
        self.driver.unregister();
        self.settings.remove();
    }
}
