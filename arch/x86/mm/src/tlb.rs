// SPDX-License-Identifier: GPL-2.0
//! Which address space each CPU has loaded, and keeping its translations true.
//!
//! A change that takes rights away raises the table's `generation`, then flushes here and, by an interrupt, on the other CPUs
//! that have the table loaded. CPUs that have it loaded lazily (a kernel thread runs) are left alone unless page tables
//! themselves are freed: before they run the program again they compare generations. Without PCID each load of CR3 flushes; with
//! PCID a CPU remembers for six contexts how far it had flushed.
//!
//! The local descriptor table goes with the address space: it is loaded after CR3, and before the CPU is out of the old one's mask.
//!
//! All per-CPU state is changed by its own CPU with interrupts off. No locks.

use crate::ldt::{self, Ldt};
use crate::table::PageTable;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence};
use hook::Hook;
use kalloc::Arc;
use mm_alloc::layout::PAGE_SIZE;
use mm_alloc::{kpt, stat};
use x86_cpu::cr::{self, CR3_NOFLUSH, CR4_PCIDE};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::segments::Selectors;
use x86_cpu::{CpuId, MAX_CPUS, cpu_id, preempt_disable};
use x86_pte::Pcids;

/// Ranges of more pages than this are flushed whole (Linux's `tlb_single_page_flush_ceiling`).
const CEILING: usize = 33;

struct CpuTlb {
    /// The table in CR3, null = the kernel's own.
    loaded: AtomicPtr<PageTable>,
    /// Up to which generation of `loaded` this CPU has flushed.
    generation: AtomicU64,
    /// `loaded` stays only because nobody needed CR3 since.
    lazy: AtomicBool,
    pcids: Pcids,
    /// The local descriptor table that is loaded, null = none.
    ldt: AtomicPtr<Ldt>,
}

x86_cpu::percpu! {
    static TLB: CpuTlb = CpuTlb {
        loaded: AtomicPtr::new(core::ptr::null_mut()),
        generation: AtomicU64::new(0),
        lazy: AtomicBool::new(false),
        pcids: Pcids::new(),
        ldt: AtomicPtr::new(core::ptr::null_mut()),
    };
}

/// What other CPUs are asked to do.
pub struct FlushRequest {
    /// The table, by address (compared only). Null: a range of the kernel half.
    table: *const PageTable,
    start: usize,
    end: usize,
    generation: u64,
    /// Tables are to be freed: lazy CPUs must let go.
    leave: bool,
    /// The table's local descriptor table was replaced: load the new one, lazily loaded or not. Nothing is flushed.
    ldt: bool,
}

// SAFETY: The pointer is compared and, where it is what this CPU has loaded, the table is alive: it is unloaded before it dies.
unsafe impl Sync for FlushRequest {}
// SAFETY: As above.
unsafe impl Send for FlushRequest {}

/// Runs flushes on other CPUs; `arch/x86/kernel` registers it.
///
/// # Safety
/// `flush_cpus` does what it says: what is unmapped is used for something else after that.
pub unsafe trait TlbIpi: Sync {
    /// Calls `request.run()` on each CPU of `mask` (never the caller's own) in a hard interrupt, and returns when all have
    /// returned. Called with preemption off and interrupts on; two CPUs may call it at once for each other.
    fn flush_cpus(&self, mask: u64, request: &FlushRequest);
}

/// The registered sender. Before it is set only one CPU runs.
pub static TLB_IPI: Hook<dyn TlbIpi> = Hook::new();

impl FlushRequest {
    /// Does what is asked, on the CPU that was asked.
    ///
    /// # Safety
    /// Interrupts are off.
    pub unsafe fn run(&self) {
        let cpu = TLB.this_racy();
        if self.table.is_null() {
            flush_kernel_local(self.start, self.end);
            return;
        }
        let loaded = cpu.loaded.load(Ordering::Relaxed);
        if !core::ptr::eq(loaded, self.table) {
            return;
        }
        if self.ldt {
            return refresh_ldt(cpu, loaded);
        }
        if cpu.lazy.load(Ordering::Relaxed) {
            if self.leave {
                leave(cpu);
            }
            return;
        }
        flush_loaded(cpu, self.start, self.end, self.generation);
    }
}

/// Flushes a range of the loaded table, and everything if a generation in between was missed.
fn flush_loaded(cpu: &CpuTlb, start: usize, end: usize, generation: u64) {
    let known = cpu.generation.load(Ordering::Relaxed);
    if known >= generation {
        return;
    }
    let pages = end.saturating_sub(start) / PAGE_SIZE;
    if known + 1 == generation && pages <= CEILING {
        for addr in (start..end).step_by(PAGE_SIZE) {
            x86_cpu::asm::invlpg(addr);
        }
        stat::add(stat::Item::TlbLocalOne, pages as i64);
    } else {
        flush_context();
    }
    cpu.generation.store(generation, Ordering::Relaxed);
}

/// Drops all translations of the loaded context but global ones.
fn flush_context() {
    stat::add(stat::Item::TlbLocalAll, 1);
    // SAFETY: CR3 is written back as it is; reads never show the no-flush bit.
    unsafe { cr::write_cr3(cr::read_cr3()) };
}

/// Switches to the kernel's own table. Interrupts are off.
fn leave(cpu: &CpuTlb) {
    let old = cpu.loaded.swap(core::ptr::null_mut(), Ordering::Relaxed);
    cpu.lazy.store(false, Ordering::Relaxed);
    // SAFETY: The kernel's own table maps all of the kernel; PCID 0 is its context.
    unsafe { cr::write_cr3(kpt::kernel_pgd()) };
    load_ldt(cpu, core::ptr::null_mut());
    forget(old);
}

/// Takes this CPU out of a table's mask, after CR3 was changed.
fn forget(old: *mut PageTable) {
    // SAFETY: A table that a CPU has loaded is alive: its drop waits until no CPU has it.
    if let Some(old) = unsafe { old.as_ref() } {
        old.cpus.fetch_and(!(1 << cpu_id()), Ordering::Release);
    }
}

/// Loads the address space of the task that is about to run; `None` (a kernel thread) keeps what is loaded, lazily. Interrupts
/// are off. The task that runs keeps the table alive; a lazily loaded one is let go when it is dropped.
#[inline]
pub fn switch_to(next: Option<&Arc<PageTable>>) {
    let cpu = TLB.this_racy();
    let Some(next) = next else {
        if !cpu.loaded.load(Ordering::Relaxed).is_null() {
            cpu.lazy.store(true, Ordering::Release);
        }
        return;
    };
    let table = core::ptr::from_ref::<PageTable>(next).cast_mut();
    if core::ptr::eq(cpu.loaded.load(Ordering::Relaxed), table) {
        if cpu.lazy.load(Ordering::Relaxed) {
            cpu.lazy.store(false, Ordering::Relaxed);
            // Whoever flushes either sees that we are not lazy, or we see the generation it raised.
            fence(Ordering::SeqCst);
            let generation = next.generation.load(Ordering::Acquire);
            if cpu.generation.load(Ordering::Relaxed) != generation {
                flush_context();
                cpu.generation.store(generation, Ordering::Relaxed);
            }
        }
        return;
    }
    load(cpu, next, table);
}

fn load(cpu: &CpuTlb, next: &PageTable, table: *mut PageTable) {
    // In the mask before the generation is read: a flush after that finds us.
    next.cpus.fetch_or(1 << cpu_id(), Ordering::SeqCst);
    let generation = next.generation.load(Ordering::Acquire);
    let old = cpu.loaded.load(Ordering::Relaxed);
    let cr3 = next.pgd.phys() | pcid_for(cpu, next, generation);
    cpu.generation.store(generation, Ordering::Relaxed);
    cpu.lazy.store(false, Ordering::Relaxed);
    cpu.loaded.store(table, Ordering::Relaxed);
    // SAFETY: The table's upper half is the kernel's, and it is alive while it is loaded.
    unsafe { cr::write_cr3(cr3) };
    // Whoever replaces it either finds us in the mask, or we see the new one.
    load_ldt(cpu, next.ldt.get());
    forget(old);
}

/// Changes this CPU's local descriptor table, if either address space has one.
#[inline(always)]
fn load_ldt(cpu: &CpuTlb, next: *mut Ldt) {
    let old = cpu.ldt.load(Ordering::Relaxed);
    if !core::ptr::eq(old, next) {
        cpu.ldt.store(next, Ordering::Relaxed);
        // SAFETY: It is the loaded page table's, which lives as long as it is loaded and frees no table of descriptors before
        // every CPU that had it has another (`reload_ldt`).
        unsafe { ldt::load(next) };
    }
}

/// Loads what the loaded table's local descriptor table is now, and the segments anew that a program has in use.
fn refresh_ldt(cpu: &CpuTlb, loaded: *mut PageTable) {
    // SAFETY: A table that a CPU has loaded is alive.
    if let Some(table) = unsafe { loaded.as_ref() } {
        load_ldt(cpu, table.ldt.get());
        // SAFETY: Requests run with interrupts off.
        unsafe { Selectors::refresh_local() };
    }
}

/// Makes every CPU that has `table` loaded use its present local descriptor table. Returns when all do. Interrupts are on.
pub(crate) fn reload_ldt(table: &PageTable) {
    let preempt = preempt_disable();
    let this = 1u64 << cpu_id();
    let mask = table.cpus.load(Ordering::SeqCst);
    let request = FlushRequest { table, start: 0, end: 0, generation: 0, leave: false, ldt: true };
    if mask & this != 0 {
        let _irq = IrqGuard::new();
        // SAFETY: Interrupts are off.
        unsafe { request.run() };
    }
    if mask & !this != 0
        && let Some(ipi) = TLB_IPI.get()
    {
        ipi.flush_cpus(mask & !this, &request);
    }
    drop(preempt);
}

/// The low bits of CR3 for a context, with the no-flush bit if this CPU's translations of it are still true.
#[inline]
fn pcid_for(cpu: &CpuTlb, next: &PageTable, generation: u64) -> u64 {
    if !x86_cpu::cpuid::features().pcid {
        return 0;
    }
    // What the CPU leaves behind is as fresh as its generation says.
    let left = !cpu.loaded.load(Ordering::Relaxed).is_null();
    let left = left.then(|| cpu.generation.load(Ordering::Relaxed));
    let (pcid, fresh) = cpu.pcids.choose(next.context, generation, left);
    pcid | if fresh { CR3_NOFLUSH } else { 0 }
}

/// Makes every CPU forget `[start, end)` of a table whose entries were changed; returns when they have. `freed_tables`: table
/// pages were unlinked and are to be freed. Interrupts are on unless no other CPU can have the table loaded.
pub(crate) fn flush_range(table: &PageTable, start: usize, end: usize, freed_tables: bool) {
    let generation = table.generation.fetch_add(1, Ordering::SeqCst) + 1;
    let preempt = preempt_disable();
    let this = 1u64 << cpu_id();
    let mut mask = table.cpus.load(Ordering::SeqCst);
    if mask & this != 0 {
        let irq = IrqGuard::new();
        let cpu = TLB.this_racy();
        if core::ptr::eq(cpu.loaded.load(Ordering::Relaxed), table) {
            if !cpu.lazy.load(Ordering::Relaxed) {
                flush_loaded(cpu, start, end, generation);
            } else if freed_tables {
                leave(cpu);
            }
        }
        drop(irq);
        mask &= !this;
    }
    if mask != 0 {
        flush_others(mask, &FlushRequest { table, start, end, generation, leave: freed_tables, ldt: false });
    }
    drop(preempt);
}

#[cold]
#[inline(never)]
fn flush_others(mut mask: u64, request: &FlushRequest) {
    if !request.leave {
        for cpu in cpus(mask) {
            if TLB.on(cpu).is_some_and(|tlb| tlb.lazy.load(Ordering::SeqCst)) {
                mask &= !(1 << cpu);
            }
        }
    }
    if mask != 0
        && let Some(ipi) = TLB_IPI.get()
    {
        stat::add(stat::Item::TlbRemote, 1);
        ipi.flush_cpus(mask, request);
    }
}

fn cpus(mask: u64) -> impl Iterator<Item = CpuId> {
    (0..MAX_CPUS as CpuId).filter(move |cpu| mask & (1 << cpu) != 0)
}

/// Forgets one page on this CPU, for entries that gained rights: other CPUs at worst fault once more.
#[inline]
pub(crate) fn flush_local_page(_table: &PageTable, addr: usize) {
    x86_cpu::asm::invlpg(addr);
}

/// Makes every CPU let go of a table that nobody uses any more. After it no CPU has the table in CR3.
pub(crate) fn leave_everywhere(table: &PageTable) {
    let preempt = preempt_disable();
    let this = 1u64 << cpu_id();
    if table.cpus.load(Ordering::SeqCst) & this != 0 {
        let irq = IrqGuard::new();
        let cpu = TLB.this_racy();
        if core::ptr::eq(cpu.loaded.load(Ordering::Relaxed), table) {
            leave(cpu);
        }
        drop(irq);
    }
    let mask = table.cpus.load(Ordering::SeqCst) & !this;
    if mask != 0
        && let Some(ipi) = TLB_IPI.get()
    {
        let request = FlushRequest { table, start: 0, end: 0, generation: 0, leave: true, ldt: false };
        ipi.flush_cpus(mask, &request);
    }
    drop(preempt);
}

/// Whether a CPU runs only kernel threads on a lazily loaded table (for the idle loop: such a CPU may let go before deep sleep).
pub fn leave_lazy() {
    let _irq = IrqGuard::new();
    let cpu = TLB.this_racy();
    if cpu.lazy.load(Ordering::Relaxed) && !cpu.loaded.load(Ordering::Relaxed).is_null() {
        leave(cpu);
    }
}

fn flush_kernel_local(start: usize, end: usize) {
    let pages = end.saturating_sub(start) / PAGE_SIZE;
    if pages <= CEILING {
        for addr in (start..end).step_by(PAGE_SIZE) {
            x86_cpu::asm::invlpg(addr);
        }
    } else {
        let _irq = IrqGuard::new();
        kpt::flush_all_local();
    }
    // With PCIDs `invlpg` reaches global pages in all contexts; a toggled PGE drops everything.
    if cr::read_cr4() & CR4_PCIDE != 0 && !x86_cpu::cpuid::features().pge {
        let _irq = IrqGuard::new();
        kpt::flush_all_local();
    }
}

/// The flusher for `mm_alloc`'s mappings.
pub(crate) struct KernelRange;

// SAFETY: This CPU flushes by itself, and the others have when `flush_cpus` returns.
unsafe impl kpt::KernelTlb for KernelRange {
    fn flush_kernel_range(&self, start: usize, end: usize) {
        let preempt = preempt_disable();
        flush_kernel_local(start, end);
        let others = ONLINE.load(Ordering::Relaxed) & !(1u64 << cpu_id());
        if others != 0
            && let Some(ipi) = TLB_IPI.get()
        {
            let request =
                FlushRequest { table: core::ptr::null(), start, end, generation: 0, leave: false, ldt: false };
            ipi.flush_cpus(others, &request);
        }
        drop(preempt);
    }
}

/// CPUs whose TLB exists.
pub(crate) static ONLINE: AtomicU64 = AtomicU64::new(0);
