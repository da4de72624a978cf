//! What every item has: crate path, doc comment, place, cfg.
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Lit, Meta};

pub(crate) fn runtime() -> TokenStream {
    match proc_macro_crate::crate_name("angzarr-runtime") {
        Ok(proc_macro_crate::FoundCrate::Name(name)) => {
            let name = format_ident!("{}", name);
            quote!(::#name::__private)
        }
        _ => quote!(::angzarr_runtime::__private),
    }
}

pub(crate) fn doc(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs {
        if let Meta::NameValue(nv) = &attr.meta
            && nv.path.is_ident("doc")
            && let Expr::Lit(lit) = &nv.value
            && let Lit::Str(text) = &lit.lit
        {
            for line in text.value().lines() {
                lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}

pub(crate) fn cfgs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|a| a.path().is_ident("cfg")).collect()
}

pub(crate) fn location(p: &TokenStream, span: Span) -> TokenStream {
    let line = u32::try_from(span.start().line).unwrap_or(0);
    quote!(#p::Location { file: ::core::file!(), line: #line, package: ::core::env!("CARGO_PKG_NAME") })
}

pub(crate) fn marker(attr: &Attribute) -> Option<Ident> {
    attr.path().segments.last().map(|s| s.ident.clone())
}

pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&word.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(s, _)| *s > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

pub(crate) fn span_of(tokens: &impl Spanned) -> Span {
    tokens.span()
}
