//! What the commands print that neither train nor step.

use std::{fs, path::Path};

use crate::support::{Said, assert_has, folder, sac, train};

/// Commands and words that their help must explain.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "train",
            "eval",
            "rollout",
            "check",
            "envs",
            "algos",
            "config",
            "doctor",
            "bench",
            "Exit codes",
            "interrupted",
        ],
    ),
    (
        &["train"],
        &[
            "--env",
            "--algo",
            "--config",
            "--set",
            "--steps",
            "--seed",
            "--num-envs",
            "--device",
            "--threads",
            "--run-dir",
            "--resume",
            "--quiet",
            "--json",
        ],
    ),
    (
        &["eval"],
        &[
            "<RUN>",
            "--checkpoint",
            "--episodes",
            "--seed",
            "--stochastic",
            "--json",
        ],
    ),
    (
        &["rollout"],
        &["--env", "--seed", "--steps", "--actions", "--policy", "--out"],
    ),
    (
        &["sweep"],
        &[
            "<FILE>",
            "--out",
            "--jobs",
            "--dry-run",
            "--status",
            "--quiet",
            "--json",
        ],
    ),
    (
        &["report"],
        &[
            "--out",
            "--against",
            "--baseline",
            "--reference",
            "--min-max",
            "--title",
            "--skip-unfinished",
            "--skip-diverged",
            "--json",
        ],
    ),
    (
        &["runs"],
        &[
            "[PATH]",
            "--where",
            "--sort",
            "--reverse",
            "--diff",
            "--prune",
            "--yes",
            "--json",
        ],
    ),
    (&["envs"], &["[ID]", "--json"]),
    (&["algos"], &["[NAME]", "--json"]),
    (&["config"], &["--env", "--algo", "--set", "--json"]),
    (&["doctor"], &["--json"]),
    (&["bench"], &["update", "train", "env", "replay"]),
    (
        &["bench", "update"],
        &[
            "--obs-dim",
            "--act-dim",
            "--batch",
            "--hidden",
            "--set",
            "--threads",
            "--matmul-precision",
            "--json",
        ],
    ),
    (&["bench", "env"], &["--env", "--num-envs", "--threads", "--json"]),
    (
        &["bench", "train"],
        &["--env", "--algo", "--set", "--steps", "--threads", "--json"],
    ),
    (&["bench", "replay"], &["--capacity", "--sampler", "--batch", "--json"]),
];

#[test]
fn every_command_explains_itself() {
    let here = folder();
    for (command, words) in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let said = sac(here.path(), &arguments).ok();
        for word in *words {
            assert!(said.stdout.contains(word), "`{word}` is not explained: {said}");
        }
        assert_eq!(said.stderr, "", "help is data: {said}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let said = sac(folder().path(), &["--version"]).ok();
    assert_eq!(said.stdout, format!("sac {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn envs_lists_each_with_its_spaces_and_shows_the_page_of_one() {
    let here = folder();
    let said = sac(here.path(), &["envs"]).ok();
    let pendulum = said.stdout.lines().find(|line| line.starts_with("Pendulum-v1"));
    let pendulum = pendulum.unwrap_or_else(|| panic!("Pendulum-v1 is missing: {said}"));
    for word in ["Box[3]", "Box[1] in [-2, 2]", "200"] {
        assert!(pendulum.contains(word), "`{word}` is missing: {pendulum}");
    }
    let wide = said.stdout.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "the list fits a terminal of 80 columns");
    let summary = "    Swing the tip of two links above a line with a motor at the joint between\n    them\n";
    assert!(said.stdout.contains(summary), "{said}");
    let list = sac(here.path(), &["envs", "--json"]).ok().json();
    let ids: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["id"].as_str())
        .collect();
    assert!(
        ids.contains(&"MountainCarContinuous-v0") && ids.contains(&"ProbeConstant-v0"),
        "{ids:?}"
    );

    let page = sac(here.path(), &["envs", "Pendulum-v1"]).ok();
    for word in [
        "- observation: Box[3]",
        "- action: Box[1] in [-2, 2]",
        "Between -16.273604 and 0 per step",
        "| `time_limit` | `200` |",
        "| `g` | `10.0` |",
        "TimeLimit(200) > Checked > Pendulum-v1",
    ] {
        assert!(page.stdout.contains(word), "`{word}` is missing: {page}");
    }
    let entry = sac(here.path(), &["envs", "Pendulum-v1", "--json"]).ok().json();
    assert_has(
        &entry,
        &[
            "id",
            "family",
            "summary",
            "observation_space",
            "action_space",
            "time_limit",
            "reward_range",
            "options",
            "manual",
        ],
    );
    assert_eq!(entry["options"]["g"], 10.0);
    assert_eq!(entry["manual"]["observation"][2]["unit"], "rad/s");

    let page = sac(here.path(), &["envs", "ProbeQuadratic-v0", "--set", "k=3.0"]).ok();
    assert!(page.stdout.contains("Between -3 and 0 per step"), "{page}");
    let refused = sac(here.path(), &["envs", "ProbeQuadratic-v0", "--set", "kk=3.0"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("did you mean `k`?"), "{refused}");
}

#[test]
fn algos_lists_presets_and_prints_one_with_sources() {
    let here = folder();
    let said = sac(here.path(), &["algos"]).ok();
    assert!(said.stdout.starts_with("sac "), "{said}");
    let preset = sac(here.path(), &["algos", "sac"]).ok();
    assert!(preset.stdout.contains("gamma = 0.99"), "{preset}");
    assert!(
        preset.stdout.contains("# table 1"),
        "values have their sources: {preset}"
    );
    preset.stdout.parse::<toml::Table>().expect("the preset is TOML");
    let json = sac(here.path(), &["algos", "sac", "--json"]).ok().json();
    assert_eq!(json["agent"]["gamma"], 0.99);
}

#[test]
fn a_sampler_is_a_word_or_a_table_and_the_resolved_one_reads_back() {
    let here = folder();
    let config = |arguments: &[&str]| sac(here.path(), &[&["config"], arguments].concat());
    let on_pendulum = |sampler: &str, more: &[&str]| {
        let sampler = format!("replay.sampler={sampler}");
        config(&[&["--env", "Pendulum-v1", "--set", &sampler], more].concat())
    };
    let sampler = |said: Said| said.ok().json()["replay"]["sampler"].clone();
    assert_eq!(sampler(on_pendulum("{kind=\"uniform\"}", &["--json"])), "uniform");
    let given = "{kind=\"prioritized\", exponent=0.5}";
    let expected = sampler(on_pendulum(given, &["--json"]));
    assert_eq!(
        (&expected["kind"], &expected["exponent"]),
        (&"prioritized".into(), &0.5.into())
    );
    fs::write(here.path().join("resolved.toml"), on_pendulum(given, &[]).ok().stdout).expect("writable");
    assert_eq!(sampler(config(&["--config", "resolved.toml", "--json"])), expected);
    assert_eq!(
        sampler(config(&[
            "--config",
            "resolved.toml",
            "--set",
            "replay.sampler=uniform",
            "--json"
        ])),
        "uniform"
    );
    on_pendulum("{kind=\"prioritized\", exponnent=0.5, importance_exponent=3}", &[])
        .code(2)
        .says(&[
            "did you mean `exponent`?",
            "replay.sampler.importance_exponent = 3: expected between 0 and 1",
        ]);
}

#[test]
fn config_says_where_each_value_comes_from_and_reads_back_to_itself() {
    let here = folder();
    fs::write(
        here.path().join("mine.toml"),
        "[env]\nid = \"Pendulum-v1\"\n[train]\nbatch_size = 64\nseed = 4\n",
    )
    .expect("writable");
    let arguments = [
        "config",
        "--config",
        "mine.toml",
        "--set",
        "agent.gamma=0.98",
        "--set",
        "eval.every=never",
        "--seed",
        "9",
    ];
    let first = sac(here.path(), &arguments).ok();
    for (value, origin) in [
        ("batch_size = 64", "mine.toml"),
        ("gamma = 0.98", "--set"),
        ("seed = 9", "--seed"),
        ("warmup_env_steps = 1000", "preset sac"),
        ("target_entropy = -1.0", "preset sac"),
    ] {
        let line = first.stdout.lines().find(|line| line.starts_with(value));
        let line = line.unwrap_or_else(|| panic!("`{value}` is missing: {first}"));
        assert!(
            line.ends_with(&format!("# {origin}")),
            "`{line}` does not name {origin}"
        );
    }
    fs::write(here.path().join("resolved.toml"), &first.stdout).expect("writable");
    let resolved = |file: &str, more: &[&str]| {
        let mut arguments = vec!["config", "--json", "--config", file];
        arguments.extend_from_slice(more);
        sac(here.path(), &arguments).ok().json()
    };
    assert_eq!(
        resolved("mine.toml", &arguments[3..]),
        resolved("resolved.toml", &[]),
        "the printed configuration, fed back, is itself"
    );
}

#[test]
fn config_resolves_entropies_in_the_units_of_the_task_and_schedules_over_the_budget() {
    let here = folder();
    let entropy = |arguments: &str| {
        let arguments = arguments.split(' ');
        let arguments: Vec<&str> = ["config", "--config", "none"].into_iter().chain(arguments).collect();
        let printed = sac(here.path(), &arguments).ok().stdout;
        let (_, found) = printed.split_once("target_entropy").expect("a line");
        let (found, _) = found.split_once("\n[").expect("a table after it");
        found.to_string()
    };
    // Humanoid's box is ±0.4 in 17 dimensions, Pendulum's ±2.
    let set = "--set agent.temperature.target_entropy={per_action=-1.0,units='env'}";
    let humanoid = entropy(&format!("--env Humanoid-v5 {set}"));
    assert!(humanoid.contains(" = -1.42"), "{humanoid}");
    let paper = entropy("--env Pendulum-v1 --algo dsac-t-paper");
    assert!(paper.contains(" = -1.693"), "{paper}");
    // 0.5 of (5000 − 1000) updates.
    let half = entropy("--env CartPole-v1 --algo sac-discrete --steps 5000");
    assert!(half.contains("2000") && !half.contains("over_budget"), "{half}");
    let fixed =
        entropy("--env CartPole-v1 --algo sac-discrete --set agent.temperature.target_entropy={of_uniform=0.5}");
    assert!(
        fixed.contains(" = 0.346"),
        "one that does not fall replaces one that falls: {fixed}"
    );
}

#[test]
fn config_prints_what_the_parts_of_an_agent_cost() {
    let here = folder();
    let costs = |settings: &[&str]| -> Vec<(String, u64, u64)> {
        let mut arguments = vec!["config", "--env", "Pendulum-v1"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let printed = sac(here.path(), &arguments).ok().stdout;
        let table = printed
            .split("multiply-adds\n")
            .nth(1)
            .expect("a table at the end")
            .to_string();
        let row = |line: &str| {
            let mut words: Vec<&str> = line.trim_start_matches("# ").split_whitespace().collect();
            let multiply_adds = words.pop()?.parse().ok()?;
            let parameters = words.pop()?.parse().ok()?;
            Some((words.join(" "), parameters, multiply_adds))
        };
        table.lines().filter_map(row).collect()
    };
    // By hand: 3 numbers observed, 1 of an action, layers of 256, σ beside μ, two critics.
    let policy = (
        3 * 256 + 256 * 256 + 256 * 2,
        3 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2,
    );
    let critic = (
        2 * (4 * 256 + 256 * 256 + 256),
        2 * (4 * 256 + 256 + 256 * 256 + 256 + 256 + 1),
    );
    let row = |part: &str, (multiply_adds, parameters): (u64, u64)| (part.to_string(), parameters, multiply_adds);
    assert_eq!(
        costs(&[]),
        [
            row("policy encoder", (0, 0)),
            row("policy", policy),
            row("critic encoder", (0, 0)),
            row("critic", critic)
        ]
    );
    // Three tokens of 8 numbers; logits, dispatch and combine with two slots; two experts of 8 → 5 → 8; the mean.
    let encoder = "agent.encoder={kind='tokens', width=8, tokenization={kind='per_dimension'}, pooling={kind='mean'}, \
                   mixer={kind='soft_moe', experts=2, expert_width=5}}";
    let tokens = (3 * 8, 2 * 3 * 8);
    let mixer = (
        3 * (3 * 2 * 8) + 2 * (8 * 5 + 5 * 8),
        8 * 2 + 1 + 2 * (8 * 5 + 5 + 5 * 8 + 8),
    );
    let expected = row("critic encoder", (tokens.0 + mixer.0, tokens.1 + mixer.1));
    assert_eq!(costs(&[encoder])[2], expected);
    let json = sac(here.path(), &["config", "--env", "Pendulum-v1", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&json["costs"][1]["parameters"], &json["env"]["id"]),
        (&policy.1.into(), &"Pendulum-v1".into())
    );
    let shared = costs(&[encoder, "agent.encoder_sharing=critic"]);
    let parts: Vec<&str> = shared.iter().map(|(part, ..)| part.as_str()).collect();
    assert_eq!(
        (parts, &shared[1]),
        (vec!["policy", "critic encoder", "critic"], &expected)
    );
}

#[test]
fn set_can_name_the_environment_and_the_algorithm() {
    let here = folder();
    let by_set = sac(here.path(), &["config", "--set", "env.id=Pendulum-v1", "--json"])
        .ok()
        .json();
    let by_flag = sac(here.path(), &["config", "--env", "Pendulum-v1", "--json"])
        .ok()
        .json();
    assert_eq!(by_set, by_flag, "the shipped experiment applies either way");
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", "algo=sacc"])
        .code(2)
        .says(&["unknown algorithm `sacc`", "did you mean `sac`?"]);
}

#[test]
fn the_shipped_experiment_is_named_and_none_skips_it() {
    let here = folder();
    let steps = |more: &[&str]| {
        let mut arguments = vec!["config", "--env", "Pendulum-v1", "--json"];
        arguments.extend_from_slice(more);
        sac(here.path(), &arguments).ok().json()["train"]["total_env_steps"].clone()
    };
    assert_eq!(
        (steps(&[]), steps(&["--config", "none"])),
        (20_000.into(), 1_000_000.into())
    );
    let said = train(here.path(), "run", "60", &[]);
    let first = said.stderr.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        "training Pendulum-v1 with sac, configs/Pendulum-v1/sac.toml (--config none skips it)"
    );
    assert!(said.stderr.contains("Box[3]"), "the header shows the spaces: {said}");
}

#[test]
fn doctor_names_libtorch_and_a_fix_for_whatever_is_missing() {
    let here = folder();
    let report = sac(here.path(), &["doctor", "--json"]).ok().json();
    let findings = report["findings"].as_array().expect("findings");
    for what in ["libtorch", "MuJoCo", "CUDA", "threads", "SIMD", "bfloat16", "memory"] {
        let finding = findings.iter().find(|finding| finding["what"] == what);
        let finding = finding.unwrap_or_else(|| panic!("{what} is missing in {report}"));
        assert!(
            finding["found"].is_string() || finding["fix"].is_string(),
            "neither found nor a fix: {finding}"
        );
    }
    assert!(
        findings[0]["found"]
            .as_str()
            .is_some_and(|found| found.starts_with("2.11")),
        "{report}"
    );
    assert!(sac(here.path(), &["doctor"]).ok().stdout.contains("libtorch"));
}

#[test]
fn doctor_names_what_the_program_uses_from_any_folder() {
    let here = folder();
    let decoy = here.path().join(".native/mujoco/lib");
    fs::create_dir_all(&decoy).expect("writable");
    fs::write(decoy.join("libmujoco.so.3.17.0"), "").expect("writable");
    let found = |folder: &Path, what: &str| {
        let report = sac(folder, &["doctor", "--json"]).ok().json();
        let findings = report["findings"].as_array().expect("findings").clone();
        let finding = findings.into_iter().find(|finding| finding["what"] == what);
        let found = finding.and_then(|finding| Some(finding["found"].as_str()?.to_string()));
        found.unwrap_or_else(|| panic!("{what} was not found: {report}"))
    };
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (what, file) in [
        ("MuJoCo", "libmujoco.so.3.17.0"),
        ("models", "half_cheetah.xml"),
        ("robots", "fetch/reach.xml"),
        ("libtorch", ""),
    ] {
        let text = found(here.path(), what);
        assert_eq!(text, found(Path::new("/"), what), "{what}");
        assert_eq!(text, found(checkout, what), "{what}");
        let (_, path) = text.split_once(" at ").expect("says where");
        let path = if ["models", "robots"].contains(&what) {
            Path::new(path).join(file)
        } else {
            path.into()
        };
        assert!(
            path.is_absolute() && path.is_file() && !path.starts_with(&decoy),
            "{text}"
        );
        assert!(path.ends_with(file) || file.is_empty(), "{text}");
    }
}

#[test]
fn bench_update_reports_the_rate_the_floor_and_their_ratio() {
    let arguments = [
        "bench",
        "update",
        "--obs-dim",
        "5",
        "--act-dim",
        "2",
        "--batch",
        "8",
        "--set",
        "agent.body.hidden=[16,16]",
        "--threads",
        "1",
        "--seconds",
        "0.1",
        "--json",
    ];
    let report = sac(folder().path(), &arguments).ok().json();
    assert_eq!(report["hidden"], serde_json::json!([16, 16]));
    assert_has(
        &report,
        &[
            "updates_per_second",
            "gemm_floor_updates_per_second",
            "ratio",
            "threads",
            "batch",
            "obs_dim",
            "act_dim",
            "hidden",
        ],
    );
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
    let (rate, floor) = (number("updates_per_second"), number("gemm_floor_updates_per_second"));
    assert!(rate > 0.0 && floor > 0.0, "{report}");
    assert!((number("ratio") - rate / floor).abs() < 1e-9, "{report}");
    assert_eq!(
        (&report["threads"], &report["hidden"]),
        (&1.into(), &serde_json::json!([16, 16]))
    );
}

#[test]
fn bench_replay_reports_every_capacity() {
    for sampler in ["uniform", "prioritized"] {
        let arguments = [
            "bench",
            "replay",
            "--capacity",
            "100,1000",
            "--sampler",
            sampler,
            "--batch",
            "8",
            "--seconds",
            "0.1",
            "--json",
        ];
        let report = sac(folder().path(), &arguments).ok().json();
        let replays = report["replays"].as_array().expect("one object each");
        let capacities: Vec<_> = replays.iter().map(|replay| replay["capacity"].as_u64()).collect();
        assert_eq!(capacities, [Some(100), Some(1000)]);
        let figures = ["inserts_per_second", "batches_per_second", "seconds_between_updates"];
        for figure in replays.iter().flat_map(|replay| figures.map(|figure| &replay[figure])) {
            assert!(figure.as_f64().is_some_and(|figure| figure > 0.0), "{report}");
        }
        assert!(
            report["gemm_floor_updates_per_second"]
                .as_f64()
                .is_some_and(|rate| rate > 0.0),
            "{report}"
        );
    }
}

#[test]
fn bench_train_tells_what_the_loop_adds() {
    let arguments = [
        "bench",
        "train",
        "--env",
        "Pendulum-v1",
        "--threads",
        "1",
        "--steps",
        "200",
        "--set",
        "train.warmup_env_steps=100",
        "--set",
        "log.every={env_steps=50}",
        "--set",
        "train.batch_size=8",
        "--set",
        "agent.body.hidden=[16,16]",
        "--json",
    ];
    let here = folder();
    let report = sac(here.path(), &arguments).ok().json();
    let number = |key: &str| report[key].as_f64().expect("a number");
    assert!(
        number("updates_per_second") > 0.0 && number("overhead") > 0.0,
        "{report}"
    );
    let parts = report["overhead_parts"].as_object().expect("parts by name");
    let sum: f64 = parts.values().filter_map(serde_json::Value::as_f64).sum();
    assert!(parts.len() == 4 && sum > 0.0 && sum <= number("overhead"), "{report}");
    assert!(!here.path().join("runs").exists(), "nothing is left behind");

    // A row at 70, which is within the warm-up, and the last at 120.
    let too_few = arguments.map(|word| match word {
        "200" => "20",
        "log.every={env_steps=50}" => "log.every={env_steps=70}",
        word => word,
    });
    sac(here.path(), &too_few).code(2).says(&["--steps 20"]);
}

#[test]
fn bench_env_reports_steps_per_second() {
    let arguments = [
        "bench",
        "env",
        "--env",
        "Pendulum-v1",
        "--num-envs",
        "4",
        "--threads",
        "2",
        "--seconds",
        "0.1",
        "--json",
    ];
    let report = sac(folder().path(), &arguments).ok().json();
    assert!(
        report["env_steps_per_second"].as_f64().is_some_and(|rate| rate > 0.0),
        "{report}"
    );
    assert_eq!(
        (&report["env"], &report["num_envs"], &report["threads"]),
        (&"Pendulum-v1".into(), &4.into(), &2.into())
    );
}
