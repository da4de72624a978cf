//! Answers in a table (rows S3, S4, R5).
//!
//! In: what a component did, and who waits for it. Out: the same. Never: the lock that writers wait for, but in a commit that an
//! answer is a part of.

use tokio::sync::watch;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::{Answer, Answers, StorageError, StorageFuture};
use super::PostgresStorage;
use super::codec::{bytes, value};
use super::error::while_doing;
use super::reader::Reader;
use crate::stream::Nanos;

/// The first one counts. In order, so that two who tell the same wait for each other, never crosswise.
pub(super) const TELL: &str = "INSERT INTO answers (wait, key, until, answer)
    SELECT wait, key, until, answer FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::bytea[]) AS a (wait, key, until, answer)
    ORDER BY wait, key ON CONFLICT DO NOTHING";
const READ: &str = "SELECT wait, key, until, answer FROM answers WHERE wait = ANY ($1) ORDER BY number";
const FORGET: &str = "DELETE FROM answers WHERE wait = ANY ($1) OR until < $2";

/// Answers as columns.
#[derive(Default)]
pub(super) struct Columns<'a> {
    wait: Vec<Uuid>,
    key: Vec<&'a [u8]>,
    until: Vec<Nanos>,
    answer: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(answers: impl Iterator<Item = &'a Answer>) -> Self {
        let mut columns = Self::default();
        for it in answers {
            columns.wait.push(it.wait);
            columns.key.push(&it.key);
            columns.until.push(it.until);
            columns.answer.push(&it.answer);
        }
        columns
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wait.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.wait, &self.key, &self.until, &self.answer]
    }
}

impl Reader {
    async fn change(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), StorageError> {
        let doing = || while_doing("what other processes are told was not stored");
        let statement = self.client.prepare_cached(sql).await.map_err(doing())?;
        self.client.execute(&statement, parameters).await.map(drop).map_err(doing())
    }
}

/// Tried again where the connection was lost: to tell, to read and to forget is the same however often it happens.
impl Answers for PostgresStorage {
    fn tell<'a>(&'a self, answers: &'a [Answer]) -> StorageFuture<'a, ()> {
        let answers = answers.to_vec();
        let told = self.read(move |reader| {
            let answers = answers.clone();
            async move { reader.change(TELL, &Columns::of(answers.iter()).parameters()).await }
        });
        Box::pin(async move {
            told.await?;
            self.news.answered();
            Ok(())
        })
    }

    fn read<'a>(&'a self, waits: &'a [Uuid]) -> StorageFuture<'a, Vec<Answer>> {
        let waits = waits.to_vec();
        PostgresStorage::read(self, move |reader| {
            let waits = waits.clone();
            async move {
                let answer = |row: &tokio_postgres::Row| {
                    let (wait, key) = (value(row, 0)?, bytes(row, 1)?);
                    Ok(Answer { wait, key, until: value(row, 2)?, answer: bytes(row, 3)? })
                };
                reader.list(READ, &[&waits], answer).await
            }
        })
    }

    fn forget<'a>(&'a self, waits: &'a [Uuid], now: Nanos) -> StorageFuture<'a, ()> {
        let waits = waits.to_vec();
        PostgresStorage::read(self, move |reader| {
            let waits = waits.clone();
            async move { reader.change(FORGET, &[&waits, &now]).await }
        })
    }

    fn news(&self) -> watch::Receiver<()> {
        self.news.of_answers()
    }
}
