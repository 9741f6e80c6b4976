// SPDX-License-Identifier: GPL-2.0
//! Condition variables that programs can wait for with `poll(2)` and `epoll(7)`: `kernel::sync::poll`.

use super::{CondVar, LockClassKey};
use crate::alloc::AllocError;
use crate::error::Error;
use crate::fs::File;
use core::cell::RefCell;
use core::ffi::CStr;
use core::ops::Deref;
use core::pin::Pin;
use kalloc::flags::GFP_KERNEL;
use kalloc::{InPlaceInit, KBox};
use pin_init::{PinInit, pin_data, pin_init, pinned_drop};

/// A [`PollCondVar`], in place.
#[macro_export]
macro_rules! new_poll_condvar {
    ($($name:literal)?) => {
        $crate::sync::poll::PollCondVar::new($crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}

/// Where a file's `poll` registers what it would wait for.
pub struct PollTable<'a> {
    table: RefCell<&'a mut ::sync::PollTable>,
}

impl<'a> PollTable<'a> {
    pub(crate) fn new(table: &'a mut ::sync::PollTable) -> Self {
        Self { table: RefCell::new(table) }
    }

    /// Registers `cv`: its `notify_*` wakes the poll. Without memory the poll is not woken by it.
    pub fn register_wait(&self, _file: &File, cv: &PollCondVar) {
        // Nothing that is called here comes back to this table.
        if let Ok(mut table) = self.table.try_borrow_mut() {
            // As in Linux a table without memory reports its error by itself.
            let _ = cv.inner.poll(&mut table);
        }
    }
}

/// A condition variable that can be polled.
#[pin_data(PinnedDrop)]
pub struct PollCondVar {
    #[pin]
    inner: CondVar,
}

impl PollCondVar {
    /// A variable nobody waits for. Use `new_poll_condvar!`.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self { inner <- CondVar::new(name, key) })
    }
}

impl Deref for PollCondVar {
    type Target = CondVar;

    fn deref(&self) -> &CondVar {
        &self.inner
    }
}

#[pinned_drop]
impl PinnedDrop for PollCondVar {
    fn drop(self: Pin<&mut Self>) {
        self.inner.hang_up();
    }
}

/// A [`PollCondVar`] in a box. Dropping it never sleeps, which here is true of one without a box as well: who polls shares what it is
/// waiting in.
pub struct PollCondVarBox {
    inner: Pin<KBox<PollCondVar>>,
}

impl PollCondVarBox {
    /// A variable nobody waits for.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> Result<Self, AllocError> {
        let inner: Result<_, Error> = KBox::pin_init(PollCondVar::new(name, key), GFP_KERNEL);
        inner.map(|inner| Self { inner }).map_err(|_| AllocError)
    }
}

impl Deref for PollCondVarBox {
    type Target = PollCondVar;

    fn deref(&self) -> &PollCondVar {
        &self.inner
    }
}
