//! Where a value of a configuration comes from: [`Origin`].

use std::{fmt, path::PathBuf};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A preset of the library.
    Preset(String),
    /// An experiment that ships with the binary.
    Shipped(String),
    /// A file of the user.
    File(PathBuf),
    /// A `--set` on the command line.
    Set,
    /// A flag of its own, such as `--steps`.
    Flag(&'static str),
    /// An argument of a function.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Preset(name) => write!(f, "preset {name}"),
            Origin::Shipped(path) => write!(f, "{path}, shipped"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Set => write!(f, "--set"),
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Argument => write!(f, "argument"),
        }
    }
}
