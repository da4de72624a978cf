//! Servers that speak TLS, with certificates of a private authority: who is told of it in the URL connects.

use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::Postgres;
use angzarr_runtime::{OpenStorage, PostgresReadModel};

use crate::certificates::Authority;
use crate::cluster::{Cluster, End};
use crate::domain::*;

/// Its certificate is made out to a name, and it lets in whom a line of its list says.
fn encrypted(authority: &Authority, name: &str, lets_in: &str) -> Cluster {
    let mut cluster = Cluster::start(&[]);
    let signed = authority.sign(name);
    let files = [
        ("ssl_cert_file", cluster.file("server.pem", &signed.certificate)),
        ("ssl_key_file", cluster.file("server.key", &signed.key)),
        ("ssl_ca_file", cluster.file("ca.pem", &authority.certificate())),
        ("hba_file", cluster.file("hba.conf", &format!("{lets_in}\n"))),
    ];
    cluster.end(End::Fast);
    cluster.set("ssl=on");
    for (setting, file) in files {
        cluster.set(&format!("{setting}={}", file.display()));
    }
    cluster.again();
    cluster
}

async fn open(url: &str) -> Result<(), String> {
    let postgres: Box<dyn OpenStorage> = Box::new(Postgres::connect(url).schema("jobs"));
    let storage = postgres.open().await.map_err(|error| error.to_string())?;
    storage.close().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_postgres_with_a_private_authority() {
    let (authority, stranger) = (Authority::named("ours"), Authority::named("a stranger"));
    let directory = tempfile::Builder::new().prefix("our own & only %").tempdir().expect("a directory");
    let option = |authority: &Authority, name: &str| {
        let path = authority.file(directory.path(), name);
        let path = path.to_str().expect("a path").replace('%', "%25").replace('&', "%26").replace(' ', "%20");
        format!("sslrootcert={path}")
    };
    let (ours, strangers) = (option(&authority, "ca.pem"), option(&stranger, "stranger.pem"));
    let cluster = encrypted(&authority, "localhost", "hostssl all all 127.0.0.1/32 trust");
    let port = cluster.port();
    let url = |host: &str, options: &str| format!("postgres://postgres@{host}:{port}/postgres?{options}");

    // All of a runtime: the connection that writes, the one that listens, those that ask, and the read model's.
    let full = url("localhost", &format!("sslmode=verify-full&{ours}"));
    let model = PostgresReadModel::connect(&full, "board", BOARD).await.expect("a read model");
    let builder = Runtime::builder().storage_url(&format!("{full}&schema=jobs")).with(Board { model: model.clone() });
    let runtime = builder.build().await.expect("the runtime starts");
    runtime.send::<Job>(Uuid::new_v4(), Start { number: 1 }).sync(SyncMode::Simple).await.expect("accepted");
    let client = model.client().await.expect("a connection");
    let sql = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE backend_type = 'client backend'";
    let row = client.query_one(sql, &[]).await.expect("an answer");
    let (encrypted, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(encrypted == all && all >= 4, "{encrypted} of {all} sessions are encrypted");
    drop(client);
    runtime.shutdown().await.expect("it ends in order");

    // What libpq makes of the modes.
    let by_number = |mode: &str, authority: &str| url("127.0.0.1", &format!("sslmode={mode}&{authority}"));
    for url in [
        by_number("verify-ca", &ours),
        by_number("require", &ours),
        url("localhost", "sslmode=require"),
        url("127.0.0.1", "sslmode=prefer"),
        url("127.0.0.1", ""),
    ] {
        open(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    let missing = url("localhost", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    for (url, word) in [
        (by_number("verify-full", &ours), "not valid for name"),
        (url("localhost", &format!("sslmode=verify-full&{strangers}")), "UnknownIssuer"),
        (by_number("verify-ca", &strangers), "UnknownIssuer"),
        (by_number("require", &strangers), "UnknownIssuer"),
        // This machine does not trust it.
        (url("localhost", "sslmode=verify-full"), "UnknownIssuer"),
        (url("localhost", "sslmode=disable"), "no encryption"),
        (missing, "/nowhere/ca.pem"),
    ] {
        let error = open(&url).await.expect_err(&url);
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }

    // A server that speaks no TLS gets nothing to hear where encryption was asked for.
    let plain = Cluster::start(&[]);
    let url = format!("postgres://postgres@localhost:{}/postgres?sslmode=require", plain.port());
    let error = open(&url).await.expect_err("it is not encrypted");
    assert!(error.contains("TLS"), "{error}");
}

/// A server that lets everybody in, encrypted or not: the URL decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_connection_is_as_safe_as_the_url_says() {
    let cluster = encrypted(&Authority::named("ours"), "localhost", "host all all 127.0.0.1/32 trust");
    let url = |mode: &str| format!("{}?sslmode={mode}&application_name={mode}", cluster.url());
    let model = PostgresReadModel::connect(&url("disable"), "board", BOARD).await.expect("a read model");
    let client = model.client().await.expect("a connection");
    let sql = "SELECT bool_and(s.ssl), bool_or(s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
               WHERE a.application_name = $1 AND a.pid <> pg_backend_pid()";
    for (mode, encrypted) in [("disable", false), ("prefer", true), ("require", true)] {
        let postgres: Box<dyn OpenStorage> = Box::new(Postgres::connect(url(mode)).schema("jobs"));
        let storage = postgres.open().await.expect("it opens");
        storage.read_log(0, 1, 1).await.expect("an answer");
        let row = client.query_one(sql, &[&mode]).await.expect("an answer");
        let (all, some, count): (Option<bool>, Option<bool>, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((all, some), (Some(encrypted), Some(encrypted)), "{mode}");
        assert!(count >= 3, "{mode}: {count} sessions");
        storage.close().await.expect("it closes");
    }
}

/// A server that asks for a certificate, of whoever connects: the store's connections show it, and the read model's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_the_server_is_shown_a_certificate() {
    let (authority, stranger) = (Authority::named("ours"), Authority::named("a stranger"));
    let cluster = encrypted(&authority, "localhost", "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca");
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let root = file("ca.pem", &authority.certificate());
    let url = |options: &str| {
        format!(
            "postgres://postgres@localhost:{}/postgres?sslmode=verify-full&sslrootcert={root}{options}",
            cluster.port()
        )
    };
    let by = |signed: &crate::certificates::Signed, name: &str| {
        let certificate = file(&format!("{name}.pem"), &signed.certificate);
        format!("&sslcert={certificate}&sslkey={}", file(&format!("{name}.key"), &signed.key))
    };
    let (known, unknown) = (authority.sign("us"), stranger.sign("them"));
    let full = url(&by(&known, "us"));
    let model = PostgresReadModel::connect(&full, "board", BOARD).await.expect("a read model");
    let builder = Runtime::builder().storage_url(&format!("{full}&schema=jobs")).with(Board { model: model.clone() });
    let runtime = builder.build().await.expect("the runtime starts");
    runtime.send::<Job>(Uuid::new_v4(), Start { number: 1 }).sync(SyncMode::Simple).await.expect("accepted");
    runtime.shutdown().await.expect("it ends in order");

    let mixed =
        format!("&sslcert={}&sslkey={}", directory.path().join("us.pem").display(), file("other.key", &unknown.key));
    for (options, word) in [
        (String::new(), "certificate"),
        (by(&unknown, "them"), "cannot connect"),
        (mixed, "check `sslcert` and `sslkey`"),
        ("&sslcert=/nowhere/us.pem&sslkey=/nowhere/us.key".to_owned(), "/nowhere/us.pem"),
    ] {
        let error = open(&url(&options)).await.expect_err(&options);
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}
