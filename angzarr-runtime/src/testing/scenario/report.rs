//! What a failed assertion says.
//!
//! In: the story so far, what was expected, what came. Out: a text with the difference line by line. Never: a type name
//! alone where the program knows the fields.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use super::events::{KnownEvent, KnownType};
use crate::declare::Message;
use crate::docs::{payload, proto::ProtoIndex};
use crate::registry::Registry;
use crate::stream::Name;

/// What the closure of `then_state` or `then_projection_of` answers: nothing, if it asserts by itself, or whether what it
/// saw is right.
pub trait Holds {
    /// Whether it holds.
    #[doc(hidden)]
    fn holds(self) -> bool;
}

impl Holds for () {
    fn holds(self) -> bool {
        true
    }
}

impl Holds for bool {
    fn holds(self) -> bool {
        self
    }
}

/// Remembers what happened in a scenario, and shows messages.
#[derive(Debug)]
pub(super) struct Story {
    title: String,
    /// (`given`, what), (`when`, what), …
    chapters: Vec<(&'static str, Vec<String>)>,
    index: ProtoIndex,
    types: HashMap<Name, KnownType>,
}

impl Story {
    pub(super) fn new(title: String, registry: &Registry) -> Self {
        Self { title, chapters: Vec::new(), index: ProtoIndex::of(registry), types: HashMap::new() }
    }

    /// From now on messages of this type can be shown and compared.
    pub(super) fn learn(&mut self, type_name: &Name, kind: KnownType) {
        self.types.insert(type_name.clone(), kind);
    }

    pub(super) fn tell(&mut self, chapter: &'static str, what: String) {
        match self.chapters.last_mut() {
            Some((last, lines)) if *last == chapter => lines.push(what),
            _ => self.chapters.push((chapter, vec![what])),
        }
    }

    /// One message on one line.
    pub(super) fn show(&self, type_name: &str, payload: &[u8]) -> String {
        if self.index.message(type_name).is_none()
            && let Some(text) = self.types.get(type_name).and_then(|kind| (kind.debug)(payload))
        {
            return text;
        }
        format!("{type_name} {}", payload::show(&self.index, type_name, payload))
    }

    /// The same for one that was stored once: an old one has the fields of the message that its upcaster takes.
    pub(super) fn show_stored(&self, registry: &Registry, type_name: &Name, version: u32, payload: &[u8]) -> String {
        let shape = registry.upcasters.step_of(type_name, version).map(|step| (step.input.full_name)());
        let shown = payload::show(&self.index, shape.as_deref().unwrap_or(type_name), payload);
        format!("{type_name} {shown} (stored as version {version})")
    }

    /// The same for one that is at hand.
    pub(super) fn show_message<M: Message + fmt::Debug>(&self, message: &M) -> String {
        let type_name = M::full_name();
        match self.index.message(&type_name) {
            Some(_) => self.show(&type_name, &message.encode_to_vec()),
            None => format!("{message:?}"),
        }
    }

    pub(super) fn show_known(&mut self, event: &KnownEvent) -> String {
        self.learn(&event.type_name, event.kind);
        self.show(&event.type_name, &event.payload)
    }

    /// Whether two messages are equal, by the type's own equality where it is known: the encoding of a map has no order.
    pub(super) fn equal(&self, expected: &KnownEvent, type_name: &str, payload: &[u8]) -> bool {
        expected.type_name == *type_name && (expected.kind.equal)(&expected.payload, payload)
    }

    /// Fails with the story and one text behind it.
    #[track_caller]
    pub(super) fn fail(&self, what: &str) -> ! {
        panic!("{}\n{what}\n", self.text());
    }

    /// Fails with the story and the difference between two lists of lines.
    #[track_caller]
    pub(super) fn fail_different(&self, expected: &[String], actual: &[String]) -> ! {
        self.fail(&format!("then (- expected, + came)\n{}", difference(expected, actual)));
    }

    fn text(&self) -> String {
        let mut text = format!("the scenario of {} came out differently\n", self.title);
        for (chapter, lines) in &self.chapters {
            let _ = writeln!(text, "\n{chapter}");
            for line in lines {
                let _ = writeln!(text, "    {}", line.replace('\n', "\n    "));
            }
        }
        text
    }
}

/// Lines that both have, that are missing (`-`), that came instead (`+`). Lists are short: a table of all pairs will do.
fn difference(expected: &[String], actual: &[String]) -> String {
    let mut common = vec![vec![0_usize; actual.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..actual.len()).rev() {
            common[i][j] = if expected[i] == actual[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let mut text = String::new();
    let (mut i, mut j) = (0, 0);
    while i < expected.len() || j < actual.len() {
        let (sign, line) = if i < expected.len() && j < actual.len() && expected[i] == actual[j] {
            (i, j) = (i + 1, j + 1);
            (' ', &expected[i - 1])
        } else if i < expected.len() && (j == actual.len() || common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', &expected[i - 1])
        } else {
            j += 1;
            ('+', &actual[j - 1])
        };
        let _ = writeln!(text, "  {sign} {}", line.replace('\n', "\n    "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_keeps_what_both_have() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(difference(&lines("a b c"), &lines("a x c")), "    a\n  - b\n  + x\n    c\n");
        assert_eq!(difference(&[], &lines("a")), "  + a\n");
        assert_eq!(difference(&lines("a a b"), &lines("a b")), "    a\n  - a\n    b\n");
    }
}
