//! Upcasters elsewhere: rows U.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, EventPageExt as _};

use crate::domain::*;
use crate::elsewhere::*;

/// Counts by the dozen: version 1 of `Stowed` is in dozens, version 2 in pieces. None is dropped, two dozen are split.
fn dozens() -> Upcaster {
    Component::new(|request: &proto::UpcastRequest| {
        assert_eq!(request.domain, "stock");
        let mut answer = proto::UpcastResponse::default();
        for page in &request.events {
            let dozens = match page.decode::<Stowed>() {
                Ok(Stowed { quantity }) if page.schema_version_or_one() == 1 => quantity,
                _ => {
                    answer.events.push(page.clone());
                    continue;
                }
            };
            for _ in 0..dozens {
                let page = proto::EventPage { payload: event(&Stowed { quantity: 12 }).payload, ..page.clone() };
                answer.events.push(page.with_schema_version(2));
            }
        }
        Ok(answer)
    })
}

/// Answers with what it is asked, in the version that the quantity stands for.
fn stock() -> Handler {
    Handler::new(|asked: &proto::ContextualCommand| {
        let Stow { quantity } = asked.command.as_ref().unwrap().pages[0].decode().unwrap();
        let page = event(&Stowed { quantity }).with_schema_version(if quantity < 10 { 1 } else { 2 });
        let result = proto::business_response::Result::Events(book(vec![page]));
        Ok(proto::BusinessResponse { result: Some(result) })
    })
}

fn quantities(book: &proto::EventBook) -> Vec<(u32, u32)> {
    let of = |page: &proto::EventPage| Some((page.sequence()?, page.decode::<Stowed>().ok()?.quantity));
    book.pages.iter().filter_map(of).collect()
}

/// Rows U1, U2, U4: stored as they are, read as they are today, split and dropped ones at their own sequence.
#[tokio::test]
async fn u1_u2_u4_whoever_reads_gets_events_as_they_are_today() {
    let (stock, upcaster) = (stock(), dozens());
    let board: Projector = Component::new(|_: &proto::EventBook| Ok(proto::Projection::default()));
    let there = (
        aggregate_on(anywhere(), &stock).await,
        upcaster_on(anywhere(), &upcaster).await,
        projector_on(anywhere(), &board).await,
    );
    let runtime = Runtime::builder()
        .remote_upcaster("stock", there.1.url())
        .remote_aggregate("stock", there.0.url())
        .remote_projector("board", ["stock"], there.2.url())
        .build()
        .await
        .unwrap();
    let root = Uuid::new_v4();
    for quantity in [1, 0, 2, 30] {
        runtime.handle_command(request(command("stock", root, &Stow { quantity }))).await.unwrap();
    }
    let mut last = request(command("stock", root, &Stow { quantity: 40 }));
    last.command.as_mut().unwrap().cover.as_mut().unwrap().correlation_id = "w-1".into();
    let answer = runtime.handle_command(last).await.unwrap().events.unwrap();
    assert_eq!(answer.next_sequence, 5);
    let history = stock.commands.asked().pop().unwrap().events.unwrap();
    assert_eq!(quantities(&history), [(0, 12), (2, 12), (2, 12), (3, 30)]);
    settled(&runtime).await;
    let seen: Vec<_> = board.asked().iter().flat_map(quantities).collect();
    assert_eq!(seen, [(0, 12), (2, 12), (2, 12), (3, 30), (4, 40)]);
    let books = runtime.books_by_correlation("w-1").await.unwrap();
    assert_eq!(books[0].pages[0].schema_version, 2, "as its owner said");
    runtime.shutdown().await.unwrap();
}

/// While nobody can say what the events are today, nothing is decided on them.
#[tokio::test]
async fn one_that_is_out_of_reach_holds_everybody_back() {
    let (stock, address) = (stock(), nowhere().await);
    let there = aggregate_on(anywhere(), &stock).await;
    let board: Projector = Component::new(|_: &proto::EventBook| Ok(proto::Projection::default()));
    let views = projector_on(anywhere(), &board).await;
    let builder = Runtime::builder().remote_aggregate("stock", there.url()).remote_upcaster("stock", url(address));
    let runtime = builder.remote_projector("board", ["stock"], views.url()).build().await.unwrap();
    let stow = || request(command("stock", Uuid::from_u128(7), &Stow { quantity: 1 }));
    // A stream without events has nothing to be asked about.
    runtime.handle_command(stow()).await.unwrap();
    let failed = runtime.handle_command(stow()).await.unwrap_err();
    assert_eq!((failed.code(), failed.is_retryable()), ("COMPONENT_OUT_OF_REACH", true));
    assert!(stalled(&runtime, "board").await.contains("out of reach"));
    let _there = upcaster_on(address, &dozens()).await;
    runtime.handle_command(stow()).await.unwrap();
    settled(&runtime).await;
    assert_eq!(board.asked().len(), 2);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn only_a_domain_with_an_owner_elsewhere_has_one() {
    const THERE: &str = "http://127.0.0.1:1";
    let builder = Runtime::builder().remote_aggregate("stock", THERE).remote_upcaster("stock", THERE);
    let told = builder.remote_upcaster("stock", THERE).remote_upcaster("order", THERE).build().await;
    let told = told.unwrap_err().to_string();
    assert!(told.contains("the domain `stock` has two remote upcasters"), "{told}");
    assert!(told.contains("for `order`, whose owner is not elsewhere") && told.contains("remote/domain.rs"), "{told}");
}
