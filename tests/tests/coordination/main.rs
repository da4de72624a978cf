//! Coordination, row by row: process managers, compensation, cascades, facts. A program of its own, because `inventory` sees
//! what is linked, and these components would see the events of all other tests.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

mod cascades;
mod compensation;
mod domain;
mod editions;
mod elsewhere;
mod facts;
mod model;
mod process_managers;
mod scenarios;
mod shares;
