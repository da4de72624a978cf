//! The inert markers on methods.

use syn::Attribute;

/// A marker on a method of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Handler,
    Apply,
    Rejected,
    Compensate,
    Fact,
    Timeout,
}

impl Marker {
    const ALL: [Self; 6] = [Self::Handler, Self::Apply, Self::Rejected, Self::Compensate, Self::Fact, Self::Timeout];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Apply => "apply",
            Self::Rejected => "rejected",
            Self::Compensate => "compensate",
            Self::Fact => "fact",
            Self::Timeout => "timeout",
        }
    }

    /// The marker that an attribute is: by its last word, since it may be written with the path of the runtime.
    pub(crate) fn of(attribute: &Attribute) -> Option<Self> {
        let path = attribute.path();
        let last = path.segments.last()?;
        if path.segments.len() > 2 {
            return None;
        }
        Self::ALL.into_iter().find(|marker| last.ident == marker.name())
    }
}

/// The kinds of blocks and what belongs into each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregate,
    Saga,
    ProcessManager,
    Projector,
}

impl Kind {
    /// The attribute.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Saga => "saga",
            Self::ProcessManager => "process_manager",
            Self::Projector => "projector",
        }
    }

    /// With its article.
    pub(crate) fn a(self) -> &'static str {
        match self {
            Self::Aggregate => "an aggregate",
            Self::Saga => "a saga",
            Self::ProcessManager => "a process manager",
            Self::Projector => "a projector",
        }
    }
}
