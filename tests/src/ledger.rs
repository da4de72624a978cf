//! The other side of a payment: what sagas send commands to. A snapshot every five events.

use angzarr_runtime::prelude::*;

use crate::messages::*;

#[aggregate(domain = "ledger", snapshot(every = 5))]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ledger {
    #[prost(int64, tag = "1")]
    pub total: i64,
    #[prost(uint32, tag = "2")]
    pub entries: u32,
}

#[aggregate]
impl Ledger {
    #[handler]
    fn book(&self, cmd: Book) -> Result<Booked, Rejection> {
        ensure!(!cmd.refuse, "refused", "this ledger is closed");
        Ok(Booked { amount: cmd.amount, number: self.entries, thank: cmd.thank })
    }

    #[apply]
    fn booked(&mut self, e: Booked) {
        self.total += e.amount;
        self.entries += 1;
    }
}
