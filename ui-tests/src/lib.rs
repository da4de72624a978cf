//! What the programs in `pass/` share: they run themselves, in memory.

use std::future::Future;

use angzarr_runtime::declare::{RegisteredApply, RegisteredCommandHandler, RegisteredSagaHandler, Target};
use angzarr_runtime::{Builder, Memory, Runtime, inventory};

/// Runs a program on one thread.
pub fn run(program: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(program);
}

/// Starts everything that the program declares, in memory.
pub async fn start(builder: Builder) -> Runtime {
    builder.storage(Memory::new()).build().await.expect("the program is wired correctly")
}

/// The names of the declared command handlers, in order.
pub fn command_handlers() -> Vec<&'static str> {
    let mut names: Vec<_> = inventory::iter::<RegisteredCommandHandler>().map(|it| it.0.method).collect();
    names.sort_unstable();
    names
}

/// The names of the declared applies, in order.
pub fn applies() -> Vec<&'static str> {
    let mut names: Vec<_> = inventory::iter::<RegisteredApply>().map(|it| it.0.method).collect();
    names.sort_unstable();
    names
}

/// The events that a command handler may return, by their names.
pub fn emitted_by(method: &str) -> Vec<String> {
    let handler = inventory::iter::<RegisteredCommandHandler>().find(|it| it.0.method == method).expect("the handler");
    let mut types = Vec::new();
    (handler.0.emits)(&mut types);
    types.iter().map(|it| (it.full_name)()).collect()
}

/// Whom a saga's handler may send to.
pub fn targets_of(method: &str) -> Vec<Target> {
    let handler = inventory::iter::<RegisteredSagaHandler>().find(|it| it.0.method == method).expect("the handler");
    let mut targets = Vec::new();
    (handler.0.targets)(&mut targets);
    targets
}
