// SPDX-License-Identifier: GPL-2.0
//! System calls whose errors are values (an errno), and a buffer fit for O_DIRECT.

use std::ffi::{CStr, CString};

/// An errno.
pub type Result<T> = core::result::Result<T, i32>;

/// The calling thread's errno.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn result(value: i64) -> Result<i64> {
    if value < 0 { Err(errno()) } else { Ok(value) }
}

/// A path for the kernel.
pub fn path(text: &str) -> CString {
    CString::new(text).expect("a path has no NUL")
}

/// An open file; closed when dropped.
pub struct File(pub i32);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.0) };
    }
}

impl File {
    /// open(2).
    pub fn open(name: &CStr, flags: i32, mode: u32) -> Result<Self> {
        // SAFETY: a string with its NUL.
        Ok(Self(result(unsafe { libc::open(name.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())? as i32))
    }

    /// pread(2).
    pub fn read(&self, data: &mut [u8], offset: u64) -> Result<usize> {
        // SAFETY: the buffer is as long as said.
        Ok(result(unsafe { libc::pread(self.0, data.as_mut_ptr().cast(), data.len(), offset as i64) } as i64)? as usize)
    }

    /// pwrite(2).
    pub fn write(&self, data: &[u8], offset: u64) -> Result<usize> {
        // SAFETY: as above.
        Ok(result(unsafe { libc::pwrite(self.0, data.as_ptr().cast(), data.len(), offset as i64) } as i64)? as usize)
    }

    /// ftruncate(2).
    pub fn truncate(&self, size: u64) -> Result<()> {
        // SAFETY: takes numbers.
        result(unsafe { libc::ftruncate(self.0, size as i64) }.into()).map(drop)
    }

    /// fallocate(2).
    pub fn fallocate(&self, mode: i32, offset: u64, length: u64) -> Result<()> {
        // SAFETY: takes numbers.
        result(unsafe { libc::fallocate(self.0, mode, offset as i64, length as i64) }.into()).map(drop)
    }

    /// fsync(2), or fdatasync(2).
    pub fn sync(&self, data_only: bool) -> Result<()> {
        // SAFETY: takes a number.
        result(unsafe { if data_only { libc::fdatasync(self.0) } else { libc::fsync(self.0) } }.into()).map(drop)
    }

    /// posix_fadvise(2) about the whole file.
    pub fn advise(&self, advice: i32) -> Result<()> {
        // SAFETY: takes numbers.
        match unsafe { libc::posix_fadvise(self.0, 0, 0, advice) } {
            0 => Ok(()),
            error => Err(error),
        }
    }

    /// posix_fadvise(2): the first `length` bytes will be read.
    pub fn will_need(&self, length: u64) {
        // SAFETY: takes numbers.
        unsafe { libc::posix_fadvise(self.0, 0, length as i64, libc::POSIX_FADV_WILLNEED) };
    }

    /// lseek(2).
    pub fn seek(&self, offset: u64, whence: i32) -> Result<u64> {
        // SAFETY: takes numbers.
        Ok(result(unsafe { libc::lseek(self.0, offset as i64, whence) })? as u64)
    }

    /// fstat(2).
    pub fn stat(&self) -> Result<libc::stat> {
        // SAFETY: zeroes are a value of the structure, which the call fills.
        unsafe {
            let mut st = core::mem::zeroed();
            result(libc::fstat(self.0, &mut st).into()).map(|_| st)
        }
    }

    /// An ioctl that takes a structure.
    ///
    /// # Safety
    /// `value` must be what `request` takes.
    pub unsafe fn ioctl<T: ?Sized>(&self, request: u64, value: *mut T) -> Result<()> {
        // SAFETY: the caller's.
        result(unsafe { libc::ioctl(self.0, request, value.cast::<u8>()) }.into()).map(drop)
    }
}

/// A call with one path.
macro_rules! by_path {
    ($($(#[$doc:meta])* $name:ident ($call:ident $(, $arg:ident: $type:ty)*);)*) => {$(
        $(#[$doc])*
        pub fn $name(name: &CStr $(, $arg: $type)*) -> Result<()> {
            // SAFETY: a string with its NUL, and numbers.
            result(unsafe { libc::$call(name.as_ptr() $(, $arg)*) }.into()).map(drop)
        }
    )*};
}

by_path! {
    /// mkdir(2).
    mkdir(mkdir, mode: u32);
    /// rmdir(2).
    rmdir(rmdir);
    /// unlink(2).
    unlink(unlink);
    /// truncate(2).
    truncate(truncate, size: i64);
    /// chmod(2).
    chmod(chmod, mode: u32);
    /// mknod(2).
    mknod(mknod, mode: u32, device: u64);
    /// umount2(2).
    umount(umount2, flags: i32);
}

/// A call with two paths.
macro_rules! by_paths {
    ($($(#[$doc:meta])* $name:ident ($call:ident);)*) => {$(
        $(#[$doc])*
        pub fn $name(from: &CStr, to: &CStr) -> Result<()> {
            // SAFETY: strings with their NULs.
            result(unsafe { libc::$call(from.as_ptr(), to.as_ptr()) }.into()).map(drop)
        }
    )*};
}

by_paths! {
    /// rename(2).
    rename(rename);
    /// link(2).
    link(link);
    /// symlink(2).
    symlink(symlink);
}

/// renameat2(2) with RENAME_EXCHANGE.
pub fn exchange(from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: strings with their NULs.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    result(done).map(drop)
}

/// lstat(2).
pub fn lstat(name: &CStr) -> Result<libc::stat> {
    // SAFETY: zeroes are a value of the structure, which the call fills.
    unsafe {
        let mut st = core::mem::zeroed();
        result(libc::lstat(name.as_ptr(), &mut st).into()).map(|_| st)
    }
}

/// What `call` puts into a buffer and gives the length of. Most is short; a long buffer costs much to fill with zeroes, here and in the
/// kernel, and is tried if the short one is full, or not enough.
fn filled(long: usize, mut call: impl FnMut(&mut [u8]) -> i64) -> Result<Vec<u8>> {
    let mut short = [0u8; 512];
    match result(call(&mut short)) {
        Ok(length) if (length as usize) < short.len() => return Ok(short[..length as usize].to_vec()),
        Err(errno) if errno != libc::ERANGE => return Err(errno),
        _ => {}
    }
    let mut data = vec![0u8; long];
    let length = result(call(&mut data))?;
    data.truncate(length as usize);
    Ok(data)
}

/// readlink(2).
pub fn readlink(name: &CStr) -> Result<Vec<u8>> {
    // SAFETY: the buffer is as long as said.
    filled(8192, |data| unsafe { libc::readlink(name.as_ptr(), data.as_mut_ptr().cast(), data.len()) } as i64)
}

/// lsetxattr(2).
pub fn set_xattr(name: &CStr, key: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: strings with their NULs, a buffer as long as said.
    result(unsafe { libc::lsetxattr(name.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) }.into())
        .map(drop)
}

/// lremovexattr(2).
pub fn remove_xattr(name: &CStr, key: &CStr) -> Result<()> {
    // SAFETY: strings with their NULs.
    result(unsafe { libc::lremovexattr(name.as_ptr(), key.as_ptr()) }.into()).map(drop)
}

/// lgetxattr(2).
pub fn get_xattr(name: &CStr, key: &CStr) -> Result<Vec<u8>> {
    // SAFETY: a buffer as long as said.
    filled(65536, |data| unsafe {
        libc::lgetxattr(name.as_ptr(), key.as_ptr(), data.as_mut_ptr().cast(), data.len()) as i64
    })
}

/// llistxattr(2): the names, sorted.
pub fn list_xattrs(name: &CStr) -> Result<Vec<CString>> {
    // SAFETY: a buffer as long as said.
    let data =
        filled(65536, |data| unsafe { libc::llistxattr(name.as_ptr(), data.as_mut_ptr().cast(), data.len()) } as i64)?;
    let mut names: Vec<CString> =
        data.split(|byte| *byte == 0).filter(|key| !key.is_empty()).filter_map(|key| CString::new(key).ok()).collect();
    names.sort();
    Ok(names)
}

/// The entries of a directory but for `.` and `..`, at most `most`: names and whether there were more.
pub fn list(name: &CStr, most: usize) -> Result<(Vec<CString>, bool)> {
    let dir = File::open(name, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let (mut names, mut data) = (Vec::new(), vec![0u8; 32768]);
    loop {
        // SAFETY: a buffer as long as said.
        let length =
            result(unsafe { libc::syscall(libc::SYS_getdents64, dir.0, data.as_mut_ptr(), data.len()) })? as usize;
        if length == 0 {
            return Ok((names, false));
        }
        let mut at = 0;
        while at + 19 < length {
            let size = usize::from(u16::from_le_bytes([data[at + 16], data[at + 17]]));
            let text = &data[at + 19..at + size];
            let text = text.split(|byte| *byte == 0).next().unwrap_or(b"");
            if text != b"." && text != b".." {
                if names.len() == most {
                    return Ok((names, true));
                }
                names.extend(CString::new(text));
            }
            at += size;
        }
    }
}

/// mount(2).
pub fn mount(device: &CStr, place: &CStr, kind: &CStr, flags: u64, options: &CStr) -> Result<()> {
    // SAFETY: strings with their NULs.
    let done = unsafe { libc::mount(device.as_ptr(), place.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    result(done.into()).map(drop)
}

/// The kernel's log since the last call, which is cleared.
pub fn klog() -> String {
    let mut data = vec![0u8; 1 << 18];
    // SAFETY: a buffer as long as said. 4 is SYSLOG_ACTION_READ_CLEAR.
    let length = unsafe { libc::klogctl(4, data.as_mut_ptr().cast(), data.len() as i32) };
    data.truncate(length.max(0) as usize);
    String::from_utf8_lossy(&data).into_owned()
}

/// Memory that starts at a page: what O_DIRECT takes.
pub struct Pages {
    at: *mut u8,
    length: usize,
}

// SAFETY: plain memory that this value owns.
unsafe impl Send for Pages {}

impl Pages {
    /// `length` zeroes.
    pub fn new(length: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory.
        let at = unsafe { libc::mmap(core::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        assert!(at != libc::MAP_FAILED, "no memory");
        Self { at: at.cast(), length }
    }
}

impl core::ops::Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is so long, and ours.
        unsafe { core::slice::from_raw_parts(self.at, self.length) }
    }
}

impl core::ops::DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(self.at, self.length) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}

/// One run of FIEMAP: where in the file, where on the disk, how long, flags.
pub type Run = (u64, u64, u64, u32);

/// FS_IOC_FIEMAP: at most `most` runs. `flags`: 1 writes back first, 2 asks for the attributes' place.
pub fn fiemap(file: &File, flags: u32, most: usize) -> Result<Vec<Run>> {
    // Most files have few: no long buffer for them.
    const FEW: usize = 8;
    if most > FEW {
        let runs = fiemap(file, flags, FEW)?;
        if runs.len() < FEW {
            return Ok(runs);
        }
    }
    let (mut short, mut long);
    let data: &mut [u64] = if most > FEW {
        long = vec![0; 4 + most * 7];
        &mut long
    } else {
        short = [0; 4 + FEW * 7];
        &mut short
    };
    data[1] = u64::MAX;
    data[2] = u64::from(flags);
    data[3] = most as u64;
    // SAFETY: the buffer has room for so many runs.
    unsafe { file.ioctl(0xc020_660b, data.as_mut_ptr())? };
    let found = (data[2] >> 32) as usize;
    Ok(data[4..].chunks(7).take(found.min(most)).map(|run| (run[0], run[1], run[2], run[5] as u32)).collect())
}

/// The file's flags (lsattr) and project, by FS_IOC_FSGETXATTR: (flags, project).
pub fn file_attributes(file: &File) -> Result<(u32, u32)> {
    let mut data = [0u32; 7];
    // SAFETY: the structure has 28 bytes.
    unsafe { file.ioctl(0x801c_581f, data.as_mut_ptr())? };
    Ok((data[0], data[3]))
}
