//! Three ways to the same step: straight; stopped, saved and taken up in a fresh trainer; and taken up without the
//! optimiser's moments. The first two must agree bit for bit, the third must not: it proves that the test can see.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sac_agents::{
    AgentSpec, Compute, Ending, EnvSteps, Every, MatmulPrecision, Parts, Replay, ReplaySpec, SaveTo, SoftActorCritic,
    Trainer, UpdateRatio,
    checkpoint::{self, Checkpoint, CheckpointStore, Section},
    compute::bfloat16_instructions,
    critic::{CriticSpec, DsacSpec, DsacTSpec, QuantileSpec, StateValueSpec},
    exploration::{ExplorationSpec, GsdeSpec, OptimisticSpec},
    log::Logger,
    nn::BodySpec,
    policy::{
        CategoricalSpec, FourierSpec, GumbelSpec, PolicySpec, SquashedGaussianSpec, StdSource,
        gumbel::{Curve, SoftmaxAnnealSpec},
    },
    temperature::{LearnedTemperatureSpec, Span, TargetEntropy, TemperatureSpec},
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::Registry;
use tch::Device;

const NUM_ENVS: usize = 3;

fn trainer(folder: &Path, seed: u64, env: &str) -> Trainer {
    trainer_with(folder, seed, env, PolicySpec::default(), CriticSpec::default())
}

fn trainer_with(folder: &Path, seed: u64, env: &str, policy: PolicySpec, critic: CriticSpec) -> Trainer {
    let spec = AgentSpec {
        policy,
        critic,
        ..AgentSpec::default()
    };
    trainer_of(folder, seed, env, spec)
}

fn trainer_of(folder: &Path, seed: u64, env: &str, spec: AgentSpec) -> Trainer {
    trainer_at(folder, seed, env, spec, MatmulPrecision::Highest)
}

fn trainer_at(folder: &Path, seed: u64, env: &str, spec: AgentSpec, precision: MatmulPrecision) -> Trainer {
    tch::set_num_threads(1);
    let registry = Registry::builtin();
    let make = |count, threads| {
        registry
            .make_vec(env, &toml::Table::new(), count, threads)
            .expect("a built-in id")
    };
    let (envs, eval_envs) = (make(NUM_ENVS, 1), make(2, 1));
    let spaces = (envs.observation_space(), envs.action_space());
    let spec = AgentSpec {
        body: BodySpec::mlp(&[16, 16]),
        ..spec
    };
    let compute = Compute {
        precision,
        ..Compute::default()
    };
    let agent = SoftActorCritic::new(&spec, "resume", spaces, seed, compute).expect("asked before");
    let replay_spec = ReplaySpec {
        capacity: 150,
        n_step: 3,
        soft_n_step: true,
        ..ReplaySpec::default()
    };
    let replay = Replay::new(&replay_spec, spaces, NUM_ENVS, spec.gamma, 32, Device::Cpu).expect("fits");
    let save_to = SaveTo {
        checkpoints: {
            std::fs::create_dir_all(folder).expect("writable");
            CheckpointStore::new(folder.join("checkpoints"), 10)
        },
        best: folder.join("best"),
        settings: Default::default(),
    };
    let parts = Parts {
        train: TrainSettings {
            seed,
            total_env_steps: 400,
            warmup_env_steps: 40,
            warmup_hold_env_steps: 4,
            updates_per_env_step: UpdateRatio(0.7),
            ..TrainSettings::default()
        },
        eval: EvalSettings {
            every: Every::EnvSteps(90),
            episodes: 2,
            seed: 5,
            ..EvalSettings::default()
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings {
            every: Every::EnvSteps(50),
        },
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: Some(save_to),
    };
    Trainer::new(parts).expect("resets")
}

fn run_to(trainer: &mut Trainer, env_steps: u64) {
    trainer
        .run_until(EnvSteps(env_steps), &AtomicBool::new(false))
        .expect("trains");
    trainer.save().expect("saved");
}

fn at(folder: &Path, env_steps: u64) -> Checkpoint {
    Checkpoint::read(&folder.join(format!("checkpoints/{env_steps}")), &[]).expect("a whole checkpoint")
}

/// Names of the files that differ.
fn differing(a: &Checkpoint, b: &Checkpoint) -> Vec<String> {
    assert!(a.manifest.files.keys().eq(b.manifest.files.keys()), "the same sections");
    let pairs = a.manifest.files.iter().zip(b.manifest.files.values());
    pairs
        .filter(|((_, a), b)| a != b)
        .map(|((name, _), _)| name.clone())
        .collect()
}

fn straight(folder: &Path, env: &str) -> Checkpoint {
    run_to(&mut trainer(folder, 11, env), 400);
    at(folder, 400)
}

#[test]
fn a_resumed_run_is_indistinguishable_from_one_that_never_stopped() {
    for env in ["Pendulum-v1", "MountainCarContinuous-v0", "ProbeNoisy-v0"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let expected = straight(&folder.path().join("straight"), env);
        // In the warm-up, with actions held; and while learning, with three-step windows open.
        for stop in [37, 201] {
            let path = folder.path().join(format!("resumed-{stop}"));
            run_to(&mut trainer(&path, 11, env), stop);
            let mut second = trainer(&path, 11, env);
            second.restore(&at(&path, stop)).expect("fits");
            run_to(&mut second, 400);
            assert_eq!(
                differing(&expected, &at(&path, 400)),
                Vec::<String>::new(),
                "{env}, stopped at {stop}"
            );
        }
    }
}

/// As several seeds are trained at once: each on whichever thread takes it.
#[test]
fn runs_side_by_side_on_threads_are_indistinguishable_from_runs_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str, seed: u64| folder.path().join(format!("{name}-{seed}"));
    let run = &|name: &str, seed: u64| {
        tch::set_num_threads(1);
        let ending = trainer(&path(name, seed), seed, "Pendulum-v1").run(&AtomicBool::new(false));
        assert_eq!(ending.expect("trains"), Ending::Finished);
    };
    const SEEDS: [u64; 3] = [11, 12, 13];
    SEEDS.into_iter().for_each(|seed| run("alone", seed));
    std::thread::scope(|scope| {
        for seed in SEEDS {
            scope.spawn(move || run("together", seed));
        }
    });
    for seed in SEEDS {
        let [alone, together] = ["alone", "together"].map(|name| path(name, seed));
        assert_eq!(
            differing(&at(&alone, 400), &at(&together, 400)),
            Vec::<String>::new(),
            "seed {seed}"
        );
    }
}

#[test]
fn the_clock_runs_in_training_only_and_an_interrupted_run_saves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut trainer = trainer(folder.path(), 11, "Pendulum-v1");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(trainer.seconds(), 0.0, "nothing was trained yet");
    let stop = AtomicBool::new(false);
    trainer.run_until(EnvSteps(60), &stop).expect("trains");
    assert!(trainer.seconds() > 0.0);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(trainer.run(&stop).expect("saves"), Ending::Interrupted);
    assert_eq!(trainer.env_steps(), EnvSteps(60));
    at(folder.path(), 60);
}

#[test]
fn every_critic_goes_on_where_it_stopped() {
    for critic in [
        CriticSpec::Dsac(DsacSpec::default()),
        CriticSpec::DsacT(DsacTSpec::default()),
        CriticSpec::Quantile(QuantileSpec::default()),
        CriticSpec::StateValue(StateValueSpec::default()),
    ] {
        goes_on_where_it_stopped(&PolicySpec::default(), &critic);
    }
}

#[test]
fn every_policy_goes_on_where_it_stopped() {
    let independent = SquashedGaussianSpec {
        std: StdSource::StateIndependent,
        ..SquashedGaussianSpec::default()
    };
    for policy in [
        PolicySpec::Fourier(FourierSpec::default()),
        PolicySpec::SquashedGaussian(independent),
    ] {
        goes_on_where_it_stopped(&policy, &CriticSpec::default());
    }
}

/// Each of three environments is stopped while it holds its noise.
#[test]
fn state_dependent_noise_goes_on_where_it_stopped() {
    let spec = AgentSpec {
        exploration: ExplorationSpec::Gsde(GsdeSpec {
            hold_env_steps: 9,
            ..GsdeSpec::default()
        }),
        ..AgentSpec::default()
    };
    resumes("gSDE", |path| trainer_of(path, 11, "Pendulum-v1", spec.clone()));
}

#[test]
fn a_second_policy_goes_on_where_it_stopped() {
    let spec = AgentSpec {
        exploration: ExplorationSpec::Optimistic(OptimisticSpec::default()),
        ..AgentSpec::default()
    };
    resumes("optimistic", |path| trainer_of(path, 11, "Pendulum-v1", spec.clone()));
}

fn goes_on_where_it_stopped(policy: &PolicySpec, critic: &CriticSpec) {
    resumes(&format!("{policy:?} {critic:?}"), |path| {
        trainer_with(path, 11, "Pendulum-v1", policy.clone(), critic.clone())
    });
}

/// What `start` makes in a folder is the same at step 200 whether it was stopped or not.
fn resumes(what: &str, start: impl Fn(&Path) -> Trainer) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |name: &str| start(&folder.path().join(name));
    run_to(&mut start("straight"), 200);
    // Before the first update, when nothing has been averaged yet; and after some.
    for stop in [37, 120] {
        let name = format!("resumed-{stop}");
        run_to(&mut start(&name), stop);
        let mut second = start(&name);
        second.restore(&at(&folder.path().join(&name), stop)).expect("fits");
        run_to(&mut second, 200);
        let (straight, resumed) = (folder.path().join("straight"), folder.path().join(&name));
        assert_eq!(
            differing(&at(&straight, 200), &at(&resumed, 200)),
            Vec::<String>::new(),
            "{what}, stopped at {stop}"
        );
    }
}

/// With a softmax temperature and a target entropy that still move where the run was stopped.
#[test]
fn discrete_actions_go_on_where_they_stopped() {
    let gumbel = GumbelSpec {
        softmax_temperature: 2.0,
        anneal: Some(SoftmaxAnnealSpec {
            to: 0.5,
            over_grad_steps: 90,
            curve: Curve::Exponential,
        }),
        ..GumbelSpec::default()
    };
    let temperature = TemperatureSpec::Learned(LearnedTemperatureSpec {
        target_entropy: TargetEntropy::Moving {
            of_uniform: true,
            from: 0.98,
            to: 0.3,
            over: Span::GradSteps(90),
        },
        ..LearnedTemperatureSpec::default()
    });
    let categorical = PolicySpec::Categorical(CategoricalSpec::default());
    for (env, policy) in [
        ("CartPole-v1", categorical.clone()),
        ("ProbePair-v0", categorical),
        ("CartPole-v1", PolicySpec::Gumbel(gumbel.clone())),
        ("ProbePair-v0", PolicySpec::Gumbel(gumbel)),
    ] {
        resumes(&format!("{env}, {policy:?}"), |path| {
            let spec = AgentSpec {
                policy: policy.clone(),
                temperature,
                ..AgentSpec::default()
            };
            trainer_of(path, 11, env, spec)
        });
    }
}

#[test]
fn products_in_bfloat16_go_on_where_they_stopped() {
    if bfloat16_instructions().is_none() {
        return eprintln!("this processor has no bfloat16");
    }
    let start = |path: &Path, precision| trainer_at(path, 11, "Pendulum-v1", AgentSpec::default(), precision);
    resumes("medium", |path| start(path, MatmulPrecision::Medium));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let end = |name: &str, precision| {
        let path = folder.path().join(name);
        run_to(&mut start(&path, precision), 200);
        at(&path, 200)
    };
    let medium = end("medium", MatmulPrecision::Medium);
    let highest = end("highest", MatmulPrecision::Highest);
    assert!(differing(&medium, &highest).contains(&"critic.safetensors".to_string()));
}

#[test]
fn a_pause_lets_all_environments_that_step_together_step() {
    let normalised = || AgentSpec {
        normalize_observations: true,
        ..AgentSpec::default()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |name: &str| trainer_of(&folder.path().join(name), 11, "Pendulum-v1", normalised());
    run_to(&mut start("straight"), 400);
    // After 200 a row is due, and after 270 an evaluation: there all runs stop.
    for (pause, stops) in [(38, 39), (199, 200), (211, 213), (270, 270)] {
        let name = format!("paused-{pause}");
        let mut first = start(&name);
        let stop = AtomicBool::new(false);
        first.run_with_pause(Some(EnvSteps(pause)), &stop).expect("trains");
        assert_eq!(first.env_steps(), EnvSteps(stops), "told to pause at {pause}");
        let mut second = start(&name);
        second.restore(&at(&folder.path().join(&name), stops)).expect("fits");
        run_to(&mut second, 400);
        let paths = ["straight", &name].map(|name| at(&folder.path().join(name), 400));
        assert_eq!(
            differing(&paths[0], &paths[1]),
            Vec::<String>::new(),
            "paused at {pause}"
        );
    }
}

#[test]
fn resume_without_moments_diverges() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let expected = straight(&folder.path().join("straight"), "Pendulum-v1");
    let path = folder.path().join("forgetful");
    let mut first = trainer(&path, 11, "Pendulum-v1");
    run_to(&mut first, 200);
    let checkpoint = at(&path, 200);
    let names = ["trainer", "envs", "replay", "agent", "policy", "critic", "temperature"];
    let originals: Vec<Section> = names
        .iter()
        .map(|name| checkpoint.section(name).expect("there"))
        .collect();
    let forgetful: Vec<Section> = originals
        .iter()
        .map(|original| {
            let mut copy = Section::new(original.name());
            copy.set_state(&original.state::<serde_json::Value>().expect("state"))
                .expect("state");
            for name in original.tensor_names() {
                let tensor = original.any_tensor(name).expect("listed");
                copy.put_tensor(
                    name,
                    &if name.contains("adam.") {
                        tensor.zeros_like()
                    } else {
                        tensor
                    },
                );
            }
            copy
        })
        .collect();
    let altered = folder.path().join("altered");
    checkpoint::write(&altered, EnvSteps(200), checkpoint.manifest.grad_steps, &forgetful).expect("written");
    let mut second = trainer(&path, 11, "Pendulum-v1");
    second
        .restore(&Checkpoint::read(&altered, &[]).expect("whole"))
        .expect("fits");
    run_to(&mut second, 400);
    let differences = differing(&expected, &at(&path, 400));
    assert!(
        differences.contains(&"policy.safetensors".to_string()),
        "only {differences:?} differ"
    );
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_do_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, seed| {
        let path = folder.path().join(name);
        run_to(&mut trainer(&path, seed, "Pendulum-v1"), 150);
        at(&path, 150)
    };
    let (first, twin, other) = (run("a", 1), run("b", 1), run("c", 2));
    assert_eq!(differing(&first, &twin), Vec::<String>::new());
    assert!(differing(&first, &other).contains(&"critic.safetensors".to_string()));
}

#[test]
fn a_checkpoint_of_another_shape_is_refused_by_section() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run");
    run_to(&mut trainer(&path, 1, "Pendulum-v1"), 60);
    let other = trainer(&folder.path().join("other"), 1, "MountainCarContinuous-v0").restore(&at(&path, 60));
    let message = other.expect_err("the observation has another width").to_string();
    assert!(
        message.contains("section `critic`") && message.contains("expected"),
        "{message}"
    );
}

#[test]
fn a_diverged_agent_is_never_saved() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run");
    let mut trainer = trainer(&path, 1, "Pendulum-v1");
    run_to(&mut trainer, 60);
    // A checkpoint whose policy holds a NaN stands for an update that went wrong.
    let checkpoint = at(&path, 60);
    let mut nan = Section::new("policy");
    let policy = checkpoint.section("policy").expect("there");
    for name in policy.tensor_names() {
        let tensor = policy.any_tensor(name).expect("listed");
        nan.put_tensor(
            name,
            &if name == "policy/body.0.bias" {
                tensor * f64::NAN
            } else {
                tensor
            },
        );
    }
    let names = ["trainer", "envs", "replay", "agent", "critic", "temperature"];
    let mut sections: Vec<Section> = names
        .iter()
        .map(|name| checkpoint.section(name).expect("there"))
        .collect();
    sections.push(nan);
    let altered = folder.path().join("altered");
    checkpoint::write(&altered, EnvSteps(60), checkpoint.manifest.grad_steps, &sections).expect("written");
    let error = trainer
        .restore(&Checkpoint::read(&altered, &[]).expect("whole"))
        .expect_err("it is not finite")
        .to_string();
    assert!(error.contains("a parameter is not finite"), "{error}");
    // It was refused after it was read, so this agent has diverged.
    let error = trainer
        .run(&AtomicBool::new(false))
        .expect_err("it diverged")
        .to_string();
    assert!(error.contains("is not finite at gradient step"), "{error}");
    assert_eq!(
        CheckpointStore::new(path.join("checkpoints"), 10).steps(),
        [EnvSteps(60)]
    );
}
