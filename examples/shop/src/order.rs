//! An order, and what it has its articles reserved by.
//!
//! In: commands of the customer and the checkout, the stock's refusals, the carrier's word. Out: how the order stands. Never:
//! stock or money; others keep these.

use angzarr_runtime::prelude::*;

use crate::inventory::Inventory;
use crate::pb::*;
use crate::stock_root;

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Status {
    /// Nobody has placed it.
    Unknown = 0,
    /// It is placed.
    Placed = 1,
    /// It is paid.
    Confirmed = 2,
    /// The customer has it.
    Delivered = 3,
    /// It is off.
    Cancelled = 4,
}

/// What a customer wants.
#[aggregate(domain = "order")]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Order {
    /// How it stands.
    #[prost(enumeration = "Status", tag = "1")]
    pub status: i32,
    /// What is wanted.
    #[prost(message, repeated, tag = "2")]
    pub lines: Vec<Line>,
    /// Articles that are not there.
    #[prost(string, repeated, tag = "3")]
    pub backordered: Vec<String>,
}

#[aggregate]
impl Order {
    /// The customer places it.
    #[handler]
    fn place(&self, cmd: PlaceOrder) -> Result<OrderPlaced, Rejection> {
        ensure!(self.status() == Status::Unknown, "already_placed");
        ensure!(!cmd.lines.is_empty(), "empty_order");
        for (index, line) in cmd.lines.iter().enumerate() {
            ensure!(line.quantity > 0, "no_quantity", "of {}", line.sku);
            let again = cmd.lines.iter().take(index).any(|it| it.sku == line.sku);
            ensure!(!again, "two_lines", "{} stands in two lines", line.sku);
        }
        let total = cmd.lines.iter().map(|line| line.price * i64::from(line.quantity)).sum();
        Ok(OrderPlaced { customer: cmd.customer, lines: cmd.lines, total })
    }

    /// It is paid. Money for an order that is off is refused, and so goes back.
    #[handler]
    fn confirm(&self, _: ConfirmOrder) -> Result<Option<OrderConfirmed>, Rejection> {
        match self.status() {
            Status::Unknown => Err(Rejection::not_found("not_placed", "nobody has placed the order")),
            Status::Cancelled => Err(Rejection::new("cancelled", "the order is off")),
            Status::Placed => Ok(Some(OrderConfirmed {})),
            Status::Confirmed | Status::Delivered => Ok(None),
        }
    }

    /// It is off.
    #[handler]
    fn cancel(&self, cmd: CancelOrder) -> Result<Option<OrderCancelled>, Rejection> {
        ensure!(self.status() != Status::Unknown, "not_placed");
        ensure!(self.status() != Status::Delivered, "delivered", "the customer has it already");
        Ok((self.status() != Status::Cancelled).then_some(OrderCancelled { reason: cmd.reason }))
    }

    /// An article is not there. The customer may wait for it.
    #[rejected]
    fn out_of_stock(&self, r: Rejected<ReserveStock>) -> Result<OrderBackordered, Revocation> {
        let line = self.lines.iter().find(|line| stock_root(&line.sku) == r.root());
        let line = line.ok_or_else(|| Revocation::new("no line of the order is about this article").dead_letter())?;
        Ok(OrderBackordered { sku: line.sku.clone(), reason: r.reason().to_owned() })
    }

    /// The request that confirmed it has failed as a whole.
    #[compensate]
    fn undo(&self, c: Compensate) -> Result<Option<OrderCancelled>, Revocation> {
        match self.status() {
            Status::Cancelled => Ok(None),
            Status::Delivered => Err(Revocation::new("the customer has it already").escalate()),
            _ => Ok(Some(OrderCancelled { reason: c.reason })),
        }
    }

    /// The carrier has brought it.
    #[fact]
    fn carrier_says(&self, f: ParcelDelivered) -> OrderDelivered {
        OrderDelivered { carrier: f.carrier, signed_by: f.signed_by }
    }

    #[apply]
    fn placed(&mut self, e: OrderPlaced) {
        self.set_status(Status::Placed);
        self.lines = e.lines;
    }
    #[apply]
    fn confirmed(&mut self, _: OrderConfirmed) {
        self.set_status(Status::Confirmed);
    }
    #[apply]
    fn backordered(&mut self, e: OrderBackordered) {
        self.backordered.push(e.sku);
    }
    #[apply]
    fn cancelled(&mut self, _: OrderCancelled) {
        self.set_status(Status::Cancelled);
    }
    #[apply]
    fn delivered(&mut self, _: OrderDelivered) {
        self.set_status(Status::Delivered);
    }
}

/// Has every article of an order reserved.
#[saga(name = "reserve-stock", from = Order)]
fn reserve_stock(e: OrderPlaced, _ctx: &EventContext) -> Vec<Command<Inventory>> {
    e.lines.iter().map(|l| Inventory::command(stock_root(&l.sku), ReserveStock { quantity: l.quantity })).collect()
}
