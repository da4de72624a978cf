//! Documentation made from the registry.
