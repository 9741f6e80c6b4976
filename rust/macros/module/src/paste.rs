// SPDX-License-Identifier: GPL-2.0
//! `paste!` and `concat_idents!`: identifiers made of parts.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Result, Token, ext::IdentExt};

struct Two(Ident, Ident);

impl Parse for Two {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let first = input.call(Ident::parse_any)?;
        input.parse::<Token![,]>()?;
        Ok(Self(first, input.call(Ident::parse_any)?))
    }
}

pub(crate) fn concat(input: TokenStream) -> Result<TokenStream> {
    let Two(first, second) = syn::parse2(input)?;
    let text = format!("{first}{second}");
    syn::parse_str::<Ident>(&text).map_err(|_| Error::new(second.span(), format!("`{text}` is no identifier")))?;
    Ok(TokenTree::from(Ident::new(&text, second.span())).into())
}

/// The identifier that the tokens between `[<` and `>]` make, with the span of the first part (or of `span:`).
fn pasted(tokens: &[TokenTree]) -> Option<Ident> {
    let (mut text, mut span) = (String::new(), None::<Span>);
    let mut parts = tokens.iter().peekable();
    while let Some(part) = parts.next() {
        let mut piece = match part {
            TokenTree::Ident(ident) => {
                span = span.or(Some(ident.span()));
                ident.to_string().trim_start_matches("r#").to_string()
            }
            TokenTree::Literal(literal) => literal.to_string().trim_matches('"').replace('-', "_"),
            // Tokens of a macro's fragment come in a group of their own.
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                pasted(&inner)?.to_string()
            }
            TokenTree::Punct(_) => return None,
        };
        while matches!(parts.peek(), Some(TokenTree::Punct(p)) if p.as_char() == ':') {
            parts.next();
            match parts.next() {
                Some(TokenTree::Ident(how)) if how == "lower" => piece = piece.to_lowercase(),
                Some(TokenTree::Ident(how)) if how == "upper" => piece = piece.to_uppercase(),
                Some(TokenTree::Ident(how)) if how == "span" => {
                    if let TokenTree::Ident(ident) = part {
                        span = Some(ident.span());
                    }
                }
                _ => return None,
            }
        }
        text.push_str(&piece);
    }
    syn::parse_str::<Ident>(&text).ok()?;
    Some(Ident::new(&text, span.unwrap_or_else(Span::call_site)))
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    for token in input {
        let TokenTree::Group(group) = token else {
            out.extend([token]);
            continue;
        };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        if group.delimiter() == Delimiter::Bracket
            && let [TokenTree::Punct(open), middle @ .., TokenTree::Punct(close)] = &inner[..]
            && open.as_char() == '<'
            && close.as_char() == '>'
            && let Some(ident) = pasted(middle)
        {
            out.extend([TokenTree::from(ident)]);
            continue;
        }
        let mut changed = Group::new(group.delimiter(), expand(group.stream()));
        changed.set_span(group.span());
        out.extend([TokenTree::from(changed)]);
    }
    out
}
