// SPDX-License-Identifier: GPL-2.0
//! Interrupt vectors of each CPU: the fixed ones, and the allocation of the others to device interrupts.
//!
//! Lock: `ALLOC`, interrupts off. The maps are read by interrupt entry without it.

use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::ENOSPC};
use locking::SpinLock;
use x86_apic::irq_vectors::LOCAL_TIMER_VECTOR;
use x86_cpu::{CpuId, percpu};

/// First vector for devices (the 16 above the exceptions stay free, as PICs may raise them spuriously).
pub const FIRST_DEVICE_VECTOR: u8 = 0x30;
/// `int 0x80` of 32-bit programs; never given to a device.
const SYSCALL32_VECTOR: u8 = 0x80;
const UNUSED: u32 = u32::MAX;

percpu! {
    /// The interrupt number behind each vector.
    static VECTOR_IRQ: [AtomicU32; 256] = [const { AtomicU32::new(UNUSED) }; 256];
}

static ALLOC: SpinLock<()> = SpinLock::new(());

/// The interrupt number that `vector` of this CPU was allocated for.
#[inline(always)]
pub fn irq_of(vector: u8) -> Option<u32> {
    let slot = VECTOR_IRQ.this_racy().get(usize::from(vector))?;
    let irq = slot.load(Ordering::Relaxed);
    (irq != UNUSED).then_some(irq)
}

/// Takes a free vector of CPU `cpu` for `irq`. ENOSPC when there is none.
pub fn allocate(cpu: CpuId, irq: u32) -> Result<u8> {
    let map = VECTOR_IRQ.on(cpu).ok_or(ENOSPC)?;
    let _guard = ALLOC.lock_irqsave();
    for vector in FIRST_DEVICE_VECTOR..LOCAL_TIMER_VECTOR {
        let Some(slot) = map.get(usize::from(vector)) else { continue };
        if vector != SYSCALL32_VECTOR && slot.load(Ordering::Relaxed) == UNUSED {
            slot.store(irq, Ordering::Release);
            return Ok(vector);
        }
    }
    Err(ENOSPC)
}

/// Gives a vector back. The device no longer raises it.
pub fn release(cpu: CpuId, vector: u8) {
    let _guard = ALLOC.lock_irqsave();
    if let Some(slot) = VECTOR_IRQ.on(cpu).and_then(|map| map.get(usize::from(vector))) {
        slot.store(UNUSED, Ordering::Release);
    }
}
