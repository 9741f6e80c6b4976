// SPDX-License-Identifier: GPL-2.0
//! Files: devices, tmpfs, the page cache, waiting on many descriptors.

use crate::{Figure, Row, measure, sys, sys::check};
use core::ffi::CStr;

pub const ROWS: &[Row] = &[
    Row { name: "read_zero_1", run: read_zero },
    Row { name: "write_null_1", run: write_null },
    Row { name: "stat", run: stat },
    Row { name: "stat_deep", run: stat_deep },
    Row { name: "fstat", run: fstat },
    Row { name: "open_close", run: open_close },
    Row { name: "create_unlink", run: create_unlink },
    Row { name: "mkdir_rmdir", run: mkdir_rmdir },
    Row { name: "rename", run: rename },
    Row { name: "readdir_64", run: readdir_64 },
    Row { name: "readdir_1000", run: readdir_1000 },
    Row { name: "pread_4k", run: pread_4k },
    Row { name: "pwrite_4k", run: pwrite_4k },
    Row { name: "read_64k", run: read_64k },
    Row { name: "write_64k", run: write_64k },
    Row { name: "write_new_4k", run: write_new },
    Row { name: "write_fsync_4k", run: write_fsync },
    Row { name: "lseek", run: lseek },
    Row { name: "dup_close", run: dup_close },
    Row { name: "fcntl_getfl", run: fcntl_getfl },
    Row { name: "poll_64", run: poll_64 },
    Row { name: "select_64", run: select_64 },
    Row { name: "epoll_64", run: epoll_64 },
];

const FILE: &CStr = c"/tmp/bench.file";
const SIZE: usize = 1 << 20;

/// A file of 1 MB in tmpfs, open for reading and writing; removed from the directory.
fn file() -> Result<i32, isize> {
    let fd = sys::open(FILE, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)?;
    sys!(libc::SYS_unlink, FILE.as_ptr());
    let data = vec![0x5au8; 65536];
    for at in (0..SIZE).step_by(data.len()) {
        check(sys!(libc::SYS_pwrite64, fd, data.as_ptr(), data.len(), at))?;
    }
    Ok(fd)
}

fn with_file(run: impl FnOnce(i32) -> f64) -> Figure {
    let fd = file()?;
    let figure = run(fd);
    sys::close(fd);
    Ok(figure)
}

fn read_zero() -> Figure {
    let fd = sys::open(c"/dev/zero", libc::O_RDONLY)?;
    check(sys::read1(fd))?;
    let figure = measure(2000, || {
        sys::read1(fd);
    });
    sys::close(fd);
    Ok(figure)
}

fn write_null() -> Figure {
    let fd = sys::open(c"/dev/null", libc::O_WRONLY)?;
    check(sys::write1(fd))?;
    let figure = measure(2000, || {
        sys::write1(fd);
    });
    sys::close(fd);
    Ok(figure)
}

fn stat_of(path: &CStr) -> Figure {
    // SAFETY: all zero is a valid stat.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    let at = &raw mut st;
    check(sys!(libc::SYS_stat, path.as_ptr(), at))?;
    Ok(measure(1000, || {
        sys!(libc::SYS_stat, path.as_ptr(), at);
    }))
}

fn stat() -> Figure {
    stat_of(c"/bin/tiny")
}

/// Eight components: what a look-up costs beyond the first.
fn stat_deep() -> Figure {
    let path = String::from("/tmp/1/2/3/4/5/6/7");
    let _ = std::fs::create_dir_all(&path);
    stat_of(c"/tmp/1/2/3/4/5/6/7")
}

fn fstat() -> Figure {
    // SAFETY: all zero is a valid stat.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    let at = &raw mut st;
    let fd = sys::open(c"/bin/tiny", libc::O_RDONLY)?;
    check(sys!(libc::SYS_fstat, fd, at))?;
    let figure = measure(1000, || {
        sys!(libc::SYS_fstat, fd, at);
    });
    sys::close(fd);
    Ok(figure)
}

fn open_close() -> Figure {
    sys::close(sys::open(c"/bin/tiny", libc::O_RDONLY)?);
    Ok(measure(1000, || {
        if let Ok(fd) = sys::open(c"/bin/tiny", libc::O_RDONLY) {
            sys::close(fd);
        }
    }))
}

fn create_unlink() -> Figure {
    let path = c"/tmp/bench.new";
    let once = || -> Result<(), isize> {
        sys::close(sys::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?);
        check(sys!(libc::SYS_unlink, path.as_ptr())).map(|_| ())
    };
    once()?;
    Ok(measure(300, || {
        let _ = once();
    }))
}

fn mkdir_rmdir() -> Figure {
    let path = c"/tmp/bench.dir";
    let once = || -> Result<(), isize> {
        check(sys!(libc::SYS_mkdir, path.as_ptr(), 0o755))?;
        check(sys!(libc::SYS_rmdir, path.as_ptr())).map(|_| ())
    };
    once()?;
    Ok(measure(300, || {
        let _ = once();
    }))
}

/// One rename within a directory of tmpfs.
fn rename() -> Figure {
    let (a, b) = (c"/tmp/bench.a", c"/tmp/bench.b");
    sys::close(sys::open(a, libc::O_RDWR | libc::O_CREAT)?);
    check(sys!(libc::SYS_rename, a.as_ptr(), b.as_ptr()))?;
    check(sys!(libc::SYS_rename, b.as_ptr(), a.as_ptr()))?;
    let figure = measure(300, || {
        sys!(libc::SYS_rename, a.as_ptr(), b.as_ptr());
        sys!(libc::SYS_rename, b.as_ptr(), a.as_ptr());
    }) / 2.0;
    sys!(libc::SYS_unlink, a.as_ptr());
    Ok(figure)
}

fn readdir_64() -> Figure {
    readdir(64)
}

fn readdir_1000() -> Figure {
    readdir(1000)
}

/// Reads a directory of so many entries from its start to its end.
fn readdir(entries: usize) -> Figure {
    let dir = "/tmp/bench.ls";
    std::fs::create_dir_all(dir).map_err(|e| -(e.raw_os_error().unwrap_or(5) as isize))?;
    for i in 0..entries {
        let _ = std::fs::write(format!("{dir}/entry{i}"), b"");
    }
    let fd = sys::open(c"/tmp/bench.ls", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut buf = vec![0u8; 32768];
    let at = buf.as_mut_ptr();
    let len = buf.len();
    check(sys!(libc::SYS_getdents64, fd, at, len))?;
    let figure = measure(50, || {
        sys!(libc::SYS_lseek, fd, 0, libc::SEEK_SET);
        while sys!(libc::SYS_getdents64, fd, at, len) > 0 {}
    });
    sys::close(fd);
    let _ = std::fs::remove_dir_all(dir);
    Ok(figure)
}

fn pread_4k() -> Figure {
    let mut buf = vec![0u8; 4096];
    let at = buf.as_mut_ptr();
    with_file(|fd| {
        measure(1000, || {
            sys!(libc::SYS_pread64, fd, at, 4096, 8192);
        })
    })
}

fn pwrite_4k() -> Figure {
    let buf = vec![7u8; 4096];
    with_file(|fd| {
        measure(1000, || {
            sys!(libc::SYS_pwrite64, fd, buf.as_ptr(), 4096, 8192);
        })
    })
}

/// 64 KB out of the page cache.
fn read_64k() -> Figure {
    let mut buf = vec![0u8; 65536];
    let at = buf.as_mut_ptr();
    with_file(|fd| {
        measure(64, || {
            sys!(libc::SYS_pread64, fd, at, 65536, 65536);
        })
    })
}

/// 64 KB over pages that are in the page cache.
fn write_64k() -> Figure {
    let buf = vec![7u8; 65536];
    with_file(|fd| {
        measure(64, || {
            sys!(libc::SYS_pwrite64, fd, buf.as_ptr(), 65536, 65536);
        })
    })
}

/// A page written beyond the end: allocated and filled. The file's truncation is in it, a 256th.
fn write_new() -> Figure {
    let buf = vec![7u8; 4096];
    with_file(|fd| {
        measure(4, || {
            sys!(libc::SYS_ftruncate, fd, 0);
            for page in 0..256 {
                sys!(libc::SYS_pwrite64, fd, buf.as_ptr(), 4096, page * 4096);
            }
        }) / 256.0
    })
}

/// A page is written and synchronised.
fn write_fsync() -> Figure {
    let buf = vec![7u8; 4096];
    with_file(|fd| {
        measure(20, || {
            sys!(libc::SYS_pwrite64, fd, buf.as_ptr(), 4096, 8192);
            sys!(libc::SYS_fsync, fd);
        })
    })
}

fn lseek() -> Figure {
    with_file(|fd| {
        measure(2000, || {
            sys!(libc::SYS_lseek, fd, 4096, libc::SEEK_SET);
        })
    })
}

fn dup_close() -> Figure {
    sys::close(check(sys!(libc::SYS_dup, 1))? as i32);
    Ok(measure(1000, || {
        sys::close(sys!(libc::SYS_dup, 1) as i32);
    }))
}

fn fcntl_getfl() -> Figure {
    check(sys!(libc::SYS_fcntl, 1, libc::F_GETFL, 0))?;
    Ok(measure(2000, || {
        sys!(libc::SYS_fcntl, 1, libc::F_GETFL, 0);
    }))
}

/// 64 read ends of pipes: none ready.
fn pipes() -> Result<Vec<(i32, i32)>, isize> {
    (0..64).map(|_| sys::pipe()).collect()
}

fn close_all(pipes: Vec<(i32, i32)>) {
    for (r, w) in pipes {
        sys::close(r);
        sys::close(w);
    }
}

fn poll_64() -> Figure {
    let pipes = pipes()?;
    let mut fds: Vec<_> = pipes.iter().map(|p| libc::pollfd { fd: p.0, events: libc::POLLIN, revents: 0 }).collect();
    let at = fds.as_mut_ptr();
    check(sys!(libc::SYS_poll, at, 64, 0))?;
    let figure = measure(200, || {
        sys!(libc::SYS_poll, at, 64, 0);
    });
    close_all(pipes);
    Ok(figure)
}

fn select_64() -> Figure {
    let pipes = pipes()?;
    let mut want = [0u64; 16];
    for (fd, _) in &pipes {
        want[*fd as usize / 64] |= 1 << (*fd as usize % 64);
    }
    let most = pipes.iter().map(|p| p.0).max().unwrap_or(0) + 1;
    let zero = [0i64; 2];
    let once = || {
        let mut set = want;
        sys!(libc::SYS_select, most, set.as_mut_ptr(), 0, 0, zero.as_ptr())
    };
    check(once())?;
    let figure = measure(200, || {
        once();
    });
    close_all(pipes);
    Ok(figure)
}

/// 64 watched descriptors, one of them ready, level-triggered.
fn epoll_64() -> Figure {
    let pipes = pipes()?;
    let ep = check(sys!(libc::SYS_epoll_create1, 0))? as i32;
    for (fd, _) in &pipes {
        let event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: *fd as u64 };
        check(sys!(libc::SYS_epoll_ctl, ep, libc::EPOLL_CTL_ADD, *fd, &raw const event))?;
    }
    sys::write1(pipes[40].1);
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
    let at = events.as_mut_ptr();
    if check(sys!(libc::SYS_epoll_wait, ep, at, 8, 0))? != 1 {
        return Err(-5);
    }
    let figure = measure(1000, || {
        sys!(libc::SYS_epoll_wait, ep, at, 8, 0);
    });
    sys::close(ep);
    close_all(pipes);
    Ok(figure)
}
