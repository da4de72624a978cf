//! `#[rejected]`, `#[compensate]` and `#[fact]` of aggregates: everything that they may take and return.

use angzarr_runtime::declare::{MessageType, RegisteredCompensate, RegisteredFact, RegisteredRejected};
use angzarr_runtime::prelude::*;
use angzarr_runtime::{inventory, proto};
use angzarr_ui_domain::{Account, Balance, Deposit, Deposited, Opened, Release, Reserve, Stock, Warned, Withdraw, Withdrawn};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(int64, tag = "1")]
    amount: i64,
}

/// An error of the user's.
struct Lost;
impl From<Lost> for Revocation {
    fn from(_: Lost) -> Self {
        Revocation::new("lost").escalate()
    }
}

#[derive(Events)]
enum Happened {
    Warned(Warned),
    Withdrawn(Withdrawn),
}

type UndoneResult<T> = Result<T, Revocation>;

#[aggregate]
impl Order {
    /// From anybody.
    #[rejected]
    fn by_anybody(&self, r: Rejected<Reserve>) -> Result<Warned, Revocation> {
        Ok(Warned { amount: r.amount })
    }

    #[rejected(from = Stock)]
    fn by_the_stock(&self, r: &Rejected<Reserve>, ctx: &CommandContext) -> Result<(Warned, Option<Withdrawn>), Lost> {
        let _ = (r.domain(), ctx.now());
        Err(Lost)
    }

    #[rejected(domain = "account")]
    fn by_an_account(&self, r: Rejected<Deposit>) -> Result<(), Rejection> {
        ensure!(r.amount > 0, "nothing_was_deposited");
        Ok(())
    }

    #[rejected]
    fn of_a_release(&self, _: angzarr_runtime::Rejected<Release>) -> UndoneResult<Vec<Happened>> {
        Err(Revocation::forward())
    }

    #[apply]
    fn warned(&mut self, e: Warned) {
        self.amount += e.amount;
    }
}

#[aggregate]
impl Order {
    #[compensate]
    fn undo(&self, c: &Compensate, ctx: &CommandContext<'_>) -> Result<Option<Box<Warned>>, Revocation> {
        let _: (&Vec<u32>, &str, u32) = (&c.sequences, &c.reason, ctx.next_sequence());
        Ok(None)
    }

    #[fact]
    fn one(&self, f: Deposited) -> Warned {
        Warned { amount: f.amount }
    }

    #[fact]
    fn perhaps(&self, f: &Opened, ctx: &CommandContext) -> Option<Happened> {
        let _ = (&f.owner, ctx);
        None
    }

    #[fact]
    fn several(&self, f: Balance) -> (Vec<Warned>, [Withdrawn; 1]) {
        (Vec::new(), [Withdrawn { amount: f.amount }])
    }

    #[fact]
    fn itself(&self, f: Warned) -> Warned {
        f
    }

    #[fact]
    fn nothing(&self, _: Withdraw) -> () {}

    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.amount -= e.amount;
    }
}

/// A request by value, and by its name in the protocol.
#[aggregate(domain = "other")]
#[derive(Default)]
struct Other;

#[aggregate]
impl Other {
    #[compensate]
    fn undo(&self, c: proto::Compensate) -> UndoneResult<()> {
        drop(c);
        Ok(())
    }
}

/// A fact is sent by a saga too.
#[saga(name = "tell", from = Account)]
fn tell(e: Opened, ctx: &EventContext) -> (Option<Fact<Order>>, Vec<AnyFact>) {
    (Some(Order::fact(ctx.root(), e).external_id("a")), Vec::new())
}

fn names(list: fn(&mut Vec<MessageType>)) -> Vec<String> {
    let mut types = Vec::new();
    list(&mut types);
    types.iter().map(|it| (it.full_name)()).collect()
}

fn main() {
    let order = std::any::TypeId::of::<Order>();
    let mut rejections: Vec<_> = inventory::iter::<RegisteredRejected>()
        .map(|it| (it.0.method, (it.0.command.full_name)(), it.0.target, names(it.0.emits), (it.0.aggregate)() == order))
        .collect();
    rejections.sort();
    let (warned, withdrawn) = (String::from("ui.bank.Warned"), String::from("ui.bank.Withdrawn"));
    let both = vec![warned.clone(), withdrawn];
    let expected = [
        ("by_an_account", "ui.bank.Deposit".into(), Some("account"), vec![], true),
        ("by_anybody", "ui.bank.Reserve".into(), None, vec![warned.clone()], true),
        ("by_the_stock", "ui.bank.Reserve".into(), Some("stock"), both.clone(), true),
        ("of_a_release", "ui.bank.Release".into(), None, both.clone(), true),
    ];
    assert_eq!(rejections, expected);
    assert_eq!(inventory::iter::<RegisteredCompensate>().count(), 2);

    let mut facts: Vec<_> = inventory::iter::<RegisteredFact>()
        .map(|it| (it.0.method, (it.0.fact.full_name)(), names(it.0.emits)))
        .collect();
    facts.sort();
    let expected = [
        ("itself", "ui.bank.Warned".into(), vec![warned.clone()]),
        ("nothing", "ui.bank.Withdraw".into(), vec![]),
        ("one", "ui.bank.Deposited".into(), vec![warned]),
        ("perhaps", "ui.bank.Opened".into(), both.clone()),
        ("several", "ui.bank.Balance".into(), both),
    ];
    assert_eq!(facts, expected);
}
