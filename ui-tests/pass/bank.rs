//! The forms of the first program of the documentation.

use angzarr_runtime::prelude::*;
use angzarr_runtime::{MergeStrategy, inventory};
use angzarr_ui_tests::{run, start};

macro_rules! messages {
    ($($name:ident { $($field:ident: $kind:tt = $tag:literal $ty:ty),* })+) => {
        $(#[derive(Clone, PartialEq, prost::Message)] pub struct $name { $(#[prost($kind, tag = $tag)] pub $field: $ty),* })+
        angzarr_runtime::name_messages!("bank": $($name),+);
    };
}

messages! {
    OpenAccount { owner: string = "1" String }
    AccountOpened { owner: string = "1" String }
    Withdraw { amount: int64 = "1" i64 }
    Withdrawn { amount: int64 = "1" i64, new_balance: int64 = "2" i64 }
    AddPoints { points: int64 = "1" i64 }
    PointsAdded { points: int64 = "1" i64 }
    Freeze {}
    Frozen {}
    OwnerNotified {}
    AddTag { tags: string = "1" String }
    TagAdded { tag: string = "1" String }
    OwnerRegisteredV1 { name: string = "1" String }
    OwnerRegistered { first_name: string = "1" String, last_name: string = "2" String }
    RegisterOwner { name: string = "1" String }
}

#[aggregate(domain = "account", snapshot(every = 50))]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Account {
    #[prost(bool, tag = "1")]
    pub open: bool,
    #[prost(int64, tag = "2")]
    pub balance: i64,
    #[prost(int64, tag = "3")]
    pub points: i64,
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    #[prost(string, tag = "5")]
    pub owner: String,
}

#[aggregate]
impl Account {
    #[handler]
    fn open(&self, cmd: OpenAccount) -> Result<AccountOpened, Rejection> {
        ensure!(!self.open, "already_open", "this account was opened before");
        Ok(AccountOpened { owner: cmd.owner })
    }

    #[handler(merge = Strict)]
    fn withdraw(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        ensure!(cmd.amount <= self.balance + 100, "insufficient_funds");
        Ok(Withdrawn { amount: cmd.amount, new_balance: self.balance - cmd.amount })
    }

    #[handler(merge = Commutative)]
    fn add_points(&self, cmd: AddPoints, ctx: &CommandContext) -> Result<PointsAdded, Rejection> {
        assert_eq!(ctx.domain(), "account");
        Ok(PointsAdded { points: cmd.points })
    }

    #[handler(merge = Manual)]
    fn freeze(&self, _: Freeze) -> Result<(Frozen, Option<OwnerNotified>), Rejection> {
        Ok((Frozen {}, None))
    }

    #[handler(merge = AggregateHandles)]
    fn tag(&self, cmd: AddTag) -> Result<Vec<TagAdded>, Rejection> {
        Ok(cmd.tags.split(' ').map(|tag| TagAdded { tag: tag.into() }).collect())
    }

    #[handler]
    fn register(&self, cmd: RegisterOwner) -> Result<OwnerRegistered, Rejection> {
        Ok(OwnerRegistered { first_name: cmd.name, last_name: String::new() })
    }

    #[apply]
    fn opened(&mut self, _: AccountOpened) {
        self.open = true;
    }

    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance = e.new_balance;
    }

    #[apply]
    fn points_added(&mut self, PointsAdded { points }: PointsAdded) {
        self.points += points;
    }

    #[apply]
    fn frozen(&mut self, _: &Frozen) {
        self.open = false;
    }

    #[apply]
    fn notified(&mut self, _: OwnerNotified) {}

    #[apply]
    fn tagged(&mut self, e: TagAdded) {
        self.tags.push(e.tag);
    }

    #[apply]
    fn registered(&mut self, e: OwnerRegistered) {
        self.owner = e.first_name;
    }
}

/// V1 had one `name`; V2 has `first_name` and `last_name`.
#[upcaster(from = 1, event = "bank.OwnerRegistered")]
fn split_name(old: OwnerRegisteredV1) -> OwnerRegistered {
    OwnerRegistered { first_name: old.name, last_name: String::new() }
}

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, OpenAccount { owner: "Ada".into() }).await.unwrap();
        runtime.send::<Account>(id, Withdraw { amount: 30 }).await.unwrap();
        runtime.send::<Account>(id, AddPoints { points: 3 }).await.unwrap();
        runtime.send::<Account>(id, AddTag { tags: "a b".into() }).await.unwrap();
        runtime.send::<Account>(id, Freeze {}).await.unwrap();
        runtime.send::<Account>(id, RegisterOwner { name: "Ada".into() }).await.unwrap();
        let state = runtime.state::<Account>(id).await.unwrap().into_state();
        let tags = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(state, Account { open: false, balance: -30, points: 3, tags, owner: "Ada".into() });
    });
    let merge = |method| {
        let found = inventory::iter::<angzarr_runtime::declare::RegisteredCommandHandler>().find(|it| it.0.method == method);
        found.unwrap().0.merge
    };
    assert_eq!(merge("open"), None);
    assert_eq!(merge("withdraw"), Some(MergeStrategy::Strict));
    assert_eq!(merge("add_points"), Some(MergeStrategy::Commutative));
    assert_eq!(merge("freeze"), Some(MergeStrategy::Manual));
    assert_eq!(merge("tag"), Some(MergeStrategy::AggregateHandles));
}
