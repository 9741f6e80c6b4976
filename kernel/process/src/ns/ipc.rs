// SPDX-License-Identifier: GPL-2.0
//! Name spaces of interprocess communication. What is in one is kept by the crates that have it, System V objects and message queues:
//! each makes its part of a new name space. Source: `ipc_namespaces(7)`. No locks.

use super::{NsProxy, NsType, Slot, of, register};
use core::any::Any;
use errno::Result;
use errno::code::{EBUSY, EINVAL};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SetOnce;
use task::Task;
use vfs::ns_count::NsCount;
use vfs::nsfs::{Namespace, NsKind, NsRef, new_number, number};

/// Whose part of a name space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// System V: queues, semaphores, shared memory.
    SysV,
    /// POSIX message queues.
    Mqueue,
}

const PARTS: usize = 2;

/// What a crate keeps for a name space; it goes with it.
pub type Content = Arc<dyn Any + Send + Sync>;

/// Makes a crate's part of a new name space. May sleep.
pub type Make = fn() -> Result<Content>;

/// A name space.
struct IpcNs {
    number: u64,
    parts: [SetOnce<Content>; PARTS],
    /// Of the user who made it; the first is nobody's.
    _count: Option<NsCount>,
}

static KIND: NsKind = NsKind { flag: uapi::CLONE_NEWIPC, name: "ipc" };
static FIRST: SetOnce<Arc<IpcNs>> = SetOnce::new();
static MAKERS: [SetOnce<Make>; PARTS] = [const { SetOnce::new() }; PARTS];

/// This kind.
struct Ipc;
static IPC: Ipc = Ipc;

impl Namespace for IpcNs {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn number(&self) -> u64 {
        self.number
    }
}

impl IpcNs {
    fn shared(number: u64, count: Option<NsCount>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { number, parts: [const { SetOnce::new() }; PARTS], _count: count }, GFP_KERNEL)?)
    }

    fn fill(&self, part: Part, content: Content) -> Result {
        self.parts.get(part as usize).ok_or(EINVAL)?.set(content).map_err(|_| EBUSY)
    }
}

impl NsType for Ipc {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn first(&self) -> Option<NsRef> {
        let ns: NsRef = FIRST.get()?.clone();
        Some(ns)
    }

    fn create(&self, proxy: &mut NsProxy) -> Result {
        let ns = IpcNs::shared(new_number(), Some(NsCount::new(&KIND)?))?;
        for part in [Part::SysV, Part::Mqueue] {
            if let Some(make) = MAKERS.get(part as usize).and_then(SetOnce::get) {
                ns.fill(part, make()?)?;
            }
        }
        proxy.set(Slot::Ipc, ns);
        Ok(())
    }

    fn enter(&self, ns: &NsRef, proxy: &mut NsProxy) -> Result {
        proxy.set(Slot::Ipc, ns.clone());
        Ok(())
    }

    fn of(&self, task: &Task) -> Option<NsRef> {
        of(task, Slot::Ipc)
    }
}

/// From now on a name space has that part, which `make` makes; `first` is the first one's. Once a part, at boot, on one CPU.
pub fn register_part(part: Part, make: Make, first: Content) -> Result {
    if FIRST.get().is_none() {
        FIRST.set(IpcNs::shared(number::IPC, None)?).map_err(|_| EBUSY)?;
        register(Slot::Ipc, &IPC)?;
    }
    FIRST.get().ok_or(EINVAL)?.fill(part, first)?;
    MAKERS.get(part as usize).ok_or(EINVAL)?.set(make).map_err(|_| EBUSY)
}

/// The `part` of the current task's name space, if that is not the first.
pub fn current<T: Any + Send + Sync>(part: Part) -> Option<Arc<T>> {
    let ns: Arc<IpcNs> = super::current(Slot::Ipc)?;
    ns.parts.get(part as usize)?.get()?.clone().downcast().ok()
}
