// SPDX-License-Identifier: GPL-2.0
//! `#[kunit_tests(suite)]`: a module of tests that runs in the kernel and on the host.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Ident, Item, ItemFn, ItemMod, Result, spanned::Spanned};

pub(crate) fn expand(attr: TokenStream, input: TokenStream) -> Result<TokenStream> {
    let suite: Ident = syn::parse2(attr)?;
    // Linux keeps a suite's name in an array of 256 bytes, and matches a glob of names against it.
    if suite.to_string().len() > 255 {
        return Err(Error::new(suite.span(), "the name of a suite has at most 255 bytes"));
    }
    let module: ItemMod = syn::parse2(input)?;
    let Some((_, items)) = &module.content else {
        return Err(Error::new(module.span(), "`#[kunit_tests]` needs the module's body"));
    };

    let mut body: Vec<TokenStream> = Vec::new();
    let mut cases: Vec<TokenStream> = Vec::new();
    for item in items {
        match item {
            Item::Fn(function) if is_test(function) => {
                body.push(test_body(function));
                cases.push(case_of(function));
            }
            other => body.push(quote!(#other)),
        }
    }

    let (attrs, vis, name) = (&module.attrs, &module.vis, &module.ident);
    let suite_name = suite.to_string();
    Ok(quote! {
        #[cfg(CONFIG_KUNIT = "y")]
        #(#attrs)*
        #vis mod #name {
            #(#body)*

            static __KUNIT_CASES: &[::kunit::Case] = &[#(#cases),*];
            ::kunit::kunit_suite!(#suite_name, __KUNIT_CASES);
        }

        #[cfg(all(test, not(CONFIG_KUNIT = "y")))]
        #(#attrs)*
        #vis mod #name {
            #(#items)*
        }
    })
}

fn is_test(function: &ItemFn) -> bool {
    function.attrs.iter().any(|a| a.path().is_ident("test"))
}

/// The `#[cfg]`s of a test: a test that is configured out is reported as skipped.
fn cfgs(function: &ItemFn) -> Vec<&syn::Attribute> {
    function.attrs.iter().filter(|a| a.path().is_ident("cfg")).collect()
}

/// The function with `assert!` and its kin recording a failure in place of a panic.
fn test_body(function: &ItemFn) -> TokenStream {
    let attrs = function.attrs.iter().filter(|a| !a.path().is_ident("test"));
    let (vis, sig, statements) = (&function.vis, &function.sig, &function.block.stmts);
    quote! {
        #(#attrs)*
        #vis #sig {
            #[allow(unused_imports, reason = "a test uses what it needs of them")]
            use ::kunit::{kunit_assert as assert, kunit_assert_eq as assert_eq, kunit_assert_ne as assert_ne};
            #(#statements)*
        }
    }
}

fn case_of(function: &ItemFn) -> TokenStream {
    let ident = &function.sig.ident;
    let name = ident.to_string();
    let cfgs = cfgs(function);
    if cfgs.is_empty() {
        return quote!(::kunit::Case::new(#name, || ::kunit::finish(#ident())));
    }
    let conditions = cfgs.iter().filter_map(|a| a.meta.require_list().ok().map(|list| &list.tokens));
    let conditions: Vec<&TokenStream> = conditions.collect();
    quote! {
        {
            #[cfg(all(#(#conditions),*))]
            { ::kunit::Case::new(#name, || ::kunit::finish(#ident())) }
            #[cfg(not(all(#(#conditions),*)))]
            { ::kunit::Case::new(#name, || ::kunit::skip(&"configured out")) }
        }
    }
}
