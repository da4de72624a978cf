//! The stock of one article.
//!
//! In: pieces that come in, are wanted, or come back. Out: for whom how many are kept. Never: more than there are.

use std::collections::BTreeMap;

use angzarr_runtime::prelude::*;

use crate::pb::*;

/// One article in stock.
#[aggregate(domain = "inventory", snapshot(every = 50))]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Inventory {
    /// Pieces that nobody has reserved.
    #[prost(uint32, tag = "1")]
    pub free: u32,
    /// Pieces that are kept, by the correlation id of whoever they are kept for.
    #[prost(btree_map = "string, uint32", tag = "2")]
    pub kept: BTreeMap<String, u32>,
}

#[aggregate]
impl Inventory {
    /// Pieces came in.
    #[handler(merge = AggregateHandles)]
    fn restock(&self, cmd: Restock) -> Result<StockAdded, Rejection> {
        ensure!(cmd.quantity > 0, "no_quantity");
        ensure!(self.free.checked_add(cmd.quantity).is_some(), "too_many");
        Ok(StockAdded { quantity: cmd.quantity })
    }

    /// Keeps pieces, if they are there.
    #[handler]
    fn reserve(&self, cmd: ReserveStock, ctx: &CommandContext) -> Result<StockReserved, Rejection> {
        ensure!(cmd.quantity <= self.free, "out_of_stock", "{} wanted, {} left", cmd.quantity, self.free);
        Ok(StockReserved { quantity: cmd.quantity, holder: holder(ctx) })
    }

    /// Gives pieces back. What is not kept any more needs nothing: two may give back the same pieces.
    #[handler]
    fn release(&self, cmd: ReleaseStock, ctx: &CommandContext) -> Result<Option<StockReleased>, Rejection> {
        Ok(self.released(cmd.quantity, ctx))
    }

    /// The request that the pieces were reserved for has failed as a whole.
    #[compensate]
    fn undo(&self, _: Compensate, ctx: &CommandContext) -> Result<Option<StockReleased>, Revocation> {
        Ok(self.released(u32::MAX, ctx))
    }

    #[apply]
    fn added(&mut self, e: StockAdded) {
        self.free = self.free.saturating_add(e.quantity);
    }
    #[apply]
    fn reserved(&mut self, e: StockReserved) {
        self.free = self.free.saturating_sub(e.quantity);
        *self.kept.entry(e.holder).or_default() += e.quantity;
    }
    #[apply]
    fn gave_back(&mut self, e: StockReleased) {
        self.free = self.free.saturating_add(e.quantity);
        if let Some(kept) = self.kept.get_mut(&e.holder) {
            *kept = kept.saturating_sub(e.quantity);
        }
        self.kept.retain(|_, kept| *kept > 0);
    }
}

impl Inventory {
    fn released(&self, at_most: u32, ctx: &CommandContext<'_>) -> Option<StockReleased> {
        let holder = holder(ctx);
        let quantity = self.kept.get(&holder).copied().unwrap_or(0).min(at_most);
        (quantity > 0).then_some(StockReleased { quantity, holder })
    }
}

fn holder(ctx: &CommandContext<'_>) -> String {
    ctx.correlation_id().unwrap_or_default().to_owned()
}
