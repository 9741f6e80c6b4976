// SPDX-License-Identifier: GPL-2.0
//! What happens to a slot. A card comes when it is seen, or five seconds after the button was pressed; it goes five seconds after the
//! button was pressed, when a program says so, or when it is pulled out. Pressing again within that time changes the mind.

use crate::regs::{Led, Regs, cap, event};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, WeakArc};
use klog::{pr_err, pr_info};
use locking::SetOnce;
use pci::PciDevice;
use sync::Mutex;
use workqueue::{DelayedWork, Work};

/// Time for a change of mind after the button.
const BUTTON_NS: u64 = 5_000_000_000;
/// Not an event of the slot: the time of the button is over.
const TIME_IS_UP: u32 = 1 << 16;
/// Not an event of the slot: its driver is new, see what there is.
const BEGIN: u32 = 1 << 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Off,
    /// The button was pressed, and a card will be brought up.
    BlinkingOn,
    /// The button was pressed, and the card will go.
    BlinkingOff,
    On,
}

pub(crate) struct Slot {
    pub(crate) name: KString,
    pub(crate) regs: Regs,
    /// Held while a card is brought up or taken away.
    state: Mutex<State>,
    /// Events that were not looked at yet.
    pending: AtomicU32,
    going: AtomicBool,
    work: Arc<Work>,
    button: DelayedWork,
}

impl Slot {
    /// The slot of a port. Nothing happens before [`Self::begin`]. May sleep.
    pub(crate) fn new(service: &pcieport::Service) -> Result<Arc<Self>> {
        let regs = Regs::new(&service.port, service.capability);
        let state = if pci::bus::has_behind(&service.port) { State::On } else { State::Off };
        let name = KString::from_fmt(format_args!("{}", regs.number()), GFP_KERNEL)?;
        // Both are made before the slot that they are about is.
        let home: Arc<SetOnce<WeakArc<Self>>> = Arc::new(SetOnce::new(), GFP_KERNEL)?;
        let on = |f: fn(&Self)| {
            let home = home.clone();
            move || {
                if let Some(slot) = home.get().and_then(WeakArc::upgrade) {
                    f(&slot);
                }
            }
        };
        let work = Work::new(on(Self::work))?;
        let button = DelayedWork::new(on(|slot| slot.tell(TIME_IS_UP)))?;
        let slot = Self {
            name,
            regs,
            state: Mutex::new(state),
            pending: AtomicU32::new(0),
            going: AtomicBool::new(false),
            work,
            button,
        };
        let slot = Arc::new(slot, GFP_KERNEL)?;
        // New, so it is empty.
        let _ = home.set(Arc::downgrade(&slot));
        Ok(slot)
    }

    pub(crate) fn port(&self) -> &Arc<PciDevice> {
        self.regs.port()
    }

    /// The prefix of what is said about it.
    fn say(&self, what: &str) {
        pr_info!("pcieport {}: pciehp: Slot({}): {what}", self.port().address, self.name);
    }

    /// Looks after the slot from now on. May sleep.
    pub(crate) fn begin(&self) {
        self.regs.listen();
        // In the worker: under a lock of a binding the slot's own must not be taken, under which cards' drivers are bound.
        self.tell(BEGIN);
    }

    /// Sees whether a card came or went while nobody looked after the slot.
    fn first_look(&self, state: &mut State) {
        let occupied = self.is_occupied();
        if occupied != (*state == State::On) {
            self.changed(state);
        } else if !occupied && self.regs.has(cap::POWER) && self.regs.is_powered() {
            self.regs.power_off();
        }
    }

    /// Nothing of it runs afterwards. The interrupt is off. May sleep.
    pub(crate) fn stop(&self) {
        self.going.store(true, SeqCst);
        // Each may start the other once.
        self.button.cancel_sync();
        self.work.cancel_sync();
        self.button.cancel_sync();
    }

    /// The port's interrupt; whether the slot had something to say. Hard interrupt context.
    pub(crate) fn interrupt(&self) -> bool {
        let events = self.regs.take_events();
        if events != 0 {
            self.tell(events.into());
        }
        events != 0
    }

    fn tell(&self, events: u32) {
        self.pending.fetch_or(events, SeqCst);
        if !self.going.load(SeqCst) {
            self.work.queue();
        }
    }

    fn is_occupied(&self) -> bool {
        self.regs.is_present() || self.regs.is_link_up()
    }

    /// Looks at what happened. In a worker.
    fn work(&self) {
        let mut state = self.state.lock();
        let events = self.pending.swap(0, SeqCst);
        let has = |event: u16| events & u32::from(event) != 0;
        if has(event::BUTTON) {
            self.pressed(&mut state);
        }
        if has(event::POWER_FAULT) {
            pr_err!("pcieport {}: pciehp: Slot({}): Power fault", self.port().address, self.name);
            self.regs.set_leds(Some(Led::Off), Some(Led::On));
        }
        if events & TIME_IS_UP != 0 {
            match *state {
                // Nobody waits for the outcome: the LEDs show it.
                State::BlinkingOn => _ = self.enable(&mut state),
                // What came with it is about the card that goes.
                State::BlinkingOff => {
                    _ = self.disable(&mut state);
                    return;
                }
                // Something else decided meanwhile.
                State::On | State::Off => {}
            }
        }
        if events & BEGIN != 0 {
            self.first_look(&mut state);
        } else if has(event::PRESENCE | event::LINK) {
            self.changed(&mut state);
        }
    }

    fn pressed(&self, state: &mut State) {
        match *state {
            State::On => {
                *state = State::BlinkingOff;
                self.say("Button press: will power off in 5 sec");
            }
            State::Off => {
                *state = State::BlinkingOn;
                self.say("Button press: will power on in 5 sec");
            }
            State::BlinkingOff => {
                self.button.cancel();
                *state = State::On;
                self.regs.set_leds(Some(Led::On), Some(Led::Off));
                return self.say("Button press: canceling request to power off");
            }
            State::BlinkingOn => {
                self.button.cancel();
                *state = State::Off;
                self.regs.set_leds(Some(Led::Off), Some(Led::Off));
                return self.say("Button press: canceling request to power on");
            }
        }
        self.regs.set_leds(Some(Led::Blink), Some(Led::Off));
        self.button.queue_after(BUTTON_NS);
    }

    /// A card came or went, or both.
    fn changed(&self, state: &mut State) {
        let blinked = matches!(*state, State::BlinkingOn | State::BlinkingOff);
        if blinked {
            self.button.cancel();
        }
        if matches!(*state, State::On | State::BlinkingOff) {
            self.say(if self.regs.is_present() { "Link Down" } else { "Card not present" });
            // Whatever is there now is another card.
            let _ = self.disable(state);
        } else {
            *state = State::Off;
        }
        if !self.is_occupied() {
            if blinked {
                self.regs.set_leds(Some(Led::Off), None);
                self.say("Card not present");
            }
            return;
        }
        self.say(if self.regs.is_present() { "Card present" } else { "Link Up" });
        let _ = self.enable(state);
    }

    /// Brings up the card that is there. `ENODEV`: there is none, or it does not answer.
    fn enable(&self, state: &mut State) -> Result {
        let result = self.bring_up();
        *state = if result.is_ok() { State::On } else { State::Off };
        if result.is_err() {
            if self.regs.has(cap::POWER) {
                self.regs.power_off();
                ktime::sleep_ns(1_000_000_000);
                self.forget_power_off();
            }
            self.regs.set_leds(Some(Led::Off), Some(Led::On));
        }
        result
    }

    fn bring_up(&self) -> Result {
        if !self.is_occupied() {
            self.say("No adapter");
            return Err(ENODEV);
        }
        if self.regs.is_latch_open() {
            self.say("Latch open");
            return Err(ENODEV);
        }
        self.regs.power_on();
        self.regs.set_leds(Some(Led::Blink), Some(Led::Off));
        self.wait_link()?;
        if !self.wait_card() {
            pr_err!("pcieport {}: pciehp: Slot({}): the card does not answer", self.port().address, self.name);
            return Err(ENODEV);
        }
        pci::bus::scan_behind(self.port())?;
        self.regs.set_leds(Some(Led::On), Some(Led::Off));
        Ok(())
    }

    /// Waits for the link, a second at most, and then as long as a card has to become ready.
    fn wait_link(&self) -> Result {
        let mut tries = 100;
        while self.regs.reports_link() && !self.regs.is_link_up() {
            tries -= 1;
            if tries == 0 {
                pr_err!("pcieport {}: pciehp: Slot({}): No link", self.port().address, self.name);
                return Err(ENODEV);
            }
            ktime::sleep_ns(10_000_000);
        }
        ktime::sleep_ns(100_000_000);
        Ok(())
    }

    /// Waits for the card to answer, a second at most.
    fn wait_card(&self) -> bool {
        for _ in 0..50 {
            if pci::bus::answers_behind(self.port()) {
                return true;
            }
            ktime::sleep_ns(20_000_000);
        }
        false
    }

    /// Takes the card's functions away and switches it off. `ENOMEM`.
    fn disable(&self, state: &mut State) -> Result {
        let result = pci::bus::remove_behind(self.port());
        if self.regs.has(cap::POWER) {
            self.regs.power_off();
            // Until then it may look as if the card were there.
            ktime::sleep_ns(1_000_000_000);
            self.forget_power_off();
        }
        self.regs.set_leds(Some(Led::Off), None);
        *state = State::Off;
        result
    }

    /// What the slot says about card and link after the power went off is no news.
    fn forget_power_off(&self) {
        self.pending.fetch_and(!u32::from(event::PRESENCE | event::LINK), SeqCst);
    }

    /// A program switches the slot on or off. `ENODEV`: there is no card, or the slot is in that state already. May sleep.
    pub(crate) fn switch(&self, on: bool) -> Result {
        let mut state = self.state.lock();
        if self.going.load(SeqCst) {
            return Err(ENODEV);
        }
        match (*state, on) {
            // A button's five seconds go on.
            (State::On | State::BlinkingOff, true) => {
                self.say("Already enabled");
                Err(ENODEV)
            }
            (State::Off | State::BlinkingOn, false) => {
                self.say("Already disabled");
                Err(ENODEV)
            }
            (State::Off | State::BlinkingOn, true) => {
                self.button.cancel();
                self.enable(&mut state)
            }
            (State::On | State::BlinkingOff, false) => {
                self.button.cancel();
                self.disable(&mut state)
            }
        }
    }
}
