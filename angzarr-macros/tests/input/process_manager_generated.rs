#[process_manager(domain = "checkout", from = [Order])]
impl pb::CheckoutState {
    #[handler]
    fn placed(&self, e: OrderPlaced) -> Reaction {
        Reaction::new()
    }
}
