//! What a run shows of its networks at evaluations: the same after a resume, and at no cost to what it learns.

use std::{fs, path::Path};

use crate::support::{folder, sac, timeless, train};
use serde_json::Value;

const RUN: &[&str] = &[
    "--env",
    "EntityReach-v0",
    "--set",
    "agent.encoder={kind=\"tokens\", width=8, mixer={kind=\"soft_moe\", experts=2, expert_width=8}}",
    "--set",
    "eval.every={env_steps=50}",
    "--set",
    "log.every={env_steps=50}",
    "--set",
    "checkpoint.every={env_steps=100}",
];

fn run(here: &Path, name: &str, steps: &str, more: &[&str]) {
    let mut arguments = vec!["train", "--run-dir", name, "--steps", steps];
    arguments.extend_from_slice(crate::support::SMALL);
    arguments.extend_from_slice(RUN);
    arguments.extend_from_slice(more);
    sac(here, &arguments).ok();
}

/// `eval.csv` without its column of wall time.
fn scores(run: &Path) -> Vec<String> {
    let csv = fs::read_to_string(run.join("eval.csv")).expect("there");
    let without_time = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [&cells[..2], &cells[3..]].concat().join(",")
    };
    csv.lines().map(without_time).collect()
}

#[test]
fn a_run_with_a_mixture_and_attention_writes_what_they_show() {
    let here = folder();
    run(here.path(), "run", "100", &[]);
    let rows = timeless(&here.path().join("run"));
    let evaluations: Vec<&Value> = rows.iter().filter(|row| !row["eval/mean_reward"].is_null()).collect();
    assert_eq!(evaluations.len(), 2);
    for row in evaluations {
        for encoder in ["policy_encoder", "critic_encoder"] {
            let get = |what: &str| {
                let value = row[format!("{encoder}/{what}")].as_f64();
                value.unwrap_or_else(|| panic!("{encoder}/{what} is missing: {row}"))
            };
            let shares = get("expert_0_combine_share") + get("expert_1_combine_share");
            assert!((shares - 1.0).abs() < 1e-5, "{shares}");
            let nine_tokens = 9f64.ln() + 1e-5;
            assert!((0.0..=nine_tokens).contains(&get("attention_entropy")));
            assert!((0.0..=nine_tokens).contains(&get("dispatch_entropy")));
            assert!((1.0..=8.0).contains(&get("srank")), "eight features");
            assert!((0.0..=1.0).contains(&get("dormant_share")));
        }
    }
}

#[test]
fn a_resumed_run_shows_what_it_would_have_shown() {
    let here = folder();
    run(here.path(), "straight", "200", &[]);
    run(here.path(), "stopped", "100", &[]);
    sac(here.path(), &["train", "--resume", "stopped", "--steps", "200"]).ok();
    let (straight, resumed) = (here.path().join("straight"), here.path().join("stopped"));
    assert_eq!(timeless(&resumed), timeless(&straight));
    assert_eq!(scores(&resumed), scores(&straight));
}

#[test]
fn looking_takes_no_part_in_learning_and_can_be_switched_off() {
    let here = folder();
    run(here.path(), "on", "200", &[]);
    run(here.path(), "off", "200", &["--set", "eval.inspect=false"]);
    let (on, off) = (here.path().join("on"), here.path().join("off"));
    assert_eq!(scores(&on), scores(&off));
    let without = |rows: Vec<Value>| -> Vec<Value> {
        let strip = |mut row: Value| {
            let columns = row.as_object_mut().expect("an object");
            columns.retain(|tag, _| !["policy", "critic"].iter().any(|part| tag.starts_with(part)));
            row
        };
        rows.into_iter().map(strip).collect()
    };
    assert_ne!(timeless(&on), timeless(&off));
    assert_eq!(
        without(timeless(&on)),
        timeless(&off),
        "off shows nothing, and else they are equal"
    );
    let parameters = |run: &Path| fs::read(run.join("checkpoints/200/critic.safetensors")).expect("there");
    assert_eq!(parameters(&on), parameters(&off));
}

#[test]
fn the_default_agent_shows_its_bodies() {
    let here = folder();
    train(here.path(), "run", "100", &[]);
    let rows = timeless(&here.path().join("run"));
    let row = rows.last().expect("a row");
    for part in ["policy", "critic"] {
        for (what, most) in [("dormant_share", 1.0), ("srank", 16.0), ("effective_rank", 16.0)] {
            let value = row[format!("{part}/{what}")].as_f64().expect("a number");
            assert!((0.0..=most).contains(&value), "{part}/{what} = {value}");
        }
    }
}

#[test]
fn a_critic_that_cannot_hold_its_targets_is_named_once_with_their_range() {
    let here = folder();
    let critic = "agent.critic={kind='categorical', min=-1.0, max=1.0}";
    let said = train(
        here.path(),
        "run",
        "120",
        &["--set", critic, "--set", "log.every={env_steps=20}"],
    );
    let told = "of the targets lie outside of the critic's support";
    assert_eq!(said.stderr.matches(told).count(), 1, "{said}");
    said.says(&["agent.critic.min", "agent.critic.max", "agent.reward_scaling"]);

    let wide = "agent.critic={kind='categorical', min=-2000.0, max=2000.0}";
    let said = train(here.path(), "wide", "120", &["--set", wide]);
    assert!(!said.stderr.contains(told), "{said}");
}
