// SPDX-License-Identifier: GPL-2.0
//! `module!`: reads the declaration of a module and hands it to `::kernel::__module!`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, bracketed, ext::IdentExt};

/// What a declaration says.
struct Declaration {
    type_: TokenStream,
    name: LitStr,
    /// Pairs for `.modinfo`, in the order of the declaration.
    info: Vec<(String, LitStr)>,
    params: TokenStream,
}

/// The keys, in the order in which Rust-for-Linux wants them.
const KEYS: [&str; 10] =
    ["type", "name", "author", "authors", "description", "license", "alias", "firmware", "imports_ns", "params"];

fn strings(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

impl Parse for Declaration {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut type_, mut name, mut license) = (None, None, false);
        let (mut info, mut params) = (Vec::new(), TokenStream::new());
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            let text = key.to_string();
            if !KEYS.contains(&text.as_str()) {
                return Err(Error::new(key.span(), format!("unknown key `{text}`; the keys are {}", KEYS.join(", "))));
            }
            if seen.contains(&text) {
                return Err(Error::new(key.span(), format!("`{text}` is there twice")));
            }
            input.parse::<Token![:]>()?;
            match text.as_str() {
                "type" => type_ = Some(input.parse::<syn::Path>()?.into_token_stream()),
                "name" => name = Some(input.parse::<LitStr>()?),
                "authors" => info.extend(strings(input)?.into_iter().map(|s| ("author".to_string(), s))),
                "alias" | "firmware" => info.extend(strings(input)?.into_iter().map(|s| (text.clone(), s))),
                "imports_ns" => info.extend(strings(input)?.into_iter().map(|s| ("import_ns".to_string(), s))),
                "params" => {
                    let content;
                    syn::braced!(content in input);
                    params = content.parse()?;
                }
                _ => {
                    license |= text == "license";
                    info.push((text.clone(), input.parse::<LitStr>()?));
                }
            }
            seen.push(text);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if !license {
            return Err(input.error("`license` is missing"));
        }
        let type_ = type_.ok_or_else(|| input.error("`type` is missing"))?;
        let name = name.ok_or_else(|| input.error("`name` is missing"))?;
        Ok(Self { type_, name, info, params })
    }
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Declaration { type_, name, info, params } = syn::parse2(input)?;
    let pairs = info.iter().map(|(key, value)| {
        // A module's own file names no module; one linked into vmlinux says whose line it is.
        let file = format!("{key}={}\0", value.value());
        let built_in = format!("{}.{key}={}\0", name.value(), value.value());
        quote!({ #file, #built_in })
    });
    Ok(quote! {
        ::kernel::__module! {
            type: #type_,
            name: #name,
            info: [#(#pairs),*],
            params: { #params },
        }
    })
}
