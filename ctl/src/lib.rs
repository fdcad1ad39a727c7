//! The administrators' command line as a library: what `daymarkctl` and its tests are made of.

pub mod release;
