// SPDX-License-Identifier: GPL-2.0
//! Direct transfers of 4 KB, one at a time, sent and waited for by Linux AIO; in /tmp, which must be on a disk, so these rows run only when
//! they are named. A device is waited for, so the clock says little even under `-icount`: `profile.py --ext4` counts the instructions of all
//! the transfers, 1536 in each row.

use crate::{Figure, Row, smallest, sys, sys::check};
use std::io::Write;

pub const ROWS: &[Row] = &[
    Row { name: "aio_read_4k", run: aio_read },
    Row { name: "aio_write_4k", run: aio_write },
    Row { name: "aio_write_hole_4k", run: aio_write_hole },
    Row { name: "aio_write_cached_4k", run: aio_write_cached },
];

const FILE: &str = "/tmp/bench.direct";
/// Blocks of the file, and blocks that are transferred between two marks (six times: `smallest`).
const BLOCKS: usize = 2048;
const MANY: usize = 256;
const BLOCK: usize = 4096;

const READ: u16 = 0;
const WRITE: u16 = 1;

/// `struct iocb`.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

fn failed(error: std::io::Error) -> isize {
    -(error.raw_os_error().unwrap_or(libc::EIO) as isize)
}

/// A file, and a context for its requests.
struct Direct {
    fd: i32,
    context: u64,
    memory: *mut u8,
    next: usize,
}

impl Direct {
    /// The file: `blocks` blocks of it are written, the others holes.
    fn new(blocks: usize) -> Result<Self, isize> {
        let _ = std::fs::remove_file(FILE);
        let mut file = std::fs::File::create(FILE).map_err(failed)?;
        for _ in 0..blocks {
            file.write_all(&[0x5a; BLOCK]).map_err(failed)?;
        }
        file.set_len((BLOCKS * BLOCK) as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let path = std::ffi::CString::new(FILE).map_err(|_| -(libc::EINVAL as isize))?;
        let fd = sys::open(&path, libc::O_RDWR | libc::O_DIRECT)?;
        check(sys!(libc::SYS_fadvise64, fd, 0, 0, libc::POSIX_FADV_DONTNEED))?;
        let mut context = 0u64;
        check(sys!(libc::SYS_io_setup, 8, &raw mut context))?;
        Ok(Self { fd, context, memory: sys::map(BLOCK)?, next: 0 })
    }

    /// One request, for a block that is another one each time, and far from the last.
    fn once(&mut self, opcode: u16) {
        let block = self.next * 769 % BLOCKS;
        self.next += 1;
        let (buf, offset) = (self.memory.addr() as u64, (block * BLOCK) as i64);
        let request = Iocb { opcode, fd: self.fd as u32, buf, bytes: BLOCK as u64, offset, ..Iocb::default() };
        let requests = [&raw const request];
        let mut event = [0u64; 4];
        sys!(libc::SYS_io_submit, self.context, 1, requests.as_ptr());
        sys!(libc::SYS_io_getevents, self.context, 1, 1, event.as_mut_ptr(), 0);
        assert_eq!(event[2], BLOCK as u64, "a request failed");
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        sys!(libc::SYS_io_destroy, self.context);
        sys!(libc::SYS_munmap, self.memory, BLOCK);
        sys::close(self.fd);
        let _ = std::fs::remove_file(FILE);
    }
}

/// `MANY` transfers, with a file that is made anew each time.
fn many(opcode: u16, make: impl Fn() -> Result<Direct, isize>) -> Figure {
    let all = smallest(5, || {
        let mut file = make()?;
        let start = sys::start();
        for _ in 0..MANY {
            file.once(opcode);
        }
        Ok(sys::stop(start))
    })?;
    Ok(all / MANY as f64)
}

fn aio_read() -> Figure {
    many(READ, || Direct::new(BLOCKS))
}

fn aio_write() -> Figure {
    many(WRITE, || Direct::new(BLOCKS))
}

/// Blocks get their place.
fn aio_write_hole() -> Figure {
    many(WRITE, || Direct::new(0))
}

/// The file is in memory, dirty.
fn aio_write_cached() -> Figure {
    many(WRITE, || {
        let file = Direct::new(BLOCKS)?;
        let cached = std::fs::OpenOptions::new().write(true).open(FILE);
        let written = cached.and_then(|mut cached| cached.write_all(&vec![1; BLOCKS * BLOCK]));
        written.map_err(failed)?;
        Ok(file)
    })
}
