//! Replicates whose updates are made together, against each alone.

#[path = "support/small.rs"]
mod small;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, Ending, EnvSteps, Every, GradSteps, Lockstep, Parts, Plan, Replay, ReplaySpec,
    SoftActorCritic, Stack, Trainer, UpdateRatio,
    critic::{Combination, CriticSpec, ScalarSpec, scalar::TargetMembers},
    log::Logger,
    nn::{Activation, AutogradOnly},
    noise::Stream,
    process,
    temperature::{FixedTemperatureSpec, TemperatureSpec},
};
use sac_envs::Registry;
use tch::{Device, Tensor};

use small::{agent, tensors};

const UPDATES: usize = 30;
const ROWS: i64 = 12;
const SEEDS: [u64; 3] = [5, 1, 9];

fn spec(preset: &str) -> AgentSpec {
    small::spec(preset, [16, 12])
}

fn batch(data: &mut Stream, weighted: bool) -> Batch {
    small::batch(data, ROWS, weighted)
}

/// An agent, what it reads, and what it reported.
struct Learner {
    agent: SoftActorCritic,
    data: Stream,
    noise: Stream,
    reports: Vec<Vec<(&'static str, f64)>>,
    errors: Vec<Option<Tensor>>,
}

impl Learner {
    fn new(spec: &AgentSpec, seed: u64) -> Self {
        Learner {
            agent: agent(spec, seed),
            data: Stream::derive(seed, "data", 0),
            noise: Stream::derive(seed, "update", 0),
            reports: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn alone(&mut self, updates: usize, weighted: bool) {
        for _ in 0..updates {
            self.agent.observe(&[0.3, -0.2, 0.5, 2.0]);
            let report = self.agent.update(&batch(&mut self.data, weighted), &mut self.noise);
            self.reports.push(report.read());
            self.errors.push(report.td_error);
        }
    }

    /// The same, with all numbers that a policy gives for an observation.
    fn assert_equals(&mut self, alone: &mut Learner, what: &str) {
        for ((name, found), (_, expected)) in tensors(&self.agent).iter().zip(tensors(&alone.agent)) {
            assert_eq!(*found, expected, "{what}: {name}");
        }
        assert_eq!(self.reports, alone.reports, "{what}");
        assert_eq!(self.errors, alone.errors, "{what}");
        assert_eq!(self.noise.position(), alone.noise.position(), "{what}");
        let act = |learner: &mut Learner| {
            let mut actions = [0.0; 4];
            let obs = [0.1, 0.2, 0.3, 0.4, -1.0, 2.0, -3.0, 4.0];
            let noise = &mut Stream::derive(7, "explore", 0);
            learner.agent.act(&obs, ActMode::Explore, noise, &mut actions);
            actions
        };
        assert_eq!(act(self), act(alone), "{what}");
    }
}

fn stack(spec: &AgentSpec, learners: &mut [Learner]) -> Stack {
    Stack::check(spec).expect("it can be stacked");
    let mut agents: Vec<&mut SoftActorCritic> = learners.iter_mut().map(|learner| &mut learner.agent).collect();
    Stack::new(agent(spec, 0), &mut agents)
}

fn together(stack: &mut Stack, learners: &mut [Learner], updates: usize, weighted: bool) {
    for _ in 0..updates {
        let batches: Vec<Batch> = learners
            .iter_mut()
            .map(|learner| batch(&mut learner.data, weighted))
            .collect();
        let (mut agents, mut noises): (Vec<_>, Vec<_>) = learners
            .iter_mut()
            .map(|learner| {
                learner.agent.observe(&[0.3, -0.2, 0.5, 2.0]);
                (&mut learner.agent, &mut learner.noise)
            })
            .unzip();
        let reports = stack.update(&mut agents, &batches, &mut noises);
        for (learner, report) in learners.iter_mut().zip(reports) {
            learner.reports.push(report.read());
            learner.errors.push(report.td_error);
        }
    }
}

/// What can be stacked, with everything that an update can do differently.
fn specs() -> Vec<(&'static str, AgentSpec)> {
    let mut delayed = spec("sac");
    delayed.delay.policy = 2;
    delayed.delay.targets = 3;
    delayed.normalize_observations = true;
    let mut fixed = spec("sac");
    fixed.temperature = TemperatureSpec::Fixed(FixedTemperatureSpec { alpha: 0.2 });
    fixed.critic = CriticSpec::Scalar(ScalarSpec {
        members: 3,
        actor_value: Combination::Mean,
        ..ScalarSpec::default()
    });
    let mut smooth = spec("sac");
    smooth.body.activation = Activation::Silu;
    let mut huber = spec("dsac-t");
    if let CriticSpec::DsacT(critic) = &mut huber.critic {
        critic.huber_delta = 0.5;
    }
    vec![
        ("sac", spec("sac")),
        ("delayed", delayed),
        ("fixed, three members", fixed),
        ("smooth", smooth),
        ("dsac-t", spec("dsac-t")),
        ("dsac-t with a target policy", spec("dsac-t-paper")),
        ("dsac-t, huber", huber),
    ]
}

/// Three replicates and then two, on two threads and on three, which share out units and rows otherwise.
#[test]
fn each_becomes_what_it_would_alone_to_the_bit() {
    let cases = [(2, false), (2, true), (3, false), (3, true)];
    for (name, spec) in specs() {
        for (threads, weighted) in cases {
            tch::set_num_threads(threads);
            let mut learners: Vec<Learner> = SEEDS.iter().map(|seed| Learner::new(&spec, *seed)).collect();
            // Before it is stacked, and after it has lost one, nothing differs either.
            learners.iter_mut().for_each(|learner| learner.alone(2, weighted));
            let mut all = stack(&spec, &mut learners);
            together(&mut all, &mut learners, UPDATES, weighted);
            let left = learners.remove(1);
            let mut rest = stack(&spec, &mut learners);
            together(&mut rest, &mut learners, UPDATES, weighted);
            learners.insert(1, left);
            for ((learner, seed), updates) in learners.iter_mut().zip(SEEDS).zip([2, 1, 2]) {
                let mut alone = Learner::new(&spec, seed);
                alone.alone(2 + updates * UPDATES, weighted);
                let what = format!("{name}, {threads} threads, weighted {weighted}, seed {seed}");
                learner.assert_equals(&mut alone, &what);
            }
            assert_ne!(tensors(&learners[0].agent), tensors(&learners[2].agent));
        }
    }
}

/// The way of GPUs, in libtorch's batched products; by hand it is held to the way of each alone above.
#[test]
fn without_a_way_by_hand_each_becomes_what_it_would_alone_within_rounding() {
    let _autograd = AutogradOnly::new();
    let mut normed = spec("sac");
    normed.body.layer_norm = true;
    for (name, spec) in specs().into_iter().chain([("layer norm", normed)]) {
        let mut learners: Vec<Learner> = SEEDS.iter().map(|seed| Learner::new(&spec, *seed)).collect();
        let mut all = stack(&spec, &mut learners);
        together(&mut all, &mut learners, UPDATES, true);
        for (learner, seed) in learners.iter().zip(SEEDS) {
            let mut alone = Learner::new(&spec, seed);
            alone.alone(UPDATES, true);
            for ((tensor, found), (_, expected)) in tensors(&learner.agent).iter().zip(tensors(&alone.agent)) {
                let apart = ((found - &expected).abs() / (expected.abs() + 1.0))
                    .max()
                    .double_value(&[]);
                assert!(apart < 1e-5, "{name}, seed {seed}, {tensor}: {apart}");
            }
            for (found, expected) in learner.reports.iter().flatten().zip(alone.reports.iter().flatten()) {
                let apart = (found.1 - expected.1).abs() / (expected.1.abs() + 1.0);
                assert!(apart < 1e-4, "{name}, seed {seed}: {found:?} {expected:?}");
            }
        }
    }
}

#[test]
fn all_explore_in_one_pass_as_each_would() {
    let spec = spec("sac");
    let mut learners: Vec<Learner> = SEEDS.iter().map(|seed| Learner::new(&spec, *seed)).collect();
    let mut all = stack(&spec, &mut learners);
    together(&mut all, &mut learners, 3, false);
    let obs: Vec<Vec<f32>> = (0..3)
        .map(|r| (0..8).map(|i| (r * 8 + i) as f32 * 0.1).collect())
        .collect();
    let noises = || SEEDS.map(|seed| Stream::derive(seed, "explore", 0));
    let expected: Vec<[f32; 4]> = learners
        .iter_mut()
        .zip(&obs)
        .zip(&mut noises())
        .map(|((learner, obs), noise)| {
            let mut actions = [0.0; 4];
            learner.agent.act(obs, ActMode::Explore, noise, &mut actions);
            actions
        })
        .collect();
    let mut found = [[0.0f32; 4]; 3];
    let mut agents: Vec<&mut SoftActorCritic> = learners.iter_mut().map(|learner| &mut learner.agent).collect();
    let (obs, mut noises): (Vec<&[f32]>, _) = (obs.iter().map(Vec::as_slice).collect(), noises());
    let mut actions: Vec<&mut [f32]> = found.iter_mut().map(|actions| &mut actions[..]).collect();
    all.explore(
        &mut agents,
        &obs,
        &mut noises.iter_mut().collect::<Vec<_>>(),
        &mut actions,
    );
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn what_cannot_be_stacked_is_refused_by_its_key() {
    let refused = |change: fn(&mut AgentSpec), preset: &str| {
        let mut spec = spec(preset);
        change(&mut spec);
        Stack::check(&spec).expect_err("it cannot be stacked").to_string()
    };
    let unchanged = |_: &mut AgentSpec| {};
    for (found, key) in [
        (refused(unchanged, "redq"), "agent.critic"),
        (refused(unchanged, "droq"), "agent.body.dropout"),
        (refused(unchanged, "tqc"), "agent.critic"),
        (refused(unchanged, "sac-discrete"), "agent.policy"),
        (refused(unchanged, "sac-v1"), "agent.critic"),
        (
            refused(
                |spec| {
                    spec.critic = CriticSpec::Scalar(ScalarSpec {
                        target_members: TargetMembers::Random(1),
                        ..ScalarSpec::default()
                    })
                },
                "sac",
            ),
            "agent.critic",
        ),
    ] {
        assert!(found.starts_with(key) && found.contains("stacked"), "{found}");
    }
}

/// One ends before the others. The last step is of one environment alone, the steps before of two.
fn total_env_steps(seed: u64) -> u64 {
    if seed == SEEDS[1] { 71 } else { 101 }
}

/// A run of `seed` with two environments that starts to learn after 40 steps.
fn trainer(spec: &AgentSpec, seed: u64) -> (Trainer, SoftActorCritic) {
    trainer_until(total_env_steps(seed), spec, seed)
}

fn trainer_until(total: u64, spec: &AgentSpec, seed: u64) -> (Trainer, SoftActorCritic) {
    let registry = Registry::builtin();
    let make = || {
        registry
            .make_vec("Pendulum-v1", &toml::Table::new(), 2, 1)
            .expect("a built-in id")
    };
    let (envs, eval_envs) = (make(), make());
    let spaces = (envs.observation_space(), envs.action_space());
    let agent = |seed| SoftActorCritic::new(spec, "test", spaces, seed, Device::Cpu).expect("valid");
    let replay = Replay::new(
        &ReplaySpec {
            capacity: 500,
            ..ReplaySpec::default()
        },
        spaces,
        2,
        0.99,
        32,
        Device::Cpu,
    );
    let another = agent(0);
    let parts = Parts {
        plan: Plan {
            seed,
            total_env_steps: EnvSteps(total),
            warmup_env_steps: EnvSteps(40),
            warmup_hold_env_steps: 1,
            updates_per_env_step: UpdateRatio(0.5),
            pipelined: false,
            eval_every: Every::EnvSteps(50),
            eval_episodes: 1,
            eval_seed: 0,
            inspect: false,
            checkpoint_every: Every::Never,
            log_every: Every::Never,
        },
        agent: Box::new(agent(seed)),
        envs,
        eval_envs,
        eval_agent: None,
        replay: replay.expect("fits"),
        logger: Logger::default(),
        save_to: None,
    };
    (Trainer::new(parts).expect("resets"), another)
}

/// How many threads share updates belongs to the process, and decides who makes those of trainers in lockstep.
static THREADS: Mutex<()> = Mutex::new(());

/// One ends before the two others: threads divide those that run evenly first and then not, or the other way round.
#[test]
fn trainers_in_lockstep_act_together_or_alone_and_end_where_each_would() {
    let _turn = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let never = AtomicBool::new(false);
    for preset in ["sac", "dsac-t"] {
        for (threads, acts_together) in [(2, false), (2, true), (3, false), (3, true)] {
            process::share_threads(threads, true);
            let spec = spec(preset);
            let trainers: Vec<(Trainer, u64)> = SEEDS.map(|seed| (trainer(&spec, seed).0, seed)).into();
            let mut ended = Vec::new();
            let (_, another) = trainer(&spec, 0);
            Lockstep::new(trainers, another, acts_together)
                .run(&never, |trainer, seed, way| ended.push((trainer, seed, way)));
            let mut left: Vec<u64> = ended.iter().map(|(_, seed, _)| *seed).collect();
            left.sort_unstable();
            assert_eq!(left, [1, 5, 9]);
            for (found, seed, way) in ended {
                assert_eq!(way.expect("no panic").expect("no error"), Ending::Finished);
                let (mut alone, _) = trainer(&spec, seed);
                alone.run(&never).expect("trains");
                let counts = |trainer: &Trainer| {
                    (
                        trainer.env_steps(),
                        trainer.grad_steps(),
                        trainer.last_evaluation().is_some(),
                    )
                };
                assert_eq!(counts(&found), counts(&alone), "seed {seed}");
                assert_eq!(found.grad_steps(), GradSteps((total_env_steps(seed) - 40) / 2));
                for ((name, found), (_, expected)) in tensors(found.agent()).iter().zip(tensors(alone.agent())) {
                    let apart = ((found - &expected).abs() / (expected.abs() + 1.0))
                        .max()
                        .double_value(&[]);
                    // One pass for all rounds otherwise than one for each; what each does alone is the same to the bit.
                    let tolerance = if acts_together { 1e-4 } else { 0.0 };
                    assert!(
                        apart <= tolerance,
                        "{preset}, {threads} threads, seed {seed}, {name}: {apart}"
                    );
                }
            }
        }
    }
}

/// However far each is when it is said: what is resumed in lockstep has to have made as many updates.
#[test]
fn trainers_in_lockstep_that_are_stopped_have_made_as_many_updates() {
    let _turn = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let spec = spec("sac");
    for (threads, seeds) in [(1, &SEEDS[..]), (2, &SEEDS[..2]), (2, &SEEDS[..])] {
        process::share_threads(threads, true);
        let trainers = seeds
            .iter()
            .map(|seed| (trainer_until(1 << 40, &spec, *seed).0, *seed))
            .collect();
        let (_, another) = trainer(&spec, 0);
        let stop = AtomicBool::new(false);
        let mut made = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(400));
                stop.store(true, Ordering::Relaxed);
            });
            Lockstep::new(trainers, another, false).run(&stop, |trainer, _, way| {
                assert_eq!(way.expect("no panic").expect("no error"), Ending::Interrupted);
                made.push(trainer.grad_steps());
            });
        });
        assert_eq!(made.len(), seeds.len());
        assert!(
            made.iter().all(|one| *one == made[0]),
            "{threads} threads, {seeds:?}: {made:?}"
        );
    }
}
