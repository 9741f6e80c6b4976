// SPDX-License-Identifier: GPL-2.0
//! Areas of addresses: mapping, unmapping, protection.

use super::*;

pub(super) fn anonymous() -> Outcome {
    let at = map(64 * PAGE, RW)?;
    ck!(bytes(at, 64 * PAGE).iter().all(|b| *b == 0));
    for i in 0..64 {
        poke(at + i * PAGE + i, i as u8 + 1);
    }
    for i in 0..64 {
        eq!(peek(at + i * PAGE + i), i as u8 + 1);
    }
    c!(unmap(at, 64 * PAGE));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    let again = map(64 * PAGE, RW)?;
    ck!(bytes(again, 64 * PAGE).iter().all(|b| *b == 0), "a reused page is not zero");
    Ok(())
}

pub(super) fn hints() -> Outcome {
    let at = map(8 * PAGE, RW)?;
    c!(unmap(at, 8 * PAGE));
    eq!(c!(raw_map(at, PAGE, RW, ANON, -1, 0)) as usize, at); // a free hint is taken
    let other = c!(raw_map(at, PAGE, RW, ANON, -1, 0)) as usize;
    ck!(other != at); // a used one is not
    poke(at, 5);
    eq!(c!(raw_map(at, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0)) as usize, at);
    eq!(peek(at), 0);
    fails!(raw_map(at + 1, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0), libc::EINVAL);
    Ok(())
}

pub(super) fn noreplace() -> Outcome {
    let at = map(2 * PAGE, RW)?;
    fails!(raw_map(at + PAGE, PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0), libc::EEXIST);
    c!(unmap(at + PAGE, PAGE));
    eq!(c!(raw_map(at + PAGE, PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0)) as usize, at + PAGE);
    Ok(())
}

pub(super) fn errors() -> Outcome {
    fails!(raw_map(0, 0, RW, ANON, -1, 0), libc::EINVAL);
    fails!(raw_map(0, PAGE, RW, libc::MAP_ANONYMOUS, -1, 0), libc::EINVAL); // neither shared nor private
    fails!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, 900, 0), libc::EBADF);
    let fd = open("/proc/self/exe", libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, fd, 1), libc::EINVAL);
    fails!(raw_map(0, PAGE, RW, libc::MAP_SHARED, fd, 0), libc::EACCES);
    fails!(raw_map(0, usize::MAX - PAGE, RW, ANON, -1, 0), libc::ENOMEM);
    fails!(raw_map(0, 1 << 47, RW, ANON, -1, 0), libc::ENOMEM);
    fails!(raw_map(1 << 56, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0), libc::ENOMEM);
    let (r, _w) = pipe()?;
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, r, 0), libc::ENODEV);
    let dir = open("/tmp", libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, dir, 0), libc::ENODEV);
    Ok(())
}

pub(super) fn munmap_parts() -> Outcome {
    let at = map(5 * PAGE, RW)?;
    for i in 0..5 {
        poke(at + i * PAGE, i as u8);
    }
    c!(unmap(at + 2 * PAGE, PAGE)); // a hole in the middle
    eq!(peek(at + PAGE), 1);
    eq!(peek(at + 3 * PAGE), 3);
    eq!(faults(|| _ = peek(at + 2 * PAGE))?, libc::SIGSEGV);
    c!(unmap(at, 5 * PAGE)); // over the hole
    c!(unmap(at, 5 * PAGE)); // nothing there is no error
    Ok(())
}

pub(super) fn munmap_errors() -> Outcome {
    fails!(unmap(0x1001, PAGE), libc::EINVAL);
    fails!(unmap(0x1000, 0), libc::EINVAL);
    fails!(unmap(1 << 56, PAGE), libc::EINVAL);
    fails!(unmap(0x1000, usize::MAX), libc::EINVAL);
    Ok(())
}

pub(super) fn mprotect() -> Outcome {
    let at = map(2 * PAGE, RW)?;
    poke(at, 1);
    c!(protect(at, PAGE, libc::PROT_READ));
    eq!(peek(at), 1);
    eq!(faults(|| poke(at, 2))?, libc::SIGSEGV);
    poke(at + PAGE, 3); // the next page is as it was
    c!(protect(at, PAGE, RW));
    poke(at, 4);
    eq!(peek(at), 4);
    fails!(protect(at + 1, PAGE, RW), libc::EINVAL);
    fails!(protect(at, PAGE, 0x100), libc::EINVAL);
    c!(protect(at, 0, RW));
    c!(unmap(at + PAGE, PAGE));
    fails!(protect(at, 2 * PAGE, libc::PROT_READ), libc::ENOMEM);
    // A file opened for reading cannot become writable in a shared mapping.
    let fd = open("/proc/self/exe", libc::O_RDONLY)?;
    let shared = c!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0)) as usize;
    fails!(protect(shared, PAGE, RW), libc::EACCES);
    Ok(())
}

pub(super) fn protect_maps() -> Outcome {
    // Guards on both sides, so that nothing merges with the neighbours.
    let at = map(8 * PAGE, libc::PROT_NONE)? + PAGE;
    c!(protect(at, 6 * PAGE, RW));
    eq!(maps(at, 6 * PAGE)?.len(), 1);
    c!(protect(at + 2 * PAGE, PAGE, libc::PROT_READ));
    let lines = maps(at, 6 * PAGE)?;
    eq!(lines.len(), 3);
    ck!(lines[1].contains(" r--p 00000000 00:00 0"), "{}", lines[1]);
    c!(protect(at + 2 * PAGE, PAGE, RW));
    let lines = maps(at, 6 * PAGE)?;
    eq!(lines.len(), 1);
    ck!(lines[0].starts_with(&format!("{at:x}-{:x} rw-p", at + 6 * PAGE)), "{}", lines[0]);
    Ok(())
}

/// What joins: what got its first private pages apart does not, nor what a child adds to what it has.
pub(super) fn joins() -> Outcome {
    let at = map(16 * PAGE, libc::PROT_NONE)? + 2 * PAGE;
    let put = |page: usize, count: usize| -> Outcome {
        c!(raw_map(at + page * PAGE, count * PAGE, RW, ANON | libc::MAP_FIXED, -1, 0));
        Ok(())
    };
    let starts = |page: usize, count: usize| -> Result<Vec<String>, String> {
        let lines = maps(at + page * PAGE, count * PAGE)?;
        Ok(lines.iter().filter_map(|line| line.split('-').next().map(String::from)).collect())
    };
    let addresses = |pages: &[usize]| pages.iter().map(|page| format!("{:x}", at + page * PAGE)).collect::<Vec<_>>();
    for (below, above, parts) in [(true, true, [0, 1].as_slice()), (true, false, &[0]), (false, true, &[0, 1])] {
        c!(unmap(at, 3 * PAGE));
        put(0, 1)?;
        put(2, 1)?;
        if below {
            poke(at, 1);
        }
        if above {
            poke(at + 2 * PAGE, 1);
        }
        put(1, 1)?;
        eq!(starts(0, 3)?, addresses(parts));
    }
    c!(unmap(at, 3 * PAGE));
    put(0, 2)?;
    c!(protect(at + PAGE, PAGE, RW | libc::PROT_EXEC));
    poke(at, 1);
    poke(at + PAGE, 1);
    c!(protect(at + PAGE, PAGE, RW));
    eq!(starts(0, 2)?, addresses(&[0]));
    in_child(|| {
        put(2, 1)?;
        eq!(starts(0, 3)?, addresses(&[0, 2]));
        c!(protect(at, PAGE, libc::PROT_READ));
        c!(protect(at, PAGE, RW));
        eq!(starts(0, 3)?, addresses(&[0, 2]));
        Ok(())
    })?;
    put(2, 1)?;
    eq!(starts(0, 3)?, addresses(&[0]));
    // What becomes part of a neighbour is possible where there is no room for one more.
    put(8, 4)?;
    c!(protect(at + 8 * PAGE, PAGE, libc::PROT_READ));
    let file = "/proc/sys/vm/max_map_count";
    let before = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    std::fs::write(file, "3").map_err(|e| e.to_string())?;
    let shifted = protect(at + 9 * PAGE, PAGE, libc::PROT_READ);
    let split = (protect(at + 10 * PAGE, PAGE, RW | libc::PROT_EXEC), errno());
    std::fs::write(file, before.trim()).map_err(|e| e.to_string())?;
    eq!((shifted, split), (0, (-1, libc::ENOMEM)));
    eq!(starts(8, 4)?, addresses(&[8, 10]));
    Ok(())
}

pub(super) fn prot_none() -> Outcome {
    let at = map(PAGE, libc::PROT_NONE)?;
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    c!(protect(at, PAGE, RW));
    poke(at, 9);
    c!(protect(at, PAGE, libc::PROT_NONE));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    c!(protect(at, PAGE, libc::PROT_READ));
    eq!(peek(at), 9);
    Ok(())
}

pub(super) fn exec_permission() -> Outcome {
    let at = map(PAGE, RW)?;
    // SAFETY: `mov eax, 42; ret` in a page of our own.
    let call = || unsafe { core::mem::transmute::<usize, extern "C" fn() -> i32>(at)() };
    for (i, b) in [0xb8, 42, 0, 0, 0, 0xc3].iter().enumerate() {
        poke(at + i, *b);
    }
    eq!(faults(|| _ = call())?, libc::SIGSEGV);
    c!(protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC));
    eq!(call(), 42);
    c!(protect(at, PAGE, RW | libc::PROT_EXEC));
    poke(at + 1, 43);
    eq!(call(), 43);
    Ok(())
}
