//! The form in which brokers carry publications and dead letters; the same for every broker.
//!
//! In: a publication. Out: a body and headers that a consumer in any language can read, and the publication again. Never:
//! a name that only one broker could take.
//!
//! The body is the protobuf message `angzarr.EventBook` of `angzarr/types.proto`, with the stream's cover and one page.
//! What a consumer needs to know beside it stands in headers, as text:
//!
//! | header | what |
//! |---|---|
//! | `Angzarr-Store` | the store that the event is from, a UUID |
//! | `Angzarr-Position` | its position there |
//! | `Angzarr-Follows` | a position before it; between the two nothing is published |
//! | `Angzarr-Type` | full protobuf name of the event |
//! | `Content-Type` | `application/protobuf; type=angzarr.EventBook` |
//!
//! The message id is `{store}/{position}`, the same whenever the event is published. All events of a stream are in one
//! *partition*: FNV-1a (64 bit) of the stream's text, `domain/root` or `domain@edition/root`, modulo the number of
//! partitions. A dead letter is an `angzarr.AngzarrDeadLetter`, with `Content-Type` and the message id
//! `{store}/letter/{id}/{attempts}`.

use angzarr_proto as proto;
use bytes::Bytes;
use prost::Message as _;
use proto::{CoverExt as _, EventPageExt as _, TimestampExt as _};
use uuid::Uuid;

use super::Publication;
use crate::command::{cover_on, edition_of, event_page};
use crate::dead_letter::DeadLetter;
use crate::stream::{Edition, Headers, LogEvent, Name, StoredEvent, StreamKey};

pub(super) const STORE: &str = "Angzarr-Store";
pub(super) const POSITION: &str = "Angzarr-Position";
pub(super) const FOLLOWS: &str = "Angzarr-Follows";
pub(super) const TYPE: &str = "Angzarr-Type";
pub(super) const CONTENT_TYPE: &str = "Content-Type";
const BOOK: &str = "application/protobuf; type=angzarr.EventBook";
const LETTER: &str = "application/protobuf; type=angzarr.AngzarrDeadLetter";

/// Characters of a name that stay as they are before it is shortened.
const NAME: usize = 96;

/// A message as it is handed to a broker.
pub(super) struct Outgoing {
    /// By which doubles can be told.
    pub(super) id: String,
    pub(super) domain: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

pub(super) fn outgoing(publication: &Publication) -> Outgoing {
    let LogEvent { stream, event } = &publication.event;
    let edition = Edition::of(&stream.edition, event.headers.divergences());
    let book = proto::EventBook {
        cover: Some(cover_on(stream, &edition, &event.headers)),
        pages: vec![event_page(event)],
        ..Default::default()
    };
    Outgoing {
        id: publication.id(),
        domain: stream.domain.to_string(),
        headers: vec![
            (STORE, publication.store.to_string()),
            (POSITION, event.position.to_string()),
            (FOLLOWS, publication.follows.to_string()),
            (TYPE, event.type_name.to_string()),
            (CONTENT_TYPE, BOOK.to_owned()),
        ],
        body: book.encode_to_vec().into(),
    }
}

/// Letters with the topics that they go to (row D3).
pub(super) fn letters_to_topics(prefix: &str, store: Uuid, letters: &[DeadLetter]) -> Vec<(String, Outgoing)> {
    let on_topic = |letter| {
        let message = outgoing_letter(store, letter);
        (format!("{prefix}.dlq.{}", message.domain), message)
    };
    letters.iter().map(on_topic).collect()
}

fn outgoing_letter(store: Uuid, letter: &DeadLetter) -> Outgoing {
    Outgoing {
        id: format!("{store}/letter/{}/{}", letter.id, letter.attempts),
        domain: letter.domain().to_owned(),
        headers: vec![(STORE, store.to_string()), (CONTENT_TYPE, LETTER.to_owned())],
        body: letter.letter.encode_to_vec().into(),
    }
}

/// The publication that a message carries.
///
/// # Errors
/// It carries none; the text says what is missing.
pub(super) fn incoming<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Result<Publication, String> {
    fn parsed<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<T, String> {
        let text = text.ok_or_else(|| format!("it has no header `{name}`"))?;
        text.parse().map_err(|_| format!("its header `{name}` makes no sense: {}", text.escape_debug()))
    }
    let store = parsed(STORE, header(STORE))?;
    let (position, follows) = (parsed(POSITION, header(POSITION))?, parsed(FOLLOWS, header(FOLLOWS))?);
    if follows >= position {
        return Err(format!("it stands at position {position} and follows {follows}"));
    }
    let book = proto::EventBook::decode(body).map_err(|error| format!("its body is no EventBook: {error}"))?;
    let event = event_in(&book, position).ok_or("its book has not exactly one event of a stream")?;
    Ok(Publication { store, follows, event })
}

fn event_in(book: &proto::EventBook, position: u64) -> Option<LogEvent> {
    let cover = book.cover.as_ref()?;
    let [page] = book.pages.as_slice() else { return None };
    let payload = page.event()?;
    let stream = StreamKey {
        domain: Name::new(&cover.domain),
        edition: Name::new(cover.edition_name().unwrap_or_default()),
        root: Uuid::from_bytes(cover.root_bytes()?),
    };
    let headers = Headers::new(cover.correlation_id.as_str(), cover.ext.clone());
    let event = StoredEvent {
        position,
        sequence: page.sequence()?,
        created_at: page.created_at.as_ref().map_or(0, |time| time.to_unix_nanos_saturating()),
        type_name: Name::new(proto::type_name_of(&payload.type_url)),
        schema_version: page.schema_version_or_one(),
        payload: Bytes::copy_from_slice(&payload.value),
        headers: headers.with_divergences(edition_of(cover).named_divergences()),
        isolated: false,
    };
    Some(LogEvent { stream, event })
}

/// The partition of a stream: FNV-1a, because every language has it or can have it in five lines.
pub(super) fn partition(key: &str, partitions: u16) -> u16 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    u16::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

/// A consumer's name as every broker takes it: letters, digits, `-` and `_` stay, anything else becomes `=` and its
/// hexadecimal value. A long one keeps its beginning, and gets an id for the rest.
pub(super) fn broker_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            _ => text.push_str(&format!("={byte:02x}")),
        }
    }
    if text.len() > NAME {
        let rest = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string();
        text.truncate(NAME - rest.len() - 2);
        text.push_str("==");
        text.push_str(&rest);
    }
    text
}

/// Whether a prefix can stand in subjects, routing keys and names of streams.
pub(super) fn valid_prefix(prefix: &str) -> bool {
    let good =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    prefix.len() <= 64 && prefix.split('.').all(good)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(publication: &Publication) -> Result<Publication, String> {
        let Outgoing { headers, body, .. } = outgoing(publication);
        incoming(|name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()), &body)
    }

    prop_compose! {
        fn publications()(
            follows in 0..u64::MAX,
            sequence: u32,
            created_at: i64,
            root: u128,
            edition in prop::option::of(("[a-z]{1,8}", prop::option::of(("[a-z]{1,8}", any::<u32>())))),
            correlation in "[ -~]{0,12}",
            ext in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
            schema_version in 1..u32::MAX,
            payload in prop::collection::vec(any::<u8>(), 0..64),
        ) -> Publication {
            let (edition, divergence) = edition.unwrap_or_default();
            let divergences = divergence.map(|(domain, at)| (Name::new(&domain), at)).into_iter().collect();
            let ext = ext.map(|value| prost_types::Any { type_url: "x/y.Z".into(), value });
            let event = StoredEvent {
                position: follows + 1,
                sequence,
                created_at,
                type_name: "bank.Deposited".into(),
                schema_version,
                payload: payload.into(),
                headers: Headers::new(correlation, ext).with_divergences(divergences),
                isolated: false,
            };
            let edition = if edition == "angzarr" { Name::default() } else { Name::new(&edition) };
            let stream = StreamKey { domain: "account".into(), edition, root: Uuid::from_u128(root) };
            Publication { store: Uuid::from_u128(!root), follows, event: LogEvent { stream, event } }
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_comes(publication in publications()) {
            prop_assert_eq!(back(&publication), Ok(publication));
        }

        #[test]
        fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..64), header in ".{0,40}") {
            let _ = incoming(|_| Some(header.as_str()), &body);
            let one = |name: &str| Some(if name == STORE { "00000000-0000-0000-0000-000000000000" } else { "0" });
            prop_assert!(incoming(one, &body).is_err());
        }

        #[test]
        fn names_stay_apart(one in ".{0,200}", other in ".{0,200}") {
            prop_assert_eq!(broker_name(&one) == broker_name(&other), one == other);
            prop_assert!(broker_name(&one).len() <= NAME);
        }
    }

    #[test]
    fn a_message_of_somebody_else_says_what_is_missing() {
        let error = incoming(|_| None, b"").unwrap_err();
        assert_eq!(error, "it has no header `Angzarr-Store`");
        let store = Uuid::nil().to_string();
        let position = |at: &'static str| move |name: &str| Some(if name == POSITION { at } else { "7" });
        let error = incoming(|name| if name == STORE { Some(&store) } else { position("7")(name) }, b"").unwrap_err();
        assert_eq!(error, "it stands at position 7 and follows 7");
        let error = incoming(|name| if name == STORE { Some(&store) } else { position("8")(name) }, b"").unwrap_err();
        assert_eq!(error, "its book has not exactly one event of a stream");
    }

    /// Written down, because programs in other languages compute it too.
    #[test]
    fn partitions_are_what_the_documentation_says() {
        assert_eq!(partition("", 1000), (0xcbf2_9ce4_8422_2325_u64 % 1000) as u16);
        assert_eq!(partition("a", 1000), (0xaf63_dc4c_8601_ec8c_u64 % 1000) as u16);
        assert_eq!(partition("foobar", 1000), (0x8594_4171_f739_67e8_u64 % 1000) as u16);
        assert_eq!(partition("foobar", 0), 0);
    }

    #[test]
    fn prefixes() {
        assert!(["angzarr", "shop.eu-1", "A_b"].into_iter().all(valid_prefix));
        assert!(!["", ".", "a.", "a b", "a*", ">", "ä"].into_iter().any(valid_prefix));
    }
}
