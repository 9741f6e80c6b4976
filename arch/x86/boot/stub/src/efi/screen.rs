// SPDX-License-Identifier: GPL-2.0
//! The graphics output protocol's present mode as `screen_info`. Called by `efi`.

use super::firmware::Firmware;
use boot_info::boot_params::Page;
use boot_info::zero_page::{VIDEO_CAPABILITY_64BIT_BASE, VIDEO_TYPE_EFI, offset};
use r_efi::protocols::graphics_output as gop;

/// Fills `screen_info`, if there is a linear framebuffer.
pub(crate) fn fill(firmware: &Firmware, params: &mut Page<'_>) {
    let Some(protocol) = firmware.any_protocol::<gop::Protocol>(gop::PROTOCOL_GUID) else { return };
    // SAFETY: A live protocol keeps mode and information at these addresses.
    let (mode, info) = unsafe { (*(*protocol).mode, *(*(*protocol).mode).info) };
    let masks = match info.pixel_format {
        gop::PIXEL_RED_GREEN_BLUE_RESERVED_8_BIT_PER_COLOR => [0xff, 0xff00, 0xff_0000, 0xff00_0000],
        gop::PIXEL_BLUE_GREEN_RED_RESERVED_8_BIT_PER_COLOR => [0xff_0000, 0xff00, 0xff, 0xff00_0000],
        gop::PIXEL_BIT_MASK => {
            let m = info.pixel_information;
            [m.red_mask, m.green_mask, m.blue_mask, m.reserved_mask]
        }
        _ => return,
    };
    let depth =
        masks.iter().fold(0, |all, mask| all | mask).checked_ilog2().map_or(0, |bit| (bit + 1).next_multiple_of(8));
    params.put(offset::ORIG_VIDEO_IS_VGA, &[VIDEO_TYPE_EFI]);
    params.put16(offset::LFB_WIDTH, info.horizontal_resolution);
    params.put16(offset::LFB_HEIGHT, info.vertical_resolution);
    params.put16(offset::LFB_DEPTH, depth);
    params.put16(offset::LFB_LINELENGTH, info.pixels_per_scan_line.saturating_mul(depth / 8));
    params.put_split(offset::LFB_BASE, offset::EXT_LFB_BASE, mode.frame_buffer_base);
    params.put32(offset::LFB_SIZE, u32::try_from(mode.frame_buffer_size).unwrap_or(u32::MAX));
    params.put32(offset::CAPABILITIES, VIDEO_CAPABILITY_64BIT_BASE);
    for (at, mask) in (offset::COLORS..).step_by(2).zip(masks) {
        let pos = if mask == 0 { 0 } else { mask.trailing_zeros() };
        params.put(at, &[mask.count_ones() as u8, pos as u8]);
    }
}
