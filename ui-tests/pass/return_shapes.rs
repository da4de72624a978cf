//! Everything that a command handler may return.

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Balance, Deposit, Deposited, Open, Opened, Release, Reserve, Warned, Withdraw, Withdrawn};
use angzarr_ui_tests::{emitted_by, run, start};

#[aggregate(domain = "shapes", snapshot(off))]
#[derive(Default)]
struct Shapes {
    seen: Vec<String>,
}

/// One of several.
#[derive(Events)]
enum Outcome {
    In(Deposited),
    Out(Box<Withdrawn>),
    Named { event: Warned },
}

type Outcomes = Vec<Outcome>;

#[aggregate]
impl Shapes {
    #[handler]
    fn nothing(&self, _: Open) -> Result<(), Rejection> {
        Ok(())
    }

    #[handler]
    fn nested(&self, cmd: Deposit) -> Result<(Deposited, Option<(Warned, Vec<Withdrawn>)>), Rejection> {
        let amount = cmd.amount;
        Ok((Deposited { amount }, Some((Warned { amount }, vec![Withdrawn { amount }, Withdrawn { amount }]))))
    }

    #[handler]
    fn enumeration(&self, cmd: Withdraw) -> core::result::Result<std::vec::Vec<Outcome>, Rejection> {
        let amount = cmd.amount;
        Ok(vec![
            Outcome::Named { event: Warned { amount } },
            Outcome::Out(Box::new(Withdrawn { amount })),
            Outcome::In(Deposited { amount }),
        ])
    }

    #[handler]
    fn array(&self, _: Reserve) -> Result<[Opened; 2], Rejection> {
        Ok([Opened { owner: "Ada".into() }, Opened { owner: "Grace".into() }])
    }

    #[handler]
    fn boxed(&self, cmd: Release) -> Result<Option<Box<Balance>>, Rejection> {
        Ok(Some(Box::new(Balance { amount: cmd.amount })))
    }

    #[apply]
    fn opened(&mut self, e: Opened) {
        self.seen.push(e.owner);
    }

    #[apply]
    fn deposited(&mut self, _: Deposited) {
        self.seen.push("deposited".into());
    }

    #[apply]
    fn withdrawn(&mut self, _: Withdrawn) {
        self.seen.push("withdrawn".into());
    }

    #[apply]
    fn warned(&mut self, _: Warned) {
        self.seen.push("warned".into());
    }

    #[apply]
    fn balance(&mut self, _: Balance) {
        self.seen.push("balance".into());
    }
}

fn main() {
    let _: Outcomes = Vec::new();
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        assert!(runtime.send::<Shapes>(id, Open { owner: "Ada".into() }).await.unwrap().events().is_empty());
        runtime.send::<Shapes>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Shapes>(id, Withdraw { amount: 1 }).await.unwrap();
        runtime.send::<Shapes>(id, Reserve { amount: 1 }).await.unwrap();
        runtime.send::<Shapes>(id, Release { amount: 1 }).await.unwrap();
        let state = runtime.state::<Shapes>(id).await.unwrap().into_state();
        let expected = "deposited warned withdrawn withdrawn warned withdrawn deposited Ada Grace balance";
        assert_eq!(state.seen.join(" "), expected);
    });
    assert_eq!(emitted_by("nothing"), Vec::<String>::new());
    assert_eq!(emitted_by("enumeration"), ["ui.bank.Deposited", "ui.bank.Withdrawn", "ui.bank.Warned"]);
    assert_eq!(emitted_by("boxed"), ["ui.bank.Balance"]);
}
