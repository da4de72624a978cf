//! Doc comments and places are captured.

use angzarr_runtime::declare::*;
use angzarr_runtime::inventory;
use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Reserve, Stock};
use angzarr_ui_tests::run;

/// Keeps goods.
///
///     indented
///
/// In the end.
#[saga(name = "keep", from = Account)]
fn keep(_: Opened) -> Command<Stock> {
    Stock::command(Uuid::nil(), Reserve { amount: 1 })
}

fn main() {
    run(async {});
    let saga = inventory::iter::<RegisteredSaga>().next().unwrap().0;
    assert_eq!(saga.doc, "Keeps goods.\n\n    indented\n\nIn the end.");
    assert!(saga.location.file.ends_with("docs_and_places.rs"), "{}", saga.location);
    assert_eq!((saga.location.line, saga.rust_name, saga.domain), (15, "keep", "account"));
    assert_eq!(saga.name, "keep");

    let account = <Account as angzarr_runtime::Aggregate>::descriptor();
    assert_eq!(account.doc, "A customer's account.\n\nThe struct is the state.");
    assert_eq!(account.location.package, "angzarr-ui-domain");
    assert!(account.location.file.ends_with("lib.rs"));
    assert!(account.clone_state.is_some() && account.debug_state.is_some());

    let handler = inventory::iter::<RegisteredCommandHandler>().find(|it| it.0.method == "withdraw").unwrap().0;
    assert_eq!(handler.doc, "Must see the current balance.");
    assert!(handler.location.file.ends_with("withdrawals.rs"));
    assert_eq!((handler.location.line, (handler.command.full_name)().as_str()), (11, "ui.bank.Withdraw"));
    let stock = inventory::iter::<RegisteredRemoteAggregate>().next().unwrap().0;
    assert_eq!(stock.doc, "The stock, which another process keeps.");
}
