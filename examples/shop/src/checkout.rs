//! The checkout of an order: from the order to the money, or to everything being given back.
//!
//! In: what orders, stock and payments say under one correlation id; the clock. Out: the payment is taken, or the order is off
//! and what was kept for it is free. Never: an end before every article has answered, if the order is off.

use angzarr_runtime::prelude::*;

use crate::inventory::Inventory;
use crate::order::Order;
use crate::payment::Payment;
use crate::pb::*;

/// One checkout: the order that was placed with its correlation id.
#[process_manager(domain = "checkout", from = [Order, Payment, Inventory])]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Checkout {
    /// The order.
    #[prost(string, tag = "1")]
    pub order: String,
    /// Articles that have not answered yet.
    #[prost(uint32, tag = "2")]
    pub unanswered: u32,
    /// What is kept for the order.
    #[prost(message, repeated, tag = "3")]
    pub held: Vec<LineHeld>,
    /// The money is there.
    #[prost(bool, tag = "4")]
    pub paid: bool,
    /// The order is off, and why; empty while it is not.
    #[prost(string, tag = "5")]
    pub cancelled: String,
}

#[process_manager]
impl Checkout {
    /// Takes the payment, and waits a quarter of an hour for it.
    #[handler]
    fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Reaction {
        let lines = u32::try_from(e.lines.len()).unwrap_or(u32::MAX);
        Reaction::new()
            .event(CheckoutStarted { order: ctx.root().to_string() })
            .event(LinesExpected { lines })
            .command(Payment::command(ctx.root(), TakePayment { amount: e.total }))
            .timeout("payment", Duration::from_secs(900))
    }

    /// The money is there: all is well.
    #[handler]
    fn paid(&self, _: PaymentTaken) -> Reaction {
        if self.is_off() {
            // Both at the same moment: the order refuses the money, and it goes back.
            return Reaction::new();
        }
        Reaction::new().event(Paid {}).cancel_timeout("payment").complete()
    }

    /// An article is kept; for an order that is off it is given back.
    #[handler]
    fn reserved(&self, e: StockReserved, ctx: &EventContext) -> Reaction {
        let stock = ctx.root().to_string();
        if !self.is_off() {
            return Reaction::new().event(LineHeld { stock, quantity: e.quantity });
        }
        let back = Inventory::command(ctx.root(), ReleaseStock { quantity: e.quantity });
        self.answered(Reaction::new().event(LineReturned { stock }).command(back))
    }

    /// An article is not there. The customer pays and waits for it, or does not pay.
    #[handler]
    fn backordered(&self, e: OrderBackordered) -> Reaction {
        self.answered(Reaction::new().event(LineMissing { sku: e.sku }))
    }

    /// Nobody waits any longer.
    #[timeout("payment")]
    fn payment_late(&self, ctx: &EventContext) -> Result<Reaction, ReactionError> {
        let minutes = ctx.now().duration_since(ctx.created_at()).unwrap_or_default().as_secs() / 60;
        let reason =
            if minutes == 0 { "not paid in time".to_owned() } else { format!("not paid in time (+{minutes} min)") };
        Ok(self.off(&reason)?.command(Payment::command(self.order()?, CancelPayment {})))
    }

    /// The payment is refused: the order is off.
    #[rejected]
    fn refused(&self, r: Rejected<TakePayment>) -> Result<Reaction, ReactionError> {
        self.off(r.reason())
    }

    #[apply]
    fn started(&mut self, e: CheckoutStarted) {
        self.order = e.order;
    }
    #[apply]
    fn lines_expected(&mut self, e: LinesExpected) {
        self.unanswered = e.lines;
    }
    #[apply]
    fn line_held(&mut self, e: LineHeld) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.held.push(e);
    }
    #[apply]
    fn line_missing(&mut self, _: LineMissing) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }
    #[apply]
    fn line_returned(&mut self, _: LineReturned) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }
    #[apply]
    fn was_paid(&mut self, _: Paid) {
        self.paid = true;
    }
    #[apply]
    fn was_cancelled(&mut self, e: CheckoutCancelled) {
        self.cancelled = e.reason;
        self.held.clear();
    }
}

impl Checkout {
    fn is_off(&self) -> bool {
        !self.cancelled.is_empty()
    }

    /// One article has answered; an order that is off waits for the last one.
    fn answered(&self, reaction: Reaction<Self>) -> Reaction<Self> {
        if self.is_off() && self.unanswered <= 1 { reaction.complete() } else { reaction }
    }

    /// Calls the order off and gives back what is kept for it.
    fn off(&self, reason: &str) -> Result<Reaction<Self>, ReactionError> {
        if self.is_off() || self.paid {
            return Ok(Reaction::new());
        }
        let mut back = Vec::new();
        for LineHeld { stock, quantity } in &self.held {
            let stock = Uuid::parse_str(stock).map_err(ReactionError::permanent)?;
            back.push(Inventory::command(stock, ReleaseStock { quantity: *quantity }));
        }
        let reaction = Reaction::new()
            .event(CheckoutCancelled { reason: reason.to_owned() })
            .command(Order::command(self.order()?, CancelOrder { reason: reason.to_owned() }))
            .commands(back)
            .cancel_timeout("payment");
        Ok(if self.unanswered == 0 { reaction.complete() } else { reaction })
    }

    fn order(&self) -> Result<Uuid, ReactionError> {
        Uuid::parse_str(&self.order).map_err(ReactionError::permanent)
    }
}
