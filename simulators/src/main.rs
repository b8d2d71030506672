//! The program. Its commands come with the parts that they run.

fn main() {}
