// SPDX-License-Identifier: GPL-2.0
//! The 8259 pair: moved out of the way of the exceptions and masked for good.

use x86_cpu::io::outb;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;

/// Initialises both to vectors 0x20 and up (where even spurious ones do no harm) and masks every line.
pub fn disable() {
    // ICW1: cascade, ICW4 follows. ICW2: vector base. ICW3: the slave is on line 2. ICW4: 8086 mode.
    let script: [(u16, u8); 10] = [
        (MASTER + 1, 0xff),
        (SLAVE + 1, 0xff),
        (MASTER, 0x11),
        (MASTER + 1, 0x20),
        (MASTER + 1, 0x04),
        (MASTER + 1, 0x01),
        (SLAVE, 0x11),
        (SLAVE + 1, 0x28),
        (SLAVE + 1, 0x02),
        (SLAVE + 1, 0x01),
    ];
    for (port, value) in script.into_iter().chain([(MASTER + 1, 0xff), (SLAVE + 1, 0xff)]) {
        // SAFETY: The PC's interrupt controllers; nothing else drives them, and masking raises no interrupt.
        unsafe { outb(port, value) };
    }
}
