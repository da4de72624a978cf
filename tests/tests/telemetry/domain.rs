//! An order is placed, its stock reserved, and somebody waits for the parcel: a saga, a process manager, a projector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_runtime::Builder;
use angzarr_runtime::prelude::*;

macro_rules! messages {
    ($($name:ident)+) => {
        $(
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $name {
                #[prost(uint32, tag = "1")]
                pub(crate) quantity: u32,
            }
        )+
        angzarr_runtime::name_messages!("telemetry": $($name),+);
    };
}

messages! { Place Placed Cancel Cancelled Reserve Reserved Waiting GaveUp }

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    #[prost(bool, tag = "1")]
    pub(crate) cancelled: bool,
}

#[aggregate]
impl Order {
    #[handler]
    fn place(&self, cmd: Place) -> Result<Placed, Rejection> {
        ensure!(cmd.quantity > 0, "nothing_ordered");
        Ok(Placed { quantity: cmd.quantity })
    }
    #[handler]
    fn cancel(&self, _: Cancel) -> Result<Cancelled, Rejection> {
        Ok(Cancelled::default())
    }
    #[apply]
    fn placed(&mut self, _: Placed) {}
    #[apply]
    fn was_cancelled(&mut self, _: Cancelled) {
        self.cancelled = true;
    }
}

#[aggregate(domain = "stock")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stock {
    #[prost(uint32, tag = "1")]
    pub(crate) reserved: u32,
}

#[aggregate]
impl Stock {
    #[handler]
    fn reserve(&self, cmd: Reserve) -> Result<Reserved, Rejection> {
        Ok(Reserved { quantity: cmd.quantity })
    }
    #[apply]
    fn reserved(&mut self, e: Reserved) {
        self.reserved += e.quantity;
    }
}

/// Reserves what was ordered, as soon as it is well.
#[saga(name = "reservation", from = Order)]
pub(crate) struct Reservation {
    is_well: Arc<AtomicBool>,
}

#[saga]
impl Reservation {
    #[handler]
    fn placed(&self, e: Placed, ctx: &EventContext) -> Result<Command<Stock>, ReactionError> {
        match e.quantity {
            13 => Err(ReactionError::permanent("never thirteen")),
            _ if self.is_well.load(Ordering::Acquire) => {
                Ok(Stock::command(ctx.root(), Reserve { quantity: e.quantity }))
            }
            _ => Err(ReactionError::transient("not yet")),
        }
    }
}

/// Gives an order up that nobody has sent within an hour.
#[process_manager(domain = "delivery", from = [Stock], to = [Order])]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delivery {
    #[prost(bytes = "vec", tag = "1")]
    order: Vec<u8>,
}

#[process_manager]
impl Delivery {
    #[handler]
    fn reserved(&self, _: Reserved) -> Reaction {
        Reaction::new().event(Waiting::default()).timeout("late", Duration::from_secs(3_600))
    }
    #[timeout("late")]
    fn late(&self, ctx: &EventContext) -> Reaction {
        let order = root("order", ctx.correlation_id().unwrap_or_default());
        Reaction::new().event(GaveUp::default()).command(Order::command(order, Cancel::default())).complete()
    }
    #[apply]
    fn waiting(&mut self, _: Waiting) {}
    #[apply]
    fn gave_up(&mut self, _: GaveUp) {}
}

#[projector(name = "view", domains = ["stock"])]
pub(crate) struct View;

#[projector]
impl View {
    #[handler]
    fn reserved(&self, _: Reserved) -> Result<(), ProjectionError> {
        Ok(())
    }
}

/// The program, with a saga that is well or fails.
pub(crate) fn builder(is_well: bool) -> Builder {
    Runtime::builder().with(Reservation { is_well: Arc::new(AtomicBool::new(is_well)) })
}
