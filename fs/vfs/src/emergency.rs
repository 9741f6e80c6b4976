// SPDX-License-Identifier: GPL-2.0
//! What a system request (`drivers/tty/sysrq`) does to every file system. All of it may sleep.

use crate::super_block::for_each_on_device;

/// As `sync(2)`.
pub fn sync() {
    crate::syscall::sync::sync_everything();
}

/// Makes every file system on a device read-only, also those that have files open for writing: writers get `EROFS` from here on.
pub fn remount_all() {
    for_each_on_device(|sb| {
        let flags = sb.flags();
        if flags & uapi::MS_RDONLY != 0 {
            return;
        }
        // A frozen one is in order on its device as it is.
        let Ok(_thawed) = sb.keep_thawed() else { return };
        sb.set_rdonly();
        // One that cannot settle stays read-only all the same; it has said why.
        let _ = sb.ops().remount(sb, flags | uapi::MS_RDONLY, b"");
    });
}

/// Thaws every file system that is frozen, and calls `say` with the name of its device.
pub fn thaw_all(say: impl Fn(&str)) {
    for_each_on_device(|sb| {
        if sb.set_frozen(false).is_ok()
            && let Some(device) = sb.device()
        {
            say(device.name());
        }
    });
}
