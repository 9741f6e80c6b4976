// SPDX-License-Identifier: GPL-2.0
//! When reading moves a file's access time. Source: `mount(8)` (`relatime`, `noatime`, `nodiratime`).

use crate::disk_inode::idirty;
use crate::inode::{Inode, iop};
use crate::mount::Mount;
use crate::types::{Timespec, current_time};

const DAY: i64 = 24 * 60 * 60;

/// What the access time of a file that is read becomes, if flags and mount say that it moves.
#[inline]
pub(crate) fn needs_touch(mnt: &Mount, inode: &Inode) -> Option<Timespec> {
    let flags = mnt.flags();
    if inode.iflags() & iop::NOATIME != 0 || flags & uapi::MS_NOATIME != 0 {
        return None;
    }
    if flags & uapi::MS_NODIRATIME != 0 && inode.is_dir() {
        return None;
    }
    let atime = inode.atime.get();
    if flags & uapi::MS_RELATIME != 0 && atime > inode.mtime.get() && atime > inode.ctime.get() {
        // Only once a day while nothing changes.
        let now = current_time();
        if now.sec.saturating_sub(atime.sec) < DAY {
            return None;
        }
    }
    let now = current_time();
    (atime != now).then_some(now)
}

/// The file was read: moves its access time if flags and mount say so.
#[inline]
pub fn touch_atime(mnt: &Mount, inode: &Inode) {
    if let Some(now) = needs_touch(mnt, inode)
        && let Ok(_write) = mnt.want_write()
    {
        inode.atime.set(now);
        inode.mark_dirty(if inode.sb().flags() & uapi::MS_LAZYTIME != 0 { idirty::TIME } else { idirty::SYNC });
    }
}
