// SPDX-License-Identifier: GPL-2.0
//! The processor: `kernel::processor`.

/// Waits for a moment in a loop that waits for another CPU: it saves power, and lets the CPU's other thread go on.
#[inline]
pub fn cpu_relax() {
    core::hint::spin_loop();
}
