// SPDX-License-Identifier: GPL-2.0
//! `ForLt!` and `CovariantForLt!`: a type that a lifetime is still to be put into. `'_` in the type stands for it, as does a lifetime that a reference does not name, or the name that
//! `for<'a>` gives it.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::quote;

/// The type with the elided lifetimes of its references written out, as `'_`.
fn write_out(input: TokenStream) -> TokenStream {
    let mut output = TokenStream::new();
    let mut tokens = input.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let reference = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '&');
        output.extend([match token {
            TokenTree::Group(group) => {
                let mut new = Group::new(group.delimiter(), write_out(group.stream()));
                new.set_span(group.span());
                TokenTree::Group(new)
            }
            other => other,
        }]);
        if reference && !matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '\'') {
            output.extend(quote!('_));
        }
    }
    output
}

/// Puts lifetime `to` in the place of `from` everywhere.
fn replace(input: TokenStream, from: &str, to: &str) -> TokenStream {
    let mut after_quote = false;
    input
        .into_iter()
        .map(|token| {
            let quoted = std::mem::replace(&mut after_quote, false);
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                    after_quote = true;
                    TokenTree::Punct(punct)
                }
                TokenTree::Ident(ident) if quoted && ident == from => {
                    TokenTree::Ident(proc_macro2::Ident::new(to, ident.span()))
                }
                TokenTree::Group(group) => {
                    let mut new = Group::new(group.delimiter(), replace(group.stream(), from, to));
                    new.set_span(group.span());
                    TokenTree::Group(new)
                }
                other => other,
            }
        })
        .collect()
}

/// The type, and the name of its lifetime.
fn split(input: TokenStream) -> (TokenStream, String) {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    if let [
        TokenTree::Ident(word),
        TokenTree::Punct(_),
        TokenTree::Punct(_),
        TokenTree::Ident(name),
        TokenTree::Punct(_),
        rest @ ..,
    ] = &tokens[..]
        && word == "for"
    {
        return (rest.iter().cloned().collect(), name.to_string());
    }
    (write_out(tokens.into_iter().collect()), "_".to_string())
}

/// Whether the lifetime stands in the shared references alone that the type begins with (`&'_ &'_ T`): covariant whatever `T` is. It
/// need not be proved then, and `T` may be generic, which the proof does not take.
fn is_plain_reference(ty: &TokenStream, name: &str) -> bool {
    let tokens: Vec<TokenTree> = ty.clone().into_iter().collect();
    let mut rest = &tokens[..];
    while let [TokenTree::Punct(and), TokenTree::Punct(quote), TokenTree::Ident(_), inner @ ..] = rest
        && and.as_char() == '&'
        && quote.as_char() == '\''
    {
        rest = inner;
    }
    // Behind a `mut` a lifetime may not change; `dyn` has one that nobody wrote down.
    if matches!(rest, [TokenTree::Ident(word), ..] if word == "mut") {
        return false;
    }
    rest.len() != tokens.len() && !names(&rest.iter().cloned().collect(), name)
}

/// Whether the lifetime is in it.
fn names(ty: &TokenStream, name: &str) -> bool {
    let mut after_quote = false;
    ty.clone().into_iter().any(|token| {
        let quoted = std::mem::replace(&mut after_quote, false);
        match token {
            TokenTree::Punct(punct) => {
                after_quote = punct.as_char() == '\'';
                false
            }
            TokenTree::Ident(ident) => quoted && ident == name,
            TokenTree::Group(group) => names(&group.stream(), name),
            TokenTree::Literal(_) => false,
        }
    })
}

/// Expands either; a covariant one proves it by a function that shortens the lifetime, if one has to look inside of a type for it.
pub(crate) fn expand(input: TokenStream, covariant: bool) -> TokenStream {
    let (ty, name) = split(input);
    let of = replace(ty.clone(), &name, "__lt");
    let proof = if covariant && is_plain_reference(&ty, &name) {
        quote!(1)
    } else if covariant {
        let (long, short) = (replace(ty.clone(), &name, "__long"), replace(ty, &name, "__short"));
        quote!({
            #[allow(dead_code)]
            fn shorten<'__short, '__long: '__short>(long: &'__short #long) -> &'__short #short {
                long
            }
            1
        })
    } else {
        quote!(0)
    };
    quote!(::kernel::types::UnsafeForLtImpl<dyn for<'__lt> ::kernel::types::WithLt<'__lt, Of = #of>, (), #proof>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(text: &str) -> bool {
        let (ty, name) = split(text.parse().expect("tokens"));
        is_plain_reference(&ty, &name)
    }

    #[test]
    fn what_needs_no_proof() {
        for plain in ["&T", "&'_ T", "&&T", "&[u8]", "&KBox<T>", "for<'a> &'a T", "for<'a> &'a &'a str"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in
            ["T", "Cell<&T>", "&mut T", "&&mut T", "&Cell<&T>", "&'_ Cell<T<'_>>", "for<'a> &'a Cell<T<'a>>", "fn(&T)"]
        {
            assert!(!is_plain(other), "{other}");
        }
    }
}
