//! A shop whose orders say themselves what goes wrong: order, stock, payment, parcel, a process manager, sagas, and a loop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use angzarr_runtime::Builder;
use angzarr_runtime::prelude::*;
use angzarr_tests::Rig;

macro_rules! messages {
    ($package:literal: $($name:ident { $($tag:tt [$($kind:tt)+] $field:ident: $type:ty),* $(,)? })+) => {
        $(
            #[allow(missing_docs)]
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $name {
                $(#[prost($($kind)+, tag = $tag)] pub(crate) $field: $type,)*
            }
        )+
        angzarr_runtime::name_messages!($package: $($name),+);
    };
}

messages! { "coordination":
    // order
    Place { "1" [uint32] lines: u32, "2" [uint32] quantity: u32, "3" [int64] price: i64, "4" [string] trouble: String }
    OrderPlaced { "1" [uint32] lines: u32, "2" [uint32] quantity: u32, "3" [int64] price: i64, "4" [string] trouble: String }
    Cancel { "1" [string] why: String }
    OrderCancelled { "1" [string] why: String }
    Backordered { "1" [string] why: String, "2" [uint32] index: u32 }
    Undone { "1" [string] why: String, "2" [uint32, repeated] sequences: Vec<u32> }
    // stock
    Fill { "1" [uint32] quantity: u32 }
    Filled { "1" [uint32] quantity: u32 }
    Reserve { "1" [uint32] quantity: u32, "2" [string] trouble: String }
    Reserved { "1" [uint32] quantity: u32, "2" [string] trouble: String }
    Released { "1" [uint32] quantity: u32, "2" [uint32, repeated] sequences: Vec<u32> }
    // payment
    TakePayment { "1" [int64] amount: i64 }
    PaymentTaken { "1" [int64] amount: i64 }
    PaymentReturned { "1" [uint32, repeated] sequences: Vec<u32> }
    // parcel: its compensation is not offered, its facts are of several kinds
    Pack { "1" [string] trouble: String }
    Packed { "1" [string] trouble: String }
    Delivered { "1" [string] by: String }
    Lost {}
    Weighed { "1" [uint32] grams: u32 }
    Scanned {}
    Arrived { "1" [string] by: String }
    // checkout
    Started { "1" [int64] price: i64, "2" [bytes = "vec"] order: Vec<u8> }
    Paid { "1" [int64] amount: i64 }
    GaveUp { "1" [string] why: String }
    Reminded { "1" [uint32] times: u32 }
    // loop
    Ping { "1" [uint32] left: u32 }
    Pinged { "1" [uint32] left: u32 }
}

/// Says what it is told by its events.
#[aggregate(domain = "order", snapshot(every = 2))]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    #[prost(string, repeated, tag = "1")]
    pub(crate) story: Vec<String>,
}

#[aggregate]
impl Order {
    #[handler]
    fn place(&self, c: Place) -> Result<OrderPlaced, Rejection> {
        Ok(OrderPlaced { lines: c.lines, quantity: c.quantity, price: c.price, trouble: c.trouble })
    }
    #[handler]
    fn cancel(&self, c: Cancel) -> Result<OrderCancelled, Rejection> {
        ensure!(c.why != "refuse", "not_cancelled", "it was shipped");
        Ok(OrderCancelled { why: c.why })
    }
    #[rejected]
    fn out_of_stock(&self, r: Rejected<Reserve>) -> Result<Backordered, Revocation> {
        match r.trouble.as_str() {
            "give up" => Err(Revocation::new("nothing to be done").system_event().dead_letter().escalate()),
            "abort" => Err(Revocation::new("stop everything").abort()),
            "shrug" => Err(Revocation::new("never mind")),
            "panic" => panic!("on purpose"),
            _ => Ok(Backordered { why: r.reason().to_owned(), index: r.quantity }),
        }
    }
    #[rejected]
    fn not_packed(&self, r: Rejected<Pack>) -> Result<OrderCancelled, Revocation> {
        Ok(OrderCancelled { why: r.code().to_owned() })
    }
    #[compensate]
    fn undo(&self, c: Compensate) -> Result<Undone, Revocation> {
        Ok(Undone { why: c.reason, sequences: c.sequences })
    }
    #[apply]
    fn placed(&mut self, _: OrderPlaced) {
        self.story.push("placed".into());
    }
    #[apply]
    fn cancelled(&mut self, e: OrderCancelled) {
        self.story.push(format!("cancelled: {}", e.why));
    }
    #[apply]
    fn backordered(&mut self, e: Backordered) {
        self.story.push(format!("backordered: {}", e.why));
    }
    #[apply]
    fn undone(&mut self, _: Undone) {
        self.story.push("undone".into());
    }
}

#[aggregate(domain = "stock")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stock {
    #[prost(uint32, tag = "1")]
    pub(crate) free: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) releases: u32,
}

#[aggregate]
impl Stock {
    #[handler]
    fn fill(&self, c: Fill) -> Result<Filled, Rejection> {
        Ok(Filled { quantity: c.quantity })
    }
    #[handler]
    fn reserve(&self, c: Reserve) -> Result<Reserved, Rejection> {
        ensure!(c.quantity <= self.free, "out_of_stock", "{} are left", self.free);
        Ok(Reserved { quantity: c.quantity, trouble: c.trouble })
    }
    /// In the middle of a chain: somebody else has to decide.
    #[rejected]
    fn not_packed(&self, _: Rejected<Pack>) -> Result<Option<Released>, Revocation> {
        Err(Revocation::forward())
    }
    #[compensate]
    fn undo(&self, c: &Compensate) -> Result<Released, Revocation> {
        Ok(Released { quantity: 1, sequences: c.sequences.clone() })
    }
    #[apply]
    fn filled(&mut self, e: Filled) {
        self.free += e.quantity;
    }
    #[apply]
    fn reserved(&mut self, e: Reserved) {
        self.free -= e.quantity;
    }
    #[apply]
    fn released(&mut self, e: Released) {
        self.free += e.quantity;
        self.releases += 1;
    }
}

#[aggregate(domain = "payment")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payment {
    #[prost(int64, tag = "1")]
    pub(crate) taken: i64,
    #[prost(uint32, tag = "2")]
    pub(crate) times: u32,
}

#[aggregate]
impl Payment {
    #[handler]
    fn take(&self, c: TakePayment) -> Result<Option<PaymentTaken>, Rejection> {
        ensure!(c.amount < 1_000, "too_much", "{} is too much", c.amount);
        // 13 is neither taken nor refused: somebody will be late.
        Ok((c.amount != 13).then_some(PaymentTaken { amount: c.amount }))
    }
    #[compensate]
    fn undo(&self, c: Compensate) -> Result<PaymentReturned, Revocation> {
        Ok(PaymentReturned { sequences: c.sequences })
    }
    #[apply]
    fn taken(&mut self, e: PaymentTaken) {
        self.taken += e.amount;
        self.times += 1;
    }
    #[apply]
    fn returned(&mut self, _: PaymentReturned) {
        self.taken = 0;
    }
}

#[aggregate(domain = "parcel")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Parcel {
    #[prost(string, tag = "1")]
    pub(crate) at: String,
    #[prost(uint32, tag = "2")]
    pub(crate) grams: u32,
    #[prost(bool, tag = "3")]
    pub(crate) flagged: bool,
}

#[aggregate]
impl Parcel {
    #[handler]
    fn pack(&self, c: Pack) -> Result<Packed, Rejection> {
        ensure!(c.trouble != "no box", "no_box");
        Ok(Packed { trouble: c.trouble })
    }
    /// Into an event of its own.
    #[fact]
    fn carrier_says(&self, f: Delivered) -> Arrived {
        assert!(f.by != "panic", "on purpose");
        Arrived { by: f.by }
    }
    /// Flags it: the fact itself, and more.
    #[fact]
    fn on_the_scale(&self, f: Weighed) -> (Weighed, Option<Scanned>) {
        let flag = (f.grams > 1_000).then_some(Scanned {});
        (f, flag)
    }
    /// Makes nothing of it.
    #[fact]
    fn seen(&self, _: Scanned) -> Option<Arrived> {
        None
    }
    #[apply]
    fn packed(&mut self, _: Packed) {
        self.at = "the shop".into();
    }
    #[apply]
    fn arrived(&mut self, e: Arrived) {
        self.at = e.by;
    }
    #[apply]
    fn weighed(&mut self, e: Weighed) {
        self.grams = e.grams;
    }
    #[apply]
    fn scanned(&mut self, _: Scanned) {
        self.flagged = true;
    }
    #[apply]
    fn lost(&mut self, _: Lost) {
        self.at = "nowhere".into();
    }
}

/// How often something was tried, by name.
#[derive(Clone, Default)]
pub(crate) struct Tries(Arc<Mutex<HashMap<String, u32>>>);

impl Tries {
    pub(crate) fn count(&self, what: &str) -> u32 {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tries.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }
    pub(crate) fn forget(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }
    pub(crate) fn of(&self, what: &str) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or_default()
    }
}

/// The stock of every test has one root.
pub(crate) fn shelf() -> Uuid {
    root("stock", "shelf")
}

#[saga(name = "reserve", from = Order)]
pub(crate) struct ReserveSaga {
    pub(crate) tries: Tries,
}

#[saga]
impl ReserveSaga {
    #[handler]
    fn reserve(&self, e: OrderPlaced, ctx: &EventContext) -> Result<Vec<AnyCommand>, ReactionError> {
        let tries = self.tries.count("reserve");
        match e.trouble.as_str() {
            "saga fails" => return Err(ReactionError::permanent("on purpose")),
            "saga fails twice" if tries < 3 => return Err(ReactionError::transient("on purpose")),
            // As long as nobody counts a "go"; then it goes on, or fails for good.
            "saga waits" | "saga waits and fails" if self.tries.of("go") == 0 => {
                return Err(ReactionError::transient("on purpose"));
            }
            "saga waits and fails" => return Err(ReactionError::permanent("on purpose")),
            _ => {}
        }
        // Orders of the model test have a shelf of their own.
        let shelf = if e.trouble == "own shelf" { ctx.root() } else { shelf() };
        let reserve =
            |_| Stock::command(shelf, Reserve { quantity: e.quantity, trouble: e.trouble.clone() }).into_any();
        let mut commands: Vec<AnyCommand> = (0..e.lines).map(reserve).collect();
        if e.trouble == "order refuses" {
            commands.push(Order::command(ctx.root(), Cancel { why: "refuse".into() }).into_any());
        }
        Ok(commands)
    }
}

/// One level further.
#[saga(name = "pack", from = Stock)]
fn pack(e: Reserved) -> Vec<Command<Parcel>> {
    let (trouble, times) = match e.trouble.as_str() {
        "pack" => ("", 1),
        "pack fails" => ("no box", 1),
        "pack fails twice" => ("no box", 2),
        _ => ("", 0),
    };
    let pack = |_| Parcel::command(root("parcel", "one"), Pack { trouble: trouble.into() });
    (0..times).map(pack).collect()
}

/// Facts of a saga.
#[saga(name = "weigh", from = Parcel)]
fn weigh(_: Packed, ctx: &EventContext) -> (Fact<Parcel>, Fact<Parcel>) {
    (
        Parcel::fact(ctx.root(), Weighed { grams: 2_000 }).external_id("scale-1"),
        Parcel::fact(ctx.root(), Delivered { by: "weigher".into() }),
    )
}

#[process_manager(domain = "checkout", from = [Order, Payment], snapshot(every = 2))]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Checkout {
    #[prost(string, repeated, tag = "1")]
    pub(crate) story: Vec<String>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) order: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(crate) reminders: u32,
}

pub(crate) const PAYMENT_TIME: Duration = Duration::from_secs(900);

#[process_manager]
impl Checkout {
    #[handler]
    fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Result<Reaction, ReactionError> {
        let reaction = Reaction::new()
            .event(Started { price: e.price, order: ctx.root().as_bytes().to_vec() })
            .command(Payment::command(ctx.root(), TakePayment { amount: e.price }))
            .timeout("payment", PAYMENT_TIME);
        Ok(match e.trouble.as_str() {
            "process fails" => return Err(ReactionError::permanent("on purpose")),
            "process panics" => panic!("on purpose"),
            "unknown timeout" => reaction.timeout("paiment", PAYMENT_TIME),
            "patient" => reaction.timeout("payment", PAYMENT_TIME * 2),
            "reminders" => reaction.cancel_timeout("payment").timeout("remind", Duration::from_secs(10)),
            "two payments" => reaction.command(Payment::command(ctx.root(), TakePayment { amount: e.price + 1 })),
            "done at once" => reaction.complete(),
            "fact" => reaction.fact(Parcel::fact(root("parcel", "two"), Lost {})),
            _ => reaction,
        })
    }
    #[handler]
    fn paid(&self, e: PaymentTaken) -> Reaction {
        let paid = Reaction::new().event(Paid { amount: e.amount }).cancel_timeout("payment");
        if e.amount == 7 { paid.complete() } else { paid }
    }
    #[timeout("payment")]
    fn late(&self) -> Reaction {
        let order = Uuid::from_slice(&self.order).unwrap_or_default();
        // Nothing of its own: what it sends is known all the same.
        Reaction::new().command(Order::command(order, Cancel { why: "late".into() }))
    }
    #[timeout("remind")]
    fn remind(&self) -> Reaction {
        let reminded = Reaction::new().event(Reminded { times: self.reminders + 1 });
        if self.reminders < 2 { reminded.timeout("remind", Duration::from_secs(10)) } else { reminded }
    }
    #[rejected]
    fn refused(&self, r: Rejected<TakePayment>) -> Reaction {
        let order = Uuid::from_slice(&self.order).unwrap_or_default();
        let cancel =
            Order::command(order, Cancel { why: format!("{} {} of {}", r.code(), r.amount, self.story.len()) });
        if r.amount % 2 == 0 {
            Reaction::new().command(cancel)
        } else {
            Reaction::new().event(GaveUp { why: r.reason().into() }).command(cancel)
        }
    }
    #[apply]
    fn started(&mut self, e: Started) {
        self.story.push(format!("started {}", e.price));
        self.order = e.order;
    }
    #[apply]
    fn got(&mut self, e: Paid) {
        self.story.push(format!("paid {}", e.amount));
    }
    #[apply]
    fn gave_up(&mut self, e: GaveUp) {
        self.story.push(format!("gave up: {}", e.why));
    }
    #[apply]
    fn reminded(&mut self, e: Reminded) {
        self.reminders = e.times;
        self.story.push(format!("reminded {}", e.times));
    }
}

#[aggregate(domain = "loop")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Loop {
    #[prost(uint32, tag = "1")]
    pub(crate) rounds: u32,
}

#[aggregate]
impl Loop {
    #[handler]
    fn ping(&self, c: Ping) -> Result<Pinged, Rejection> {
        Ok(Pinged { left: c.left })
    }
    #[apply]
    fn pinged(&mut self, _: Pinged) {
        self.rounds += 1;
    }
}

#[saga(name = "echo", from = Loop)]
fn echo(e: Pinged, ctx: &EventContext) -> Option<Command<Loop>> {
    (e.left > 0).then(|| Loop::command(ctx.root(), Ping { left: e.left - 1 }))
}

/// Sees everything of orders and payments.
#[projector(name = "report", domains = ["order", "payment"])]
pub(crate) struct Report {
    pub(crate) seen: Tries,
}

#[projector]
impl Report {
    #[handler]
    async fn placed(&self, e: OrderPlaced) -> Result<(), ProjectionError> {
        // As long as nobody counts a "go".
        while e.trouble == "report waits" && self.seen.of("go") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if e.trouble == "report fails" {
            return Err(ProjectionError::permanent("on purpose"));
        }
        self.seen.count("placed");
        Ok(())
    }
    #[handler]
    async fn taken(&self, _: PaymentTaken) -> Result<(), ProjectionError> {
        self.seen.count("taken");
        Ok(())
    }
    #[handler]
    async fn backordered(&self, _: Backordered) -> Result<(), ProjectionError> {
        self.seen.count("backordered");
        Ok(())
    }
}

/// What outlives a runtime.
#[derive(Clone, Default)]
pub(crate) struct Shop {
    pub(crate) tries: Tries,
    pub(crate) seen: Tries,
}

impl Shop {
    pub(crate) fn builder(&self) -> Builder {
        self.beside(&Rig::new())
    }

    /// With the memories of other components.
    pub(crate) fn beside(&self, rig: &Rig) -> Builder {
        rig.builder()
            .with(ReserveSaga { tries: self.tries.clone() })
            .with(Report { seen: self.seen.clone() })
            .reaction_attempts(4)
    }
}

pub(crate) fn place(lines: u32, quantity: u32, price: i64) -> Place {
    Place { lines, quantity, price, trouble: String::new() }
}

pub(crate) fn troubled(trouble: &str, place: Place) -> Place {
    Place { trouble: trouble.into(), ..place }
}
