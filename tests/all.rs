//! Tests of the program and of the library from the outside, in one program: linking to libtorch takes longer than most of
//! them.

mod bad_input;
mod bad_runs;
mod campaign;
mod catalog;
mod cli;
#[path = "support/defaults.rs"]
mod defaults;
mod discrete;
mod docs;
mod evaluation;
mod experiments;
mod export;
mod failing_env;
mod front_door;
mod full_disk;
mod fuzz_checkpoint;
mod fuzz_config;
#[path = "support/generator.rs"]
mod generator;
mod goals;
mod inspect;
mod kill_resume;
mod launch;
mod learning;
mod machine;
mod memory;
mod new;
mod paths;
mod play;
#[path = "support/processes.rs"]
mod processes;
mod python_envs;
mod python_kills;
mod replicates;
mod report;
mod resume_changes;
mod rollout;
mod runs;
mod search;
mod slurm;
mod slurm_cluster;
mod support;
mod sweep;
mod sweep_kills;
mod tensorboard;
mod terminal;
mod train;

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
        let is_separate = ["all"].contains(&module);
        assert!(
            is_named || is_separate,
            "tests/{name} belongs in the list of tests/all.rs"
        );
    }
}
