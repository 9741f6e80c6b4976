// SPDX-License-Identifier: GPL-2.0
//! Between keyboards and who takes what is typed (the virtual terminals): drivers of keyboards (`i8042`) may be modules, so neither knows
//! the other. A keyboard gives scan codes of set 1 and has three lights.
//!
//! Lock: `KEYBOARDS` (sleeping), around the list alone.

#![no_std]
#![forbid(unsafe_code)]

use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernfs::Revocable;
use locking::SetOnce;
use sync::Mutex;

/// Who takes scan codes.
pub trait Handler: Sync {
    /// A byte from a keyboard, in a thread that may sleep.
    fn scan_code(&self, byte: u8);

    /// The lights that keyboards show: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock. May sleep.
    fn lights(&self) -> u8;
}

/// A keyboard.
pub trait Keyboard: Send + Sync {
    /// Sets its lights, soon; see [`Handler::lights`].
    fn set_leds(&self, leds: u8);
}

static HANDLER: SetOnce<&'static dyn Handler> = SetOnce::new();
static KEYBOARDS: Mutex<KVec<Arc<Revocable<dyn Keyboard>>>> = Mutex::new(KVec::new());

/// Sets who takes scan codes. Once, at boot.
pub fn set_handler(handler: &'static dyn Handler) {
    // The first one stays.
    let _ = HANDLER.set(handler);
}

/// A keyboard's byte; lost if nobody takes it. In a thread.
pub fn scan_code(byte: u8) {
    if let Some(handler) = HANDLER.get() {
        handler.scan_code(byte);
    }
}

/// Sets the lights of every keyboard. May sleep.
pub fn set_leds(leds: u8) {
    for keyboard in KEYBOARDS.lock().iter() {
        // One that goes has no lights any more.
        let _ = keyboard.with(|keyboard| keyboard.set_leds(leds));
    }
}

/// A keyboard that is there. Dropped, it goes: nothing of it is called any more; may sleep.
pub struct Registration(Arc<Revocable<dyn Keyboard>>);

impl Registration {
    /// A keyboard comes, and shows the lights that are on. `keyboard` is the only reference to it: taking it back waits until there is no
    /// other. ENOMEM. May sleep.
    pub fn new(keyboard: Arc<dyn Keyboard>) -> Result<Self> {
        let keyboard = Arc::new(Revocable::new(keyboard), GFP_KERNEL)?;
        KEYBOARDS.lock().push(keyboard.clone(), GFP_KERNEL)?;
        if let Some(handler) = HANDLER.get() {
            let leds = handler.lights();
            let _ = keyboard.with(|keyboard| keyboard.set_leds(leds));
        }
        Ok(Self(keyboard))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        KEYBOARDS.lock().retain(|other| !Arc::ptr_eq(other, &self.0));
        self.0.revoke();
    }
}
