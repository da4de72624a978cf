//! The payment of an order; it has the order's root.
//!
//! In: how the customer pays, how much is wanted, and the bank's word. Out: money that is there, or went back. Never: a card
//! charged for more than it is good for.

use angzarr_runtime::prelude::*;

use crate::order::Order;
use crate::pb::*;

/// The money for one order.
#[aggregate(domain = "payment")]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Payment {
    /// How the customer pays.
    #[prost(enumeration = "Method", tag = "1")]
    pub method: i32,
    /// What a card is good for, in cents.
    #[prost(int64, tag = "2")]
    pub limit: i64,
    /// What the customer was asked to transfer.
    #[prost(int64, tag = "3")]
    pub requested: i64,
    /// What is there.
    #[prost(int64, tag = "4")]
    pub taken: i64,
    /// Nobody wants the money any more.
    #[prost(bool, tag = "5")]
    pub cancelled: bool,
}

#[aggregate]
impl Payment {
    /// The customer says how they pay.
    #[handler]
    fn choose(&self, cmd: ChooseMethod) -> Result<MethodChosen, Rejection> {
        ensure!(cmd.method() != Method::None, "no_method");
        ensure!(self.requested == 0 && self.taken == 0, "too_late", "the money was asked for already");
        Ok(MethodChosen { method: cmd.method, limit: cmd.limit })
    }

    /// A card is charged at once; a transfer is asked for.
    #[handler]
    fn take(&self, cmd: TakePayment) -> Result<(Option<PaymentTaken>, Option<PaymentRequested>), Rejection> {
        ensure!(self.requested == 0 && self.taken == 0, "already_asked");
        match self.method() {
            Method::None => Err(Rejection::new("no_method", "nobody has said how the order is paid")),
            Method::Card => {
                ensure!(cmd.amount <= self.limit, "declined", "the card is not good for {}", cmd.amount);
                Ok((Some(PaymentTaken { amount: cmd.amount }), None))
            }
            Method::Transfer => Ok((None, Some(PaymentRequested { amount: cmd.amount }))),
        }
    }

    /// Nobody waits for the money any more; what is there goes back.
    #[handler]
    fn cancel(&self, _: CancelPayment) -> Result<(Option<PaymentCancelled>, Option<PaymentRefunded>), Rejection> {
        Ok(self.taken_back("the order is off"))
    }

    /// The order does not want the money: it goes back.
    #[rejected]
    fn order_is_off(&self, r: Rejected<ConfirmOrder>) -> Result<Option<PaymentRefunded>, Revocation> {
        Ok(self.refund(r.reason()))
    }

    /// The request that took the money has failed as a whole.
    #[compensate]
    fn undo(&self, c: Compensate) -> Result<(Option<PaymentCancelled>, Option<PaymentRefunded>), Revocation> {
        Ok(self.taken_back(&c.reason))
    }

    /// A transfer came in: for somebody who waits for it, or back it goes.
    #[fact]
    fn bank_says(&self, f: MoneyArrived) -> (Option<PaymentTaken>, Option<PaymentRefunded>) {
        let is_wanted = !self.cancelled && self.taken == 0 && self.requested == f.amount;
        let back = PaymentRefunded { amount: f.amount, reason: "nobody waits for it".to_owned() };
        (is_wanted.then_some(PaymentTaken { amount: f.amount }), (!is_wanted).then_some(back))
    }

    #[apply]
    fn chosen(&mut self, e: MethodChosen) {
        (self.method, self.limit) = (e.method, e.limit);
    }
    #[apply]
    fn asked(&mut self, e: PaymentRequested) {
        self.requested = e.amount;
    }
    #[apply]
    fn taken(&mut self, e: PaymentTaken) {
        self.taken = e.amount;
    }
    #[apply]
    fn called_off(&mut self, _: PaymentCancelled) {
        self.cancelled = true;
    }
    #[apply]
    fn went_back(&mut self, e: PaymentRefunded) {
        // What came in too late was never taken.
        self.taken = if e.amount == self.taken { 0 } else { self.taken };
    }
}

impl Payment {
    fn refund(&self, reason: &str) -> Option<PaymentRefunded> {
        (self.taken > 0).then(|| PaymentRefunded { amount: self.taken, reason: reason.to_owned() })
    }

    fn taken_back(&self, reason: &str) -> (Option<PaymentCancelled>, Option<PaymentRefunded>) {
        ((!self.cancelled).then_some(PaymentCancelled {}), self.refund(reason))
    }
}

/// An order that is paid is confirmed.
#[saga(name = "confirm-order", from = Payment)]
fn confirm_order(_: PaymentTaken, ctx: &EventContext) -> Command<Order> {
    Order::command(ctx.root(), ConfirmOrder {})
}
