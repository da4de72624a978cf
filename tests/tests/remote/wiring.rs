//! What cannot work is told at `build()`, with every place.

use angzarr_runtime::prelude::*;

use crate::elsewhere::{aggregate_on, anywhere};

async fn mistakes(builder: angzarr_runtime::Builder) -> String {
    builder.build().await.unwrap_err().to_string()
}

const THERE: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_domain_has_one_owner() {
    let told = mistakes(Runtime::builder().remote_aggregate("order", THERE)).await;
    assert!(told.contains("the domain `order` has two owners"), "{told}");
    assert!(told.contains("remote/domain.rs") && told.contains("remote/wiring.rs"), "{told}");
    let twice = Runtime::builder().remote_aggregate("stock", THERE).remote_process_manager("stock", ["order"], THERE);
    let told = mistakes(twice).await;
    assert!(told.contains("the domain `stock` has two owners"), "{told}");
    assert_eq!(told.matches("remote/wiring.rs").count(), 2, "{told}");
}

#[tokio::test]
async fn a_component_has_a_name_of_its_own() {
    let twice = Runtime::builder().remote_saga("a", "order", THERE).remote_projector("a", ["order"], THERE);
    let told = mistakes(twice).await;
    assert!(told.contains("two components have the name `a`"), "{told}");
    assert_eq!(told.matches("remote/wiring.rs").count(), 2, "{told}");
}

#[tokio::test]
async fn a_domain_that_nobody_has_and_an_address_that_is_none_are_told_together() {
    let builder = Runtime::builder()
        .remote_saga("a", "ordre", THERE)
        .remote_saga("b", "order", "127.0.0.1:1")
        .remote_saga("c", "order", "https://127.0.0.1:1")
        .remote_saga("Not A Name", "order", THERE);
    let told = mistakes(builder).await;
    assert!(told.contains("did you mean `order`?"), "{told}");
    assert!(told.contains("neither `http://` nor `https://`"), "{told}");
    assert!(told.contains("nobody is trusted"), "{told}");
    assert!(told.contains("`Not A Name` is not a valid name"), "{told}");
}

/// A domain that is elsewhere is one that others may listen to.
#[tokio::test]
async fn a_remote_aggregate_is_known_to_the_others() {
    let there = aggregate_on(anywhere(), &crate::elsewhere::Handler::new(|_| Ok(Default::default()))).await;
    let runtime = Runtime::builder()
        .remote_aggregate("stock", there.url())
        .remote_projector("board", ["stock"], there.url())
        .build()
        .await
        .unwrap();
    assert!(runtime.registry().domains().any(|domain| domain == "stock"));
    let warnings = runtime.registry().warnings();
    assert!(warnings.iter().all(|it| it.message().contains("no saga listens to it")), "{warnings:?}");
    runtime.shutdown().await.unwrap();
}
