//! Exit codes of the commands.

/// The command did what was asked for.
pub const DONE: u8 = 0;
/// It failed for a reason that is not in its input.
pub const FAILED: u8 = 1;
/// Other input would help.
pub const WRONG_INPUT: u8 = 2;
/// It was interrupted, as shells have it for Ctrl-C; a training has written a checkpoint.
pub const INTERRUPTED: u8 = 130;
