//! Items that a macro of the user's made: names inside of it must not get lost.

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};
use angzarr_ui_tests::{run, start};

macro_rules! counter {
    ($name:ident, $domain:literal, $command:ty, $event:ty, $saga:literal) => {
        #[aggregate(domain = $domain)]
        #[derive(Clone, PartialEq, prost::Message)]
        struct $name {
            #[prost(int64, tag = "1")]
            count: i64,
        }

        #[aggregate]
        impl $name {
            #[handler]
            fn count(&self, cmd: $command, ctx: &CommandContext) -> Result<(Deposited, Option<$event>), Rejection> {
                let _ = ctx;
                Ok((Deposited { amount: cmd.amount }, None))
            }

            #[apply]
            fn counted(&mut self, e: $event) {
                self.count += e.amount;
            }
        }

        #[saga(name = $saga, from = $name)]
        fn saga(e: $event, ctx: &EventContext) -> Vec<AnyCommand> {
            let _ = (e, ctx);
            Vec::new()
        }
    };
}

counter!(Counter, "counter", Deposit, Deposited, "from-a-macro");

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<Counter>(id, Deposit { amount: 5 }).await.unwrap();
        assert_eq!(runtime.state::<Counter>(id).await.unwrap().count, 5);
    });
}
