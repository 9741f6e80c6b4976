// SPDX-License-Identifier: GPL-2.0
//! Files that devices load: `kernel::firmware`. They are looked for in the directory that the parameter `firmware_class.path` would name in
//! Linux (there is no such parameter here), in `/lib/firmware/updates`, and in `/lib/firmware`, each time in the directory of
//! the kernel's release first. They are read as they are: compressed ones are not looked for, and no program is asked for one
//! that is missing, as in a Linux without `FW_LOADER_COMPRESS` and `FW_LOADER_USER_HELPER`.
//!
//! ```no_run
//! use kernel::device::Device;
//! use kernel::firmware::Firmware;
//!
//! fn version(dev: &Device) -> Result<u8> {
//!     let firmware = Firmware::request(c"vendor/chip.bin", dev)?;
//!     firmware.data().first().copied().ok_or(EINVAL)
//! }
//! ```

use crate::alloc::flags::GFP_KERNEL;
use crate::alloc::{KVVec, KVec};
use crate::device::Device;
use crate::error::{Result, code::*};
use crate::str::CStr;
use core::ffi::c_int;
use kalloc::Arc;
use vfs::namei::kernel::kernel_open_real;
use vfs::namei::{PathName, Walker, lflag};
use vfs::{File, kernel_read, mnt_ns};

/// The places, with the release's directory in front of each.
const PLACES: [&str; 2] = ["/lib/firmware/updates", "/lib/firmware"];

/// A file that was loaded.
pub struct Firmware {
    data: KVVec<u8>,
}

impl Firmware {
    /// Loads the file `name`. `EINVAL` for an empty name, one with a component `..`, or an empty file; `ENOENT`, `EFBIG`, `ENOMEM`,
    /// and what reading gives; then a message says so. May sleep.
    pub fn request(name: &CStr, dev: &Device) -> Result<Self> {
        Self::load(name, dev).inspect_err(|error| complain(name, dev, error.to_errno()))
    }

    /// As [`Self::request`], without the message.
    pub fn request_nowarn(name: &CStr, dev: &Device) -> Result<Self> {
        Self::load(name, dev)
    }

    fn load(name: &CStr, dev: &Device) -> Result<Self> {
        first_of(name, dev, |file, size| {
            let mut data = KVVec::from_elem(0, size, GFP_KERNEL)?;
            if kernel_read(file, 0, &mut data)? != size {
                return Err(EIO);
            }
            Ok(Self { data })
        })
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Loads the file `name` into the start of `buf`, the rest of which stays as it is. `EFBIG` if it is too large; else as
/// [`Firmware::request`].
pub fn request_into_buf(name: &CStr, dev: &Device, buf: &mut [u8]) -> Result {
    let load = |file: &File, size| {
        let part = buf.get_mut(..size).ok_or(EFBIG)?;
        if kernel_read(file, 0, part)? != size {
            return Err(EIO);
        }
        Ok(())
    };
    first_of(name, dev, load).inspect_err(|error| complain(name, dev, error.to_errno()))
}

fn complain(name: &CStr, dev: &Device, error: c_int) {
    crate::dev_warn!(dev, "Direct firmware load for {} failed with error {}\n", name, error);
}

/// What `load` makes of the file `name` in the first place where that succeeds.
fn first_of<R>(name: &CStr, dev: &Device, mut load: impl FnMut(&File, usize) -> Result<R>) -> Result<R> {
    let bytes = name.to_bytes();
    if bytes.is_empty() {
        return Err(EINVAL);
    }
    if bytes.split(|&byte| byte == b'/').any(|component| component == b"..") {
        crate::dev_warn!(dev, "Firmware load for '{}' refused, path contains '..' component\n", name);
        return Err(EINVAL);
    }
    let mut last = ENOENT;
    for place in PLACES {
        for release in [uapi::UTS_RELEASE, ""] {
            let path = path_of(place, release, bytes)?;
            match open(&path).and_then(|(file, size)| load(&file, size)) {
                Ok(loaded) => return Ok(loaded),
                Err(error) => {
                    if error != ENOENT {
                        let path = crate::str::BStr::from_bytes(&path);
                        crate::dev_warn!(dev, "loading {} failed with error {}\n", path, error.to_errno());
                    }
                    last = error;
                }
            }
        }
    }
    Err(last)
}

/// `place/release/name`. `ENAMETOOLONG`, `ENOMEM`.
fn path_of(place: &str, release: &str, name: &[u8]) -> Result<KVec<u8>> {
    let mut path = KVec::new();
    for part in [place.as_bytes(), release.as_bytes(), name] {
        if !path.is_empty() && !part.is_empty() {
            path.push(b'/', GFP_KERNEL)?;
        }
        path.extend_from_slice(part, GFP_KERNEL)?;
    }
    if path.len() >= uapi::PATH_MAX as usize {
        return Err(ENAMETOOLONG);
    }
    Ok(path)
}

/// A regular file of the first name space, by its root: whoever asks may see other files. Its size: not 0, and below 2 GB.
fn open(path: &[u8]) -> Result<(Arc<File>, usize)> {
    let root = mnt_ns::first().ok_or(ENOENT)?.root();
    let name = PathName::from_bytes(path)?;
    let place = Walker::in_root(&root, &name, lflag::FOLLOW).run(|place| Ok(place.to_path()))?;
    let inode = place.dentry.inode().ok_or(ENOENT)?;
    if !inode.is_reg() {
        return Err(EINVAL);
    }
    let file = kernel_open_real(place, uapi::O_RDONLY)?;
    match usize::try_from(file.inode().size())? {
        0 => Err(EINVAL),
        size if size > c_int::MAX as usize => Err(EFBIG),
        size => Ok((file, size)),
    }
}

/// The text of a module's `.modinfo` that says which files it loads; made twice, first with `N = 0` for its length.
pub struct ModInfoBuilder<const N: usize> {
    text: [u8; N],
    len: usize,
    module: &'static CStr,
}

impl<const N: usize> ModInfoBuilder<N> {
    /// An empty text. `module_name` is empty in a module, else the name of the part of the image.
    pub const fn new(module_name: &'static CStr) -> Self {
        Self { text: [0; N], len: 0, module: module_name }
    }

    const fn add(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            if N != 0 {
                self.text[self.len] = bytes[at];
            }
            self.len += 1;
            at += 1;
        }
        self
    }

    /// Goes on with the entry.
    pub const fn push(self, text: &str) -> Self {
        assert!(self.len != 0, "`new_entry` comes first");
        self.add(text.as_bytes())
    }

    /// Begins an entry.
    pub const fn new_entry(self) -> Self {
        let module = self.module.to_bytes();
        let mut this = if self.len == 0 { self } else { self.add(b"\0") };
        if !module.is_empty() {
            this = this.add(module).add(b".");
        }
        this.add(b"firmware=")
    }

    /// The text.
    pub const fn build(self) -> [u8; N] {
        let this = self.add(b"\0");
        assert!(this.len == N, "the length is that of another text");
        this.text
    }
}

impl ModInfoBuilder<0> {
    /// How long it is.
    pub const fn build_length(self) -> usize {
        self.len + 1
    }
}

/// Says which files the module loads: `module_firmware!(Builder)`, where `Builder::<N>::create(module_name)` is a constant function
/// that gives a [`ModInfoBuilder<N>`](crate::firmware::ModInfoBuilder).
#[macro_export]
macro_rules! module_firmware {
    ($($builder:tt)*) => {
        const _: () = {
            const PREFIX: &'static $crate::str::CStr =
                if ::core::cfg!(MODULE) { c"" } else { <LocalModule as $crate::ModuleMetadata>::NAME };

            #[unsafe(link_section = ".modinfo")]
            #[used]
            static FIRMWARE: [u8; $($builder)*::create(PREFIX).build_length()] = $($builder)*::create(PREFIX).build();
        };
    };
}
