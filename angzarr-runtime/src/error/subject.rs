//! What an error is about: the facts that only the way of the command knows.
//!
//! In: the command's stream and type. Out: facts for the answer. Never: an allocation where nothing failed.

use uuid::Uuid;

use crate::stream::StreamKey;

/// What an error is about, as far as it is known: domain, root, edition, command type, part of the request. They come with
/// [`Error::facts`](super::Error::facts).
#[derive(Clone, Debug, Default)]
pub struct Subject(Option<Box<About>>);

/// The facts of a [`Subject`]; what is empty is not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) domain: String,
    pub(crate) root: Option<Uuid>,
    pub(crate) edition: String,
    pub(crate) command_type: String,
    /// The part of the request.
    pub(crate) field: String,
}

impl About {
    pub(crate) fn of(stream: &StreamKey) -> Self {
        Self {
            domain: stream.domain.to_string(),
            root: Some(stream.root),
            edition: stream.edition.to_string(),
            ..Self::default()
        }
    }

    pub(crate) fn command(type_name: impl Into<String>) -> Self {
        Self { command_type: type_name.into(), ..Self::default() }
    }

    pub(crate) fn facts(self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("domain", self.domain),
            ("root", self.root.map(|root| root.to_string()).unwrap_or_default()),
            ("edition", self.edition),
            ("command_type", self.command_type),
            ("field", self.field),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}

impl Subject {
    /// Adds what is not known yet.
    pub(crate) fn complete(&mut self, more: About) {
        let known = self.0.get_or_insert_default();
        let fill = |known: &mut String, more: String| {
            if known.is_empty() {
                *known = more;
            }
        };
        fill(&mut known.domain, more.domain);
        fill(&mut known.edition, more.edition);
        fill(&mut known.command_type, more.command_type);
        fill(&mut known.field, more.field);
        known.root = known.root.or(more.root);
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.as_deref().cloned().into_iter().flat_map(About::facts)
    }
}
