//! What every call meets: tokens, TLS, limits, deadlines, back-pressure, the end; health and reflection.

use std::sync::Arc;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_runtime::proto::event_query_service_client::EventQueryServiceClient;
use angzarr_runtime::proto::event_stream_service_client::EventStreamServiceClient;
use angzarr_runtime::proto::{self, CommandBookExt as _, CoverExt as _, PageHeaderExt as _};
use angzarr_runtime::server::{Call, Denied, Tokens};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::eventually;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1, v1alpha};

use crate::served::{Served, command, fact, may_be_retried, reason};

async fn health(channel: Channel, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.into() };
    let answer: HealthCheckResponse = HealthClient::new(channel).check(request).await?.into_inner();
    Ok(answer.status())
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request
}

fn deposit(root: Uuid) -> proto::CommandRequest {
    command("account", root, &Deposit { amount: 1 })
}

/// Everything but health is denied without a token that is known.
#[tokio::test]
async fn only_known_tokens_may_in() {
    let served = Served::with(|server| server.authorize(Tokens::new(["open sesame", "another"]))).await;
    let channel = served.channel().await;
    let mut client = CommandHandlerCoordinatorServiceClient::new(channel.clone());
    for token in ["Bearer open sesam", "Bearer ", "Basic open sesame", "open sesame", ""] {
        let denied = client.handle_command(with_token(token, deposit(Uuid::new_v4()))).await.unwrap_err();
        assert_eq!((denied.code(), reason(&denied).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"), "{token:?}");
        assert!(!may_be_retried(&denied));
    }
    let denied = client.handle_command(deposit(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(denied.code(), Code::Unauthenticated);
    // Streams and reflection too.
    let denied = EventStreamServiceClient::new(channel.clone()).subscribe(proto::EventStreamFilter::default()).await;
    assert_eq!(denied.unwrap_err().code(), Code::Unauthenticated);
    let asked = futures_util::stream::iter([v1::ServerReflectionRequest::default()]);
    let denied = ServerReflectionClient::new(channel.clone()).server_reflection_info(asked).await;
    assert_eq!(denied.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(served.runtime.storage().head(), 0);
    assert_eq!(health(channel, "").await.unwrap(), ServingStatus::Serving);
    client.handle_command(with_token("Bearer another", deposit(Uuid::new_v4()))).await.unwrap();
    client.handle_command(with_token("bearer open sesame", deposit(Uuid::new_v4()))).await.unwrap();
    served.end().await;
}

/// A hook may ask whoever it wants; what it answers is told, and when it breaks nobody may in.
#[tokio::test]
async fn a_hook_decides_by_method_and_may_break() {
    let hook = |call: Call| async move {
        tokio::task::yield_now().await;
        assert!(call.peer.is_some(), "it knows where the call comes from");
        match call.token.as_str() {
            "reader" if call.method.starts_with("/angzarr.EventQueryService/") => Ok(()),
            "reader" => Err(Denied::Forbidden),
            "later" => Err(Denied::Unavailable),
            "panic" => panic!("on purpose"),
            _ => Err(Denied::Unknown),
        }
    };
    let served = Served::with(|server| server.authorize(hook)).await;
    let mut client = served.commands().await;
    for (token, code, why, again) in [
        ("nobody", Code::Unauthenticated, "UNAUTHENTICATED", false),
        ("reader", Code::PermissionDenied, "FORBIDDEN", false),
        ("later", Code::Unavailable, "AUTHORIZATION_UNAVAILABLE", true),
        ("panic", Code::Internal, "AUTHORIZATION_FAILED", false),
    ] {
        let request = with_token(&format!("Bearer {token}"), deposit(Uuid::new_v4()));
        let denied = client.handle_command(request).await.unwrap_err();
        assert_eq!((denied.code(), reason(&denied).as_str()), (code, why));
        assert_eq!(may_be_retried(&denied), again);
        assert_eq!(fact(&denied, "method"), "/angzarr.CommandHandlerCoordinatorService/HandleCommand");
    }
    let cover = Some(proto::Cover::of("account", [7; 16]));
    let query = with_token("Bearer reader", proto::Query { cover, selection: None });
    served.queries().await.get_event_book(query).await.unwrap();
    served.end().await;
}

/// Certificates of one authority: for the server, for a client, and one of somebody else.
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

async fn tls_channel(served: &Served, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let uri = format!("https://{}", served.address);
    Channel::from_shared(uri).unwrap().tls_config(tls.domain_name("localhost"))?.connect().await
}

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() {
    let certificates = certificates();
    let (certificate, key) = certificates.server.clone();
    let served = Served::with(|server| server.tls(certificate, key)).await;
    let known = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificates.authority));
    let channel = tls_channel(&served, known).await.unwrap();
    CommandHandlerCoordinatorServiceClient::new(channel).handle_command(deposit(Uuid::new_v4())).await.unwrap();
    let other = self::certificates();
    let unknown = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&other.authority));
    assert!(tls_channel(&served, unknown).await.is_err(), "the client does not know that authority");
    let plain = Channel::from_shared(format!("http://{}", served.address)).unwrap().connect_lazy();
    assert!(CommandHandlerCoordinatorServiceClient::new(plain).handle_command(deposit(Uuid::new_v4())).await.is_err());
    served.end().await;
}

#[tokio::test]
async fn mutual_tls_lets_only_known_clients_in() {
    let certificates = certificates();
    let (certificate, key) = certificates.server.clone();
    let authority = certificates.authority.clone();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hook = {
        let seen = seen.clone();
        move |call: Call| {
            seen.lock().unwrap().push(call.certificates.len());
            async { Ok(()) }
        }
    };
    let served = Served::with(|server| server.tls(certificate, key).client_ca(authority).authorize(hook)).await;
    let known = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificates.authority));
    let call = async |tls: ClientTlsConfig| -> Result<(), String> {
        let channel = tls_channel(&served, tls).await.map_err(|error| error.to_string())?;
        let request = with_token("Bearer anybody", deposit(Uuid::new_v4()));
        let answer = CommandHandlerCoordinatorServiceClient::new(channel).handle_command(request).await;
        answer.map(drop).map_err(|status| status.to_string())
    };
    let (certificate, key) = &certificates.client;
    call(known.clone().identity(Identity::from_pem(certificate, key))).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1], "the hook sees the client's certificate");
    call(known.clone()).await.unwrap_err();
    let (certificate, key) = self::certificates().client;
    call(known.identity(Identity::from_pem(certificate, key))).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [1], "nobody else came as far as the hook");
    served.end().await;
}

/// What cannot work is told before anybody connects.
#[tokio::test]
async fn a_server_that_cannot_work_does_not_start() {
    let runtime = Runtime::builder().storage(angzarr_runtime::Memory::new());
    let shop = crate::domain::Shop::default();
    drop(runtime);
    let runtime = shop.builder().build().await.unwrap();
    let here: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    let no_key = runtime.serve(here).client_ca("x").bind().await.unwrap_err();
    assert_eq!(no_key.code(), "TLS");
    let nonsense = runtime.serve(here).tls("no certificate", "no key").bind().await.unwrap_err();
    assert_eq!(nonsense.code(), "TLS");
    let first = runtime.serve(here).bind().await.unwrap();
    let taken = runtime.serve(first.local_addr()).bind().await.unwrap_err();
    assert_eq!((taken.code(), taken.is_retryable()), ("BIND", true));
    assert_eq!(taken.facts(), [("address", first.local_addr().to_string())]);
    runtime.shutdown().await.unwrap();
}

/// A command whose projector does not answer: it is stored, and its caller waits.
fn waiting_tag(root: Uuid) -> proto::CommandRequest {
    let sync_mode = proto::SyncMode::Simple as i32;
    proto::CommandRequest { sync_mode, ..command("account", root, &AddTag { tag: "vip".into() }) }
}

/// One call more than there is room for is refused at once, and may be tried again.
#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let patient = |builder: angzarr_runtime::Builder| builder.sync_deadline(Duration::from_secs(60));
    let served = Served::of(patient, |server| server.concurrency(2).max_streams(1)).await;
    let root = Uuid::new_v4();
    served.rig.tagger.trouble(root, 0, Trouble::Stuck);
    let client = served.commands().await;
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.handle_command(waiting_tag(root)).await });
    eventually("it waits", async || served.rig.tagger.tries(root, 0) > 0).await;
    let mut other = client.clone();
    other.handle_command(deposit(Uuid::new_v4())).await.expect("there is room for another");

    let second = Uuid::new_v4();
    let mut gone = client.clone();
    let second_waits = tokio::spawn(async move { gone.handle_command(waiting_tag(second)).await });
    // Both wait behind the same projector.
    eventually("it is stored", async || served.runtime.state::<Account>(second).await.unwrap().next_sequence() == 1)
        .await;
    let full = other.handle_command(deposit(Uuid::new_v4())).await.unwrap_err();
    assert_eq!((full.code(), reason(&full).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(may_be_retried(&full));
    // A caller that goes away leaves its command in its place.
    second_waits.abort();
    let _gone = second_waits.await;
    let full = other.handle_command(deposit(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "the command still runs");

    let mut streams = EventStreamServiceClient::new(served.channel().await);
    let stream = streams.subscribe(proto::EventStreamFilter::default()).await.unwrap().into_inner();
    let full = streams.subscribe(proto::EventStreamFilter::default()).await.unwrap_err();
    assert_eq!((full.code(), reason(&full).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(health(served.channel().await, "").await.unwrap(), ServingStatus::Serving, "health always answers");

    served.rig.tagger.no_more_trouble(root, 0);
    waiting.await.unwrap().unwrap();
    drop(stream);
    eventually("there is room again", async || other.handle_command(deposit(Uuid::new_v4())).await.is_ok()).await;
    eventually("a stream fits again", async || streams.subscribe(proto::EventStreamFilter::default()).await.is_ok())
        .await;
    served.end().await;
}

/// The deadline of the caller: it is told what is known, and the command runs on.
#[tokio::test]
async fn a_command_runs_on_past_its_deadline() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    served.rig.tagger.trouble(root, 0, Trouble::Stuck);
    let mut client = served.commands().await;
    let in_time = |request: proto::CommandRequest| {
        let mut request = Request::new(request);
        request.metadata_mut().insert("grpc-timeout", MetadataValue::from_static("200m"));
        request
    };
    let late = client.handle_command(in_time(waiting_tag(root))).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!((fact(&late, "root"), fact(&late, "runs_on").as_str()), (root.to_string(), "true"));
    assert_eq!(fact(&late, "command_type"), "test.AddTag");
    assert!(!may_be_retried(&late), "sent again it would be done twice");
    // One that is known again may be sent again.
    let mut known = waiting_tag(root);
    let book = known.command.as_mut().unwrap();
    book.pages[0] = proto::CommandPage {
        header: Some(proto::PageHeader::external("tag-2", "")),
        ..proto::CommandBook::single(proto::Cover::default(), &AddTag { tag: "known".into() }).pages[0].clone()
    };
    served.rig.tagger.trouble(root, 1, Trouble::Stuck);
    let late = client.handle_command(in_time(known)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(may_be_retried(&late));
    served.rig.tagger.no_more_trouble(root, 0);
    served.rig.tagger.no_more_trouble(root, 1);
    served.runtime.settled().await;
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().tags, ["vip", "known"]);
    served.end().await;
}

/// Without a deadline of the caller that of the server counts, and it is the most that a caller gets.
#[tokio::test]
async fn the_server_has_a_deadline_of_its_own() {
    let served = Served::with(|server| server.max_deadline(Duration::from_millis(150))).await;
    let mut client = served.commands().await;
    for given in [None, Some("3600S"), Some("nonsense")] {
        let root = Uuid::new_v4();
        served.rig.tagger.trouble(root, 0, Trouble::Stuck);
        let mut request = Request::new(waiting_tag(root));
        if let Some(given) = given {
            request.metadata_mut().insert("grpc-timeout", given.parse().unwrap());
        }
        let late = client.handle_command(request).await.unwrap_err();
        assert_eq!((late.code(), fact(&late, "deadline_ms").as_str()), (Code::DeadlineExceeded, "150"), "{given:?}");
        served.rig.tagger.no_more_trouble(root, 0);
    }
    served.end().await;
}

/// What is too large or cannot be read is told as such, and the connection goes on.
#[tokio::test]
async fn l_what_is_too_large_or_unreadable_is_told() {
    let served = Served::with(|server| server.max_request_bytes(64 * 1024)).await;
    let channel = served.channel().await;
    let mut client = CommandHandlerCoordinatorServiceClient::new(channel.clone());
    let note = command("account", Uuid::new_v4(), &Note { text: "x".repeat(100_000) });
    let refused = client.handle_command(note).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    assert!(!may_be_retried(&refused));

    // The bytes of something else, sent as a request.
    let mut raw = tonic::client::Grpc::new(channel.clone());
    raw.ready().await.unwrap();
    let path = "/angzarr.CommandHandlerCoordinatorService/HandleCommand".parse().unwrap();
    let refused = raw.unary(Request::new(bytes::Bytes::from_static(b"\xff\xff\xff")), path, Raw).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MALFORMED_MESSAGE"));

    for (path, code) in [
        ("/angzarr.CommandHandlerCoordinatorService/HandleNothing", Code::Unimplemented),
        // What components offer to us is not what we offer to callers.
        ("/angzarr.CommandHandlerService/Handle", Code::Unimplemented),
        ("/somebody.Else/Asks", Code::Unimplemented),
    ] {
        raw.ready().await.unwrap();
        let refused = raw.unary(Request::new(bytes::Bytes::new()), path.parse().unwrap(), Raw).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, "UNKNOWN_METHOD"), "{path}");
    }
    client.handle_command(deposit(Uuid::new_v4())).await.unwrap();
    served.end().await;
}

/// A request that does not come to its end has its deadline like any other, and holds a place only so long.
#[tokio::test]
async fn a_request_that_does_not_end_is_given_up() {
    let served = Served::with(|server| server.concurrency(1).max_deadline(Duration::from_secs(1))).await;
    let channel = served.channel().await;
    let never = |channel: Channel| async move {
        let mut raw = tonic::client::Grpc::new(channel);
        raw.ready().await.unwrap();
        let path = "/angzarr.CommandHandlerCoordinatorService/HandleCommand".parse().unwrap();
        let nothing = futures_util::stream::pending::<bytes::Bytes>();
        raw.client_streaming(Request::new(nothing), path, Raw).await.unwrap_err()
    };
    // The one has its place before it is read, the other is refused without being read.
    let (one, other) = tokio::join!(never(channel.clone()), never(channel.clone()));
    let mut reasons = [reason(&one), reason(&other)];
    reasons.sort();
    assert_eq!(reasons, ["OVERLOADED", "REQUEST_UNFINISHED"]);
    let given_up = never(channel.clone()).await;
    assert_eq!((given_up.code(), reason(&given_up).as_str()), (Code::DeadlineExceeded, "REQUEST_UNFINISHED"));
    assert!(may_be_retried(&given_up), "nothing was done");
    CommandHandlerCoordinatorServiceClient::new(channel).handle_command(deposit(Uuid::new_v4())).await.unwrap();
    assert_eq!(served.runtime.storage().head(), 1);
    served.end().await;
}

/// Bytes as they are.
#[derive(Clone, Default)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = bytes::Bytes;
    type Decode = bytes::Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = bytes::Bytes;
    type Error = Status;
    fn encode(&mut self, item: bytes::Bytes, into: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(into, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = bytes::Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<bytes::Bytes>, Status> {
        let len = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, len)))
    }
}

/// Row R6: the end in order. What runs finishes, what is new is refused, streams end with a clear status.
#[tokio::test]
async fn r6_a_server_drains_before_it_ends() {
    let patient = |builder: angzarr_runtime::Builder| builder.sync_deadline(Duration::from_secs(60));
    let served = Served::of(patient, |server| server).await;
    let root = Uuid::new_v4();
    served.rig.tagger.trouble(root, 0, Trouble::Stuck);
    let channel = served.channel().await;
    let mut client = CommandHandlerCoordinatorServiceClient::new(channel.clone());
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.handle_command(waiting_tag(root)).await });
    eventually("it waits", async || served.rig.tagger.tries(root, 0) > 0).await;
    let mut stream = EventStreamServiceClient::new(channel.clone())
        .subscribe(proto::EventStreamFilter::default())
        .await
        .unwrap()
        .into_inner();
    let mut watch = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    served.stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let ended = stream.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(may_be_retried(&ended));
    for service in ["", "angzarr.CommandHandlerCoordinatorService", "angzarr.EventQueryService"] {
        assert_eq!(health(channel.clone(), service).await.unwrap(), ServingStatus::NotServing);
    }
    let refused = client.handle_command(deposit(Uuid::new_v4())).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(may_be_retried(&refused));
    let refused = EventQueryServiceClient::new(channel).get_aggregate_roots(()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    served.rig.tagger.no_more_trouble(root, 0);
    let answer = waiting.await.unwrap().expect("what runs finishes");
    assert_eq!(answer.into_inner().events.unwrap().next_sequence, 1);
    served.ended().await;
}

/// Row R6: what does not finish within the limit is cut off with a clear status; what it stored stays.
#[tokio::test]
async fn r6_the_drain_has_a_limit() {
    let patient = |builder: angzarr_runtime::Builder| builder.sync_deadline(Duration::from_secs(60));
    let served = Served::of(patient, |server| server.drain_limit(Duration::from_millis(100))).await;
    let root = Uuid::new_v4();
    served.rig.tagger.trouble(root, 0, Trouble::Stuck);
    let mut client = served.commands().await;
    let waiting = tokio::spawn(async move { client.handle_command(waiting_tag(root)).await });
    eventually("it waits", async || served.rig.tagger.tries(root, 0) > 0).await;
    served.stop();
    let cut = waiting.await.unwrap().unwrap_err();
    assert_eq!((cut.code(), reason(&cut).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    served.rig.tagger.no_more_trouble(root, 0);
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().tags, ["vip"]);
    served.ended().await;
}

/// Each service has its health.
#[tokio::test]
async fn health_names_every_service() {
    let served = Served::start().await;
    let channel = served.channel().await;
    for service in [
        "",
        "angzarr.CommandHandlerCoordinatorService",
        "angzarr.EventQueryService",
        "angzarr.EventStreamService",
        "angzarr.SagaCoordinatorService",
        "angzarr.ProcessManagerCoordinatorService",
        "angzarr.ProjectorCoordinatorService",
    ] {
        assert_eq!(health(channel.clone(), service).await.unwrap(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health(channel, "angzarr.SagaService").await.unwrap_err().code(), Code::NotFound);
    served.end().await;
}

/// Reflection in both versions: what is offered, and no more; every message of the contract, `Empty` being the standard one.
#[tokio::test]
async fn reflection_shows_what_is_offered() {
    let served = Served::start().await;
    let channel = served.channel().await;
    let ask =
        |message: MessageRequest| v1::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = futures_util::stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("angzarr.EventQueryService".into())),
        ask(MessageRequest::FileByFilename("google/protobuf/empty.proto".into())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into())),
        ask(MessageRequest::FileContainingSymbol("no.such.Thing".into())),
    ]);
    let mut answers =
        ServerReflectionClient::new(channel.clone()).server_reflection_info(asked).await.unwrap().into_inner();
    let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = next().await else { panic!("a list") };
    let mut names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "angzarr.CommandHandlerCoordinatorService",
            "angzarr.EventQueryService",
            "angzarr.EventStreamService",
            "angzarr.ProcessManagerCoordinatorService",
            "angzarr.ProjectorCoordinatorService",
            "angzarr.SagaCoordinatorService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
    );
    let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("a file") };
    let file: prost_types::FileDescriptorProto =
        prost::Message::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
    assert_eq!(file.name(), "angzarr/query.proto");
    let roots = file.service[0].method.iter().find(|it| it.name() == "GetAggregateRoots").unwrap();
    assert_eq!(roots.input_type(), ".google.protobuf.Empty");
    assert!(matches!(next().await, MessageResponse::FileDescriptorResponse(_)));
    assert!(matches!(next().await, MessageResponse::FileDescriptorResponse(_)), "tools can show the details of errors");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::NotFound);

    let asked = v1alpha::ServerReflectionRequest {
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel)
        .server_reflection_info(futures_util::stream::iter([asked]))
        .await;
    let answer = old.unwrap().into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    use v1alpha::server_reflection_response::MessageResponse::ListServicesResponse;
    assert!(matches!(answer, ListServicesResponse(list) if list.service.len() == 9));
    served.end().await;
}
