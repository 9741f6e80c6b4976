// SPDX-License-Identifier: GPL-2.0
//! `personality(2)`: bits that change something, before and after `execve`.

use crate::util::*;
use crate::{Test, c, ck, eq};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("persona.read_implies_exec", read_implies_exec),
    ("persona.compat_layout", compat_layout),
    ("persona.page_zero", page_zero),
    ("persona.sticky_timeouts", sticky_timeouts),
    ("persona.randomize_va_space", randomize_va_space),
];

const PAGE: usize = 4096;
const READ_IMPLIES_EXEC: u64 = 0x40_0000;
const ADDR_NO_RANDOMIZE: u64 = 0x4_0000;
const ADDR_COMPAT_LAYOUT: u64 = 0x20_0000;
const MMAP_PAGE_ZERO: u64 = 0x10_0000;
const STICKY_TIMEOUTS: u64 = 0x400_0000;

/// The line of a mapping in `/proc/self/maps`.
fn line_of(at: usize) -> Result<String, String> {
    let maps = text("/proc/self/maps")?;
    maps.lines()
        .find(|l| l.starts_with(&format!("{at:x}-")))
        .map(String::from)
        .ok_or(format!("{at:x} is not in {maps}"))
}

fn page(prot: i32) -> Result<usize, String> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // Two pages, so that the first is joined with nothing.
    let at = c!(libc::mmap(core::ptr::null_mut(), 3 * PAGE, libc::PROT_NONE, flags, -1, 0) as isize) as usize + PAGE;
    c!(libc::mmap(at as *mut libc::c_void, PAGE, prot, flags | libc::MAP_FIXED, -1, 0) as isize);
    Ok(at)
}

/// What may be read may be executed, of new mappings and new rights; not any more after `execve`.
fn read_implies_exec() -> Outcome {
    in_child(|| {
        let before = page(libc::PROT_READ)?;
        eq!(c!(libc::personality(READ_IMPLIES_EXEC)), 0);
        eq!(c!(libc::personality(0xffff_ffff)) as u64, READ_IMPLIES_EXEC);
        ck!(line_of(before)?.contains(" r--p "), "{}", line_of(before)?);
        ck!(line_of(page(libc::PROT_READ | libc::PROT_WRITE)?)?.contains(" rwxp "), "mmap");
        let write = page(libc::PROT_WRITE)?;
        ck!(line_of(write)?.contains(" -w-p "), "{}", line_of(write)?);
        c!(libc::mprotect(write as *mut libc::c_void, PAGE, libc::PROT_READ));
        ck!(line_of(write)?.contains(" r-xp "), "{}", line_of(write)?);
        // A child has it, too.
        in_child(|| {
            ck!(line_of(page(libc::PROT_READ)?)?.contains(" r-xp "), "a child's mmap");
            Ok(())
        })?;
        c!(libc::personality(0));
        ck!(line_of(page(libc::PROT_READ)?)?.contains(" r--p "), "mmap without");
        Ok(())
    })?;
    eq!(place(READ_IMPLIES_EXEC)?.0, 0);
    Ok(())
}

/// Its personality, where a page is put that may be anywhere, and where its lowest mapping begins.
pub fn shown() -> Result<String, String> {
    let maps = text("/proc/self/maps")?;
    let first = maps.split('-').next().unwrap_or("");
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = c!(libc::mmap(core::ptr::null_mut(), 64 << 20, libc::PROT_NONE, flags, -1, 0) as isize);
    Ok(format!("{:x} {at:x} {first}", c!(libc::personality(0xffff_ffff))))
}

/// The same of a program that was executed with a personality.
fn place(persona: u64) -> Result<(u64, u64, u64), String> {
    let mut command = Command::new("/proc/self/exe");
    // SAFETY: a plain call.
    unsafe {
        command.args(["--helper", "place"]).pre_exec(move || {
            libc::personality(persona);
            Ok(())
        })
    };
    let output = command.output().map_err(|e| format!("execve: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split(' ').map(|word| u64::from_str_radix(word, 16));
    match (words.next(), words.next(), words.next()) {
        (Some(Ok(persona)), Some(Ok(at)), Some(Ok(first))) => Ok((persona, at, first)),
        _ => Err(format!("the helper said {text}")),
    }
}

/// A third of the addresses: where maps begin that go bottom up.
const BOTTOM: u64 = 0x2aaa_aaaa_a000;

fn compat_layout() -> Outcome {
    let wanted = ADDR_COMPAT_LAYOUT | ADDR_NO_RANDOMIZE;
    let (persona, at, _) = place(wanted)?;
    eq!(persona, wanted);
    ck!((BOTTOM..BOTTOM + (1 << 32)).contains(&at), "{at:x}");
    let (persona, at, _) = place(ADDR_NO_RANDOMIZE)?;
    eq!(persona, ADDR_NO_RANDOMIZE);
    ck!(at > 0x7fff_0000_0000, "{at:x}");
    // Random, but bottom up.
    let (_, at, _) = place(ADDR_COMPAT_LAYOUT)?;
    ck!((BOTTOM..0x5000_0000_0000).contains(&at), "{at:x}");
    Ok(())
}

/// A page at address 0, for who may have one.
fn page_zero() -> Outcome {
    let (persona, _, first) = place(MMAP_PAGE_ZERO)?;
    eq!((persona, first), (MMAP_PAGE_ZERO, 0));
    let (_, _, first) = place(0)?;
    ck!(first != 0, "a page at 0");
    Ok(())
}

/// `select` and `ppoll` do not say what is left of the time.
fn sticky_timeouts() -> Outcome {
    in_child(|| {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        c!(libc::syscall(libc::SYS_select, 0, none::<u8>(), none::<u8>(), none::<u8>(), &mut time));
        eq!((time.tv_sec, time.tv_usec), (0, 0));
        c!(libc::personality(STICKY_TIMEOUTS));
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        c!(libc::syscall(libc::SYS_select, 0, none::<u8>(), none::<u8>(), none::<u8>(), &mut time));
        eq!((time.tv_sec, time.tv_usec), (0, 2000));
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        c!(libc::syscall(libc::SYS_ppoll, none::<u8>(), 0, &mut time, none::<u8>(), 8));
        eq!((time.tv_sec, time.tv_nsec), (0, 2_000_000));
        Ok(())
    })
}

fn none<T>() -> *mut T {
    core::ptr::null_mut()
}

/// `kernel.randomize_va_space` turns random places off for everybody.
fn randomize_va_space() -> Outcome {
    let path = "/proc/sys/kernel/randomize_va_space";
    let before = text(path)?;
    let set = |value: &str| std::fs::write(path, value).map_err(|e| format!("{path}: {e}"));
    set("0\n")?;
    let places = (place(0), place(0));
    set(&before)?;
    let ((_, one, _), (_, other, _)) = (places.0?, places.1?);
    eq!(one, other);
    let (random, again) = (place(0)?.1, place(0)?.1);
    ck!(before.trim() == "0" || random != again, "{random:x} twice");
    Ok(())
}
