//! What is known of the whole year from the log itself, to hold the figures of the read model against.

use crate::projection::Figures;

/// One figure that has to come out.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// What it counts.
    pub what: &'static str,
    /// What the log says.
    pub expected: String,
    /// What came out.
    pub found: String,
}

impl Truth {
    /// Whether both agree, to the last digit.
    pub fn holds(&self) -> bool {
        self.expected == self.found
    }
}

/// The truths of the whole year.
pub fn of_the_year(figures: &Figures) -> Vec<Truth> {
    let count =
        |what, expected: u64, found: u64| Truth { what, expected: expected.to_string(), found: found.to_string() };
    vec![
        count("flights", 336_776, figures.flights),
        count("flights in January", 27_004, figures.january),
        count("never departed", 8_255, figures.cancelled),
        count("departed, no arrival delay", 1_175, figures.diverted),
        Truth {
            what: "mean departure delay",
            expected: "12.639070257304708".to_owned(),
            found: figures.mean_departure_delay().to_string(),
        },
        count("tail numbers, none counted as one", 4_044, figures.tails),
        count("flights on 8 and 9 February", 1_614, figures.storm),
        count("of these cancelled", 865, figures.storm_cancelled),
    ]
}
