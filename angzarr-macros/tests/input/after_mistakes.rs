#[aggregate(domain = "Account")]
pub struct Account {}

#[aggregate]
impl Account {
    #[handler]
    async fn open(&mut self, cmd: Open) -> Result<Opened, Rejection> {
        Ok(Opened {})
    }

    #[handler]
    fn close(&self, cmd: Close) -> Result<Closed, Rejection> {
        Ok(Closed {})
    }

    #[apply]
    fn opened(&self, e: Opened) -> bool {
        true
    }
}
