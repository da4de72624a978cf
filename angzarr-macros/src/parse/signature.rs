//! The signature of a user's function, compared with the form that its marker asks for.

use syn::visit_mut::VisitMut;
use syn::{FnArg, GenericParam, Lifetime, Pat, ReceiverKind, ReturnType, Safety, Signature, Type};

use super::form::{Form, Receiver, Returns, Takes};
use super::return_type::is_result;
use super::{bare, last_word, replace_self};
use crate::diagnostics::{Diagnostics, source};
use crate::model::Call;

/// A signature that was compared with its form.
#[derive(Debug)]
pub(super) struct Checked {
    form: Form,
    name: String,
    /// For the checks of the return type, which come later.
    expected: String,
    /// `None` if no parameter can be the message.
    pub(super) call: Option<Call>,
    /// The type of its context parameter, if it has one; it is in the call too.
    pub(super) context: Option<Type>,
    /// Whether a mistake was reported.
    pub(super) broken: bool,
    /// `None` if it returns nothing.
    pub(super) output: Option<Type>,
}

impl Checked {
    /// What it should return.
    pub(super) fn returns(&self) -> Returns {
        self.form.returns
    }

    /// Tells that a part of the return type does not fit, with the whole signature first; `instead` stands for what could be
    /// in its place.
    pub(super) fn refuse_part(
        &self,
        part: &Type,
        instead: &str,
        why: &str,
        write: &str,
        diagnostics: &mut Diagnostics,
    ) {
        let part_source = source(part);
        let what = format!("returns `{part_source}`");
        let expected = match self.expected.split_once(" -> ") {
            Some((parameters, returned)) => format!("{parameters} -> {}", returned.replacen(&part_source, instead, 1)),
            None => self.expected.clone(),
        };
        diagnostics.report(part, with_form(&self.form, &expected, &self.name, &what), why, write);
    }

    /// Tells that the return type is no `Result`, with the whole signature first.
    pub(super) fn refuse_output(&self, ty: &Type, why: &str, write: &str, diagnostics: &mut Diagnostics) {
        let what = format!("returns `{}`", source(ty));
        diagnostics.report(ty, with_form(&self.form, &self.expected, &self.name, &what), why, write);
    }
}

/// Compares; reports everything that does not fit.
pub(super) fn check(
    form: &Form,
    signature: &Signature,
    self_ty: Option<&Type>,
    diagnostics: &mut Diagnostics,
) -> Checked {
    let expected = expected(form, signature);
    let before = diagnostics.count();
    let mut checker = Checker { form, signature, expected: &expected, told: false, diagnostics };
    checker.modifiers();
    checker.receiver();
    let parameters = checker.parameters();
    checker.output();

    let broken = checker.diagnostics.count() > before;
    let call = parameters.message.map(|(mut message, by_reference)| {
        if let Some(with) = self_ty {
            replace_self(&mut message, with);
        }
        let is_async = signature.asyncness.is_some();
        Call { message, by_reference, context: parameters.context.clone(), is_async, broken }
    });
    let output = match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => {
            let mut ty = ty.as_ref().clone();
            if let Some(with) = self_ty {
                replace_self(&mut ty, with);
            }
            Some(ty)
        }
    };
    let context = parameters.context;
    Checked { form: *form, name: signature.ident.to_string(), expected, call, context, broken, output }
}

fn with_form(form: &Form, expected: &str, name: &str, what: &str) -> String {
    format!("{} looks like this:\n    {expected}\nbut `{name}` {what}", form.what)
}

#[derive(Debug, Default)]
struct Parameters {
    message: Option<(Type, bool)>,
    context: Option<Type>,
}

struct Checker<'a> {
    form: &'a Form,
    signature: &'a Signature,
    expected: &'a str,
    /// The whole form is shown once.
    told: bool,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn wrong(&mut self, at: &dyn quote::ToTokens, what: &str, why: &str, write: &str) {
        let name = self.signature.ident.to_string();
        let text =
            if self.told { format!("`{name}` {what}") } else { with_form(self.form, self.expected, &name, what) };
        self.told = true;
        self.diagnostics.report(at, text, why, write);
    }

    fn modifiers(&mut self) {
        let signature = self.signature;
        let plain = "the framework calls it as an ordinary function";
        if let Some(token) = &signature.constness {
            self.wrong(token, "is `const`", plain, "remove `const`");
        }
        if let (Some(token), Some(why)) = (&signature.asyncness, self.form.not_async) {
            self.wrong(
                token,
                "is `async`",
                why,
                "remove `async`; what needs I/O belongs in a projector or in the caller",
            );
        }
        if let Safety::Unsafe(token) = &signature.safety {
            self.wrong(token, "is `unsafe`", plain, "remove `unsafe`");
        }
        if let Some(abi) = &signature.abi {
            self.wrong(abi, "is `extern`", plain, "remove `extern`");
        }
        for parameter in &signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let why = "it is registered once for the whole program, for one concrete type";
                self.wrong(
                    parameter,
                    "is generic",
                    why,
                    "name the type, and write a function for each if there are several",
                );
            }
        }
        if let Some(clause) = &signature.generics.where_clause {
            let why = "it is registered once for the whole program, so nothing is left to be bounded";
            self.wrong(clause, "has a `where` clause", why, "remove the clause");
        }
    }

    fn receiver(&mut self) {
        let written = self.signature.receiver();
        let kind = written.map(|receiver| match &receiver.kind {
            ReceiverKind::Reference(_, _, None) => Receiver::Shared,
            ReceiverKind::Reference(_, _, Some(_)) => Receiver::Mutable,
            _ => Receiver::None,
        });
        match (self.form.receiver, written, kind) {
            (Receiver::None, Some(written), _) => {
                let why = "it is a function of its message, without anything to look up";
                self.wrong(written, &format!("takes `{}`", source(written)), why, "remove the receiver");
            }
            (Receiver::None, None, _) => {}
            (wanted, Some(_), Some(kind)) if wanted == kind => {}
            (_, Some(written), kind) => {
                let why = if kind == Some(Receiver::Mutable) { self.form.own.not_mutable } else { self.form.own.lent };
                self.wrong(written, &format!("takes `{}`", source(written)), why, &format!("write `{}`", self.own()));
            }
            (_, None, _) => {
                let ident = self.signature.ident.clone();
                let write = format!("add `{}` in front", self.own());
                self.wrong(&ident, "takes no `self`", self.form.own.needed, &write);
            }
        }
    }

    /// The receiver as it should be.
    fn own(&self) -> &'static str {
        if self.form.receiver == Receiver::Mutable { "&mut self" } else { "&self" }
    }

    fn parameters(&mut self) -> Parameters {
        let mut parameters = Parameters::default();
        let typed: Vec<_> = self
            .signature
            .inputs
            .iter()
            .filter_map(|input| match input {
                FnArg::Typed(typed) => Some(typed),
                FnArg::Receiver(_) => None,
            })
            .collect();
        let (contexts, others): (Vec<_>, Vec<_>) =
            typed.iter().enumerate().partition(|(_, parameter)| context_name(&parameter.ty).is_some());

        let takes = self.form.takes;
        match (takes, others.first()) {
            (Some(takes), None) => {
                let Takes { noun, example: (parameter, ty), .. } = takes;
                let at = self.signature.ident.clone();
                let (why, write) = match takes.always {
                    Some(why) => (why.to_owned(), format!("add `{parameter}: {ty}`")),
                    None => (
                        format!("the type of that parameter says which {noun} it is for"),
                        format!("add `{parameter}: {ty}`, with the type of your {noun}"),
                    ),
                };
                self.wrong(&at, &format!("takes no {noun}"), &why, &write);
            }
            (Some(takes), Some((_, first))) => parameters.message = self.message(takes, &first.ty),
            (None, _) => {}
        }
        let messages = usize::from(takes.is_some());
        let mut surplus: Vec<usize> = others.iter().skip(messages).map(|(index, _)| *index).collect();
        match contexts.first() {
            Some((index, context)) => {
                if self.context(&context.ty) {
                    parameters.context = Some(elide(&context.ty));
                }
                if let (Some((message, _)), Some(Takes { noun, .. })) = (others.first(), takes)
                    && index < message
                    && self.form.context.is_some()
                {
                    let why = "parameters come in one order everywhere: the message, then the context";
                    self.wrong(
                        *context,
                        &format!("takes the context before the {noun}"),
                        why,
                        &format!("put the {noun} first"),
                    );
                }
                surplus.extend(contexts.iter().skip(1).map(|(index, _)| *index));
            }
            // A context under another name: the compiler compares the types.
            None if self.form.context.is_some() && others.len() == messages + 1 => {
                if let Some((index, second)) = others.last()
                    && let Type::Reference(reference) = bare(&second.ty)
                    && reference.mutability.is_none()
                {
                    parameters.context = Some(elide(&second.ty));
                    surplus.retain(|other| other != index);
                }
            }
            None => {}
        }
        surplus.sort_unstable();
        for parameter in surplus.into_iter().filter_map(|index| typed.get(index)) {
            let (why, write) = match (self.form.context, takes) {
                (Some(context), Some(Takes { noun, .. })) => (
                    format!("it is called with one {noun} and, if it asks for it, the context"),
                    format!("remove it; time, ids and the root come from `ctx: &{context}`"),
                ),
                (Some(context), None) => (
                    "no message comes with it: it is called with the state and, if it asks for it, the context"
                        .to_owned(),
                    format!("remove it; what it needs is in the state, time and root come from `ctx: &{context}`"),
                ),
                (None, _) => {
                    let noun = takes.map_or("message", |takes| takes.noun);
                    (
                        format!("it is called with one {noun} and nothing else"),
                        format!("remove it; what it needs must be in the {noun}"),
                    )
                }
            };
            let as_well = if takes.is_some() { " as well" } else { "" };
            self.wrong(*parameter, &format!("takes `{}`{as_well}", source(*parameter)), &why, &write);
        }
        parameters
    }

    /// The message's type, and whether it is taken by reference.
    fn message(&mut self, takes: Takes, ty: &Type) -> Option<(Type, bool)> {
        let Takes { noun, example: (parameter, example), .. } = takes;
        let (plain, by_reference) = match bare(ty) {
            Type::Reference(reference) => {
                if reference.mutability.is_some() {
                    let why = format!("the {noun} is what was said or what happened: there is nothing to change in it");
                    let write =
                        format!("write `{}` or `&{}`", source(bare(&reference.elem)), source(bare(&reference.elem)));
                    self.wrong(ty, &format!("takes the {noun} by `&mut`"), &why, &write);
                }
                (bare(&reference.elem), true)
            }
            other => (other, false),
        };
        if matches!(plain, Type::Path(_)) && !is_primitive(plain) {
            return Some((plain.clone(), by_reference));
        }
        let (why, write) = match takes.always {
            Some(why) => (why.to_owned(), format!("write `{parameter}: {example}`")),
            None => (
                format!("one function is for one {noun}, whose type is a protobuf message"),
                format!("write `{parameter}: {example}`, with the type of your {noun}"),
            ),
        };
        self.wrong(ty, &format!("takes `{}` for its {noun}", source(ty)), &why, &write);
        None
    }

    /// Whether it is the right context, rightly taken.
    fn context(&mut self, ty: &Type) -> bool {
        let name = context_name(ty).unwrap_or_default();
        let Some(wanted) = self.form.context else {
            let why = match self.form.returns {
                Returns::Nothing => {
                    "the state is what its events make of it, at any time and in any process: what an event needs is in the event"
                }
                _ => "an old event is reshaped by what is in it, whenever it is read",
            };
            self.wrong(
                ty,
                &format!("takes `{name}`"),
                why,
                "remove the parameter, and put what it needs into the event",
            );
            return false;
        };
        if name != wanted {
            let why = format!("`{name}` belongs to {}", owner_of(&name));
            self.wrong(ty, &format!("takes `{name}`"), &why, &format!("write `ctx: &{wanted}`"));
            return false;
        }
        let taken = match bare(ty) {
            Type::Reference(reference) if reference.mutability.is_none() => return true,
            Type::Reference(_) => "by `&mut`",
            _ => "by value",
        };
        let why = "the context is lent for the call: it is read, not kept and not changed";
        self.wrong(ty, &format!("takes the context {taken}"), why, &format!("write `ctx: &{wanted}`"));
        false
    }

    fn output(&mut self) {
        let signature = self.signature;
        match (&signature.output, self.form.returns) {
            (ReturnType::Type(_, ty), Returns::Nothing) => {
                let is_unit = matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty());
                if !is_unit {
                    let why =
                        "what happened has happened: it cannot be refused any more, and nobody takes what is returned";
                    self.wrong(
                        ty,
                        &format!("returns `{}`", source(ty)),
                        why,
                        "remove the return type; checks belong in the command's `#[handler]`",
                    );
                }
            }
            (ReturnType::Default, Returns::Fallible { error, example, why }) => {
                self.wrong(&signature.ident, "returns nothing", why, &format!("add `-> Result<{example}, {error}>`"));
            }
            (ReturnType::Default, Returns::Plain { example, why }) => {
                self.wrong(&signature.ident, "returns nothing", why, &format!("add `-> {example}`"));
            }
            _ => {}
        }
    }
}

fn owner_of(context: &str) -> &'static str {
    match context {
        "CommandContext" => "a command; sagas, process managers and projectors handle events",
        _ => "an event; an aggregate's methods take the context of commands",
    }
}

/// Whether it is a number or a text: prost counts them as messages, but one of them says nothing about what happened.
pub(super) fn is_primitive(ty: &Type) -> bool {
    const PRIMITIVES: [&str; 14] =
        ["bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "String"];
    match bare(ty) {
        Type::Path(path) => {
            path.path.get_ident().is_some_and(|word| PRIMITIVES.iter().any(|primitive| word == primitive))
        }
        _ => false,
    }
}

/// The name of the framework's context that a type is, by its last word.
fn context_name(ty: &Type) -> Option<String> {
    let plain = match bare(ty) {
        Type::Reference(reference) => bare(&reference.elem),
        other => other,
    };
    let name = last_word(plain)?.to_string();
    matches!(name.as_str(), "CommandContext" | "EventContext").then_some(name)
}

/// The type without the user's lifetimes, which generated code does not know.
fn elide(ty: &Type) -> Type {
    struct Elide;
    impl VisitMut for Elide {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = Lifetime::new("'_", lifetime.span());
            }
        }
    }
    let mut ty = bare(ty).clone();
    Elide.visit_type_mut(&mut ty);
    ty
}

/// The signature as it should be, with the user's own names and types where they are known.
fn expected(form: &Form, signature: &Signature) -> String {
    let mut parameters = Vec::new();
    match form.receiver {
        Receiver::None => {}
        Receiver::Shared => parameters.push("&self".to_owned()),
        Receiver::Mutable => parameters.push("&mut self".to_owned()),
    }
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let message = typed.clone().find(|typed| context_name(&typed.ty).is_none());
    match (form.takes, message) {
        (Some(Takes { example: (parameter, example), .. }), Some(typed)) => {
            let name = match typed.pat.as_ref() {
                Pat::Ident(name) => name.ident.to_string(),
                _ => parameter.to_owned(),
            };
            let ty = match bare(&typed.ty) {
                Type::Reference(reference) if reference.mutability.is_some() => source(&reference.elem),
                Type::Path(_) | Type::Reference(_) if !is_primitive(&typed.ty) => {
                    source(&elide(&typed.ty)).replace("'_ ", "")
                }
                _ => example.to_owned(),
            };
            parameters.push(format!("{name}: {ty}"));
        }
        (Some(Takes { example: (parameter, example), .. }), None) => parameters.push(format!("{parameter}: {example}")),
        (None, _) => {}
    }
    if let Some(context) = form.context
        && typed.clone().any(|typed| context_name(&typed.ty).is_some())
    {
        parameters.push(format!("ctx: &{context}"));
    }
    let written = match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(bare(ty)).filter(|ty| !matches!(ty, Type::ImplTrait(_) | Type::Never(_))),
    };
    let returns = match (form.returns, written) {
        (Returns::Nothing, _) => String::new(),
        (Returns::Fallible { .. }, Some(ty)) if is_result(ty) => format!(" -> {}", source(ty)),
        (Returns::Fallible { error, .. }, Some(ty)) => format!(" -> Result<{}, {error}>", source(ty)),
        (Returns::Fallible { error, example, .. }, None) => format!(" -> Result<{example}, {error}>"),
        (Returns::Plain { .. }, Some(ty)) => format!(" -> {}", source(ty)),
        (Returns::Plain { example, .. }, None) => format!(" -> {example}"),
    };
    let asyncness = if signature.asyncness.is_some() && form.not_async.is_none() { "async " } else { "" };
    format!("{asyncness}fn {}({}){returns}", signature.ident, parameters.join(", "))
}
