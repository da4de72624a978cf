/// From the order to the payment.
#[process_manager(domain = "checkout", from = [Order, payment::Payment], to = [Shipping], snapshot(every = 50), state_version = 2)]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Checkout {}

#[process_manager]
impl Checkout {
    /// The customer wants it.
    #[handler]
    fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Reaction {
        self.start()
    }

    #[handler]
    fn paid(&self, e: &PaymentTaken) -> Result<Option<Reaction>, Failure> {
        book(e)
    }

    #[timeout("payment")]
    fn late(&self, ctx: &EventContext) -> Option<angzarr_runtime::Reaction> {
        None
    }

    #[cfg(feature = "patience")]
    #[timeout("second-reminder")]
    fn second(&self) -> Reaction {
        self.start()
    }

    #[rejected(from = payment::Payment)]
    fn refused(&self, r: Rejected<TakePayment>, ctx: &EventContext) -> Reaction {
        self.start()
    }

    #[rejected(domain = "shipping")]
    fn stuck(&self, r: &Rejected<Ship>) -> Reaction<Self> {
        self.start()
    }

    #[apply]
    fn started(&mut self, e: CheckoutStarted) {}

    fn start(&self) -> Reaction {
        Reaction::new()
    }
}
