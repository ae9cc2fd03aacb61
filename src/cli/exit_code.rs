//! Exit codes, besides [`INTERRUPTED`](crate::stop::INTERRUPTED).

pub const DONE: u8 = 0;
pub const FAILED: u8 = 1;
pub const WRONG_INPUT: u8 = 2;
