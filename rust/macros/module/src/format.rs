// SPDX-License-Identifier: GPL-2.0
//! `fmt!`: every argument, inline ones too, goes through `::kernel::fmt::Tag`, which finds text for what `core` has none for.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;

/// Identifiers that a format string captures: `{name}`, `{name:spec}`. Those after a colon (`{:width$}`) are numbers and stay.
fn captured(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            rest = after;
            continue;
        }
        let end = rest.find('}').unwrap_or(rest.len());
        let name = rest[..end].split(':').next().unwrap_or_default().trim();
        let first = name.chars().next();
        if first.is_some_and(|c| c.is_alphabetic() || c == '_') && !names.iter().any(|n| n == name) {
            names.push(name.to_string());
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    names
}

/// Splits at the commas outside of groups.
fn arguments(tokens: &[TokenTree]) -> Vec<Vec<TokenTree>> {
    let mut all = vec![Vec::new()];
    for token in tokens {
        match token {
            TokenTree::Punct(p) if p.as_char() == ',' => all.push(Vec::new()),
            other => all.last_mut().expect("never empty").push(other.clone()),
        }
    }
    all.retain(|argument| !argument.is_empty());
    all
}

/// The literal that an argument is, perhaps inside of the invisible group that a macro's fragment has.
fn literal(tokens: &[TokenTree]) -> Option<syn::LitStr> {
    match tokens {
        [TokenTree::Literal(_)] => syn::parse2(tokens.iter().cloned().collect()).ok(),
        [TokenTree::Group(group)] if group.delimiter() == proc_macro2::Delimiter::None => {
            literal(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => None,
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = input.clone().into_iter().collect();
    let split = tokens.iter().position(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ','));
    let (format, rest) = match split {
        Some(at) => (&tokens[..at], &tokens[at + 1..]),
        None => (&tokens[..], &tokens[..0]),
    };
    // A string made by another macro (`concat!`) captures nothing.
    let Some(string) = literal(format) else {
        return quote!(::core::format_args!(#input));
    };
    let text = string.value();
    let (mut arguments_out, mut named) = (Vec::new(), Vec::new());
    for argument in arguments(rest) {
        match &argument[..] {
            [TokenTree::Ident(name), TokenTree::Punct(eq), value @ ..]
                if eq.as_char() == '=' && eq.spacing() == proc_macro2::Spacing::Alone =>
            {
                let value: TokenStream = value.iter().cloned().collect();
                named.push(name.to_string());
                // `{:width$}` wants the number itself.
                if text.contains(&format!("{name}$")) {
                    arguments_out.push(quote!(#name = #value));
                } else {
                    arguments_out.push(quote!(#name = ::kernel::fmt::Tag::new(&(#value)).shown()));
                }
            }
            other => {
                let value: TokenStream = other.iter().cloned().collect();
                // With `.*` and `0$` a positional argument may be a number that says how to print.
                if text.contains(".*") || text.contains('$') {
                    arguments_out.push(value);
                } else {
                    arguments_out.push(quote!(::kernel::fmt::Tag::new(&(#value)).shown()));
                }
            }
        }
    }
    for name in captured(&text) {
        if named.contains(&name) || text.contains(&format!("{name}$")) {
            continue;
        }
        let Ok(mut ident) = syn::parse_str::<Ident>(&name) else { continue };
        // As `format_args!` resolves it: where the string was written.
        ident.set_span(string.span());
        arguments_out.push(quote!(#ident = ::kernel::fmt::Tag::new(&#ident).shown()));
    }
    let format: TokenStream = format.iter().cloned().collect();
    quote!(::core::format_args!(#format #(, #arguments_out)*))
}
