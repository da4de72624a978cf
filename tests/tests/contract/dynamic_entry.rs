//! C7, and that the dynamic entry and the typed one are one pipeline.

use angzarr_runtime::Code;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, PageHeaderExt as _};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::on_every_store;
use angzarr_tests::rig::{account, page, request, start};

/// What can be seen of an outcome from outside.
#[derive(Debug, PartialEq)]
enum Seen {
    Stored { types: Vec<String>, sequences: Vec<u32>, next: u32 },
    Refused { code: &'static str, status: Code, retryable: bool, facts: Vec<(&'static str, String)> },
}

fn typed(result: Result<Receipt, Error>) -> Seen {
    match result {
        Ok(receipt) => Seen::Stored {
            types: receipt.events().iter().map(|event| event.type_name.to_string()).collect(),
            sequences: receipt.events().iter().map(|event| event.sequence).collect(),
            next: receipt.next_sequence(),
        },
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> Seen {
    let facts = error.facts().into_iter().filter(|(name, _)| !["root", "reference"].contains(name)).collect();
    Seen::Refused { code: error.code(), status: error.status(), retryable: error.is_retryable(), facts }
}

fn dynamic(result: Result<proto::CommandResponse, Error>) -> Seen {
    match result {
        Ok(response) => {
            let book = response.events.unwrap();
            Seen::Stored {
                types: book
                    .pages
                    .iter()
                    .map(|page| match &page.payload {
                        Some(proto::event_page::Payload::Event(event)) => {
                            proto::type_name_of(&event.type_url).to_owned()
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect(),
                sequences: book
                    .pages
                    .iter()
                    .map(|page| page.header.as_ref().unwrap().explicit_sequence().unwrap())
                    .collect(),
                next: book.next_sequence,
            }
        }
        Err(error) => refused(&error),
    }
}

on_every_store! {
    /// One table of situations, each through both doors, on two accounts with the same past.
    async fn c1_both_entries_have_the_same_outcomes(store) {
        let runtime = start(&store).await;
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        macro_rules! same {
            ($command:expr $(, $expected:expr)?) => {{
                let command = $command;
                let by_type = runtime.send::<Account>(a, command.clone())$(.expect_sequence($expected))?.await;
                let by_wire = runtime.handle_command(request(account(b), [page(&command)$(.expecting($expected))?])).await;
                let (by_type, by_wire) = (typed(by_type), dynamic(by_wire));
                assert_eq!(by_type, by_wire, "{command:?}");
                by_type
            }};
        }
        same!(OpenAccount { owner: "Ada".into() });
        assert!(matches!(same!(OpenAccount { owner: "Bob".into() }), Seen::Refused { code: "REJECTED", .. }));
        same!(Deposit { amount: 10 }, 1);
        assert!(matches!(same!(Deposit { amount: 10 }, 1), Seen::Refused { retryable: true, .. }));
        same!(Deposit { amount: -1 });
        same!(Withdraw { amount: 3 }, 2);
        assert!(matches!(same!(Withdraw { amount: 3 }, 9), Seen::Refused { status: Code::Aborted, retryable: false, .. }));
        same!(Withdraw { amount: 99 });
        same!(AddTag { tag: "x".into() }, 0);
        assert!(matches!(same!(Freeze {}, 7), Seen::Refused { code: "DEAD_LETTERED", .. }));
        same!(Freeze {});
        assert_eq!(same!(Freeze {}), Seen::Stored { types: vec![], sequences: vec![], next: 5 });
        same!(DoNothing {});
        same!(DepositMany { count: 7 });
        for how in ["", "invalid", "not_found"] {
            same!(Refuse { how: how.into() });
        }
        assert!(matches!(same!(Explode {}), Seen::Refused { code: "HANDLER_PANICKED", .. }));
        assert!(matches!(same!(DepositMany { count: 1_001 }), Seen::Refused { code: "LIMIT_EXCEEDED", .. }));
        let (left, right) = (runtime.state::<Account>(a).await.unwrap(), runtime.state::<Account>(b).await.unwrap());
        assert_eq!(*left, *right);
        runtime.shutdown().await.unwrap();
    }

    async fn c10_an_external_id_by_the_wire(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let send = || {
            let header = proto::PageHeader::external("parcel-9", "told by the carrier");
            runtime.handle_command(request(account(id), [page(&Deposit { amount: 3 }).with_header(header)]))
        };
        let first = send().await.unwrap();
        assert_eq!(send().await.unwrap(), first);
        // The typed door knows it too.
        let typed = runtime.send::<Account>(id, Deposit { amount: 3 }).external_id("parcel-9").await.unwrap();
        assert!(typed.already_processed());
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 3);
        runtime.shutdown().await.unwrap();
    }

    /// The pages of a book are stored together, so they are one command to the memory of ids: mixed ones are refused, whole.
    async fn c8_c10_the_pages_of_a_book_have_one_id_or_none(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let with = |amount: i64, key: Option<&str>| match key {
            Some(key) => page(&Deposit { amount }).with_header(proto::PageHeader::external(key, "")),
            None => page(&Deposit { amount }),
        };
        let deferred = |index: u32| {
            let deferred = proto::AngzarrDeferredSequence {
                source: Some(account(Uuid::from_u128(5))),
                source_seq: 3,
                source_component: "courier".into(),
                command_index: index,
            };
            page(&Deposit { amount: 1 }).with_header(proto::PageHeader {
                sequence_type: Some(proto::page_header::SequenceType::AngzarrDeferred(deferred)),
                sync_mode: None,
            })
        };
        let mixed: Vec<(Vec<proto::CommandPage>, usize)> = vec![
            (vec![with(1, Some("a")), with(2, None)], 1),
            (vec![with(1, None), with(2, Some("a"))], 1),
            (vec![with(1, None), with(2, None), with(3, Some("a"))], 2),
            (vec![with(1, Some("a")), with(2, Some("a")), with(3, Some("b"))], 2),
            (vec![with(1, Some("a")), deferred(0)], 1),
            (vec![deferred(0), deferred(1)], 1),
        ];
        for (pages, offending) in mixed {
            let error = runtime.handle_command(request(account(id), pages)).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("INVALID_ARGUMENT", Code::InvalidArgument), "{error}");
            assert_eq!(error.facts()[0], ("field", format!("command.pages[{offending}].header")));
        }
        assert_eq!(runtime.storage().head(), 0, "nothing was stored");
        // Nothing was remembered either: the ids are as good as new.
        let twice = || runtime.handle_command(request(account(id), [with(10, Some("a")), with(20, Some("a"))]));
        let first = twice().await.unwrap();
        assert_eq!(first.events.as_ref().unwrap().pages.len(), 2);
        assert_eq!(twice().await.unwrap(), first);
        runtime.handle_command(request(account(id), [deferred(0), deferred(0)])).await.unwrap();
        runtime.handle_command(request(account(id), [with(4, None), with(5, None)])).await.unwrap();
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 41);
        runtime.shutdown().await.unwrap();
    }

    async fn c7_what_makes_no_sense_is_refused_by_name(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let deposit = || page(&Deposit { amount: 1 });
        let cover = || account(id);
        let with_domain = |domain: &str| proto::Cover { domain: domain.into(), ..cover() };
        let with_root = |bytes: usize| proto::Cover { root: Some(proto::Uuid { value: vec![7; bytes] }), ..cover() };
        let of_type = |type_url: &str, value: &[u8]| proto::CommandPage::of(prost_types::Any {
            type_url: type_url.into(),
            value: value.to_vec(),
        });
        let no_cover = proto::CommandRequest {
            command: Some(proto::CommandBook { cover: None, pages: vec![deposit()] }),
            ..Default::default()
        };
        // (the request, code, status, the fact that names the offending part, a part of its value)
        let cases: Vec<(proto::CommandRequest, &str, Code, &str, &str)> = vec![
            (request(with_domain("accuont"), [deposit()]), "UNKNOWN_DOMAIN", Code::NotFound, "nearest", "account"),
            (request(with_domain("Account"), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "domain"),
            (request(with_domain(""), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "domain"),
            (request(with_domain("a b"), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "domain"),
            (request(cover(), [of_type("type.googleapis.com/test.Depositt", b"")]), "UNKNOWN_COMMAND", Code::NotFound, "nearest", "test.Deposit"),
            (request(cover(), [page(&Stranger {})]), "UNKNOWN_COMMAND", Code::NotFound, "command_type", "test.Stranger"),
            (request(cover(), [page(&Book::default())]), "UNKNOWN_COMMAND", Code::NotFound, "command_type", "test.Book"),
            (request(cover(), [of_type("", b"")]), "UNKNOWN_COMMAND", Code::NotFound, "command_type", ""),
            (request(cover(), [of_type("type.googleapis.com/test.Deposit", &[0xff])]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "command"),
            (request(cover(), [proto::CommandPage::default()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "command"),
            (request(proto::Cover { root: None, ..cover() }, [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "root"),
            (request(with_root(0), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "root"),
            (request(with_root(15), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "root"),
            (request(with_root(17), [deposit()]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "root"),
            (request(cover(), []), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "pages"),
            (no_cover, "INVALID_ARGUMENT", Code::InvalidArgument, "field", "cover"),
            (proto::CommandRequest::default(), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "command"),
            (proto::CommandRequest { sync_mode: 99, ..request(cover(), [deposit()]) }, "INVALID_ARGUMENT", Code::InvalidArgument, "field", "sync_mode"),
            (request(cover(), [proto::CommandPage { merge_strategy: 99, ..deposit() }]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "merge_strategy"),
        ];
        for (n, (request, code, status, fact, value)) in cases.into_iter().enumerate() {
            let error = runtime.handle_command(request).await.expect_err(&format!("case {n}"));
            assert_eq!((error.code(), error.status()), (code, status), "case {n}: {error}");
            assert!(!error.is_retryable(), "case {n}");
            let facts = error.facts();
            let found = facts.iter().find(|(name, _)| *name == fact).unwrap_or_else(|| panic!("case {n}: {facts:?}"));
            assert!(found.1.contains(value), "case {n}: {facts:?}");
        }
        // The second page is named as such.
        let error = runtime.handle_command(request(cover(), [deposit(), proto::CommandPage::default()])).await.unwrap_err();
        assert!(error.facts()[0].1.contains("pages[1]"), "{error}");
        let error = runtime
            .handle_command(request(cover(), [deposit(), of_type("x/test.Deposit", &[0xff])]))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert_eq!(runtime.storage().head(), 0, "nothing was stored");
        // The prefix of a type URL says nothing.
        let any = page(&Deposit { amount: 1 }).command().unwrap().clone();
        for prefix in ["", "/", "schemas.example/v1/"] {
            let page = proto::CommandPage::of(prost_types::Any { type_url: format!("{prefix}test.Deposit"), ..any.clone() });
            runtime.handle_command(request(cover(), [page])).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
    }

    /// Whatever bytes come, the answer is an answer.
    async fn c7_no_request_panics_the_runtime(store) {
        let runtime = start(&store).await;
        let urls = ["", "/", "test.Deposit", "x/test.Deposit", "\u{0}", "type.googleapis.com/", "🦀"];
        let values: [&[u8]; 5] = [b"", &[0xff; 3], &[8, 1], &[10, 255], &[0; 40]];
        let roots = [None, Some(vec![]), Some(vec![1; 16]), Some(vec![1; 4])];
        let domains = ["account", "", "🦀", "ledger", "accoun"];
        for url in urls {
            for value in values {
                for root in &roots {
                    for domain in domains {
                        let cover = proto::Cover {
                            domain: domain.into(),
                            root: root.clone().map(|value| proto::Uuid { value }),
                            ..Default::default()
                        };
                        let any = prost_types::Any { type_url: url.into(), value: value.to_vec() };
                        let result = runtime.handle_command(request(cover, [proto::CommandPage::of(any)])).await;
                        if let Err(error) = result {
                            assert_ne!(error.status(), Code::Internal, "{error}");
                        }
                    }
                }
            }
        }
        runtime.shutdown().await.unwrap();
    }
}
