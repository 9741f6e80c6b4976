// SPDX-License-Identifier: GPL-2.0
//! What the boot loader told the kernel, whatever protocol it spoke: memory map, command line, initrd, ACPI root, screen.
//!
//! `x86_head` fills one static `BootInfo` before anything else runs; from then on it is read-only and everybody may read it.
//! The parsers of the two formats (`zero_page` for Linux's boot protocol, `pvh` for Xen's) are pure: they see physical
//! memory through [`PhysRead`] alone, so that they are tested on the host. No allocation, no locks.

#![no_std]
#![forbid(unsafe_code)]

pub mod boot_params;
pub mod bytes;
pub mod efi_map;
pub mod memmap;
pub mod pvh;
pub mod rsdp;
pub mod zero_page;

pub use bytes::ByteBuf;
pub use memmap::{MemKind, MemMap, MemRegion};

/// Linux's `COMMAND_LINE_SIZE` on x86: bytes of command line, the terminating NUL included.
pub const COMMAND_LINE_SIZE: usize = 2048;
/// Initrd ranges that are kept (PVH modules; the Linux protocol has one).
pub const MAX_INITRDS: usize = 8;
/// Bytes of random seed that are kept.
pub const MAX_SEED: usize = 64;

/// Reads physical memory for the parsers.
pub trait PhysRead {
    /// Fills `buf` from physical address `addr`; `false` when any byte of the range cannot be read.
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool;
}

/// How the kernel was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Not filled in yet.
    Unknown,
    /// The PVH entry of `vmlinux` (`XEN_ELFNOTE_PHYS32_ENTRY`).
    Pvh,
    /// bzImage, 16-bit entry.
    Linux16,
    /// bzImage, 32-bit entry.
    Linux32,
    /// 64-bit entry, of bzImage or of `vmlinux` itself.
    Linux64,
    /// bzImage started by EFI firmware as an application.
    Efi,
}

impl Protocol {
    /// A short name for the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pvh => "PVH",
            Self::Linux16 => "Linux 16-bit",
            Self::Linux32 => "Linux 32-bit",
            Self::Linux64 => "Linux 64-bit",
            Self::Efi => "EFI",
        }
    }
}

/// A range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PhysRange {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl PhysRange {
    /// One past the last byte (saturating).
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// Position and width of one colour in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ColorField {
    /// Lowest bit.
    pub pos: u8,
    /// Width in bits.
    pub size: u8,
}

/// A linear framebuffer, as `screen_info` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address of the first pixel.
    pub base: u64,
    /// Bytes of memory behind `base`.
    pub size: u64,
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from one line to the next.
    pub pitch: u32,
    /// Bits a pixel.
    pub bpp: u8,
    /// Red bits.
    pub red: ColorField,
    /// Green bits.
    pub green: ColorField,
    /// Blue bits.
    pub blue: ColorField,
    /// Unused bits.
    pub reserved: ColorField,
    /// Set up by EFI (`VIDEO_TYPE_EFI`), not by VESA.
    pub efi: bool,
}

/// A VGA text screen at 0xb8000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VgaText {
    /// Characters a line.
    pub cols: u8,
    /// Lines.
    pub rows: u8,
    /// Cursor column when the loader left.
    pub cursor_x: u8,
    /// Cursor line when the loader left.
    pub cursor_y: u8,
    /// BIOS video mode (3 = colour text, 7 = monochrome).
    pub mode: u8,
    /// Scan lines a character.
    pub font_height: u16,
}

/// The screen the loader left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// None known (the kernel may still probe VGA itself on a PC).
    None,
    /// Text mode.
    Text(VgaText),
    /// Pixels.
    Graphics(Framebuffer),
}

/// What EFI firmware left (`efi_info` of `boot_params`). Present only on an EFI boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfiInfo {
    /// Physical address of the system table.
    pub system_table: u64,
    /// Physical address of the memory map (array of descriptors).
    pub memmap: u64,
    /// Bytes of the memory map.
    pub memmap_size: u32,
    /// Bytes from one descriptor to the next.
    pub desc_size: u32,
    /// Descriptor version.
    pub desc_version: u32,
    /// Firmware is 64-bit ("EL64").
    pub is_64: bool,
}

/// Where the kernel image is, and where it was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KernelPlace {
    /// Physical address of `_text`.
    pub phys_base: u64,
    /// Virtual address of `_text` as it runs (slide included).
    pub virt_base: u64,
    /// Bytes from `_text` to `_end`.
    pub size: u64,
    /// KASLR slide: run address minus link address, a multiple of 2 MB; 0 without randomisation.
    pub slide: u64,
}

/// Everything known at the first instruction of `start_kernel`.
#[derive(Debug)]
pub struct BootInfo {
    /// How we were entered.
    pub protocol: Protocol,
    /// Memory map, sorted and without overlaps.
    pub memory: MemMap,
    /// Command line without the NUL. Empty when there was none or it could not be read.
    pub cmdline: ByteBuf<COMMAND_LINE_SIZE>,
    /// The loader passed a command line that could not be read (address outside memory).
    pub cmdline_unreadable: bool,
    /// The command line was longer than `COMMAND_LINE_SIZE - 1` and was cut.
    pub cmdline_truncated: bool,
    /// Initrd ranges, in loading order; see [`BootInfo::initrds`].
    initrd: [PhysRange; MAX_INITRDS],
    initrd_count: usize,
    /// Physical address of ACPI's RSDP, if the loader said.
    pub rsdp: Option<u64>,
    /// The screen.
    pub screen: Screen,
    /// EFI tables, on an EFI boot.
    pub efi: Option<EfiInfo>,
    /// `type_of_loader` with the extension merged as Linux's `bootloader_type` does (0xff: none said).
    pub loader_type: u32,
    /// `bootloader_version`.
    pub loader_version: u32,
    /// Secure boot state as `boot_params` has it (0 unset, 1 unknown, 2 disabled, 3 enabled).
    pub secure_boot: u8,
    /// Random bytes from the loader (setup_data `SETUP_RNG_SEED`, EFI RNG). A secret: credit it once, print it never.
    pub seed: ByteBuf<MAX_SEED>,
    /// Where the kernel is.
    pub kernel: KernelPlace,
    /// TSC at entry, for boot timing.
    pub entry_tsc: u64,
}

impl BootInfo {
    /// An empty one (usable in a static).
    pub const fn new() -> Self {
        Self {
            protocol: Protocol::Unknown,
            memory: MemMap::new(),
            cmdline: ByteBuf::new(),
            cmdline_unreadable: false,
            cmdline_truncated: false,
            initrd: [PhysRange { start: 0, len: 0 }; MAX_INITRDS],
            initrd_count: 0,
            rsdp: None,
            screen: Screen::None,
            efi: None,
            loader_type: 0xff,
            loader_version: 0,
            secure_boot: 0,
            seed: ByteBuf::new(),
            kernel: KernelPlace { phys_base: 0, virt_base: 0, size: 0, slide: 0 },
            entry_tsc: 0,
        }
    }

    /// Initrd ranges in loading order; their contents form one stream of concatenated archives.
    pub fn initrds(&self) -> &[PhysRange] {
        self.initrd.get(..self.initrd_count).unwrap_or(&[])
    }

    /// Adds an initrd; empty, wrapping and surplus ranges are refused (`false`).
    pub fn push_initrd(&mut self, start: u64, len: u64) -> bool {
        if len == 0 || start.checked_add(len).is_none() {
            return false;
        }
        match self.initrd.get_mut(self.initrd_count) {
            Some(slot) => {
                *slot = PhysRange { start, len };
                self.initrd_count += 1;
                true
            }
            None => false,
        }
    }

    /// The loader's name by its registered ID (Documentation of the boot protocol, `type_of_loader`).
    pub const fn loader_name(&self) -> &'static str {
        match self.loader_type >> 4 {
            _ if self.loader_type == 0x21 => "EFI stub",
            0x0 => "LILO",
            0x1 => "Loadlin",
            0x2 => "bootsect-loader",
            0x3 => "Syslinux",
            0x4 => "Etherboot/gPXE/iPXE",
            0x5 => "ELILO",
            0x7 => "GRUB",
            0x8 => "U-Boot",
            0x9 => "Xen",
            0xa => "Gujin",
            0xb => "QEMU",
            0xc => "Arcturus Networks uCbootloader",
            0xd => "kexec-tools",
            _ => "unknown",
        }
    }

    /// Whether the command line has `name` as a word of its own, before a `--` (early use; the real parser is crate `cmdline`).
    pub fn has_option(&self, name: &[u8]) -> bool {
        self.words().any(|word| word == name)
    }

    /// The value of the last `name=value` word (early use).
    pub fn option_value(&self, name: &[u8]) -> Option<&[u8]> {
        self.words().filter_map(|word| word.strip_prefix(name)?.strip_prefix(b"=")).last()
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let split = self.cmdline.as_slice().split(|b| b.is_ascii_whitespace());
        split.filter(|word| !word.is_empty()).take_while(|word| *word != b"--")
    }

    /// Puts the kernel's built-in command line before the loader's, or in its place. What does not fit is cut from the end.
    pub fn add_builtin_cmdline(&mut self, builtin: &[u8], in_place: bool) {
        let given = core::mem::take(&mut self.cmdline);
        let mut fits = self.cmdline.extend_below(builtin, COMMAND_LINE_SIZE - 1);
        if !in_place && !given.is_empty() {
            let rest = if builtin.is_empty() { &[][..] } else { b" " };
            fits &= self.cmdline.extend_below(rest, COMMAND_LINE_SIZE - 1);
            fits &= self.cmdline.extend_below(given.as_slice(), COMMAND_LINE_SIZE - 1);
        }
        self.cmdline_truncated |= !fits;
    }

    /// Reads the NUL-terminated command line at physical `addr` (0: none was given).
    pub(crate) fn read_cmdline(&mut self, mem: &dyn PhysRead, addr: u64) {
        self.cmdline.clear();
        if addr == 0 {
            return;
        }
        // Reading where no memory is would give rubbish, not a fault.
        if !self.memory.is_empty() && self.memory.find(addr).is_none() {
            self.cmdline_unreadable = true;
            return;
        }
        let mut at = addr;
        let mut byte = [0u8; 1];
        loop {
            if !mem.read(at, &mut byte) {
                self.cmdline.clear();
                self.cmdline_unreadable = true;
                return;
            }
            let [b] = byte;
            if b == 0 {
                return;
            }
            if self.cmdline.len() >= COMMAND_LINE_SIZE - 1 || !self.cmdline.push(b) {
                self.cmdline_truncated = true;
                return;
            }
            at = match at.checked_add(1) {
                Some(next) => next,
                None => return,
            };
        }
    }
}

impl Default for BootInfo {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
