//! The gRPC server, over a real socket, called by stock clients. A program of its own, because `inventory` sees what is linked.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

mod commands;
mod components;
// Every kind of component; not all of it is used here.
#[allow(dead_code)]
#[path = "../coordination/domain.rs"]
mod domain;
mod door;
mod queries;
mod served;
mod streams;
