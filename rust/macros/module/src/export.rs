// SPDX-License-Identifier: GPL-2.0
//! `#[export]`: keeps a function's name.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result, spanned::Spanned};

pub(crate) fn expand(attr: TokenStream, input: TokenStream) -> Result<TokenStream> {
    if !attr.is_empty() {
        return Err(Error::new(attr.span(), "`#[export]` takes no argument"));
    }
    let function: ItemFn = syn::parse2(input)?;
    if function.sig.abi.is_none() {
        return Err(Error::new(function.sig.span(), "`#[export]` belongs on an `extern \"C\"` function"));
    }
    Ok(quote! {
        #[unsafe(no_mangle)]
        #function
    })
}
