// SPDX-License-Identifier: GPL-2.0
//! Consoles: registration, choice by `console=`, and the flush loop that brings every console up to the ring's head.
//!
//! `CONSOLE_LOCK` is only ever tried: who gets it prints everybody's records, who does not leaves them to the holder, which
//! looks again after letting go. So printing never waits and may happen with any lock held. NMIs only store; the next record
//! or [`flush`] shows them. A panic breaks the lock.

use crate::ring::{Missing, TEXT_MAX};
use crate::{RING, level, record};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use klog::pr_info;
use locking::{SetOnce, SpinLock};
use x86_cpu::preempt::{preempt_count, preempt_disable};

/// A place where the log is shown.
pub trait Console: Sync {
    /// Driver name without the index: `ttyS`, `tty`, `hvc`; `earlyser` and the like for boot consoles.
    fn name(&self) -> &str;
    /// Index within the driver (`ttyS0`: 0).
    fn index(&self) -> u32;
    /// A boot console (earlyprintk): it goes away when a real one is enabled.
    fn is_boot(&self) -> bool {
        false
    }
    /// Device number of its terminal, as `/proc/consoles` shows it.
    fn device(&self) -> Option<(u32, u32)> {
        None
    }
    /// It can show itself again after it was blanked (a screen).
    fn can_unblank(&self) -> bool {
        false
    }
    /// It prints on a CPU that is not yet up, too (`CON_ANYTIME`).
    fn any_time(&self) -> bool {
        false
    }
    /// Applies the options after the comma in `console=name,options`. May refuse the console.
    fn setup(&self, options: &str) -> errno::Result {
        let _ = options;
        Ok(())
    }
    /// Writes bytes; the console itself turns `\n` into `\r\n` where its line needs that. Called in any context but NMI (and
    /// in NMI or with the driver's own locks held by a dead CPU once [`in_panic`] is true), one call at a time: must not
    /// sleep, should poll.
    fn write(&self, bytes: &[u8]);
}

const MAX_CONSOLES: usize = 8;
const MAX_CHOICES: usize = 8;
const CHOICE_LEN: usize = 32;

struct Slot {
    console: SetOnce<&'static dyn Console>,
    enabled: AtomicBool,
    /// Next record to show.
    next: AtomicU32,
}

static SLOTS: [Slot; MAX_CONSOLES] =
    [const { Slot { console: SetOnce::new(), enabled: AtomicBool::new(false), next: AtomicU32::new(0) } };
        MAX_CONSOLES];

static CONSOLE_LOCK: AtomicBool = AtomicBool::new(false);
static PANIC: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy)]
struct Choice {
    text: [u8; CHOICE_LEN],
    len: usize,
}

impl Choice {
    fn as_str(&self) -> &str {
        self.text.get(..self.len).and_then(|t| core::str::from_utf8(t).ok()).unwrap_or_default()
    }

    /// Name, index and options of `ttyS0,115200n8`. A name without a number has index 0.
    fn parts(&self) -> (&str, u32, &str) {
        let (device, options) = self.as_str().split_once(',').unwrap_or((self.as_str(), ""));
        let name = device.trim_end_matches(|c: char| c.is_ascii_digit());
        let index = device.get(name.len()..).and_then(|d| d.parse().ok()).unwrap_or(0);
        (name, index, options)
    }
}

struct Choices {
    list: [Choice; MAX_CHOICES],
    count: usize,
}

static CHOICES: SpinLock<Choices> =
    SpinLock::new(Choices { list: [Choice { text: [0; CHOICE_LEN], len: 0 }; MAX_CHOICES], count: 0 });

/// Registration is serialised; taken in task context only, before `CHOICES`.
static REGISTER: SpinLock<()> = SpinLock::new(());

/// Notes one `console=` word of the command line. The last one becomes `/dev/console`.
pub fn choose(spec: &str) {
    let mut choices = CHOICES.lock_irqsave();
    let mut choice = Choice { text: [0; CHOICE_LEN], len: 0 };
    for (to, from) in choice.text.iter_mut().zip(spec.bytes()) {
        *to = from;
        choice.len += 1;
    }
    let count = choices.count;
    if let Some(slot) = choices.list.get_mut(count) {
        *slot = choice;
        choices.count = count + 1;
    }
}

/// The index in the last `console=` word for driver `name`, if there is any.
pub fn chosen_index(name: &str) -> Option<u32> {
    let choices = CHOICES.lock_irqsave();
    let used = choices.list.get(..choices.count).unwrap_or_default();
    used.iter().rev().map(Choice::parts).find(|parts| parts.0 == name).map(|parts| parts.1)
}

/// Shows the log from its start again on the console of this driver and index: its screen is only there now. Any context but
/// NMI.
pub fn replay(name: &str, index: u32) {
    for slot in SLOTS.iter().filter(|s| s.enabled.load(Ordering::Acquire)) {
        if slot.console.get().is_some_and(|c| c.name() == name && c.index() == index) {
            slot.next.store(RING.first_seq(), Ordering::SeqCst);
        }
    }
    flush();
}

/// How `console=` speaks of this console: not at all, as one of several, or as the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    NoChoices,
    No,
    Yes(usize),
}

fn wanted(console: &dyn Console) -> Wanted {
    let choices = CHOICES.lock_irqsave();
    if choices.count == 0 {
        return Wanted::NoChoices;
    }
    let used = choices.list.get(..choices.count).unwrap_or_default();
    let found = used.iter().position(|c| {
        let (name, index, _) = c.parts();
        name == console.name() && index == console.index()
    });
    found.map_or(Wanted::No, Wanted::Yes)
}

/// Registers a console. It is enabled if `console=` names it, if it is a boot console and no real one is there, or if there is
/// no `console=` and no real console yet. Enabling a real console retires the boot consoles.
pub fn register(console: &'static dyn Console) {
    let _serial = REGISTER.lock();
    let have_real = consoles().any(|c| !c.is_boot());
    let enable = match (console.is_boot(), wanted(console)) {
        (true, _) => !have_real,
        (false, Wanted::NoChoices) => !have_real,
        (false, Wanted::No) => false,
        (false, Wanted::Yes(n)) => {
            let choice = CHOICES.lock_irqsave().list.get(n).copied();
            choice.is_none_or(|c| console.setup(c.parts().2).is_ok())
        }
    };
    if !enable {
        return;
    }
    let had_boot = consoles().any(|c| c.is_boot());
    // A first console shows the log from its start; one that follows a boot console goes on where that one is.
    let start = if had_boot { RING.next_seq() } else { RING.first_seq() };
    // One that was unregistered has its place still.
    let is_known = |slot: &&Slot| slot.console.get().is_some_and(|other| is_same(*other, console));
    let slot = match SLOTS.iter().find(is_known) {
        Some(slot) if slot.enabled.load(Ordering::Acquire) => return,
        Some(slot) => slot,
        None => {
            let Some(slot) = SLOTS.iter().find(|s| s.console.get().is_none()) else { return };
            if slot.console.set(console).is_err() {
                return;
            }
            slot
        }
    };
    slot.next.store(start, Ordering::Relaxed);
    slot.enabled.store(true, Ordering::SeqCst);
    let kind = if console.is_boot() { "bootconsole" } else { "console" };
    pr_info!("printk: {kind} [{}{}] enabled", console.name(), console.index());
    if !console.is_boot() {
        retire_boot_consoles();
    }
}

/// Whether the log is to be shown on this console, if it can be: `console=` names it, or without that word it was shown there before.
pub fn is_wanted(console: &dyn Console) -> bool {
    match wanted(console) {
        Wanted::Yes(_) => true,
        Wanted::No => false,
        Wanted::NoChoices => SLOTS.iter().any(|slot| slot.console.get().is_some_and(|other| is_same(*other, console))),
    }
}

fn is_same(a: &dyn Console, b: &dyn Console) -> bool {
    a.name() == b.name() && a.index() == b.index()
}

/// Takes a console away: its driver goes. A record may still be written to it for a moment. Not in interrupts.
pub fn unregister(console: &'static dyn Console) {
    let _serial = REGISTER.lock();
    let slot = SLOTS.iter().find(|slot| slot.console.get().is_some_and(|other| is_same(*other, console)));
    if slot.is_some_and(|slot| slot.enabled.swap(false, Ordering::SeqCst)) {
        pr_info!("printk: console [{}{}] disabled", console.name(), console.index());
    }
}

fn retire_boot_consoles() {
    for slot in &SLOTS {
        if let Some(c) = slot.console.get().filter(|c| c.is_boot())
            && slot.enabled.swap(false, Ordering::SeqCst)
        {
            pr_info!("printk: bootconsole [{}{}] disabled", c.name(), c.index());
        }
    }
}

/// The enabled consoles, in the order of their registration.
pub fn consoles() -> impl Iterator<Item = &'static dyn Console> {
    SLOTS.iter().filter(|s| s.enabled.load(Ordering::Acquire)).filter_map(|s| s.console.get().copied())
}

/// The console that `/dev/console` means: the one named last by `console=` if it is there, else the last named that is, else
/// the first real one.
pub fn preferred() -> Option<&'static dyn Console> {
    let rank = |c: &&'static dyn Console| match wanted(*c) {
        Wanted::Yes(n) => n + 1,
        _ => 0,
    };
    // `max_by_key` gives the last of equals; without choices the first is meant.
    let mut best: Option<(usize, &'static dyn Console)> = None;
    for c in consoles().filter(|c| !c.is_boot()) {
        let r = rank(&c);
        if best.is_none_or(|(b, _)| r > b) {
            best = Some((r, c));
        }
    }
    best.map(|(_, c)| c)
}

/// Whether a panic is under way: console drivers then ignore their locks and poll.
pub fn in_panic() -> bool {
    PANIC.load(Ordering::Relaxed)
}

/// The panicking CPU says so; from here on it prints in any context and takes the console from whoever had it.
pub fn enter_panic() {
    PANIC.store(true, Ordering::SeqCst);
    level::verbose();
    flush();
}

/// Brings every console up to date, unless somebody is at it already.
pub fn flush() {
    // Once a panic prints nothing is waited for, and NMI context is no obstacle.
    if in_panic() {
        show_all();
        return;
    }
    if preempt_count() & (0xf << 20) != 0 {
        return;
    }
    let _pinned = preempt_disable();
    loop {
        if CONSOLE_LOCK.compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return;
        }
        let seen = show_all();
        CONSOLE_LOCK.swap(false, Ordering::SeqCst);
        // A record that came after the last look, from a context that found the lock taken, is ours to show.
        if RING.next_seq() == seen || RING.read_meta(seen) == Err(Missing::NotYet) {
            return;
        }
    }
}

/// Shows what is complete on every enabled console; returns the first record that was not.
fn show_all() -> u32 {
    let mut seen = RING.next_seq();
    for slot in SLOTS.iter().filter(|s| s.enabled.load(Ordering::Acquire)) {
        if let Some(console) = slot.console.get() {
            while show_one(slot, *console) {}
            let next = slot.next.load(Ordering::Relaxed);
            if seen.wrapping_sub(next) < u32::MAX / 2 {
                seen = next;
            }
        }
    }
    seen
}

/// Shows the next record on one console; false when there is none.
fn show_one(slot: &Slot, console: &dyn Console) -> bool {
    let seq = slot.next.load(Ordering::Relaxed);
    let mut text = [0; TEXT_MAX];
    let meta = match RING.read(seq, &mut text) {
        Ok(meta) => meta,
        Err(Missing::NotYet) => return false,
        Err(Missing::Lost(first)) => {
            console.write(b"** printk messages dropped **\n");
            slot.next.store(first, Ordering::Relaxed);
            return true;
        }
    };
    slot.next.store(seq.wrapping_add(1), Ordering::Relaxed);
    if level::shown_on_console(meta.level) {
        let mut line = [0; record::LINE_MAX];
        let text = text.get(..usize::from(meta.len)).unwrap_or_default();
        let n = record::format_lines(&meta, text, record::Prefix { syslog: false, time: level::time() }, &mut line);
        console.write(line.get(..n).unwrap_or_default());
    }
    true
}
