// SPDX-License-Identifier: GPL-2.0
//! Which screen this machine has: what the boot loader says, else a VGA in text mode that is found by its registers (a PVH
//! loader says nothing). Called at boot, by one CPU; no locks.

use crate::display::{Display, framebuffer::FrameBuffer, vga::Vga, vga::VgaPorts};
use boot_info::{BootInfo, Screen, VgaText};
use errno::Result;

/// The text screen, if there is one.
fn text(info: &BootInfo) -> Option<VgaText> {
    match info.screen {
        Screen::Text(text) => Some(text),
        // Firmware that boots by EFI leaves no text mode.
        Screen::None if info.efi.is_none() => VgaPorts::claim()?.text_mode(),
        _ => None,
    }
}

/// Whether there is a screen at all. Touches registers only.
pub(crate) fn has_screen(info: &BootInfo) -> bool {
    match &info.screen {
        Screen::Graphics(screen) => FrameBuffer::is_usable(screen),
        _ => text(info).is_some(),
    }
}

/// Maps the screen; without one there is a display that shows nothing.
pub(crate) fn find(info: &BootInfo) -> Result<Display> {
    if let Screen::Graphics(screen) = &info.screen
        && FrameBuffer::is_usable(screen)
    {
        return Ok(Display::Pixels(FrameBuffer::map(screen)?));
    }
    Ok(match text(info) {
        Some(text) => Display::Text(Vga::map(&text)?),
        None => Display::None,
    })
}
