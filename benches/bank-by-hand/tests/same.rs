//! What is written by hand declares what the attributes declare.

use angzarr_runtime::docs;
use angzarr_runtime::registry::Registry;
use bank_by_hand as _; // linked, so that its components are registered

#[test]
fn it_is_the_same_program() {
    let registry = Registry::collect().expect("the wiring");
    assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
    let bank = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bank/DOCS.md"));
    assert_eq!(docs::markdown(&registry), bank.expect("the docs of the bank"));
}
