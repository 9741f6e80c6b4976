// SPDX-License-Identifier: GPL-2.0
//! `finit FILE FLAGS [PARAMETERS]`: `finit_module(2)` with these flags (a number); prints `loaded`, or what errno means.

use std::ffi::CString;
use std::io::Error;
use std::os::fd::AsRawFd;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let file = std::fs::File::open(&words[0]).expect("the file");
    let flags: i32 = words[1].parse().expect("a number");
    let parameters = CString::new(words[2..].join(" ")).expect("no zero byte");
    // SAFETY: The call reads the parameters, which outlive it.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), flags) };
    match done {
        0 => println!("loaded"),
        _ => println!("{}", Error::last_os_error()),
    }
}
