//! `config`: what the program would run with.

use std::io::Write;

use super::failure::Failure;
use super::{Builder, output};

pub(super) fn run(builder: &Builder, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let mut table = output::table(&["setting", "value"]);
    for (setting, value) in builder.settings() {
        table.add_row([setting, &value]);
    }
    Ok(out.write_all(output::text(&table).as_bytes())?)
}
