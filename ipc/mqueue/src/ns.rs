// SPDX-License-Identifier: GPL-2.0
//! What there is of message queues in one name space. Source: `ipc_namespaces(7)`. No locks.

use crate::account::Limits;
use crate::fs;
use core::ops::Deref;
use errno::Result;
use errno::code::{EBUSY, ENODEV};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SetOnce;
use process::ns::ipc::{Content, Part};
use vfs::Path;

/// A name space. With the last task in it goes the mount of its file system, and the queues with that, unless somebody else has it
/// mounted.
pub(crate) struct Ns {
    pub(crate) limits: Arc<Limits>,
    place: SetOnce<Path>,
}

static FIRST: SetOnce<Arc<Ns>> = SetOnce::new();

impl Ns {
    fn shared() -> Result<Arc<Self>> {
        let limits = Arc::new(Limits::new(), GFP_KERNEL)?;
        let ns = Arc::new(Self { limits, place: SetOnce::new() }, GFP_KERNEL)?;
        ns.place.set(fs::new_mount(&ns)?).map_err(|_| EBUSY)?;
        Ok(ns)
    }

    /// The root of its file system.
    pub(crate) fn root(&self) -> Result<&Path> {
        self.place.get().ok_or(ENODEV)
    }
}

/// A reference to a name space; to the first it counts nothing.
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

/// The current task's name space.
pub(crate) fn current() -> Result<NsRef> {
    match process::ns::ipc::current::<Ns>(Part::Mqueue) {
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
    process::ns::ipc::register_part(Part::Mqueue, make, first)
}
