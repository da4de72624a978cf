//! The one place where mistakes are gathered, and the form in which they are told.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes of one item, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    errors: Vec<syn::Error>,
}

impl Diagnostics {
    /// Reports a mistake at the user's tokens: what is wrong, why it cannot be, what to write instead.
    pub(crate) fn report(
        &mut self,
        at: &dyn ToTokens,
        what: impl AsRef<str>,
        why: impl AsRef<str>,
        write: impl AsRef<str>,
    ) {
        let text = message(what.as_ref(), why.as_ref(), write.as_ref());
        self.errors.push(syn::Error::new_spanned(at, text));
    }

    /// [`report`](Self::report) for what has no tokens of its own: something is missing.
    pub(crate) fn report_at(&mut self, at: Span, what: impl AsRef<str>, why: impl AsRef<str>, write: impl AsRef<str>) {
        let text = message(what.as_ref(), why.as_ref(), write.as_ref());
        self.errors.push(syn::Error::new(at, text));
    }

    /// Takes over what `syn` could not parse.
    pub(crate) fn syntax(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    /// How many mistakes were reported so far; a part was parsed without one if the number stayed the same.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    /// The mistakes as `compile_error!`s.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.iter().map(syn::Error::to_compile_error).collect()
    }

    /// The mistakes as text, for tests.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.errors.iter().flat_map(|error| error.clone().into_iter().map(|one| one.to_string())).collect()
    }
}

/// Stable Rust lets a macro give one text and one place: notes and help are written into it in the compiler's own form.
fn message(what: &str, why: &str, write: &str) -> String {
    format!("{what}\n= note: {why}\n= help: {write}")
}

/// The valid name nearest to what was written, if there is one near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, valid: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &candidate.to_lowercase());
    valid
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3 + 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` or `c`, each in backquotes.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Tokens as a person would write them.
pub(crate) fn source(tokens: &dyn ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    let tight = [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" <", "<"),
        (" > ", "> "),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" ;", ";"),
        ("( ", "("),
        (" )", ")"),
        (" (", "("),
        ("[ ", "["),
        (" ]", "]"),
        ("' ", "'"),
        (",)", ")"),
        ("> ::", ">::"),
    ];
    for (loose, firm) in tight {
        text = text.replace(loose, firm);
    }
    text.trim().replace("->", " -> ").replace(",(", ", (").replace("> ,", ">,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nonsense_is_not() {
        let strategies = ["Commutative", "Strict", "AggregateHandles", "Manual"];
        assert_eq!(nearest("Comutative", &strategies), Some("Commutative"));
        assert_eq!(nearest("strict", &strategies), Some("Strict"));
        assert_eq!(nearest("Whatever", &strategies), None);
    }

    #[test]
    fn types_read_as_they_were_written() {
        for text in [
            "Vec<Command<Inventory>>",
            "&CommandContext",
            "bank::pb::Opened",
            "Result<(A, Option<B>), Rejection>",
            "(A, (B, C))",
            "()",
            "[A; 2]",
            "&'a EventContext",
            "<A as B>::C",
        ] {
            let ty: syn::Type = syn::parse_str(text).expect(text);
            assert_eq!(source(&ty), text);
        }
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(list(&["a"]), "`a`");
    }
}
