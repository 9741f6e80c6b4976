// SPDX-License-Identifier: GPL-2.0
//! Name spaces of process numbers as a kind: which one the children of a task are made in. A task's own comes with its number and never
//! changes. Source: `pid_namespaces(7)`. No locks.

use super::{NsProxy, NsType, Slot, of};
use crate::thread::thread_of;
use errno::Result;
use errno::code::{EINVAL, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use pid_namespace::{PidNs, here};
use task::Task;
use vfs::nsfs::{Namespace, NsKind, NsRef, new_number, typed, typed_ref};

/// A name space of process numbers as one of a kind.
struct PidSpace(PidNs);

static KIND: NsKind = NsKind { flag: uapi::CLONE_NEWPID, name: "pid" };

/// Process numbers as a kind.
pub(super) struct Pid;
pub(super) static PID: Pid = Pid;

fn space(ns: PidNs) -> Result<NsRef> {
    let space: NsRef = Arc::new(PidSpace(ns), GFP_KERNEL)?;
    Ok(space)
}

impl Namespace for PidSpace {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn number(&self) -> u64 {
        self.0.id()
    }

    fn parent(&self) -> Result<NsRef> {
        // What is not below the caller's own is not for him to see.
        let parent = self.0.parent().filter(|parent| here().contains(parent)).ok_or(EPERM)?;
        space(parent)
    }
}

impl NsType for Pid {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn first(&self) -> Option<NsRef> {
        space(PidNs::FIRST).ok()
    }

    fn create(&self, proxy: &mut NsProxy) -> Result {
        let parent = for_children(Some(proxy));
        // Who has left for another one waits for children to be made there.
        if parent != here() {
            return Err(EINVAL);
        }
        proxy.set(Slot::PidForChildren, space(PidNs::create(&parent, new_number())?)?);
        Ok(())
    }

    fn enter(&self, ns: &NsRef, proxy: &mut NsProxy) -> Result {
        let its = typed::<PidSpace>(ns.clone()).ok_or(EINVAL)?;
        // Never up, or to the side: parents see their children.
        if !here().contains(&its.0) {
            return Err(EINVAL);
        }
        proxy.set(Slot::PidForChildren, ns.clone());
        Ok(())
    }

    fn of(&self, task: &Task) -> Option<NsRef> {
        // One that has ended leads nowhere, though it keeps its number until it has been waited for.
        thread_of(task).filter(|thread| !thread.has_left_namespaces())?;
        space_of(task)
    }
}

/// The name space in which a task with `proxy` has its children.
pub(crate) fn for_children(proxy: Option<&NsProxy>) -> PidNs {
    let own = proxy.and_then(|proxy| typed_ref::<PidSpace>(&**proxy.get(Slot::PidForChildren)?));
    own.map_or(PidNs::FIRST, |space| space.0.clone())
}

/// The name space that `task` is in; `None` once it is gone.
pub(super) fn space_of(task: &Task) -> Option<NsRef> {
    space(thread_of(task)?.nr()?.name().ns()).ok()
}

/// The name space that the children of `task` will be in; `None` before that has a first process.
pub(super) fn children_of(task: &Task) -> Option<NsRef> {
    let ns = of(task, Slot::PidForChildren)?;
    typed_ref::<PidSpace>(&*ns).is_some_and(|space| space.0.reaper() != 0).then_some(ns)
}
