// SPDX-License-Identifier: GPL-2.0
//! Modules that are part of the image: `module!` puts an entry into section `.initcall6.init`, `init` starts them.

/// A module that is part of the image.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Starts it: 0, or a negative errno.
    pub init: extern "C" fn() -> i32,
    /// Its parameters.
    pub params: &'static [module_core::Param],
}

/// The modules of this image, in the order of the link.
pub fn all() -> &'static [&'static BuiltIn] {
    #[allow(improper_ctypes, reason = "the symbols only mark where Rust values lie")]
    unsafe extern "C" {
        static __start_initcalls: [&'static BuiltIn; 0];
        static __stop_initcalls: [&'static BuiltIn; 0];
    }
    // SAFETY: The linker script defines both symbols around the sections `.initcall*`, which hold only what `module!` puts
    // there: references to entries.
    unsafe {
        let start = (&raw const __start_initcalls).cast::<&'static BuiltIn>();
        let stop = (&raw const __stop_initcalls).cast::<&'static BuiltIn>();
        core::slice::from_raw_parts(start, stop.offset_from_unsigned(start))
    }
}
