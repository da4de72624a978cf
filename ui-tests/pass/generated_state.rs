//! A state that a build script generated cannot carry an attribute: the block says it all.

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited, Withdraw, Withdrawn};
use angzarr_ui_tests::{run, start};

mod pb {
    #[derive(Clone, PartialEq, angzarr_runtime::prost::Message)]
    pub struct WalletState {
        #[prost(int64, tag = "1")]
        pub balance: i64,
    }
}

/// A wallet.
#[aggregate(domain = "wallet", snapshot(every = 2), state_version = 3)]
impl pb::WalletState {
    #[handler]
    fn put(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.amount })
    }

    #[apply]
    fn was_put(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

#[aggregate]
impl pb::WalletState {
    #[handler]
    fn take(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        Ok(Withdrawn { amount: cmd.amount })
    }

    #[apply]
    fn was_taken(&mut self, e: Withdrawn) {
        self.balance -= e.amount;
    }
}

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<pb::WalletState>(id, Deposit { amount: 5 }).await.unwrap();
        runtime.send::<pb::WalletState>(id, Withdraw { amount: 2 }).await.unwrap();
        assert_eq!(runtime.state::<pb::WalletState>(id).await.unwrap().balance, 3);
    });
    let descriptor = <pb::WalletState as angzarr_runtime::Aggregate>::descriptor();
    assert_eq!((descriptor.name, descriptor.domain, descriptor.doc), ("WalletState", "wallet", "A wallet."));
    assert_eq!((descriptor.snapshot.unwrap().every, descriptor.state_version), (2, 3));
}
