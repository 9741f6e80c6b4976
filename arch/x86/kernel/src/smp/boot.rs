// SPDX-License-Identifier: GPL-2.0
//! Bringing the other CPUs up. The boot CPU prepares everything that a CPU needs (per-CPU area, stacks), then wakes them one by
//! one by INIT and STARTUP; each goes through the trampoline, sets itself up, reports in, and enters the scheduler through
//! [`SECONDARY_START`]. Source: Intel SDM volume 3, 9.4.

use super::trampoline::{self, Parameters};
use super::{mask_of, set_online, set_possible, topology};
use crate::acpi::madt::Madt;
use crate::apic::local;
use crate::clocks::delay::{mdelay, udelay};
use crate::{cpu_setup, gdt, idt, ist};
use alloc::alloc::{Layout, alloc};
use boot_info::BootInfo;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use errno::{Result, code::ENOMEM};
use hook::Hook;
use klog::{pr_err, pr_info};
use mm_alloc::{KernelStack, PAGE_SIZE, kpt, memblock, phys_to_virt};
use x86_cpu::{CpuId, MAX_CPUS, cr, msr, percpu};

/// What a new CPU does after its hardware is set up.
pub trait SecondaryStart: Sync {
    /// Runs on the new CPU's own stack with interrupts off; becomes its idle task.
    fn secondary_start(&self, cpu: CpuId) -> !;
}

/// Set by who starts the scheduler.
pub static SECONDARY_START: Hook<dyn SecondaryStart> = Hook::new();

/// Physical page below 1 MB for the trampoline, 0 if there is none.
static TRAMPOLINE: AtomicUsize = AtomicUsize::new(0);
/// Physical address of the page tables that the trampoline starts with.
static EARLY_TABLES: AtomicUsize = AtomicUsize::new(0);
/// Copy of the initial per-CPU data.
static TEMPLATE: AtomicUsize = AtomicUsize::new(0);
/// The CPU that reported in last.
static ALIVE: AtomicU32 = AtomicU32::new(0);

/// Sets aside what other CPUs need from early memory: a page below 1 MB, and a copy of the per-CPU data in its initial state.
/// Called as the first thing after `memblock::init`: until then the boot CPU has written only its TSS, GDT and stack pointers,
/// which every CPU sets for itself anyway.
pub fn reserve_early() {
    match memblock::alloc_low(PAGE_SIZE, PAGE_SIZE) {
        Some(page) => TRAMPOLINE.store(page as usize, Ordering::Relaxed),
        None => pr_err!("smp: no memory below 1 MB, only one CPU will run"),
    }
    let size = percpu::area_size();
    let Some(copy) = memblock::alloc(size, PAGE_SIZE) else { return };
    let copy = phys_to_virt(copy);
    // SAFETY: Fresh memory of the right size; the boot CPU's area is not written meanwhile (one CPU, no interrupts).
    unsafe { core::ptr::copy_nonoverlapping(percpu::boot_area(), copy, size) };
    TEMPLATE.store(copy.addr(), Ordering::Release);
}

/// Makes the page tables of the trampoline, from early memory too: after `kpt::init`, before the page allocator takes over.
pub fn reserve_tables() {
    match kpt::trampoline_pgd() {
        Ok(pgd) => EARLY_TABLES.store(pgd as usize, Ordering::Relaxed),
        Err(error) => pr_err!("smp: no page tables below 1 MB ({error}), only one CPU will run"),
    }
}

/// Numbers the CPUs and gives each its per-CPU area. After the APICs are known, before anything iterates over CPUs.
/// `maxcpus=n` (0 and `nosmp`: only the boot CPU, as on Linux).
pub(crate) fn prepare(info: &BootInfo, madt: &Madt) {
    let mut max = MAX_CPUS;
    if let Some(value) = info.option_value(b"maxcpus") {
        max = core::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(max);
    }
    let template = TEMPLATE.load(Ordering::Acquire);
    let prepared =
        TRAMPOLINE.load(Ordering::Relaxed) != 0 && EARLY_TABLES.load(Ordering::Relaxed) != 0 && template != 0;
    if info.has_option(b"nosmp") || !prepared || !local::is_enabled() {
        max = 1;
    }
    let boot_id = if local::is_enabled() { local::id() } else { 0 };
    let count = topology::init(madt, boot_id, max.clamp(1, MAX_CPUS));
    let mut possible = 1;
    for cpu in 1..count {
        match install_area(cpu, template as *const u8) {
            Ok(()) => possible |= mask_of(cpu),
            Err(error) => {
                pr_err!("smp: CPU {cpu}: no per-CPU area: {error}");
                break;
            }
        }
    }
    set_possible(possible);
}

fn install_area(cpu: CpuId, template: *const u8) -> Result {
    let layout = Layout::from_size_align(percpu::area_size(), PAGE_SIZE).map_err(|_| ENOMEM)?;
    // SAFETY: The layout is not empty: every CPU has at least its own offset there.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        return Err(ENOMEM);
    }
    // SAFETY: Fresh page-aligned memory that is never freed; `cpu` is new; the template is the initial section.
    unsafe { percpu::install_area(cpu, memory, template) };
    Ok(())
}

/// Starts all possible CPUs and waits for each. Process context, after `SECONDARY_START` is set; the boot CPU's interrupts are
/// on or off. A CPU that does not answer is reported and left out.
pub fn bring_up() {
    if crate::clocks::is_single_cpu() {
        return;
    }
    let possible = super::possible();
    for cpu in super::cpus_in(possible & !super::online()) {
        if let Err(error) = start(cpu) {
            pr_err!("smp: CPU {cpu} did not start: {error}");
        }
    }
    pr_info!("smp: Brought up 1 node, {} CPUs", super::num_online());
}

fn start(cpu: CpuId) -> Result {
    let page = TRAMPOLINE.load(Ordering::Relaxed);
    let apic_id = topology::apic_id(cpu).ok_or(errno::code::ENODEV)?;
    let stack = KernelStack::new()?;
    // SAFETY: The CPU has not started.
    unsafe { ist::install_guarded(cpu)? };
    let parameters = Parameters {
        early_cr3: EARLY_TABLES.load(Ordering::Relaxed) as u64,
        kernel_cr3: kpt::kernel_pgd(),
        stack: stack.top() as u64,
        gs_base: percpu::offset_of(cpu).ok_or(ENOMEM)? as u64,
        cpu: u64::from(cpu),
        entry: trampoline::entry(),
        cr4: cr::CR4_PAE,
        // SAFETY: The MSR exists.
        efer: unsafe { msr::rdmsr(msr::EFER) } & !(1 << 10),
        ..Parameters::default()
    };
    // SAFETY: The page was set aside for this, and the CPU before has reported in from beyond it.
    unsafe { trampoline::install(phys_to_virt(page as u64), page as u32, parameters) };
    ALIVE.store(0, Ordering::Release);
    // SAFETY: The CPU has not started, and its start-up code is in the page.
    unsafe { wake(apic_id, (page >> 12) as u8) };
    // Its stack is in use from now on, even if the CPU is only slow.
    core::mem::forget(stack);
    for _ in 0..100_000 {
        if ALIVE.load(Ordering::Acquire) == cpu {
            return Ok(());
        }
        crate::clocks::tsc::publish();
        udelay(100);
    }
    Err(errno::code::ETIMEDOUT)
}

/// # Safety
/// The CPU does not run, and page number `page` holds its start-up code.
unsafe fn wake(apic_id: u32, page: u8) {
    // SAFETY: By contract.
    unsafe { local::send_init(apic_id) };
    // Hypervisors and modern CPUs need no 10 ms between the two.
    if !x86_cpu::cpuid::features().hypervisor {
        mdelay(10);
    }
    // SAFETY: By contract.
    unsafe { local::send_init_deassert(apic_id) };
    for _ in 0..2 {
        // SAFETY: By contract; once it runs, it takes no notice.
        unsafe { local::send_startup(apic_id, page) };
        udelay(200);
        if ALIVE.load(Ordering::Acquire) != 0 {
            return;
        }
    }
}

/// The new CPU's first Rust code: on its own stack, GS base set, kernel page tables loaded, interrupts off.
pub(super) extern "C" fn secondary_main(cpu: u64) -> ! {
    cpu_setup::init();
    x86_mm::init_cpu();
    gdt::load();
    idt::load();
    local::init_cpu();
    // SAFETY: No program runs here before the first switch of tasks.
    unsafe { x86_cpu::tss::set_kernel_stack(0) };
    crate::clocks::init_secondary();
    let cpu = cpu as CpuId;
    set_online(cpu);
    ALIVE.store(cpu, Ordering::Release);
    match SECONDARY_START.get() {
        Some(hook) => hook.secondary_start(cpu),
        None => x86_cpu::asm::halt_forever(),
    }
}
