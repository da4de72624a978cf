//! The transport of one process has no line that could break.

use std::sync::Arc;

use angzarr_runtime::testing::transport_contract::Subject;
use angzarr_runtime::transport::{Local, Transport};

angzarr_runtime::transport_contract!(local, async {
    let local: Arc<dyn Transport> = Arc::new(Local::carrying_events());
    Subject::new(move || local.clone())
});
