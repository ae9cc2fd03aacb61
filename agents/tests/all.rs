//! Integration tests in one program: linking to libtorch takes longer than most of them. `no_alloc.rs` has an allocator of
//! its own.

mod augmentation;
mod composition;
mod delays;
mod encoder_sharing;
mod fourier_policy;
#[path = "support/full_update.rs"]
mod full_update;
mod fused;
mod golden;
mod golden_batch_norm;
mod golden_critics;
mod golden_discrete;
mod golden_encoders;
mod golden_ensembles;
mod golden_policies;
mod golden_residual;
mod gsde;
mod hindsight;
mod inspect;
mod matmul_precision;
mod optimist;
mod pipelined;
mod pixels;
mod prioritized;
mod probe;
mod probe_critics;
mod probe_discrete;
#[path = "support/probes.rs"]
mod probes;
mod recorded;
mod replay_frames;
mod replay_model;
mod resets;
mod resume;
#[path = "support/small.rs"]
mod small;
mod soft_n_step;
mod support;
mod target_filter;
mod trace;

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
