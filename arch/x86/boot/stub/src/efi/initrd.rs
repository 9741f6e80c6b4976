// SPDX-License-Identifier: GPL-2.0
//! The initrd of an EFI boot: from the loader, by the LoadFile2 protocol on `LINUX_EFI_INITRD_MEDIA_GUID`, else the files that
//! `initrd=` words of the command line name on the volume we came from. Called by `efi`.

use super::firmware::Firmware;
use core::ffi::c_void;
use core::mem;
use core::ptr::null_mut;
use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::{device_path, file, load_file2, simple_file_system};

/// Vendor media device path of the initrd, as Linux defines it, and its end node.
#[repr(C, packed)]
struct InitrdPath {
    vendor: device_path::Protocol,
    guid: [u8; 16],
    end: device_path::Protocol,
}

const INITRD_GUID: Guid =
    Guid::from_fields(0x5568_e427, 0x68fc, 0x4f3d, 0xac, 0x74, &[0xca, 0x55, 0x52, 0x31, 0xcc, 0x68]);

static INITRD_PATH: InitrdPath = InitrdPath {
    vendor: device_path::Protocol { r#type: device_path::TYPE_MEDIA, sub_type: 3, length: [20, 0] },
    guid: *INITRD_GUID.as_bytes(),
    end: device_path::Protocol { r#type: device_path::TYPE_END, sub_type: 0xff, length: [4, 0] },
};

/// Characters of a file name.
const MAX_NAME: usize = 256;
/// `initrd=` words that are followed.
const MAX_FILES: usize = 16;

/// Loads the initrd to memory that ends at or below `limit`. `Ok(None)` when there is none.
pub(crate) fn load(firmware: &Firmware, line: &[u8], limit: u64) -> Result<Option<&'static [u8]>, &'static str> {
    match from_loader(firmware, limit) {
        Some(found) => found.map(Some),
        None => from_files(firmware, line, limit),
    }
}

/// By LoadFile2. `None` when no loader offers an initrd.
fn from_loader(firmware: &Firmware, limit: u64) -> Option<Result<&'static [u8], &'static str>> {
    let mut guid = load_file2::PROTOCOL_GUID;
    let mut path = (&raw const INITRD_PATH).cast_mut().cast::<device_path::Protocol>();
    let mut handle: Handle = null_mut();
    let locate = firmware.services().locate_device_path;
    // SAFETY: Live boot services; the path is not written to.
    if unsafe { locate(&mut guid, &mut path, &mut handle) } != Status::SUCCESS {
        return None;
    }
    let protocol = firmware.protocol::<load_file2::Protocol>(handle, load_file2::PROTOCOL_GUID)?;
    let mut size = 0;
    // SAFETY: A live protocol; with no buffer it tells the size.
    let status = unsafe { ((*protocol).load_file)(protocol, path, false.into(), &mut size, null_mut()) };
    if status != Status::BUFFER_TOO_SMALL || size == 0 {
        return None;
    }
    let Some(memory) = firmware.pages(size.div_ceil(4096), limit) else {
        return Some(Err("no memory for the initrd"));
    };
    // SAFETY: The buffer has at least `size` bytes.
    let status = unsafe {
        ((*protocol).load_file)(protocol, path, false.into(), &mut size, memory.as_mut_ptr().cast::<c_void>())
    };
    Some(match memory.get(..size) {
        Some(initrd) if status == Status::SUCCESS => Ok(initrd),
        _ => Err("the loader's initrd cannot be read"),
    })
}

/// By name: all files one after the other, each at a multiple of 4 bytes as cpio wants it.
fn from_files(firmware: &Firmware, line: &[u8], limit: u64) -> Result<Option<&'static [u8]>, &'static str> {
    let names = || line.split(|b| *b == b' ').filter_map(|word| word.strip_prefix(b"initrd=")).take(MAX_FILES);
    if names().next().is_none() {
        return Ok(None);
    }
    let root = volume(firmware).ok_or("initrd=: the volume cannot be opened")?;
    let mut total = 0usize;
    for name in names() {
        total = (total + open(root, name)?.size()?).next_multiple_of(4);
    }
    if total == 0 {
        return Ok(None);
    }
    let memory = firmware.pages(total.div_ceil(4096), limit).ok_or("no memory for the initrd")?;
    let mut at = 0;
    for name in names() {
        let file = open(root, name)?;
        let size = file.size()?;
        file.read(memory.get_mut(at..at + size).ok_or("an initrd file grew")?)?;
        at = (at + size).next_multiple_of(4);
    }
    Ok(memory.get(..total))
}

/// The root directory of the volume that bzImage was loaded from.
fn volume(firmware: &Firmware) -> Option<*mut file::Protocol> {
    let device = firmware.loaded_image()?.device_handle;
    let system = firmware.protocol::<simple_file_system::Protocol>(device, simple_file_system::PROTOCOL_GUID)?;
    let mut root = null_mut();
    // SAFETY: A live protocol.
    let status = unsafe { ((*system).open_volume)(system, &mut root) };
    (status == Status::SUCCESS).then_some(root)
}

/// An open file, closed on drop.
struct File(*mut file::Protocol);

fn open(root: *mut file::Protocol, name: &[u8]) -> Result<File, &'static str> {
    let mut path = [0u16; MAX_NAME];
    if name.len() >= MAX_NAME {
        return Err("initrd=: the name is too long");
    }
    for (unit, byte) in path.iter_mut().zip(name) {
        *unit = u16::from(if *byte == b'/' { b'\\' } else { *byte });
    }
    let mut found = null_mut();
    // SAFETY: `root` is an open directory; the path ends with 0.
    let status = unsafe { ((*root).open)(root, &mut found, path.as_mut_ptr(), file::MODE_READ, 0) };
    if status == Status::SUCCESS { Ok(File(found)) } else { Err("initrd=: there is no such file") }
}

impl File {
    fn size(&self) -> Result<usize, &'static str> {
        let mut info = mem::MaybeUninit::<file::Info<MAX_NAME>>::zeroed();
        let mut size = size_of::<file::Info<MAX_NAME>>();
        let mut id = file::INFO_ID;
        // SAFETY: An open file; the buffer has this size. All zeroes is a valid `Info`.
        let (status, info) = unsafe {
            let status = ((*self.0).get_info)(self.0, &mut id, &mut size, info.as_mut_ptr().cast());
            (status, info.assume_init_ref())
        };
        if status != Status::SUCCESS {
            return Err("initrd=: the file has no size");
        }
        usize::try_from(info.file_size).map_err(|_| "initrd=: the file is too large")
    }

    fn read(&self, buffer: &mut [u8]) -> Result<(), &'static str> {
        let mut done = 0;
        while done < buffer.len() {
            // Some firmware fails on large reads.
            let rest = buffer.get_mut(done..).unwrap_or(&mut []);
            let mut size = rest.len().min(1 << 20);
            // SAFETY: An open file; the buffer has at least `size` bytes.
            let status = unsafe { ((*self.0).read)(self.0, &mut size, rest.as_mut_ptr().cast()) };
            if status != Status::SUCCESS || size == 0 {
                return Err("initrd=: the file cannot be read");
            }
            done += size;
        }
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: An open file, used no more.
        unsafe { ((*self.0).close)(self.0) };
    }
}
