// SPDX-License-Identifier: GPL-2.0
//! File handles: `name_to_handle_at` and `open_by_handle_at`.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("handles.size", size),
    ("handles.open", open_again),
    ("handles.directory", directory),
    ("handles.gone", gone),
    ("handles.refused", refused),
];

const HEAD: usize = 8;
const INVALID: i32 = 0xff;

/// `struct file_handle` with as much room as there can be.
#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

impl Handle {
    fn new(room: u32) -> Self {
        Self { bytes: room, kind: -7, data: [0; 128] }
    }
}

fn encode(dir: i32, name: &str, handle: &mut Handle, mount: &mut i32, flags: i32) -> i64 {
    let name = cstr(name);
    // SAFETY: live objects.
    unsafe {
        libc::syscall(libc::SYS_name_to_handle_at, dir, name.as_ptr(), handle as *mut Handle, mount as *mut i32, flags)
    }
}

fn decode(mount: i32, handle: &Handle, flags: i32) -> i64 {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount, handle as *const Handle, flags) }
}

fn of(path: &str) -> Result<Handle, String> {
    let (mut handle, mut mount) = (Handle::new(128), 0);
    c!(encode(libc::AT_FDCWD, path, &mut handle, &mut mount, 0));
    Ok(handle)
}

fn make(name: &str, text: &str) -> Result<String, String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
}

fn name_of_fd(fd: i32) -> Result<String, String> {
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

fn mount_fd() -> Result<i32, String> {
    open(&dir()?, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn size() -> Outcome {
    let path = make("f", "text")?;
    let (mut handle, mut mount) = (Handle::new(0), -1);
    fails!(encode(libc::AT_FDCWD, &path, &mut handle, &mut mount, 0), libc::EOVERFLOW);
    let needed = handle.bytes;
    ck!(needed > 0 && needed <= 128, "{needed}");
    eq!(handle.kind, INVALID);
    ck!(handle.data.iter().all(|&b| b == 0));
    // The mount's number is told all the same.
    let mounts = text("/proc/self/mountinfo")?;
    ck!(mounts.lines().any(|line| line.starts_with(&format!("{mount} "))), "{mount}");
    let mut handle = Handle::new(needed - 1);
    fails!(encode(libc::AT_FDCWD, &path, &mut handle, &mut mount, 0), libc::EOVERFLOW);
    eq!(handle.bytes, needed);
    let mut handle = Handle::new(needed);
    eq!(encode(libc::AT_FDCWD, &path, &mut handle, &mut mount, 0), 0);
    eq!(handle.bytes, needed);
    ck!(handle.kind > 0 && handle.kind != INVALID);
    // The same file, the same handle; through a descriptor, too.
    let again = of(&path)?;
    eq!((again.kind, again.data), (handle.kind, handle.data));
    let fd = open(&path, libc::O_PATH)?;
    let mut empty = Handle::new(128);
    c!(encode(fd, "", &mut empty, &mut mount, libc::AT_EMPTY_PATH));
    eq!(empty.data, handle.data);
    fails!(encode(fd, "", &mut empty, &mut mount, 0), libc::ENOENT);
    // Links are not followed unless that is asked for.
    let link = format!("{}/link", dir()?);
    std::os::unix::fs::symlink("f", &link).map_err(|e| e.to_string())?;
    ck!(of(&link)?.data != handle.data);
    let mut followed = Handle::new(128);
    c!(encode(libc::AT_FDCWD, &link, &mut followed, &mut mount, libc::AT_SYMLINK_FOLLOW));
    eq!(followed.data, handle.data);
    Ok(())
}

fn open_again() -> Outcome {
    let path = make("f", "text")?;
    let handle = of(&path)?;
    let mount = mount_fd()?;
    let fd = c!(decode(mount, &handle, libc::O_RDWR)) as i32;
    eq!(read(fd, 9)?, b"text");
    eq!(name_of_fd(fd)?, path);
    // It stays the same file under another name, and with more of them.
    let other = format!("{}/other", dir()?);
    std::fs::rename(&path, &other).map_err(|e| e.to_string())?;
    let fd = c!(decode(mount, &handle, libc::O_RDONLY | libc::O_CLOEXEC)) as i32;
    eq!(name_of_fd(fd)?, other);
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    std::fs::hard_link(&other, &path).map_err(|e| e.to_string())?;
    std::fs::remove_file(&other).map_err(|e| e.to_string())?;
    let fd = c!(decode(mount, &handle, libc::O_RDONLY)) as i32;
    eq!(read(fd, 9)?, b"text");
    // What the flags ask for counts.
    fails!(decode(mount, &handle, libc::O_RDONLY | libc::O_DIRECTORY), libc::ENOTDIR);
    fails!(decode(mount, &handle, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL), libc::EEXIST);
    let fd = c!(decode(mount, &handle, libc::O_RDWR | libc::O_TRUNC)) as i32;
    eq!(read(fd, 9)?, b"");
    Ok(())
}

fn directory() -> Outcome {
    let path = format!("{}/d/e", dir()?);
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let handle = of(&path)?;
    let mount = mount_fd()?;
    let fd = c!(decode(mount, &handle, libc::O_RDONLY | libc::O_DIRECTORY)) as i32;
    eq!(name_of_fd(fd)?, path);
    make("d/e/f", "inside")?;
    let inner = c!(libc::openat(fd, c"f".as_ptr(), libc::O_RDONLY));
    eq!(read(inner, 9)?, b"inside");
    let up = c!(libc::openat(fd, c"..".as_ptr(), libc::O_PATH));
    eq!(name_of_fd(up)?, format!("{}/d", dir()?));
    for fd in [fd, inner, up] {
        close(fd);
    }
    // It is found again when nobody remembers its name.
    std::fs::write("/proc/sys/vm/drop_caches", "2").map_err(|e| e.to_string())?;
    let fd = c!(decode(mount, &handle, libc::O_RDONLY | libc::O_DIRECTORY)) as i32;
    eq!(name_of_fd(fd)?, path);
    fails!(decode(mount, &handle, libc::O_RDWR), libc::EISDIR);
    fails!(decode(mount, &handle, libc::O_RDONLY | libc::O_CREAT), libc::EISDIR);
    Ok(())
}

fn gone() -> Outcome {
    let path = make("f", "text")?;
    let handle = of(&path)?;
    let mount = mount_fd()?;
    let kept = open(&path, libc::O_RDONLY)?;
    std::fs::remove_file(&path).map_err(|e| e.to_string())?;
    // As long as somebody has it open it is there.
    let fd = c!(decode(mount, &handle, libc::O_RDONLY)) as i32;
    eq!(read(fd, 9)?, b"text");
    close(fd);
    close(kept);
    // The last reference may go a moment later.
    until("the handle is stale", || decode(mount, &handle, libc::O_RDONLY) == -1 && errno() == libc::ESTALE)?;
    let mut wrong = handle.clone();
    wrong.data[..4].copy_from_slice(b"oops");
    fails!(decode(mount, &wrong, libc::O_RDONLY), libc::ESTALE);
    wrong.bytes = 4;
    fails!(decode(mount, &wrong, libc::O_RDONLY), libc::ESTALE);
    Ok(())
}

fn refused() -> Outcome {
    let path = make("f", "text")?;
    let mut handle = of(&path)?;
    let mut mount = 0;
    fails!(encode(libc::AT_FDCWD, &path, &mut handle, &mut mount, libc::AT_SYMLINK_NOFOLLOW), libc::EINVAL);
    fails!(encode(libc::AT_FDCWD, "/proc/self/status", &mut handle, &mut mount, 0), libc::EOPNOTSUPP);
    let mut large = Handle::new(129);
    fails!(encode(libc::AT_FDCWD, &path, &mut large, &mut mount, 0), libc::EINVAL);
    let at = mount_fd()?;
    large.bytes = 0;
    fails!(decode(at, &large, libc::O_RDONLY), libc::EINVAL);
    large.bytes = 129;
    fails!(decode(at, &large, libc::O_RDONLY), libc::EINVAL);
    fails!(decode(-1, &handle, libc::O_RDONLY), libc::EBADF);
    let named = open(&dir()?, libc::O_PATH)?;
    fails!(decode(named, &handle, libc::O_RDONLY), libc::EBADF);
    // SAFETY: a bad address is the point.
    fails!(
        libc::syscall(libc::SYS_open_by_handle_at, at, core::ptr::without_provenance::<u8>(HEAD), libc::O_RDONLY),
        libc::EFAULT
    );
    in_child(|| {
        c!(libc::setresuid(4321, 4321, 4321));
        fails!(decode(at, &handle, libc::O_RDONLY), libc::EPERM);
        let mut mount = 0;
        c!(encode(libc::AT_FDCWD, &path, &mut Handle::new(128), &mut mount, 0));
        Ok(())
    })
}
