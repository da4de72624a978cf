//! An account: every kind of command that the contract speaks of. Events say what their handler saw, so that a test can
//! prove that it saw the right state.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use angzarr_runtime::prelude::*;

use crate::messages::*;

/// The state. No `snapshot(…)`: the default policy of row N1.
#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(int64, tag = "2")]
    pub balance: i64,
    #[prost(int64, tag = "3")]
    pub points: i64,
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    #[prost(bool, tag = "5")]
    pub frozen: bool,
    #[prost(uint32, tag = "6")]
    pub events: u32,
}

/// By how much the amounts of the parts of one deposit differ: more than any amount.
pub const PART: i64 = 1_000_000_000_000;

// With a name of its own: its snapshots can be read by anybody.
angzarr_runtime::name_messages!("test": Account);

static HANDLER_RUNS: Mutex<Option<HashMap<Uuid, u32>>> = Mutex::new(None);

/// How often a `Deposit` handler ran for a root, in this process.
pub fn handler_runs(root: Uuid) -> u32 {
    let runs = HANDLER_RUNS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    runs.as_ref().and_then(|runs| runs.get(&root).copied()).unwrap_or(0)
}

fn count_run(root: Uuid) {
    let mut runs = HANDLER_RUNS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *runs.get_or_insert_default().entry(root).or_insert(0) += 1;
}

#[aggregate]
impl Account {
    /// Opens the account for an owner.
    #[handler]
    fn open(&self, cmd: OpenAccount) -> Result<AccountOpened, Rejection> {
        ensure!(self.owner.is_empty(), "already_open", "it belongs to {}", self.owner);
        Ok(AccountOpened { owner: cmd.owner })
    }

    #[handler]
    fn deposit(&self, cmd: Deposit, ctx: &CommandContext) -> Result<Deposited, Rejection> {
        count_run(ctx.root());
        ensure!(cmd.amount > 0, "not_positive");
        Ok(Deposited { amount: cmd.amount, balance_before: self.balance, events_before: self.events })
    }

    #[handler(merge = Strict)]
    fn withdraw(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        ensure!(cmd.amount <= self.balance, "insufficient_funds", "balance is {}, wanted {}", self.balance, cmd.amount);
        Ok(Withdrawn { amount: cmd.amount, balance_before: self.balance })
    }

    #[handler(merge = Commutative)]
    fn add_points(&self, cmd: AddPoints) -> Result<PointsAdded, Rejection> {
        Ok(PointsAdded { points: cmd.points })
    }

    #[handler(merge = Manual)]
    fn freeze(&self, _: Freeze) -> Result<Option<Frozen>, Rejection> {
        Ok((!self.frozen).then_some(Frozen {}))
    }

    #[handler(merge = AggregateHandles)]
    fn add_tag(&self, cmd: AddTag, ctx: &CommandContext) -> Result<TagAdded, Rejection> {
        ensure!(!self.tags.contains(&cmd.tag), "tag_exists");
        let expected = ctx.expected_sequence().map_or(-1, i64::from);
        Ok(TagAdded { tag: cmd.tag, expected, next: ctx.next_sequence() })
    }

    #[handler]
    fn do_nothing(&self, _: DoNothing) -> Result<(), Rejection> {
        Ok(())
    }

    #[handler]
    fn refuse(&self, cmd: Refuse) -> Result<Noted, Rejection> {
        let detail = RefusalDetail { text: "the fine print".into() };
        Err(match cmd.how.as_str() {
            "invalid" => Rejection::invalid_argument("bad_word", "no such word"),
            "not_found" => Rejection::not_found("no_such_thing", "it never was here"),
            _ => Rejection::new("not_now", "ask again tomorrow"),
        }
        .with_detail(&detail))
    }

    #[handler]
    fn explode(&self, _: Explode) -> Result<Noted, Rejection> {
        panic!("boom on purpose");
    }

    #[handler]
    fn deposit_many(&self, cmd: DepositMany) -> Result<Vec<Deposited>, Rejection> {
        let one = |n: u32| Deposited {
            amount: 1,
            balance_before: self.balance + i64::from(n),
            events_before: self.events + n,
        };
        Ok((0..cmd.count).map(one).collect())
    }

    /// Several events that can be told apart, and whose amounts say how many belong together.
    #[handler]
    fn deposit_in_parts(&self, cmd: DepositInParts) -> Result<Vec<Deposited>, Rejection> {
        let mut balance = self.balance;
        let one = |n: u32| {
            let event = Deposited {
                amount: cmd.amount + i64::from(n) * PART,
                balance_before: balance,
                events_before: self.events + n,
            };
            balance += event.amount;
            event
        };
        Ok((0..cmd.parts).map(one).collect())
    }

    #[handler]
    fn note(&self, cmd: Note) -> Result<Noted, Rejection> {
        Ok(Noted { text: cmd.text })
    }

    #[handler]
    fn note_of_size(&self, cmd: NoteOfSize) -> Result<Noted, Rejection> {
        Ok(Noted { text: "x".repeat(cmd.bytes as usize) })
    }

    /// Needs time and an id (row C11).
    #[handler]
    fn stamp(&self, _: Stamp, ctx: &CommandContext) -> Result<Stamped, Rejection> {
        let now = ctx.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        Ok(Stamped { now, id: ctx.new_id().into_bytes().to_vec() })
    }

    #[handler]
    fn reach_milestone(&self, _: ReachMilestone, ctx: &CommandContext) -> Result<MilestoneReached, Rejection> {
        ctx.keep_snapshot();
        Ok(MilestoneReached { balance: self.balance })
    }

    #[handler]
    fn send_money(&self, cmd: SendMoney) -> Result<MoneySent, Rejection> {
        let SendMoney { to, amount, copies, trouble, thank } = cmd;
        Ok(MoneySent { to, amount, copies, trouble, thank })
    }

    #[apply]
    fn opened(&mut self, e: AccountOpened) {
        self.events += 1;
        self.owner = e.owner;
    }
    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.events += 1;
        self.balance += e.amount;
    }
    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.events += 1;
        self.balance -= e.amount;
    }
    #[apply]
    fn points_added(&mut self, e: PointsAdded) {
        self.events += 1;
        self.points += e.points;
    }
    #[apply]
    fn frozen(&mut self, _: Frozen) {
        self.events += 1;
        self.frozen = true;
    }
    #[apply]
    fn tag_added(&mut self, e: TagAdded) {
        self.events += 1;
        self.tags.push(e.tag);
    }
    #[apply]
    fn noted(&mut self, _: Noted) {
        self.events += 1;
    }
    #[apply]
    fn stamped(&mut self, _: Stamped) {
        self.events += 1;
    }
    #[apply]
    fn milestone_reached(&mut self, _: MilestoneReached) {
        self.events += 1;
    }
    #[apply]
    fn money_sent(&mut self, e: MoneySent) {
        self.events += 1;
        self.balance -= e.amount;
    }
}
