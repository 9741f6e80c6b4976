// SPDX-License-Identifier: GPL-2.0
//! `/proc/sys/fs/protected_*`: links and files in directories that everybody may write to.

use crate::util::{Outcome, child, exit_of, home};
use crate::{Test, c, eq, fails};

pub const TESTS: &[Test] = &[
    ("links.protected_symlinks", symlinks),
    ("links.protected_hardlinks", hardlinks),
    ("links.protected_regular", regular),
    ("links.protected_fifos", fifos),
];

/// Runs `body` with setting `name` at `value`, and puts it back.
fn with(name: &str, value: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    let path = format!("/proc/sys/fs/{name}");
    let old = crate::util::text(&path)?;
    std::fs::write(&path, value).map_err(|e| format!("{path}: {e}"))?;
    let result = body();
    std::fs::write(&path, old).map_err(|e| format!("{path}: {e}"))?;
    result
}

/// The errno of `call` as user 1000; 0 if it works.
fn as_user(call: impl FnOnce() -> i32) -> Result<i32, String> {
    exit_of(child(|| {
        // SAFETY: plain calls.
        unsafe {
            if libc::setresuid(1000, 1000, 1000) != 0 {
                return 99;
            }
        }
        if call() < 0 { crate::util::errno() } else { 0 }
    })?)
}

fn sticky() -> Outcome {
    home()?;
    c!(libc::chmod(c".".as_ptr(), 0o755));
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    c!(libc::chmod(c"d".as_ptr(), 0o1777));
    std::fs::write("f", b"x").map_err(|e| e.to_string())
}

fn open(name: &core::ffi::CStr, flags: i32) -> i32 {
    // SAFETY: a live string.
    unsafe { libc::open(name.as_ptr(), flags, 0o666) }
}

fn symlinks() -> Outcome {
    sticky()?;
    c!(libc::symlink(c"../f".as_ptr(), c"d/theirs".as_ptr()));
    c!(libc::lchown(c"d/theirs".as_ptr(), 2000, 2000));
    c!(libc::symlink(c"../f".as_ptr(), c"d/owners".as_ptr()));
    c!(libc::symlink(c"..".as_ptr(), c"d/dir".as_ptr()));
    c!(libc::lchown(c"d/dir".as_ptr(), 2000, 2000));
    let look = |name| as_user(|| open(name, libc::O_RDONLY));
    with("protected_symlinks", "0", || {
        eq!(look(c"d/theirs")?, 0);
        Ok(())
    })?;
    with("protected_symlinks", "1", || {
        eq!(look(c"d/theirs")?, libc::EACCES);
        eq!(look(c"d/owners")?, 0);
        // Only the end of a path is looked at.
        eq!(look(c"d/dir/f")?, 0);
        eq!(look(c"d/dir")?, libc::EACCES);
        // Root is no exception, but the link's owner is.
        eq!(open(c"d/theirs", libc::O_RDONLY), -1);
        // That is said before that no link is to be followed at all.
        let how = [0, 0, libc::RESOLVE_NO_SYMLINKS];
        for (name, error) in [(c"d/theirs", libc::EACCES), (c"d/owners", libc::ELOOP), (c"d/dir/f", libc::ELOOP)] {
            fails!(libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, name.as_ptr(), &how, 24), error);
        }
        c!(libc::chmod(c"d".as_ptr(), 0o777));
        eq!(look(c"d/theirs")?, 0);
        Ok(())
    })
}

fn hardlinks() -> Outcome {
    sticky()?;
    c!(libc::chmod(c"f".as_ptr(), 0o644));
    // SAFETY: live strings.
    let link = |to: &core::ffi::CStr| as_user(|| unsafe { libc::link(c"f".as_ptr(), to.as_ptr()) });
    with("protected_hardlinks", "0", || {
        eq!(link(c"d/a")?, 0);
        Ok(())
    })?;
    with("protected_hardlinks", "1", || {
        eq!(link(c"d/b")?, libc::EPERM);
        c!(libc::chmod(c"f".as_ptr(), 0o666));
        eq!(link(c"d/b")?, 0);
        c!(libc::chmod(c"f".as_ptr(), 0o4666));
        eq!(link(c"d/c")?, libc::EPERM);
        // That is said before that the directory cannot be written to, but after that the name is taken.
        eq!((link(c"c")?, link(c"d/a")?), (libc::EPERM, libc::EEXIST));
        c!(libc::chmod(c"f".as_ptr(), 0o666));
        eq!(link(c"c")?, libc::EACCES);
        Ok(())
    })
}

fn regular() -> Outcome {
    sticky()?;
    std::fs::write("d/f", b"x").map_err(|e| e.to_string())?;
    c!(libc::chmod(c"d/f".as_ptr(), 0o666));
    c!(libc::chown(c"d/f".as_ptr(), 2000, 2000));
    let flags = libc::O_RDWR | libc::O_CREAT;
    let make = || as_user(|| open(c"d/f", flags));
    with("protected_regular", "0", || {
        eq!(make()?, 0);
        Ok(())
    })?;
    with("protected_regular", "1", || {
        eq!(make()?, libc::EACCES);
        eq!(as_user(|| open(c"d/f", libc::O_RDWR))?, 0);
        c!(libc::chown(c"d/f".as_ptr(), 1000, 1000));
        eq!(make()?, 0);
        c!(libc::chown(c"d/f".as_ptr(), 0, 0));
        eq!(make()?, 0);
        c!(libc::chown(c"d/f".as_ptr(), 2000, 2000));
        c!(libc::chown(c"d".as_ptr(), 0, 1000));
        c!(libc::chmod(c"d".as_ptr(), 0o1775));
        eq!(make()?, 0);
        Ok(())
    })?;
    with("protected_regular", "2", || {
        eq!(make()?, libc::EACCES);
        Ok(())
    })
}

fn fifos() -> Outcome {
    sticky()?;
    c!(libc::mkfifo(c"d/p".as_ptr(), 0o666));
    c!(libc::chmod(c"d/p".as_ptr(), 0o666));
    c!(libc::chown(c"d/p".as_ptr(), 2000, 2000));
    let make = || as_user(|| open(c"d/p", libc::O_RDWR | libc::O_CREAT));
    with("protected_fifos", "0", || {
        eq!(make()?, 0);
        Ok(())
    })?;
    with("protected_fifos", "1", || {
        eq!(make()?, libc::EACCES);
        Ok(())
    })
}
