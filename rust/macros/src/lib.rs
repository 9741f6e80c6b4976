// SPDX-License-Identifier: GPL-2.0
//! The procedural macros of the kernel API, with Rust-for-Linux's names and syntax: [`module!`], [`vtable`] and
//! [`kunit_tests`]. They run in the compiler, on the host. What they emit that needs unsafe attributes (linker sections)
//! goes through `macro_rules` of the crates `kunit` and `kernel`, so that a crate that forbids unsafe code can use them.

#![forbid(unsafe_code)]

mod kunit;
mod module;
mod vtable;

use proc_macro::TokenStream;

/// Declares a module: `module! { type: T, name: "n", authors: ["A"], description: "D", license: "GPL" }`.
///
/// The keys are Rust-for-Linux's: `type`, `name`, `authors`, `description`, `license`, `alias`, `firmware`,
/// `imports_ns`, `params`; `type`, `name` and `license` are required. It expands to `::kernel::__module!`, which gives
/// the module its entry points and its `.modinfo`.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    module::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Marks a trait (or its implementation) whose methods are optional: `HAS_METHOD` says whether an implementation has it.
///
/// In the trait each method gets `const HAS_X: bool = false`; in an implementation each method that
/// is there gets `const HAS_X: bool = true`. An implementation without the attribute does not compile.
#[proc_macro_attribute]
pub fn vtable(attr: TokenStream, input: TokenStream) -> TokenStream {
    vtable::expand(attr.into(), input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Turns the `#[test]` functions of a module into the KUnit suite that the attribute names.
///
/// In the kernel (`CONFIG_KUNIT=y`) the suite is collected at link time and run by `kunit::run`; `assert!`, `assert_eq!`
/// and `assert_ne!` in a test record a failure and leave the test. On the host the same functions are ordinary tests.
#[proc_macro_attribute]
pub fn kunit_tests(attr: TokenStream, input: TokenStream) -> TokenStream {
    kunit::expand(attr.into(), input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
