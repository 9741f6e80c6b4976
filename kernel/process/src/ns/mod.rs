// SPDX-License-Identifier: GPL-2.0
//! The name spaces that a task is in. Source: `namespaces(7)`, `clone(2)`, `unshare(2)`, `setns(2)`.
//!
//! A task's are in an [`NsProxy`], which tasks share until one of them gets another name space; who is in the first ones of all has
//! none, so that a fork counts nothing. Mounts are kept with a task's root and working directory (`vfs::fs_struct`). Crates
//! [`register`] the kinds they have; a kind that nobody registered is refused as by a Linux that has it configured out.
//!
//! | file | what |
//! |---|---|
//! | `change` | `unshare(2)`, `setns(2)`, and what `clone(2)` makes |
//! | `links` | what `/proc/PID/ns` shows |
//! | `ipc` | the frame of name spaces of IPC |
//! | `pid` | process numbers |
//! | `time` | clocks |
//! | `uts` | host names |
//!
//! Locks: none; a task alone replaces its proxy, and others read it under RCU.

mod change;
pub mod ipc;
mod links;
mod pid;
pub mod time;
pub mod uts;

pub(crate) use change::{check_clone, children_elsewhere, for_child};
pub use change::{sys_setns, sys_unshare};
pub use links::{NsLink, links};
pub(crate) use pid::for_children;

use crate::thread::{Thread, thread_of, with_thread};
use errno::Result;
use errno::code::{EBUSY, EINVAL};
use kalloc::Arc;
use locking::SetOnce;
use task::Task;
use vfs::nsfs::{Namespace, NsKind, NsRef, typed};

/// What an [`NsProxy`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Slot {
    /// Host names.
    Uts,
    /// System V IPC and message queues.
    Ipc,
    /// Process numbers, for children: a task's own never change.
    PidForChildren,
    /// Clocks.
    Time,
    /// Clocks, for children.
    TimeForChildren,
}

const SLOTS: usize = 5;

/// The name spaces of a task. An empty place: the first of its kind.
#[derive(Clone, Default)]
pub struct NsProxy {
    spaces: [Option<NsRef>; SLOTS],
}

impl NsProxy {
    /// What is at `slot`; `None` for the first of its kind.
    pub fn get(&self, slot: Slot) -> Option<&NsRef> {
        self.spaces.get(slot as usize)?.as_ref()
    }

    /// Puts `ns` at `slot`.
    pub fn set(&mut self, slot: Slot, ns: NsRef) {
        if let Some(place) = self.spaces.get_mut(slot as usize) {
            *place = Some(ns);
        }
    }

    /// The name space at `slot`, the first of its kind if it is that; `None` for a kind that is not there.
    pub fn space(&self, slot: Slot) -> Option<NsRef> {
        self.get(slot).cloned().or_else(|| first(slot))
    }
}

/// A kind of name space that is kept in proxies.
pub trait NsType: Sync {
    /// Its flag and name.
    fn kind(&self) -> &'static NsKind;

    /// The first one.
    fn first(&self) -> Option<NsRef>;

    /// Puts a new one, of the current task's making, into `proxy`, which will be the task's or its child's (`CLONE_NEW*`). May sleep.
    fn create(&self, proxy: &mut NsProxy) -> Result;

    /// Puts `ns`, which is of this kind, into `proxy`, which will be the current task's (`setns(2)`). That the task may administer was
    /// checked. May sleep.
    fn enter(&self, ns: &NsRef, proxy: &mut NsProxy) -> Result;

    /// The one that `setns(2)` on a pidfd of `task` leads to; `None` of one that has ended.
    fn of(&self, task: &Task) -> Option<NsRef>;

    /// The current task has become one of `proxy`'s by `setns(2)` to this kind.
    fn entered(&self, proxy: &NsProxy) {
        let _ = proxy;
    }
}

/// The registered kinds by their places; `PidForChildren` and `Time` stand for theirs.
static TYPES: [SetOnce<&'static dyn NsType>; SLOTS] = [const { SetOnce::new() }; SLOTS];

/// Registers the kind of the name spaces at `slot`. Once, at boot. `EBUSY`.
pub fn register(slot: Slot, kind: &'static dyn NsType) -> Result {
    TYPES.get(slot as usize).ok_or(EINVAL)?.set(kind).map_err(|_| EBUSY)
}

fn type_of(slot: Slot) -> Option<&'static dyn NsType> {
    // Clocks of a task and of its children are one kind.
    let slot = if slot == Slot::TimeForChildren { Slot::Time } else { slot };
    TYPES.get(slot as usize)?.get().copied()
}

/// The kinds, in the order in which `setns(2)` enters them.
fn types() -> impl Iterator<Item = &'static dyn NsType> {
    TYPES.iter().filter_map(|kind| kind.get().copied())
}

/// The first name space of its kind.
fn first(slot: Slot) -> Option<NsRef> {
    type_of(slot)?.first()
}

/// The proxy of `task`: `None` once it has ended, an empty one for the first name spaces.
fn proxy_of(task: &Task) -> Option<NsProxy> {
    let thread = thread_of(task)?;
    let proxy = thread.ns.get();
    if thread.has_left_namespaces() {
        return None;
    }
    Some(proxy.map_or_else(NsProxy::default, |proxy| (*proxy).clone()))
}

/// The name space of `task` at `slot`. `None` if it has ended or there are none.
pub fn of(task: &Task, slot: Slot) -> Option<NsRef> {
    proxy_of(task)?.space(slot)
}

/// The current task's at `slot`, if it is not the first of its kind.
pub fn current<T: Namespace>(slot: Slot) -> Option<Arc<T>> {
    let proxy = with_thread(|thread| if thread.ns.is_null() { None } else { thread.ns.get() })??;
    typed(proxy.get(slot)?.clone())
}

/// The current task ends: it leaves its name spaces; the last one takes them along. May sleep.
pub(crate) fn exit(thread: &Thread) {
    thread.leave_namespaces();
}

/// The kinds that are always there. Once, at boot.
pub(crate) fn init() -> Result {
    uts::init()?;
    register(Slot::Uts, &uts::UTS)?;
    time::init()?;
    register(Slot::Time, &time::TIME)?;
    register(Slot::PidForChildren, &pid::PID)
}
