//! Kits for tests: of a domain, of a whole program's wiring, of a store, of a transport.
//!
//! In: a user's domain, or a backend of their own. Out: assertions with readable differences. Never: a mock; they run what
//! the runtime runs.
//!
//! ```standalone_crate
//! # use angzarr_runtime::prelude::*;
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # pub struct Deposit { #[prost(int64, tag = "1")] pub amount: i64 }
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # pub struct Deposited { #[prost(int64, tag = "1")] pub amount: i64 }
//! # angzarr_runtime::name_messages!("bank": Deposit, Deposited);
//! # #[aggregate(domain = "account")]
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # pub struct Account { #[prost(int64, tag = "1")] pub balance: i64 }
//! # #[aggregate]
//! # impl Account {
//! #     #[handler]
//! #     fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
//! #         ensure!(cmd.amount > 0, "not_positive");
//! #         Ok(Deposited { amount: cmd.amount })
//! #     }
//! #     #[apply]
//! #     fn deposited(&mut self, event: Deposited) { self.balance += event.amount; }
//! # }
//! use angzarr_runtime::testing::Scenario;
//!
//! # fn main() {
//! Scenario::<Account>::given(Deposited { amount: 5 })
//!     .when(Deposit { amount: 2 })
//!     .then(Deposited { amount: 2 })
//!     .then_state(|account| account.balance == 7)
//!     .and_when(Deposit { amount: 0 })
//!     .then_rejected("not_positive");
//! # }
//! ```

#[cfg(test)]
pub(crate) mod post_office;
mod scenario;
mod sources;
pub mod storage_contract;
pub mod transport_contract;
mod wiring;

pub use scenario::{
    Answered, EventsOf, Given, Holds, Projected, Projecting, ProjectorScenario, Reacted, SagaScenario, Scenario,
    SentTo, When,
};
pub use sources::{ManualClock, SequentialIds};
#[doc(hidden)]
pub use wiring::check_wiring;
