//! Process managers: everything that their methods may take and return, several blocks, a state that is declared on its
//! block, one that listens to another.

use std::time::{Duration, SystemTime};

use angzarr_runtime::declare::{
    RegisteredAggregate, RegisteredProcessHandler, RegisteredProcessManager, RegisteredProcessRejected,
    RegisteredTimeout,
};
use angzarr_runtime::inventory;
use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Balance, Deposit, Deposited, Opened, Release, Reserve, Stock, Warned, Withdrawn};

/// Moves money.
#[process_manager(domain = "transfer", from = [Account, Stock], to = [angzarr_ui_domain::Stock], snapshot(every = 7), state_version = 3)]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {
    #[prost(int64, tag = "1")]
    amount: i64,
}

/// Two own events, in an enum.
#[derive(Events)]
enum Progress {
    Warned(Warned),
    Moved(Box<Withdrawn>),
}

type Context = EventContext;

#[process_manager]
impl Transfer {
    /// Starts.
    #[handler]
    fn opened(&self, e: Opened, ctx: &EventContext) -> Reaction {
        let _: String = e.owner;
        self.begin(ctx).event(Progress::Warned(Warned { amount: 1 }))
    }

    #[handler]
    fn deposited(&self, e: &Deposited) -> Option<Reaction> {
        (e.amount > 0).then(|| Reaction::new().events([Progress::Moved(Box::new(Withdrawn { amount: e.amount }))]))
    }

    #[handler]
    fn reserved(&self, e: Reserve, ctx: &Context) -> Result<Reaction, ReactionError> {
        let _: (i64, &Context) = (e.amount, ctx);
        Ok(Reaction::new().complete())
    }

    #[handler]
    fn released(&self, _: Release) -> std::result::Result<Option<angzarr_runtime::Reaction>, std::fmt::Error> {
        Err(std::fmt::Error)
    }

    #[apply]
    fn warned(&mut self, e: Warned) {
        self.amount += e.amount;
    }

    #[apply]
    fn moved(&mut self, e: &Withdrawn) {
        self.amount -= e.amount;
    }

    fn begin(&self, ctx: &EventContext) -> Reaction {
        Reaction::default()
            .commands([Stock::command(ctx.root(), Reserve { amount: self.amount })])
            .command(Account::command(ctx.root(), Deposit { amount: 1 }).into_any())
            .fact(Account::fact(ctx.root(), Opened { owner: "Ada".into() }))
            .timeout("a", Duration::from_secs(1))
            .timeout_at("b-2_c", SystemTime::UNIX_EPOCH)
    }
}

#[process_manager]
impl self::Transfer {
    #[timeout("a")]
    fn first(&self) -> Reaction {
        Reaction::new()
    }

    /// The longest name, and the context.
    #[timeout("a23456789-123456789-123456789-123456789-123456789-123456789-1234")]
    fn second(&self, ctx: &angzarr_runtime::EventContext) -> Result<Reaction, ReactionError> {
        Ok(part(ctx))
    }

    #[cfg(feature = "never")]
    #[timeout("a")]
    fn instead_of_first(&self) -> Reaction {
        Reaction::new()
    }

    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Reaction {
        let _: (i64, &str) = (r.amount, r.reason());
        Reaction::new()
    }

    #[rejected(from = Stock)]
    fn refused_by_the_stock(&self, r: &Rejected<Reserve>, ctx: &EventContext) -> Option<Reaction> {
        let _ = (r.into_code(), ctx);
        None
    }

    #[rejected(domain = "account")]
    fn refused_by_an_account(&self, _: Rejected<Deposit>) -> Result<Reaction<Self>, ReactionError> {
        Ok(Reaction::new())
    }
}

trait IntoCode {
    fn into_code(&self) -> String;
}
impl IntoCode for Rejected<Reserve> {
    fn into_code(&self) -> String {
        self.code().to_owned()
    }
}

/// Elsewhere the process manager is named.
fn part(ctx: &EventContext) -> Reaction<Transfer> {
    let _ = ctx.sequence();
    Reaction::new().event(Warned { amount: 1 })
}

/// A state that something else has made.
mod made {
    #[derive(Default)]
    pub struct Audit {
        pub seen: u32,
    }
}

/// It listens to the other.
#[process_manager(domain = "audit", from = [Transfer], snapshot(off))]
impl made::Audit {
    #[handler]
    fn warned(&self, _: Warned) -> Reaction {
        Reaction::new().event(Balance { amount: 1 })
    }

    #[apply]
    fn seen(&mut self, _: Balance) {
        self.seen += 1;
    }
}

fn main() {
    let mut managers: Vec<_> = inventory::iter::<RegisteredProcessManager>()
        .map(|it| (it.0.state.domain, it.0.sources, it.0.targets, it.0.state.state_version, it.0.state.doc))
        .collect();
    managers.sort();
    let audit: (_, &[&str], &[&str], _, _) = ("audit", &["transfer"], &[], 1, "It listens to the other.");
    let transfer: (_, &[&str], &[&str], _, _) = ("transfer", &["account", "stock"], &["stock"], 3, "Moves money.");
    assert_eq!(managers, [audit, transfer]);
    assert!(
        inventory::iter::<RegisteredAggregate>().all(|it| !["audit", "transfer"].contains(&it.0.domain)),
        "a process manager is no aggregate that commands could be sent to"
    );

    let mut handlers: Vec<_> = inventory::iter::<RegisteredProcessHandler>()
        .map(|it| (it.0.method, (it.0.event.full_name)()))
        .collect();
    handlers.sort();
    let handlers: Vec<_> = handlers.iter().map(|(method, event)| (*method, event.as_str())).collect();
    let expected = [
        ("deposited", "ui.bank.Deposited"),
        ("opened", "ui.bank.Opened"),
        ("released", "ui.bank.Release"),
        ("reserved", "ui.bank.Reserve"),
        ("warned", "ui.bank.Warned"),
    ];
    assert_eq!(handlers, expected);

    let mut timeouts: Vec<_> = inventory::iter::<RegisteredTimeout>().map(|it| (it.0.method, it.0.name.len())).collect();
    timeouts.sort();
    assert_eq!(timeouts, [("first", 1), ("second", 64)]);

    let mut rejections: Vec<_> = inventory::iter::<RegisteredProcessRejected>()
        .map(|it| (it.0.method, it.0.target, (it.0.component)() == std::any::TypeId::of::<Transfer>()))
        .collect();
    rejections.sort();
    let expected = [
        ("refused", None, true),
        ("refused_by_an_account", Some("account"), true),
        ("refused_by_the_stock", Some("stock"), true),
    ];
    assert_eq!(rejections, expected);
}
