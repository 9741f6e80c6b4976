// SPDX-License-Identifier: GPL-2.0
//! Loading a module. The image has each kernel's own `null_blk` as it would be installed (without debug information, signed), and
//! with it what it depends on. `nr_devices=0`: what the driver does with devices is not part of it.

use crate::{Figure, Row, smallest, sys, sys::check};
use core::ffi::CStr;

pub const ROWS: &[Row] = &[Row { name: "insmod_null_blk", run: insmod }];

/// Loads `path`; the instructions of the call.
fn load(path: &CStr, parameters: &CStr) -> Result<u64, isize> {
    let fd = sys::open(path, libc::O_RDONLY)?;
    let start = sys::start();
    let done = sys!(libc::SYS_finit_module, fd, parameters.as_ptr(), 0);
    let spent = sys::stop(start);
    sys::close(fd);
    check(done).map(|_| spent)
}

fn insmod() -> Figure {
    // Part of the kernel where it is not in the image.
    let _ = load(c"/modules/configfs.ko", c"");
    smallest(5, || {
        let spent = load(c"/modules/null_blk.ko", c"nr_devices=0")?;
        check(sys!(libc::SYS_delete_module, c"null_blk".as_ptr(), libc::O_NONBLOCK))?;
        Ok(spent)
    })
}
