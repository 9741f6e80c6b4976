// SPDX-License-Identifier: GPL-2.0
//! Mappings up to their limits.

use super::Setting;
use crate::util::{Outcome, errno, in_child, text};
use crate::{c, ck, eq, fails};

const PAGE: usize = 4096;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn map(at: usize, pages: usize, prot: i32, flags: i32) -> isize {
    // SAFETY: a new mapping, or in the place of one that the caller made.
    unsafe { libc::mmap(at as *mut libc::c_void, pages * PAGE, prot, flags, -1, 0) as isize }
}

/// Mappings of this process that count.
fn count() -> Result<usize, String> {
    Ok(text("/proc/self/maps")?.lines().filter(|line| !line.ends_with("[vsyscall]")).count())
}

/// 100 000 mappings.
pub(super) fn maps() -> Outcome {
    let _most = Setting::new("vm/max_map_count", "120000")?;
    in_child(|| {
        let len = PAGE * 260_000;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let at = c!(libc::mmap(core::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) as isize) as usize;
        let mut made = 0;
        // Every change in the middle makes two mappings more.
        for i in 0..130_000 {
            if made >= 100_000 {
                break;
            }
            // SAFETY: within the mapping above.
            let ret = unsafe {
                libc::mprotect((at + (2 * i + 1) * PAGE) as *mut libc::c_void, PAGE, libc::PROT_READ | libc::PROT_WRITE)
            };
            if ret != 0 {
                eq!(errno(), libc::ENOMEM);
                break;
            }
            made += 2;
        }
        ck!(made >= 100_000, "{made} mappings");
        // They work, the first and the last.
        for i in [0, made / 2 - 1] {
            let word = (at + (2 * i + 1) * PAGE) as *mut u32;
            // SAFETY: made writable above.
            unsafe {
                word.write_volatile(i as u32);
                eq!(word.read_volatile(), i as u32);
            }
        }
        c!(libc::munmap(at as *mut libc::c_void, len));
        Ok(())
    })
}

/// `vm.max_map_count` to the mapping: one more than it says, as the call looks before it maps.
pub(super) fn map_count() -> Outcome {
    const MOST: usize = 400;
    let _most = Setting::new("vm/max_map_count", MOST)?;
    in_child(|| {
        let prot = |i: usize| if i % 2 == 0 { libc::PROT_READ } else { libc::PROT_NONE };
        // Room for the last line of the file, read without a mapping more.
        let mut all = Vec::with_capacity(MOST);
        while all.len() < 2 * MOST {
            let at = map(0, 1, prot(all.len()), ANON);
            if at == -1 {
                eq!(errno(), libc::ENOMEM);
                break;
            }
            all.push(at as usize);
        }
        let there = MOST + 1;
        let last = all.pop().ok_or("none")?;
        c!(libc::munmap(last as *mut libc::c_void, PAGE));
        // With one less, what needs two more does not go, what needs one does.
        c!(libc::munmap(all[10] as *mut libc::c_void, PAGE));
        let seen = count()?;
        eq!(seen, there - 2);
        ck!(map(0, 1, libc::PROT_EXEC, ANON) != -1);
        ck!(map(0, 1, libc::PROT_WRITE, ANON) != -1);
        eq!(map(0, 1, libc::PROT_READ | libc::PROT_WRITE, ANON), -1);
        eq!(errno(), libc::ENOMEM);
        // What takes none more goes.
        ck!(map(all[20], 1, libc::PROT_WRITE, ANON | libc::MAP_FIXED) == -1);
        eq!(errno(), libc::ENOMEM);
        c!(libc::mprotect(all[20] as *mut libc::c_void, PAGE, libc::PROT_WRITE | libc::PROT_EXEC));
        Ok(())
    })
}

/// Splitting at the limit.
pub(super) fn map_count_split() -> Outcome {
    const MOST: usize = 400;
    let _most = Setting::new("vm/max_map_count", MOST)?;
    in_child(|| {
        let big = c!(map(0, 2 * MOST, libc::PROT_READ, ANON | libc::MAP_NORESERVE)) as usize;
        let page = |i: usize| (big + i * PAGE) as *mut libc::c_void;
        let mut made = 0;
        // Every page's change in the middle makes two more.
        for i in 0..MOST {
            // SAFETY: pages of the mapping above.
            if unsafe { libc::mprotect(page(2 * i + 1), PAGE, libc::PROT_NONE) } != 0 {
                eq!(errno(), libc::ENOMEM);
                break;
            }
            made += 1;
        }
        ck!((100..MOST / 2).contains(&made), "{made}");
        eq!(count()?.div_ceil(2), MOST / 2);
        // A hole in the middle of one needs one more.
        while c_ok(page(2 * made + 3)) {
            made += 1;
        }
        fails!(libc::munmap(page(2 * made + 5), PAGE), libc::ENOMEM);
        // At its end it needs none.
        c!(libc::munmap(page(2 * MOST - 1), PAGE));
        fails!(libc::mremap(page(2), PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE), libc::ENOMEM);
        c!(libc::munmap(page(0), 2 * MOST * PAGE));
        Ok(())
    })
}

fn c_ok(at: *mut libc::c_void) -> bool {
    // SAFETY: a page of the caller's mapping.
    unsafe { libc::mprotect(at, PAGE, libc::PROT_NONE) == 0 }
}
