// SPDX-License-Identifier: GPL-2.0
//! Stands in for the kernel's `wait_queue`: waits, by asking again.

/// Nobody is on it.
pub struct WaitQueue;

impl WaitQueue {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "as the kernel's")]
    pub const fn new() -> Self {
        Self
    }

    /// Who waits looks by itself.
    pub fn wake_up_all(&self) {}

    /// Waits for `condition`.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            std::thread::yield_now();
        }
    }
}
