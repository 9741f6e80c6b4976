// SPDX-License-Identifier: GPL-2.0
//! Modules: the traits that a module implements, its handle, and what `module!` expands to.

pub use kernel_core::module::*;

/// The bytes of a string, as an array: what a section of strings is made of.
pub const fn bytes_of<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let text = parts[part].as_bytes();
        let mut i = 0;
        while i < text.len() {
            bytes[at] = text[i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    bytes
}

/// What `module!` expands to.
#[doc(hidden)]
#[macro_export]
macro_rules! __module {
    (
        type: $type:ty,
        name: $name:literal,
        name_c: $name_c:literal,
        info: [$({ $file:literal, $built_in:literal }),*],
        params: [$({ $pname:ident, $ptype:ty, $pdefault:expr, $pperm:expr, $pstr:literal }),*],
        section: $section:literal,
    ) => {
        /// What the module's records in the log begin with.
        #[allow(dead_code, reason = "a module may print nothing")]
        pub(crate) const __LOG_PREFIX: &[u8] = ::core::concat!($name, "\0").as_bytes();

        /// The module itself.
        #[cfg(MODULE)]
        pub(crate) static THIS_MODULE: $crate::ThisModule = $crate::ThisModule::new(::core::option::Option::Some(&__THIS_HEADER));
        /// The module itself.
        #[cfg(not(MODULE))]
        pub(crate) static THIS_MODULE: $crate::ThisModule = $crate::ThisModule::new(::core::option::Option::None);

        /// The type of the module.
        #[allow(dead_code, reason = "a module may have no operations that others call")]
        type LocalModule = $type;

        impl $crate::ModuleMetadata for $type {
            const NAME: &'static ::core::ffi::CStr = $name_c;

            fn this_module() -> &'static $crate::ThisModule {
                &THIS_MODULE
            }
        }

        /// The module's parameters, as `module!` declares them.
        #[allow(dead_code, non_upper_case_globals, reason = "parameters have the names that users write")]
        pub(crate) mod module_parameters {
            #[allow(unused_imports, reason = "types of parameters")]
            use super::*;
            $(
                #[doc = $pstr]
                pub(crate) static $pname: $crate::module_param::ModuleParamAccess<$ptype> =
                    $crate::module_param::ModuleParamAccess::new($pdefault);
            )*
        }

        static __INSTANCE: $crate::__private::Instance<$type> = $crate::__private::Instance::new();

        // Of a module it goes when it is over.
        #[cfg_attr(MODULE, unsafe(link_section = ".init.text"))]
        extern "C" fn __module_init() -> i32 {
            __INSTANCE.start(&THIS_MODULE)
        }

        #[cfg(MODULE)]
        extern "C" fn __module_exit() {
            __INSTANCE.stop();
        }

        #[cfg(MODULE)]
        #[used]
        #[unsafe(link_section = ".gnu.linkonce.this_module")]
        static __THIS_HEADER: $crate::__private::Header =
            $crate::__private::Header::new(__module_init, ::core::option::Option::Some(__module_exit));

        $(
            #[cfg(MODULE)]
            const _: () = {
                #[used]
                #[unsafe(link_section = "__param")]
                static PARAM: $crate::__private::Param =
                    $crate::__private::Param::new($pstr, &module_parameters::$pname, $pperm);
            };
        )*

        #[cfg(not(MODULE))]
        const _: () = {
            static PARAMS: &[$crate::__private::Param] = &[
                $($crate::__private::Param::new($pstr, &module_parameters::$pname, $pperm)),*
            ];
            static BUILT_IN: $crate::built_in::BuiltIn =
                $crate::built_in::BuiltIn { name: $name, init: __module_init, params: PARAMS };
            #[used]
            #[unsafe(link_section = $section)]
            static ENTRY: &$crate::built_in::BuiltIn = &BUILT_IN;
        };

        $(
            const _: () = {
                #[cfg(MODULE)]
                const TEXT: &str = $file;
                #[cfg(not(MODULE))]
                const TEXT: &str = $built_in;
                #[used]
                #[unsafe(link_section = ".modinfo")]
                static INFO: [u8; TEXT.len()] = $crate::__private::bytes_of(&[TEXT]);
            };
        )*
        #[cfg(MODULE)]
        const _: () = {
            const PARTS: &[&str] = &["vermagic=", $crate::__private::VERMAGIC, "\0"];
            #[used]
            #[unsafe(link_section = ".modinfo")]
            static INFO: [u8; PARTS[0].len() + PARTS[1].len() + PARTS[2].len()] = $crate::__private::bytes_of(PARTS);
        };
    };
}
