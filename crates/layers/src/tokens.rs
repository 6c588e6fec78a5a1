//! Finds paths in the tokens of macros and attributes.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path and the line where it starts.
pub(crate) type Found = (Vec<String>, usize);

/// All possible paths in tokens, single names included. Names of fields, methods, lifetimes,
/// metavariables and assigned names are left out.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Found> {
    let mut found = Vec::new();
    below(&[], tokens, &mut found);
    found
}

/// Paths in tokens: those in braces after `prefix::`, or any without a prefix.
fn below(prefix: &[String], tokens: TokenStream, found: &mut Vec<Found>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        at += 1;
        match &tokens[start] {
            TokenTree::Group(group) => below(&[], group.stream(), found),
            TokenTree::Ident(first) => {
                let mut path = [prefix, &[first.to_string()]].concat();
                while is_separator(&tokens, at)
                    && let Some(TokenTree::Ident(next)) = tokens.get(at + 2)
                {
                    path.push(next.to_string());
                    at += 3;
                }
                if let Some(TokenTree::Group(list)) = tokens.get(at + 2)
                    && is_separator(&tokens, at)
                    && list.delimiter() == Delimiter::Brace
                {
                    below(&path, list.stream(), found);
                    at += 3;
                } else if !follows_other(&tokens, start)
                    && (path.len() > 1 || !is_label(&tokens, at))
                {
                    found.push((path, first.span().start().line));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn is(tokens: &[TokenTree], at: usize, char: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

/// Whether `::` starts at an index.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is(tokens, at, ':') && is(tokens, at + 1, ':')
}

/// Whether the token before a name shows that it does not start a path.
fn follows_other(tokens: &[TokenTree], at: usize) -> bool {
    let before = |n: usize, char| at >= n && is(tokens, at - n, char);
    let is_crate = matches!(&tokens[at], TokenTree::Ident(name) if name == "crate");
    before(1, '\'')
        || (before(1, '.') && !before(2, '.'))
        || (before(1, ':') && before(2, ':'))
        || (before(1, '$') && !is_crate)
}

/// Whether a single `:` or `=` is at an index, so that the name before it gets a type or a value.
fn is_label(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct))
        if matches!(punct.as_char(), ':' | '=') && punct.spacing() == Spacing::Alone)
}
