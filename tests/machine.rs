//! What the machine or the build cannot do: refused before anything starts.

use std::fs;

use crate::support::{contents, folder, sac};
use sac::agents::compute::bfloat16_instructions;

#[test]
fn a_precision_that_cannot_be_is_refused_before_anything_starts() {
    let here = folder();
    for (arguments, from) in [
        (
            &["train", "--env", "Pendulum-v1", "--matmul-precision", "med"][..],
            "--matmul-precision",
        ),
        (
            &["config", "--env", "Pendulum-v1", "--set", "train.matmul_precision=med"],
            "--set",
        ),
        (&["bench", "update", "--matmul-precision", "med"], "--matmul-precision"),
    ] {
        sac(here.path(), arguments)
            .code(2)
            .says(&["train.matmul_precision = \"med\"", "medium", "highest", from]);
    }
    // Nothing of these agents goes without autograd; or the processor cannot.
    let medium = [
        "--matmul-precision",
        "medium",
        "--set",
        "agent.encoder={kind='tokens',tokenization={kind='per_dimension'}}",
    ];
    let refused = |command: &[&str]| {
        let said = sac(here.path(), &[command, &medium].concat()).code(2);
        let missing = match bfloat16_instructions().is_some() {
            true => "no network of this agent is fused",
            false => "AVX512-BF16",
        };
        said.says(&["train.matmul_precision = \"medium\"", missing]);
    };
    refused(&["train", "--env", "Pendulum-v1"]);
    refused(&["bench", "update"]);
    // Of an agent that sees pixels, convolutions take nearly all of the time.
    let told = |algo: &str| {
        let mut arguments = vec![
            "train",
            "--env",
            "Pendulum-v1",
            "--algo",
            algo,
            "--matmul-precision",
            "medium",
        ];
        arguments.extend([
            "--threads",
            "1",
            "--steps",
            "10",
            "--set",
            "eval.every=never",
            "--run-dir",
            algo,
        ]);
        let said = sac(here.path(), &arguments);
        let _ = fs::remove_dir_all(here.path().join(algo));
        said.stderr
            .contains("warning: train.matmul_precision = \"medium\" gains next to nothing")
    };
    assert!(told("sac-pixels") && !told("sac"));
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn recorded_updates_without_a_gpu_or_of_what_is_annealed_are_refused() {
    let here = folder();
    let graphs = [
        "--env",
        "Pendulum-v1",
        "--device",
        "cpu",
        "--set",
        "train.cuda_graphs=true",
    ];
    let with = |command: &str, more: &[&str]| {
        let arguments = [&[command], &graphs[..], more].concat();
        sac(here.path(), &arguments)
    };
    with("train", &[])
        .code(2)
        .says(&["train.cuda_graphs = true", "this is for a GPU", "train.device"]);
    with("train", &["--seeds", "1,2"])
        .code(2)
        .says(&["--seeds with train.cuda_graphs"]);
    let moving = "agent.temperature.target_entropy={nats=0.0, falling_to=-1.0, over_grad_steps=100}";
    with("config", &["--set", moving])
        .code(2)
        .says(&["train.cuda_graphs = true", "agent.temperature.target_entropy changes"]);
    let falling = "agent.critic.optimizer.anneal={to=0.0, over_grad_steps=100}";
    with("config", &["--set", falling])
        .code(2)
        .says(&["train.cuda_graphs = true", "agent.critic.optimizer.anneal changes"]);
    // Another machine may be the one that trains.
    with("config", &[]).code(0);
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}
