//! Events and the books that they come in.

use prost::{Message, Name};
use prost_types::{Any, Timestamp};

use crate::any::full_name_of;
use crate::event_page::Payload;
use crate::{AnyExt, Cover, EventBook, EventPage, PageHeader, PageHeaderExt, PayloadReference, UnpackError};

/// What can be done with an [`EventPage`].
pub trait EventPageExt: Sized {
    /// One event at a known place.
    ///
    /// ```
    /// use angzarr_proto::{AnyExt, EventPage, EventPageExt, Target, pack};
    ///
    /// let page = EventPage::of(3, pack(&Target { domain: "orders".into() }));
    /// assert_eq!(page.sequence(), Some(3));
    /// assert_eq!(page.type_name(), Some("angzarr.Target"));
    /// assert_eq!(page.schema_version_or_one(), 1);
    /// assert_eq!(page.decode::<Target>()?.domain, "orders");
    /// # Ok::<(), angzarr_proto::UnpackError>(())
    /// ```
    fn of(sequence: u32, event: Any) -> Self;

    /// The same page with another header.
    #[must_use]
    fn with_header(self, header: PageHeader) -> Self;

    /// The same page, stored at this time.
    #[must_use]
    fn with_created_at(self, created_at: Timestamp) -> Self;

    /// The same page with a schema version.
    #[must_use]
    fn with_schema_version(self, version: u32) -> Self;

    /// The place of the event, if it is known.
    fn sequence(&self) -> Option<u32>;

    /// The event, if it is in the page.
    fn event(&self) -> Option<&Any>;

    /// Where the event lies, if it is not in the page.
    fn external_payload(&self) -> Option<&PayloadReference>;

    /// The full name of the event's type, if the event is in the page.
    fn type_name(&self) -> Option<&str>;

    /// The version of the event's schema; 0, which is what unset reads as, is 1.
    fn schema_version_or_one(&self) -> u32;

    /// Takes out an `M`.
    ///
    /// # Errors
    /// When another type or nothing is in the page, or when the bytes are malformed.
    fn decode<M: Message + Name + Default>(&self) -> Result<M, UnpackError>;
}

impl EventPageExt for EventPage {
    fn of(sequence: u32, event: Any) -> Self {
        Self { header: Some(PageHeader::at(sequence)), payload: Some(Payload::Event(event)), ..Self::default() }
    }

    fn with_header(mut self, header: PageHeader) -> Self {
        self.header = Some(header);
        self
    }

    fn with_created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    fn with_schema_version(mut self, version: u32) -> Self {
        self.schema_version = version;
        self
    }

    fn sequence(&self) -> Option<u32> {
        self.header.as_ref().and_then(PageHeaderExt::explicit_sequence)
    }

    fn event(&self) -> Option<&Any> {
        match &self.payload {
            Some(Payload::Event(event)) => Some(event),
            _ => None,
        }
    }

    fn external_payload(&self) -> Option<&PayloadReference> {
        match &self.payload {
            Some(Payload::External(reference)) => Some(reference),
            _ => None,
        }
    }

    fn type_name(&self) -> Option<&str> {
        self.event().map(AnyExt::type_name)
    }

    fn schema_version_or_one(&self) -> u32 {
        self.schema_version.max(1)
    }

    fn decode<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        self.event().ok_or_else(|| UnpackError::NoPayload { expected: full_name_of::<M>() })?.unpack()
    }
}

/// What can be done with an [`EventBook`].
pub trait EventBookExt: Sized {
    /// A book of these pages. `next_sequence` stays 0: it belongs to whoever reads the stream.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt, EventBook, EventBookExt, EventPage, EventPageExt, Target, pack};
    ///
    /// let event = Target { domain: "orders".into() };
    /// let book = EventBook::of(
    ///     Cover::of("account", [7; 16]),
    ///     [EventPage::of(3, pack(&event)), EventPage::of(4, pack(&event))],
    /// );
    /// assert_eq!(book.first_sequence(), Some(3));
    /// assert_eq!(book.last_sequence(), Some(4));
    /// assert_eq!(book.computed_next_sequence(), 5);
    /// assert_eq!(book.decode_events::<Target>()?, [event.clone(), event]);
    /// # Ok::<(), angzarr_proto::UnpackError>(())
    /// ```
    fn of(cover: Cover, pages: impl IntoIterator<Item = EventPage>) -> Self;

    /// The domain of the stream; empty without a cover.
    fn domain(&self) -> &str;

    /// The place of the first page whose place is known.
    fn first_sequence(&self) -> Option<u32>;

    /// The place of the last page whose place is known.
    fn last_sequence(&self) -> Option<u32>;

    /// The place that the next event takes, judged by what is in the book: after its last page and after its snapshot.
    /// It is the stream's own next place only if the book reaches up to the stream's end.
    fn computed_next_sequence(&self) -> u32;

    /// The events of type `M`, in order. Events of other types, and those that lie elsewhere, are passed over.
    ///
    /// # Errors
    /// When the bytes of an `M` are malformed.
    fn decode_events<M: Message + Name + Default>(&self) -> Result<Vec<M>, UnpackError>;
}

impl EventBookExt for EventBook {
    fn of(cover: Cover, pages: impl IntoIterator<Item = EventPage>) -> Self {
        Self { cover: Some(cover), pages: pages.into_iter().collect(), ..Self::default() }
    }

    fn domain(&self) -> &str {
        self.cover.as_ref().map_or("", |cover| cover.domain.as_str())
    }

    fn first_sequence(&self) -> Option<u32> {
        self.pages.iter().find_map(EventPageExt::sequence)
    }

    fn last_sequence(&self) -> Option<u32> {
        self.pages.iter().rev().find_map(EventPageExt::sequence)
    }

    fn computed_next_sequence(&self) -> u32 {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.sequence);
        self.last_sequence().max(snapshot).map_or(0, |last| last.saturating_add(1))
    }

    fn decode_events<M: Message + Name + Default>(&self) -> Result<Vec<M>, UnpackError> {
        let name = full_name_of::<M>();
        self.pages
            .iter()
            .filter_map(EventPageExt::event)
            .filter(|event| event.type_name() == name)
            .map(|event| event.unpack_as(&name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoverExt, Edition, Snapshot, Target, pack};

    fn target(domain: &str) -> Target {
        Target { domain: domain.into() }
    }

    #[test]
    fn sequences() {
        let mut book = EventBook::of(Cover::of("d", [0; 16]), []);
        assert_eq!(book.domain(), "d");
        assert_eq!(EventBook::default().domain(), "");
        assert_eq!((book.first_sequence(), book.last_sequence()), (None, None));
        assert_eq!(book.computed_next_sequence(), 0);

        book.snapshot = Some(Snapshot { sequence: 9, ..Snapshot::default() });
        assert_eq!(book.computed_next_sequence(), 10);

        book.pages = vec![
            EventPage::default(),
            EventPage::of(10, pack(&target("a"))),
            EventPage::of(11, pack(&target("b"))),
            EventPage::default().with_header(PageHeader::external("x", "")),
        ];
        assert_eq!((book.first_sequence(), book.last_sequence()), (Some(10), Some(11)));
        assert_eq!(book.computed_next_sequence(), 12);

        book.pages = vec![EventPage::of(u32::MAX, pack(&target("a")))];
        assert_eq!(book.computed_next_sequence(), u32::MAX);
        // A snapshot may be newer than the pages that came along.
        book.pages = vec![EventPage::of(2, pack(&target("a")))];
        assert_eq!(book.computed_next_sequence(), 10);
    }

    #[test]
    fn only_the_asked_type_is_decoded() {
        let elsewhere =
            EventPage { payload: Some(Payload::External(PayloadReference::default())), ..EventPage::default() };
        let mut book = EventBook::of(
            Cover::default(),
            [
                EventPage::of(0, pack(&target("a"))),
                EventPage::of(1, pack(&Edition::named("e"))),
                elsewhere.clone(),
                EventPage::default(),
                EventPage::of(2, pack(&target("b"))),
            ],
        );
        assert_eq!(book.decode_events::<Target>().unwrap(), [target("a"), target("b")]);
        assert_eq!(book.decode_events::<Cover>().unwrap(), []);

        assert!(elsewhere.external_payload().is_some());
        assert_eq!(elsewhere.type_name(), None);
        assert_eq!(elsewhere.decode::<Target>(), Err(UnpackError::NoPayload { expected: "angzarr.Target".into() }));
        assert!(matches!(book.pages[1].decode::<Target>(), Err(UnpackError::TypeMismatch { .. })));

        book.pages.push(EventPage::of(3, Any { type_url: "x/angzarr.Target".into(), value: vec![0xff] }));
        assert!(matches!(book.decode_events::<Target>(), Err(UnpackError::Malformed { .. })));
    }

    #[test]
    fn schema_versions_start_at_one() {
        let page = EventPage::default();
        assert_eq!(page.schema_version_or_one(), 1);
        assert_eq!(page.clone().with_schema_version(1).schema_version_or_one(), 1);
        assert_eq!(page.with_schema_version(7).schema_version_or_one(), 7);
    }

    #[test]
    fn created_at() {
        let at = Timestamp { seconds: 1, nanos: 2 };
        assert_eq!(EventPage::default().with_created_at(at).created_at, Some(at));
    }
}
