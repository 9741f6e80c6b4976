// SPDX-License-Identifier: GPL-2.0
//! The procedural macros that only modules and the crate `kernel` use, apart from those (`macros`) that every crate uses: a change
//! here compiles the modules anew and not the kernel. They run in the compiler, on the host.

#![forbid(unsafe_code)]

mod expand;
mod export;
mod for_lt;
mod format;
mod paste;
mod vtable;

use proc_macro::TokenStream;

/// Declares a module: `module! { type: T, name: "n", authors: ["A"], description: "D", license: "GPL" }`.
///
/// The keys are Rust-for-Linux's: `type`, `name`, `authors`, `description`, `license`, `alias`, `firmware`,
/// `imports_ns`, `params`; `type`, `name` and `license` are required. `initcall: "subsys"` is ours alone: part of the image, the
/// module is started before those without it. A parameter is
/// `name: type { default: value, description: "text" }`, perhaps with `permissions: 0o444` for a file in sysfs. It expands
/// to `::kernel::__module!`, which gives the module its entry points and its `.modinfo`.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    expand::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Marks a trait (or its implementation) whose methods are optional: `HAS_METHOD` says whether an implementation has it.
///
/// In the trait each method gets `const HAS_X: bool = false`; in an implementation each method that is there gets
/// `const HAS_X: bool = true`, and `type OwnerModule` is the module it is in. An implementation without the attribute does
/// not compile.
#[proc_macro_attribute]
pub fn vtable(attr: TokenStream, input: TokenStream) -> TokenStream {
    vtable::expand(attr.into(), input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// As `core::format_args!`, and what has no `Display` of its own in `core` but has text in the kernel (C strings) is shown.
#[proc_macro]
pub fn fmt(input: TokenStream) -> TokenStream {
    format::expand(input.into()).into()
}

/// A function that code in other languages calls by its name.
#[proc_macro_attribute]
pub fn export(attr: TokenStream, input: TokenStream) -> TokenStream {
    export::expand(attr.into(), input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// One identifier of two: `concat_idents!(a, b)` is `ab`.
#[proc_macro]
pub fn concat_idents(input: TokenStream) -> TokenStream {
    paste::concat(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Pastes identifiers together: `[<a b>]` in the input is `ab`, with `:lower` and `:upper` after a part changing its case.
#[proc_macro]
pub fn paste(input: TokenStream) -> TokenStream {
    paste::expand(input.into()).into()
}

/// A type that a lifetime is still to be put into: `ForLt!(Data<'_>)` or `ForLt!(for<'a> Data<'a>)`.
#[proc_macro]
#[allow(non_snake_case, reason = "the name is Rust-for-Linux's")]
pub fn ForLt(input: TokenStream) -> TokenStream {
    for_lt::expand(input.into(), false).into()
}

/// As `ForLt!`, for a type that may be used with a shorter lifetime; one that may not does not compile.
#[proc_macro]
#[allow(non_snake_case, reason = "the name is Rust-for-Linux's")]
pub fn CovariantForLt(input: TokenStream) -> TokenStream {
    for_lt::expand(input.into(), true).into()
}
