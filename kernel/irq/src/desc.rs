// SPDX-License-Identifier: GPL-2.0
//! Interrupt numbers, what is behind each, and the dispatch of an interrupt to its handlers.
//!
//! Numbers below the number of lines are GSIs; messages (MSI) get numbers above. The handlers of a number are a list under RCU:
//! dispatch takes no lock, and freeing waits for a grace period, after which no handler can be running.

use crate::action::{Action, IrqReturn};
use crate::pm::Sleep;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use klog::{pr_err, pr_warn};
use rcu::RcuArc;
use sync::Mutex;
use x86::irq::chip::{self, MsiMessage, Polarity, Trigger};
use x86_cpu::percpu::CpuId;

/// Interrupt numbers.
pub const NR_IRQS: usize = 512;

/// What raises an interrupt number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Nothing: the number is free.
    None,
    /// An input of an IOAPIC.
    Line(Trigger),
    /// A message.
    Message(MsiMessage),
}

pub(crate) struct Config {
    pub(crate) source: Source,
    pub(crate) cpu: CpuId,
    /// Handlers share the line.
    pub(crate) shared: bool,
    /// Nesting of `disable_irq`.
    pub(crate) disabled: u32,
}

/// A number's handlers.
pub(crate) struct Actions(pub(crate) KVec<Arc<Action>>);

pub(crate) struct Desc {
    pub(crate) actions: RcuArc<Actions>,
    /// Serialises requests and frees; before `rcu`'s grace-period mutex.
    pub(crate) config: Mutex<Config>,
    /// Masks that threads and `disable_irq` hold on a line; the last one that goes unmasks.
    pub(crate) masks: AtomicU32,
    pub(crate) sleep: Sleep,
    unhandled: AtomicU32,
    /// Interrupts since `unhandled` was last looked at.
    window: AtomicU32,
}

static DESCS: [Desc; NR_IRQS] = [const {
    Desc {
        actions: RcuArc::null(),
        config: Mutex::new(Config { source: Source::None, cpu: 0, shared: false, disabled: 0 }),
        masks: AtomicU32::new(0),
        sleep: Sleep::new(),
        unhandled: AtomicU32::new(0),
        window: AtomicU32::new(0),
    }
}; NR_IRQS];

x86_cpu::percpu! {
    static COUNTS: [AtomicU32; NR_IRQS] = [const { AtomicU32::new(0) }; NR_IRQS];
}

static SPURIOUS: AtomicU64 = AtomicU64::new(0);

/// The descriptor of `irq`; `EINVAL` for a number out of range.
pub(crate) fn desc(irq: u32) -> Result<&'static Desc> {
    DESCS.get(irq as usize).ok_or(EINVAL)
}

/// An interrupt arrived. Hard interrupt context, interrupts off.
#[inline]
pub(crate) fn handle(irq: u32) {
    let Some(desc) = DESCS.get(irq as usize) else { return };
    if let Some(count) = COUNTS.this_racy().get(irq as usize) {
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }
    if desc.sleep.is_suspended() && crate::pm::arrived(irq, desc) {
        return;
    }
    dispatch(irq, desc);
}

/// Calls the handlers. Interrupts are off.
#[inline]
pub(crate) fn dispatch(irq: u32, desc: &Desc) {
    let section = rcu::read_lock();
    let mut handled = false;
    if let Some(actions) = desc.actions.load(&section) {
        for action in &actions.0 {
            match action.call(irq) {
                IrqReturn::None => {}
                IrqReturn::Handled => handled = true,
                IrqReturn::WakeThread => {
                    handled = true;
                    action.wake_thread(irq, desc);
                }
            }
        }
    }
    if !handled {
        note_unhandled(irq, desc);
    } else if desc.unhandled.load(Relaxed) != 0 {
        note_window(desc);
    }
}

fn note_window(desc: &Desc) -> u32 {
    let n = desc.window.fetch_add(1, Relaxed) + 1;
    if n >= 100_000 {
        desc.window.store(0, Relaxed);
        desc.unhandled.store(0, Relaxed);
    }
    n
}

/// Nobody claimed it. A line that screams is shut up, so that the machine goes on (as Linux does: 99,900 of 100,000).
#[cold]
fn note_unhandled(irq: u32, desc: &Desc) {
    SPURIOUS.fetch_add(1, Relaxed);
    let unhandled = desc.unhandled.fetch_add(1, Relaxed) + 1;
    note_window(desc);
    if unhandled == 99_900 {
        pr_err!("irq {irq}: nobody cared");
        pr_err!("Disabling IRQ #{irq}");
        mask(irq, desc);
    }
}

/// Interrupts nobody claimed.
pub fn spurious() -> u64 {
    SPURIOUS.load(Relaxed)
}

/// Adds a reason for the line to be masked.
pub(crate) fn mask(irq: u32, desc: &Desc) {
    if desc.masks.fetch_add(1, Relaxed) == 0 {
        chip::ioapic_mask(irq);
    }
}

/// Takes a reason away.
pub(crate) fn unmask(irq: u32, desc: &Desc) {
    if desc.masks.fetch_sub(1, Relaxed) == 1 {
        chip::ioapic_unmask(irq);
    }
}

/// Adds a handler to `irq`; the first one routes the line. Task context.
pub(crate) fn attach(irq: u32, action: Arc<Action>, trigger: Option<(Trigger, Polarity)>, shared: bool) -> Result {
    let desc = desc(irq)?;
    let mut config = desc.config.lock();
    let old = desc.actions.get();
    if old.is_some() && !(shared && config.shared) {
        return Err(EBUSY);
    }
    // Those who share a line agree on its trigger.
    if let (Source::Line(now), Some((wanted, _))) = (config.source, trigger)
        && old.is_some()
        && now != wanted
    {
        return Err(EBUSY);
    }
    let mut list = KVec::new();
    if let Some(old) = &old {
        for a in &old.0 {
            list.push(a.clone(), GFP_KERNEL)?;
        }
    }
    list.push(action, GFP_KERNEL)?;
    let list = Arc::new(Actions(list), GFP_KERNEL)?;
    if old.is_none() && matches!(config.source, Source::None) {
        let (trigger, polarity) = trigger.ok_or(EINVAL)?;
        let cpu = 0;
        chip::ioapic_route(irq, trigger, polarity, irq, cpu)?;
        config.source = Source::Line(trigger);
        config.cpu = cpu;
    }
    config.shared = shared;
    desc.actions.replace(Some(list));
    if old.is_none()
        && config.disabled == 0
        && matches!(config.source, Source::Line(_))
        && desc.masks.load(Relaxed) == 0
    {
        chip::ioapic_unmask(irq);
    }
    Ok(())
}

/// Takes a handler off; it is not running any more when this returns. May sleep.
pub(crate) fn detach(irq: u32, action: &Arc<Action>) {
    let Ok(desc) = desc(irq) else { return };
    let mut config = desc.config.lock();
    let Some(old) = desc.actions.get() else { return };
    let mut list = KVec::new();
    for a in old.0.iter().filter(|a| !Arc::ptr_eq(a, action)) {
        if list.push(a.clone(), GFP_KERNEL).is_err() {
            // Without memory for a shorter list the handler is only silenced.
            action.silence();
            rcu::synchronize();
            return;
        }
    }
    let rest = if list.is_empty() { None } else { Arc::new(Actions(list), GFP_KERNEL).ok() };
    if rest.is_none() {
        if let Source::Line(_) = config.source {
            chip::ioapic_release(irq);
            config.source = Source::None;
            desc.masks.store(0, Relaxed);
            desc.sleep.forget();
        }
        if old.0.len() > 1 {
            pr_warn!("irq {irq}: out of memory while a handler is removed, the line is off");
        }
    }
    action.silence();
    desc.actions.replace(rest);
    drop(config);
    rcu::synchronize();
}

/// Allocates an interrupt number for a device's message, to be delivered to `cpu`. `ENOSPC` without a free number or vector.
pub fn alloc_message(cpu: CpuId) -> Result<(u32, MsiMessage)> {
    for irq in chip::gsi_end()..NR_IRQS as u32 {
        let desc = desc(irq)?;
        let mut config = desc.config.lock();
        if matches!(config.source, Source::None) {
            let message = chip::msi_compose(irq, cpu)?;
            config.source = Source::Message(message);
            config.cpu = cpu;
            return Ok((irq, message));
        }
    }
    Err(ENOSPC)
}

/// Gives a message's number back; its handlers are gone and the device is silent.
pub fn free_message(irq: u32) {
    if let Ok(desc) = desc(irq) {
        let mut config = desc.config.lock();
        if let Source::Message(message) = config.source {
            chip::msi_release(&message);
            config.source = Source::None;
        }
    }
}

/// Keeps the line of `irq` quiet until [`enable_irq`]; nests. Messages cannot be masked here (`EINVAL`): the device does that.
pub fn disable_irq(irq: u32) -> Result {
    let desc = desc(irq)?;
    let mut config = desc.config.lock();
    if !matches!(config.source, Source::Line(_)) {
        return Err(EINVAL);
    }
    config.disabled += 1;
    if config.disabled == 1 {
        mask(irq, desc);
    }
    drop(config);
    rcu::synchronize();
    Ok(())
}

/// Undoes one [`disable_irq`].
pub fn enable_irq(irq: u32) -> Result {
    let desc = desc(irq)?;
    let mut config = desc.config.lock();
    config.disabled = config.disabled.checked_sub(1).ok_or(EINVAL)?;
    if config.disabled == 0 {
        unmask(irq, desc);
    }
    Ok(())
}

/// How often `irq` arrived at `cpu`.
pub fn count(irq: u32, cpu: CpuId) -> u32 {
    COUNTS.on(cpu).and_then(|c| c.get(irq as usize)).map_or(0, |c| c.load(Relaxed))
}

/// One line of `/proc/interrupts`: calls `show` with the controller's name (`IO-APIC`, `PCI-MSI`), the trigger and the handlers'
/// names. False if nothing uses the number. May sleep.
pub fn describe(irq: u32, show: &mut dyn FnMut(&str, &str, &[u8])) -> bool {
    let Ok(desc) = desc(irq) else { return false };
    let config = desc.config.lock();
    let Some(actions) = desc.actions.get() else { return false };
    let (controller, kind) = match config.source {
        Source::None => return false,
        Source::Line(Trigger::Edge) => ("IO-APIC", "edge"),
        Source::Line(Trigger::Level) => ("IO-APIC", "fasteoi"),
        Source::Message(_) => ("PCI-MSI", "edge"),
    };
    for action in &actions.0 {
        show(controller, kind, action.name());
    }
    true
}
