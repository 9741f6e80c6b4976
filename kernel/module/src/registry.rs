// SPDX-License-Identifier: GPL-2.0
//! The modules that there are. A module is in the list from the moment its name is known to be free until it is gone.
//!
//! Locks: `MODULES` guards the list and what `Module` says it guards. Waiters for a module's next state use `CHANGED`.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use kernfs::Node;
use locking::SetOnce;
use module_core::{Area, Header};
use sync::{Mutex, MutexGuard, WaitQueue};

/// How far a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Its `init` runs, or is about to.
    Coming = 0,
    /// It can be used.
    Live = 1,
    /// Its `exit` runs, or is about to.
    Going = 2,
    /// It is no longer in the list.
    Gone = 3,
}

impl State {
    fn of(value: u8) -> Self {
        match value {
            0 => Self::Coming,
            1 => Self::Live,
            2 => Self::Going,
            _ => Self::Gone,
        }
    }
}

/// A symbol that a module has for others: hash of the name, address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnSymbol {
    pub(crate) hash: u64,
    pub(crate) address: usize,
}

/// Functions for traces: offset in their region, size, name; sorted.
pub(crate) type Functions = KVec<(u32, u32, KString)>;

/// What is known of a module once it is linked.
#[derive(Debug)]
pub(crate) struct Body {
    /// What stays of it.
    pub(crate) core: Area,
    /// Where its header is.
    pub(crate) header: usize,
    /// Address and bytes of its parameters.
    pub(crate) params: (usize, usize),
    /// Address and bytes of its suites of tests.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) suites: (usize, usize),
    /// What others may use, sorted by hash.
    pub(crate) symbols: KVec<OwnSymbol>,
    /// Version of those symbols.
    pub(crate) version: u32,
    /// Loaded sections: name, address.
    pub(crate) sections: KVec<(KString, usize)>,
    /// Loaded sections of notes: name, address, size.
    pub(crate) notes: KVec<(KString, usize, usize)>,
    /// Functions of the core region.
    pub(crate) functions: Functions,
    /// Address and bytes of the table of faulting instructions.
    pub(crate) extable: (usize, usize),
}

/// A module.
pub struct Module {
    name: KString,
    state: AtomicU8,
    /// Bits of `taint`.
    pub(crate) taints: AtomicU64,
    /// Set when it is linked, before its `init`.
    body: SetOnce<Body>,
    /// Modules whose symbols it uses; each counts one user there. Guarded by `MODULES`.
    uses: SetOnce<KVec<Arc<Module>>>,
    /// Bytes of the init region, 0 once it is gone.
    pub(crate) init_size: AtomicU64,
    /// `version` and `srcversion` of its `.modinfo`.
    pub(crate) info: SetOnce<KVec<(&'static str, KString)>>,
    /// Its directory in sysfs.
    pub(crate) node: SetOnce<Arc<Node>>,
}

static MODULES: Mutex<KVec<Arc<Module>>> = Mutex::new(KVec::new());
static CHANGED: WaitQueue = WaitQueue::new();

/// The list, newest last.
pub(crate) fn modules() -> MutexGuard<'static, KVec<Arc<Module>>> {
    MODULES.lock()
}

impl Module {
    fn new(name: &[u8]) -> Result<Arc<Self>> {
        let module = Self {
            name: KString::from_bytes(name, GFP_KERNEL)?,
            state: AtomicU8::new(State::Coming as u8),
            taints: AtomicU64::new(0),
            body: SetOnce::new(),
            uses: SetOnce::new(),
            init_size: AtomicU64::new(0),
            info: SetOnce::new(),
            node: SetOnce::new(),
        };
        Ok(Arc::new(module, GFP_KERNEL)?)
    }

    /// Its name, with underscores.
    pub fn name(&self) -> &KString {
        &self.name
    }

    /// How far it is.
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Goes on to `state`, and wakes who waits for that.
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
        CHANGED.wake_up_all();
    }

    pub(crate) fn body(&self) -> Option<&Body> {
        self.body.get()
    }

    pub(crate) fn set_body(&self, body: Body) -> Result {
        self.body.set(body).map_err(|_| EBUSY)
    }

    /// What the module and the kernel share.
    pub(crate) fn header(&self) -> Option<&Header> {
        let body = self.body.get()?;
        body.core.header(body.header).ok()
    }

    /// Its users: those who hold references, modules included.
    pub(crate) fn users(&self) -> i32 {
        self.header().map_or(0, Header::users)
    }

    pub(crate) fn uses(&self) -> &[Arc<Module>] {
        self.uses.get().map_or(&[], |uses| uses)
    }

    pub(crate) fn set_uses(&self, uses: KVec<Arc<Module>>) -> Result {
        self.uses.set(uses).map_err(|_| EBUSY)
    }

    /// Whether it uses `other`.
    pub(crate) fn is_user_of(&self, other: &Arc<Module>) -> bool {
        self.uses().iter().any(|used| Arc::ptr_eq(used, other))
    }

    /// Gives back what it holds of others.
    pub(crate) fn put_uses(&self) {
        for header in self.uses().iter().filter_map(|used| used.header()) {
            header.put();
        }
    }
}

/// The module of that name.
pub(crate) fn find(list: &[Arc<Module>], name: &[u8]) -> Option<Arc<Module>> {
    list.iter().find(|module| module.name.as_bytes() == name).cloned()
}

/// Adds a module of that name, `Coming`. `EEXIST` if there is a live one; waits for one that is coming or going
/// (`EINTR` if a signal ends that).
pub(crate) fn add(name: &[u8]) -> Result<Arc<Module>> {
    let new = Module::new(name)?;
    loop {
        let other = {
            let mut list = modules();
            match find(&list, name) {
                None => {
                    list.push(new.clone(), GFP_KERNEL)?;
                    return Ok(new);
                }
                Some(other) if other.state() == State::Live => return Err(EEXIST),
                Some(other) => other,
            }
        };
        let first = other.state();
        CHANGED.wait_interruptible(|| matches!(other.state(), State::Live | State::Gone)).map_err(|_| EINTR)?;
        // As Linux: who waited for another load of the same module gets that one's end.
        if first == State::Coming && other.state() != State::Live {
            return Err(EBUSY);
        }
    }
}

/// Waits until a module that is coming is there, or will not be. False if that is not so by `until`, or a signal came.
pub(crate) fn wait_started(module: &Module, until: u64) -> bool {
    CHANGED.wait_interruptible_deadline(Some(until), || module.state() != State::Coming) == Ok(true)
}

/// Takes a module off the list.
pub(crate) fn remove(module: &Arc<Module>) {
    modules().retain(|other| !Arc::ptr_eq(other, module));
    module.set_state(State::Gone);
}
