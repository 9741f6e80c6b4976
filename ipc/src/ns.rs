// SPDX-License-Identifier: GPL-2.0
//! What there is of System V in one name space: the objects, how much they are, and the limits. Source: `ipc_namespaces(7)`.

use crate::ids::Ids;
use crate::limits::Limits;
use crate::msg::Queue;
use crate::sem::Set;
use crate::shm::Segment;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use errno::Result;
use errno::code::{EBUSY, ENODEV};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use locking::SetOnce;
use process::ns::ipc::{Content, Part};

/// A name space. It goes with the last task in it, and its objects go with it; a mapped segment keeps it.
pub(crate) struct Ns {
    pub(crate) limits: Limits,
    pub(crate) counts: Arc<Counts>,
    pub(crate) queues: Ids<Queue>,
    pub(crate) sets: Ids<Set>,
    pub(crate) segments: Ids<Segment>,
}

/// How much there is in all objects of a name space.
#[derive(Default)]
pub(crate) struct Counts {
    /// Pages of the segments.
    pub(crate) pages: AtomicU64,
    pub(crate) semaphores: AtomicU64,
    pub(crate) messages: AtomicUsize,
    /// Of the messages.
    pub(crate) bytes: AtomicUsize,
}

static FIRST: SetOnce<Arc<Ns>> = SetOnce::new();

impl Ns {
    fn shared() -> Result<Arc<Self>> {
        let ns = Self {
            limits: Limits::new(),
            counts: Arc::new(Counts::default(), GFP_KERNEL)?,
            queues: Ids::new(),
            sets: Ids::new(),
            segments: Ids::new(),
        };
        Ok(Arc::new(ns, GFP_KERNEL)?)
    }
}

/// A reference to a name space; to the first it counts nothing.
#[derive(Clone)]
pub(crate) enum NsRef {
    First(&'static Ns),
    Own(Arc<Ns>),
}

impl Deref for NsRef {
    type Target = Ns;

    fn deref(&self) -> &Ns {
        match self {
            Self::First(ns) => ns,
            Self::Own(ns) => ns,
        }
    }
}

impl NsRef {
    pub(crate) fn downgrade(&self) -> WeakNs {
        match self {
            Self::First(ns) => WeakNs::First(ns),
            Self::Own(ns) => WeakNs::Own(Arc::downgrade(ns)),
        }
    }
}

/// A reference that does not keep it.
pub(crate) enum WeakNs {
    First(&'static Ns),
    Own(WeakArc<Ns>),
}

impl WeakNs {
    pub(crate) fn upgrade(&self) -> Option<NsRef> {
        match self {
            Self::First(ns) => Some(NsRef::First(ns)),
            Self::Own(ns) => ns.upgrade().map(NsRef::Own),
        }
    }
}

/// The current task's name space.
pub(crate) fn current() -> Result<NsRef> {
    match process::ns::ipc::current::<Ns>(Part::SysV) {
        Some(own) => Ok(NsRef::Own(own)),
        None => Ok(NsRef::First(FIRST.get().ok_or(ENODEV)?)),
    }
}

fn make() -> Result<Content> {
    let ns: Content = Ns::shared()?;
    Ok(ns)
}

/// The first name space. Once, at boot.
pub(crate) fn init() -> Result {
    let first = Ns::shared()?;
    FIRST.set(first.clone()).map_err(|_| EBUSY)?;
    process::ns::ipc::register_part(Part::SysV, make, first)
}
