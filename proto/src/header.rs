//! The place of a page on its stream.

use crate::page_header::SequenceType;
use crate::{AngzarrDeferredSequence, Cover, ExternalDeferredSequence, PageHeader, SyncMode};

/// What can be done with a [`PageHeader`].
pub trait PageHeaderExt: Sized {
    /// A known place.
    ///
    /// ```
    /// use angzarr_proto::{PageHeader, PageHeaderExt};
    ///
    /// assert_eq!(PageHeader::at(3).explicit_sequence(), Some(3));
    /// ```
    fn at(sequence: u32) -> Self;

    /// A place still to be given, to something that an outside system told us.
    ///
    /// ```
    /// use angzarr_proto::{PageHeader, PageHeaderExt};
    ///
    /// let header = PageHeader::external("parcel-9", "told by the carrier");
    /// assert_eq!(header.external_id(), Some("parcel-9"));
    /// assert_eq!(header.explicit_sequence(), None);
    /// ```
    fn external(external_id: impl Into<String>, description: impl Into<String>) -> Self;

    /// A place still to be given, to something that a component produced out of an event.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt, PageHeader, PageHeaderExt};
    ///
    /// let header = PageHeader::derived(Cover::of("order", [1; 16]), 4, "reserve-stock", 0);
    /// assert_eq!(header.provenance().map(|origin| origin.source_seq), Some(4));
    /// ```
    fn derived(source: Cover, source_seq: u32, source_component: impl Into<String>, command_index: u32) -> Self;

    /// The same header with its own mode.
    #[must_use]
    fn with_sync_mode(self, mode: SyncMode) -> Self;

    /// The place, if it is known.
    fn explicit_sequence(&self) -> Option<u32>;

    /// The identity that an outside system gave, as it was sent: it may be empty.
    fn external_id(&self) -> Option<&str>;

    /// The component and the event that this comes from.
    fn provenance(&self) -> Option<&AngzarrDeferredSequence>;

    /// The mode that overrides the request's; none if it is unset or unknown.
    fn sync_override(&self) -> Option<SyncMode>;
}

impl PageHeaderExt for PageHeader {
    fn at(sequence: u32) -> Self {
        SequenceType::Sequence(sequence).into()
    }

    fn external(external_id: impl Into<String>, description: impl Into<String>) -> Self {
        SequenceType::ExternalDeferred(ExternalDeferredSequence {
            external_id: external_id.into(),
            description: description.into(),
        })
        .into()
    }

    fn derived(source: Cover, source_seq: u32, source_component: impl Into<String>, command_index: u32) -> Self {
        SequenceType::AngzarrDeferred(AngzarrDeferredSequence {
            source: Some(source),
            source_seq,
            source_component: source_component.into(),
            command_index,
        })
        .into()
    }

    fn with_sync_mode(mut self, mode: SyncMode) -> Self {
        self.set_sync_mode(mode);
        self
    }

    fn explicit_sequence(&self) -> Option<u32> {
        match self.sequence_type {
            Some(SequenceType::Sequence(sequence)) => Some(sequence),
            _ => None,
        }
    }

    fn external_id(&self) -> Option<&str> {
        match &self.sequence_type {
            Some(SequenceType::ExternalDeferred(deferred)) => Some(&deferred.external_id),
            _ => None,
        }
    }

    fn provenance(&self) -> Option<&AngzarrDeferredSequence> {
        match &self.sequence_type {
            Some(SequenceType::AngzarrDeferred(deferred)) => Some(deferred),
            _ => None,
        }
    }

    fn sync_override(&self) -> Option<SyncMode> {
        self.sync_mode.and_then(|mode| mode.try_into().ok())
    }
}

impl From<SequenceType> for PageHeader {
    fn from(sequence_type: SequenceType) -> Self {
        Self { sequence_type: Some(sequence_type), sync_mode: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CoverExt;

    #[test]
    fn each_kind_answers_for_itself_only() {
        let at = PageHeader::at(0);
        assert_eq!(at.explicit_sequence(), Some(0));
        assert_eq!((at.external_id(), at.provenance()), (None, None));

        let external = PageHeader::external("", "note");
        assert_eq!(external.external_id(), Some(""));
        assert_eq!((external.explicit_sequence(), external.provenance()), (None, None));

        let derived = PageHeader::derived(Cover::of("order", [1; 16]), 4, "saga", 2);
        let origin = derived.provenance().unwrap();
        assert_eq!(origin.source, Some(Cover::of("order", [1; 16])));
        assert_eq!((origin.source_component.as_str(), origin.command_index), ("saga", 2));
        assert_eq!((derived.explicit_sequence(), derived.external_id()), (None, None));

        let empty = PageHeader::default();
        assert_eq!(empty.explicit_sequence(), None);
    }

    #[test]
    fn unset_is_not_the_default_mode() {
        assert_eq!(PageHeader::at(0).sync_override(), None);
        assert_eq!(PageHeader::at(0).with_sync_mode(SyncMode::Async).sync_override(), Some(SyncMode::Async));
        let unknown = PageHeader { sync_mode: Some(99), ..PageHeader::default() };
        assert_eq!(unknown.sync_override(), None);
    }
}
