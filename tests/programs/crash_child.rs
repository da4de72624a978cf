//! Appends under load until somebody kills it. `tests/crash.rs` does. Lines that it prints:
//! `? root id`: a command with this external id is about to be sent;
//! `! root sequence amount`: an event was acknowledged.

#![allow(missing_docs)]

use std::io::Write as _;
use std::path::Path;

use angzarr_runtime::prelude::*;
use angzarr_tests::Rig;
use angzarr_tests::account::{Account, PART};
use angzarr_tests::messages::*;
use angzarr_tests::paper::Paper;
use angzarr_tests::reactions::BALANCES;

/// `crash-child DIRECTORY LIFE`
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    let life: i64 = arguments.next().and_then(|life| life.parse().ok()).expect("the number of this life");
    let directory = Path::new(&directory);
    let model = SqliteReadModel::open(directory.join("model.db"), BALANCES).expect("the read model");
    let storage = Sqlite::open(directory.join("events.db"));
    let paper = Paper::open(&directory.join("published")).expect("the paper");
    let builder = Rig::with_model(model).builder().storage(storage).transport(paper);
    let runtime = builder.build().await.expect("the runtime starts");
    let tasks: Vec<_> = (0..8i64)
        .map(|task| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let account = root("account", task.to_string());
                let ledger = root("ledger", (task % 3).to_string());
                for n in 0i64.. {
                    // An amount that no other command of any life has.
                    let amount = 1_000 + (life * 100_000 + n) * 10 + task;
                    let receipt = match n % 4 {
                        0 => {
                            let to = ledger.as_bytes().to_vec();
                            let money = SendMoney { to, amount, copies: 1, ..Default::default() };
                            runtime.send::<Account>(account, money).await
                        }
                        // Three events, all or nothing.
                        1 => runtime.send::<Account>(account, DepositInParts { amount, parts: 3 }).await,
                        2 => {
                            say(&format!("? {account} {amount}\n"));
                            runtime.send::<Account>(account, Deposit { amount }).external_id(amount.to_string()).await
                        }
                        _ => runtime.send::<Account>(account, Deposit { amount }).await,
                    };
                    let receipt = receipt.expect("accepted");
                    for (part, event) in (0..).zip(receipt.events()) {
                        say(&format!("! {account} {} {}\n", event.sequence, amount + part * PART));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it never ends");
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).expect("somebody listens");
    out.flush().expect("somebody listens");
}
