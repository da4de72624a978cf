//! An aggregate of another process takes what was declared.

use angzarr_runtime::declare::{Emissions, RegisteredRemoteAggregate, SagaOutput};
use angzarr_runtime::inventory;
use angzarr_runtime::prelude::*;
use angzarr_ui_domain::messages::{Deposit, Open};

/// Somewhere else.
#[aggregate(domain = "bank-2", remote, handles(Open, angzarr_ui_domain::Deposit))]
pub struct OtherBank;

fn main() {
    let id = root("bank-2", "x");
    let command: Command<OtherBank> = OtherBank::command(id, Open { owner: "Ada".into() });
    let any = command.into_any();
    assert_eq!((any.domain(), any.type_name(), any.root()), ("bank-2", "ui.bank.Open", id));
    let mut emissions = Emissions::default();
    OtherBank::command(id, Deposit { amount: 3 }).collect(&mut emissions).unwrap();
    assert!(format!("{emissions:?}").contains("ui.bank.Deposit"), "{emissions:?}");

    let remote = inventory::iter::<RegisteredRemoteAggregate>().find(|it| it.0.name == "OtherBank").unwrap().0;
    let names: Vec<String> = remote.commands.iter().map(|command| (command.full_name)()).collect();
    assert_eq!(names, ["ui.bank.Open", "ui.bank.Deposit"]);
}
