// SPDX-License-Identifier: GPL-2.0
//! Parts of files in memory, and a file that bytes pass through to and from there.

use ext4_tests::sys::{self, File};

/// A part of the file in memory.
pub(crate) struct Mapped {
    at: *mut u8,
    length: usize,
}

impl Mapped {
    pub(crate) fn new(file: &File, start: u64, length: u64) -> sys::Result<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let at = unsafe {
            libc::mmap(core::ptr::null_mut(), length as usize, rights, libc::MAP_SHARED, file.0, start as i64)
        };
        if at == libc::MAP_FAILED { Err(sys::errno()) } else { Ok(Self { at: at.cast(), length: length as usize }) }
    }

    /// Gives bytes of the mapping to the file `memory`, or takes them from there, by system calls.
    pub(crate) fn pass(&self, memory: &File, offset: u64, length: usize, store: bool) -> sys::Result<usize> {
        assert!(offset as usize + length <= self.length);
        // SAFETY: inside the mapping; a fault there ends the call with an error.
        let done = unsafe {
            let at = self.at.add(offset as usize).cast();
            if store { libc::pread(memory.0, at, length, 0) } else { libc::pwrite(memory.0, at, length, 0) }
        };
        if done < 0 { Err(sys::errno()) } else { Ok(done as usize) }
    }

    /// msync(2).
    pub(crate) fn sync(&self) -> sys::Result<()> {
        // SAFETY: the mapping is ours.
        if unsafe { libc::msync(self.at.cast(), self.length, libc::MS_SYNC) } < 0 { Err(sys::errno()) } else { Ok(()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}

pub(crate) fn scratch() -> File {
    // SAFETY: a string with its NUL.
    let file = File(unsafe { libc::memfd_create(c"fsx".as_ptr(), 0) });
    assert!(file.0 >= 0, "memfd_create");
    file.truncate(1 << 20).expect("a scratch file");
    file
}
