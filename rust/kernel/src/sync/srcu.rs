// SPDX-License-Identifier: GPL-2.0
//! RCU whose readers may sleep: `kernel::sync::srcu`. Each value has readers of its own, and waiting is for those alone.
//!
//! ```
//! use kernel::sync::{Srcu, new_srcu};
//!
//! let srcu = KBox::pin_init(new_srcu!(), GFP_KERNEL)?;
//! let section = srcu.read_lock();
//! // What the readers of `srcu` look at stays; sleeping is allowed here.
//! section.unlock();
//! srcu.synchronize();
//! # Ok::<(), Error>(())
//! ```
//!
//! Readers count themselves in one of two places. Who waits sends new ones to the other place and waits until the first is empty; and
//! before that until the other is, for readers that were sent there and have counted themselves only later. All in one order
//! (`SeqCst`): a reader that was not seen counts after the writer's look, and so sees what the writer did before it.
//!
//! Lock: `waiting`, a mutex, held for a grace period. Readers take none.

use super::LockClassKey;
use crate::error::Error;
use crate::types::NotThreadSafe;
use ::sync::WaitQueue;
use core::ffi::CStr;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pin_init::{PinInit, pin_data, pin_init, pinned_drop};

/// A [`Srcu`], in place.
#[macro_export]
macro_rules! new_srcu {
    ($($name:literal)?) => {
        $crate::sync::Srcu::new($crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_srcu;

/// RCU whose readers may sleep. Dropping it waits for them: for ever, if a guard was leaked.
#[pin_data(PinnedDrop)]
pub struct Srcu {
    /// Its lowest bit says where readers count themselves.
    place: AtomicUsize,
    readers: [AtomicUsize; 2],
    waiting: ::sync::Mutex<()>,
    /// Who waits for a place to be empty.
    empty: WaitQueue,
}

impl Srcu {
    /// No readers yet. Use `new_srcu!`.
    pub fn new(_name: &'static CStr, _key: Pin<&'static LockClassKey>) -> impl PinInit<Self, Error> {
        pin_init!(Self {
            place: AtomicUsize::new(0),
            readers: [AtomicUsize::new(0), AtomicUsize::new(0)],
            waiting: ::sync::Mutex::new(()),
            empty: WaitQueue::new(),
        }? Error)
    }

    fn readers(&self, place: usize) -> &AtomicUsize {
        let [even, odd] = &self.readers;
        if place & 1 == 0 { even } else { odd }
    }

    /// Begins a section. Any context but NMI. A guard that is leaked leaves it open for ever.
    pub fn read_lock(&self) -> Guard<'_> {
        let place = self.place.load(SeqCst);
        self.readers(place).fetch_add(1, SeqCst);
        Guard { srcu: self, place, _not_send: NotThreadSafe }
    }

    fn wait_for(&self, place: usize) {
        self.empty.wait_until(|| self.readers(place).load(SeqCst) == 0);
    }

    /// Waits until every section that began before has ended. Not from a section of its own. May sleep.
    pub fn synchronize(&self) {
        let _waiting = self.waiting.lock();
        let place = self.place.load(SeqCst);
        self.wait_for(place ^ 1);
        self.place.store(place ^ 1, SeqCst);
        self.wait_for(place);
    }

    /// As [`Self::synchronize`], which never waits for anything but readers.
    pub fn synchronize_expedited(&self) {
        self.synchronize();
    }
}

#[pinned_drop]
impl PinnedDrop for Srcu {
    fn drop(self: Pin<&mut Self>) {
        // One was leaked: nothing ever ends it.
        if crate::warn_on!(self.readers.iter().any(|readers| readers.load(SeqCst) != 0)) {
            self.synchronize();
        }
    }
}

/// A section of readers.
#[must_use = "the section ends when this is dropped"]
pub struct Guard<'a> {
    srcu: &'a Srcu,
    place: usize,
    _not_send: NotThreadSafe,
}

impl Guard<'_> {
    /// Ends the section.
    pub fn unlock(self) {}
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Nothing of it is looked at after the last reader but by who holds a reference, as `self` does.
        if self.srcu.readers(self.place).fetch_sub(1, SeqCst) == 1 {
            self.srcu.empty.wake_up_all();
        }
    }
}

#[macros::kunit_tests(rust_kernel_srcu)]
mod cases {
    use super::*;
    use crate::prelude::*;
    use crate::sync::{Arc, Completion};
    use crate::time::{Delta, delay::fsleep};
    use crate::workqueue;
    use core::sync::atomic::AtomicBool;

    #[pin_data]
    struct Shared {
        #[pin]
        srcu: Srcu,
        #[pin]
        begun: Completion,
        ended: AtomicBool,
    }

    /// A reader that sleeps is waited for; one that comes later is not.
    #[test]
    fn waits_for_readers() -> Result {
        let made =
            try_pin_init!(Shared { srcu <- new_srcu!(), begun <- Completion::new(), ended: AtomicBool::new(false) });
        let shared = Arc::pin_init(made, GFP_KERNEL)?;
        for _ in 0..4 {
            shared.srcu.synchronize();
        }
        let reader = shared.clone();
        workqueue::system().try_spawn(GFP_KERNEL, move || {
            let section = reader.srcu.read_lock();
            reader.begun.complete_all();
            fsleep(Delta::from_millis(20));
            reader.ended.store(true, SeqCst);
            section.unlock();
        })?;
        shared.begun.wait_for_completion();
        shared.srcu.synchronize();
        assert!(shared.ended.load(SeqCst));
        Ok(())
    }

    /// Sections nest, and those on both sides of a grace period are counted.
    #[test]
    fn sections_nest() -> Result {
        let srcu = KBox::pin_init(new_srcu!("nested"), GFP_KERNEL)?;
        let (outer, inner) = (srcu.read_lock(), srcu.read_lock());
        assert_eq!(srcu.readers(0).load(SeqCst), 2);
        drop(outer);
        inner.unlock();
        srcu.synchronize();
        let after = srcu.read_lock();
        assert_eq!((srcu.readers(0).load(SeqCst), srcu.readers(1).load(SeqCst)), (0, 1));
        drop(after);
        srcu.synchronize_expedited();
        Ok(())
    }
}
