// SPDX-License-Identifier: GPL-2.0
//! Per-CPU data. A per-CPU variable is a static in section `.data..percpu`; CPU `n`'s copy lives at the static's address plus
//! `offset(n)`, and GS base of that CPU holds its offset. The boot CPU uses the image's own section (offset 0).
//!
//! Access is by shared reference, so the types in here synchronise themselves (atomics, locks): an interrupt or another CPU
//! may look at any time. Relaxed atomics cost plain moves.

use crate::preempt::PreemptGuard;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Most CPUs that Rideau brings up.
pub const MAX_CPUS: usize = 64;

/// A CPU's index, below [`MAX_CPUS`].
pub type CpuId = u32;

/// Offsets of every CPU's area; `usize::MAX` until set (CPU 0 is set from the start).
static OFFSETS: [AtomicUsize; MAX_CPUS] = {
    let mut offsets = [const { AtomicUsize::new(usize::MAX) }; MAX_CPUS];
    offsets[0] = AtomicUsize::new(0);
    offsets
};

/// One value for each CPU. Declare with [`crate::percpu!`].
#[repr(transparent)]
pub struct PerCpu<T: Sync + 'static>(T);

impl<T: Sync + 'static> PerCpu<T> {
    /// For [`crate::percpu!`] only.
    ///
    /// # Safety
    /// The value is placed in a static in section `.data..percpu`.
    pub const unsafe fn new(value: T) -> Self {
        Self(value)
    }

    /// This CPU's value; the guard keeps the caller on this CPU.
    #[inline(always)]
    pub fn this<'a>(&'static self, _guard: &'a PreemptGuard) -> &'a T {
        self.this_racy()
    }

    /// The value of the CPU that runs this at the moment of the call; the caller may be moved right after. For statistics and
    /// where the caller is otherwise pinned (interrupts off, a spin lock held, an idle or per-CPU thread).
    #[inline(always)]
    pub fn this_racy(&'static self) -> &'static T {
        let address = core::ptr::from_ref(&self.0).wrapping_byte_add(this_cpu_offset());
        // SAFETY: By `new`'s contract the static lies in `.data..percpu`, and this CPU's offset leads to its own live copy,
        // which is never freed; `T: Sync` allows sharing.
        unsafe { &*address }
    }

    /// CPU `cpu`'s value, if that CPU has an area.
    pub fn on(&'static self, cpu: CpuId) -> Option<&'static T> {
        let offset = OFFSETS.get(cpu as usize)?.load(Ordering::Acquire);
        if offset == usize::MAX {
            return None;
        }
        let address = core::ptr::from_ref(&self.0).wrapping_byte_add(offset);
        // SAFETY: As in `this_racy`, with the offset of CPU `cpu`, which was published after its area was filled.
        Some(unsafe { &*address })
    }
}

/// Declares per-CPU statics: `percpu! { pub static NAME: AtomicU64 = AtomicU64::new(0); }`.
#[macro_export]
macro_rules! percpu {
    ($($(#[$attr:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;)*) => {
        $(
            $(#[$attr])*
            #[unsafe(link_section = ".data..percpu")]
            $vis static $name: $crate::percpu::PerCpu<$ty> = {
                let init = $init;
                // SAFETY: It is in the section that `PerCpu::new` asks for.
                unsafe { $crate::percpu::PerCpu::new(init) }
            };
        )*
    };
}

percpu! {
    /// This CPU's own offset, to be added to a per-CPU static's address.
    static THIS_CPU_OFF: AtomicUsize = AtomicUsize::new(0);
    /// This CPU's index.
    static CPU_NUMBER: AtomicU32 = AtomicU32::new(0);
}

#[inline(always)]
fn this_cpu_offset() -> usize {
    let offset: usize;
    // SAFETY: GS base is this CPU's offset from entry to exit of the kernel, so this reads this CPU's `THIS_CPU_OFF`.
    // `pure`, `readonly`: may be merged within a function; a task that migrates gets there through opaque calls.
    unsafe {
        asm!("mov {}, gs:[rip + {}]", out(reg) offset, sym THIS_CPU_OFF, options(readonly, nostack, preserves_flags));
    }
    offset
}

/// The CPU this runs on (may change right after, unless the caller is pinned).
#[inline(always)]
pub fn cpu_id() -> CpuId {
    let id: u32;
    // SAFETY: As in `this_cpu_offset`.
    unsafe {
        asm!("mov {:e}, gs:[rip + {}]", out(reg) id, sym CPU_NUMBER, options(readonly, nostack, preserves_flags))
    };
    id
}

unsafe extern "C" {
    static __per_cpu_start: u8;
    static __per_cpu_end: u8;
}

/// Bytes that one CPU's area takes.
pub fn area_size() -> usize {
    // Addresses only; the linker script defines both symbols around one section.
    let (start, end) = (&raw const __per_cpu_start, &raw const __per_cpu_end);
    end.addr() - start.addr()
}

/// Gives CPU `cpu` its area at `memory`: copies the initial image and publishes the offset. Call once a CPU, at boot, before
/// that CPU starts, and before the boot CPU has changed any per-CPU data that secondary CPUs must see in its initial state.
///
/// # Safety
/// `memory` is [`area_size`] bytes, 64-byte aligned, never freed, used for nothing else. `cpu` is below `MAX_CPUS` and not 0.
pub unsafe fn install_area(cpu: CpuId, memory: *mut u8, image: *const u8) {
    // SAFETY: `memory` is large enough by the contract; `image` is a copy of the initial section of the same size.
    unsafe { core::ptr::copy_nonoverlapping(image, memory, area_size()) };
    let offset = memory.addr().wrapping_sub((&raw const __per_cpu_start).addr());
    if let Some(slot) = OFFSETS.get(cpu as usize) {
        slot.store(offset, Ordering::Release);
    }
    if let Some(off) = THIS_CPU_OFF.on(cpu) {
        off.store(offset, Ordering::Relaxed);
    }
    if let Some(number) = CPU_NUMBER.on(cpu) {
        number.store(cpu, Ordering::Release);
    }
}

/// The offset of CPU `cpu`'s area: what its GS base must be.
pub fn offset_of(cpu: CpuId) -> Option<usize> {
    let offset = OFFSETS.get(cpu as usize)?.load(Ordering::Acquire);
    (offset != usize::MAX).then_some(offset)
}

/// Start of the image's own per-CPU section (the boot CPU's area).
pub fn boot_area() -> *const u8 {
    &raw const __per_cpu_start
}
