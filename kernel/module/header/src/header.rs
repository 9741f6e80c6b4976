// SPDX-License-Identifier: GPL-2.0
//! `Header`: the object in a module's section `.gnu.linkonce.this_module`, through which the kernel and the module know each
//! other: where to start and to end, and how many users there are. No locks.

use core::sync::atomic::{AtomicI32, Ordering};

/// A module's `init`: 0, or a negative errno.
pub type InitFn = extern "C" fn() -> i32;
/// A module's `exit`.
pub type ExitFn = extern "C" fn();

/// First word of every header.
const MAGIC: u64 = u64::from_le_bytes(*b"RDMODULE");
/// The loader's own reference: without it nobody gets one.
const BASE: i32 = 1;

/// What a module and the kernel share.
///
/// # Invariants
/// `magic` is [`MAGIC`] in every value that [`Header::new`] made.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    magic: u64,
    /// Always there; `Option` because a file may have no relocation here.
    init: Option<InitFn>,
    exit: Option<ExitFn>,
    /// Users and, while the module may be used, [`BASE`].
    refs: AtomicI32,
}

impl Header {
    /// The header of a module that begins with `init` and ends with `exit`; one without `exit` stays for ever.
    pub const fn new(init: InitFn, exit: Option<ExitFn>) -> Self {
        Self { magic: MAGIC, init: Some(init), exit, refs: AtomicI32::new(BASE) }
    }

    /// Whether this is a header.
    pub fn is_sane(&self) -> bool {
        self.magic == MAGIC
    }

    /// Whether it is as it was made: nobody has a reference but the loader.
    pub fn is_fresh(&self) -> bool {
        self.refs.load(Ordering::Relaxed) == BASE
    }

    /// Where the module begins.
    pub fn init(&self) -> Option<InitFn> {
        self.init
    }

    /// Where the module ends.
    pub fn exit(&self) -> Option<ExitFn> {
        self.exit
    }

    /// Takes a reference, unless the module is going (`try_module_get`).
    pub fn try_get(&self) -> bool {
        let mut refs = self.refs.load(Ordering::Relaxed);
        while refs > 0 && refs < i32::MAX {
            match self.refs.compare_exchange_weak(refs, refs + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => refs = now,
            }
        }
        false
    }

    /// Gives a reference back (`module_put`).
    pub fn put(&self) {
        self.refs.fetch_sub(1, Ordering::Release);
    }

    /// Users, without the loader (`module_refcount`).
    pub fn users(&self) -> i32 {
        self.refs.load(Ordering::Relaxed).saturating_sub(BASE)
    }

    /// Closes the module for new users if there is none now.
    pub fn try_stop(&self) -> bool {
        self.refs.compare_exchange(BASE, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A reference that keeps a module loaded while code of it may be called. Keep it outside of what the module itself drops: its
/// own drop must not be the module's code.
///
/// # Invariants
/// One reference of the header is held for it.
#[derive(Debug)]
pub struct ModuleRef(Option<&'static Header>);

impl ModuleRef {
    /// A reference to the module of `header`; what is part of the image (`None`) needs none. `None`: it is going.
    pub fn get(header: Option<&'static Header>) -> Option<Self> {
        match header {
            Some(header) if !header.try_get() => None,
            header => Some(Self(header)),
        }
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        if let Some(header) = self.0 {
            header.put();
        }
    }
}
