//! C7, and that the dynamic entry and the typed one are one pipeline.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, CoverExt as _, PageHeaderExt as _};
use angzarr_runtime::storage::StorageErrorKind;
use angzarr_runtime::{Code, Limits};
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, page, request, start};
use angzarr_tests::{Fault, Faults, Rig, on_every_store};

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
    let facts =
        error.facts().into_iter().filter(|(name, _)| !["root", "reference", "dead_letter"].contains(name)).collect();
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
            (request(cover(), [of_type("type.googleapis.com/test.Deposit", &[0xff])]), "INVALID_ARGUMENT", Code::InvalidArgument, "field", "command.pages[0].command"),
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
        // Whatever is wrong with the second page, it is named, and not even the first one runs.
        let second: Vec<(proto::CommandPage, &str, &str)> = vec![
            (proto::CommandPage::default(), "INVALID_ARGUMENT", "command.pages[1].command"),
            (of_type("x/test.Deposit", &[0xff]), "INVALID_ARGUMENT", "command.pages[1].command"),
            (page(&Stranger {}), "UNKNOWN_COMMAND", "command.pages[1]"),
            (page(&Note { text: "x".repeat(5 << 20) }), "LIMIT_EXCEEDED", "command.pages[1].command"),
            (proto::CommandPage { merge_strategy: 99, ..deposit() }, "INVALID_ARGUMENT", "command.pages[1].merge_strategy"),
            (
                deposit().with_header(proto::PageHeader { sync_mode: Some(99), ..Default::default() }),
                "INVALID_ARGUMENT",
                "command.pages[1].header.sync_mode",
            ),
            (
                proto::CommandPage {
                    payload: Some(proto::command_page::Payload::External(Default::default())),
                    ..Default::default()
                },
                "NOT_OFFERED",
                "command.pages[1]",
            ),
            (
                deposit().with_header(proto::PageHeader::external("a\tb", "")),
                "INVALID_ARGUMENT",
                "command.pages[1].header.external_deferred.external_id",
            ),
        ];
        for (second, code, field) in second {
            let error = runtime.handle_command(request(cover(), [deposit(), second])).await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.facts().contains(&("field", field.to_owned())), "{:?}", error.facts());
        }
        assert_eq!(handler_runs(id), 0);
        assert_eq!(runtime.storage().head(), 0, "nothing was stored");
        // The prefix of a type URL says nothing.
        let any = page(&Deposit { amount: 1 }).command().unwrap().clone();
        for prefix in ["", "/", "schemas.example/v1/"] {
            let page = proto::CommandPage::of(prost_types::Any { type_url: format!("{prefix}test.Deposit"), ..any.clone() });
            runtime.handle_command(request(cover(), [page])).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
    }

    /// A payload that cannot be read is found before anything else is asked, the memory of ids included.
    async fn c1_c7_an_unreadable_payload_is_found_first(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        let header = || proto::PageHeader::external("once", "");
        let good = page(&Deposit { amount: 1 }).with_header(header());
        runtime.handle_command(request(account(id), [good])).await.unwrap();
        let (runs, lookups) = (handler_runs(id), faults.lookups());
        let garbage = prost_types::Any { type_url: "x/test.Deposit".into(), value: vec![0xff] };
        let bad = proto::CommandPage::of(garbage).with_header(header());
        let error = runtime.handle_command(request(account(id), [bad])).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT", "{error}");
        assert!(error.to_string().contains("not a `test.Deposit`"), "{error}");
        assert_eq!((handler_runs(id), faults.lookups()), (runs, lookups));
        runtime.shutdown().await.unwrap();
    }

    /// Domain, root, edition and command type are facts of every error that the way of a command can end in.
    async fn c4_c5_c7_m1_m4_every_error_says_what_it_is_about(store) {
        let faults = Faults::new();
        let limits = Limits { events_per_command: 5, ..Limits::default() };
        let builder = Rig::new().builder().limits(limits).command_attempts(2);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let id = Uuid::new_v4();
        let check = |error: &Error, domain: &str, edition: &str, command: &str| {
            let facts = error.facts();
            let fact = |name: &str| {
                let mut found = facts.iter().filter(|(found, _)| *found == name);
                let value = found.next().map(|(_, value)| value.as_str());
                assert!(found.next().is_none(), "`{name}` is there twice: {facts:?}");
                value
            };
            assert_eq!(fact("domain"), Some(domain), "{error}: {facts:?}");
            assert_eq!(fact("root"), Some(&*id.to_string()), "{error}: {facts:?}");
            assert_eq!(fact("edition"), Some(edition).filter(|it| !it.is_empty()), "{error}: {facts:?}");
            assert_eq!(fact("command_type"), Some(command).filter(|it| !it.is_empty()), "{error}: {facts:?}");
        };
        for edition in ["", "what-if"] {
            let cover = || if edition.is_empty() { account(id) } else { account(id).with_edition(edition) };
            macro_rules! fails {
                ($code:literal, $command:expr $(, $expected:expr)?) => {{
                    let command = $command;
                    let by_wire = page(&command)$(.expecting($expected))?;
                    let name = proto::type_name_of(&by_wire.command().unwrap().type_url).to_owned();
                    let sent = runtime.send::<Account>(id, command.clone()).edition(edition)$(.expect_sequence($expected))?.await;
                    for error in [
                        sent.unwrap_err(),
                        runtime.handle_command(request(cover(), [by_wire])).await.unwrap_err(),
                    ] {
                        assert_eq!(error.code(), $code, "{error}");
                        check(&error, "account", edition, &name);
                    }
                }};
            }
            fails!("REJECTED", Refuse { how: String::new() });
            fails!("SEQUENCE_MISMATCH", Deposit { amount: 1 }, 9);
            fails!("DEAD_LETTERED", Freeze {}, 9);
            fails!("HANDLER_PANICKED", Explode {});
            fails!("LIMIT_EXCEEDED", DepositMany { count: 6 });
            fails!("LIMIT_EXCEEDED", Note { text: "x".repeat(5 << 20) });
            faults.next("account", [Fault::Conflict; 4]);
            fails!("CONTENTION", Deposit { amount: 1 });
            faults.next("account", [Fault::Fail(StorageErrorKind::Failed); 2]);
            fails!("STORAGE", Deposit { amount: 1 });
            // By the wire alone.
            let by_wire = async |page| runtime.handle_command(request(cover(), [page])).await.unwrap_err();
            check(&by_wire(page(&Stranger {})).await, "account", edition, "test.Stranger");
            let unreadable = prost_types::Any { type_url: "x/test.Deposit".into(), value: vec![0xff] };
            check(&by_wire(proto::CommandPage::of(unreadable)).await, "account", edition, "test.Deposit");
            let cascade = proto::CommandRequest {
                cascade_error_mode: 9,
                ..request(cover(), [page(&Deposit { amount: 1 })])
            };
            check(&runtime.handle_command(cascade).await.unwrap_err(), "account", edition, "test.Deposit");
            let nowhere = proto::Cover { domain: "nowhere".into(), ..cover() };
            let error = runtime.handle_command(request(nowhere, [page(&Deposit { amount: 1 })])).await.unwrap_err();
            check(&error, "nowhere", edition, "test.Deposit");
            // Of several pages the one that failed.
            let book = request(cover(), [page(&Deposit { amount: 1 }), page(&Explode {})]);
            check(&runtime.handle_command(book).await.unwrap_err(), "account", edition, "test.Explode");
            // Questions.
            let preview = runtime.preview::<Account>(id, Explode {}).edition(edition).await.unwrap_err();
            check(&preview, "account", edition, "test.Explode");
        }
        let letter = runtime.send::<Account>(id, Freeze {}).expect_sequence(9).await.unwrap_err();
        let letters = runtime.dead_letters().list(&Default::default()).await.unwrap();
        let fact = letter.facts().into_iter().find(|(name, _)| *name == "dead_letter").unwrap().1;
        assert!(letters.iter().any(|letter| letter.id.to_string() == fact));
        let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition("No").await.unwrap_err();
        check(&error, "account", "No", "test.Deposit");
        let error = runtime.state::<Account>(id).edition("No").await.unwrap_err();
        check(&error, "account", "No", "");
        runtime.shutdown().await.unwrap();
    }

    /// What a command says of where it comes from is checked, so that two origins never share a key.
    async fn c7_g2_a_provenance_is_checked(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let deferred = |edition: &str, component: &str| {
            let source = if edition.is_empty() { account(id) } else { account(id).with_edition(edition) };
            let deferred = proto::AngzarrDeferredSequence {
                source: Some(source),
                source_seq: 1,
                source_component: component.into(),
                command_index: 0,
            };
            let header = proto::PageHeader {
                sequence_type: Some(proto::page_header::SequenceType::AngzarrDeferred(deferred)),
                sync_mode: None,
            };
            request(account(id), [page(&Deposit { amount: 1 }).with_header(header)])
        };
        let long = "x".repeat(256);
        for (edition, component, field) in [
            ("", "", "source_component"),
            ("", &*long, "source_component"),
            ("", "y\0z", "source_component"),
            ("x\0y", "z", "source.edition.name"),
            ("NO", "z", "source.edition.name"),
        ] {
            let error = runtime.handle_command(deferred(edition, component)).await.unwrap_err();
            assert_eq!(error.code(), "INVALID_ARGUMENT", "{error}");
            assert_eq!(error.facts()[0].1, format!("command.pages[0].header.angzarr_deferred.{field}"));
        }
        assert_eq!(runtime.storage().head(), 0);
        // The spellings of main are one origin.
        let first = runtime.handle_command(deferred("", "courier")).await.unwrap();
        assert_eq!(runtime.handle_command(deferred("angzarr", "courier")).await.unwrap(), first);
        runtime.handle_command(deferred("b", "courier")).await.unwrap();
        runtime.handle_command(deferred("", "other")).await.unwrap();
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 3);
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
