//! Integration tests in one program; `no_alloc.rs` has an allocator of its own.

mod bad_input;
mod conformance;
mod entity;
mod manuals;
mod mujoco;
mod parity;
mod properties;
mod python;
mod render;
mod spaces;
mod vector;
mod wrappers;

/// Cargo finds no test by itself here.
#[test]
fn every_file_with_tests_is_built() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("the folder of this file");
    for name in files
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
    {
        let Some(module) = name.strip_suffix(".rs") else {
            continue;
        };
        let is_named = include_str!("all.rs").contains(&format!("mod {module};"));
        let is_separate = ["all", "no_alloc"].contains(&module);
        assert!(
            is_named || is_separate,
            "tests/{name} belongs in the list of tests/all.rs"
        );
    }
}
