//! Mistakes in the wiring of a program.

use std::fmt;

use crate::declare::Location;

/// One mistake, with every place in the source that takes part in it.
#[derive(Clone, Debug)]
pub struct Problem {
    severity: Severity,
    message: String,
    places: Vec<(Location, String)>,
    hint: Option<String>,
}

/// Whether a mistake stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It stops the start.
    Error,
    /// It is told, and the program starts.
    Warning,
}

impl Problem {
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), places: Vec::new(), hint: None }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub(crate) fn at(mut self, location: Location, what: impl Into<String>) -> Self {
        self.places.push((location, what.into()));
        self
    }

    /// The same with a place in front that is not in the source.
    #[cfg(feature = "config")]
    pub(crate) fn in_front(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it stops the start.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The places that take part, each with what stands there.
    pub fn places(&self) -> impl Iterator<Item = (Location, &str)> {
        self.places.iter().map(|(location, what)| (*location, what.as_str()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        for (location, what) in &self.places {
            write!(f, "\n   --> {location} ({}): {what}", location.package)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n   = help: {hint}")?;
        }
        Ok(())
    }
}

/// Every mistake of the whole program at once.
#[derive(Clone, thiserror::Error)]
pub struct WiringErrors {
    problems: Vec<Problem>,
}

impl WiringErrors {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The mistakes.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

// A `main` that returns its error shows this form.
impl fmt::Debug for WiringErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for WiringErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => writeln!(f, "the program is not wired correctly:")?,
            n => writeln!(f, "the program is not wired correctly, {n} mistakes:")?,
        }
        for problem in &self.problems {
            write!(f, "\n{problem}\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_the_mistakes_shows_them_as_text() {
        let errors = WiringErrors::new(vec![Problem::error("the saga `s` handles no event").hint("add one")]);
        let shown = format!("{:?}", crate::Error::from(errors));
        assert!(shown.contains("error: the saga `s` handles no event\n   = help: add one\n"), "{shown}");
    }
}
