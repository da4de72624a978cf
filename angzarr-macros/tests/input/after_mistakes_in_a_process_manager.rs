#[process_manager(domain = "Checkout", from = [])]
pub struct Checkout {}

#[process_manager]
impl Checkout {
    #[handler]
    async fn placed(&self, e: OrderPlaced) -> Reaction {
        Reaction::new()
    }

    #[timeout]
    fn late(&self, e: OrderPlaced) -> Reaction {
        Reaction::new()
    }

    #[rejected]
    fn refused(&self, r: Rejected<TakePayment>) -> (Reaction, Reaction) {
        (Reaction::new(), Reaction::new())
    }

    #[fact]
    fn carrier_says(&self, f: ParcelDelivered) -> OrderDelivered {
        OrderDelivered {}
    }
}
