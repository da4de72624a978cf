//! Whom a client trusts, who it says it is, and what becomes of it when the line breaks.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::server::Tokens;
use angzarr_runtime::{Builder, Client, ClientError, Code};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::eventually;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;

use crate::client_of;
use crate::served::Served;
use crate::wire::Wire;

/// Certificates of one authority: for the server and for a client.
struct Certificates {
    authority: String,
    server: (String, String),
    client: (String, String),
}

fn certificates() -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    Certificates { authority: issuer.pem(), server: signed("localhost"), client: signed("client") }
}

/// TLS and a token: with both it is let in, without one of them it is told why not.
#[tokio::test]
async fn tls_and_a_token() {
    let ours = certificates();
    let (certificate, key) = ours.server.clone();
    let served = Served::with(|server| server.tls(certificate, key).authorize(Tokens::new(["open sesame"]))).await;
    let url = format!("https://{}", served.address);
    let known = || Client::builder(&url).tls_roots(ours.authority.clone()).server_name("localhost");
    let root = Uuid::new_v4();
    let client = known().bearer_token("open sesame").connect().await.unwrap();
    client.send::<Account>(root, Deposit { amount: 5 }).await.unwrap();
    assert_eq!(client.state::<Account>(root).await.unwrap().balance, 5);
    drop(client.subscribe_all(None).await.unwrap());
    for client in [known(), known().bearer_token("open sesam")] {
        let denied = client.connect().await.unwrap().send::<Account>(root, Deposit { amount: 5 }).await.unwrap_err();
        assert_eq!((denied.code(), denied.status()), ("UNAUTHENTICATED", Code::Unauthenticated));
        assert!(!denied.is_retryable());
    }
    for stranger in [
        Client::builder(&url).tls_roots(certificates().authority).server_name("localhost"),
        Client::builder(&url).server_name("localhost"),
        Client::builder(&url).tls_roots(ours.authority.clone()).server_name("example.org"),
        Client::builder(format!("http://{}", served.address)).bearer_token("open sesame").attempts(1),
    ] {
        let refused = match stranger.connect().await {
            Ok(client) => client.send::<Account>(root, Deposit { amount: 5 }).await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(
            matches!(refused, ClientError::Unreachable { .. } | ClientError::Lost { .. }),
            "nobody speaks to whom it does not trust: {refused:?}"
        );
    }
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().balance, 5);
    served.end().await;
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let ours = certificates();
    let (certificate, key) = ours.server.clone();
    let authority = ours.authority.clone();
    let served = Served::with(|server| server.tls(certificate, key).client_ca(authority)).await;
    let url = format!("https://{}", served.address);
    let known = || Client::builder(&url).tls_roots(ours.authority.clone()).server_name("localhost").attempts(1);
    let (certificate, key) = ours.client.clone();
    let client = known().client_certificate(certificate, key).connect().await.unwrap();
    client.send::<Account>(Uuid::new_v4(), Deposit { amount: 5 }).await.unwrap();
    let refused = async {
        let client = known().connect().await?;
        client.send::<Account>(Uuid::new_v4(), Deposit { amount: 5 }).await
    };
    let refused = refused.await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. } | ClientError::Lost { .. }), "{refused:?}");
    served.end().await;
}

/// What cannot work is told before anybody connects, and no secret is printed.
#[tokio::test]
async fn what_cannot_be_connected_is_told() {
    for (builder, field) in [
        (Client::builder("no url"), "url"),
        (Client::builder("ftp://localhost:1"), "url"),
        (Client::builder("localhost:50051"), "url"),
        (Client::builder("http://localhost:1").tls_roots("x"), "url"),
        (Client::builder("https://localhost:1").client_certificate("x", "y"), "tls"),
        (Client::builder("http://localhost:1").bearer_token("a\nb"), "bearer_token"),
    ] {
        let wrong = builder.connect().await.unwrap_err();
        assert!(matches!(&wrong, ClientError::Setup { field: found, .. } if *found == field), "{wrong:?}");
        assert_eq!((wrong.code(), wrong.is_retryable()), ("CLIENT_SETUP", false));
    }
    let silent = format!("{:?}", Client::builder("http://h").bearer_token("hush").client_certificate("c", "hush"));
    assert!(!silent.contains("hush"), "{silent}");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Client::connect(format!("http://{free}")).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }), "{nobody:?}");
    assert_eq!((nobody.code(), nobody.status(), nobody.is_retryable()), ("UNREACHABLE", Code::Unavailable, true));
    let lazy = Client::builder(format!("http://{free}")).attempts(2).connect_lazily().unwrap();
    let nobody = lazy.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }), "{nobody:?}");
}

/// Nothing was sent where there is no connection: even a command that nobody would know again waits for it to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_comes_back() {
    let served = Served::start().await;
    let mut wire = Wire::to(served.address).await;
    let client = Client::builder(wire.url()).attempts(1_000).connect().await.unwrap();
    let root = Uuid::new_v4();
    client.send::<Account>(root, Deposit { amount: 1 }).await.unwrap();
    let mut subscription = client.subscribe_all(None).await.unwrap();
    wire.cut().await;
    let lost = subscription.book().await.unwrap_err();
    assert!(matches!(lost, ClientError::Lost { repeatable: true, .. }), "{lost:?}");
    let impatient = Client::builder(wire.url()).attempts(2).connect_lazily().unwrap();
    let nobody = impatient.send::<Account>(root, Deposit { amount: 1 }).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }), "{nobody:?}");
    let sending = {
        let client = client.clone();
        tokio::spawn(async move { client.send::<Account>(root, Deposit { amount: 2 }).await })
    };
    tokio::task::yield_now().await;
    wire.mend().await;
    assert_eq!(sending.await.unwrap().unwrap().next_sequence(), 2);
    let mut again = client.subscribe_all(Some(subscription.position().unwrap())).await.unwrap();
    assert_eq!(crate::served::sequences(&again.book().await.unwrap().unwrap()), [1]);
    served.end().await;
}

/// The line breaks while the command runs. One that would be done twice is not sent again, and the error says what is known; one
/// with an external id is, and is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_an_answer_is_lost_on_its_way() {
    let patient = |builder: Builder| builder.sync_deadline(Duration::from_secs(60));
    let served = Served::of(patient, |server| server).await;
    for external_id in [None, Some("pay-1")] {
        let mut wire = Wire::to(served.address).await;
        let client = Client::builder(wire.url()).attempts(1_000).connect().await.unwrap();
        let root = Uuid::new_v4();
        // Its projector does not answer, and it waits for that.
        served.rig.tagger.trouble(root, 0, Trouble::Stuck);
        let sending = tokio::spawn(async move {
            let command = client.send::<Account>(root, AddTag { tag: "vip".into() }).sync(SyncMode::Simple);
            match external_id {
                Some(id) => command.external_id(id).await,
                None => command.await,
            }
        });
        eventually("it waits", async || served.rig.tagger.tries(root, 0) > 0).await;
        wire.cut().await;
        served.rig.tagger.no_more_trouble(root, 0);
        wire.mend().await;
        let answer = sending.await.unwrap();
        match external_id {
            Some(_) => assert_eq!(answer.unwrap().events()[0].sequence, 0),
            None => {
                let lost = answer.unwrap_err();
                assert!(matches!(lost, ClientError::Lost { repeatable: false, .. }), "{lost:?}");
                assert_eq!((lost.status(), lost.is_retryable()), (Code::Unknown, false));
            }
        }
        let account = served.runtime.state::<Account>(root).await.unwrap();
        assert_eq!((account.tags.as_slice(), account.next_sequence()), (&["vip".to_owned()][..], 1));
    }
    served.end().await;
}

/// Past its deadline a command runs on, and its caller knows: whether the server tells it, or nobody does.
#[tokio::test]
async fn a_deadline_ends_the_wait() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    served.rig.tagger.trouble(root, 0, Trouble::Stuck);
    let client = client_of(&served).await.with_deadline(Duration::from_millis(300));
    let tag = || client.send::<Account>(root, AddTag { tag: "vip".into() }).sync(SyncMode::Simple);
    let late = tag().await.unwrap_err();
    assert_eq!((late.code(), late.status(), late.is_retryable()), ("DEADLINE_EXCEEDED", Code::DeadlineExceeded, false));
    served.rig.tagger.no_more_trouble(root, 0);
    served.runtime.settled().await;
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().tags, ["vip"]);
    served.end().await;

    // Somebody who takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::builder(url).deadline(Duration::from_millis(300)).connect_lazily().unwrap();
    let late = client.send::<Account>(root, Deposit { amount: 1 }).await.unwrap_err();
    assert!(matches!(late, ClientError::Late { repeatable: false, .. }), "{late:?}");
    let late = client.state::<Account>(root).await.unwrap_err();
    assert!(matches!(late, ClientError::Late { repeatable: true, .. }), "{late:?}");
}

/// A message that is larger than this side takes is told, and the connection goes on.
#[tokio::test]
async fn messages_have_a_size() {
    let served = Served::start().await;
    let url = format!("http://{}", served.address);
    let client = Client::builder(url).max_message_bytes(50_000).connect().await.unwrap();
    let root = Uuid::new_v4();
    let large = client.send::<Account>(root, Note { text: "x".repeat(60_000) }).await.unwrap_err();
    assert!(!large.is_retryable(), "{large:?}");
    client.send::<Account>(root, NoteOfSize { bytes: 100 }).await.unwrap();
    served.end().await;
}
