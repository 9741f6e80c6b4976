// SPDX-License-Identifier: GPL-2.0
//! The image's table of symbols for modules, which the build makes (`scripts/exports.py`) and the linker fills in.

use module_image::Exports;

/// The symbols of the running image.
pub fn exports() -> Exports<'static> {
    unsafe extern "C" {
        static __start_exports: u8;
        static __stop_exports: u8;
    }
    let start = &raw const __start_exports;
    let size = (&raw const __stop_exports).addr().saturating_sub(start.addr());
    // SAFETY: The linker script defines both symbols around a section of read-only data that is never unmapped.
    Exports::new(unsafe { core::slice::from_raw_parts(start, size) }, start.addr())
}
