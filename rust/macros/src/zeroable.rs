// SPDX-License-Identifier: GPL-2.0
//! `#[derive(Zeroable)]` for structures with and without names of fields, and for unions. What it says is said by `pinned-init`'s own macro,
//! which checks each type; that crate's derive takes named fields alone.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{GenericParam, Generics, Item, Result};

/// The generics of an `impl` whose types are all `Zeroable`, and the arguments of the type.
fn generics(of: &Generics) -> (TokenStream, TokenStream) {
    let (mut declared, mut used) = (TokenStream::new(), TokenStream::new());
    for param in &of.params {
        match param {
            GenericParam::Lifetime(life) => {
                let (name, bounds) = (&life.lifetime, &life.bounds);
                declared.extend(quote!(#name: #bounds,));
                used.extend(quote!(#name,));
            }
            GenericParam::Type(kind) => {
                let (name, bounds) = (&kind.ident, &kind.bounds);
                declared.extend(quote!(#name: ::pinned_init::Zeroable + #bounds,));
                used.extend(quote!(#name,));
            }
            GenericParam::Const(number) => {
                let (name, kind) = (&number.ident, &number.ty);
                declared.extend(quote!(const #name: #kind,));
                used.extend(quote!(#name,));
            }
        }
    }
    (declared, used)
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let (kind, name, of, types) = match syn::parse2(input)? {
        Item::Struct(item) => (
            quote!(struct),
            item.ident,
            item.generics,
            item.fields.into_iter().map(|field| field.ty).collect::<Vec<_>>(),
        ),
        Item::Union(item) => {
            (quote!(union), item.ident, item.generics, item.fields.named.into_iter().map(|field| field.ty).collect())
        }
        other => return Err(syn::Error::new_spanned(other, "only a struct or a union can be said to be Zeroable")),
    };
    // Its macro wants names, but looks at the types only.
    let names = (0..types.len()).map(|at| format_ident!("field_{at}"));
    let (declared, used) = generics(&of);
    let clause = &of.where_clause;
    Ok(quote! {
        ::pinned_init::__derive_zeroable!(
            parse_input:
                @sig(#kind #name #clause),
                @impl_generics(#declared),
                @ty_generics(#used),
                @body({ #(#names: #types),* }),
        );
    })
}
