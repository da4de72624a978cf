//! Starts runtimes with every component of the test domain.

use std::time::Duration;

use angzarr_runtime::Builder;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, CommandBookExt as _, CommandPageExt as _, CoverExt as _};

use crate::Store;
use crate::reactions::{
    BALANCES, Balances, Courier, Everywhere, FlakyModel, Foreign, Journal, Movers, Tagger, Tally, Totals, Witness,
};

/// The components' memories and the read model, which outlive a runtime.
#[derive(Clone)]
pub struct Rig {
    pub journal: Witness,
    pub everywhere: Witness,
    pub tagger: Witness,
    pub balances: Witness,
    pub mails: Witness,
    pub courier: Witness,
    pub movers: Witness,
    pub model: SqliteReadModel,
    pub tally: FlakyModel,
    pub totals: Foreign,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with_model(SqliteReadModel::in_memory(BALANCES).expect("a read model"))
    }

    pub fn with_model(model: SqliteReadModel) -> Self {
        Self {
            journal: Witness::default(),
            everywhere: Witness::default(),
            tagger: Witness::default(),
            balances: Witness::default(),
            mails: Witness::default(),
            courier: Witness::default(),
            movers: Witness::default(),
            model,
            tally: FlakyModel::default(),
            totals: Foreign::default(),
        }
    }

    /// A builder with everything but the storage.
    pub fn builder(&self) -> Builder {
        Runtime::builder()
            .with(Journal { witness: self.journal.clone() })
            .with(Everywhere { witness: self.everywhere.clone() })
            .with(Tagger { witness: self.tagger.clone() })
            .with(Balances { model: self.model.clone(), witness: self.balances.clone(), mails: self.mails.clone() })
            .with(Tally { model: self.tally.clone() })
            .with(Totals { database: self.totals.clone() })
            .with(Courier { witness: self.courier.clone() })
            .with(Movers { witness: self.movers.clone() })
            // Failing on purpose should not take long.
            .reaction_attempts(4)
    }

    pub async fn start(&self, store: &Store) -> Runtime {
        store.describe(self.builder()).build().await.expect("the runtime starts")
    }
}

/// A runtime over a store, with components of its own.
pub async fn start(store: &Store) -> Runtime {
    Rig::new().start(store).await
}

/// Waits for something that happens soon; fails after a generous time.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The cover of an account.
pub fn account(root: Uuid) -> proto::Cover {
    proto::Cover::of("account", root.into_bytes())
}

/// One command as any client sends it.
pub fn page<M: prost::Message + prost::Name>(command: &M) -> proto::CommandPage {
    proto::CommandPage::of(prost_types::Any::pack(command))
}

/// A request with these pages.
pub fn request(cover: proto::Cover, pages: impl IntoIterator<Item = proto::CommandPage>) -> proto::CommandRequest {
    proto::CommandRequest { command: Some(proto::CommandBook::of(cover, pages)), ..Default::default() }
}
