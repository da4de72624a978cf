//! The contract, on memory.

use super::Memory;

crate::storage_contract!(memory, async { Memory::new() });
crate::lease_contract!(leases, async { Memory::new().for_many_runtimes() });

#[test]
fn a_clone_is_the_same_store() {
    use crate::storage::Storage;
    let (one, two) = (Memory::new(), Memory::new());
    let same = one.clone();
    assert!(std::sync::Arc::ptr_eq(&one.shared, &same.shared));
    assert!(!std::sync::Arc::ptr_eq(&one.shared, &two.shared));
    assert_eq!(same.describe(), "memory");
}
