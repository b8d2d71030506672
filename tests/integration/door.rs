//! The clinicians' door from outside: who comes in, and what they get to see there.

mod matrix;
mod raw;
mod rows;
mod ward;
