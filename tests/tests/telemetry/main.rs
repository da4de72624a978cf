//! What monitoring sees of a program: one trace through a whole workflow, and figures for Prometheus.

mod domain;
mod traces;
