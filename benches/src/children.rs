//! What runs in a process of its own: the peers (they link another SQLite), and programs whose components would run along.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::load::Measured;
use crate::place::Place;

/// Programs of this crate.
#[derive(Clone, Copy, Debug)]
pub enum Child {
    CatchUp,
    Startup,
}

impl Child {
    fn name(self) -> &'static str {
        match self {
            Self::CatchUp => "catchup",
            Self::Startup => "startup",
        }
    }
}

/// Programs that were built.
pub struct Children {
    /// Where this program lies, and its neighbours.
    neighbours: PathBuf,
    peers: Option<PathBuf>,
}

impl Children {
    /// Builds them, outside of any measurement, unless they are there already.
    pub fn build(build_them: bool, with_peers: bool) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let build = |manifest: &Path, target: Option<&Path>, more: &[&str]| -> Result<bool> {
            if !build_them {
                return Ok(true);
            }
            let mut command = Command::new(&cargo);
            command.args(["build", "--quiet", "--release", "--manifest-path"]).arg(manifest).args(more);
            if let Some(target) = target {
                command.arg("--target-dir").arg(target);
            }
            Ok(command.stdout(Stdio::null()).status()?.success())
        };
        let neighbours = std::env::current_exe()?.parent().ok_or("this program lies nowhere")?.to_owned();
        // Our own target directory, wherever it is.
        let target = neighbours.parent().ok_or("this program lies nowhere")?.to_owned();
        if !build(&here.join("Cargo.toml"), Some(&target), &["--bin", "catchup", "--bin", "startup"])? {
            return Err("the programs beside this one do not build".into());
        }
        let mut peers = None;
        if with_peers {
            let target = target.join("peers");
            if build(&here.join("peers/Cargo.toml"), Some(&target), &[])? {
                peers = Some(target.join("release/angzarr-bench-peers"));
            } else {
                eprintln!("the peers do not build here; their columns stay empty");
            }
        }
        Ok(Self { neighbours: target.join("release"), peers }.checked(neighbours))
    }

    /// Built for measuring means built for release.
    fn checked(self, neighbours: PathBuf) -> Self {
        if neighbours != self.neighbours {
            eprintln!("warning: this is no release build; the figures mean nothing");
        }
        self
    }

    pub fn has_peers(&self) -> bool {
        self.peers.is_some()
    }

    /// A peer on the work; none where the peers do not build.
    pub fn peer(&self, peer: &str, store: &str, tasks: usize, seconds: f64, place: &Place) -> Result<Option<Measured>> {
        let Some(program) = &self.peers else { return Ok(None) };
        let mut command = Command::new(program);
        command.args([peer, store, &tasks.to_string(), &seconds.to_string()]);
        match place {
            Place::Directory(directory) => command.arg(directory.path()),
            Place::Schema(schema) => command.arg(schema.url()),
        };
        measured(command).map(Some)
    }

    /// A program of this crate that measures itself.
    pub fn run(&self, child: Child, arguments: &[&str], directory: &Path) -> Result<Option<Measured>> {
        let mut command = Command::new(self.neighbours.join(child.name()));
        command.args(arguments).arg(directory);
        measured(command).map(Some)
    }

    /// Nanoseconds from before the process is made until it says that it is ready.
    pub fn startup(&self, directory: &Path) -> Result<u64> {
        let begin = Instant::now();
        let mut child = Command::new(self.neighbours.join(Child::Startup.name()))
            .arg(directory.join("startup.db"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let elapsed = begin.elapsed();
        if line != "ready\n" || !child.wait()?.success() {
            return Err("the program does not start".into());
        }
        Ok(elapsed.as_nanos() as u64)
    }
}

/// Its stdout goes to /dev/null: the memory store of cqrs-es prints two lines for each command.
fn measured(mut command: Command) -> Result<Measured> {
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{command:?} failed:\n{text}").into());
    }
    text.lines().last().and_then(Measured::from_line).ok_or_else(|| format!("{command:?} said:\n{text}").into())
}
