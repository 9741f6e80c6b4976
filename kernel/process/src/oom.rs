// SPDX-License-Identifier: GPL-2.0
//! What the OOM killer keeps of a process: the adjustment that its owner set, and whether it was chosen. Source: `proc(5)`,
//! `oom_score_adj`. No locks.

use crate::thread::Process;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EACCES, EINVAL};

/// Never chosen.
pub const SCORE_ADJ_MIN: i32 = -1000;
/// Chosen first.
pub const SCORE_ADJ_MAX: i32 = 1000;

impl Process {
    /// The adjustment, -1000 to 1000.
    pub fn oom_score_adj(&self) -> i32 {
        self.oom_score_adj.load(Ordering::Relaxed)
    }

    /// Sets it. `EINVAL` out of range, `EACCES` below what a privileged process allowed. With `privileged` (CAP_SYS_RESOURCE) any
    /// value, which with `keep` becomes the least for those without.
    pub fn set_oom_score_adj(&self, adj: i32, privileged: bool, keep: bool) -> Result {
        if !(SCORE_ADJ_MIN..=SCORE_ADJ_MAX).contains(&adj) {
            return Err(EINVAL);
        }
        if !privileged && adj < self.oom_score_adj_min.load(Ordering::Relaxed) {
            return Err(EACCES);
        }
        self.oom_score_adj.store(adj, Ordering::Relaxed);
        if privileged && keep {
            self.oom_score_adj_min.store(adj, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A child begins with its parent's adjustment.
    pub(crate) fn inherit_oom(&self, parent: &Process) {
        self.oom_score_adj.store(parent.oom_score_adj(), Ordering::Relaxed);
        self.oom_score_adj_min.store(parent.oom_score_adj_min.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether it was chosen to end for want of memory.
    pub fn oom_victim(&self) -> bool {
        self.oom_victim.load(Ordering::Relaxed)
    }

    /// It was chosen.
    pub fn set_oom_victim(&self) {
        self.oom_victim.store(true, Ordering::Relaxed);
    }
}
