//! Kits for tests: of a domain, of a store.
