//! The typed client against a served runtime, over a real socket. A program of its own, because `inventory` sees what is linked.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

mod commands;
mod connection;
// Every kind of component; not all of it is used here.
#[allow(dead_code)]
#[path = "../coordination/domain.rs"]
mod domain;
mod errors;
mod queries;
mod retries;
mod scripted;
#[allow(dead_code)]
#[path = "../server/served.rs"]
mod served;
mod wire;

use angzarr_runtime::Client;

/// A client of a served runtime.
pub(crate) async fn client_of(served: &served::Served) -> Client {
    Client::connect(format!("http://{}", served.address)).await.expect("a connection")
}
