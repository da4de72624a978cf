//! A schema of a test's own on a PostgreSQL server, dropped with it.

use angzarr_runtime::Postgres;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// A schema that outlives the runtimes which use it.
pub struct PostgresSchema(String);

/// Where the server of the tests is.
pub fn url() -> String {
    std::env::var("ANGZARR_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned())
}

impl PostgresSchema {
    /// A name that nobody uses. Fails with advice where there is no server.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        run("SELECT 1".to_owned());
        Self(format!("test_{}", Uuid::new_v4().simple()))
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// Relaxed: these tests are about behaviour.
    pub fn postgres(&self) -> Postgres {
        let url = url();
        let mark = if url.contains('?') { '&' } else { '?' };
        Postgres::connect(format!("{url}{mark}options=-c%20synchronous_commit%3Doff")).schema(&self.0)
    }

    /// Removes it with all that is in it.
    pub fn remove(&self) {
        run(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0));
    }
}

impl Drop for PostgresSchema {
    fn drop(&mut self) {
        self.remove();
    }
}

/// On a thread of its own: it may be called where nobody may wait.
fn run(sql: String) {
    let ran = std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url(), NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute(&sql).await
        })
    });
    match ran.join().expect("no panic") {
        Ok(()) => {}
        Err(error) if std::thread::panicking() => eprintln!("a schema was left behind: {error}"),
        Err(error) => panic!(
            "these tests need a PostgreSQL server: {error}. Start one, for example\n  \
             docker run -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust -e POSTGRES_DB=test postgres:15\n\
             or say where one is: ANGZARR_TEST_POSTGRES=postgres://user:password@host:5432/database"
        ),
    }
}
