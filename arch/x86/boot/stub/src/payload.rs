// SPDX-License-Identifier: GPL-2.0
//! The kernel inside bzImage: vmlinux's loadable segments as one flat image, plain or in LZ4's legacy frame (`lz4 -l`).
//! Called by `stub_main` and `efi`. No locks.

use core::slice;

/// What `mkbzimage.py` writes at offset 0x1c0 of the stub. All numbers in bytes.
#[repr(C)]
struct Params {
    magic: [u8; 4],
    /// Memory that the kernel takes from its start to `_end`.
    image_size: u32,
    /// Bytes of the flat image; the rest up to `image_size` is zero.
    file_size: u32,
    /// Memory from the kernel's start that nothing else may use while we run.
    init_size: u32,
    /// Memory that this stub takes.
    stub_size: u32,
    /// `startup_64` of the kernel, from its start.
    entry: u32,
    /// 0: plain, 1: LZ4 legacy frame.
    compression: u32,
    reserved: u32,
}

unsafe extern "C" {
    static stub_params: Params;
    static _payload: u8;
    static _payload_end: u8;
}

/// Bytes of memory that the kernel needs at its place.
pub(crate) fn image_size() -> usize {
    params().image_size as usize
}

fn params() -> &'static Params {
    // SAFETY: A constant of the stub, written before it was loaded.
    unsafe { &stub_params }
}

/// Puts the kernel at `dest` and returns the address of its 64-bit entry.
///
/// # Safety
/// `dest` is 2 MB aligned; [`image_size`] bytes from there on are writable memory that nobody uses, this stub included.
pub(crate) unsafe fn load(dest: usize) -> Result<usize, &'static str> {
    let params = params();
    let (start, end) = (&raw const _payload, &raw const _payload_end);
    // SAFETY: The linker script puts the payload between the symbols.
    let payload = unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) };
    // SAFETY: By the contract this memory is ours alone.
    let memory = unsafe { slice::from_raw_parts_mut(dest as *mut u8, params.image_size as usize) };
    let (file, bss) = memory.split_at_mut_checked(params.file_size as usize).ok_or("broken parameters")?;
    match params.compression {
        0 => file.copy_from_slice(payload.get(..file.len()).ok_or("the kernel is cut off")?),
        1 => boot_lz4::decompress_legacy(payload, file)?,
        _ => return Err("unknown compression"),
    }
    bss.fill(0);
    Ok(dest + params.entry as usize)
}
