//! The whole domain of the bank, said in scenarios.

use std::time::{Duration, UNIX_EPOCH};

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::Scenario;
use bank::pb::*;
use bank::{Account, Balances};

angzarr_runtime::wiring_test!("account");

fn opened() -> AccountOpened {
    AccountOpened { owner: "Ada".into() }
}

fn deposited(amount: i64, new_balance: i64) -> Deposited {
    Deposited { amount, new_balance }
}

fn frozen() -> Frozen {
    Frozen { reason: "lost card".into() }
}

#[test]
fn an_account_is_opened_once() {
    Scenario::<Account>::given(())
        .when(OpenAccount { owner: "Ada".into() })
        .then(opened())
        .then_state(|account| account.owner == "Ada")
        .and_when(OpenAccount { owner: "Bob".into() })
        .then_rejected("already_open")
        .then_state(|account| account.owner == "Ada");
}

#[test]
fn deposits_add_up() {
    Scenario::<Account>::given((opened(), deposited(5, 5))).when(Deposit { amount: 7 }).then(deposited(7, 12));
    for amount in [0, -1] {
        Scenario::<Account>::given(opened()).when(Deposit { amount }).then_rejected("not_positive");
    }
}

#[test]
fn a_withdrawal_needs_its_money() {
    Scenario::<Account>::given((opened(), deposited(70, 70)))
        .when(Withdraw { amount: 70 })
        .then(Withdrawn { amount: 70, new_balance: 0 })
        .and_when(Withdraw { amount: 1 })
        .then_rejected("insufficient_funds")
        .then_state(|account| account.balance == 0);
}

#[test]
fn nothing_leaves_a_frozen_account() {
    Scenario::<Account>::given((opened(), deposited(70, 70), frozen()))
        .when(Withdraw { amount: 1 })
        .then_rejected("frozen");
}

#[test]
fn a_withdrawal_must_see_the_current_balance() {
    let account = || Scenario::<Account>::given((opened(), deposited(70, 70)));
    account().expecting(1).when(Withdraw { amount: 1 }).then_error("SEQUENCE_MISMATCH");
    account().expecting(2).when(Withdraw { amount: 1 }).then(Withdrawn { amount: 1, new_balance: 69 });
    // Tags do not care.
    account().expecting(1).when(AddTag { tags: vec!["vip".into()] }).then(TagAdded { tag: "vip".into() });
}

#[test]
fn points_count_twice_in_the_first_minute_of_an_hour() {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    Scenario::<Account>::given(opened())
        .at(at(3_600))
        .when(AddPoints { points: 5 })
        .then(PointsAdded { points: 10 })
        .at(at(3_660))
        .and_when(AddPoints { points: 5 })
        .then(PointsAdded { points: 5 })
        .then_state(|account| account.points == 15);
}

#[test]
fn a_frozen_account_tells_its_owner() {
    let freeze = || Freeze { reason: "lost card".into() };
    Scenario::<Account>::given(opened())
        .when(freeze())
        .then((frozen(), OwnerNotified { owner: "Ada".into() }))
        .then_state(|account| account.frozen);
    Scenario::<Account>::given(()).when(freeze()).then(frozen());
}

#[test]
fn tags_are_added_once() {
    let tag = |tag: &str| TagAdded { tag: tag.into() };
    Scenario::<Account>::given(tag("old"))
        .when(AddTag { tags: vec!["old".into(), "new".into()] })
        .then(tag("new"))
        .then_state(|account| account.tags == ["old", "new"])
        .and_when(AddTag { tags: vec!["new".into()] })
        .then_nothing();
}

#[test]
fn owners_of_the_first_version_have_two_names() {
    let old = OwnerRegisteredV1 { name: "Ada Lovelace".into() };
    Scenario::<Account>::given_stored("bank.OwnerRegisteredV1", 1, prost::Message::encode_to_vec(&old))
        .then_state(|account| account.owner == "Ada Lovelace");
}

#[test]
fn u1_a_failure_shows_an_old_event_with_the_fields_that_it_had() {
    let old = prost::Message::encode_to_vec(&OwnerRegisteredV1 { name: "Ada Lovelace".into() });
    let wrong = || Scenario::<Account>::given_stored("bank.OwnerRegistered", 1, &old).then_state(|_| false);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).expect_err("it fails");
    let text = panic.downcast_ref::<String>().expect("a text");
    let shown = "given\n    bank.OwnerRegistered {\"name\": \"Ada Lovelace\"} (stored as version 1)\n";
    assert!(text.contains(shown), "{text}");
}

#[tokio::test]
async fn the_read_model_shows_balances() {
    // One connection: every connection to `:memory:` has a database of its own.
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::query("CREATE TABLE balance (account TEXT PRIMARY KEY, amount INTEGER)").execute(&pool).await.unwrap();
    let ada = root("account", "Ada");
    let view = |balance| BalanceView { account: ada.to_string(), balance };
    Scenario::projector(Balances { pool: pool.clone() })
        .when_event::<Account>(ada, deposited(120, 120))
        .await
        .then_projection(view(120))
        .and_when_event::<Account>(ada, Withdrawn { amount: 50, new_balance: 70 })
        .await
        .then_projection(view(70));
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT account, amount FROM balance").fetch_all(&pool).await.unwrap();
    assert_eq!(rows, [(ada.to_string(), 70)]);
}

/// Row J1: the checkpoints of an earlier version knew no store.
#[tokio::test]
async fn j1_a_pool_that_an_earlier_version_wrote_is_refused() {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let old = "CREATE TABLE angzarr_checkpoints (projector TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID";
    sqlx::query(old).execute(&pool).await.unwrap();
    let start = || Runtime::builder().storage(Memory::new()).with(Balances { pool: pool.clone() }).build();
    let error = start().await.expect_err("refused");
    assert!(error.to_string().contains("earlier version; delete the read model"), "{error}");
    sqlx::query("DROP TABLE angzarr_checkpoints").execute(&pool).await.unwrap();
    start().await.expect("it starts").shutdown().await.expect("it ends");
}
