// SPDX-License-Identifier: GPL-2.0
//! Address spaces: mapping, faults, protection.

use crate::{Figure, Row, measure, smallest, sys, sys::check};

pub const ROWS: &[Row] = &[
    Row { name: "mmap_munmap", run: mmap_munmap },
    Row { name: "mmap_touch_munmap", run: mmap_touch },
    Row { name: "brk", run: brk },
    Row { name: "mprotect", run: mprotect },
    Row { name: "anon_fault", run: anon_fault },
    Row { name: "anon_fault_default", run: anon_fault_default },
    Row { name: "anon_read_fault", run: anon_read_fault },
    Row { name: "file_fault", run: file_fault },
    Row { name: "file_fault_random", run: file_fault_random },
    Row { name: "file_cow_fault", run: file_cow },
    Row { name: "munmap_page", run: munmap_page },
    Row { name: "madvise_dontneed", run: dontneed },
];

const PAGE: usize = 4096;

/// Maps and unmaps 64 KB that nobody touches.
fn mmap_munmap() -> Figure {
    sys::unmap(sys::map_any(16 * PAGE)?, 16 * PAGE);
    Ok(measure(500, || {
        if let Ok(at) = sys::map_any(16 * PAGE) {
            sys::unmap(at, 16 * PAGE);
        }
    }))
}

/// The same with one page touched.
fn mmap_touch() -> Figure {
    sys::unmap(sys::map_any(16 * PAGE)?, 16 * PAGE);
    Ok(measure(500, || {
        if let Ok(at) = sys::map_any(16 * PAGE) {
            touch_write(at, 1);
            sys::unmap(at, 16 * PAGE);
        }
    }))
}

/// Grows the heap by a page and takes it back.
fn brk() -> Figure {
    let top = check(sys!(libc::SYS_brk, 0))?;
    Ok(measure(500, || {
        sys!(libc::SYS_brk, top + PAGE as isize);
        sys!(libc::SYS_brk, top);
    }) / 2.0)
}

/// Writes a word to each of `pages` pages.
fn touch_write(at: *mut u8, pages: usize) {
    for i in 0..pages {
        // SAFETY: the caller mapped that many pages, writable.
        unsafe { at.add(i * PAGE).cast::<u64>().write_volatile(i as u64 + 1) };
    }
}

/// Reads a word of each of `pages` pages, `step` apart (modulo `pages`).
fn touch_read(at: *const u8, pages: usize, step: usize) {
    let mut i = 0;
    for _ in 0..pages {
        // SAFETY: the caller mapped that many pages, readable.
        unsafe { at.add(i * PAGE).cast::<u64>().read_volatile() };
        i = (i + step) % pages;
    }
}

/// A touched page of 16 turned read-only and back.
fn mprotect() -> Figure {
    let at = sys::map(16 * PAGE)?;
    touch_write(at, 16);
    let middle = at.wrapping_add(8 * PAGE);
    let set = |prot: i32| sys!(libc::SYS_mprotect, middle, PAGE, prot);
    check(set(libc::PROT_READ))?;
    let figure = measure(500, || {
        set(libc::PROT_READ | libc::PROT_WRITE);
        set(libc::PROT_READ);
    }) / 2.0;
    sys::unmap(at, 16 * PAGE);
    Ok(figure)
}

const PAGES: usize = 1024;

fn fault(map: fn(usize) -> Result<*mut u8, isize>, pages: usize, touch: fn(*mut u8, usize)) -> Figure {
    smallest(5, || {
        let at = map(pages * PAGE)?;
        let start = sys::start();
        touch(at, pages);
        let took = sys::stop(start);
        sys::unmap(at, pages * PAGE);
        Ok(took)
    })
    .map(|all| all / pages as f64)
}

/// The first write to an anonymous page, huge pages declined.
fn anon_fault() -> Figure {
    fault(sys::map, PAGES, touch_write)
}

/// The same with what a program gets that declines nothing: 8 MB, per 4 KB.
fn anon_fault_default() -> Figure {
    fault(sys::map_any, 2 * PAGES, touch_write)
}

/// The first read of an anonymous page (the zero page).
fn anon_read_fault() -> Figure {
    fault(sys::map, PAGES, |at, pages| touch_read(at, pages, 1))
}

/// A file of 4 MB in tmpfs, in the page cache.
fn cached() -> Result<i32, isize> {
    let path = c"/tmp/bench.map";
    let fd = sys::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)?;
    sys!(libc::SYS_unlink, path.as_ptr());
    let data = vec![1u8; 65536];
    for at in (0..PAGES * PAGE).step_by(data.len()) {
        check(sys!(libc::SYS_pwrite64, fd, data.as_ptr(), data.len(), at))?;
    }
    Ok(fd)
}

fn file_touch(prot: i32, touch: impl Fn(*mut u8)) -> Figure {
    let fd = cached()?;
    let figure = smallest(5, || {
        let at = check(sys!(libc::SYS_mmap, 0, PAGES * PAGE, prot, libc::MAP_PRIVATE, fd, 0))? as *mut u8;
        let start = sys::start();
        touch(at);
        let took = sys::stop(start);
        sys::unmap(at, PAGES * PAGE);
        Ok(took)
    });
    sys::close(fd);
    figure.map(|all| all / PAGES as f64)
}

/// Reading through a mapped file in order, per page.
fn file_fault() -> Figure {
    file_touch(libc::PROT_READ, |at| touch_read(at, PAGES, 1))
}

/// Reading it with a stride of 37 pages.
fn file_fault_random() -> Figure {
    file_touch(libc::PROT_READ, |at| touch_read(at, PAGES, 37))
}

/// Writing to a private map of it: each page is copied.
fn file_cow() -> Figure {
    file_touch(libc::PROT_READ | libc::PROT_WRITE, |at| touch_write(at, PAGES))
}

/// Taking down touched pages, per page.
fn munmap_page() -> Figure {
    smallest(5, || {
        let at = sys::map(PAGES * PAGE)?;
        touch_write(at, PAGES);
        let start = sys::start();
        sys::unmap(at, PAGES * PAGE);
        Ok(sys::stop(start))
    })
    .map(|all| all / PAGES as f64)
}

/// MADV_DONTNEED of 16 touched pages and their new faults, per page.
fn dontneed() -> Figure {
    let at = sys::map(16 * PAGE)?;
    check(sys!(libc::SYS_madvise, at, 16 * PAGE, libc::MADV_DONTNEED))?;
    let figure = measure(50, || {
        touch_write(at, 16);
        sys!(libc::SYS_madvise, at, 16 * PAGE, libc::MADV_DONTNEED);
    }) / 16.0;
    sys::unmap(at, 16 * PAGE);
    Ok(figure)
}
