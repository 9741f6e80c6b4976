// SPDX-License-Identifier: GPL-2.0
//! Deep directories, long paths, chains of symbolic links.

use crate::util::{Outcome, close, cstr, dir, errno_name, in_child, write};
use crate::{c, ck, eq, fails};

/// Goes down `depth` new directories from the current one.
fn dig(depth: usize) -> Outcome {
    for i in 0..depth {
        c!(libc::mkdir(c"d".as_ptr(), 0o755));
        ck!(unsafe { libc::chdir(c"d".as_ptr()) } == 0, "level {i}: {}", errno_name());
    }
    Ok(())
}

pub(super) fn deep_directories() -> Outcome {
    const DEPTH: usize = 10_000;
    in_child(|| {
        c!(libc::chdir(cstr(&dir()?).as_ptr()));
        dig(DEPTH)?;
        // Longer than any path: the C library may find it another way, the call says no, whatever the room.
        let mut buf = [0u8; 65536];
        for room in [10, 4096, buf.len()] {
            fails!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), room), libc::ENAMETOOLONG);
        }
        let own = c"/proc/self/cwd".as_ptr();
        fails!(libc::readlink(own, buf.as_mut_ptr().cast(), buf.len()), libc::ENAMETOOLONG);
        c!(libc::access(own, libc::F_OK));
        let up = "../".repeat(1000);
        c!(libc::access(cstr(&up).as_ptr(), libc::F_OK));
        let long = "../".repeat(1500);
        fails!(libc::access(cstr(&long).as_ptr(), libc::F_OK), libc::ENAMETOOLONG);
        // A directory cannot go below itself, however deep.
        c!(libc::chdir(cstr(&"../".repeat(1300)).as_ptr()));
        fails!(libc::rename(c"d".as_ptr(), cstr(&format!("{}y", "d/".repeat(1300))).as_ptr()), libc::EINVAL);
        c!(libc::chdir(cstr(&"d/".repeat(1300)).as_ptr()));
        let below = format!("{}x", "../".repeat(1300));
        c!(libc::mkdir(c"x".as_ptr(), 0o755));
        c!(libc::rename(c"x".as_ptr(), cstr(&below).as_ptr()));
        c!(libc::rmdir(cstr(&below).as_ptr()));
        for _ in 0..DEPTH {
            c!(libc::chdir(c"..".as_ptr()));
            c!(libc::rmdir(c"d".as_ptr()));
        }
        fails!(libc::access(c"d".as_ptr(), libc::F_OK), libc::ENOENT);
        Ok(())
    })
}

/// A deep tree goes away all at once.
pub(super) fn deep_tree_dropped() -> Outcome {
    in_child(|| {
        let at = cstr(&dir()?);
        c!(libc::mount(c"t".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, core::ptr::null()));
        c!(libc::chdir(at.as_ptr()));
        dig(10_000)?;
        let fd = c!(libc::open(c"file".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o644));
        c!(libc::umount2(at.as_ptr(), libc::MNT_DETACH));
        write(fd, b"still there")?;
        c!(libc::chdir(c"/".as_ptr()));
        close(fd);
        Ok(())
    })
}

pub(super) fn symlink_chain() -> Outcome {
    in_child(|| {
        c!(libc::chdir(cstr(&dir()?).as_ptr()));
        std::fs::write("0", "x").map_err(|e| e.to_string())?;
        for i in 1..=45 {
            c!(libc::symlink(cstr(&(i - 1).to_string()).as_ptr(), cstr(&i.to_string()).as_ptr()));
        }
        c!(libc::access(c"40".as_ptr(), libc::F_OK));
        fails!(libc::access(c"41".as_ptr(), libc::F_OK), libc::ELOOP);
        // Links inside a path count together, and texts may be long.
        let long = format!("{}0", "./".repeat(2000));
        c!(libc::symlink(cstr(&long).as_ptr(), c"long".as_ptr()));
        c!(libc::access(c"long".as_ptr(), libc::F_OK));
        c!(libc::symlink(c".".as_ptr(), c"here".as_ptr()));
        c!(libc::access(cstr(&format!("{}0", "here/".repeat(40))).as_ptr(), libc::F_OK));
        fails!(libc::access(cstr(&format!("{}0", "here/".repeat(41))).as_ptr(), libc::F_OK), libc::ELOOP);
        Ok(())
    })
}

/// Names of 255 bytes, paths of 4095, link texts of 4095; `getcwd` needs room for its NUL.
pub(super) fn long_names() -> Outcome {
    in_child(|| {
        c!(libc::chdir(cstr(&dir()?).as_ptr()));
        let (most, more) = ("n".repeat(255), "n".repeat(256));
        c!(libc::mkdir(cstr(&most).as_ptr(), 0o755));
        fails!(libc::mkdir(cstr(&more).as_ptr(), 0o755), libc::ENAMETOOLONG);
        fails!(libc::access(cstr(&format!("{more}/x")).as_ptr(), libc::F_OK), libc::ENAMETOOLONG);
        fails!(libc::rename(cstr(&most).as_ptr(), cstr(&more).as_ptr()), libc::ENAMETOOLONG);
        fails!(libc::symlink(c"x".as_ptr(), cstr(&more).as_ptr()), libc::ENAMETOOLONG);
        let path = |len: usize| cstr(&format!("{}{most}", "/".repeat(len - 255)));
        fails!(libc::access(path(4095).as_ptr(), libc::F_OK), libc::ENOENT);
        fails!(libc::access(path(4096).as_ptr(), libc::F_OK), libc::ENAMETOOLONG);
        c!(libc::symlink(cstr(&"t".repeat(4095)).as_ptr(), c"link".as_ptr()));
        fails!(libc::symlink(cstr(&"t".repeat(4096)).as_ptr(), c"link2".as_ptr()), libc::ENAMETOOLONG);
        fails!(libc::symlink(c"".as_ptr(), c"link2".as_ptr()), libc::ENOENT);
        // A name in it is too long.
        fails!(libc::access(c"link".as_ptr(), libc::F_OK), libc::ENAMETOOLONG);
        let mut buf = [0u8; 5000];
        eq!(c!(libc::readlink(c"link".as_ptr(), buf.as_mut_ptr().cast(), 5000)), 4095);
        c!(libc::rmdir(cstr(&most).as_ptr()));
        // Down until the path has 4095 bytes with its NUL: one level more is one too many.
        let getcwd = |buf: &mut [u8], room: usize| unsafe { libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), room) };
        let mut len = c!(getcwd(&mut buf, 5000)) as usize;
        while len + 256 <= 4096 {
            c!(libc::mkdir(cstr(&most).as_ptr(), 0o755));
            c!(libc::chdir(cstr(&most).as_ptr()));
            len += 256;
            eq!(c!(getcwd(&mut buf, 4096)) as usize, len);
        }
        let rest = "r".repeat((4096 - len).saturating_sub(1).max(1));
        c!(libc::mkdir(cstr(&rest).as_ptr(), 0o755));
        c!(libc::chdir(cstr(&rest).as_ptr()));
        len += rest.len() + 1;
        eq!(len, 4096);
        eq!(c!(getcwd(&mut buf, 4096)) as usize, 4096);
        fails!(getcwd(&mut buf, 4095), libc::ERANGE);
        fails!(getcwd(&mut buf, 0), libc::ERANGE);
        c!(libc::mkdir(c"s".as_ptr(), 0o755));
        c!(libc::chdir(c"s".as_ptr()));
        fails!(getcwd(&mut buf, 5000), libc::ENAMETOOLONG);
        fails!(getcwd(&mut buf, 0), libc::ENAMETOOLONG);
        Ok(())
    })
}
