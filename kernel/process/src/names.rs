// SPDX-License-Identifier: GPL-2.0
//! What a process is called in which name space. No locks but that of its family links.

use crate::pid::{PidName, PidNs};
use crate::thread::Process;
use core::sync::atomic::Ordering;

impl Process {
    /// The process id as the process itself knows it: in its own name space.
    #[inline(always)]
    pub fn own_pid(&self) -> u32 {
        self.own_pid
    }

    /// What it is called at all levels.
    #[inline(always)]
    pub fn name(&self) -> &PidName {
        &self.name
    }

    /// What `viewer` calls it; 0 if it is not in `viewer`'s name space.
    #[inline]
    pub fn number_for(&self, viewer: &Self) -> u32 {
        self.name.seen_by(&viewer.name)
    }

    /// Its name space of process numbers.
    pub fn pid_ns(&self) -> PidNs {
        self.name.ns()
    }

    /// Whether it is the process that takes in the orphans of its name space.
    pub(crate) fn is_reaper(&self) -> bool {
        self.own_pid == 1
    }

    /// What it calls its parent; 0 for one outside its name space.
    #[inline]
    pub fn parent_own_pid(&self) -> u32 {
        self.parent_own_pid.load(Ordering::Relaxed)
    }

    /// What `ns` calls its parent; 0 for none, or one outside.
    pub fn parent_number_in(&self, ns: &PidNs) -> u32 {
        if ns.is_first() { self.parent_pid() } else { self.parent().map_or(0, |parent| parent.name.number_in(ns)) }
    }
}
