//! Commands and the books that they come in.

use prost::{Message, Name};
use prost_types::Any;

use crate::any::full_name_of;
use crate::command_page::Payload;
use crate::{
    AnyExt, CommandBook, CommandPage, Cover, MergeStrategy, PageHeader, PageHeaderExt, PayloadReference, UnpackError,
    pack,
};

/// What can be done with a [`CommandPage`].
pub trait CommandPageExt: Sized {
    /// One command, without a place.
    ///
    /// ```
    /// use angzarr_proto::{CommandPage, CommandPageExt, MergeStrategy, Target, pack};
    ///
    /// let page = CommandPage::of(pack(&Target { domain: "orders".into() }))
    ///     .expecting(4)
    ///     .with_merge(MergeStrategy::MergeStrict);
    /// assert_eq!(page.sequence(), Some(4));
    /// assert_eq!(page.type_name(), Some("angzarr.Target"));
    /// assert_eq!(page.decode::<Target>()?.domain, "orders");
    /// # Ok::<(), angzarr_proto::UnpackError>(())
    /// ```
    fn of(command: Any) -> Self;

    /// The same page, expecting its first event to take this place. A mode of its own stays.
    #[must_use]
    fn expecting(self, sequence: u32) -> Self;

    /// The same page with another header.
    #[must_use]
    fn with_header(self, header: PageHeader) -> Self;

    /// The same page with a merge strategy.
    #[must_use]
    fn with_merge(self, strategy: MergeStrategy) -> Self;

    /// The place that the first event is expected to take, if that was said.
    fn sequence(&self) -> Option<u32>;

    /// The command, if it is in the page.
    fn command(&self) -> Option<&Any>;

    /// Where the command lies, if it is not in the page.
    fn external_payload(&self) -> Option<&PayloadReference>;

    /// The full name of the command's type, if the command is in the page.
    fn type_name(&self) -> Option<&str>;

    /// Takes out an `M`.
    ///
    /// # Errors
    /// When another type or nothing is in the page, or when the bytes are malformed.
    fn decode<M: Message + Name + Default>(&self) -> Result<M, UnpackError>;
}

impl CommandPageExt for CommandPage {
    fn of(command: Any) -> Self {
        Self { payload: Some(Payload::Command(command)), ..Self::default() }
    }

    fn expecting(mut self, sequence: u32) -> Self {
        self.header.get_or_insert_default().sequence_type = PageHeader::at(sequence).sequence_type;
        self
    }

    fn with_header(mut self, header: PageHeader) -> Self {
        self.header = Some(header);
        self
    }

    fn with_merge(mut self, strategy: MergeStrategy) -> Self {
        self.set_merge_strategy(strategy);
        self
    }

    fn sequence(&self) -> Option<u32> {
        self.header.as_ref().and_then(PageHeaderExt::explicit_sequence)
    }

    fn command(&self) -> Option<&Any> {
        match &self.payload {
            Some(Payload::Command(command)) => Some(command),
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
        self.command().map(AnyExt::type_name)
    }

    fn decode<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        self.command().ok_or_else(|| UnpackError::NoPayload { expected: full_name_of::<M>() })?.unpack()
    }
}

/// What can be done with a [`CommandBook`].
pub trait CommandBookExt: Sized {
    /// A book of these pages.
    ///
    /// ```
    /// use angzarr_proto::{CommandBook, CommandBookExt, CommandPage, CommandPageExt, Cover, CoverExt, Target, pack};
    ///
    /// let book = CommandBook::of(
    ///     Cover::of("account", [7; 16]),
    ///     [CommandPage::of(pack(&Target::default())).expecting(1)],
    /// );
    /// assert_eq!(book.pages.len(), 1);
    /// assert_eq!(book.domain(), "account");
    /// ```
    fn of(cover: Cover, pages: impl IntoIterator<Item = CommandPage>) -> Self;

    /// A book of one command.
    ///
    /// ```
    /// use angzarr_proto::{AnyExt, CommandBook, CommandBookExt, Cover, CoverExt, Target};
    ///
    /// let book = CommandBook::single(Cover::of("account", [7; 16]), &Target::default());
    /// assert!(book.first_command().is_some_and(|command| command.is::<Target>()));
    /// ```
    fn single<M: Message + Name>(cover: Cover, command: &M) -> Self;

    /// The domain of the aggregate; empty without a cover.
    fn domain(&self) -> &str;

    /// The first command, if it is in its page.
    fn first_command(&self) -> Option<&Any>;
}

impl CommandBookExt for CommandBook {
    fn of(cover: Cover, pages: impl IntoIterator<Item = CommandPage>) -> Self {
        Self { cover: Some(cover), pages: pages.into_iter().collect() }
    }

    fn single<M: Message + Name>(cover: Cover, command: &M) -> Self {
        Self::of(cover, [CommandPage::of(pack(command))])
    }

    fn domain(&self) -> &str {
        self.cover.as_ref().map_or("", |cover| cover.domain.as_str())
    }

    fn first_command(&self) -> Option<&Any> {
        self.pages.first().and_then(CommandPageExt::command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoverExt, SyncMode, Target};

    #[test]
    fn pages() {
        let page = CommandPage::of(pack(&Target::default()));
        assert_eq!(page.sequence(), None);
        assert_eq!(page.merge_strategy(), MergeStrategy::MergeCommutative);

        let page = page
            .with_header(PageHeader::external("x", "").with_sync_mode(SyncMode::Cascade))
            .expecting(0)
            .with_merge(MergeStrategy::MergeManual);
        assert_eq!(page.sequence(), Some(0));
        assert_eq!(page.header.as_ref().unwrap().sync_override(), Some(SyncMode::Cascade));
        assert_eq!(page.merge_strategy(), MergeStrategy::MergeManual);
        assert!(page.decode::<Target>().is_ok());
        assert!(matches!(page.decode::<Cover>(), Err(UnpackError::TypeMismatch { .. })));
    }

    #[test]
    fn a_command_may_lie_elsewhere_or_nowhere() {
        let elsewhere =
            CommandPage { payload: Some(Payload::External(PayloadReference::default())), ..CommandPage::default() };
        assert!(elsewhere.external_payload().is_some());
        for page in [elsewhere, CommandPage::default()] {
            assert_eq!((page.command(), page.type_name()), (None, None));
            let error = page.decode::<Target>().unwrap_err();
            assert!(matches!(error, UnpackError::NoPayload { .. }));
            assert_eq!(CommandBook::of(Cover::default(), [page]).first_command(), None);
        }
    }

    #[test]
    fn books() {
        let book = CommandBook::single(Cover::of("d", [0; 16]), &Target::default());
        assert_eq!(book.domain(), "d");
        assert_eq!(book.first_command(), Some(&pack(&Target::default())));
        assert_eq!(CommandBook::default().domain(), "");
        assert_eq!(CommandBook::default().first_command(), None);
    }
}
