//! Encrypted connections, where the server of the tests offers them.

use super::super::settings::{Settings, Verify};
use super::*;

async fn offers_tls() -> bool {
    let ssl: String = stranger().await.query_one("SHOW ssl", &[]).await.expect("an answer").get(0);
    if ssl != "on" {
        eprintln!("the server offers no encryption: not tested");
    }
    ssl == "on"
}

fn with(schema: &Schema, options: &str) -> Postgres {
    let url = url();
    let mark = if url.contains('?') { '&' } else { '?' };
    Postgres::connect(format!("{url}{mark}{options}")).schema(&schema.0)
}

async fn is_encrypted(schema: &Schema, application: &str) -> bool {
    let sql =
        "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1";
    let application = format!("{application} {}", &schema.0[..20]);
    stranger()
        .await
        .query_one(sql, &[&application])
        .await
        .expect("an answer")
        .get::<_, Option<bool>>(0)
        .expect("sessions")
}

#[test]
fn a_connection_is_as_safe_as_the_url_says() {
    block_on(async {
        if !offers_tls().await {
            return;
        }
        let schema = Schema::new().await;
        for (mode, encrypted) in [("disable", false), ("prefer", true), ("require", true)] {
            let application = format!("{mode}%20{}", &schema.0[..20]);
            let storage = with(&schema, &format!("sslmode={mode}&application_name={application}")).start().await;
            let storage = storage.expect("it opens");
            let at = storage.head() as u32;
            store(&storage, write(&key(1), at, b"x")).await.expect("stored");
            assert_eq!(is_encrypted(&schema, mode).await, encrypted, "{mode}");
            storage.close().await.expect("it closes");
        }
    });
}

/// The certificate of the test's server was signed by nobody whom this test names.
#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    block_on(async {
        if !offers_tls().await {
            return;
        }
        let schema = Schema::new().await;
        let directory = tempfile::tempdir().expect("a directory");
        let authority = directory.path().join("ca.pem");
        std::fs::write(&authority, OTHER_AUTHORITY).expect("written");
        let authority = authority.display();
        for mode in ["require", "verify-ca", "verify-full"] {
            let result = with(&schema, &format!("sslmode={mode}&sslrootcert={authority}")).start().await;
            let error = result.expect_err(mode);
            assert!(error.message.contains("certificate"), "{mode}: {error}");
        }
        let missing = with(&schema, "sslmode=verify-ca&sslrootcert=/no/such/file").start().await;
        refused(missing, StorageErrorKind::Failed, &["/no/such/file", "sslrootcert"]);
    });
}

#[test]
fn only_verify_full_looks_at_the_name() {
    let verify = |mode: &str| Settings::parse(&format!("postgres://h/d?sslmode={mode}")).expect("a URL").verify;
    assert_eq!(verify("verify-ca"), Verify::Authority);
    assert_eq!(verify("verify-full"), Verify::Host);
}

/// An authority that has signed nothing but itself.
const OTHER_AUTHORITY: &str = include_str!("other_authority.pem");
