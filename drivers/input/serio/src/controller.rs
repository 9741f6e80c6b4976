// SPDX-License-Identifier: GPL-2.0
//! The chip: data at port 0x60, commands and status at 0x64. Polled, with deadlines: a chip that is not there or hangs must not
//! stop the kernel. No locks: used by `probe` alone, then under `keyboard::STATE`.

use errno::{Result, code::ENODEV};
use kernel::hardware::{PortRange, ktime};

/// Status: a byte for us waits.
pub(crate) const OUTPUT_FULL: u8 = 0x01;
/// Status: the chip has not taken our last byte.
const INPUT_FULL: u8 = 0x02;
/// Status: the waiting byte is the mouse's.
pub(crate) const FROM_MOUSE: u8 = 0x20;

const READ_CONFIG: u8 = 0x20;
const WRITE_CONFIG: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xa7;
const TEST_KEYBOARD: u8 = 0xab;
const ENABLE_KEYBOARD: u8 = 0xae;

/// Configuration: the keyboard raises interrupt 1.
const KEYBOARD_INTERRUPT: u8 = 0x01;
const MOUSE_INTERRUPT: u8 = 0x02;
const KEYBOARD_OFF: u8 = 0x10;
const MOUSE_OFF: u8 = 0x20;
/// Configuration: codes of set 2 become codes of set 1.
const TRANSLATE: u8 = 0x40;

/// How long the chip may take.
const PATIENCE_NS: u64 = 500_000_000;
/// Bytes that may wait in the chip and in the keyboard when we come.
const MOST_PENDING: usize = 32;

/// The chip.
pub(crate) struct Controller {
    data: PortRange,
    command: PortRange,
    config: u8,
    /// What firmware had set: set again at the end.
    found: Option<u8>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(found) = self.found.take() {
            // As for `stop`.
            let _ = self.set_config(found);
        }
    }
}

impl Controller {
    /// Finds the chip and sets it up: keyboard on, its interrupt off. `ENODEV`.
    pub(crate) fn probe() -> Result<Self> {
        let data = PortRange::claim(0x60, 1).ok_or(ENODEV)?;
        let command = PortRange::claim(0x64, 1).ok_or(ENODEV)?;
        let mut this = Self { data, command, config: 0, found: None };
        // An absent chip reads as ones.
        if this.status() == 0xff {
            return Err(ENODEV);
        }
        this.flush();
        this.send_command(READ_CONFIG)?;
        this.config = this.receive().ok_or(ENODEV)?;
        this.found = Some(this.config);
        this.set_config(this.config & !(KEYBOARD_INTERRUPT | MOUSE_INTERRUPT) | KEYBOARD_OFF | MOUSE_OFF)?;
        this.flush();
        this.send_command(DISABLE_MOUSE)?;
        this.send_command(TEST_KEYBOARD)?;
        if this.receive().is_none_or(|result| result != 0) {
            klog::pr_warn!("i8042: the keyboard port fails its test");
        }
        this.set_config(this.config & !KEYBOARD_OFF | TRANSLATE)?;
        this.send_command(ENABLE_KEYBOARD)?;
        Ok(this)
    }

    /// Switches the keyboard's interrupt on.
    pub(crate) fn enable_interrupt(&mut self) -> Result {
        self.set_config(self.config | KEYBOARD_INTERRUPT)
    }

    /// The keyboard raises no interrupt any more, and nothing of it waits.
    pub(crate) fn stop(&mut self) {
        // A chip that does not take it is left to itself.
        let _ = self.set_config(self.config & !KEYBOARD_INTERRUPT);
        self.flush();
    }

    pub(crate) fn status(&self) -> u8 {
        self.command.read8(0)
    }

    pub(crate) fn read_data(&self) -> u8 {
        self.data.read8(0)
    }

    fn set_config(&mut self, config: u8) -> Result {
        self.send_command(WRITE_CONFIG)?;
        self.send(config)?;
        self.config = config;
        Ok(())
    }

    /// Waits until the status bits in `mask` are `wanted`; whether they are.
    fn wait(&self, mask: u8, wanted: u8) -> bool {
        let end = ktime::now_ns().saturating_add(PATIENCE_NS);
        while self.status() & mask != wanted {
            if ktime::now_ns() > end {
                return false;
            }
            core::hint::spin_loop();
        }
        true
    }

    fn send_command(&self, command: u8) -> Result {
        if !self.wait(INPUT_FULL, 0) {
            return Err(ENODEV);
        }
        self.command.write8(0, command);
        Ok(())
    }

    /// Sends a byte to the keyboard, or the data of a command.
    pub(crate) fn send(&self, byte: u8) -> Result {
        if !self.wait(INPUT_FULL, 0) {
            return Err(ENODEV);
        }
        self.data.write8(0, byte);
        Ok(())
    }

    /// Whether the chip takes a byte at once.
    pub(crate) fn can_send(&self) -> bool {
        self.status() & INPUT_FULL == 0
    }

    /// Sends a byte to the keyboard without waiting; only after [`Self::can_send`].
    pub(crate) fn send_now(&self, byte: u8) {
        self.data.write8(0, byte);
    }

    /// The next byte, waited for.
    pub(crate) fn receive(&self) -> Option<u8> {
        self.wait(OUTPUT_FULL, OUTPUT_FULL).then(|| self.read_data())
    }

    /// Drops what waits.
    pub(crate) fn flush(&self) {
        for _ in 0..MOST_PENDING {
            if self.status() & OUTPUT_FULL == 0 {
                return;
            }
            self.read_data();
        }
    }
}
