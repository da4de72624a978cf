//! Everything that an upcaster may return.

use angzarr_runtime::declare::{RegisteredUpcaster, UpcastSink};
use angzarr_runtime::inventory;
use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Balance, Deposited, Opened, Warned, Withdrawn};

#[upcaster(from = 1)]
fn renamed(old: Balance) -> Warned {
    Warned { amount: old.amount }
}

/// Small ones never mattered.
#[upcaster(from = 2, event = "ui.bank.Deposited")]
fn dropped(old: &Warned) -> Option<Deposited> {
    (old.amount > 10).then_some(Deposited { amount: old.amount })
}

#[upcaster(from = 3)]
fn split(old: Opened) -> (Opened2, Vec<Deposited>) {
    (Opened2 { owner: old.owner }, vec![])
}

#[derive(Clone, PartialEq, prost::Message)]
struct Opened2 {
    #[prost(string, tag = "1")]
    owner: String,
}
angzarr_runtime::name_messages!("ui.bank": Opened2);

#[derive(Events)]
enum Either {
    In(Deposited),
    Out(Withdrawn),
}

#[upcaster(from = 4)]
fn either(Balance { amount }: Balance) -> Either {
    if amount >= 0 { Either::In(Deposited { amount }) } else { Either::Out(Withdrawn { amount: -amount }) }
}

fn main() {
    let find = |name| inventory::iter::<RegisteredUpcaster>().find(|it| it.0.function == name).unwrap().0;
    let outputs = |name| {
        let mut types = Vec::new();
        (find(name).outputs)(&mut types);
        types.iter().map(|it| (it.full_name)()).collect::<Vec<_>>()
    };
    assert_eq!(outputs("renamed"), ["ui.bank.Warned"]);
    assert_eq!(outputs("split"), ["ui.bank.Opened2", "ui.bank.Deposited"]);
    assert_eq!(outputs("either"), ["ui.bank.Deposited", "ui.bank.Withdrawn"]);
    let dropped = find("dropped");
    assert_eq!((dropped.from, dropped.event, dropped.doc), (2, Some("ui.bank.Deposited"), "Small ones never mattered."));
    assert_eq!((dropped.input.full_name)(), "ui.bank.Warned");
    let mut sink = UpcastSink::default();
    (find("either").upcast)(&prost::Message::encode_to_vec(&Balance { amount: -3 }), &mut sink).unwrap();
    (dropped.upcast)(&prost::Message::encode_to_vec(&Warned { amount: 3 }), &mut sink).unwrap();
    assert!((dropped.upcast)(&[0xff], &mut sink).is_err());
}
