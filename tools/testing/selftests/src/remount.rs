// SPDX-License-Identifier: GPL-2.0
//! A mount becomes read-only: never below a program that writes.

use crate::util::{Outcome, home};
use crate::{Test, c, ck, eq, fails};
use libc::{MS_BIND, MS_RDONLY, MS_REMOUNT};
use std::ffi::CString;
use std::fs::File;
use std::io::Write;

pub const TESTS: &[Test] = &[
    ("remount.busy", busy),
    ("remount.busy_bind", busy_bind),
    ("remount.busy_mapping", busy_mapping),
    ("remount.trunc_direct", trunc_direct),
];

fn mount(source: &str, target: &str, kind: &str, flags: u64) -> i64 {
    let [source, target, kind] = [source, target, kind].map(|text| CString::new(text).unwrap_or_default());
    // SAFETY: live strings, no data.
    unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, core::ptr::null()).into() }
}

/// A tmpfs on the test's directory, and the directory.
fn start() -> Result<String, String> {
    home()?;
    let top = std::env::current_dir().map_err(|e| e.to_string())?.to_string_lossy().into_owned();
    c!(libc::unshare(libc::CLONE_NEWNS));
    c!(mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE));
    c!(mount("none", &top, "tmpfs", 0));
    std::env::set_current_dir(&top).map_err(|e| e.to_string())?;
    Ok(top)
}

fn make(name: &str, text: &str) -> Result<File, String> {
    let mut file = File::create(name).map_err(|e| format!("{name}: {e}"))?;
    file.write_all(text.as_bytes()).map_err(|e| format!("{name}: {e}"))?;
    Ok(file)
}

fn busy() -> Outcome {
    let top = start()?;
    let mut file = make("f", "one")?;
    fails!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY), libc::EBUSY);
    // Nothing changed by that.
    ck!(file.write_all(b"two").is_ok());
    make("g", "")?;
    drop(file);
    let reader = File::open("f").map_err(|e| e.to_string())?;
    c!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY));
    fails!(libc::open(c"f".as_ptr(), libc::O_WRONLY), libc::EROFS);
    fails!(libc::open(c"h".as_ptr(), libc::O_WRONLY | libc::O_CREAT, 0o600), libc::EROFS);
    fails!(libc::open(c"f".as_ptr(), libc::O_RDONLY | libc::O_TRUNC), libc::EROFS);
    fails!(libc::unlink(c"f".as_ptr()), libc::EROFS);
    fails!(libc::chmod(c"f".as_ptr(), 0o600), libc::EROFS);
    drop(reader);
    c!(mount("none", &top, "", MS_REMOUNT));
    eq!(std::fs::read_to_string("f").unwrap_or_default(), "onetwo");
    make("h", "")?;
    Ok(())
}

/// A bind mount counts its own writers; its super block counts them all, those of a mount that was detached among them.
fn busy_bind() -> Outcome {
    let top = start()?;
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    c!(libc::mkdir(c"e".as_ptr(), 0o700));
    c!(mount("d", "e", "", MS_BIND));
    let file = make("d/f", "")?;
    c!(mount("none", "e", "", MS_BIND | MS_REMOUNT | MS_RDONLY));
    fails!(libc::open(c"e/f".as_ptr(), libc::O_WRONLY), libc::EROFS);
    c!(mount("none", "e", "", MS_BIND | MS_REMOUNT));
    drop(file);
    let file = make("e/f", "")?;
    fails!(mount("none", "e", "", MS_BIND | MS_REMOUNT | MS_RDONLY), libc::EBUSY);
    c!(libc::umount2(c"e".as_ptr(), libc::MNT_DETACH));
    fails!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY), libc::EBUSY);
    drop(file);
    c!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY));
    Ok(())
}

/// A shared mapping keeps its file open for writing.
fn busy_mapping() -> Outcome {
    let top = start()?;
    make("f", "text")?;
    let fd = c!(libc::open(c"f".as_ptr(), libc::O_RDWR)) as i32;
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, unmapped below.
    let at = unsafe { libc::mmap(core::ptr::null_mut(), 4096, prot, flags, fd, 0) };
    ck!(at != libc::MAP_FAILED);
    c!(libc::close(fd));
    fails!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY), libc::EBUSY);
    c!(libc::munmap(at, 4096));
    c!(mount("none", &top, "", MS_REMOUNT | MS_RDONLY));
    Ok(())
}

/// An open that is refused truncates nothing.
fn trunc_direct() -> Outcome {
    start()?;
    make("f", "kept")?;
    // SAFETY: a live string.
    let fd = unsafe { libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_TRUNC | libc::O_DIRECT) };
    let left = std::fs::metadata("f").map_err(|e| e.to_string())?.len();
    eq!(left, if fd < 0 { 4 } else { 0 });
    Ok(())
}
