//! One component of each kind in Python, with stock gRPC on generated stubs: rows C, F, G, J, K, P over the real wire.
//!
//! `tests/python/setup` makes what is needed; the first time that takes the network.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, EventPageExt as _};
use angzarr_runtime::remote::Remote;

use crate::domain::*;
use crate::elsewhere::{Handler, aggregate_on, anywhere, eventually, settled, stalled};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
}

/// What `protoc` makes of `proto/`, as a user would have it.
struct Stubs {
    python: PathBuf,
    directory: tempfile::TempDir,
}

impl Stubs {
    fn generated() -> Self {
        let setup = Command::new(here().join("setup")).stderr(Stdio::inherit()).output().expect("tests/python/setup");
        assert!(setup.status.success(), "tests/python/setup failed and has said why");
        let python = PathBuf::from(String::from_utf8(setup.stdout).expect("a path").trim());
        let directory = tempfile::tempdir().expect("a directory");
        let protos = here().join("../../proto");
        let files = std::fs::read_dir(protos.join("angzarr")).expect("proto/angzarr");
        let generated = Command::new(&python)
            .args(["-m", "grpc_tools.protoc"])
            .arg(format!("--python_out={}", directory.path().display()))
            .arg(format!("--grpc_python_out={}", directory.path().display()))
            .arg(format!("-I{}", protos.display()))
            .arg(format!("-I{}", here().display()))
            .args(files.map(|file| file.expect("a file").path()))
            .arg(here().join("remote.proto"))
            .status();
        assert!(generated.expect("protoc").success(), "the stubs cannot be generated");
        Self { python, directory }
    }

    /// Starts the components, with something of their environment changed.
    fn start(&self, port: u16, environment: &[(&str, &str)]) -> Python {
        let mut child = Command::new(&self.python)
            .arg(here().join("components.py"))
            .arg(port.to_string())
            .env("PYTHONPATH", self.directory.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the components");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut port).expect("a port");
        Python { child, port: port.trim().parse().expect("a port") }
    }
}

/// The components' process. It ends with this.
struct Python {
    child: Child,
    port: u16,
}

impl Python {
    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

fn stow(root: Uuid, quantity: u32) -> proto::CommandRequest {
    proto::CommandRequest {
        sync_mode: proto::SyncMode::Simple as i32,
        ..request(command("stock", root, &Stow { quantity }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_in_python_work_with_those_in_rust() {
    let python = Stubs::generated().start(0, &[]);
    let there = || python.address();
    let runtime = Runtime::builder()
        .remote_aggregate("stock", Remote::at(there()).snapshot(1))
        .remote_saga("stower", "order", there())
        .remote_process_manager("checkout", ["order"], there())
        .remote_projector("board", ["stock"], there())
        .build()
        .await
        .unwrap();
    let root = Uuid::new_v4();

    // The aggregate decides on its history, and the projector's view is in the answer.
    for (quantity, total) in [(30, 30), (40, 70)] {
        let answer = runtime.handle_command(stow(root, quantity)).await.unwrap();
        let view = prost_types::Any::clone(answer.projections[0].projection.as_ref().unwrap());
        assert_eq!(proto::AnyExt::unpack::<View>(&view).unwrap().total, total);
    }
    let refused = runtime.handle_command(stow(root, 31)).await.unwrap_err();
    assert_eq!(refused.rejection().unwrap().to_string(), "full: 70 of 100 are taken");
    let key = angzarr_runtime::stream::StreamKey::main("stock", root);
    let snapshots = runtime.storage().snapshots(&key).await.unwrap();
    assert_eq!(snapshots.last().map(|it| it.sequence), Some(1), "made by the component, and decided on");
    let unknown = request(command("stock", root, &Take { quantity: 1 }));
    let refused = runtime.handle_command(unknown).await.unwrap_err();
    assert_eq!(refused.rejection().unwrap().status(), angzarr_runtime::Code::InvalidArgument);
    let counted = proto::EventRequest {
        events: Some(fact("stock", root, &Counted { quantity: 5 })),
        route_to_handler: true,
        ..Default::default()
    };
    let told = runtime.handle_event(counted).await.unwrap().events.unwrap();
    assert_eq!(told.pages[0].decode::<Stowed>().unwrap().quantity, 5);

    // Saga and process manager follow the orders here; what the stock rejects comes back to the order's own stream as a letter.
    let order = Uuid::new_v4();
    for quantity in [3, 4] {
        runtime.send::<Order>(order, Place { quantity }).correlation("w-1").await.unwrap();
    }
    settled(&runtime).await;
    let shelf = runtime.state::<Shelf>(order).await.unwrap();
    assert_eq!((shelf.taken, shelf.counted), (7, 7));
    let books = runtime.books_by_correlation("w-1").await.unwrap();
    let of = |domain: &str| -> Vec<proto::EventPage> {
        let books = books.iter().filter(|book| book.cover.as_ref().unwrap().domain == domain);
        books.flat_map(|book| book.pages.clone()).collect()
    };
    let counted: Vec<u32> = of("checkout").iter().map(|it| it.decode::<Counted>().unwrap().quantity).collect();
    assert_eq!(counted, [3, 7], "the process manager's own history");
    let stowed: Vec<u32> = of("stock").iter().map(|it| it.decode::<Stowed>().unwrap().quantity).collect();
    assert_eq!(stowed, [3, 4], "the saga's commands");
    assert_eq!(runtime.dead_letters().list(&Default::default()).await.unwrap(), []);

    // Rows P5, P7: it asks to be told later, and then it is over.
    runtime.send::<Order>(order, Place { quantity: 8 }).correlation("w-2").await.unwrap();
    let own = async || -> Vec<proto::EventPage> {
        let books = runtime.books_by_correlation("w-2").await.unwrap();
        let own = books.into_iter().filter(|book| book.cover.as_ref().unwrap().domain == "checkout");
        own.flat_map(|book| book.pages).collect()
    };
    eventually("the time is over", async || own().await.len() == 2).await;
    assert_eq!(own().await[0].decode::<Backordered>().unwrap().why, "8 are overdue");
    assert_eq!(own().await[1].type_name(), Some("angzarr.ProcessManagerCompleted"));
    runtime.send::<Order>(order, Place { quantity: 1 }).correlation("w-2").await.unwrap();
    settled(&runtime).await;
    assert_eq!(own().await.len(), 2);
    runtime.shutdown().await.unwrap();
}

/// Rows U1, U2: what a program of last year has stored is decided on and shown as it is today; while nobody can say what that is,
/// nothing is decided, shown or lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u1_u2_an_upcaster_in_python_brings_old_events_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let store = || angzarr_runtime::storage::Sqlite::open(directory.path().join("stock.db"));
    let root = Uuid::new_v4();
    {
        let last_year = Handler::new(|asked: &proto::ContextualCommand| {
            let Stow { quantity } = proto::CommandPageExt::decode(&asked.command.as_ref().unwrap().pages[0]).unwrap();
            let result = proto::business_response::Result::Events(book(vec![event(&Packed { dozens: quantity / 12 })]));
            Ok(proto::BusinessResponse { result: Some(result) })
        });
        let there = aggregate_on(anywhere(), &last_year).await;
        let runtime = Runtime::builder().storage(store()).remote_aggregate("stock", there.url()).build().await.unwrap();
        for quantity in [24, 36] {
            runtime.handle_command(stow(root, quantity)).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
    }

    let stubs = Stubs::generated();
    let rest = stubs.start(0, &[]);
    let broken = stubs.start(0, &[("UPCASTER", "broken")]);
    let (port, upcaster) = (broken.port, broken.address());
    let runtime = Runtime::builder()
        .storage(store())
        .remote_aggregate("stock", rest.address())
        .remote_projector("board", ["stock"], rest.address())
        .remote_upcaster("stock", upcaster)
        .build()
        .await
        .unwrap();
    // It is there and cannot do it; then it is not there at all.
    let held_back = async |why: &str| {
        let failed = runtime.handle_command(stow(root, 1)).await.unwrap_err();
        assert_eq!((failed.code(), failed.is_retryable()), ("COMPONENT_OUT_OF_REACH", true), "{failed}");
        assert!(failed.to_string().contains(why), "{failed}");
        let waits = async {
            while !stalled(&runtime, "board").await.contains(why) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), waits).await.expect("the projector says why it waits");
    };
    held_back("how many are a dozen?").await;
    drop(broken);
    held_back("out of reach").await;
    let _mended = stubs.start(port, &[]);
    let answer = runtime.handle_command(stow(root, 30)).await.unwrap();
    let view = answer.projections[0].projection.as_ref().expect("the projector has seen it");
    assert_eq!(proto::AnyExt::unpack::<View>(view).unwrap().total, 90, "five dozen and thirty");
    let refused = runtime.handle_command(stow(root, 11)).await.unwrap_err();
    assert_eq!(refused.rejection().unwrap().to_string(), "full: 90 of 100 are taken");
    assert_eq!(runtime.dead_letters().list(&Default::default()).await.unwrap(), []);
    let key = angzarr_runtime::stream::StreamKey::main("stock", root);
    let stored = runtime.storage().read_stream(&key, angzarr_runtime::storage::StreamRead::all()).await.unwrap().events;
    let types: Vec<&str> = stored.iter().map(|event| event.type_name.as_str()).collect();
    assert_eq!(types, ["remote.Packed", "remote.Packed", "remote.Stowed"], "stored as they were");
    runtime.shutdown().await.unwrap();
}
