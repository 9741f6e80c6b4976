// SPDX-License-Identifier: GPL-2.0
//! The procedural macros that every crate may use, [`kunit_tests`] and [`macro@Zeroable`]. (Those that only modules use are in the
//! crate `module_macro`.) It runs in the compiler, on the host. What it emits that needs unsafe attributes (linker sections) goes
//! through `macro_rules` of the crate `kunit`, so that a crate that forbids unsafe code can use it.

#![forbid(unsafe_code)]

mod kunit;
mod zeroable;

use proc_macro::TokenStream;

/// Turns the `#[test]` functions of a module into the KUnit suite that the attribute names.
///
/// In the kernel (`CONFIG_KUNIT=y`) the suite is collected at link time and run by `kunit::run`; `assert!`, `assert_eq!`
/// and `assert_ne!` in a test record a failure and leave the test. On the host the same functions are ordinary tests.
#[proc_macro_attribute]
pub fn kunit_tests(attr: TokenStream, input: TokenStream) -> TokenStream {
    kunit::expand(attr.into(), input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Says that a structure or union, all of whose fields are `Zeroable`, is so too. Parameters of its type must be.
#[proc_macro_derive(Zeroable)]
pub fn zeroable(input: TokenStream) -> TokenStream {
    zeroable::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
