//! The grammar of arguments: `key = value`, `key(…)`, `key`, separated by commas.
//!
//! In: the tokens between an attribute's parentheses. Out: one argument for each key, with its tokens. Never: what a key means.

mod value;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Token, token};

use crate::diagnostics::{Diagnostics, list, nearest, source};

pub(crate) use value::*;

/// One argument.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// What follows a key.
#[derive(Debug)]
pub(crate) enum Value {
    Nothing,
    /// `= …`
    Is(TokenStream),
    /// `(…)`
    List(Group),
}

impl Argument {
    /// The argument's tokens as the user wrote them.
    pub(crate) fn tokens(&self) -> TokenStream {
        let key = &self.key;
        match &self.value {
            Value::Nothing => key.to_token_stream(),
            Value::Is(value) => quote::quote!(#key = #value),
            Value::List(group) => quote::quote!(#key #group),
        }
    }
}

/// The arguments of one attribute, each key once, all of them known.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// As it is written: `#[saga(…)]`.
    attribute: String,
    span: Span,
    arguments: Vec<Argument>,
}

impl Arguments {
    /// Parses the arguments. Unknown and repeated keys are reported and left out.
    pub(crate) fn parse(
        attribute: &str,
        span: Span,
        known: &[&str],
        tokens: TokenStream,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let parsed =
            (|input: ParseStream<'_>| Ok(parse_all(input, known, diagnostics))).parse2(tokens).unwrap_or_default();
        let mut arguments: Vec<Argument> = Vec::new();
        for argument in parsed {
            let key = argument.key.to_string();
            if !known.contains(&key.as_str()) {
                unknown_key(attribute, &argument, known, diagnostics);
            } else if arguments.iter().any(|other| other.key == key) {
                diagnostics.report(
                    &argument.key,
                    format!("`{key}` is given twice"),
                    format!("every key of `#[{attribute}(…)]` has one value"),
                    "remove one of the two",
                );
            } else {
                arguments.push(argument);
            }
        }
        Self { attribute: attribute.to_owned(), span, arguments }
    }

    /// Takes an optional argument out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Argument> {
        let index = self.arguments.iter().position(|argument| argument.key == key)?;
        Some(self.arguments.remove(index))
    }

    /// Takes a required argument out; tells if it is missing.
    pub(crate) fn require(
        &mut self,
        key: &str,
        why: &str,
        example: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Argument> {
        let argument = self.take(key);
        if argument.is_none() {
            diagnostics.report_at(
                self.span,
                format!("`{key}` is missing in `#[{}(…)]`", self.attribute),
                why,
                format!("add `{example}`"),
            );
        }
        argument
    }

    /// Takes a key that stands alone, like `remote`.
    pub(crate) fn flag(&mut self, key: &str, diagnostics: &mut Diagnostics) -> Option<Ident> {
        let argument = self.take(key)?;
        if !matches!(argument.value, Value::Nothing) {
            diagnostics.report(
                &argument.tokens(),
                format!("`{key}` takes no value"),
                "it stands alone: said or not said",
                format!("write `{key}`"),
            );
        }
        Some(argument.key)
    }
}

fn unknown_key(attribute: &str, argument: &Argument, known: &[&str], diagnostics: &mut Diagnostics) {
    let key = &argument.key;
    if attribute == "handler" && key == "live_only" {
        diagnostics.report(
            key,
            "`live_only` is for handlers of projectors",
            "it says that a handler is not called during a rebuild, and only projectors are rebuilt",
            "remove `live_only`",
        );
        return;
    }
    let why = if known.is_empty() {
        format!("`#[{attribute}]` takes no arguments here")
    } else {
        format!("the keys are {}", list(known).replace(" or ", " and "))
    };
    let write = match (nearest(&key.to_string(), known), &argument.value, known) {
        (Some(near), ..) => format!("did you mean `{near}`?"),
        // The one key that has a value.
        (None, Value::Nothing, ["merge"]) => format!("write `merge = {key}` if it is the value, or remove it"),
        _ => format!("remove `{key}`"),
    };
    diagnostics.report(key, format!("`#[{attribute}(…)]` knows no key `{key}`"), why, write);
}

/// Parses as much as makes sense; skips to the next comma after a mistake.
fn parse_all(input: ParseStream<'_>, known: &[&str], diagnostics: &mut Diagnostics) -> Vec<Argument> {
    let mut arguments = Vec::new();
    while !input.is_empty() {
        if let Ok(key) = input.call(Ident::parse_any) {
            let value = if input.peek(Token![=]) {
                let _: Option<Token![=]> = input.parse().ok();
                let value = until_comma(input);
                if value.is_empty() {
                    diagnostics.report(
                        &key,
                        format!("`{key} =` has no value"),
                        "a key with `=` needs one",
                        format!("write `{key} = …`"),
                    );
                    continue_after_comma(input);
                    continue;
                }
                Value::Is(value)
            } else if input.peek(token::Paren) {
                match input.parse::<TokenTree>() {
                    Ok(TokenTree::Group(group)) => Value::List(group),
                    _ => Value::Nothing,
                }
            } else {
                Value::Nothing
            };
            arguments.push(Argument { key, value });
            let rest = until_comma(input);
            if let Some(value) = after_colon(&rest) {
                if let Some(argument) = arguments.last_mut() {
                    let key = &argument.key;
                    diagnostics.report(
                        &rest,
                        format!("`{key}` is followed by a colon"),
                        "an argument is `key = value`",
                        format!("write `{key} = {}`", source(&value)),
                    );
                    argument.value = Value::Is(value);
                }
            } else if !rest.is_empty() {
                diagnostics.report(
                    &rest,
                    "unexpected text after an argument",
                    "arguments are separated by commas",
                    "put a comma in front of it, or remove it",
                );
            }
        } else {
            let text = until_comma(input);
            if !text.is_empty() {
                diagnostics.report(
                    &text,
                    "this is not an argument",
                    "arguments are `key = value`, `key(…)` or `key`",
                    match known {
                        [] => "remove it: there are no arguments here".to_owned(),
                        keys => format!("name the key in front of the value: {}", list(keys)),
                    },
                );
            }
        }
        continue_after_comma(input);
    }
    arguments
}

/// What stands behind a colon: a value in the grammar of other languages.
fn after_colon(tokens: &TokenStream) -> Option<TokenStream> {
    let mut trees = tokens.clone().into_iter();
    let is_colon = matches!(trees.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    let value: TokenStream = trees.collect();
    (is_colon && !value.is_empty()).then_some(value)
}

fn continue_after_comma(input: ParseStream<'_>) {
    let _: Option<Token![,]> = input.parse().ok();
}

fn until_comma(input: ParseStream<'_>) -> TokenStream {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        match input.parse::<TokenTree>() {
            Ok(tree) => tokens.extend([tree]),
            Err(_) => break,
        }
    }
    tokens
}

/// The tokens between the delimiters of a value like `[a, b]`.
fn bracketed(tokens: &TokenStream) -> Option<TokenStream> {
    let mut trees = tokens.clone().into_iter();
    match (trees.next(), trees.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Bracket => Some(group.stream()),
        _ => None,
    }
}
