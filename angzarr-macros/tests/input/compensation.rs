#[aggregate]
impl Order {
    /// The stock is used up.
    #[rejected]
    fn out_of_stock(&self, r: Rejected<ReserveStock>) -> Result<OrderBackordered, Revocation> {
        Ok(OrderBackordered {})
    }

    #[rejected(from = Mail)]
    fn undeliverable(&self, r: &Rejected<Send>, ctx: &CommandContext) -> Result<(Noted, Option<Closed>), Failure> {
        note(r)
    }

    #[compensate]
    fn undo(&self, c: Compensate) -> Result<Vec<OrderCancelled>, Revocation> {
        Ok(Vec::new())
    }

    #[fact]
    fn carrier_says(&self, f: ParcelDelivered, ctx: &CommandContext) -> OrderDelivered {
        OrderDelivered {}
    }

    #[fact]
    fn bank_says(&self, f: &Booked) -> Option<Paid> {
        None
    }
}
