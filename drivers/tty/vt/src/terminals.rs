// SPDX-License-Identifier: GPL-2.0
//! The terminals and the screen they share, under one lock, `VT`. What programs write changes a terminal's cells at once and the
//! screen soon after, by a work item (so that a flood is drawn once, not line by line); the kernel log draws at once.

use crate::COUNT;
use crate::display::Display;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use locking::{SetOnce, SpinLock};
use process::Process;
use sync::WaitQueue;
use tty::Tty;
use uapi::{K_UNICODE, KD_TEXT, VT_AUTO};
use vt_emul::keyboard::{Decoder, Set};
use vt_emul::keymap::Keyboard;
use vt_emul::{Emulator, Events};
use workqueue::{DelayedWork, Work};

/// The screen is drawn for programs at most so often.
const DRAW_INTERVAL_NS: u64 = 16_000_000;

/// How a terminal is switched away and back (`VT_SETMODE`).
pub(crate) struct Switching {
    /// `VT_AUTO` or `VT_PROCESS`.
    pub(crate) mode: u32,
    pub(crate) waitv: i8,
    pub(crate) relsig: u16,
    pub(crate) acqsig: u16,
    /// The process that is asked.
    pub(crate) owner: Option<WeakArc<Process>>,
    /// The terminal that waits for its consent to come to the front.
    pub(crate) wanted: Option<usize>,
}

impl Switching {
    pub(crate) const AUTO: Self = Self { mode: VT_AUTO, waitv: 0, relsig: 0, acqsig: 0, owner: None, wanted: None };
}

/// A terminal.
pub(crate) struct Terminal {
    pub(crate) emulator: Emulator,
    /// `K_XLATE` and so on.
    pub(crate) key_mode: u32,
    /// Alt sends the high bit, not ESC (`KDSKBMETA`).
    pub(crate) meta_bit: bool,
    /// Its locks (Caps, Num, Scroll), while it is not in front.
    pub(crate) leds: u8,
    /// `KD_TEXT` or `KD_GRAPHICS`.
    pub(crate) screen_mode: u32,
    pub(crate) switching: Switching,
    /// ^S.
    pub(crate) stopped: bool,
    /// While it is open.
    pub(crate) tty: Option<Arc<Tty>>,
}

impl Terminal {
    fn new((cols, rows): (usize, usize)) -> Result<KBox<Self>> {
        let this = Self {
            emulator: Emulator::new(cols, rows)?,
            key_mode: K_UNICODE,
            meta_bit: false,
            leds: 0,
            screen_mode: KD_TEXT,
            switching: Switching::AUTO,
            stopped: false,
            tty: None,
        };
        Ok(KBox::new(this, GFP_KERNEL)?)
    }
}

/// Everything under the lock. Terminals are counted from 0 here: 0 is `/dev/tty1`.
pub(crate) struct Terminals {
    display: Display,
    terminals: [Option<KBox<Terminal>>; COUNT],
    pub(crate) front: usize,
    /// The one that was in front before.
    pub(crate) last: usize,
    /// `VT_LOCKSWITCH`.
    pub(crate) locked: bool,
    pub(crate) decoder: Decoder,
    pub(crate) keyboard: Keyboard,
}

/// See the crate's header.
pub(crate) static VT: SpinLock<Terminals> = SpinLock::new(Terminals {
    display: Display::None,
    terminals: [const { None }; COUNT],
    front: 0,
    last: 0,
    locked: false,
    decoder: Decoder::new(Set::One),
    keyboard: Keyboard::new(),
});

/// Terminals that programs have open, a bit each.
pub(crate) static OPEN: AtomicU64 = AtomicU64::new(0);

/// Those who wait for a terminal to come to the front.
pub(crate) static SWITCHED: WaitQueue = WaitQueue::new();

impl Terminals {
    pub(crate) fn get(&mut self, index: usize) -> Option<&mut Terminal> {
        self.terminals.get_mut(index)?.as_deref_mut()
    }

    pub(crate) fn is_allocated(&self, index: usize) -> bool {
        self.terminals.get(index).is_some_and(Option::is_some)
    }

    pub(crate) fn front(&mut self) -> Option<&mut Terminal> {
        self.get(self.front)
    }

    /// The screen's size in cells.
    pub(crate) fn screen_size(&self) -> (usize, usize) {
        self.display.size()
    }

    /// The terminal in front and its keyboard, if it is there.
    pub(crate) fn front_and_keyboard(&mut self) -> Option<(&mut Terminal, &mut Keyboard)> {
        let Self { terminals, front, keyboard, .. } = self;
        Some((terminals.get_mut(*front)?.as_deref_mut()?, keyboard))
    }

    /// Draws what changed in a row of the terminal in front; false beyond the last.
    fn draw_row(&mut self, row: usize) -> bool {
        let Self { display, terminals, front, .. } = self;
        let Some(Some(terminal)) = terminals.get_mut(*front) else { return false };
        if row >= terminal.emulator.size().1 || terminal.screen_mode != KD_TEXT {
            return false;
        }
        if let Some((col, cells)) = terminal.emulator.take_row(row) {
            display.draw(row, col, cells);
        }
        true
    }

    /// Draws the cursor of the terminal in front.
    fn draw_cursor(&mut self) {
        let Self { display, terminals, front, .. } = self;
        if let Some(Some(terminal)) = terminals.get_mut(*front)
            && terminal.screen_mode == KD_TEXT
        {
            let modes = terminal.emulator.modes();
            display.cursor(modes.cursor_visible.then_some(terminal.emulator.cursor()), modes.cursor_type);
        }
    }

    /// Draws everything that changed.
    pub(crate) fn draw(&mut self) {
        let mut row = 0usize;
        while self.draw_row(row) {
            row = row.saturating_add(1);
        }
        self.draw_cursor();
    }

    /// The screen shows the terminal in front and nothing else from now on: all of it is to be drawn.
    pub(crate) fn refresh(&mut self) {
        let Self { display, terminals, front, .. } = self;
        let Some(Some(terminal)) = terminals.get_mut(*front) else { return };
        display.forget();
        display.set_palette(terminal.emulator.palette());
        let (cols, rows) = terminal.emulator.size();
        if (cols, rows) != display.size() && terminal.screen_mode == KD_TEXT {
            display.clear_outside(cols, rows);
        }
        terminal.emulator.touch_all();
    }

    /// Writes to a terminal; what the caller must do after letting go of the lock.
    pub(crate) fn write(&mut self, index: usize, bytes: &[u8]) -> Events {
        let front = index == self.front;
        let Some(terminal) = self.get(index) else { return Events::default() };
        terminal.emulator.write(bytes);
        let events = terminal.emulator.take_events();
        if let Some(leds) = events.leds {
            terminal.leds = leds;
            if front {
                self.keyboard.set_leds(leds);
            }
        }
        if events.palette && front {
            self.refresh();
        }
        events
    }
}

/// Takes the screen and makes the first terminal. Once; interrupts may be off.
pub(crate) fn start(display: Display) -> Result {
    let first = Terminal::new(display.size())?;
    let mut vt = VT.lock_irqsave();
    vt.display = display;
    if let Some(slot) = vt.terminals.first_mut() {
        *slot = Some(first);
    }
    vt.refresh();
    vt.draw();
    Ok(())
}

/// Makes terminal `index` if it is not there yet. May sleep.
pub(crate) fn allocate(index: usize) -> Result {
    let size = {
        let vt = VT.lock_irqsave();
        if vt.is_allocated(index) {
            return Ok(());
        }
        vt.screen_size()
    };
    let mut new = Some(Terminal::new(size)?);
    let mut vt = VT.lock_irqsave();
    if let Some(slot) = vt.terminals.get_mut(index)
        && slot.is_none()
    {
        *slot = new.take();
    }
    drop(vt);
    // If somebody was faster, ours goes without the lock.
    drop(new);
    Ok(())
}

/// Frees terminal `index` if nobody uses it; whether it is free now. May sleep.
pub(crate) fn free(index: usize) -> bool {
    let old = {
        let mut vt = VT.lock_irqsave();
        if is_open(index) || index == vt.front {
            return false;
        }
        // The first one is never freed: the kernel log needs it.
        if index == 0 { None } else { vt.terminals.get_mut(index).and_then(Option::take) }
    };
    drop(old);
    true
}

/// Whether programs have terminal `index` open.
pub(crate) fn is_open(index: usize) -> bool {
    OPEN.load(Ordering::SeqCst) >> (index & 63) & 1 != 0
}

/// The terminal in front, counted from 0.
pub(crate) fn front() -> usize {
    VT.lock_irqsave().front
}

struct Works {
    draw: DelayedWork,
    rest: Arc<Work>,
}

static WORKS: SetOnce<Works> = SetOnce::new();
static LAST_DRAW: AtomicU64 = AtomicU64::new(0);
/// A drawing is on its way.
static DRAWING: AtomicBool = AtomicBool::new(false);
/// Terminals whose reports wait to become input, a bit each.
static REPLIES: AtomicU64 = AtomicU64::new(0);
/// Asked for by an escape sequence: the terminal to bring to the front, counted from 1; with `LAST` the one before; 0 is none.
static WANTED: AtomicU64 = AtomicU64::new(0);
const LAST: u64 = u64::MAX;
/// Lights to be set, and that there are any.
static LEDS: AtomicU64 = AtomicU64::new(0);
const LEDS_VALID: u64 = 0x100;

/// Draws a row at a time, so that the lock and interrupts are never held for long.
fn draw_work() {
    LAST_DRAW.store(ktime::now_ns(), Ordering::Relaxed);
    DRAWING.store(false, Ordering::SeqCst);
    let mut row = 0usize;
    while VT.lock_irqsave().draw_row(row) {
        row = row.saturating_add(1);
    }
    VT.lock_irqsave().draw_cursor();
}

/// Has the screen drawn soon. Any context in which work can be queued.
pub(crate) fn schedule_draw() {
    let Some(works) = WORKS.get() else {
        return VT.lock_irqsave().draw();
    };
    if !DRAWING.swap(true, Ordering::SeqCst) {
        let since = ktime::now_ns().saturating_sub(LAST_DRAW.load(Ordering::Relaxed));
        works.draw.queue_after(DRAW_INTERVAL_NS.saturating_sub(since));
    }
}

/// What a write asked for and the writer must not do itself.
fn rest_work() {
    let mut waiting = REPLIES.swap(0, Ordering::SeqCst);
    while waiting != 0 {
        let index = waiting.trailing_zeros() as usize;
        waiting &= waiting.wrapping_sub(1);
        give_replies(index);
    }
    let leds = LEDS.swap(0, Ordering::SeqCst);
    if leds & LEDS_VALID != 0 {
        input::set_leds(leds as u8);
    }
    let wanted = match WANTED.swap(0, Ordering::SeqCst) {
        0 => return,
        LAST => VT.lock_irqsave().last,
        n => (n as usize).saturating_sub(1),
    };
    // A terminal that is not there is not switched to.
    let _ = crate::switch::to(wanted);
}

/// Turns a terminal's reports into its input.
fn give_replies(index: usize) {
    let mut buf = [0; 64];
    loop {
        let (n, tty) = {
            let mut vt = VT.lock_irqsave();
            let Some(terminal) = vt.get(index) else { return };
            (terminal.emulator.read_reply(&mut buf), terminal.tty.clone())
        };
        let (Some(bytes), Some(tty)) = (buf.get(..n).filter(|b| !b.is_empty()), tty) else { return };
        tty.receive(bytes, None);
    }
}

/// Leaves to a work item what `events` of terminal `index` ask for. Any context in which work can be queued.
pub(crate) fn after_write(index: usize, events: &Events) {
    let Some(works) = WORKS.get() else { return };
    let mut any = false;
    if events.reply {
        REPLIES.fetch_or(1 << (index & 63), Ordering::SeqCst);
        any = true;
    }
    if let Some(leds) = events.leds {
        LEDS.store(LEDS_VALID | u64::from(leds), Ordering::SeqCst);
        any = true;
    }
    if let Some(n) = events.switch_to {
        WANTED.store(if n == 0 { LAST } else { n.into() }, Ordering::SeqCst);
        any = true;
    }
    if any {
        works.rest.queue();
    }
}

/// Makes the work items. Once. May sleep.
pub(crate) fn start_work() -> Result {
    let works = Works { draw: DelayedWork::new(draw_work)?, rest: Work::new(rest_work)? };
    WORKS.set(works).map_err(|_| errno::code::EBUSY)
}

/// A weak reference to the caller's process.
pub(crate) fn caller() -> Option<WeakArc<Process>> {
    process::current_process().map(|process| Arc::downgrade(&process))
}
