//! Questions with lists as answers: streams, editions, domains, intents, dead letters.
//!
//! In: what is asked for, with a limit. Out: the matching ones, in order. Never: a list that another index would give in
//! less time; each question names the columns of one.

use tokio_postgres::types::ToSql;

use super::super::super::encoding::{encode_kind, signed};
use super::super::super::{EditionInfo, Intent, IntentFilter, IntentId, StorageError, StreamFilter, StreamInfo};
use super::super::codec::{self, large, optional_small, stream_key, value};
use super::Reader;
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId};
use crate::stream::{Name, StreamKey};

impl Reader {
    pub(in super::super) async fn streams(
        &self,
        filter: &StreamFilter,
        after: Option<&StreamKey>,
        limit: usize,
    ) -> Result<Vec<StreamInfo>, StorageError> {
        let mut conditions = String::new();
        let limit = signed(limit as u64);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        let key = after.map(|it| (it.domain.as_str(), it.edition.as_str(), it.root));
        if let Some((domain, edition, root)) = &key {
            conditions += " AND (s.domain, s.edition, s.root) > ($2, $3, $4)";
            parameters.extend([domain as &(dyn ToSql + Sync), edition, root]);
        }
        for (column, wanted) in [("domain", &filter.domain), ("edition", &filter.edition)] {
            if let Some(wanted) = wanted {
                parameters.push(wanted);
                conditions += &format!(" AND s.{column} = ${}", parameters.len());
            }
        }
        let join = if filter.without_events { "LEFT JOIN" } else { "JOIN" };
        let sql = format!(
            "SELECT s.domain, s.edition, s.root, e.sequence, e.created_at, s.diverged_at FROM streams s
             {join} LATERAL (SELECT sequence, created_at FROM events
                           WHERE stream = s.id ORDER BY sequence DESC LIMIT 1) e ON TRUE
             WHERE TRUE{conditions} ORDER BY s.domain, s.edition, s.root LIMIT $1"
        );
        self.list(&sql, &parameters, |row| {
            Ok(StreamInfo {
                key: stream_key(row, 0)?,
                next_sequence: optional_small(row, 3)?.map_or(0, |last| last.saturating_add(1)),
                last_created_at: value::<Option<i64>>(row, 4)?.unwrap_or(0),
                diverged_at: optional_small(row, 5)?,
            })
        })
        .await
    }

    pub(in super::super) async fn editions(&self) -> Result<Vec<EditionInfo>, StorageError> {
        let sql = "SELECT s.edition, count(DISTINCT s.id), count(*) FROM streams s JOIN events e ON e.stream = s.id
                   WHERE s.edition <> '' GROUP BY s.edition ORDER BY s.edition";
        self.list(sql, &[], |row| {
            Ok(EditionInfo { name: Name::new(value(row, 0)?), streams: large(row, 1)?, events: large(row, 2)? })
        })
        .await
    }

    /// Asks for the next larger one each time instead of reading every stream.
    pub(in super::super) async fn domains(&self) -> Result<Vec<String>, StorageError> {
        let sql = "WITH RECURSIVE found (domain) AS (
                       (SELECT domain FROM streams ORDER BY domain LIMIT 1)
                       UNION ALL
                       SELECT (SELECT s.domain FROM streams s WHERE s.domain > found.domain ORDER BY s.domain LIMIT 1)
                       FROM found WHERE found.domain IS NOT NULL)
                   SELECT domain FROM found WHERE domain IS NOT NULL";
        self.list(sql, &[], |row| value::<String>(row, 0)).await
    }

    pub(in super::super) async fn intents(&self, filter: &IntentFilter) -> Result<Vec<Intent>, StorageError> {
        let mut sql = format!("SELECT {} FROM intents WHERE TRUE", codec::INTENT);
        let limit = signed(filter.limit() as u64);
        let kind = filter.kind.map(encode_kind);
        let key = filter.stream.as_ref().map(|it| (it.domain.as_str(), it.edition.as_str(), it.root));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        if let Some((domain, edition, root)) = &key {
            sql += " AND domain = $2 AND edition = $3 AND root = $4";
            parameters.extend([domain as &(dyn ToSql + Sync), edition, root]);
        }
        if let Some(kind) = &kind {
            parameters.push(kind);
            sql += &format!(" AND kind = ${}", parameters.len());
        }
        if let Some(until) = &filter.due_until {
            parameters.push(until);
            sql += &format!(" AND due <= ${}", parameters.len());
        }
        sql += " ORDER BY due, number LIMIT $1";
        self.list(&sql, &parameters, codec::intent).await
    }

    pub(in super::super) async fn intent(&self, id: IntentId) -> Result<Option<Intent>, StorageError> {
        let sql = format!("SELECT {} FROM intents WHERE id = $1", codec::INTENT);
        self.one(&sql, &[&id], codec::intent).await
    }

    pub(in super::super) async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let mut sql = format!("SELECT {} FROM dead_letters WHERE TRUE", codec::DEAD_LETTER);
        let limit = signed(filter.limit.unwrap_or(1_000) as u64);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        let columns =
            [("domain", &filter.domain), ("component", &filter.component), ("correlation_id", &filter.correlation_id)];
        for (column, wanted) in columns {
            if let Some(wanted) = wanted {
                parameters.push(wanted);
                sql += &format!(" AND {column} = ${}", parameters.len());
            }
        }
        if filter.correlation_id.as_deref().is_some_and(|it| !it.is_empty()) {
            sql += " AND correlation_id <> ''"; // lets the server use the partial index
        }
        if !filter.include_resolved {
            sql += " AND resolution IS NULL";
        }
        sql += " ORDER BY occurred_at, number LIMIT $1";
        self.list(&sql, &parameters, codec::dead_letter).await
    }

    pub(in super::super) async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, StorageError> {
        let sql = format!("SELECT {} FROM dead_letters WHERE id = $1", codec::DEAD_LETTER);
        self.one(&sql, &[&id], codec::dead_letter).await
    }

    pub(in super::super) async fn parked_streams(&self, component: &str) -> Result<Vec<StreamKey>, StorageError> {
        let sql = "SELECT DISTINCT domain, edition, root FROM dead_letters
                   WHERE component = $1 AND resolution IS NULL AND sequence IS NOT NULL ORDER BY domain, edition, root";
        self.list(sql, &[&component], |row| stream_key(row, 0)).await
    }

    pub(in super::super) async fn oldest_parked(
        &self,
        component: &str,
        key: &StreamKey,
    ) -> Result<Option<DeadLetter>, StorageError> {
        let sql = format!(
            "SELECT {} FROM dead_letters WHERE component = $1 AND domain = $2 AND edition = $3 AND root = $4
             AND resolution IS NULL AND sequence IS NOT NULL ORDER BY sequence LIMIT 1",
            codec::DEAD_LETTER
        );
        let parameters: [&(dyn ToSql + Sync); 4] = [&component, &key.domain.as_str(), &key.edition.as_str(), &key.root];
        self.one(&sql, &parameters, codec::dead_letter).await
    }
}
