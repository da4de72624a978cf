//! Who holds writers back, where somebody does.
//!
//! In: a statement that waits. Out: the same statement's answer, and meanwhile the name of what it waits for. Never: an end to
//! what somebody else holds; that is an operator's decision.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use parking_lot::Mutex;

use super::super::StorageError;
use super::error::unavailable;

/// A write that waits longer than this asks what for.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// And again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who is at the end of the chain of those who wait for each other, starting behind one process of the server.
const HOLDER: &str = "
    WITH RECURSIVE chain (pid, depth) AS (
        SELECT unnest(pg_blocking_pids($1)), 1
        UNION
        SELECT b.pid, chain.depth + 1 FROM chain, unnest(pg_blocking_pids(chain.pid)) AS b (pid) WHERE chain.depth < 16)
    SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(host(a.client_addr), 'local'),
           coalesce(a.state, 'unknown'), extract(epoch FROM now() - a.xact_start)::float8
    FROM chain JOIN pg_stat_activity a ON a.pid = chain.pid
    WHERE cardinality(pg_blocking_pids(a.pid)) = 0
    ORDER BY a.xact_start NULLS LAST LIMIT 1";

/// What is known about who holds writers back.
pub(super) struct Holders {
    pool: Pool,
    patience: Duration,
    now: Mutex<Option<String>>,
}

impl Holders {
    pub(super) fn new(pool: Pool, patience: Duration) -> Arc<Self> {
        Arc::new(Self { pool, patience, now: Mutex::default() })
    }

    /// Who holds writers back at the moment.
    pub(super) fn now(&self) -> Option<String> {
        self.now.lock().clone()
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// A write has waited for as long as it may.
    pub(super) fn held_up_too_long(&self) -> StorageError {
        let holder =
            self.now().unwrap_or_else(|| "another transaction, which was gone before it could be named".to_owned());
        let patience = self.patience;
        unavailable(format!("not stored: it waited {patience:?} for {holder}; end that transaction, or wait for it"))
    }

    /// A statement that went through was not held up, or is not any more.
    fn note<T>(&self, answer: &Result<T, tokio_postgres::Error>) {
        if answer.is_ok() {
            *self.now.lock() = None;
        }
    }

    async fn look(&self, waiting: i32) {
        let found = async {
            let client = self.pool.get().await.ok()?;
            let statement = client.prepare_cached(HOLDER).await.ok()?;
            let row = client.query_opt(&statement, &[&waiting]).await.ok()??;
            let (pid, application): (i32, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            let (user, host, state): (String, String, String) =
                (row.try_get(2).ok()?, row.try_get(3).ok()?, row.try_get(4).ok()?);
            let since: Option<f64> = row.try_get(5).ok()?;
            let since = since.map(|it| format!(", its transaction open for {it:.0} s")).unwrap_or_default();
            Some(format!("server process {pid} (application `{application}`, user {user} at {host}, {state}{since})"))
        };
        // Without an answer the last one stays: the holder is most likely the same.
        if let Some(holder) = found.await {
            let mut now = self.now.lock();
            if now.is_none() {
                tracing::warn!(holder, "writes wait for another transaction");
            }
            *now = Some(holder);
        }
    }
}

/// Waits for a statement of the server process `waiting`, and finds out what holds it up if it takes long.
pub(super) async fn watched<T>(
    holders: &Holders,
    waiting: i32,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut statement = std::pin::pin!(statement);
    if let Ok(answer) = tokio::time::timeout(LOOK_AFTER, &mut statement).await {
        holders.note(&answer);
        return answer;
    }
    let looking = async {
        loop {
            holders.look(waiting).await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let answer = tokio::select! {
        answer = &mut statement => answer,
        never = looking => never,
    };
    holders.note(&answer);
    answer
}
