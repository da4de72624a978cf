//! Where a reaction's command comes from, and what makes work happen once (rows G2, C10, F2, K5).
//!
//! In: a source event, a component, an index; or an external id. Out: dedup keys, and what they were made of. Never: the same key
//! for two kinds of work.

use angzarr_proto as proto;
use bytes::{BufMut, BytesMut};
use proto::CoverExt as _;
use proto::page_header::SequenceType;
use uuid::Uuid;

use crate::storage::Dedup;
use crate::stream::{Edition, Name, StreamKey};

/// Where a reaction's command comes from: what makes it run once (row G2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provenance {
    pub(crate) source: StreamKey,
    pub(crate) source_seq: u32,
    pub(crate) component: Name,
    pub(crate) command_index: u32,
}

impl Provenance {
    pub(crate) fn dedup(&self) -> Dedup {
        self.dedup_as(COMMAND)
    }

    /// The external id of a fact that its handler gave none (row G6). Names of at most 64 bytes make one of at most 253.
    pub(crate) fn external_id(&self) -> String {
        let StreamKey { domain, edition, root } = &self.source;
        let (component, sequence, index) = (&self.component, self.source_seq, self.command_index);
        format!("{DERIVED}{domain}/{edition}/{}/{sequence:x}/{component}/{index:x}", root.simple())
    }

    /// What such an id was made of; `None` for an id that somebody gave.
    fn of_external_id(id: &str) -> Option<Self> {
        let mut parts = id.strip_prefix(DERIVED)?.splitn(5, '/');
        let (domain, edition, root) = (parts.next()?, parts.next()?, parts.next()?);
        let source = StreamKey { domain: Name::new(domain), edition: Name::new(edition), root: root.parse().ok()? };
        let source_seq = u32::from_str_radix(parts.next()?, 16).ok()?;
        let (component, index) = parts.next()?.rsplit_once('/')?;
        let command_index = u32::from_str_radix(index, 16).ok()?;
        Some(Self { source, source_seq, component: Name::new(component), command_index })
    }

    /// The key of something else that happens once for this provenance: each kind of it has a letter of its own (row K5).
    pub(crate) fn dedup_as(&self, kind: u8) -> Dedup {
        if kind == EXTERNAL {
            return external_dedup(&self.external_id());
        }
        let mut key = BytesMut::with_capacity(64);
        key.put_u8(kind);
        for text in [&self.source.domain, &self.source.edition, &self.component] {
            key.put_slice(text.as_bytes());
            key.put_u8(0);
        }
        key.put_slice(self.source.root.as_bytes());
        key.put_u32(self.source_seq);
        key.put_u32(self.command_index);
        Dedup(key.freeze())
    }

    /// What a dedup key was made of, with its kind; `None` for an external id that somebody gave.
    pub(crate) fn of(Dedup(key): &Dedup) -> Option<(u8, Self)> {
        let (kind, rest) = key.split_first()?;
        provenance_of(kind, rest)
    }

    /// The same for an event that a merge has brought from a branch to main (row B6).
    pub(crate) fn merged_from(&self, edition: &str) -> Self {
        if self.source.edition == *edition {
            Self { source: self.source.on_main(), ..self.clone() }
        } else {
            self.clone()
        }
    }

    /// As the wire has it, where the wire has all of it.
    pub(crate) fn from_proto(deferred: &proto::AngzarrDeferredSequence) -> Option<Self> {
        let source = deferred.source.as_ref()?;
        Some(Self {
            source: StreamKey {
                domain: Name::new(&source.domain),
                edition: Edition::named(source.edition_name().unwrap_or_default()).name().clone(),
                root: Uuid::from_bytes(source.root_bytes()?),
            },
            source_seq: deferred.source_seq,
            component: Name::new(&deferred.source_component),
            command_index: deferred.command_index,
        })
    }

    pub(crate) fn to_proto(&self) -> proto::AngzarrDeferredSequence {
        proto::AngzarrDeferredSequence {
            source: Some(super::answer::cover_of(&self.source, "", None)),
            source_seq: self.source_seq,
            source_component: self.component.to_string(),
            command_index: self.command_index,
        }
    }
}

/// The dedup key of an external id (rows C10, F2).
pub(crate) fn external_dedup(id: &str) -> Dedup {
    let mut key = BytesMut::with_capacity(id.len() + 1);
    key.put_u8(EXTERNAL);
    key.put_slice(id.as_bytes());
    Dedup(key.freeze())
}

/// What an external id of a branch is on main: one that was made from a provenance is made of its merged one (row B6).
pub(crate) fn external_id_on_main(id: &str, edition: &str) -> String {
    Provenance::of_external_id(id).map_or_else(|| id.to_owned(), |it| it.merged_from(edition).external_id())
}

/// What a dedup key was made of, as a page's header says it.
pub(crate) fn deferred_of(Dedup(key): &Dedup) -> Option<SequenceType> {
    let (kind, rest) = key.split_first()?;
    if *kind == EXTERNAL {
        let external_id = std::str::from_utf8(rest).ok()?.to_owned();
        return Some(SequenceType::ExternalDeferred(proto::ExternalDeferredSequence {
            external_id,
            ..Default::default()
        }));
    }
    let (_, provenance) = provenance_of(kind, rest).filter(|(kind, _)| *kind == COMMAND)?;
    Some(SequenceType::AngzarrDeferred(provenance.to_proto()))
}

/// The kind of a command's dedup key.
const COMMAND: u8 = b'a';
/// The kind of an external id's dedup key.
const EXTERNAL: u8 = b'x';
/// How the external ids begin that are made from a provenance.
const DERIVED: &str = "angzarr:";

fn provenance_of(kind: &u8, rest: &[u8]) -> Option<(u8, Provenance)> {
    if *kind == EXTERNAL {
        let provenance = Provenance::of_external_id(std::str::from_utf8(rest).ok()?)?;
        return Some((*kind, provenance));
    }
    let (texts, numbers) = rest.split_at_checked(rest.len().checked_sub(24)?)?;
    let mut texts = std::str::from_utf8(texts).ok()?.splitn(3, '\0');
    let (domain, edition, component) = (texts.next()?, texts.next()?, texts.next()?);
    let (root, numbers) = numbers.split_first_chunk::<16>()?;
    let (source_seq, command_index) = numbers.split_first_chunk::<4>()?;
    let provenance = Provenance {
        source: StreamKey { domain: Name::new(domain), edition: Name::new(edition), root: Uuid::from_bytes(*root) },
        source_seq: u32::from_be_bytes(*source_seq),
        component: Name::new(component.strip_suffix('\0')?),
        command_index: u32::from_be_bytes(command_index.try_into().ok()?),
    };
    Some((*kind, provenance))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Rows C10, G2, D1: a letter says what its command was known by.
    #[test]
    fn c10_g2_d1_a_dedup_key_says_what_it_was_made_of() {
        let Some(SequenceType::ExternalDeferred(external)) = deferred_of(&external_dedup("order 7")) else {
            panic!("an external id");
        };
        assert_eq!(external.external_id, "order 7");
        for edition in ["", "what-if"] {
            let provenance = Provenance {
                source: StreamKey {
                    domain: "account".into(),
                    edition: edition.into(),
                    root: Uuid::from_u128(0x00ff_0000_0000_0000_0000_0000_0000_00ff),
                },
                source_seq: 256,
                component: "courier".into(),
                command_index: 7,
            };
            let Some(SequenceType::AngzarrDeferred(found)) = deferred_of(&provenance.dedup()) else {
                panic!("a provenance");
            };
            assert_eq!(found, provenance.to_proto());
            for kind in [COMMAND, EXTERNAL, b'n'] {
                assert_eq!(Provenance::of(&provenance.dedup_as(kind)), Some((kind, provenance.clone())));
            }
        }
        for given in ["order 7", "angzarr:", "angzarr:a/b/c/d/e/f"] {
            assert_eq!(Provenance::of(&external_dedup(given)), None);
        }
        for nonsense in [&b""[..], b"a", b"axyz", b"a0123456789012345678901234567"] {
            assert_eq!(deferred_of(&Dedup(Bytes::copy_from_slice(nonsense))), None);
        }
    }
}
