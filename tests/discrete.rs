//! The whole way of a run with discrete actions, through the binary.

use std::{fs, path::Path};

use crate::support::{SMALL, assert_same_checkpoint, folder, metrics, sac};

fn train(folder: &Path, algo: &str, run: &str, steps: &str) {
    let mut arguments = vec!["train", "--env", "CartPole-v1", "--algo", algo, "--config", "none"];
    arguments.extend(["--run-dir", run, "--steps", steps, "--quiet", "--num-envs", "2"]);
    // A run that ends has a last evaluation, whose score is remembered: without it both runs can be equal.
    arguments.extend(["--set", "eval.every=never"]);
    // The presets' schedule is half as long as the run, and the runs that are compared have been given different ends.
    arguments.extend([
        "--set",
        "agent.temperature.target_entropy={of_uniform=0.98, falling_to=0.3, over_grad_steps=100}",
    ]);
    arguments.extend(SMALL);
    sac(folder, &arguments).ok();
}

#[test]
fn discrete_actions_are_trained_resumed_scored_drawn_and_rolled_out() {
    for algo in ["sac-discrete", "sac-gumbel"] {
        let here = folder();
        let here = here.path();
        train(here, algo, "straight", "300");
        train(here, algo, "resumed", "180");
        sac(here, &["train", "--resume", "resumed", "--steps", "300", "--quiet"]).ok();
        assert_same_checkpoint(
            &here.join("straight/checkpoints/300"),
            &here.join("resumed/checkpoints/300"),
            algo,
        );

        let rows = metrics(&here.join("straight"));
        let entropies: Vec<f64> = rows.iter().filter_map(|row| row["train/entropy"].as_f64()).collect();
        let is_possible = |entropy: &f64| *entropy > 0.0 && *entropy <= 2.0f64.ln() + 1e-6;
        assert!(
            !entropies.is_empty() && entropies.iter().all(is_possible),
            "{algo}: {entropies:?}"
        );

        let scores = sac(here, &["eval", "straight", "--episodes", "3", "--json"])
            .ok()
            .json();
        assert_eq!(
            scores["mean_return"], scores["mean_length"],
            "reward 1 per step: {scores}"
        );
        sac(here, &["eval", "straight", "--episodes", "2", "--stochastic"]).ok();
        sac(here, &["play", "straight", "--out", "film.gif", "--every", "5"]).ok();
        assert!(fs::metadata(here.join("film.gif")).expect("written").len() > 1000);
        let said = sac(here, &["rollout", "--policy", "straight", "--steps", "20"]).ok();
        assert!(
            said.stdout.contains("\"action\":0") || said.stdout.contains("\"action\":1"),
            "{said}"
        );
        let bench = [
            "bench",
            "update",
            "--algo",
            algo,
            "--hidden",
            "16,16",
            "--batch",
            "16",
            "--seconds",
            "0.1",
            "--json",
        ];
        assert_eq!(sac(here, &bench).ok().json()["algo"], algo);
    }
}

#[test]
fn a_policy_that_does_not_fit_is_refused_with_the_algorithms_that_do() {
    let here = folder();
    let refused = |env: &str, algo: &[&str], words: &[&str]| {
        let arguments = [&["train", "--env", env], algo].concat();
        sac(here.path(), &arguments).code(2).says(words);
    };
    refused(
        "CartPole-v1",
        &[],
        &[
            "\"squashed_gaussian\"",
            "Discrete(2)",
            "--algo sac-discrete can act there, as can sac-discrete-paper, sac-gumbel",
        ],
    );
    for algo in ["sac-discrete", "sac-gumbel"] {
        refused(
            "Pendulum-v1",
            &["--algo", algo],
            &[
                "this is for discrete actions",
                "Box[1] in [-1, 1]",
                "--algo sac can act there, as can",
            ],
        );
    }
    refused(
        "CartPole-v1",
        &["--algo", "sac-discrete", "--set", "agent.critic={kind=\"dsac_t\"}"],
        &[
            "agent.critic.kind = \"dsac_t\"",
            "\"gumbel_softmax\"",
            "\"state_value\"",
        ],
    );
    refused(
        "CartPole-v1",
        &[
            "--algo",
            "sac-gumbel",
            "--set",
            "agent.policy.softmax_temperature=0",
            "--set",
            "agent.policy.anneal={to=-1.0, over_grad_steps=0, curve=\"linear\"}",
        ],
        &[
            "3 problems",
            "softmax_temperature",
            "anneal.to",
            "anneal.over_grad_steps",
        ],
    );
    assert!(
        crate::support::contents(here.path()).is_empty(),
        "nothing is left behind"
    );
}
