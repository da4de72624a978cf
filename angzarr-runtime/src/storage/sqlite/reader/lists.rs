//! Questions with lists as answers: streams, editions, domains, intents, dead letters.
//!
//! In: what is asked for, with a limit. Out: the matching ones, in order. Never: a list that another index would give in
//! less time; each question names the columns of one.

use rusqlite::ToSql;

use super::super::super::{EditionInfo, Intent, IntentFilter, IntentId, StorageError, StreamFilter, StreamInfo};
use super::super::codec::{self, large, optional_integer, optional_small, signed, stream_key, text};
use super::Reader;
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId};
use crate::stream::{Name, StreamKey};

impl Reader<'_> {
    pub(in super::super) fn streams(
        &mut self,
        filter: &StreamFilter,
        after: Option<&StreamKey>,
        limit: usize,
    ) -> Result<Vec<StreamInfo>, StorageError> {
        // With a domain, `after` of another domain means its start or its end.
        let (start, edition, root) = match (filter.domain.as_deref(), after) {
            (Some(domain), Some(after)) if *after.domain > *domain => return Ok(Vec::new()),
            (Some(domain), Some(after)) if *after.domain < *domain => (domain, "", &[][..]),
            (_, Some(after)) => (after.domain.as_str(), after.edition.as_str(), &after.root.as_bytes()[..]),
            (Some(domain), None) => (domain, "", &[][..]),
            (None, None) => ("", "", &[][..]),
        };
        let within = if filter.domain.is_some() { "s.domain = ?1 AND" } else { "" };
        let only = if filter.edition.is_some() { "s.edition = ?5 AND" } else { "" };
        let join = if filter.without_events { "LEFT JOIN" } else { "JOIN" };
        let sql = format!(
            "SELECT s.domain, s.edition, s.root, e.sequence, e.created_at, s.diverged_at FROM streams s {join} events e
               ON e.stream = s.id AND e.sequence = (SELECT max(sequence) FROM events WHERE stream = s.id)
             WHERE {within} {only} (s.domain, s.edition, s.root) > (?1, ?2, ?3)
             ORDER BY s.domain, s.edition, s.root LIMIT ?4"
        );
        let mut streams = Vec::new();
        let limit = signed(limit as u64);
        let mut parameters: Vec<&dyn ToSql> = vec![&start, &edition, &root, &limit];
        parameters.extend(filter.edition.as_ref().map(|it| it as &dyn ToSql));
        self.each(&sql, &parameters, |_, row| {
            streams.push(StreamInfo {
                key: stream_key(row, 0)?,
                next_sequence: optional_small(row, 3)?.map_or(0, |last| last.saturating_add(1)),
                last_created_at: optional_integer(row, 4)?.unwrap_or(0),
                diverged_at: optional_small(row, 5)?,
            });
            Ok(true)
        })?;
        Ok(streams)
    }

    pub(in super::super) fn editions(&mut self) -> Result<Vec<EditionInfo>, StorageError> {
        let sql = "SELECT s.edition, count(DISTINCT s.id), count(*) FROM streams s JOIN events e ON e.stream = s.id
                   WHERE s.edition <> '' GROUP BY s.edition ORDER BY s.edition";
        let mut editions = Vec::new();
        self.each(sql, &[], |_, row| {
            let (streams, events) = (large(row, 1)?, large(row, 2)?);
            editions.push(EditionInfo { name: Name::new(text(row, 0)?), streams, events });
            Ok(true)
        })?;
        Ok(editions)
    }

    /// Asks for the next larger one each time instead of reading every stream.
    pub(in super::super) fn domains(&mut self) -> Result<Vec<String>, StorageError> {
        let sql = "WITH RECURSIVE found(domain) AS (
                       SELECT min(domain) FROM streams
                       UNION ALL
                       SELECT (SELECT min(s.domain) FROM streams s WHERE s.domain > found.domain) FROM found
                       WHERE found.domain IS NOT NULL)
                   SELECT domain FROM found WHERE domain IS NOT NULL";
        let mut domains = Vec::new();
        self.each(sql, &[], |_, row| {
            domains.push(text(row, 0)?.to_owned());
            Ok(true)
        })?;
        Ok(domains)
    }

    pub(in super::super) fn intents(&mut self, filter: &IntentFilter) -> Result<Vec<Intent>, StorageError> {
        let mut sql = format!("SELECT {} FROM intents WHERE TRUE", codec::INTENT);
        let limit = signed(filter.limit() as u64);
        let kind = filter.kind.map(codec::encode_kind);
        let key = filter.stream.as_ref().map(|it| (it.domain.as_str(), it.edition.as_str(), it.root.as_bytes()));
        let mut parameters: Vec<&dyn ToSql> = vec![&limit];
        if let Some((domain, edition, root)) = &key {
            sql += " AND domain = ?2 AND edition = ?3 AND root = ?4";
            parameters.extend([domain as &dyn ToSql, edition, root]);
        }
        if let Some(kind) = &kind {
            parameters.push(kind);
            sql += &format!(" AND kind = ?{}", parameters.len());
        }
        if let Some(until) = &filter.due_until {
            parameters.push(until);
            sql += &format!(" AND due <= ?{}", parameters.len());
        }
        sql += " ORDER BY due, number LIMIT ?1";
        let mut intents = Vec::new();
        self.each(&sql, &parameters, |_, row| {
            intents.push(codec::intent(row)?);
            Ok(true)
        })?;
        Ok(intents)
    }

    pub(in super::super) fn intent(&self, id: IntentId) -> Result<Option<Intent>, StorageError> {
        let sql = format!("SELECT {} FROM intents WHERE id = ?1", codec::INTENT);
        self.one(&sql, &[id.as_bytes()], codec::intent)
    }

    pub(in super::super) fn dead_letters(
        &mut self,
        filter: &DeadLetterFilter,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let mut sql = format!("SELECT {} FROM dead_letters WHERE TRUE", codec::DEAD_LETTER);
        let limit = signed(filter.limit.unwrap_or(1_000) as u64);
        let mut parameters: Vec<&dyn ToSql> = vec![&limit];
        let columns =
            [("domain", &filter.domain), ("component", &filter.component), ("correlation_id", &filter.correlation_id)];
        for (column, wanted) in columns {
            if let Some(wanted) = wanted {
                parameters.push(wanted);
                sql += &format!(" AND {column} = ?{}", parameters.len());
            }
        }
        if filter.correlation_id.as_deref().is_some_and(|it| !it.is_empty()) {
            sql += " AND correlation_id <> ''"; // lets SQLite use the partial index
        }
        if !filter.include_resolved {
            sql += " AND resolution IS NULL";
        }
        sql += " ORDER BY occurred_at, number LIMIT ?1";
        let mut letters = Vec::new();
        self.each(&sql, &parameters, |_, row| {
            letters.push(codec::dead_letter(row)?);
            Ok(true)
        })?;
        Ok(letters)
    }

    pub(in super::super) fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, StorageError> {
        let sql = format!("SELECT {} FROM dead_letters WHERE id = ?1", codec::DEAD_LETTER);
        self.one(&sql, &[id.as_bytes()], codec::dead_letter)
    }

    pub(in super::super) fn parked_streams(&mut self, component: &str) -> Result<Vec<StreamKey>, StorageError> {
        let sql = "SELECT DISTINCT domain, edition, root FROM dead_letters
                   WHERE component = ?1 AND resolution IS NULL AND sequence IS NOT NULL ORDER BY domain, edition, root";
        let mut streams = Vec::new();
        self.each(sql, &[&component], |_, row| {
            streams.push(stream_key(row, 0)?);
            Ok(true)
        })?;
        Ok(streams)
    }

    pub(in super::super) fn oldest_parked(
        &self,
        component: &str,
        key: &StreamKey,
    ) -> Result<Option<DeadLetter>, StorageError> {
        let sql = format!(
            "SELECT {} FROM dead_letters WHERE component = ?1 AND domain = ?2 AND edition = ?3 AND root = ?4
             AND resolution IS NULL AND sequence IS NOT NULL ORDER BY sequence LIMIT 1",
            codec::DEAD_LETTER
        );
        let key: [&dyn ToSql; 4] = [&component, &key.domain.as_str(), &key.edition.as_str(), key.root.as_bytes()];
        self.one(&sql, &key, codec::dead_letter)
    }
}
