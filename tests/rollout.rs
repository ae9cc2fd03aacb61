//! `sac rollout`: the format of its lines, and Gymnasium's trajectories to the last bit.

use std::{fs, path::Path};

use crate::support::{folder, keys, sac, train};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Gymnasium's trajectories, made for the environments' own tests.
fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envs/tests/golden/classic/traces.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// What a list of numbers reads back to, as the `f32` that an agent gets.
fn bits(value: &Value) -> Vec<u32> {
    // A discrete action prints as a number, and stands in the golden file as a list of one.
    let numbers = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    numbers
        .iter()
        .map(|number| (number.as_f64().expect("a number") as f32).to_bits())
        .collect()
}

#[test]
fn rollout_prints_the_trajectory_of_gymnasium_to_the_last_bit() {
    let here = folder();
    let golden = golden();
    let limits = [("Pendulum-v1", 200), ("MountainCarContinuous-v0", 999)];
    let mut compared = 0;
    for case in golden["cases"].as_array().expect("cases") {
        let id = case["id"].as_str().expect("an id");
        let events = case["events"].as_array().expect("events");
        // Only the first episode where the golden file has a shorter time limit than the environment.
        let limit = limits.iter().find(|(known, _)| *known == id).map(|(_, limit)| *limit);
        let is_own_limit = case["time_limit"].as_u64() == limit;
        let first_end = events
            .iter()
            .skip(1)
            .position(|event| event.as_array().is_none_or(|event| event.len() == 1));
        let until = if is_own_limit {
            events.len()
        } else {
            first_end.map_or(events.len(), |end| end + 1)
        };
        let events = &events[..until];
        let actions: Vec<&Value> = events
            .iter()
            .filter(|event| event.as_array().is_some_and(|event| event.len() == 5))
            .map(|event| &event[1])
            .collect();
        fs::write(
            here.path().join("actions.json"),
            serde_json::to_string(&actions).expect("JSON"),
        )
        .expect("writable");
        let seed = case["seed"].to_string();
        let mut arguments = vec!["rollout", "--env", id, "--seed", &seed, "--actions", "actions.json"];
        let options: Vec<String> = case["options"]
            .as_object()
            .expect("options")
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        options.iter().for_each(|option| arguments.extend(["--set", option]));
        let printed = lines(&sac(here.path(), &arguments).ok().stdout);
        for (line, event) in printed.iter().zip(events) {
            let both = (bits(&line["obs"]), bits(&event[0]));
            assert_eq!(both.0, both.1, "{id}, seed {seed}, t = {}", line["t"]);
            if event.as_array().is_some_and(|event| event.len() == 5) {
                assert_eq!(bits(&line["action"]), bits(&event[1]), "{id}, t = {}", line["t"]);
                assert_eq!(line["reward"], event[2], "{id}, t = {}", line["t"]);
                assert_eq!(line["terminated"], event[3], "{id}, t = {}", line["t"]);
                if is_own_limit {
                    assert_eq!(line["truncated"], event[4], "{id}, t = {}", line["t"]);
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} steps were compared");
}

#[test]
fn rollout_writes_the_documented_lines_and_begins_again_after_an_end() {
    let here = folder();
    let said = sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--seed", "3", "--steps", "405"],
    )
    .ok();
    let lines = lines(&said.stdout);
    // One line per reset, one per step; no reset after the last step.
    assert_eq!(lines.len(), 405 + 3);
    let mut t = 0;
    for line in &lines {
        if line["t"] == 0 {
            assert_eq!(keys(line), ["t", "obs"]);
        } else {
            assert_eq!(keys(line), ["t", "action", "obs", "reward", "terminated", "truncated"]);
            assert_eq!(line["t"], t + 1);
            assert_eq!(
                (&line["terminated"], &line["truncated"]),
                (&false.into(), &(line["t"] == 200).into())
            );
        }
        t = line["t"].as_u64().expect("a count");
    }
    let resets: Vec<usize> = (0..lines.len()).filter(|i| lines[*i]["t"] == 0).collect();
    assert_eq!(resets, [0, 201, 402]);
    assert_ne!(lines[0]["obs"], lines[201]["obs"], "the second reset is not seeded");
    for line in &lines {
        for number in line["obs"].as_array().expect("a list") {
            let shortest = (number.as_f64().expect("a number") as f32).to_string();
            let printed: f32 = number.to_string().parse().expect("a number");
            assert_eq!(printed.to_string(), shortest, "an observation prints as an f32");
            assert!(
                number.to_string().len() <= 16,
                "{number} is not the shortest form of an f32"
            );
        }
    }
    let again = sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--seed", "3", "--steps", "405"],
    )
    .ok();
    assert_eq!(said.stdout, again.stdout, "the same seed prints the same bytes");

    sac(
        here.path(),
        &[
            "rollout",
            "--env",
            "Pendulum-v1",
            "--seed",
            "3",
            "--steps",
            "405",
            "--out",
            "out.jsonl",
        ],
    )
    .ok();
    assert_eq!(
        fs::read_to_string(here.path().join("out.jsonl")).expect("written"),
        said.stdout
    );
}

#[test]
fn rollout_takes_a_policy_which_acts_in_the_environments_units() {
    let here = folder();
    train(here.path(), "run", "150", &[]);
    let said = sac(
        here.path(),
        &["rollout", "--policy", "run", "--steps", "20", "--seed", "1"],
    )
    .ok();
    let with_policy = lines(&said.stdout);
    assert_eq!(with_policy.len(), 21);
    for line in &with_policy[1..] {
        let torque_nm = line["action"][0].as_f64().expect("a number");
        assert!(torque_nm.abs() <= 2.0, "{line}");
    }
    // Fed back, the actions give the same trajectory.
    let actions: Vec<&Value> = with_policy[1..].iter().map(|line| &line["action"]).collect();
    fs::write(
        here.path().join("a.json"),
        serde_json::to_string(&actions).expect("JSON"),
    )
    .expect("writable");
    let arguments = ["rollout", "--env", "Pendulum-v1", "--seed", "1", "--actions", "a.json"];
    assert_eq!(sac(here.path(), &arguments).ok().stdout, said.stdout);
}
