//! Compiles a user's protos from their build script, with no `protoc` installed.
//!
//! In `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), angzarr_proto::build::BuildError> {
//!     angzarr_proto::build::compile(&["proto/bank.proto"], &["proto"])
//! }
//! ```
//!
//! Every package becomes one file in `OUT_DIR`, named after it, such as `bank.rs`. The messages know their own names
//! ([`prost::Name`]), which is what events and commands are found by. Whatever the generated code refers to is reached
//! through `angzarr_runtime`, so that the crate needs no other dependency. `import "angzarr/types.proto"` and its
//! siblings, as well as `google/protobuf/*.proto`, are found without being on disk.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

pub use prost_build;

use crate::TYPE_URL_PREFIX;

/// The file in the output directory that holds the descriptors of everything that was compiled.
pub const DESCRIPTORS: &str = "descriptors.bin";

const DEFAULT_RUNTIME: &str = "::angzarr_runtime::proto";

const PACKAGE: &str = "angzarr";

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$((
            concat!("angzarr/", $name, ".proto"),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/angzarr/", $name, ".proto")),
        )),+]
    };
}

/// Our own files: the name that they are imported by, and their text.
const EMBEDDED: &[(&str, &str)] = embedded![
    "types",
    "command_handler",
    "query",
    "stream",
    "saga",
    "process_manager",
    "projector",
    "upcaster",
    "dlq",
];

/// Compiles protos in the way that suits most crates; see [`Compiler`] for the others.
///
/// # Errors
/// See [`Compiler::compile`].
pub fn compile(files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), BuildError> {
    Compiler::new().compile(files, includes)
}

/// Why protos could not be compiled. It reads well where a build script leaves it: `fn main() -> Result<(), BuildError>`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file that was asked for is not there.
    #[error("{} does not exist; it was also looked for in {}", file.display(), list(includes))]
    #[non_exhaustive]
    NotFound {
        /// The file.
        file: PathBuf,
        /// Where it was looked for.
        includes: Vec<PathBuf>,
    },
    /// A file says something wrong. The message names file, line and column, and shows the line.
    #[error("{message}")]
    #[non_exhaustive]
    Proto {
        /// What is wrong, and where.
        message: String,
    },
    /// A package would hide our own.
    #[error(
        "{file}: the package `{package}` belongs to the framework, and this file cannot be told apart from its own: \
         choose another package"
    )]
    #[non_exhaustive]
    ReservedPackage {
        /// The file.
        file: String,
        /// Its package.
        package: String,
    },
    /// There is nowhere to write to.
    #[error("OUT_DIR is not set: call this from a build script, or choose a directory with `Compiler::out_dir`")]
    NoOutDir,
    /// The code could not be generated or written.
    #[error("cannot write the generated code: {0}")]
    Io(#[from] io::Error),
}

// Cargo shows the `Debug` form of what `main` returns.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no include path at all".to_owned();
    }
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

/// Compiles protos.
///
/// ```no_run
/// use angzarr_proto::build::{BuildError, Compiler};
///
/// fn main() -> Result<(), BuildError> {
///     Compiler::new()
///         .configure(|prost| {
///             prost.type_attribute("bank.Money", "#[derive(PartialOrd)]");
///         })
///         .compile(&["proto/bank.proto"], &["proto"])
/// }
/// ```
#[derive(Debug)]
#[must_use = "call `compile` to do the work"]
pub struct Compiler {
    runtime: String,
    out_dir: Option<PathBuf>,
    config: prost_build::Config,
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// Generates code that refers to `::angzarr_runtime::proto`, into `OUT_DIR`.
    pub fn new() -> Self {
        let mut config = prost_build::Config::new();
        config.enable_type_names().type_name_domain(["."], TYPE_URL_PREFIX.trim_end_matches('/'));
        Self { runtime: DEFAULT_RUNTIME.to_owned(), out_dir: None, config }
    }

    /// The path by which the generated code reaches this crate, `::angzarr_runtime::proto` unless told otherwise. `prost`
    /// and `prost_types` are reached through it as well.
    pub fn extern_runtime(mut self, path: impl Into<String>) -> Self {
        self.runtime = path.into();
        self
    }

    /// Writes to this directory, instead of to `OUT_DIR`. It has to exist.
    pub fn out_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(dir.into());
        self
    }

    /// Sets whatever else `prost-build` offers, such as attributes, or `include_file` for packages that refer to each
    /// other. With `btree_map` the crate needs `prost` among its own dependencies: prost's derive macro names it directly.
    pub fn configure(mut self, set: impl FnOnce(&mut prost_build::Config)) -> Self {
        set(&mut self.config);
        self
    }

    /// Compiles these files, each to be found below one of the includes, and tells Cargo to run the build script again
    /// when one of them or of what they import changes.
    ///
    /// Besides the code, the output directory gets the descriptors, as [`DESCRIPTORS`].
    ///
    /// # Errors
    /// When a file is missing or wrong, or when the output cannot be written.
    pub fn compile(mut self, files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), BuildError> {
        let includes: Vec<PathBuf> = includes.iter().map(|include| include.as_ref().to_owned()).collect();
        // Said first: a file that is wrong has to be looked at again once it changes.
        for file in files {
            rerun_if_changed(&find(file.as_ref(), &includes)?);
        }
        let out_dir = match self.out_dir.take() {
            Some(dir) => dir,
            None => env::var_os("OUT_DIR").ok_or(BuildError::NoOutDir)?.into(),
        };

        let (mut descriptors, imported) = read(files, &includes)?;
        for path in &imported {
            rerun_if_changed(path);
        }

        let uses_ours = descriptors.file.iter().any(|file| is_ours(file.name()));
        check_packages(&descriptors, uses_ours)?;
        if uses_ours {
            self.config.extern_path(".angzarr", format!("{}::{PACKAGE}", self.runtime));
        }
        self.config
            .prost_path(format!("{}::prost", self.runtime))
            .prost_types_path(format!("{}::prost_types", self.runtime))
            .out_dir(&out_dir)
            .compile_fds(descriptors.clone())?;

        // The user's comments are worth keeping, those of the others are known already.
        for file in &mut descriptors.file {
            if is_ours(file.name()) || file.package() == "google.protobuf" {
                file.source_code_info = None;
            }
        }
        fs::write(out_dir.join(DESCRIPTORS), descriptors.encode_to_vec())?;
        Ok(())
    }
}

fn rerun_if_changed(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}

/// A file may be given by its path, or by its name below an include.
fn find(file: &Path, includes: &[PathBuf]) -> Result<PathBuf, BuildError> {
    std::iter::once(file.to_owned())
        .chain(includes.iter().map(|include| include.join(file)))
        .find(|path| path.is_file())
        .ok_or_else(|| BuildError::NotFound { file: file.to_owned(), includes: includes.to_vec() })
}

fn is_ours(name: &str) -> bool {
    EMBEDDED.iter().any(|(ours, _)| *ours == name)
}

/// What the files say, together with what they import; and where on disk the imports were found.
fn read(files: &[impl AsRef<Path>], includes: &[PathBuf]) -> Result<(FileDescriptorSet, Vec<PathBuf>), BuildError> {
    let mut resolver = ChainFileResolver::new();
    // The contract comes first: generated code refers to our types, so no other file may speak for them.
    resolver.add(Embedded);
    for include in includes {
        resolver.add(IncludeFileResolver::new(include.clone()));
    }
    resolver.add(GoogleFileResolver::new());

    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files.iter().map(AsRef::as_ref)).map_err(|error| proto_error(&error, includes))?;
    let imported =
        compiler.files().filter(|file| file.is_import()).filter_map(|file| file.path().map(Path::to_owned)).collect();
    Ok((compiler.file_descriptor_set(), imported))
}

/// Our own package is told from the user's by its name alone.
fn check_packages(descriptors: &FileDescriptorSet, uses_ours: bool) -> Result<(), BuildError> {
    let clash = descriptors.file.iter().find(|file| {
        let package = file.package();
        let below = package.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('.'));
        !is_ours(file.name()) && (package == PACKAGE || (uses_ours && below))
    });
    match clash {
        None => Ok(()),
        Some(file) => {
            Err(BuildError::ReservedPackage { file: file.name().to_owned(), package: file.package().to_owned() })
        }
    }
}

/// Our own protos, without a file.
struct Embedded;

impl FileResolver for Embedded {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        EMBEDDED
            .iter()
            .find(|(ours, _)| *ours == name)
            .ok_or_else(|| protox::Error::file_not_found(name))
            .and_then(|(name, source)| File::from_source(name, source))
    }
}

/// Puts the path in place of the import name, and shows the line.
fn proto_error(error: &protox::Error, includes: &[PathBuf]) -> BuildError {
    // Unlike the `Display` form, this says where: `name:line:column: what`.
    let text = format!("{error:?}");
    let located = error.file().and_then(|name| {
        let rest = text.strip_prefix(name)?.strip_prefix(':')?;
        let path = includes.iter().map(|include| include.join(name)).find(|path| path.is_file())?;
        let snippet = snippet(&path, rest).unwrap_or_default();
        Some(format!("{}:{rest}{snippet}", path.display()))
    });
    BuildError::Proto { message: located.unwrap_or(text) }
}

/// The line that `line:column: what` speaks of, with a mark below it.
fn snippet(path: &Path, position: &str) -> Option<String> {
    let mut parts = position.splitn(3, ':');
    let number: usize = parts.next()?.parse().ok()?;
    let column: usize = parts.next()?.parse().ok()?;
    let source = fs::read_to_string(path).ok()?;
    let line = source.lines().nth(number.checked_sub(1)?)?;
    let indent: String = line.chars().take(column.checked_sub(1)?).map(|c| if c == '\t' { c } else { ' ' }).collect();
    let gutter = " ".repeat(number.to_string().len());
    Some(format!("\n {gutter} |\n {number} | {line}\n {gutter} | {indent}^"))
}
