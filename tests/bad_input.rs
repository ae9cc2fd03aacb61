//! Everything that can be typed wrongly: a clear answer, the right exit code.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use crate::support::{Said, command, contents, folder, sac};

#[test]
fn an_unknown_environment_is_answered_with_the_nearest() {
    let here = folder();
    for arguments in [
        &["train", "--env", "Pendulum-v0"][..],
        &["rollout", "--env", "pendulum-v1"],
        &["envs", "Pendelum-v1"],
        &["config", "--env", "Pendulum"],
        &["bench", "env", "--env", "Pendulum-v9"],
    ] {
        sac(here.path(), arguments).code(2).says(&[
            "error: unknown environment `",
            "did you mean `Pendulum-v1`?",
            "hint: `sac envs`",
        ]);
    }
    sac(here.path(), &["train", "--env", "Chess-v0"])
        .code(2)
        .says(&["unknown environment `Chess-v0`\n"]);
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn an_unknown_algorithm_is_answered_with_the_nearest() {
    let here = folder();
    for arguments in [
        &["train", "--env", "Pendulum-v1", "--algo", "SAC2"][..],
        &["config", "--env", "Pendulum-v1", "--algo", "sacc"],
        &["algos", "saac"],
        &["bench", "update", "--algo", "sax"],
    ] {
        sac(here.path(), arguments)
            .code(2)
            .says(&["error: unknown algorithm `", "did you mean `sac`?", "`sac algos`"]);
    }
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn words_of_other_toolkits_are_answered_with_what_they_are_called_here() {
    let here = folder();
    for (flag, answer) in [
        ("--total-timesteps", "the env steps to train are --steps N"),
        ("--learning-rate", "--set agent.learning_rate=3e-4"),
        ("--wandb", "tensorboard --logdir runs"),
        ("--track", "tensorboard --logdir runs"),
        ("--buffer_size=5", "--set replay.capacity=N"),
    ] {
        let said = sac(here.path(), &["train", "--env", "Pendulum-v1", flag]).code(2);
        let said = said.says(&["error: unexpected argument '--", "tip: ", answer]);
        assert!(!said.stderr.contains("a similar argument exists"), "{said}");
    }
    sac(here.path(), &["train", "--banana"])
        .code(2)
        .says(&["unexpected argument '--banana' found\n"]);
    for (setting, answer) in [
        (
            "buffer_size=5",
            "buffer_size = 5: unknown key; here it is replay.capacity (--set)",
        ),
        (
            "train.learning_starts=3",
            "train.learning_starts = 3: unknown key; here it is train.warmup_env_steps (--set)",
        ),
        (
            "env.n_envs=3",
            "env.n_envs = 3: unknown key; here it is env.num_envs (--set)",
        ),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", setting])
            .code(2)
            .says(&[answer]);
    }
    for (algo, answer) in [
        ("ppo", "use `sac`, or `sac-discrete`"),
        ("td3", "`sac` serves the same tasks"),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--algo", algo])
            .code(2)
            .says(&[&format!("error: unknown algorithm `{algo}`: "), answer]);
    }
    for (env, answer) in [
        ("LunarLander-v3", "hint: tasks of Box2D are not here"),
        (
            "ALE/Pong-v5",
            "hint: Atari's games are not here; every task of `sac envs` can be learned from pixels",
        ),
    ] {
        sac(here.path(), &["train", "--env", env])
            .code(2)
            .says(&[&format!("error: unknown environment `{env}`\n"), answer]);
    }
    sac(
        here.path(),
        &["config", "--env", "ALE/Pong-v5", "--set", "agent.gamma=2"],
    )
    .code(2)
    .says(&[
        "2 problems",
        "unknown environment `ALE/Pong-v5`; Atari's games are not here",
    ]);
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn seeds_that_are_no_range_are_told_what_one_is() {
    let here = folder();
    for (seeds, answer) in [
        ("5-1", "the range ends before it begins; expected 1-5"),
        ("1-", "expected a seed such as 3, or a range such as 1-5"),
        ("0-5000", "the range holds 5001 seeds, expected at most 1024"),
        ("1-3,2", "2 is there twice"),
    ] {
        sac(here.path(), &["train", "--env", "Pendulum-v1", "--seeds", seeds])
            .code(2)
            .says(&[answer]);
    }
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn all_configuration_problems_come_at_once_each_with_key_value_reason_and_origin() {
    let here = folder();
    let file =
        "[train]\nbatch_sise = 64\nwarmup_env_steps = \"some\"\n[agent.critic]\nmembers = 0\n[agnet]\ngamma = 1\n";
    fs::write(here.path().join("mine.toml"), file).expect("writable");
    let arguments = [
        "train",
        "--env",
        "Pendulum-v9",
        "--config",
        "mine.toml",
        "--set",
        "agent.gamma=1.5",
        "--set",
        "agent.targets.kind=polyac",
        "--set",
        "eval.every=100",
        "--steps",
        "0",
        "--set",
        "agent.body.hidden=64",
    ];
    let said = sac(here.path(), &arguments).code(2).says(&[
        "10 problems in the configuration",
        "train.batch_sise = 64: unknown key; did you mean `batch_size`? (mine.toml)",
        "train.warmup_env_steps = \"some\": expected a whole number, at least 0 (mine.toml)",
        "agent.critic.members = 0: expected between 1 and 1000 (mine.toml)",
        "agnet = { gamma = 1 }: unknown key; did you mean `agent`? (mine.toml)",
        "agent.gamma = 1.5: expected between 0 and 1 (--set)",
        "agent.targets.kind = \"polyac\": unknown choice; did you mean `polyak`? (known: polyak, hard, none) (--set)",
        "eval.every = 100: expected \"never\" or { env_steps = N } with N at least 1 (--set)",
        "train.total_env_steps = 0: expected at least 1 (--steps)",
        "agent.body.hidden = 64: expected a list, such as [256, 256] (--set)",
        "env.id = \"Pendulum-v9\": unknown environment `Pendulum-v9`; did you mean `Pendulum-v1`? (--env)",
    ]);
    assert_eq!(said.stdout, "");
    assert!(!here.path().join("runs").exists(), "no run was begun");
}

#[test]
fn a_problem_within_a_part_of_the_agent_is_laid_to_the_key_that_has_it() {
    let here = folder();
    for (setting, answer) in [
        (
            "agent.critic.members=1.5",
            "agent.critic.members = 1.5: expected a whole number (--set)",
        ),
        (
            "agent.policy.optimizer.learning_rate=fast",
            "agent.policy.optimizer.learning_rate = \"fast\": expected a number (--set)",
        ),
        (
            "agent.policy.optimizer.lr=3e-4",
            "agent.policy.optimizer.lr = 0.0003: unknown key; known here: learning_rate, beta1, beta2, eps, weight_decay, max_gradient_norm, anneal (--set)",
        ),
        (
            "agent.policy.log_std_mi=3",
            "agent.policy.log_std_mi = 3: unknown key; did you mean `log_std_min`? (--set)",
        ),
        (
            "agent.temperature.alpha=2",
            "agent.temperature.alpha = 2: a learned temperature has no fixed value; use initial_alpha, or kind = \"fixed\" (--set)",
        ),
        (
            "agent.encoder.kind=cnn",
            "agent.encoder.kind = \"cnn\": unknown choice; known: flat, tokens, conv (--set)",
        ),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", setting])
            .code(2)
            .says(&["1 problem in the configuration", answer]);
    }
}

#[test]
fn an_encoder_that_does_not_fit_is_refused_with_what_would() {
    let here = folder();
    // EntityReach-v0 shows a set [9, 6], Pendulum-v1 a vector [3]; tokens have 64 numbers unless told otherwise.
    for (env, encoder, answers) in [
        (
            "EntityReach-v0",
            "{kind='tokens', tokenization={kind='per_dimension'}}",
            &[
                "agent.encoder.tokenization.kind = \"per_dimension\"",
                "a set of tokens, [9, 6]; use \"per_entity\"",
            ][..],
        ),
        (
            "Pendulum-v1",
            "{kind='tokens'}",
            &[
                "agent.encoder.tokenization.kind = \"per_entity\"",
                "use \"per_dimension\", \"chunks\"",
            ],
        ),
        (
            "EntityReach-v0",
            "{kind='conv'}",
            &[
                "agent.encoder.kind = \"conv\"",
                "applies to images",
                "use kind = \"flat\" or \"tokens\"",
            ],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='transformer', heads=3}}",
            &["agent.encoder.mixer.heads = 3", "the 64 numbers of a token; use 2 or 1"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', width=6, pooling={kind='adapool', heads=4}}",
            &["agent.encoder.pooling.heads = 4", "use 3 or 2 or 1"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', pooling={kind='adapool', query={index=9}}}",
            &[
                "agent.encoder.pooling.query = { index = 9 }",
                "the 9 tokens have the indices 0 to 8",
            ],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', pooling={kind='cls'}}",
            &[
                "agent.encoder.pooling.kind = \"cls\"",
                "\"transformer\" or \"soft_moe\"",
            ],
        ),
        (
            "Pendulum-v1",
            "{kind='tokens', tokenization={kind='chunks', count=8, hidden=30}}",
            &[
                "agent.encoder.tokenization.hidden = 30",
                "a multiple of count = 8, such as 32",
            ],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', width=0}",
            &["agent.encoder.width = 0", "between 1 and"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='mlp'}, pooling={kind='cls'}}",
            &["agent.encoder.pooling.kind = \"cls\"", "\"soft_moe\""],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='mlp', hidden=0}}",
            &["agent.encoder.mixer.hidden = 0", "between 1 and"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', position_embedding='sinusoidal'}",
            &["agent.encoder.position_embedding", "learned"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='soft_moe', expert_width=0}}",
            &["agent.encoder.mixer.expert_width = 0", "between 1 and"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='soft_moe', slots_per_expert=0}}",
            &["agent.encoder.mixer.slots_per_expert = 0"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', mixer={kind='soft_moe', logit_noise=-1}}",
            &["agent.encoder.mixer.logit_noise = -1"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', width=60000, mixer={kind='soft_moe', experts=1000, expert_width=60000}}",
            &["agent.encoder.kind = \"tokens\"", "parameters, more than 500000000"],
        ),
        (
            "EntityReach-v0",
            "{kind='flat', width=3}",
            &["agent.encoder.width = 3: unknown key"],
        ),
        (
            "EntityReach-v0",
            "{kind='tokens', pooling='mean'}",
            &["agent.encoder.pooling = \"mean\": expected a table with a kind"],
        ),
    ] {
        let setting = format!("agent.encoder={encoder}");
        let said = sac(here.path(), &["config", "--env", env, "--set", &setting]).code(2);
        said.says(&["1 problem in the configuration"]).says(answers);
    }
    let pixels = "env.wrappers=[{kind='pixels', width=20, height=30, grey=true}]";
    let conv = "agent.encoder={kind='conv'}";
    sac(
        here.path(),
        &["config", "--env", "Pendulum-v1", "--set", pixels, "--set", conv],
    )
    .code(2)
    .says(&[
        "agent.encoder.architecture = \"nature\"",
        "at least 36 x 36, but they are 30 x 20",
    ]);
}

#[test]
fn pixels_and_shifts_where_there_are_none_are_refused_with_what_would_do() {
    let here = folder();
    let refused = |arguments: &[&str], answers: &[&str]| {
        sac(here.path(), &[&["config"], arguments].concat())
            .code(2)
            .says(answers);
    };
    let pixels = "env.wrappers=[{kind='pixels', width=40, height=30}, {kind='frame_stack'}]";
    let shift = |more: &str| format!("agent.augmentation={{kind='random_shift'{more}}}");
    refused(
        &["--env", "Pendulum-v1", "--set", &shift("")],
        &[
            "agent.augmentation.kind = \"random_shift\": this moves images, and observations are Box[3]",
            "kind = \"none\"",
            "env.wrappers = [{ kind = \"pixels\" }, { kind = \"frame_stack\" }]",
        ],
    );
    for (more, answer) in [
        (
            ", pad=30",
            "agent.augmentation.pad = 30: this moves images by up to their own size, and they are 30 x 40; use at most 29, such as 1",
        ),
        (", pad=-1", "agent.augmentation.pad = -1: expected at least 0"),
        (
            ", target_draws=0",
            "agent.augmentation.target_draws = 0: expected between 1 and 64",
        ),
        (
            ", value_draws=0",
            "agent.augmentation.value_draws = 0: expected between 1 and 64",
        ),
        (
            ", draws=2",
            "agent.augmentation.draws = 2: unknown key; known here: pad, target_draws, value_draws",
        ),
    ] {
        refused(
            &["--env", "Pendulum-v1", "--set", pixels, "--set", &shift(more)],
            &[answer],
        );
    }
    refused(
        &["--env", "HalfCheetah-v5", "--algo", "sac-pixels"],
        &[
            "agent.encoder.kind = \"conv\"",
            "agent.augmentation.kind",
            "env.wrappers = [{ kind = \"pixels\" }",
        ],
    );
}

#[test]
fn an_environments_option_is_checked_like_any_key() {
    let here = folder();
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", "env.G=9.81"])
        .code(2)
        .says(&["env.G = 9.81: unknown option; expected one of g, time_limit, wrappers; did you mean `g`? (--set)"]);
    sac(
        here.path(),
        &["config", "--env", "Pendulum-v1", "--set", "env.num_env=3"],
    )
    .code(2)
    .says(&["env.num_env = 3", "did you mean `env.num_envs`?"]);
    sac(here.path(), &["rollout", "--env", "Pendulum-v1", "--set", "g=strong"])
        .code(2)
        .says(&["Pendulum-v1: option `g`"]);
}

#[test]
fn a_malformed_set_is_told_what_it_should_be() {
    let here = folder();
    for (assignment, answer) in [
        ("train.seed", "expected KEY=VALUE"),
        ("=3", "expected a dotted key before the ="),
        ("train..seed=3", "expected a dotted key before the ="),
        ("train.seed=[1", "the value is not TOML"),
        (
            "train.seed=two words",
            "the value is not TOML; text with spaces needs quotes",
        ),
        ("train=3", "train = 3"),
        ("train.seed=", "the value is not TOML"),
        ("agent. = 1", "expected a dotted key before the ="),
        ("train.seed=1\ntrain.batch_size=2", "expected one value"),
        (
            "agent.body.hidden=64,64",
            "a list needs brackets: agent.body.hidden=[64,64]",
        ),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", assignment])
            .code(2)
            .says(&[answer, "--set"]);
    }
}

#[test]
fn the_path_of_a_file_needs_no_quotes() {
    let here = folder();
    for path in ["/nowhere/x.xml", "./x.xml", "../a b/x.xml", "models/x.xml"] {
        let set = format!("env.xml_file={path}");
        let answer = format!("env.xml_file = \"{path}\": unknown option");
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", &set])
            .code(2)
            .says(&[&answer]);
    }
}

#[test]
fn a_list_where_a_table_belongs_is_refused_with_its_key() {
    let here = folder();
    fs::create_dir(here.path().join("run")).expect("writable");
    let lists = [
        ("agent.body", "[64, 64]"),
        ("agent.body", "[]"),
        ("agent.critic_body", "[64]"),
        ("train", "[{ a = 1 }]"),
        ("train", "[5000, 100]"),
        ("agent.critic.optimizer", "[0.1, 0.2]"),
        ("agent.critic", "[\"scalar\"]"),
        ("agent.delay", "[2, 2]"),
        ("agent", "[0.9]"),
        ("replay", "[100]"),
        ("checkpoint", "[]"),
        ("env", "[\"Pendulum-v1\"]"),
        ("env", "5"),
        ("train", "3"),
    ];
    for (number, (key, list)) in lists.into_iter().enumerate() {
        let answer = format!("{key} = {list}: expected a table");
        let set = format!("{key}={list}");
        let arguments = ["config", "--env", "Pendulum-v1", "--set", &set];
        sac(here.path(), &arguments).code(2).says(&["1 problem", &answer]);
        if number % 4 > 0 {
            continue;
        }
        // A later layer does not hide it.
        let later = [
            "--steps",
            "2000",
            "--set",
            "agent.body.hidden=[32]",
            "--set",
            "agent.gamma=0.9",
        ];
        sac(here.path(), &[&arguments[..], &later].concat())
            .code(2)
            .says(&[&answer]);
        let text = format!("{key} = {list}\n");
        fs::write(here.path().join("run/config.toml"), text).expect("writable");
        for arguments in [&["eval", "run"][..], &["train", "--resume", "run"]] {
            sac(here.path(), arguments).code(2).says(&[&answer, "config.toml"]);
        }
    }
}

#[test]
fn a_value_that_a_later_layer_replaces_is_checked_too() {
    let here = folder();
    let arguments = ["config", "--env", "Pendulum-v1", "--set", "train.seed=first"];
    for later in [&["--seed", "3"][..], &["--set", "train.seed=3"]] {
        sac(here.path(), &[&arguments[..], later].concat())
            .code(2)
            .says(&["1 problem", "train.seed = \"first\": expected a whole number"]);
    }
    let valid = ["config", "--env", "Pendulum-v1", "--set", "eval.every='never'"];
    sac(
        here.path(),
        &[&valid[..], &["--set", "eval.every={env_steps=50}"]].concat(),
    )
    .ok();
}

#[test]
fn keys_that_need_quotes_are_named_and_reading_ends() {
    let here = folder();
    fs::write(
        here.path().join("x.toml"),
        "[agent]\n\"a.b\" = 1\n\"\" = 2\n[\"train.x\"]\ny = 3\n",
    )
    .expect("writable");
    let said = sac(here.path(), &["config", "--env", "Pendulum-v1", "--config", "x.toml"]).code(2);
    said.says(&[
        "3 problems",
        "agent.\"a.b\" = 1: unknown key",
        "agent.\"\" = 2: unknown key",
        "\"train.x\" = { y = 3 }: unknown key",
        "(x.toml)",
    ]);
    fs::write(here.path().join("x.toml"), "agent. = 1\n").expect("writable");
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--config", "x.toml"])
        .code(2)
        .says(&["x.toml", "line 1"]);
    let deep = format!("train.seed={}", "[".repeat(100_000));
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", &deep])
        .code(2)
        .says(&["the value is not TOML"]);
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let here = folder();
    let said = sac(
        here.path(),
        &[
            "config",
            "--env",
            "Pendulum-v1",
            "--steps",
            "1e6",
            "--seed",
            "1_000",
            "--set",
            "train.batch_size=1e2",
            "--set",
            "agent.body.hidden=[64.0, 32]",
            "--set",
            "eval.every={env_steps=1e3}",
            "--set",
            "env.time_limit=1e2",
            "--set",
            "env.wrappers=[{kind='action_repeat', times=2.0}]",
            "--json",
        ],
    )
    .ok();
    let json = said.json();
    assert_eq!(json["train"]["total_env_steps"], 1_000_000);
    assert_eq!(json["train"]["seed"], 1000);
    assert_eq!(json["train"]["batch_size"], 100);
    assert_eq!(json["agent"]["body"]["hidden"], serde_json::json!([64, 32]));
    assert_eq!(json["eval"]["every"]["env_steps"], 1000);
    for (flag, text) in [
        ("--steps", "1.5"),
        ("--steps", "1e30"),
        ("--seed", "nan"),
        ("--num-envs", "x"),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", flag, text])
            .code(2)
            .says(&[flag, text, "expected a whole number"]);
    }
    sac(
        here.path(),
        &["config", "--env", "Pendulum-v1", "--set", "train.batch_size=1.5"],
    )
    .code(2)
    .says(&["train.batch_size = 1.5: expected a whole number, at least 0"]);
}

#[test]
fn numbers_that_are_not_finite_are_refused_unless_they_mean_something() {
    let here = folder();
    for set in [
        "env.g=nan",
        "env.g=inf",
        "env.g=-inf",
        "env.wrappers=[{kind='action_noise', std=nan}]",
        "agent.gamma=nan",
        "agent.temperature.target_entropy=inf",
        "train.updates_per_env_step=inf",
        "agent.critic.optimizer.eps=nan",
    ] {
        let (key, _) = set.split_once('=').expect("KEY=VALUE");
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", set])
            .code(2)
            .says(&["1 problem", key, "(--set)"]);
    }
    sac(here.path(), &["rollout", "--env", "Pendulum-v1", "--set", "g=nan"])
        .code(2)
        .says(&["env.g = nan: expected a number (--set)"]);
    let infinite = ["--algo", "dsac-t", "--set", "agent.critic.huber_delta=inf"];
    sac(
        here.path(),
        &[&["config", "--env", "Pendulum-v1"][..], &infinite].concat(),
    )
    .ok();
}

#[test]
fn all_problems_of_an_environment_come_at_once_in_plain_words() {
    let here = folder();
    let set =
        "env={g='heavy', G=1, time_limit=0, wrappers=[{kind='frame_stack', frames=0}, {kind='action_noise', std='x'}]}";
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", set])
        .code(2)
        .says(&[
            "5 problems",
            "env.g = \"heavy\": expected a number (--set)",
            "env.G = 1: unknown option; expected one of g, time_limit, wrappers",
            "env.time_limit = 0: expected a whole number of at least 1",
            "env.wrappers[0].frames = 0: expected a whole number, at least 1 (--set)",
            "env.wrappers[1].std = \"x\": expected a number (--set)",
        ]);
}

#[test]
fn sizes_that_only_end_in_numbers_that_are_not_finite_are_refused_with_their_key() {
    let here = folder();
    for (key, value) in [
        ("agent.temperature", "{kind='fixed', alpha=2e29}"),
        ("agent.temperature.initial_alpha", "2e29"),
        ("agent.temperature.target_entropy", "-1e30"),
        ("agent.critic.optimizer.learning_rate", "1e30"),
        ("agent.critic.optimizer.eps", "1e-300"),
        ("agent.policy.log_std_max", "1e30"),
        ("agent.policy.log_std_min", "-1e30"),
    ] {
        let set = format!("{key}={value}");
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", &set])
            .code(2)
            .says(&["1 problem", key, "(--set)"]);
    }
}

#[test]
fn an_entropy_that_no_policy_can_have_is_refused_with_the_reason() {
    let here = folder();
    let key = "agent.temperature.target_entropy";
    let entropy = |env: &str, algo: &str, value: &str| {
        let set = format!("{key}={value}");
        sac(here.path(), &["config", "--env", env, "--algo", algo, "--set", &set])
    };
    for value in ["5", "0.7", "{nats=0.0, falling_to=1.0, over_grad_steps=9}"] {
        entropy("Pendulum-v1", "sac", value).code(2).says(&[
            key,
            "no policy can have",
            "the highest, 0.693 nats",
            "would grow",
        ]);
    }
    // Pendulum's torque is within ±2: the uniform density there has an entropy of ln 4.
    entropy("Pendulum-v1", "sac", "{per_action=1.4, units='env'}")
        .code(2)
        .says(&[key, "no policy can have", "the highest, 0.693 nats"]);
    entropy("CartPole-v1", "sac-discrete", "{per_action=-1.0, units='env'}")
        .code(2)
        .says(&[key, "this applies to boxes"]);
    entropy(
        "CartPole-v1",
        "sac-discrete",
        "{of_uniform=0.9, falling_to=0.1, over_budget=1.5}",
    )
    .code(2)
    .says(&[key, "a share of the budget above 0 and at most 1"]);
    entropy("CartPole-v1", "sac-discrete", "5")
        .code(2)
        .says(&[key, "the highest, 0.693 nats (the logarithm of the number of actions)"]);
    entropy("CartPole-v1", "sac-discrete", "-1")
        .code(2)
        .says(&[key, "between 0 and 0.693 nats", "would shrink"]);
    for (env, algo, value) in [
        ("Pendulum-v1", "sac", "0.6931"),
        ("Pendulum-v1", "sac", "-20"),
        ("Pendulum-v1", "sac", "{per_action=1.38, units='env'}"),
        ("CartPole-v1", "sac-discrete", "0.5"),
        ("CartPole-v1", "sac-discrete", "{of_uniform=1.0}"),
    ] {
        entropy(env, algo, value).ok();
    }
}

#[test]
fn networks_that_cannot_fit_are_refused_with_their_size() {
    let here = folder();
    let wide = format!("{:?}", [65_536; 20]);
    for (set, key) in [
        (format!("agent.body.hidden={wide}"), "agent.body.hidden"),
        (
            format!("agent.critic_body={{hidden={wide}}}"),
            "agent.critic_body.hidden",
        ),
        (
            "agent.critic={kind='quantile', members=1000, quantiles=1000}".to_string(),
            "agent.body.hidden",
        ),
    ] {
        let set = set.as_str();
        for command in [
            &["config", "--env", "Pendulum-v1", "--set", set][..],
            &["train", "--env", "Pendulum-v1", "--run-dir", "run", "--set", set],
        ] {
            let body = ["--set", "agent.body.hidden=[20000,20000]"];
            let more = if set.contains("quantile") { &body[..] } else { &[] };
            sac(here.path(), &[command, more].concat()).code(2).says(&[
                "error: networks need ",
                " MiB with their gradients",
                "MiB are available; lower ",
                key,
            ]);
            assert!(!here.path().join("run").exists(), "no half-made run is left");
        }
    }
    sac(
        here.path(),
        &[
            "config",
            "--env",
            "Pendulum-v1",
            "--set",
            &format!("agent.body.hidden={:?}", [8; 65]),
        ],
    )
    .code(2)
    .says(&["agent.body.hidden", "at most 64 layers"]);
}

#[test]
fn a_run_that_ends_in_its_warm_up_is_warned_of() {
    let here = folder();
    let config = |steps: &str| sac(here.path(), &["config", "--env", "Pendulum-v1", "--steps", steps]).ok();
    config("1000").says(&["warning: nothing is learned", "train.warmup_env_steps = 1000"]);
    assert_eq!(config("1001").stderr, "");
}

#[test]
fn a_config_file_that_is_missing_or_no_toml_is_named() {
    let here = folder();
    sac(here.path(), &["train", "--config", "nowhere.toml"])
        .code(2)
        .says(&["cannot read nowhere.toml"]);
    fs::write(here.path().join("bad.toml"), "[train\nseed = 1\n").expect("writable");
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--config", "bad.toml"])
        .code(2)
        .says(&["bad.toml", "line 1"]);
    sac(here.path(), &["config"]).code(2).says(&["env.id", "use --env ID"]);
}

#[test]
fn soft_returns_of_one_step_are_refused() {
    let here = folder();
    let soft = ["--set", "replay.soft_n_step=true"];
    sac(here.path(), &[&["config", "--env", "Pendulum-v1"][..], &soft].concat())
        .code(2)
        .says(&["replay.n_step = 1: expected at least 2 with replay.soft_n_step"]);
}

#[test]
fn numbers_beyond_all_reason_are_refused_before_anything_is_allocated() {
    let here = folder();
    for (key, value) in [
        ("train.batch_size", "9999999999999"),
        ("eval.episodes", "9999999999999"),
        ("train.threads", "99999999999"),
        ("env.num_envs", "9999999999"),
        ("env.step_threads", "9999999"),
        ("replay.n_step", "9999999999999"),
        ("train.updates_per_env_step", "1e300"),
    ] {
        let set = format!("{key}={value}");
        sac(
            here.path(),
            &["train", "--env", "Pendulum-v1", "--run-dir", "run", "--set", &set],
        )
        .code(2)
        .says(&[key]);
        assert!(!here.path().join("run").exists(), "{key}: no run was begun");
    }
    for arguments in [
        &["train", "--env", "Pendulum-v1", "--seed", "18446744073709551615"][..],
        &["eval", "run", "--episodes", "18446744073709551615"],
        &["eval", "run", "--episodes", "0"],
        &["bench", "env", "--env", "Pendulum-v1", "--seconds", "nan"],
        &["bench", "update", "--hidden", "0"],
        &["bench", "replay", "--capacity", "0"],
    ] {
        let flag = arguments[arguments.len() - 2];
        sac(here.path(), arguments).code(2).says(&[flag]);
    }
    sac(here.path(), &["bench", "update", "--set", "agent.critic.wings=2"])
        .code(2)
        .says(&["agent.critic.wings"]);
    sac(here.path(), &["bench", "update", "--set", "agent.critic.members=0"])
        .code(2)
        .says(&["agent.critic.members", "0"]);
}

#[test]
fn a_replay_that_cannot_fit_is_refused_with_its_size() {
    let here = folder();
    // 36 bytes each: three numbers before, three after, one action, reward and discount.
    let arguments = [
        "train",
        "--env",
        "Pendulum-v1",
        "--run-dir",
        "run",
        "--set",
        "replay.capacity=1_000_000_000_000",
    ];
    sac(here.path(), &arguments).code(2).says(&[
        "error: replay of 1000000000000 transitions needs 34332276 MiB, but",
        "MiB are available; lower replay.capacity",
    ]);
    assert!(!here.path().join("run").exists(), "no half-made run is left");
}

#[test]
fn malformed_actions_are_named_by_their_place() {
    let here = folder();
    for (text, answer) in [
        ("{\"a\": 1}", "expected a JSON array of actions"),
        (
            "[[0.1], [0.2, 0.3]]",
            "action 1 is [0.2,0.3], expected 1 finite number(s) for Box[1] in [-2, 2]",
        ),
        ("[[0.1], [\"x\"]]", "action 1 is [\"x\"]"),
        ("[0.5, null]", "action 1 is null"),
        ("[[1e300]]", "action 0 is [1e+300]"),
        ("[[0.1]", "expected a JSON array of actions"),
        ("", "expected a JSON array of actions"),
    ] {
        fs::write(here.path().join("a.json"), text).expect("writable");
        let said = sac(here.path(), &["rollout", "--env", "Pendulum-v1", "--actions", "a.json"]);
        let said = said.code(2).says(&["error: a.json: ", answer]);
        assert_eq!(
            said.stdout, "",
            "nothing is printed before the actions are read: {said}"
        );
    }
    sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--actions", "nowhere.json"],
    )
    .code(2)
    .says(&["cannot read nowhere.json"]);
    sac(here.path(), &["rollout"]).code(2).says(&["--env"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let here = folder();
    for arguments in [
        &["rollout", "--env", "Pendulum-v1", "--steps", "200000"][..],
        &["envs", "Pendulum-v1"],
        &["config", "--env", "Pendulum-v1"],
        &["train", "--help"],
    ] {
        let mut command = command(here.path(), arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        drop(stdout);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut stderr)
            .expect("text");
        let status = child.wait().expect("ends");
        assert_eq!(
            (status.code(), stderr.as_str()),
            (Some(0), ""),
            "{arguments:?} | head -1"
        );
        assert!(!line.is_empty(), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_cannot_be_written_is_an_error() {
    let here = folder();
    for arguments in [&["envs"][..], &["rollout", "--env", "Pendulum-v1", "--steps", "3"]] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let output = command(here.path(), arguments).stdout(full).output().expect("starts");
        Said::from_output(output, format!("{arguments:?} > /dev/full"))
            .code(1)
            .says(&["error: stdout: No space left"]);
    }
}

#[test]
fn a_flag_that_does_not_exist_is_answered_with_one_that_does() {
    let here = folder();
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--stepz", "5"])
        .code(2)
        .says(&["--stepz", "--steps"]);
    sac(here.path(), &["trian"]).code(2).says(&["trian", "train"]);
    sac(here.path(), &["train", "--resume", "run", "--seed", "3"])
        .code(2)
        .says(&["--resume", "--seed"]);
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--device", "tpu"])
        .code(2)
        .says(&["train.device", "\"cuda:N\""]);
}
