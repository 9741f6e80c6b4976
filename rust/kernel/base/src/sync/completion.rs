// SPDX-License-Identifier: GPL-2.0
//! `Completion`: `kernel::sync::completion`, over `kernel/locking/sleep`.
//!
//! ```
//! use kernel::sync::{Arc, Completion};
//! use kernel::workqueue;
//!
//! let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
//! let worker = done.clone();
//! workqueue::system().try_spawn(GFP_KERNEL, move || worker.complete_all())?;
//! done.wait_for_completion();
//! # Ok::<(), Error>(())
//! ```

use pin_init::{PinInit, pin_data, pin_init};

/// Something that is done once, and that others wait for.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: ::sync::Completion,
}

impl Completion {
    /// Not done yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self { inner: ::sync::Completion::new() })
    }

    /// Lets all go on that wait, now or later. Any context.
    pub fn complete_all(&self) {
        self.inner.complete_all();
    }

    /// Waits until it is done; signals do not end that. May sleep.
    pub fn wait_for_completion(&self) {
        self.inner.wait();
    }
}
