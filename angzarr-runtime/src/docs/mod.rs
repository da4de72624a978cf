//! Documentation made from the registry: what a program is made of, and what goes where.
//!
//! In: a [`Registry`], with the protobuf descriptors that `include_proto!` registered. Out: one page of Markdown, or a
//! Mermaid flowchart. Never: line numbers, times, the order of the linker; the same program always gives the same text, so
//! that it can be committed and compared by a test.
//!
//! ```standalone_crate
//! use angzarr_runtime::{docs, registry::Registry};
//!
//! # fn main() -> Result<(), angzarr_runtime::registry::WiringErrors> {
//! let registry = Registry::collect()?;
//! let page = docs::markdown(&registry);
//! assert!(page.starts_with("# Domain reference"));
//! # Ok(()) }
//! ```

mod elsewhere;
mod markdown;
mod mermaid;
mod model;
pub(crate) mod payload;
pub(crate) mod proto;

use std::str::FromStr;

use crate::registry::Registry;

#[cfg(feature = "cli")]
pub(crate) use elsewhere::{Elsewhere, Kind as ElsewhereKind, without_password};
pub(crate) use model::Model;
#[cfg(feature = "cli")]
pub(crate) use model::{Aggregate, Origin, Process, Saga};

/// A form of the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One page of Markdown, with the flow as a Mermaid diagram inside.
    #[default]
    Markdown,
    /// The flow alone, as a Mermaid flowchart.
    Mermaid,
}

impl Format {
    /// The names that a command line knows.
    pub const NAMES: [&str; 2] = ["markdown", "mermaid"];

    /// The documentation of a program in this form.
    pub fn render(self, registry: &Registry) -> String {
        match self {
            Self::Markdown => markdown(registry),
            Self::Mermaid => mermaid(registry),
        }
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "markdown" | "md" => Ok(Self::Markdown),
            "mermaid" | "mmd" => Ok(Self::Mermaid),
            _ => Err(format!("`{name}` is no format of this version; write {}", Self::NAMES.join(" or "))),
        }
    }
}

/// Everything that the program declares, as one page of Markdown.
pub fn markdown(registry: &Registry) -> String {
    markdown::page(&Model::of(registry))
}

/// The way of commands and events through the program, as a Mermaid flowchart.
pub fn mermaid(registry: &Registry) -> String {
    mermaid::flowchart(&Model::of(registry))
}

#[cfg(test)]
mod tests;
