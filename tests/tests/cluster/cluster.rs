//! A PostgreSQL server in a directory of its own, on a port of its own; gone when it is dropped.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";
/// A busy machine takes its time, and after a crash there is a log to be read.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a server ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Connections are cut, and everything is written down.
    Fast,
    /// Connections are cut, and nothing is: what follows is a recovery.
    Immediate,
    /// Nobody is asked, and the processes of the connections find out by themselves.
    Kill,
}

pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    port: u16,
    programs: PathBuf,
    /// Whom the server runs as, where the tests run as root.
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Cluster {
    /// A running server; `settings` are those of `postgresql.conf`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("angzarr-pg").tempdir().expect("a temporary directory");
        // Nobody else takes it in the meantime, most likely.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let mut cluster = Self {
            directory,
            port,
            programs: programs(),
            user: other_user(),
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            server: None,
        };
        cluster.own(cluster.directory.path());
        let data = cluster.data();
        let mut initdb = cluster.program("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--pgdata"]).arg(&data);
        run(initdb);
        cluster.again();
        cluster
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A setting that holds from the next start on.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Ends the server, and with it all that it has started.
    pub(crate) fn end(&mut self, how: End) {
        let mut server = self.server.take().expect("it runs");
        match how {
            End::Fast => self.control(&["stop", "--wait", "--mode=fast"]),
            End::Immediate => self.control(&["stop", "--wait", "--mode=immediate"]),
            End::Kill => server.kill().expect("killed"),
        }
        server.wait().expect("its end");
    }

    /// Starts it once more, and waits until it answers.
    pub(crate) fn again(&mut self) {
        let start = Instant::now();
        loop {
            let mut server = self.spawn();
            let ended = loop {
                if self.answers() {
                    break None;
                }
                if let Some(status) = server.try_wait().expect("its state") {
                    break Some(status);
                }
                assert!(start.elapsed() < PATIENCE, "the server does not answer: {}", self.log());
                std::thread::sleep(Duration::from_millis(20));
            };
            let Some(status) = ended else {
                self.server = Some(server);
                return;
            };
            // After a kill it refuses to start until the last process of the one before has gone.
            assert!(start.elapsed() < PATIENCE, "the server does not start ({status}): {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file that the server may read and nobody else.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permitted");
        self.own(&path);
        path
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let last = log.char_indices().rev().nth(2_000).map_or(0, |(at, _)| at);
        log[last..].to_owned()
    }

    fn spawn(&self) -> Child {
        let path = self.directory.path().join("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("a log");
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k"]).arg(self.directory.path());
        postgres.args(["-c", "listen_addresses=127.0.0.1"]);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        postgres.stdout(log.try_clone().expect("the log twice")).stderr(log);
        postgres.spawn().unwrap_or_else(|error| panic!("{postgres:?} cannot be started: {error}"))
    }

    fn answers(&self) -> bool {
        let mut ready = self.program("pg_isready");
        ready.args(["--quiet", "--host=127.0.0.1", &format!("--port={}", self.port)]);
        ready.status().expect("it can be asked").success()
    }

    fn control(&self, arguments: &[&str]) {
        let mut control = self.program("pg_ctl");
        control.args(arguments).arg("--pgdata").arg(self.data());
        run(control);
    }

    /// A program of the server, run as whom the server runs.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        // What the environment says is meant for other servers.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("it may be given away");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // At once, and with all that it has started: nothing of it is needed any more.
            let mut control = self.program("pg_ctl");
            control.args(["stop", "--silent", "--wait", "--mode=immediate", "--pgdata"]).arg(self.data());
            if !control.status().is_ok_and(|it| it.success()) {
                drop(server.kill());
            }
            drop(server.wait());
        }
    }
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {}{said}", String::from_utf8_lossy(&output.stdout));
}

/// Where the programs of a server are: on the `PATH`, or where Debian puts them, the newest ones.
fn programs() -> PathBuf {
    let on_the_path =
        std::env::var_os("PATH").into_iter().flat_map(|it| std::env::split_paths(&it).collect::<Vec<_>>());
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|it| it.path());
    let mut versions: Vec<PathBuf> = versions.collect();
    let number = |it: &PathBuf| it.file_name().and_then(|it| it.to_str()).and_then(|it| it.parse::<u32>().ok());
    versions.sort_by_key(|it| std::cmp::Reverse(number(it)));
    let has_all = |directory: &PathBuf| {
        ["initdb", "postgres", "pg_ctl", "pg_isready"].iter().all(|program| directory.join(program).is_file())
    };
    on_the_path.chain(versions.into_iter().map(|it| it.join("bin"))).find(has_all).unwrap_or_else(|| {
        panic!(
            "these tests start PostgreSQL servers of their own, and its programs (initdb, postgres, pg_ctl, pg_isready) are \
             neither on the PATH nor below /usr/lib/postgresql: run `tests/servers`, which installs what is missing"
        )
    })
}

/// Who runs the server where root would have to.
fn other_user() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().expect("`id` is there");
        let number = String::from_utf8_lossy(&output.stdout).trim().parse::<u32>();
        number.unwrap_or_else(|_| {
            panic!(
                "a PostgreSQL server does not run as root, and there is no user `{USER}`: run `tests/servers`, which installs \
                 PostgreSQL with it, or run the tests as somebody else"
            )
        })
    };
    (number(&["-u"]) == 0).then(|| (number(&["-u", USER]), number(&["-g", USER])))
}
