//! The peers on the same work: `angzarr-bench-peers PEER STORE TASKS SECONDS PLACE`. The result is the last line of
//! stderr; a place is a directory or the URL of a database; stdout belongs to cqrs-es, whose memory store prints two lines for each command.

#[path = "../../src/load.rs"]
#[allow(dead_code)]
mod load;

use std::sync::Arc;
use std::time::Duration;

use load::{ACCOUNTS, AsyncOperation, Measured, run};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

mod cqrs {
    use cqrs_es::event_sink::EventSink;
    use cqrs_es::{Aggregate, DomainEvent};
    use serde::{Deserialize, Serialize};

    #[derive(Default, Serialize, Deserialize)]
    pub struct Account {
        pub balance: i64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub enum AccountEvent {
        Deposited { amount: i64, balance: i64 },
    }

    impl DomainEvent for AccountEvent {
        fn event_type(&self) -> String {
            "Deposited".to_owned()
        }
        fn event_version(&self) -> String {
            "1.0".to_owned()
        }
    }

    pub struct Deposit {
        pub amount: i64,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("refused")]
    pub struct Refused;

    impl Aggregate for Account {
        const TYPE: &'static str = "account";
        type Command = Deposit;
        type Event = AccountEvent;
        type Error = Refused;
        type Services = ();

        async fn handle(&mut self, command: Deposit, _: &(), sink: &EventSink<Self>) -> Result<(), Refused> {
            if command.amount <= 0 {
                return Err(Refused);
            }
            let balance = self.balance + command.amount;
            sink.write(AccountEvent::Deposited { amount: command.amount, balance }, self).await;
            Ok(())
        }

        fn apply(&mut self, event: AccountEvent) {
            let AccountEvent::Deposited { amount, .. } = event;
            self.balance += amount;
        }
    }
}

mod with_evento {
    use bincode::{Decode, Encode};
    use evento::{AggregatorName, EventDetails};

    #[derive(AggregatorName, Encode, Decode)]
    pub struct Deposited {
        pub amount: i64,
        pub balance: i64,
    }

    #[derive(Default, Encode, Decode, Clone, Debug)]
    pub struct Account {
        pub balance: i64,
    }

    #[evento::aggregator]
    impl Account {
        async fn deposited(&mut self, event: EventDetails<Deposited>) -> anyhow::Result<()> {
            self.balance += event.data.amount;
            Ok(())
        }
    }
}

struct CqrsMemory(cqrs_es::CqrsFramework<cqrs::Account, cqrs_es::mem_store::MemStore<cqrs::Account>>);

impl AsyncOperation for CqrsMemory {
    async fn call(&self, account: usize) {
        self.0.execute(&account.to_string(), cqrs::Deposit { amount: 7 }).await.expect("accepted");
    }
}

struct CqrsSqlite(sqlite_es::SqliteCqrs<cqrs::Account>);

impl AsyncOperation for CqrsSqlite {
    async fn call(&self, account: usize) {
        self.0.execute(&account.to_string(), cqrs::Deposit { amount: 7 }).await.expect("accepted");
    }
}

struct CqrsPostgres(postgres_es::PostgresCqrs<cqrs::Account>);

impl AsyncOperation for CqrsPostgres {
    async fn call(&self, account: usize) {
        self.0.execute(&account.to_string(), cqrs::Deposit { amount: 7 }).await.expect("accepted");
    }
}

struct Evento<E> {
    executor: E,
    ids: Arc<Vec<String>>,
}

impl<E: evento::Executor> AsyncOperation for Evento<E> {
    async fn call(&self, account: usize) {
        let loaded = evento::load::<with_evento::Account, _>(&self.executor, &self.ids[account]).await.expect("loaded");
        let balance = loaded.item.balance + 7;
        evento::save_with(loaded)
            .data(&with_evento::Deposited { amount: 7, balance })
            .expect("encoded")
            .metadata(&true)
            .expect("encoded")
            .commit(&self.executor)
            .await
            .expect("accepted");
    }
}

/// The pool that sqlite-es documents, with the durability of this row.
async fn pool(directory: &str, durable: bool) -> sqlx::SqlitePool {
    let synchronous = if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let options = SqliteConnectOptions::new()
        .filename(std::path::Path::new(directory).join("peer.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(30))
        .foreign_keys(true);
    SqlitePoolOptions::new().max_connections(10).connect_with(options).await.expect("the database")
}

const SQLITE_ES: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence integer CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload text NOT NULL, metadata text NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
) STRICT";

const POSTGRES_ES: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

/// One event for each account, in a commit of its own, and then the work.
async fn with_evento<E: evento::Executor>(executor: E, tasks: usize, seconds: f64) -> Measured {
    let mut ids = Vec::new();
    for _ in 0..ACCOUNTS {
        let created = evento::create::<with_evento::Account>()
            .data(&with_evento::Deposited { amount: 1, balance: 1 })
            .expect("encoded")
            .metadata(&true)
            .expect("encoded");
        ids.push(created.commit(&executor).await.expect("created"));
    }
    run(tasks, seconds, 1, Evento { executor, ids: Arc::new(ids) }).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, peer, store, tasks, seconds, place] = arguments.as_slice() else {
        panic!("PEER STORE TASKS SECONDS PLACE");
    };
    let tasks: usize = tasks.parse().expect("a number of tasks");
    let seconds: f64 = seconds.parse().expect("seconds");
    let durable = store == "durable";
    let measured: Measured = match (peer.as_str(), store.as_str()) {
        ("cqrs-es", "memory") => {
            let operation = CqrsMemory(cqrs_es::CqrsFramework::new(Default::default(), vec![], ()));
            for account in 0..ACCOUNTS {
                operation.call(account).await;
            }
            run(tasks, seconds, 4, operation).await
        }
        ("cqrs-es", "postgres") => {
            let pool = postgres_es::default_postgress_pool(place).await;
            sqlx::query(POSTGRES_ES).execute(&pool).await.expect("the table");
            let operation = CqrsPostgres(postgres_es::postgres_cqrs(pool, vec![], ()));
            for account in 0..ACCOUNTS {
                operation.call(account).await;
            }
            run(tasks, seconds, 1, operation).await
        }
        ("evento", "postgres") => {
            use sqlx_migrator::Migrate as _;
            let pool = postgres_es::default_postgress_pool(place).await;
            let mut connection = pool.acquire().await.expect("a connection");
            evento::sql_migrator::new::<sqlx::Postgres>()
                .expect("migrations")
                .run(&mut *connection, &sqlx_migrator::Plan::apply_all())
                .await
                .expect("migrated");
            drop(connection);
            with_evento::<evento::Postgres>(pool.into(), tasks, seconds).await
        }
        ("cqrs-es", _) => {
            let pool = pool(place, durable).await;
            sqlx::query(SQLITE_ES).execute(&pool).await.expect("the table");
            let operation = CqrsSqlite(sqlite_es::sqlite_cqrs(pool, vec![], ()));
            for account in 0..ACCOUNTS {
                operation.call(account).await;
            }
            run(tasks, seconds, 1, operation).await
        }
        ("evento", _) => {
            use sqlx_migrator::Migrate as _;
            let pool = pool(place, durable).await;
            let mut connection = pool.acquire().await.expect("a connection");
            evento::sql_migrator::new::<sqlx::Sqlite>()
                .expect("migrations")
                .run(&mut *connection, &sqlx_migrator::Plan::apply_all())
                .await
                .expect("migrated");
            drop(connection);
            with_evento::<evento::Sqlite>(pool.into(), tasks, seconds).await
        }
        _ => panic!("cqrs-es memory|durable|relaxed|postgres, or evento durable|relaxed|postgres"),
    };
    eprintln!("{}", measured.to_line());
}
