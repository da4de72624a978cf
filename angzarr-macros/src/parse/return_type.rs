//! Return types, taken apart by their syntax.

use syn::spanned::Spanned;
use syn::{GenericArgument, PathArguments, Type};

use super::form::Returns;
use super::signature::{Checked, is_primitive};
use super::{bare, reaction};
use crate::diagnostics::{Diagnostics, source};
use crate::model::{Commands, Fallible, Reacted, Shape};

/// The generic arguments of a type whose path ends in a word that fits.
fn arguments(ty: &Type, fits: impl Fn(&str) -> bool) -> Option<Vec<&Type>> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last()?;
    if !fits(&last.ident.to_string()) {
        return None;
    }
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => Some(
            arguments
                .args
                .iter()
                .filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                })
                .collect(),
        ),
        _ => None,
    }
}

/// `Result<T, E>`, or an alias that ends in `Result` and names `T`.
pub(super) fn is_result(ty: &Type) -> bool {
    arguments(ty, |word| word.ends_with("Result")).is_some_and(|arguments| !arguments.is_empty())
}

fn only<'a>(ty: &'a Type, word: &str) -> Option<&'a Type> {
    match arguments(ty, |written| written == word)?.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// A value that holds messages; the first type that can hold none otherwise.
fn shape(ty: &Type) -> Result<Shape, &Type> {
    let ty = bare(ty);
    if let Some(inner) = only(ty, "Option") {
        return Ok(Shape::Option(Box::new(shape(inner)?)));
    }
    if let Some(inner) = only(ty, "Vec") {
        return Ok(Shape::Many(Box::new(shape(inner)?)));
    }
    if let Some(inner) = only(ty, "Box") {
        return Ok(Shape::Boxed(Box::new(shape(inner)?)));
    }
    match ty {
        Type::Array(array) => Ok(Shape::Many(Box::new(shape(&array.elem)?))),
        Type::Tuple(tuple) => Ok(Shape::Tuple(tuple.elems.iter().map(shape).collect::<Result<_, _>>()?)),
        Type::Path(_) if !is_result(ty) && !is_primitive(ty) => Ok(Shape::Leaf(ty.clone())),
        other => Err(other),
    }
}

/// `Result<events, E>` of a command handler, a `#[rejected]`, a `#[compensate]`.
pub(super) fn events(checked: &Checked, diagnostics: &mut Diagnostics) -> Option<Fallible> {
    let ty = checked.output.as_ref()?;
    let (success, error) = fallible(checked, ty, diagnostics)?;
    Some(Fallible { success: emitted(checked, success, diagnostics)?, error })
}

/// The events of a `#[fact]`, which cannot fail.
pub(super) fn infallible_events(checked: &Checked, diagnostics: &mut Diagnostics) -> Option<Shape> {
    let ty = checked.output.as_ref()?;
    if let Some([success, ..]) = arguments(ty, |word| word.ends_with("Result")).as_deref() {
        let why = "a fact has happened: it cannot be refused";
        let write = format!(
            "write `-> {}`; a fact that may change nothing is answered with an `Option<…>` or a `Vec<…>`",
            source(success)
        );
        checked.refuse_part(ty, &source(success), why, &write, diagnostics);
        return None;
    }
    emitted(checked, ty, diagnostics)
}

fn emitted(checked: &Checked, ty: &Type, diagnostics: &mut Diagnostics) -> Option<Shape> {
    match shape(ty) {
        Ok(success) => Some(success),
        Err(other) => {
            let why =
                "every event that a handler can return is known by its type, so that its `#[apply]` can be checked";
            let write =
                "write an event, `Option<…>`, `Vec<…>`, a tuple of these, `()`, or an enum with `#[derive(Events)]`";
            checked.refuse_part(other, "SomeEvent", why, write, diagnostics);
            None
        }
    }
}

/// What a method of the process manager `process` returns: a reaction, or a `Result` of one.
pub(super) fn reaction(checked: &Checked, process: &Type, diagnostics: &mut Diagnostics) -> Option<Reacted> {
    let ty = checked.output.as_ref()?;
    let (inner, error) = match arguments(ty, |word| word.ends_with("Result")).as_deref() {
        Some([success, failure, ..]) => (*success, Some(failure.span())),
        Some([success]) => (*success, Some(ty.span())),
        _ => (ty, None),
    };
    if !matches!(bare(inner), Type::Path(_)) || is_primitive(inner) {
        let why =
            "all that a process manager can do is react: own events, commands and timeouts are said in a `Reaction`";
        let write = "write `Reaction`, `Option<Reaction>`, or `Result<Reaction, ReactionError>`; several events or commands are \
                     added one after the other: `Reaction::new().event(…).command(…)`";
        checked.refuse_part(inner, "Reaction", why, write, diagnostics);
        return None;
    }
    let mut reaction = bare(inner).clone();
    reaction::own(&mut reaction, process);
    Some(Reacted { reaction, error })
}

/// `Result<projection, E>` of a projector's handler.
pub(super) fn projection(checked: &Checked, diagnostics: &mut Diagnostics) -> Option<Fallible> {
    let ty = checked.output.as_ref()?;
    let (inner, error) = fallible(checked, ty, diagnostics)?;
    let inner = bare(inner);
    let (option, message) = match only(inner, "Option") {
        Some(message) => (true, bare(message)),
        None => (false, inner),
    };
    let is_unit = matches!(message, Type::Tuple(tuple) if tuple.elems.is_empty());
    if !is_unit
        && (!matches!(message, Type::Path(_))
            || only(message, "Vec").is_some()
            || is_result(message)
            || is_primitive(message))
    {
        let why = "what a projector returns is one message, which the answer of a command carries in sync mode SIMPLE";
        let write =
            "write `Result<(), ProjectionError>`, or one message, or `Option` of one; a list belongs into a message";
        checked.refuse_part(message, "SomeView", why, write, diagnostics);
        return None;
    }
    let leaf = Shape::Leaf(message.clone());
    let success = if option { Shape::Option(Box::new(leaf)) } else { leaf };
    Some(Fallible { success, error })
}

/// The success type and the place of the error type.
fn fallible<'a>(
    checked: &Checked,
    ty: &'a Type,
    diagnostics: &mut Diagnostics,
) -> Option<(&'a Type, proc_macro2::Span)> {
    let Returns::Fallible { error, why, .. } = checked.returns() else { return None };
    let parts = arguments(ty, |word| word.ends_with("Result")).unwrap_or_default();
    match parts.as_slice() {
        [success, failure, ..] => Some((success, failure.span())),
        [success] => Some((success, ty.span())),
        [] => {
            let inner =
                if matches!(bare(ty), Type::ImplTrait(_) | Type::Never(_)) { "…".to_owned() } else { source(ty) };
            let write = format!("write `Result<{inner}, {error}>`");
            checked.refuse_output(ty, why, &write, diagnostics);
            None
        }
    }
}

/// What a saga returns: commands, or a `Result` of them.
pub(super) fn commands(checked: &Checked, diagnostics: &mut Diagnostics) -> Option<Commands> {
    let ty = checked.output.as_ref()?;
    let (inner, error) = match arguments(ty, |word| word.ends_with("Result")).as_deref() {
        Some([success, failure, ..]) => (*success, Some(failure.span())),
        Some([success]) => (*success, Some(ty.span())),
        _ => (ty, None),
    };
    let refused = match shape(inner) {
        Ok(commands) if commands.leaves().is_empty() => inner,
        Ok(commands) => return Some(Commands { commands, error }),
        Err(other) => other,
    };
    let why = "all that a saga can do is return commands and facts, and their targets are known by its return type";
    let write = "write `Command<Target>` or `Fact<Target>`, `Option<…>`, `Vec<…>` or a tuple of these, `Vec<AnyCommand>` for \
                 several targets, or a `Result` of one of them";
    checked.refuse_part(refused, "Command<Target>", why, write, diagnostics);
    None
}

/// What an upcaster returns.
pub(super) fn shapes(checked: &Checked, diagnostics: &mut Diagnostics) -> Option<Shape> {
    let ty = checked.output.as_ref()?;
    let why =
        "old events are read again and again, so an upcaster cannot fail, and the new shapes are known by their types";
    let write = "write the new message, `Option<…>` to drop the event, `Vec<…>` or a tuple to split it, or an enum with `#[derive(Events)]`";
    let refused = match shape(ty) {
        Ok(shape) if shape.leaves().is_empty() => ty,
        Ok(shape) => return Some(shape),
        Err(other) => other,
    };
    checked.refuse_part(refused, "NewEvent", why, write, diagnostics);
    None
}
