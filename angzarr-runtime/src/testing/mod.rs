//! Kits for tests: of a domain, of a store.
//!
//! In: a user's domain, or a backend of their own. Out: assertions with readable differences. Never: a mock; they run what
//! the runtime runs.

pub mod storage_contract;
