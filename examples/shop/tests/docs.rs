//! The committed documentation is that of the program as it is.

#![allow(missing_docs)]

use angzarr_runtime::docs;
use angzarr_runtime::registry::Registry;
use shop as _; // linked, so that its components are registered

#[test]
fn the_docs_are_fresh() {
    let registry = Registry::collect().expect("the wiring");
    assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
    for (file, fresh) in [("DOCS.md", docs::markdown(&registry)), ("DOCS.mmd", docs::mermaid(&registry))] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &fresh).expect("the file can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == fresh, "{file} is stale; renew it with `UPDATE_DOCS=1 cargo test -p shop`");
    }
}
