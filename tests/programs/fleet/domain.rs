//! Jobs that are handed to workers and watched: an aggregate, a saga, a process manager with a timer, a projector.

use std::time::Duration;

use angzarr_runtime::PostgresReadModel;
use angzarr_runtime::prelude::*;

macro_rules! messages {
    ($($name:ident { $($tag:tt [$kind:tt] $field:ident: $type:ty),* })+) => {
        $(
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $name { $(#[prost($kind, tag = $tag)] pub(crate) $field: $type,)* }
        )+
        angzarr_runtime::name_messages!("fleet": $($name),+);
    };
}

messages! {
    Start { "1" [uint64] number: u64 }
    Started { "1" [uint64] number: u64 }
    Finish {}
    Finished {}
    Ring {}
    Rang {}
    Work {}
    Worked {}
    Watching {}
    Seen {}
    Reminded {}
}

/// A job: begun by a caller, finished and rung for by its watch.
#[aggregate(domain = "job")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Job {
    #[prost(uint32, tag = "1")]
    pub(crate) finished: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) rang: u32,
}

#[aggregate]
impl Job {
    #[handler]
    fn start(&self, cmd: Start) -> Result<Started, Rejection> {
        Ok(Started { number: cmd.number })
    }
    /// Not idempotent on purpose: what is sent twice shows.
    #[handler]
    fn finish(&self, _: Finish) -> Result<Finished, Rejection> {
        Ok(Finished {})
    }
    #[handler]
    fn ring(&self, _: Ring) -> Result<Rang, Rejection> {
        Ok(Rang {})
    }
    #[apply]
    fn started(&mut self, _: Started) {}
    #[apply]
    fn is_finished(&mut self, _: Finished) {
        self.finished += 1;
    }
    #[apply]
    fn has_rung(&mut self, _: Rang) {
        self.rang += 1;
    }
}

/// A worker: several jobs go to one, so that processes race for it.
#[aggregate(domain = "worker")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Worker {
    #[prost(uint64, tag = "1")]
    pub(crate) worked: u64,
}

/// Workers there are.
pub(crate) const WORKERS: u128 = 7;

#[aggregate]
impl Worker {
    #[handler]
    fn work(&self, _: Work) -> Result<Worked, Rejection> {
        Ok(Worked {})
    }
    #[apply]
    fn has_worked(&mut self, _: Worked) {
        self.worked += 1;
    }
}

#[saga(name = "hand-out", from = Job)]
fn hand_out(_: Started, ctx: &EventContext) -> Command<Worker> {
    Worker::command(Uuid::from_u128(ctx.root().as_u128() % WORKERS), Work {})
}

/// Follows a job by its correlation id.
#[process_manager(domain = "watch", from = [Job, Worker])]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Watch {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) job: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) seen: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) reminded: u32,
}

#[process_manager]
impl Watch {
    #[handler]
    fn started(&self, _: Started) -> Reaction {
        Reaction::new().event(Watching {}).timeout("remind", Duration::from_millis(300))
    }
    #[handler]
    fn worked(&self, _: Worked, ctx: &EventContext) -> Reaction {
        Reaction::new().event(Seen {}).command(Job::command(job_of(ctx), Finish {}))
    }
    #[timeout("remind")]
    fn remind(&self, ctx: &EventContext) -> Reaction {
        Reaction::new().event(Reminded {}).command(Job::command(job_of(ctx), Ring {}))
    }
    #[apply]
    fn watching(&mut self, _: Watching) {}
    #[apply]
    fn has_seen(&mut self, _: Seen) {
        self.seen += 1;
    }
    #[apply]
    fn has_reminded(&mut self, _: Reminded) {
        self.reminded += 1;
    }
}

/// The correlation id is the job's id.
fn job_of(ctx: &EventContext) -> Uuid {
    ctx.correlation_id().and_then(|id| id.parse().ok()).unwrap_or_default()
}

/// Its tables.
pub(crate) const BOARD: &str = "
    CREATE TABLE IF NOT EXISTS streams (domain text, root uuid, last bigint, events bigint, PRIMARY KEY (domain, root));
    CREATE TABLE IF NOT EXISTS disorder (domain text, root uuid, sequence bigint, after bigint)";

/// Counts the events of each stream, and notes each that does not follow the one before it.
#[projector(name = "board", domains = ["job", "worker", "watch"])]
pub(crate) struct Board {
    pub(crate) model: PostgresReadModel,
}

impl Board {
    async fn note(&self, ctx: &EventContext) -> Result<(), ProjectionError> {
        let rows = ctx.transaction(&self.model).await?;
        let (domain, root, sequence) = (ctx.domain(), ctx.root(), i64::from(ctx.sequence()));
        let statement = rows
            .prepare_cached(
                "WITH before AS (SELECT last FROM streams WHERE domain = $1 AND root = $2),
                 noted AS (INSERT INTO disorder SELECT $1, $2, $3::bigint, coalesce((SELECT last FROM before), -1)
                           WHERE coalesce((SELECT last FROM before), -1) <> $3::bigint - 1)
                 INSERT INTO streams VALUES ($1, $2, $3::bigint, 1)
                 ON CONFLICT (domain, root) DO UPDATE SET last = $3, events = streams.events + 1",
            )
            .await?;
        rows.execute(&statement, &[&domain, &root, &sequence]).await?;
        Ok(())
    }
}

#[projector]
impl Board {
    #[handler]
    async fn started(&self, e: Started, ctx: &EventContext) -> Result<Started, ProjectionError> {
        self.note(ctx).await?;
        Ok(e)
    }
    #[handler]
    async fn finished(&self, _: Finished, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
    #[handler]
    async fn rang(&self, _: Rang, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
    #[handler]
    async fn worked(&self, _: Worked, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
    #[handler]
    async fn watching(&self, _: Watching, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
    #[handler]
    async fn seen(&self, _: Seen, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
    #[handler]
    async fn reminded(&self, _: Reminded, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.note(ctx).await
    }
}
