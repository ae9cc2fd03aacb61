//! The version of a libtorch, from its headers. The build script reads it too.

use std::{fs, path::Path};

/// The version of the libtorch whose libraries lie in a folder, such as `2.11.0`.
pub fn beside(lib: &Path) -> Option<String> {
    let headers = lib.parent()?.join("include/torch");
    let candidates = ["headeronly/version.h", "csrc/api/include/torch/version.h"];
    candidates.iter().find_map(|candidate| {
        let text = fs::read_to_string(headers.join(candidate)).ok()?;
        let number = |name: &str| {
            let start = text.find(&format!("#define {name} "))? + name.len() + 9;
            text[start..].split_whitespace().next()?.parse::<u32>().ok()
        };
        let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| number(&format!("TORCH_VERSION_{part}")));
        Some(format!("{}.{}.{}", major?, minor?, patch?))
    })
}
