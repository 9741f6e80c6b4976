// SPDX-License-Identifier: GPL-2.0
//! The first serial port as it is, for the one message that the stub may have before it stops. No locks.

use core::arch::asm;
use core::fmt;

/// `fmt::Write` to COM1.
pub(crate) struct Serial;

const PORT: u16 = 0x3f8;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            for _ in 0..100_000 {
                let status: u8;
                // SAFETY: Reading the line status register of COM1 touches no memory.
                unsafe { asm!("in al, dx", in("dx") PORT + 5, out("al") status, options(nomem, nostack)) };
                if status & 0x20 != 0 {
                    break;
                }
            }
            // SAFETY: Writing the data register of COM1 touches no memory.
            unsafe { asm!("out dx, al", in("dx") PORT, in("al") byte, options(nomem, nostack)) };
        }
        Ok(())
    }
}
