//! States that are protobuf messages, that serde writes, that nobody writes.

use angzarr_runtime::Aggregate;
use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};
use angzarr_ui_tests::{run, start};

#[aggregate(domain = "plain")]
#[derive(Default)]
struct Plain;

#[aggregate(domain = "message")]
#[derive(Clone, Default, PartialEq, prost::Message)]
struct Message {}

#[aggregate(domain = "split-derives", snapshot(codec = Prost))]
#[derive(Clone, Default)]
#[derive(PartialEq, prost::Message)]
struct SplitDerives {}

#[aggregate(domain = "off", snapshot(off))]
#[derive(Clone, PartialEq, prost::Message)]
struct Off {}

#[aggregate(domain = "json", snapshot(every = 1, codec = Serde), state_version = 7)]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Json {
    amounts: std::collections::BTreeMap<String, i64>,
}

#[aggregate]
impl Json {
    #[handler]
    fn put(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.amount })
    }

    #[apply]
    fn was_put(&mut self, e: Deposited) {
        self.amounts.insert(format!("put {}", self.amounts.len()), e.amount);
    }
}

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<Json>(id, Deposit { amount: 5 }).await.unwrap();
        assert_eq!(runtime.state::<Json>(id).await.unwrap().amounts["put 0"], 5);
    });
    assert!(Plain::descriptor().snapshot.is_none() && Plain::descriptor().clone_state.is_none());
    assert_eq!(Message::descriptor().snapshot.map(|it| (it.every, it.codec.name)), Some((16, "prost")));
    assert_eq!(SplitDerives::descriptor().snapshot.map(|it| (it.every, it.codec.name)), Some((16, "prost")));
    assert!(Off::descriptor().snapshot.is_none());
    assert_eq!(Json::descriptor().snapshot.map(|it| (it.every, it.codec.name)), Some((1, "serde")));
    assert_eq!((Json::descriptor().state_version, Plain::descriptor().state_version), (7, 1));
    assert!(Json::descriptor().debug_state.is_none());
}
