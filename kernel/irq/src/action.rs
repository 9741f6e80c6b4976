// SPDX-License-Identifier: GPL-2.0
//! A handler of an interrupt: the hard half that runs in interrupt context, and the thread that some have.

use crate::desc::{self, Desc};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use sync::WaitQueue;
use x86::irq::chip::{self, Polarity, Trigger};

/// What a hard handler says (`irqreturn_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqReturn {
    /// Not from my device.
    None,
    /// Done.
    Handled,
    /// My thread does the rest.
    WakeThread,
}

/// The hard handler: hard interrupt context, interrupts off.
pub type Handler = dyn Fn(u32) -> IrqReturn + Send + Sync;
/// The threaded handler: a kernel thread of its own (FIFO 50), may sleep.
pub type ThreadHandler = dyn Fn(u32) + Send + Sync;

/// How a line is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct IrqFlags {
    /// Other devices may use the line too (`IRQF_SHARED`).
    pub shared: bool,
    /// The line stays masked until the thread is done (`IRQF_ONESHOT`): for level-triggered devices that only the thread can
    /// silence.
    pub oneshot: bool,
    /// It is served while devices sleep (`IRQF_NO_SUSPEND`), and so are others that share the line.
    pub no_suspend: bool,
    /// Trigger and polarity; `None` for a message, or to take what firmware says of an ISA line.
    pub trigger: Option<(Trigger, Polarity)>,
}

/// One registered handler.
pub(crate) struct Action {
    name: KVec<u8>,
    handler: Option<KBox<Handler>>,
    thread: Option<KBox<ThreadHandler>>,
    oneshot: bool,
    pub(crate) no_suspend: bool,
    /// Masks that `wake_thread` took and the thread has to give back.
    held_masks: AtomicU32,
    pending: AtomicBool,
    /// How often the thread was woken, and up to which of these it has run.
    woken: AtomicU64,
    served: AtomicU64,
    silenced: AtomicBool,
    stopped: AtomicBool,
    wait: WaitQueue,
    /// Who waits for the thread to have run.
    drained: WaitQueue,
}

impl Action {
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    #[inline]
    pub(crate) fn call(&self, irq: u32) -> IrqReturn {
        if self.silenced.load(Relaxed) {
            return IrqReturn::None;
        }
        match &self.handler {
            Some(handler) => handler(irq),
            None => IrqReturn::WakeThread,
        }
    }

    pub(crate) fn wake_thread(&self, irq: u32, desc: &Desc) {
        if self.oneshot {
            self.held_masks.fetch_add(1, SeqCst);
            desc::mask(irq, desc);
        }
        self.woken.fetch_add(1, SeqCst);
        self.pending.store(true, SeqCst);
        self.wait.wake_up();
    }

    /// Waits until the thread has done what it was woken for. May sleep.
    pub(crate) fn drain(&self) {
        let woken = self.woken.load(SeqCst);
        self.drained.wait_until(|| self.served.load(SeqCst) >= woken || self.stopped.load(SeqCst));
    }

    /// Not called any more (a dispatch that is going on may still call it once).
    pub(crate) fn silence(&self) {
        self.silenced.store(true, SeqCst);
    }

    fn run_thread(&self, irq: u32) {
        loop {
            self.wait.wait_idle(|| self.pending.swap(false, SeqCst) || self.silenced.load(SeqCst));
            if self.silenced.load(SeqCst) {
                break;
            }
            // Read before the run: what was asked for by now, this run serves.
            let woken = self.woken.load(SeqCst);
            if let Some(thread) = &self.thread {
                thread(irq);
            }
            if let Ok(desc) = desc::desc(irq) {
                for _ in 0..self.held_masks.swap(0, SeqCst) {
                    desc::unmask(irq, desc);
                }
            }
            self.served.store(woken, SeqCst);
            self.drained.wake_up_all();
        }
        self.stopped.store(true, SeqCst);
        self.wait.wake_up_all();
        self.drained.wake_up_all();
    }
}

/// A handler's registration; dropping it frees the interrupt (may sleep; no handler runs any more afterwards).
pub struct IrqRequest {
    irq: u32,
    action: Arc<Action>,
}

impl IrqRequest {
    /// The interrupt number.
    pub fn irq(&self) -> u32 {
        self.irq
    }

    /// Waits until no call of the handler that began before is running, and until its thread has done what they woke it for
    /// (`synchronize_irq`). Not from the handler or its thread. May sleep.
    pub fn synchronize(&self) {
        rcu::synchronize();
        self.action.drain();
    }
}

impl Drop for IrqRequest {
    fn drop(&mut self) {
        desc::detach(self.irq, &self.action);
        if self.action.thread.is_some() {
            self.action.wait.wake_up_all();
            self.action.wait.wait_until(|| self.action.stopped.load(SeqCst));
        }
    }
}

/// Registers a hard handler for `irq`. `EBUSY` if the line is taken and not shared; `EINVAL` without such a line. May sleep.
pub fn request_irq(irq: u32, name: &[u8], flags: IrqFlags, handler: KBox<Handler>) -> Result<IrqRequest> {
    request(irq, name, flags, Some(handler), None)
}

/// Registers a handler with a thread. Without a hard handler the line is masked until the thread is done, so `oneshot` must
/// be set (`EINVAL`). May sleep.
pub fn request_threaded_irq(
    irq: u32,
    name: &[u8],
    flags: IrqFlags,
    handler: Option<KBox<Handler>>,
    thread: KBox<ThreadHandler>,
) -> Result<IrqRequest> {
    if handler.is_none() && !flags.oneshot {
        return Err(errno::code::EINVAL);
    }
    request(irq, name, flags, handler, Some(thread))
}

fn request(
    irq: u32,
    name: &[u8],
    flags: IrqFlags,
    handler: Option<KBox<Handler>>,
    thread: Option<KBox<ThreadHandler>>,
) -> Result<IrqRequest> {
    let mut owned = KVec::new();
    owned.extend_from_slice(name, GFP_KERNEL)?;
    let threaded = thread.is_some();
    let action = Arc::new(
        Action {
            name: owned,
            handler,
            thread,
            oneshot: flags.oneshot,
            no_suspend: flags.no_suspend,
            held_masks: AtomicU32::new(0),
            pending: AtomicBool::new(false),
            woken: AtomicU64::new(0),
            served: AtomicU64::new(0),
            silenced: AtomicBool::new(false),
            stopped: AtomicBool::new(!threaded),
            wait: WaitQueue::new(),
            drained: WaitQueue::new(),
        },
        GFP_KERNEL,
    )?;
    if threaded {
        start_thread(irq, name, action.clone())?;
    }
    let request = IrqRequest { irq, action: action.clone() };
    if let Err(error) = desc::attach(irq, action, flags.trigger, flags.shared) {
        request.action.silence();
        return Err(error);
    }
    Ok(request)
}

fn start_thread(irq: u32, name: &[u8], action: Arc<Action>) -> Result {
    let mut comm = [0u8; task::COMM_LEN];
    let mut w = printk::record::SliceWriter::new(&mut comm);
    // Cut to what a task's name holds.
    let _ = core::fmt::Write::write_fmt(&mut w, format_args!("irq/{irq}-"));
    w.push(name);
    let len = w.len();
    let thread = task::kthread_create(comm.get(..len).unwrap_or_default(), move || action.run_thread(irq))?;
    sched::set_params(
        &thread,
        sched::Params { policy: sched::policy::FIFO, rt_priority: 50, nice: 0, reset_on_fork: false },
    )?;
    task::kthread::wake_up_new(thread);
    Ok(())
}

/// Registers a hard handler for ISA interrupt `isa` (0 to 15), routed as firmware says. See [`request_irq`].
pub fn request_isa_irq(isa: u8, name: &[u8], shared: bool, handler: KBox<Handler>) -> Result<IrqRequest> {
    let line = chip::isa_line(isa);
    let flags = IrqFlags { shared, trigger: Some((line.trigger, line.polarity)), ..IrqFlags::default() };
    request_irq(line.gsi, name, flags, handler)
}
