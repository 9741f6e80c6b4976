// SPDX-License-Identifier: GPL-2.0
//! Running a function on other CPUs. The caller waits, so the function may borrow from its stack.
//!
//! Each CPU has one request slot for each target, and each target a lock-free list of requests: a sender pushes its node and
//! sends an interrupt only if the list was empty. No locks. While a CPU waits it keeps interrupts as they were, so two CPUs
//! may call each other; callers that have interrupts off run their own queue while they wait.
//!
//! Order: all stores before the call are seen by the function; all its stores are seen after the call returns.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use x86_apic::irq_vectors::CALL_FUNCTION_VECTOR;
use x86_cpu::asm::cpu_relax;
use x86_cpu::irqflags::{IrqGuard, irqs_disabled};
use x86_cpu::{CpuId, MAX_CPUS, cpu_id, percpu, preempt_disable};
use x86_irq::smp::{CpuMask, cpus_in, mask_of, online, send_ipi};

type Function<'a> = &'a (dyn Fn() + Sync);

/// One request from one CPU to another.
struct Request {
    next: AtomicPtr<Request>,
    /// Set by the sender while it owns the slot; cleared by the target when the function has run.
    busy: AtomicBool,
    function: UnsafeCell<Option<Function<'static>>>,
}

// SAFETY: `function` is written by the sender while `busy` is set and the node is on no list, and read by the target after it
// took the node from its list (acquire), before it clears `busy` (release).
unsafe impl Sync for Request {}

percpu! {
    /// This CPU's requests, by target.
    static REQUESTS: [Request; MAX_CPUS] = [const {
        Request { next: AtomicPtr::new(null_mut()), busy: AtomicBool::new(false), function: UnsafeCell::new(None) }
    }; MAX_CPUS];
    /// Requests for this CPU, newest first.
    static QUEUE: AtomicPtr<Request> = AtomicPtr::new(null_mut());
}

/// Runs `f` on CPU `cpu` and waits for it; false if that CPU does not run. On the calling CPU it is called directly. `f` runs with
/// interrupts off and must not sleep. Not to be called from interrupt handlers.
pub fn on_cpu(cpu: CpuId, f: Function<'_>) -> bool {
    if online() & mask_of(cpu) == 0 {
        return false;
    }
    on_cpus(mask_of(cpu), f);
    true
}

/// Runs `f` on every CPU, the calling one included.
pub fn on_each_cpu(f: Function<'_>) {
    on_cpus(CpuMask::MAX, f);
}

/// Runs `f` on every CPU but the calling one.
pub fn on_other_cpus(f: Function<'_>) {
    let _preempt = preempt_disable();
    on_cpus(!mask_of(cpu_id()), f);
}

/// Runs `f` on the running CPUs of `mask`, at the same time, and waits for all.
pub fn on_cpus(mask: CpuMask, f: Function<'_>) {
    let _preempt = preempt_disable();
    let me = mask_of(cpu_id());
    let others = mask & online() & !me;
    // Requests of this CPU are its own: an interrupt handler that used them in the middle would find them busy, hence the rule
    // that handlers do not call.
    if others != 0 {
        send_all(others, f);
    }
    if mask & me != 0 {
        let _irq = IrqGuard::new();
        f();
    }
    if others != 0 {
        wait_all(others);
    }
}

fn send_all(others: CpuMask, f: Function<'_>) {
    // SAFETY: The lifetime is only forgotten, not exceeded: `on_cpus` does not return before every target has run `f` and
    // cleared its slot.
    let function = unsafe { core::mem::transmute::<Function<'_>, Function<'static>>(f) };
    for cpu in cpus_in(others) {
        let (Some(request), Some(queue)) = (REQUESTS.this_racy().get(cpu as usize), QUEUE.on(cpu)) else { continue };
        request.busy.store(true, Ordering::Relaxed);
        // SAFETY: The slot was free (the previous call waited for it) and is on no list.
        unsafe { *request.function.get() = Some(function) };
        let node = core::ptr::from_ref(request).cast_mut();
        let mut head = queue.load(Ordering::Relaxed);
        loop {
            request.next.store(head, Ordering::Relaxed);
            match queue.compare_exchange_weak(head, node, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // A list that was not empty has its interrupt under way.
        if head.is_null() {
            send_ipi(cpu, CALL_FUNCTION_VECTOR);
        }
    }
}

fn wait_all(others: CpuMask) {
    for cpu in cpus_in(others) {
        let Some(request) = REQUESTS.this_racy().get(cpu as usize) else { continue };
        while request.busy.load(Ordering::Acquire) {
            if irqs_disabled() {
                run_queue();
            }
            cpu_relax();
            if x86_irq::panic_cpu::in_progress() {
                // The target may have stopped; so does this CPU, by the interrupt on its way, or here if it cannot come.
                x86_cpu::asm::halt_forever();
            }
        }
    }
}

/// Runs what other CPUs asked of this one. Interrupts off.
pub fn run_queue() {
    let mut node = QUEUE.this_racy().swap(null_mut(), Ordering::SeqCst);
    while !node.is_null() {
        // SAFETY: Nodes are per-CPU statics; this one is ours until `busy` is cleared.
        let request = unsafe { &*node };
        node = request.next.load(Ordering::Relaxed);
        // SAFETY: See `Request`: the sender wrote it before it pushed the node, and waits.
        if let Some(function) = unsafe { (*request.function.get()).take() } {
            function();
        }
        request.busy.store(false, Ordering::Release);
    }
}
