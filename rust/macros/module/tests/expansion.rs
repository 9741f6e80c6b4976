// SPDX-License-Identifier: GPL-2.0
//! What the macros expand to, on the host. `kernel` is this test itself.

#![allow(missing_docs, reason = "a test")]
#![forbid(unsafe_code)]

extern crate self as kernel;

use module_macro::{concat_idents, module, paste, vtable};

#[macro_export]
macro_rules! __module {
    (
        type: $type:ty, name: $name:literal, name_c: $c:literal,
        info: [$({ $file:literal, $built_in:literal }),*], params: [$({ $pname:ident, $ptype:ty, $pdefault:expr, $pperm:expr, $ptext:literal }),*], section: $section:literal,
    ) => {
        pub const NAME: &str = $name;
        pub const SECTION: &str = $section;
        pub const FILE_INFO: &[&str] = &[$($file),*];
        pub const BUILT_IN_INFO: &[&str] = &[$($built_in),*];
        pub const PARAMS: &[(&str, u32, &str)] = &[$(($ptext, $pperm, stringify!($ptype = $pdefault))),*];
        pub type Module = $type;
    };
}

pub trait ModuleMetadata {}
impl ModuleMetadata for Minimal {}
pub type LocalModule = Minimal;

#[derive(Default)]
pub struct Minimal;

module! {
    type: Minimal,
    name: "rust_minimal",
    authors: ["A", "B"],
    description: "Minimal sample",
    license: "GPL",
    alias: ["minimal", "smallest"],
    firmware: ["minimal.bin"],
    params: {
        count: u8 { default: 3, description: "How many" },
        label: str { default: "none", description: "What it is called", permissions: 0o444 },
    },
}

#[vtable]
pub trait Operations {
    fn always(&self) -> u32;
    fn sometimes(&self) -> u32 {
        0
    }
    fn never(&self) -> u32 {
        0
    }
}

#[vtable]
impl Operations for Minimal {
    fn always(&self) -> u32 {
        1
    }
    fn sometimes(&self) -> u32 {
        2
    }
}

#[test]
fn vtable_knows_what_is_implemented() {
    const { assert!(Minimal::HAS_SOMETIMES && !Minimal::HAS_NEVER) };
    assert_eq!(Minimal.always() + Minimal.sometimes() + Minimal.never(), 3);
}

#[test]
fn module_hands_over_its_declaration() {
    let _: Module = Minimal;
    assert_eq!(NAME, "rust_minimal");
    assert_eq!(SECTION, ".initcall6.init");
    assert_eq!(FILE_INFO[..4], ["author=A\0", "author=B\0", "description=Minimal sample\0", "license=GPL\0"]);
    assert_eq!(FILE_INFO[4..7], ["alias=minimal\0", "alias=smallest\0", "firmware=minimal.bin\0"]);
    assert_eq!(
        FILE_INFO[7..],
        ["parmtype=count:u8\0", "parm=count:How many\0", "parmtype=label:charp\0", "parm=label:What it is called\0"]
    );
    assert_eq!(BUILT_IN_INFO[3], "rust_minimal.license=GPL\0");
}

/// A text has a type with room of its own, and is made of what is written there.
#[test]
fn parameters_have_types_and_defaults() {
    let [(count, 0, plain), (label, 0o444, text)] = PARAMS else { panic!("{PARAMS:?}") };
    assert_eq!((*count, *plain), ("count", "u8 = 3"));
    assert_eq!(*label, "label");
    let text: String = text.split_whitespace().collect();
    assert_eq!(text, "::kernel::module_param::Text=::kernel::module_param::Text::new(\"none\")");
}

#[test]
fn identifiers_are_pasted() {
    let one_two = 12;
    assert_eq!(concat_idents!(one, _two), 12);
    paste! {
        assert_eq!([<one _ TWO:lower>], 12);
    }
}
