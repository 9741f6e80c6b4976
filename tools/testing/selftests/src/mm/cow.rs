// SPDX-License-Identifier: GPL-2.0
//! Copies on write, and what is shared.

use super::*;

pub(super) fn cow() -> Outcome {
    let at = map(200 * PAGE, RW)?;
    for i in 0..200 {
        poke(at + i * PAGE, i as u8);
    }
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        let _ = read(r, 1); // until the parent has written
        for i in 0..200 {
            if peek(at + i * PAGE) != i as u8 {
                return 1;
            }
            poke(at + i * PAGE, 255);
        }
        0
    })?;
    for i in 0..100 {
        poke(at + i * PAGE, 77);
    }
    close(r);
    close(w);
    eq!(exit_of(pid)?, 0);
    for i in 0..200 {
        eq!(peek(at + i * PAGE), if i < 100 { 77 } else { i as u8 });
    }
    Ok(())
}

pub(super) fn cow_generations() -> Outcome {
    fn down(at: usize, level: u8) -> i32 {
        poke(at, level);
        if level < 10 {
            let below = child(|| down(at, level + 1)).and_then(exit_of).unwrap_or(100);
            if below != 0 {
                return below;
            }
        }
        i32::from(peek(at) != level || peek(at + PAGE) != 99)
    }
    let at = map(2 * PAGE, RW)?;
    poke(at + PAGE, 99);
    eq!(down(at, 1), 0);
    Ok(())
}

pub(super) fn cow_read() -> Outcome {
    // The kernel's writes break sharing as the program's own do.
    let at = map(PAGE, RW)?;
    poke(at, b'p');
    let (r, w) = pipe()?;
    write(w, b"k")?;
    let pid = child(|| {
        // SAFETY: one byte into the shared page.
        let n = unsafe { libc::read(r, at as *mut libc::c_void, 1) };
        i32::from(n != 1 || peek(at) != b'k')
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(peek(at), b'p');
    // And into a page that reads as the zero page.
    let zero = map(PAGE, RW)?;
    eq!(peek(zero), 0);
    write(w, b"z")?;
    eq!(c!(libc::read(r, zero as *mut libc::c_void, 1)), 1);
    eq!(peek(zero), b'z');
    let other = map(PAGE, RW)?;
    eq!(peek(other), 0);
    Ok(())
}

pub(super) fn shared() -> Outcome {
    let at = c!(raw_map(0, 4 * PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)) as usize;
    poke(at, 1);
    let pid = child(|| {
        poke(at, 2);
        poke(at + 3 * PAGE, 3); // first touched here
        0
    })?;
    eq!(exit_of(pid)?, 0);
    eq!((peek(at), peek(at + 3 * PAGE)), (2, 3));
    Ok(())
}
