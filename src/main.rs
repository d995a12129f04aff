//! Parse, run, map the error to an exit code. Nothing else ever moves in.

fn main() {}
