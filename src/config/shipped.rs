//! Experiments that ship with the binary: `configs/<env>/<algo>.toml`, where `_` stands for `:` and `/` of an id.

/// An experiment that ships with the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Relative to the repository: `configs/<env>/<algo>.toml`.
    pub path: &'static str,
    /// Its text.
    pub toml: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The experiment for an environment and an algorithm, if there is one.
pub fn shipped(env: &str, algo: &str) -> Option<&'static Shipped> {
    // `py:ID` is in `py_ID`: not every file system has colons in names, and Cargo packages none.
    let folder = env.replace([':', '/'], "_");
    let path = format!("configs/{folder}/{algo}.toml");
    SHIPPED.iter().find(|shipped| shipped.path == path)
}
