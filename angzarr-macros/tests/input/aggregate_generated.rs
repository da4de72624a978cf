#[aggregate(domain = "account", snapshot(off))]
impl pb::AccountState {
    #[apply]
    fn opened(&mut self, e: &pb::Opened) {
        self.open = true;
    }
}
