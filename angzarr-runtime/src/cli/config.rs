//! `config`: what the program would run with.
//!
//! In: a builder that file and environment were put on. Out: a table, or a file that can be loaded again; then the mistakes in
//! them. Never: a password.

use std::io::Write;

use super::failure::Failure;
use super::{Builder, ConfigArguments, ConfigFormat, output};
use crate::docs::Elsewhere;
use crate::registry::{Severity, WiringErrors};
use crate::runtime::Setting;

pub(super) fn run(builder: &Builder, arguments: &ConfigArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let settings = builder.settings();
    let text = match arguments.format {
        ConfigFormat::Table => table(&settings),
        ConfigFormat::Toml => file(&settings),
    };
    out.write_all(text.as_bytes())?;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        builder.problems().iter().cloned().partition(|problem| problem.severity() == Severity::Error);
    if arguments.format == ConfigFormat::Table {
        // Where the wiring has mistakes, `check` tells them.
        for it in builder.check_without_instances().iter().flat_map(Elsewhere::all) {
            writeln!(out, "{it}")?;
        }
        for warning in warnings {
            writeln!(out, "{warning}")?;
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(WiringErrors::new(errors).into()) }
}

fn table(settings: &[Setting]) -> String {
    let mut table = output::table(&["setting", "value", "from"]);
    for setting in settings {
        let value = setting.value.as_deref().unwrap_or("(none)");
        table.add_row([setting.name, value, &setting.origin.to_string()]);
    }
    output::text(&table)
}

/// Complete: what a file cannot say stands in a comment.
fn file(settings: &[Setting]) -> String {
    let mut text = String::from(
        "# What a deployment may change. Variables of the environment win over this file, this file wins over the program's\n\
         # source. A line without `#` is in force; whoever takes it out leaves it to the source.\n",
    );
    let mut section = "";
    for setting in settings {
        let (of, name) = setting.name.split_once('.').unwrap_or(("", setting.name));
        if of != section {
            text += &format!("\n[{of}]\n");
            section = of;
        }
        text += &format!("\n# {}\n# {}, from {}\n", setting.about, setting.variable, setting.origin);
        text += &match (&setting.literal, &setting.value) {
            (Some(literal), _) => format!("{name} = {literal}\n"),
            (None, Some(value)) => format!("# {name}: {value}; a file cannot say it, or it has a password\n"),
            (None, None) => format!("# {name} = \n"),
        };
    }
    text
}
