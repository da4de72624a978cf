//! The arguments of `#[rejected]`, on an aggregate and on a process manager.

use syn::spanned::Spanned as _;

use super::block::Marked;
use crate::attribute::{Arguments, Value, parse_domain};
use crate::diagnostics::{Diagnostics, source};
use crate::model::DomainRef;

/// The one target that the method is for: `from = Payment` or `domain = "payment"`.
pub(super) fn target(marked: &Marked, diagnostics: &mut Diagnostics) -> Option<DomainRef> {
    let span = marked.attribute.span();
    let mut arguments = Arguments::parse("rejected", span, &["from", "domain"], marked.arguments(), diagnostics);
    let domain = arguments.take("domain");
    let Some(from) = arguments.take("from") else {
        return domain?.name("domain = \"payment\"", diagnostics).map(DomainRef::Name);
    };
    if let Some(domain) = domain {
        diagnostics.report(
            &domain.tokens(),
            "`from` and `domain` say the same twice",
            "both name the target that rejected the command: by the type of its aggregate, or by its name",
            "keep one of the two",
        );
    }
    if let Value::Is(value) = &from.value
        && let Some(DomainRef::Name(name)) = parse_domain(value.clone())
    {
        diagnostics.report(
            value,
            "`from` is the type of an aggregate, not a string",
            "a target is named by the type of its aggregate, or by its domain",
            format!("write `domain = {}`, or `from = …` with the type", source(&name)),
        );
        return None;
    }
    from.aggregate_type(diagnostics).map(DomainRef::Aggregate)
}
