/// Keeps goods for what was ordered.
#[saga(name = "reserve-stock", from = Order)]
fn reserve_stock(e: OrderPlaced, ctx: &EventContext) -> Vec<Command<Inventory>> {
    Vec::new()
}

#[saga(name = "notify", from = shop::Order)]
pub struct Notify;

#[saga]
impl Notify {
    #[handler]
    fn placed(&self, e: &OrderPlaced) -> Result<(Command<Mail>, Option<AnyCommand>), Failure> {
        mail(e)
    }
}
