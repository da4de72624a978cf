//! What the user wrote, as plain typed values that keep the user's tokens, so that whatever is said or generated later can
//! point at them. The model has no opinion: what is wrong with it is found in `parse` and `validate`.

mod aggregate;
mod call;
mod marker;
mod process_manager;
mod reaction;

use proc_macro2::Ident;
use syn::{Attribute, Type};

pub(crate) use aggregate::*;
pub(crate) use call::*;
pub(crate) use marker::*;
pub(crate) use process_manager::*;
pub(crate) use reaction::*;

/// What is said about an item besides what it does.
#[derive(Debug)]
pub(crate) struct About {
    /// Its name: of a struct, function or method.
    pub(crate) ident: Ident,
    /// Its doc comment, joined.
    pub(crate) doc: String,
    /// Line of its name.
    pub(crate) line: usize,
    /// Its `#[cfg(…)]`, carried to everything generated for it.
    pub(crate) cfgs: Vec<Attribute>,
}

/// The value of a key, with its tokens.
#[derive(Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: proc_macro2::Span,
}

/// The type that an `impl` block is for.
#[derive(Debug)]
pub(crate) struct SelfType {
    pub(crate) ty: Type,
    /// The last part of its path, as people call it.
    pub(crate) name: String,
}
