//! Values of arguments: names, numbers, one of several words, types.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, Lit, LitStr, Token, Type};

use super::{Argument, Value, bracketed};
use crate::diagnostics::{Diagnostics, list, nearest, source};
use crate::model::{DomainRef, Spanned};

/// What [`valid_name`] demands, in words.
pub(crate) const NAME_RULE: &str =
    "names are stored with every event and travel between systems: 1 to 64 of `a-z 0-9 _ -`, starting with a letter";

impl Argument {
    /// The value after `=`; tells if there is none.
    fn value(&self, example: &str, diagnostics: &mut Diagnostics) -> Option<&TokenStream> {
        if let Value::Is(value) = &self.value {
            return Some(value);
        }
        diagnostics.report(
            &self.tokens(),
            format!("`{}` needs a value", self.key),
            "it is a key, not a flag",
            format!("write `{example}`"),
        );
        None
    }

    /// A string.
    fn string(&self, example: &str, diagnostics: &mut Diagnostics) -> Option<LitStr> {
        let value = self.value(example, diagnostics)?;
        match syn::parse2::<Lit>(value.clone()) {
            Ok(Lit::Str(text)) => Some(text),
            _ => {
                let key = &self.key;
                let write = match syn::parse2::<Ident>(value.clone()) {
                    Ok(word) => format!("write `{key} = \"{}\"`", suggested_name(&word.to_string(), "…")),
                    Err(_) => format!("write `{example}`"),
                };
                diagnostics.report(
                    value,
                    format!("`{key}` is not a string"),
                    "it is a name, and names are strings here",
                    write,
                );
                None
            }
        }
    }

    /// The name of a domain or component. A bad one is reported and still returned.
    pub(crate) fn name(&self, example: &str, diagnostics: &mut Diagnostics) -> Option<LitStr> {
        let name = self.string(example, diagnostics)?;
        check_name(&self.key.to_string(), &name, diagnostics);
        Some(name)
    }

    /// The full name of a message.
    pub(crate) fn message_name(&self, example: &str, diagnostics: &mut Diagnostics) -> Option<LitStr> {
        let name = self.string(example, diagnostics)?;
        let text = name.value();
        let valid = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !text.split('.').all(valid) {
            diagnostics.report(
                &name,
                format!("`{text}` is not the full name of a protobuf message"),
                "it is compared with the names that events are stored under, such as `bank.OwnerRegistered`",
                format!("write `{example}`"),
            );
        }
        Some(name)
    }

    /// A number from 1.
    pub(crate) fn number(&self, zero: &str, diagnostics: &mut Diagnostics) -> Option<Spanned<u32>> {
        let key = self.key.to_string();
        let value = self.value(&format!("{key} = 1"), diagnostics)?;
        let literal = match syn::parse2::<Lit>(value.clone()) {
            Ok(Lit::Int(literal)) => literal,
            _ => {
                diagnostics.report(
                    value,
                    format!("`{key}` is not a number"),
                    "it is a whole number from 1",
                    format!("write `{key} = 1`, or another whole number"),
                );
                return None;
            }
        };
        match literal.base10_parse::<u32>() {
            Ok(0) => {
                diagnostics.report(
                    value,
                    format!("`{key} = 0` means nothing"),
                    zero,
                    format!("write `{key} = 1`, or more"),
                );
                Some(Spanned { value: 1, span: literal.span() })
            }
            Ok(number) => Some(Spanned { value: number, span: literal.span() }),
            Err(_) => {
                diagnostics.report(
                    value,
                    format!("`{key}` is too large, or is not a plain number"),
                    format!("it is a whole number from 1 to {}", u32::MAX),
                    format!("write `{key} = 1`, or another whole number"),
                );
                None
            }
        }
    }

    /// One of several words.
    pub(crate) fn one_of(
        &self,
        what: &str,
        words: &[&'static str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<&'static str>> {
        let key = self.key.to_string();
        let value = self.value(&format!("{key} = {}", words.first().copied().unwrap_or("…")), diagnostics)?;
        if let Ok(word) = syn::parse2::<Ident>(value.clone()) {
            if let Some(known) = words.iter().find(|known| word == **known) {
                return Some(Spanned { value: known, span: word.span() });
            }
            let write = match nearest(&word.to_string(), words) {
                Some(near) => format!("did you mean `{key} = {near}`?"),
                None => format!("write one of them, for example `{key} = {}`", words.first().copied().unwrap_or("…")),
            };
            diagnostics.report(
                &word,
                format!("there is no {what} `{word}`"),
                format!("`{key}` is {}", list(words)),
                write,
            );
            return None;
        }
        let written = match syn::parse2::<Lit>(value.clone()) {
            Ok(Lit::Str(text)) => text.value(),
            _ => source(value),
        };
        let near = nearest(&written, words).or(words.first().copied()).unwrap_or("…");
        diagnostics.report(
            value,
            format!("`{key}` is a bare word, not `{}`", source(value)),
            format!("it is {}", list(words)),
            format!("write `{key} = {near}`"),
        );
        None
    }

    /// A word of the user's, like the name of a field.
    pub(crate) fn word(&self, example: &str, diagnostics: &mut Diagnostics) -> Option<Ident> {
        let value = self.value(example, diagnostics)?;
        match syn::parse2::<Ident>(value.clone()) {
            Ok(word) => Some(word),
            Err(_) => {
                diagnostics.report(
                    value,
                    format!("`{}` is not a bare word", self.key),
                    "it names something of yours",
                    format!("write `{example}`"),
                );
                None
            }
        }
    }

    /// The type of an aggregate, exactly one.
    pub(crate) fn aggregate_type(&self, diagnostics: &mut Diagnostics) -> Option<Type> {
        let key = self.key.to_string();
        let value = self.value(&format!("{key} = Order"), diagnostics)?;
        let what = AggregateWords {
            wanted: format!("`{key}` is the type of an aggregate"),
            string: "a string",
            example: format!("{key} = "),
        };
        aggregate_type(value, &what, diagnostics)
    }

    /// `[Order, Payment]`: the types of aggregates, each once; `why` it is such a list.
    pub(crate) fn aggregate_types(&self, why: &str, diagnostics: &mut Diagnostics) -> Vec<Type> {
        let key = &self.key;
        let Some(elements) = self.elements() else {
            let one = match &self.value {
                Value::Is(value) => match parse_domain(value.clone()) {
                    Some(DomainRef::Aggregate(ty)) => source(&ty),
                    Some(DomainRef::Name(name)) => type_name(&name.value()),
                    None => "Order".to_owned(),
                },
                _ => "Order".to_owned(),
            };
            let write = format!("write `{key} = [{one}]`");
            diagnostics.report(&self.tokens(), format!("`{key}` is not a list"), why, write);
            return Vec::new();
        };
        if elements.is_empty() {
            let write = format!("name at least one: `{key} = [Order]`");
            diagnostics.report(&self.tokens(), format!("`{key}` is empty"), why, write);
        }
        let mut types: Vec<Type> = Vec::new();
        for element in elements {
            let what = AggregateWords {
                wanted: format!("`{key}` lists the types of aggregates"),
                string: "strings",
                example: String::new(),
            };
            let Some(ty) = aggregate_type(&element, &what, diagnostics) else { continue };
            if types.iter().any(|other| source(other) == source(&ty)) {
                let what = format!("`{}` is listed twice", source(&ty));
                diagnostics.report(&ty, what, "once is enough", "remove one of the two");
            } else {
                types.push(ty);
            }
        }
        types
    }

    /// The elements of `[a, b]`; `None` for anything else.
    pub(crate) fn elements(&self) -> Option<Vec<TokenStream>> {
        let Value::Is(value) = &self.value else { return None };
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        let elements = parser.parse2(bracketed(value)?).ok()?;
        Some(elements.into_iter().map(ToTokens::into_token_stream).collect())
    }

    /// The types between the parentheses of `handles(A, B)`.
    pub(crate) fn types(&self, example: &str, diagnostics: &mut Diagnostics) -> Vec<Type> {
        if let Value::List(group) = &self.value {
            match Punctuated::<Type, Token![,]>::parse_terminated.parse2(group.stream()) {
                Ok(types) if !types.is_empty() => return types.into_iter().collect(),
                Ok(_) => {}
                Err(error) => {
                    diagnostics.syntax(error);
                    return Vec::new();
                }
            }
        }
        diagnostics.report(
            &self.tokens(),
            format!("`{}` lists no types", self.key),
            "it is a list of types in parentheses",
            format!("write `{example}`"),
        );
        Vec::new()
    }
}

/// How a mistake in the type of an aggregate is told.
struct AggregateWords {
    /// What it should be.
    wanted: String,
    /// What it is called if it is a string.
    string: &'static str,
    /// What stands in front of the type in an example.
    example: String,
}

fn aggregate_type(value: &TokenStream, words: &AggregateWords, diagnostics: &mut Diagnostics) -> Option<Type> {
    let AggregateWords { wanted, string, example } = words;
    match parse_domain(value.clone()) {
        Some(DomainRef::Aggregate(ty)) => return Some(ty),
        Some(DomainRef::Name(name)) => diagnostics.report(
            &name,
            format!("{wanted}, not {string}"),
            "its events are checked by type; an aggregate of another process has a type too",
            format!(
                "write `{example}{}`; for one in another process, first declare `#[aggregate(domain = \"{}\", remote, \
                 handles(…))] pub struct {};`",
                type_name(&name.value()),
                name.value(),
                type_name(&name.value()),
            ),
        ),
        None => diagnostics.report(
            value,
            format!("{wanted}, not `{}`", source(value)),
            "its events are checked by type",
            format!("write `{example}Order`, with the struct that carries `#[aggregate(domain = …)]`"),
        ),
    }
    None
}

/// A domain: its name, or the type of its aggregate.
pub(crate) fn parse_domain(tokens: TokenStream) -> Option<DomainRef> {
    if let Ok(name) = syn::parse2::<LitStr>(tokens.clone()) {
        return Some(DomainRef::Name(name));
    }
    match syn::parse2::<Type>(tokens) {
        Ok(ty @ Type::Path(_)) => Some(DomainRef::Aggregate(ty)),
        _ => None,
    }
}

/// Whether a name may be stored: the same rule as the runtime's.
pub(crate) fn valid_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Reports a name that may not be stored.
pub(crate) fn check_name(key: &str, name: &LitStr, diagnostics: &mut Diagnostics) {
    let text = name.value();
    if valid_name(&text) {
        return;
    }
    let what = if text.is_empty() {
        format!("the {key} is empty")
    } else if text.len() > 64 {
        format!("the {key} is {} characters long", text.chars().count())
    } else {
        format!("`{text}` cannot be a {key}")
    };
    let suggestion = suggested_name(&text, "order");
    diagnostics.report(name, what, NAME_RULE, format!("write a name like `\"{suggestion}\"`"));
}

/// The valid name nearest to what was written.
pub(crate) fn suggested_name(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            name.push('-');
        }
        let c = c.to_ascii_lowercase();
        match c {
            'a'..='z' | '0'..='9' | '_' | '-' => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name = name.get(..name.len().min(64)).unwrap_or(name).trim_end_matches('-');
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

/// `stock-item` as a type would be called.
fn type_name(name: &str) -> String {
    let name: String = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect();
    if name.is_empty() { "Order".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_valid_names() {
        for (written, suggested) in [
            ("Account", "account"),
            ("OrderLine", "order-line"),
            ("my domain", "my-domain"),
            ("9lives", "lives"),
            ("", "order"),
            ("Ä!", "order"),
        ] {
            assert_eq!(suggested_name(written, "order"), suggested);
            assert!(valid_name(suggested));
        }
        assert!(valid_name(&suggested_name(&"x".repeat(100), "order")));
        assert_eq!(type_name("stock-item"), "StockItem");
    }
}
