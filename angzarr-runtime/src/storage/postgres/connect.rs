//! Connections: one that writes, one that listens, and a pool for questions.
//!
//! In: settings. Out: sessions that are set up for what they are used for. Never: a session of which nobody knows whether
//! it was set up.

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::StorageError;
use super::error::{failed, unavailable, while_doing};
use super::settings::Settings;
use super::tls;

/// Questions that may run at the same time.
pub(super) const READERS: usize = 8;

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writes,
    Listens,
    Asks {
        read_only: bool,
    },
    /// Whatever a projector does with its own tables.
    Projects,
}

#[derive(Clone)]
pub(super) struct Connector {
    pub(super) settings: Settings,
    tls: MakeRustlsConnect,
}

impl Connector {
    pub(super) async fn new(settings: Settings) -> Result<Self, StorageError> {
        // It reads files.
        let made = tokio::task::spawn_blocking(move || {
            let tls = tls::connector(&settings)?;
            Ok(Self { settings, tls })
        });
        made.await.map_err(|error| failed(format!("encryption could not be set up: {error}")))?
    }

    /// A connection that is driven by a task of its own.
    pub(super) async fn connect(&self, role: Role) -> Result<Client, StorageError> {
        let (client, connection) = self.open().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = super::error::told(&error), "a connection to the server ended");
            }
        });
        self.set_up(&client, role).await.map_err(while_doing("a session could not be set up"))?;
        Ok(client)
    }

    /// A connection that somebody else drives, not set up yet.
    pub(super) async fn open(&self) -> Result<(Client, Connection<Socket, TlsStream>), StorageError> {
        let doing = || format!("cannot connect to {}", self.settings.describe());
        // The client bounds the way to the server, and not the wait for its first word.
        let limit = self.settings.longest_connect();
        match tokio::time::timeout(limit, self.settings.config.connect(self.tls.clone())).await {
            Ok(connected) => connected.map_err(|error| while_doing(doing())(error)),
            Err(_) => Err(unavailable(format!("{}: no answer within {limit:?}", doing()))),
        }
    }

    pub(super) async fn set_up(&self, client: &Client, role: Role) -> Result<(), tokio_postgres::Error> {
        client.batch_execute(&self.set_up_sql(role)).await
    }

    fn set_up_sql(&self, role: Role) -> String {
        // What was answered is on disk, unless the URL says otherwise.
        let durable = match self.settings.own_durability {
            true => "",
            false => {
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
            }
        };
        if role == Role::Projects {
            return format!("SET search_path TO {}, public; {durable}", self.settings.quoted_schema());
        }
        let patience = self.settings.lock_patience.as_millis().clamp(1, i32::MAX as u128);
        // Statements of ours are short and many; what a session of the same user is limited to must not end a write.
        // What is read under the lock has to be what the one before has committed, so each statement sees the newest, whatever
        // a session of the same user sees otherwise. Each of them finds few rows by an index. The planner does not know how few, and without statistics, as in a new
        // table, it would now and then read or sort all of a table instead.
        let mut sql = format!(
            "SET search_path TO {}; SET lock_timeout TO {patience}; SET jit TO off; SET enable_seqscan TO off;
             SET enable_bitmapscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off; SET enable_sort TO off;
             SET default_transaction_isolation TO 'read committed';",
            self.settings.quoted_schema()
        );
        match role {
            Role::Writes => {
                // A writer that stops in the middle (suspended, cut off) must not hold up the others for ever.
                sql += &format!(
                    "SET idle_in_transaction_session_timeout TO {patience}; SET statement_timeout TO 0;
                     SET default_transaction_read_only TO off; {durable}"
                );
            }
            // What it sends need not be on disk.
            Role::Listens => sql += "SET synchronous_commit TO off;",
            Role::Asks { read_only: true } => sql += "SET default_transaction_read_only TO on;",
            Role::Asks { read_only: false } | Role::Projects => {}
        }
        sql
    }

    pub(super) fn pool(&self, role: Role) -> Result<Pool, StorageError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.settings.config.clone(), self.tls.clone(), config);
        let sql = self.set_up_sql(role);
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let sql = sql.clone();
            Box::pin(async move { client.batch_execute(&sql).await.map_err(HookError::Backend) })
        });
        Pool::builder(manager)
            .max_size(READERS)
            .runtime(Runtime::Tokio1)
            .post_create(set_up)
            .build()
            .map_err(|error| failed(format!("no pool of connections: {error}")))
    }
}

/// One of a pool.
pub(super) async fn connection(pool: &Pool) -> Result<Object, StorageError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => while_doing("cannot connect")(error),
        PoolError::PostCreateHook(HookError::Backend(error)) => while_doing("a session could not be set up")(error),
        PoolError::Closed => unavailable("the store is closed"),
        other => unavailable(format!("no connection: {other}")),
    })
}
