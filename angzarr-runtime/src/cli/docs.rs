//! `docs`: the documentation of the program.

use std::io::Write;

use super::failure::Failure;
use super::{Builder, DocsArguments};

pub(super) fn run(builder: &Builder, arguments: &DocsArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let registry = builder.check_without_instances()?;
    let text = arguments.format.render(&registry);
    let Some(path) = &arguments.output else { return Ok(out.write_all(text.as_bytes())?) };
    std::fs::write(path, &text).map_err(|error| {
        Failure::new(format_args!("cannot write {}: {error}", path.display()))
            .hint("give `--output` a file in a directory that exists, or leave it out to see the text here")
    })?;
    Ok(writeln!(out, "wrote {} ({} lines)", path.display(), text.lines().count())?)
}
