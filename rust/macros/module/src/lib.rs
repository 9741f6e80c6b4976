// SPDX-License-Identifier: GPL-2.0
//! The procedural macro [`module!`], apart from the others (`macros`), which every crate uses: a change here compiles the
//! modules anew and not the kernel. It runs in the compiler, on the host.

#![forbid(unsafe_code)]

mod expand;

use proc_macro::TokenStream;

/// Declares a module: `module! { type: T, name: "n", authors: ["A"], description: "D", license: "GPL" }`.
///
/// The keys are Rust-for-Linux's: `type`, `name`, `authors`, `description`, `license`, `alias`, `firmware`,
/// `imports_ns`, `params`; `type`, `name` and `license` are required. A parameter is
/// `name: type { default: value, description: "text" }`, perhaps with `permissions: 0o444` for a file in sysfs. It expands
/// to `::kernel::__module!`, which gives the module its entry points and its `.modinfo`.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    expand::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
