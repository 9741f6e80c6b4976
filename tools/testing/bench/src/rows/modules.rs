// SPDX-License-Identifier: GPL-2.0
//! Loading a module. The image has each kernel's own as it would be installed (without debug information, signed), and with it what
//! it depends on, which is loaded before and not counted. `nr_devices=0`: what the driver does with devices is not part of it. Overlayfs
//! and squashfs are more than 100 KB on both kernels; all that they do is to register their type.

use crate::{Figure, Row, smallest, sys, sys::check};
use core::ffi::CStr;

pub const ROWS: &[Row] = &[
    Row { name: "insmod_null_blk", run: null_blk },
    Row { name: "insmod_overlay", run: || insmod(c"/modules/overlay.ko", c"", c"overlay") },
    Row { name: "insmod_squashfs", run: || insmod(c"/modules/squashfs.ko", c"", c"squashfs") },
];

/// Loads `path`; the instructions of the call.
fn load(path: &CStr, parameters: &CStr) -> Result<u64, isize> {
    let fd = sys::open(path, libc::O_RDONLY)?;
    let start = sys::start();
    let done = sys!(libc::SYS_finit_module, fd, parameters.as_ptr(), 0);
    let spent = sys::stop(start);
    sys::close(fd);
    check(done).map(|_| spent)
}

/// Loads a module and takes it away again, some times.
fn insmod(path: &CStr, parameters: &CStr, name: &CStr) -> Figure {
    smallest(5, || {
        let spent = load(path, parameters)?;
        check(sys!(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK))?;
        Ok(spent)
    })
}

fn null_blk() -> Figure {
    // Part of the kernel where it is not in the image.
    let _ = load(c"/modules/configfs.ko", c"");
    insmod(c"/modules/null_blk.ko", c"nr_devices=0", c"null_blk")
}
