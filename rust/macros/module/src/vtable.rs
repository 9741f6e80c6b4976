// SPDX-License-Identifier: GPL-2.0
//! `#[vtable]`: constants that say which optional methods a type implements.

use proc_macro2::TokenStream;
use quote::format_ident;
use syn::{Error, ImplItem, Item, Result, TraitItem, parse_quote, spanned::Spanned};

/// The constant that tells of method `name`.
fn has_ident(name: &syn::Ident) -> syn::Ident {
    let upper = name.to_string().trim_start_matches("r#").to_uppercase();
    format_ident!("HAS_{upper}", span = name.span())
}

pub(crate) fn expand(attr: TokenStream, input: TokenStream) -> Result<TokenStream> {
    if !attr.is_empty() {
        return Err(Error::new(attr.span(), "`#[vtable]` takes no argument"));
    }
    let mut item: Item = syn::parse2(input)?;
    match &mut item {
        Item::Trait(item) => expand_trait(item),
        Item::Impl(item) if item.trait_.is_some() => expand_impl(item),
        other => return Err(Error::new(other.span(), "`#[vtable]` belongs on a trait or on a trait's implementation")),
    }
    Ok(quote::quote!(#item))
}

fn expand_trait(item: &mut syn::ItemTrait) {
    let mut added: Vec<TraitItem> = vec![parse_quote! {
        /// A marker to prevent implementors from forgetting to use the `#[vtable]` attribute.
        const USE_VTABLE_ATTR: ();
    }];
    if !item.items.iter().any(|member| matches!(member, TraitItem::Type(t) if t.ident == "OwnerModule")) {
        added.push(parse_quote! {
            /// The module that an implementation is in: whoever keeps a pointer to it keeps the module. `#[vtable]` sets it.
            type OwnerModule: ::kernel::ModuleMetadata;
        });
    }
    for member in &item.items {
        let TraitItem::Fn(method) = member else { continue };
        let name = has_ident(&method.sig.ident);
        let doc = format!("Whether the implementation has `{}`.", method.sig.ident);
        added.push(parse_quote! { #[doc = #doc] const #name: bool = false; });
    }
    item.items.extend(added);
}

fn expand_impl(item: &mut syn::ItemImpl) {
    let mut names: Vec<syn::Ident> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for member in &item.items {
        match member {
            ImplItem::Fn(method) => names.push(has_ident(&method.sig.ident)),
            ImplItem::Const(constant) => known.push(constant.ident.to_string()),
            ImplItem::Type(type_) => known.push(type_.ident.to_string()),
            _ => {}
        }
    }
    item.items.push(parse_quote! { const USE_VTABLE_ATTR: () = (); });
    if !known.iter().any(|name| name == "OwnerModule") {
        item.items.push(parse_quote! { type OwnerModule = crate::LocalModule; });
    }
    for name in names {
        if !known.iter().any(|k| name == k) {
            item.items.push(parse_quote! { const #name: bool = true; });
        }
    }
}
