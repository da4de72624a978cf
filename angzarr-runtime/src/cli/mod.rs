//! The command-line tool of a program, from its registry.
