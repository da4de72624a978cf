//! The shop of the documentation: facts, rejections and compensations of an aggregate, a saga and a process manager.

use std::time::Duration;

use angzarr_runtime::declare::{
    RegisteredProcessHandler, RegisteredProcessManager, RegisteredProcessRejected, RegisteredTimeout,
};
use angzarr_runtime::inventory;
use angzarr_runtime::prelude::*;
use angzarr_ui_tests::{run, start};

macro_rules! messages {
    ($($name:ident { $($field:ident: $kind:tt = $tag:tt),* }),+ $(,)?) => {
        $(
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct $name { $(#[prost($kind, tag = $tag)] pub $field: messages!(@ $kind),)* }
        )+
        angzarr_runtime::name_messages!("ui.shop": $($name),+);
    };
    (@ string) => { String };
    (@ int64) => { i64 };
}

messages! {
    PlaceOrder { total: int64 = "1", sku: string = "2" },
    OrderPlaced { total: int64 = "1", sku: string = "2" },
    OrderBackordered {},
    OrderCancelled { reason: string = "1" },
    OrderDelivered { at: string = "1" },
    ParcelDelivered { signed_by: string = "1" },
    TakePayment { amount: int64 = "1" },
    PaymentTaken { amount: int64 = "1" },
    ReserveStock { quantity: int64 = "1" },
    CheckoutStarted { order: string = "1" },
    Paid {},
    CheckoutFailed { reason: string = "1" },
}

/// An order of a customer.
#[aggregate(domain = "order")]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Order {
    #[prost(bool, tag = "1")]
    pub open: bool,
}

#[aggregate]
impl Order {
    #[handler]
    fn place(&self, cmd: PlaceOrder) -> Result<OrderPlaced, Rejection> {
        ensure!(!self.open, "already_placed");
        Ok(OrderPlaced { total: cmd.total, sku: cmd.sku })
    }

    /// The stock is used up.
    #[rejected]
    fn out_of_stock(&self, r: Rejected<ReserveStock>) -> Result<OrderBackordered, Revocation> {
        if r.quantity > 1000 {
            return Err(Revocation::new(format!("{}: nobody has so many", r.code())).dead_letter());
        }
        Ok(OrderBackordered {})
    }

    #[compensate]
    fn undo(&self, c: Compensate) -> Result<Option<OrderCancelled>, Revocation> {
        Ok(self.open.then(|| OrderCancelled { reason: c.reason }))
    }

    #[fact]
    fn carrier_says(&self, f: ParcelDelivered) -> OrderDelivered {
        OrderDelivered { at: f.signed_by }
    }

    #[apply]
    fn placed(&mut self, _: OrderPlaced) {
        self.open = true;
    }
    #[apply]
    fn backordered(&mut self, _: OrderBackordered) {}
    #[apply]
    fn cancelled(&mut self, _: OrderCancelled) {
        self.open = false;
    }
    #[apply]
    fn delivered(&mut self, _: OrderDelivered) {
        self.open = false;
    }
}

#[aggregate(domain = "payment", remote, handles(TakePayment))]
pub struct Payment;

#[aggregate(domain = "inventory", remote, handles(ReserveStock))]
pub struct Inventory;

#[saga(name = "reserve-stock", from = Order)]
fn reserve_stock(e: OrderPlaced) -> Vec<Command<Inventory>> {
    vec![Inventory::command(root("sku", &e.sku), ReserveStock { quantity: 1 })]
}

#[saga(name = "deliver", from = Inventory)]
fn deliver(e: Paid, ctx: &EventContext) -> Option<Fact<Order>> {
    let _: Paid = e;
    Some(Order::fact(ctx.root(), ParcelDelivered { signed_by: "Ada".into() }).external_id("parcel-1"))
}

/// From the order to the payment.
#[process_manager(domain = "checkout", from = [Order, Payment, Inventory])]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Checkout {
    #[prost(string, tag = "1")]
    pub order: String,
}

#[process_manager]
impl Checkout {
    #[handler]
    fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Reaction {
        Reaction::new()
            .event(CheckoutStarted { order: ctx.root().to_string() })
            .command(Payment::command(ctx.root(), TakePayment { amount: e.total }))
            .timeout("payment", Duration::from_secs(900))
    }
    #[handler]
    fn paid(&self, e: PaymentTaken) -> Reaction {
        let _: i64 = e.amount;
        Reaction::new().event(Paid {}).cancel_timeout("payment").complete()
    }
    #[timeout("payment")]
    fn payment_late(&self, ctx: &EventContext) -> Reaction {
        Reaction::new().event(CheckoutFailed { reason: format!("{} is not paid", ctx.root()) }).complete()
    }
    #[rejected]
    fn refused(&self, r: Rejected<TakePayment>) -> Reaction {
        Reaction::new().event(CheckoutFailed { reason: r.reason().to_owned() })
    }
    #[apply]
    fn started(&mut self, e: CheckoutStarted) {
        self.order = e.order;
    }
    #[apply]
    fn is_paid(&mut self, _: Paid) {}
    #[apply]
    fn failed(&mut self, _: CheckoutFailed) {}
}

fn main() {
    assert_eq!(Checkout::DOMAIN, "checkout");
    let found: Vec<_> = inventory::iter::<RegisteredProcessManager>().map(|it| (it.0.state.domain, it.0.sources)).collect();
    assert_eq!(found, [("checkout", &["order", "payment", "inventory"][..])]);
    assert_eq!(inventory::iter::<RegisteredProcessHandler>().count(), 2);
    assert_eq!(inventory::iter::<RegisteredTimeout>().map(|it| it.0.name).collect::<Vec<_>>(), ["payment"]);
    assert_eq!(
        inventory::iter::<RegisteredProcessRejected>().map(|it| (it.0.command.full_name)()).collect::<Vec<_>>(),
        ["ui.shop.TakePayment"]
    );
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = root("order", "1");
        runtime.send::<Order>(id, PlaceOrder { total: 5, sku: "tea".into() }).await.unwrap();
        assert!(runtime.state::<Order>(id).await.unwrap().open);
    });
}
