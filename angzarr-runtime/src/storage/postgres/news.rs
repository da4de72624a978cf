//! Where the log ends, whoever wrote last.
//!
//! In: own commits, and notifications of those of other processes. Out: the newest position that may be read, and a wake-up
//! when others have moved it. Never: a position before its events can be read, or a step back.
//!
//! Whoever has committed tells the others, in a statement of its own: within the commit it would keep every other program of
//! the server that notifies from committing at the same time. A notification that is lost costs as long as it takes until
//! everybody looks by himself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_postgres::{AsyncMessage, Client};

use super::super::StorageError;
use super::super::encoding::signed;
use super::connect::{Connector, Role};
use super::error::{told, while_doing};
use super::settings::quoted;

/// How often to look without having been told.
const LOOK: Duration = Duration::from_secs(1);
/// Commits that follow each other more quickly are told together.
const TOGETHER: Duration = Duration::from_millis(5);
/// Between two attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What says that somebody was told something.
const ANSWERS: &str = "answers";

/// What another process has told.
enum Heard {
    Position(u64),
    Answers,
}

const HEAD: &str = "SELECT newest_position()";

#[derive(Debug)]
pub(super) struct News {
    head: AtomicU64,
    /// Moved by other processes.
    others: watch::Sender<u64>,
    committed: Notify,
    /// Somebody was told something.
    answers: watch::Sender<()>,
    /// Others have to be told that.
    answered: AtomicBool,
}

impl News {
    pub(super) fn new(head: u64) -> Arc<Self> {
        Arc::new(Self {
            head: AtomicU64::new(head),
            others: watch::Sender::new(head),
            committed: Notify::new(),
            answers: watch::Sender::new(()),
            answered: AtomicBool::new(false),
        })
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Told when others have moved the head.
    pub(super) fn of_others(&self) -> watch::Receiver<u64> {
        self.others.subscribe()
    }

    /// Told when somebody was told something.
    pub(super) fn of_answers(&self) -> watch::Receiver<()> {
        self.answers.subscribe()
    }

    /// Somebody in another process was told something, and can read it.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Release);
        self.committed.notify_one();
    }

    /// A commit of this process can be seen.
    pub(super) fn committed(&self, position: u64) {
        if self.head.fetch_max(position, Ordering::AcqRel) < position {
            self.committed.notify_one();
        }
    }

    fn heard(&self, position: u64) {
        if self.head.fetch_max(position, Ordering::AcqRel) < position {
            self.others.send_replace(position);
        }
    }

    /// Listens, tells and looks, with a new connection whenever one is lost. Never ends by itself.
    pub(super) async fn follow(self: Arc<Self>, connector: Connector, lock_key: i32) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.listen(&connector, lock_key, &mut pause).await {
                Ok(()) => tracing::debug!("the connection that listens has ended; a new one is made"),
                Err(error) => {
                    tracing::warn!(%error, "other processes' events are noticed late until the server answers")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the connection is lost.
    async fn listen(&self, connector: &Connector, lock_key: i32, pause: &mut Duration) -> Result<(), StorageError> {
        let doing = || while_doing("cannot listen for other processes' events");
        let (client, mut connection) = connector.open().await?;
        let (heard, mut messages) = mpsc::unbounded_channel();
        let driver = tokio::spawn(async move {
            let next = std::future::poll_fn(move |cx| {
                loop {
                    match std::task::ready!(connection.poll_message(cx)) {
                        Some(Ok(AsyncMessage::Notification(it))) => {
                            let news = match it.payload() {
                                ANSWERS => Some(Heard::Answers),
                                position => position.parse().ok().map(Heard::Position),
                            };
                            if news.is_some_and(|news| heard.send(news).is_err()) {
                                return std::task::Poll::Ready(());
                            }
                        }
                        Some(Ok(_)) => {}
                        Some(Err(error)) => {
                            tracing::debug!(error = told(&error), "the connection that listens ended");
                            return std::task::Poll::Ready(());
                        }
                        None => return std::task::Poll::Ready(()),
                    }
                }
            });
            next.await;
        });
        // Whatever ends this, nothing of it goes on.
        let _ends = Ends(driver.abort_handle());
        let channel = format!("angzarr_{}", lock_key as u32);
        connector.set_up(&client, Role::Listens).await.map_err(doing())?;
        client.batch_execute(&format!("LISTEN {}", quoted(&channel))).await.map_err(doing())?;
        *pause = SHORTEST_PAUSE;
        tokio::select! {
            ended = self.look(&client) => ended.map_err(doing()),
            ended = self.tell(&client, &channel) => ended.map_err(doing()),
            () = async {
                while let Some(news) = messages.recv().await {
                    match news {
                        Heard::Position(position) => self.heard(position),
                        Heard::Answers => {
                            self.answers.send_replace(());
                        }
                    }
                }
            } => Ok(()),
        }
    }

    async fn look(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let statement = client.prepare(HEAD).await?;
        loop {
            let position: i64 = client.query_one(&statement, &[]).await?.try_get(0)?;
            self.heard(position.max(0) as u64);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn tell(&self, client: &Client, channel: &str) -> Result<(), tokio_postgres::Error> {
        let statement = client.prepare("SELECT pg_notify($1, $2)").await?;
        loop {
            self.committed.notified().await;
            let position = signed(self.head()).to_string();
            client.execute(&statement, &[&channel, &position]).await?;
            if self.answered.swap(false, Ordering::AcqRel) {
                client.execute(&statement, &[&channel, &ANSWERS]).await?;
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

struct Ends(tokio::task::AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
