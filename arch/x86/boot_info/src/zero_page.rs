// SPDX-License-Identifier: GPL-2.0
//! Linux's `boot_params` ("zero page") and its `setup_data` list, read into a [`BootInfo`]. Called by `x86_head`; the
//! offsets are shared with the bzImage stub, which writes the page. Source: Documentation/arch/x86/{boot,zero-page}.rst. No locks.

use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::{BootInfo, ColorField, EfiInfo, Framebuffer, MemKind, PhysRead, Protocol, Screen, VgaText};

/// Bytes of the page.
pub const SIZE: usize = 4096;

/// Offsets of the fields (names are Linux's).
pub mod offset {
    #![allow(missing_docs)] // The names are those of the specification.
    pub const ORIG_X: usize = 0x00;
    pub const ORIG_Y: usize = 0x01;
    pub const ORIG_VIDEO_MODE: usize = 0x06;
    pub const ORIG_VIDEO_COLS: usize = 0x07;
    pub const ORIG_VIDEO_LINES: usize = 0x0e;
    pub const ORIG_VIDEO_IS_VGA: usize = 0x0f;
    pub const ORIG_VIDEO_POINTS: usize = 0x10;
    pub const LFB_WIDTH: usize = 0x12;
    pub const LFB_HEIGHT: usize = 0x14;
    pub const LFB_DEPTH: usize = 0x16;
    pub const LFB_BASE: usize = 0x18;
    pub const LFB_SIZE: usize = 0x1c;
    pub const LFB_LINELENGTH: usize = 0x24;
    pub const COLORS: usize = 0x26;
    pub const CAPABILITIES: usize = 0x36;
    pub const EXT_LFB_BASE: usize = 0x3a;
    pub const ACPI_RSDP_ADDR: usize = 0x70;
    pub const EXT_RAMDISK_IMAGE: usize = 0xc0;
    pub const EXT_RAMDISK_SIZE: usize = 0xc4;
    pub const EXT_CMD_LINE_PTR: usize = 0xc8;
    pub const EFI_SIGNATURE: usize = 0x1c0;
    pub const EFI_SYSTAB: usize = 0x1c4;
    pub const EFI_MEMDESC_SIZE: usize = 0x1c8;
    pub const EFI_MEMDESC_VERSION: usize = 0x1cc;
    pub const EFI_MEMMAP: usize = 0x1d0;
    pub const EFI_MEMMAP_SIZE: usize = 0x1d4;
    pub const EFI_SYSTAB_HI: usize = 0x1d8;
    pub const EFI_MEMMAP_HI: usize = 0x1dc;
    /// Free for use between setup code and kernel: our bzImage says here which entry it was started by.
    pub const SCRATCH: usize = 0x1e4;
    pub const E820_ENTRIES: usize = 0x1e8;
    pub const SECURE_BOOT: usize = 0x1ec;
    pub const SENTINEL: usize = 0x1ef;
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const VID_MODE: usize = 0x1fa;
    pub const BOOT_FLAG: usize = 0x1fe;
    pub const HEADER: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const CODE32_START: usize = 0x214;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const EXT_LOADER_VER: usize = 0x226;
    pub const EXT_LOADER_TYPE: usize = 0x227;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const SETUP_DATA: usize = 0x250;
    pub const INIT_SIZE: usize = 0x260;
    pub const E820_TABLE: usize = 0x2d0;
}

/// Entries of `e820_table`.
pub const E820_MAX: usize = 128;
/// Bytes of one entry: `u64 addr, u64 size, u32 type`.
pub const E820_ENTRY: usize = 20;
/// "HdrS".
pub const HDRS: u32 = 0x5372_6448;
/// `orig_video_isVGA` of a VESA framebuffer.
pub const VIDEO_TYPE_VLFB: u8 = 0x23;
/// `orig_video_isVGA` of an EFI framebuffer.
pub const VIDEO_TYPE_EFI: u8 = 0x70;
/// `capabilities`: `ext_lfb_base` holds the high half.
pub const VIDEO_CAPABILITY_64BIT_BASE: u32 = 1 << 1;
/// EFI loader signature, 64-bit firmware ("EL64").
pub const EFI64_SIGNATURE: u32 = 0x3436_4c45;
/// EFI loader signature, 32-bit firmware ("EL32").
pub const EFI32_SIGNATURE: u32 = 0x3233_4c45;
/// `scratch` as our 16-bit setup code leaves it ("RD16").
pub const SCRATCH_16: u32 = 0x3631_4452;
/// `scratch` as our 32-bit entry leaves it ("RD32").
pub const SCRATCH_32: u32 = 0x3233_4452;
/// `scratch` as our EFI application leaves it ("RDEF").
pub const SCRATCH_EFI: u32 = 0x4645_4452;

/// `setup_data` with more E820 entries.
pub const SETUP_E820_EXT: u32 = 1;
/// `setup_data` with a random seed.
pub const SETUP_RNG_SEED: u32 = 9;
/// Nodes of the `setup_data` list that are followed (a loop ends here).
const MAX_SETUP_DATA: usize = 64;

/// Fills `info` from the zero page. `mem` reads what the page points to. Returns `false`, with what could be had filled in,
/// when the page is shorter than [`SIZE`].
pub fn parse(info: &mut BootInfo, page: &[u8], mem: &dyn PhysRead) -> bool {
    parse_fields(info, page, mem).is_some()
}

fn parse_fields(info: &mut BootInfo, page: &[u8], mem: &dyn PhysRead) -> Option<()> {
    use offset::*;
    info.protocol = match u32_at(page, SCRATCH)? {
        SCRATCH_16 => Protocol::Linux16,
        SCRATCH_32 => Protocol::Linux32,
        SCRATCH_EFI => Protocol::Efi,
        _ => Protocol::Linux64,
    };
    // A loader that did not clear the page leaves the sentinel set: newer fields are then rubbish.
    let clean = u8_at(page, SENTINEL)? == 0;
    let high = |at| if clean { u32_at(page, at) } else { Some(0) };
    memory(info, page)?;
    info.efi = efi(page)?;
    if let Some(rsdp) = u64_at(page, ACPI_RSDP_ADDR)
        && clean
        && rsdp != 0
    {
        info.rsdp = Some(rsdp);
    }
    info.screen = screen(page)?;
    info.secure_boot = u8_at(page, SECURE_BOOT)?;
    loader(info, page)?;
    setup_data(info, u64_at(page, SETUP_DATA)?, mem);
    info.memory.sanitize();
    let initrd = join(u32_at(page, RAMDISK_IMAGE)?, high(EXT_RAMDISK_IMAGE)?);
    let initrd_len = join(u32_at(page, RAMDISK_SIZE)?, high(EXT_RAMDISK_SIZE)?);
    if initrd != 0 {
        info.push_initrd(initrd, initrd_len);
    }
    info.read_cmdline(mem, join(u32_at(page, CMD_LINE_PTR)?, high(EXT_CMD_LINE_PTR)?));
    (page.len() >= SIZE).then_some(())
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn memory(info: &mut BootInfo, page: &[u8]) -> Option<()> {
    let count = usize::from(u8_at(page, offset::E820_ENTRIES)?).min(E820_MAX);
    for entry in page.get(offset::E820_TABLE..)?.chunks_exact(E820_ENTRY).take(count) {
        e820(info, entry)?;
    }
    Some(())
}

fn e820(info: &mut BootInfo, entry: &[u8]) -> Option<()> {
    let kind = MemKind::from_e820(u32_at(entry, 16)?);
    info.memory.push(u64_at(entry, 0)?, u64_at(entry, 8)?, kind);
    Some(())
}

fn efi(page: &[u8]) -> Option<Option<EfiInfo>> {
    use offset::*;
    let is_64 = match u32_at(page, EFI_SIGNATURE)? {
        EFI64_SIGNATURE => true,
        EFI32_SIGNATURE => false,
        _ => return Some(None),
    };
    Some(Some(EfiInfo {
        system_table: join(u32_at(page, EFI_SYSTAB)?, u32_at(page, EFI_SYSTAB_HI)?),
        memmap: join(u32_at(page, EFI_MEMMAP)?, u32_at(page, EFI_MEMMAP_HI)?),
        memmap_size: u32_at(page, EFI_MEMMAP_SIZE)?,
        desc_size: u32_at(page, EFI_MEMDESC_SIZE)?,
        desc_version: u32_at(page, EFI_MEMDESC_VERSION)?,
        is_64,
    }))
}

fn screen(page: &[u8]) -> Option<Screen> {
    use offset::*;
    let kind = u8_at(page, ORIG_VIDEO_IS_VGA)?;
    if kind == VIDEO_TYPE_VLFB || kind == VIDEO_TYPE_EFI {
        return framebuffer(page, kind == VIDEO_TYPE_EFI);
    }
    let (cols, rows) = (u8_at(page, ORIG_VIDEO_COLS)?, u8_at(page, ORIG_VIDEO_LINES)?);
    if kind == 0 || cols == 0 || rows == 0 {
        return Some(Screen::None);
    }
    Some(Screen::Text(VgaText {
        cols,
        rows,
        cursor_x: u8_at(page, ORIG_X)?,
        cursor_y: u8_at(page, ORIG_Y)?,
        mode: u8_at(page, ORIG_VIDEO_MODE)?,
        font_height: u16_at(page, ORIG_VIDEO_POINTS)?,
    }))
}

fn framebuffer(page: &[u8], efi: bool) -> Option<Screen> {
    use offset::*;
    let wide = u32_at(page, CAPABILITIES)? & VIDEO_CAPABILITY_64BIT_BASE != 0;
    let base = join(u32_at(page, LFB_BASE)?, if wide { u32_at(page, EXT_LFB_BASE)? } else { 0 });
    let (width, height) = (u32::from(u16_at(page, LFB_WIDTH)?), u32::from(u16_at(page, LFB_HEIGHT)?));
    let depth = u16_at(page, LFB_DEPTH)?;
    let pitch = u32::from(u16_at(page, LFB_LINELENGTH)?);
    let visible = u64::from(pitch) * u64::from(height);
    let bpp = u8::try_from(depth).unwrap_or(0);
    if base == 0 || visible == 0 || u64::from(width) * u64::from(bpp.div_ceil(8)) > u64::from(pitch) || bpp < 8 {
        return Some(Screen::None);
    }
    // VESA counts lfb_size in 64 KB units, EFI in bytes.
    let size = u64::from(u32_at(page, LFB_SIZE)?) * if efi { 1 } else { 0x1_0000 };
    let color = |at: usize| Some(ColorField { size: u8_at(page, at)?, pos: u8_at(page, at + 1)? });
    Some(Screen::Graphics(Framebuffer {
        base,
        size: size.max(visible),
        width,
        height,
        pitch,
        bpp,
        red: color(COLORS)?,
        green: color(COLORS + 2)?,
        blue: color(COLORS + 4)?,
        reserved: color(COLORS + 6)?,
        efi,
    }))
}

fn loader(info: &mut BootInfo, page: &[u8]) -> Option<()> {
    use offset::*;
    let kind = u32::from(u8_at(page, TYPE_OF_LOADER)?);
    let (ext_ver, ext_type) = (u32::from(u8_at(page, EXT_LOADER_VER)?), u32::from(u8_at(page, EXT_LOADER_TYPE)?));
    info.loader_version = (kind & 0xf) | ext_ver << 4;
    info.loader_type = if kind >> 4 == 0xe { (ext_type + 0x10) << 4 | (kind & 0xf) } else { kind };
    Some(())
}

/// Follows the list of `struct setup_data { u64 next; u32 type; u32 len; u8 data[]; }`.
fn setup_data(info: &mut BootInfo, first: u64, mem: &dyn PhysRead) {
    let mut node = first;
    for _ in 0..MAX_SETUP_DATA {
        let mut head = [0u8; 16];
        if node == 0 || !mem.read(node, &mut head) {
            return;
        }
        let (Some(next), Some(kind), Some(len)) = (u64_at(&head, 0), u32_at(&head, 8), u32_at(&head, 12)) else {
            return;
        };
        if let Some(data) = node.checked_add(16) {
            match kind {
                SETUP_RNG_SEED => seed(info, data, len, mem),
                SETUP_E820_EXT => e820_ext(info, data, len, mem),
                _ => {}
            }
        }
        node = next;
    }
}

fn seed(info: &mut BootInfo, data: u64, len: u32, mem: &dyn PhysRead) {
    let mut bytes = [0u8; crate::MAX_SEED];
    let take = (len as usize).min(bytes.len());
    if let Some(buf) = bytes.get_mut(..take)
        && mem.read(data, buf)
    {
        info.seed.extend(buf);
    }
}

fn e820_ext(info: &mut BootInfo, data: u64, len: u32, mem: &dyn PhysRead) {
    let mut at = data;
    for _ in 0..(len as usize / E820_ENTRY).min(crate::memmap::MAX_REGIONS) {
        let mut entry = [0u8; E820_ENTRY];
        if !mem.read(at, &mut entry) || e820(info, &entry).is_none() {
            return;
        }
        at = at.saturating_add(E820_ENTRY as u64);
    }
}
