//! A crate that calls the runtime by another name works with one that does not.

use angzarr_runtime::prelude::*;
use angzarr_ui_renamed::{Hit, Meter};
use angzarr_ui_tests::{run, start};

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        let receipt = runtime.send::<Meter>(id, Hit { times: 2 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.projections().len(), 1);
        assert_eq!(runtime.state::<Meter>(id).await.unwrap().hits, 2);
    });
}
