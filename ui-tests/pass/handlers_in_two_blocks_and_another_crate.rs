//! The aggregate is in another crate, and its handlers are in two files of it.

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposit, Open, Stock, Reserve, Withdraw};
use angzarr_ui_tests::{emitted_by, run, start};

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Open { owner: "Ada".into() }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 50 }).await.unwrap();
        let receipt = runtime.send::<Account>(id, Withdraw { amount: 45 }).expect_sequence(2).await.unwrap();
        assert_eq!(receipt.events().len(), 2, "both parts of the tuple");
        let error = runtime.send::<Account>(id, Withdraw { amount: 45 }).await.unwrap_err();
        assert!(error.to_string().contains("insufficient_funds"), "{error}");
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 5);
    });
    assert_eq!(emitted_by("withdraw"), ["ui.bank.Withdrawn", "ui.bank.Warned"]);
    let _: Command<Stock> = Stock::command(root("sku", "bolt"), Reserve { amount: 3 });
}
