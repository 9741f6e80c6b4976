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
    params: Vec<Param>,
    /// The section that its entry is in when it is part of the image.
    section: String,
}

/// A parameter: name, type, default, description, permissions.
struct Param {
    name: Ident,
    type_: Ident,
    default: syn::Expr,
    description: LitStr,
    perm: syn::Expr,
}

/// The keys, in the order in which Rust-for-Linux wants them; `initcall` is ours alone.
const KEYS: [&str; 11] = [
    "type",
    "name",
    "author",
    "authors",
    "description",
    "license",
    "alias",
    "firmware",
    "imports_ns",
    "params",
    "initcall",
];

/// The section of an image's modules that are started at `level`, as Linux calls it (`subsys_initcall`, `device_initcall`).
fn section(level: &LitStr) -> Result<String> {
    match level.value().as_str() {
        "subsys" => Ok(".initcall4.init".into()),
        "device" => Ok(".initcall6.init".into()),
        _ => Err(Error::new(level.span(), "the levels are subsys, device")),
    }
}

fn strings(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

impl Parse for Param {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let type_ = input.parse()?;
        let content;
        syn::braced!(content in input);
        let (mut default, mut description, mut perm) = (None, None, None);
        while !content.is_empty() {
            let key: Ident = content.call(Ident::parse_any)?;
            content.parse::<Token![:]>()?;
            match key.to_string().as_str() {
                "default" => default = Some(content.parse()?),
                "description" => description = Some(content.parse()?),
                "permissions" => perm = Some(content.parse()?),
                _ => return Err(Error::new(key.span(), "the keys are default, description, permissions")),
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        Ok(Self {
            name,
            type_,
            default: default.ok_or_else(|| content.error("`default` is missing"))?,
            description: description.ok_or_else(|| content.error("`description` is missing"))?,
            perm: perm.unwrap_or_else(|| syn::parse_quote!(0)),
        })
    }
}

impl Param {
    /// Its type as programs know it, its type, and its default: `str` is a text with room of its own, `charp` as in C.
    fn kind(&self) -> (String, TokenStream, TokenStream) {
        let (type_, default) = (&self.type_, &self.default);
        if type_ == "str" {
            let text = quote!(::kernel::module_param::Text);
            return ("charp".into(), text.clone(), quote!(#text::new(#default)));
        }
        (type_.to_string(), quote!(#type_), quote!(#default))
    }

    /// The lines that `modinfo` shows.
    fn info(&self) -> [(String, LitStr); 2] {
        let text = |value: String| LitStr::new(&value, self.name.span());
        [
            ("parmtype".into(), text(format!("{}:{}", self.name, self.kind().0))),
            ("parm".into(), text(format!("{}:{}", self.name, self.description.value()))),
        ]
    }
}

impl Parse for Declaration {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut type_, mut name, mut license) = (None, None, false);
        let (mut info, mut params) = (Vec::new(), Vec::new());
        let mut initcall = ".initcall6.init".to_string();
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
                "initcall" => initcall = section(&input.parse::<LitStr>()?)?,
                "authors" => info.extend(strings(input)?.into_iter().map(|s| ("author".to_string(), s))),
                "alias" | "firmware" => info.extend(strings(input)?.into_iter().map(|s| (text.clone(), s))),
                "imports_ns" => info.extend(strings(input)?.into_iter().map(|s| ("import_ns".to_string(), s))),
                "params" => {
                    let content;
                    syn::braced!(content in input);
                    params = Punctuated::<Param, Token![,]>::parse_terminated(&content)?.into_iter().collect();
                    info.extend(params.iter().flat_map(Param::info));
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
        Ok(Self { type_, name, info, params, section: initcall })
    }
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Declaration { type_, name, info, params, section } = syn::parse2(input)?;
    let pairs = info.iter().map(|(key, value)| {
        // A module's own file names no module; one linked into vmlinux says whose line it is.
        let file = format!("{key}={}\0", value.value());
        let built_in = format!("{}.{key}={}\0", name.value(), value.value());
        quote!({ #file, #built_in })
    });
    let c_name =
        std::ffi::CString::new(name.value()).map_err(|_| Error::new(name.span(), "a name has no zero byte"))?;
    let c_name = proc_macro2::Literal::c_string(&c_name);
    let params = params.iter().map(|param| {
        let Param { name, perm, .. } = param;
        let (_, type_, default) = param.kind();
        let text = name.to_string();
        quote!({ #name, #type_, #default, #perm, #text })
    });
    Ok(quote! {
        ::kernel::__module! {
            type: #type_,
            name: #name,
            name_c: #c_name,
            info: [#(#pairs),*],
            params: [#(#params),*],
            section: #section,
        }
    })
}
