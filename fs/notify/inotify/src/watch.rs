// SPDX-License-Identifier: GPL-2.0
//! A watch: an inotify file's mark on an inode.

use crate::group::Group;
use crate::limits::Charge;
use crate::queue::Record;
use core::sync::atomic::{AtomicU32, Ordering};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec, WeakArc};
use uapi::{IN_ALL_EVENTS, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_ISDIR, IN_MOVE_SELF, IN_ONESHOT, IN_UNMOUNT};
use vfs::Inode;
use vfs::notify::{Event, Mark};

/// Bits that a program chooses and that are kept.
pub(crate) const KEPT: u32 = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

pub(crate) struct Watch {
    pub(crate) group: WeakArc<Group>,
    pub(crate) owner: u64,
    pub(crate) wd: u32,
    /// Bits of [`KEPT`].
    pub(crate) mask: AtomicU32,
    pub(crate) inode: Arc<Inode>,
    pub(crate) _charge: Charge,
}

impl Mark for Watch {
    fn key(&self) -> (u64, u32) {
        (self.owner, self.wd)
    }

    fn event(&self, event: &Event<'_>) -> bool {
        let mask = self.mask.load(Ordering::Relaxed);
        if event.mask & (mask & IN_ALL_EVENTS | IN_UNMOUNT) == 0 {
            return true;
        }
        if event.unlinked && mask & IN_EXCL_UNLINK != 0 && !event.name.is_empty() {
            return true;
        }
        let Some(group) = self.group.upgrade() else { return true };
        let mut shown = event.mask;
        if shown & (IN_DELETE_SELF | IN_MOVE_SELF) != 0 {
            shown &= !IN_ISDIR;
        }
        let mut name = KVec::new();
        if name.extend_from_slice(event.name, GFP_KERNEL).is_err() {
            group.lost();
            return true;
        }
        group.queue(Record { wd: self.wd as i32, mask: shown, cookie: event.cookie, name });
        mask & IN_ONESHOT == 0
    }

    fn removed(&self) {
        if let Some(group) = self.group.upgrade() {
            group.forget(self.wd);
        }
    }
}
