//! Environments that step while the learner updates, and evaluations beside training: what is learned depends on
//! neither threads nor time, and what may overlap does.

use std::{
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, Cost, EnvSteps, Every, Parts, PrioritizedSpec, Replay, ReplaySpec, Result,
    SamplerSpec, SaveTo, SoftActorCritic, Trainer, UpdateRatio, UpdateReport,
    checkpoint::{Checkpoint, CheckpointStore, Section},
    log::{Logger, Row, Sink},
    nn::BodySpec,
    noise::Stream,
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::{EnvError, Registry, Space, VecEnv, VecStep};
use tch::Device;

/// Environments to which something happens before every step.
struct Before {
    envs: Box<dyn VecEnv>,
    steps: u64,
    step: Box<dyn FnMut(u64) -> Option<EnvError> + Send>,
}

impl VecEnv for Before {
    fn len(&self) -> usize {
        self.envs.len()
    }
    fn describe(&self) -> String {
        self.envs.describe()
    }
    fn observation_space(&self) -> &Space {
        self.envs.observation_space()
    }
    fn action_space(&self) -> &Space {
        self.envs.action_space()
    }
    fn reset(&mut self, seeds: &[u64]) -> std::result::Result<&VecStep, EnvError> {
        self.envs.reset(seeds)
    }
    fn step(&mut self, group: Range<usize>, actions: &[f32]) -> std::result::Result<&VecStep, EnvError> {
        self.steps += 1;
        match (self.step)(self.steps) {
            None => self.envs.step(group, actions),
            Some(error) => Err(error),
        }
    }
    fn current(&self) -> &VecStep {
        self.envs.current()
    }
    fn snapshot(&self) -> std::result::Result<Vec<Vec<u8>>, EnvError> {
        self.envs.snapshot()
    }
    fn restore(&mut self, snapshots: &[Vec<u8>]) -> std::result::Result<(), EnvError> {
        self.envs.restore(snapshots)
    }
}

type Happens = Box<dyn FnMut(u64) -> Option<EnvError> + Send>;

fn nothing() -> Happens {
    Box::new(|_| None)
}

fn envs(id: &str, count: usize, threads: usize, step: Happens) -> Box<dyn VecEnv> {
    let envs = Registry::builtin().make_vec(id, &toml::Table::new(), count, threads);
    Box::new(Before {
        envs: envs.expect("a built-in id"),
        steps: 0,
        step,
    })
}

/// What runs differ in.
struct Run {
    pipelined: bool,
    beside: bool,
    env: &'static str,
    num_envs: usize,
    step_threads: usize,
    step: Happens,
    eval_step: Happens,
    sampler: SamplerSpec,
    spec: AgentSpec,
    inspect: bool,
    checkpoint_every: Every,
    sink: Option<Box<dyn Sink>>,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            pipelined: true,
            beside: false,
            env: "Pendulum-v1",
            num_envs: 3,
            step_threads: 1,
            step: nothing(),
            eval_step: nothing(),
            sampler: SamplerSpec::Uniform,
            spec: AgentSpec::default(),
            inspect: true,
            checkpoint_every: Every::Never,
            sink: None,
        }
    }
}

const TOTAL: u64 = 330;
const WARMUP: u64 = 40;

impl Run {
    fn settings(&self) -> (TrainSettings, EvalSettings) {
        let train = TrainSettings {
            seed: 11,
            total_env_steps: TOTAL,
            warmup_env_steps: WARMUP,
            warmup_hold_env_steps: 4,
            updates_per_env_step: UpdateRatio(0.7),
            pipelined: self.pipelined,
            ..TrainSettings::default()
        };
        let eval = EvalSettings {
            every: Every::EnvSteps(70),
            episodes: 2,
            seed: 5,
            inspect: self.inspect,
            beside_training: self.beside,
            ..EvalSettings::default()
        };
        (train, eval)
    }

    fn start(self, folder: &Path) -> Trainer {
        tch::set_num_threads(1);
        let (train, eval) = self.settings();
        let checkpoint_every = self.checkpoint_every;
        let envs = envs(self.env, self.num_envs, self.step_threads, self.step);
        let eval_envs = self::envs(self.env, 2, 1, self.eval_step);
        let spec = AgentSpec {
            body: BodySpec::mlp(&[16, 16]),
            ..self.spec
        };
        let spaces = (envs.observation_space(), envs.action_space());
        let agent = || SoftActorCritic::new(&spec, "pipelined", spaces, 11, Device::Cpu).expect("valid");
        let replay_spec = ReplaySpec {
            capacity: 150,
            n_step: 3,
            sampler: self.sampler,
            soft_n_step: true,
            hindsight: None,
        };
        let replay = Replay::new(&replay_spec, spaces, self.num_envs, spec.gamma, 32, Device::Cpu).expect("fits");
        let mut logger = Logger::default();
        self.sink.into_iter().for_each(|sink| logger.add(sink));
        let parts = Parts {
            train,
            eval,
            checkpoint: CheckpointSettings {
                every: checkpoint_every,
                ..CheckpointSettings::default()
            },
            log: LogSettings {
                every: Every::EnvSteps(50),
            },
            agent: Box::new(agent()),
            eval_agent: self.beside.then(|| Box::new(agent()) as Box<dyn Agent>),
            envs,
            eval_envs,
            replay,
            logger,
            save_to: Some(SaveTo {
                checkpoints: {
                    std::fs::create_dir_all(folder).expect("writable");
                    CheckpointStore::new(folder.join("checkpoints"), 10)
                },
                best: folder.join("best"),
                settings: Default::default(),
            }),
        };
        Trainer::new(parts).expect("resets")
    }

    /// The checkpoint at the end.
    fn end(self, folder: &Path) -> Checkpoint {
        let mut trainer = self.start(folder);
        trainer.run(&AtomicBool::new(false)).expect("trains");
        at(folder, TOTAL)
    }
}

fn at(folder: &Path, env_steps: u64) -> Checkpoint {
    read(&folder.join(format!("checkpoints/{env_steps}")))
}

fn read(folder: &Path) -> Checkpoint {
    Checkpoint::read(folder, &[]).expect("a whole checkpoint")
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

const NONE: [String; 0] = [];

fn normalized() -> AgentSpec {
    AgentSpec {
        normalize_observations: true,
        ..AgentSpec::default()
    }
}

fn prioritized() -> SamplerSpec {
    SamplerSpec::Prioritized(PrioritizedSpec::default())
}

/// Environments whose steps take now this long and now that, so that now they and now the learner is first.
fn of_uneven_speed() -> Happens {
    Box::new(|step| {
        std::thread::sleep(Duration::from_micros(step * 7919 % 4 * 700));
        None
    })
}

#[test]
fn a_pipelined_run_depends_on_its_seed_and_on_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let first = Run::default().end(&path("first"));
    let slow = Run {
        step: of_uneven_speed(),
        ..Run::default()
    };
    let threaded = Run {
        step_threads: 3,
        ..Run::default()
    };
    assert_eq!(differing(&first, &slow.end(&path("slow"))), NONE);
    assert_eq!(differing(&first, &threaded.end(&path("threaded"))), NONE);
}

#[test]
fn a_pipelined_run_is_another_than_one_that_waits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipelined = Run::default().end(&folder.path().join("pipelined"));
    let waiting = Run {
        pipelined: false,
        ..Run::default()
    };
    let waiting = waiting.end(&folder.path().join("waiting"));
    let differences = differing(&pipelined, &waiting);
    for section in ["policy", "critic", "replay"] {
        assert!(
            differences.contains(&format!("{section}.safetensors")),
            "{section} is the same, so there is no lag: {differences:?}"
        );
    }
}

#[test]
fn a_pipelined_run_goes_on_where_it_stopped() {
    type Case = (&'static str, fn() -> Run);
    let cases: [Case; 3] = [
        ("several environments", Run::default),
        ("one environment, priorities, normalised observations", || Run {
            num_envs: 1,
            sampler: prioritized(),
            spec: normalized(),
            ..Run::default()
        }),
        ("uneven speed, evaluations beside training", || Run {
            step: of_uneven_speed(),
            beside: true,
            spec: normalized(),
            ..Run::default()
        }),
    ];
    for (what, run) in cases {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let straight = run().end(&folder.path().join("straight"));
        // In the warm-up, at its end, and while learning with windows open and updates that are due.
        // Whole steps of all environments, whose statistics change from one to the next.
        for stop in [36, WARMUP, 201] {
            let path = folder.path().join(format!("resumed-{stop}"));
            let mut first = run().start(&path);
            first
                .run_until(EnvSteps(stop), &AtomicBool::new(false))
                .expect("trains");
            first.save().expect("saved");
            let mut second = run().start(&path);
            second.restore(&at(&path, stop)).expect("fits");
            second.run(&AtomicBool::new(false)).expect("trains");
            assert_eq!(
                differing(&straight, &at(&path, TOTAL)),
                NONE,
                "{what}, stopped at {stop}"
            );
        }
    }
}

/// An agent that does nothing but tell.
struct Telling {
    updates: u64,
    /// Updates made before every choice of an action.
    seen: Arc<Mutex<Vec<u64>>>,
    /// Called in every update, with its number.
    during_update: Box<dyn FnMut(u64) + Send>,
}

impl Agent for Telling {
    fn act(&mut self, _: &[f32], _: ActMode, _: &mut Stream, actions: &mut [f32]) {
        self.seen.lock().expect("whole").push(self.updates);
        actions.fill(0.0);
    }
    fn update(&mut self, _: &Batch, _: &mut Stream) -> UpdateReport {
        self.updates += 1;
        (self.during_update)(self.updates);
        UpdateReport::default()
    }
    fn sections(&self) -> Result<Vec<Section<'static>>> {
        Ok(Vec::new())
    }
    fn load(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }
    fn load_learned(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }
    fn policy_section(&self) -> Result<Section<'static>> {
        Ok(Section::new("policy"))
    }
    fn load_policy(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }
    fn is_finite(&self) -> bool {
        true
    }
    fn parameter_counts(&self) -> Vec<(&'static str, i64)> {
        Vec::new()
    }
    fn costs(&self) -> Vec<Cost> {
        Vec::new()
    }
}

const TOLD_STEPS: u64 = 30;
const TOLD_WARMUP: u64 = 10;

/// One environment, one update a step. Returns updates made before every choice of an action.
fn told(pipelined: bool, step: Happens, during_update: Box<dyn FnMut(u64) + Send>) -> Vec<u64> {
    let envs = envs("Pendulum-v1", 1, 1, step);
    let spaces = (envs.observation_space(), envs.action_space());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let agent = Telling {
        updates: 0,
        seen: seen.clone(),
        during_update,
    };
    let replay = Replay::new(
        &ReplaySpec {
            capacity: 100,
            ..ReplaySpec::default()
        },
        spaces,
        1,
        0.99,
        4,
        Device::Cpu,
    );
    let (train, eval) = Run {
        pipelined,
        ..Run::default()
    }
    .settings();
    let parts = Parts {
        train: TrainSettings {
            total_env_steps: TOLD_STEPS,
            warmup_env_steps: TOLD_WARMUP,
            updates_per_env_step: UpdateRatio(1.0),
            ..train
        },
        eval: EvalSettings {
            every: Every::Never,
            ..eval
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings { every: Every::Never },
        agent: Box::new(agent),
        eval_envs: self::envs("Pendulum-v1", 1, 1, nothing()),
        eval_agent: None,
        replay: replay.expect("fits"),
        envs,
        logger: Logger::default(),
        save_to: None,
    };
    let mut trainer = Trainer::new(parts).expect("resets");
    trainer.run(&AtomicBool::new(false)).expect("steps");
    seen.lock().expect("whole").clone()
}

#[test]
fn an_action_of_a_pipeline_is_one_step_of_updates_old() {
    let learning_steps = TOLD_STEPS - TOLD_WARMUP;
    let waiting: Vec<u64> = (0..learning_steps).collect();
    let lagging: Vec<u64> = (0..learning_steps).map(|step| step.saturating_sub(1)).collect();
    assert_eq!(told(false, nothing(), Box::new(|_| {})), waiting);
    assert_eq!(told(true, nothing(), Box::new(|_| {})), lagging);
}

/// Waits until something is so, and says whether it came to be.
fn comes_true(so: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    false
}

#[test]
fn environments_step_while_the_learner_updates() {
    let (steps, updates) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (all_steps, begun_updates) = (steps.clone(), updates.clone());
    // The step after the first learning one, and every other, waits for the update that belongs to it, which waits for
    // it: were one done after the other, the first would wait in vain.
    let step = Box::new(move |step: u64| {
        all_steps.store(step, Ordering::SeqCst);
        let due = step.saturating_sub(TOLD_WARMUP + 1);
        assert!(
            comes_true(|| updates.load(Ordering::SeqCst) >= due),
            "no update during step {step}"
        );
        None
    });
    let during_update = Box::new(move |update: u64| {
        begun_updates.store(update, Ordering::SeqCst);
        let begun = TOLD_WARMUP + 1 + update;
        assert!(
            comes_true(|| steps.load(Ordering::SeqCst) >= begun),
            "no step during update {update}"
        );
    });
    told(true, step, during_update);
}

#[test]
fn an_environment_that_fails_on_its_thread_ends_training_after_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |fails_at: u64| Run {
        num_envs: 1,
        step: Box::new(move |step| {
            (step == fails_at).then(|| EnvError::Failed {
                env: "Fragile".to_string(),
                problem: "it broke".to_string(),
            })
        }),
        ..Run::default()
    };
    let mut trainer = run(101).start(folder.path());
    let error = trainer.run(&AtomicBool::new(false)).expect_err("it fails").to_string();
    for words in ["it broke", "at env step 100", "checkpoint written to"] {
        assert!(error.contains(words), "`{words}` is missing in: {error}");
    }
    let mut mended = run(0).start(folder.path());
    mended.restore(&at(folder.path(), 100)).expect("fits");
    mended.run(&AtomicBool::new(false)).expect("goes on");
    assert_eq!(mended.env_steps(), EnvSteps(TOTAL));
}

#[test]
fn a_panic_on_the_thread_of_environments_goes_on_in_training() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = Run {
        step: Box::new(|step| if step == 60 { panic!("a broken vector") } else { None }),
        ..Run::default()
    };
    let mut trainer = run.start(folder.path());
    let run = std::panic::AssertUnwindSafe(|| trainer.run(&AtomicBool::new(false)));
    let panic = std::panic::catch_unwind(run).expect_err("it panics");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a broken vector"));
}

/// Keeps rows of evaluations, clocks apart.
#[derive(Clone, Default)]
struct Scores(Arc<Mutex<Vec<Row>>>);

impl Sink for Scores {
    fn name(&self) -> &'static str {
        "scores"
    }
    fn row(&mut self, row: &Row) -> io::Result<()> {
        if row.get("eval/mean_reward").is_some() {
            let row = Row {
                seconds: 0.0,
                ..row.clone()
            };
            self.0.lock().expect("whole").push(row);
        }
        Ok(())
    }
}

#[test]
fn evaluations_beside_training_change_neither_scores_nor_what_is_learned() {
    for (inspect, spec) in [(true, normalized()), (false, AgentSpec::default())] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |beside: bool| {
            let scores = Scores::default();
            let path = folder.path().join(format!("{beside}"));
            let run = Run {
                beside,
                inspect,
                spec: spec.clone(),
                pipelined: false,
                checkpoint_every: Every::EnvSteps(160),
                sink: Some(Box::new(scores.clone())),
                // Evaluations that last longer than what training does between two of them.
                eval_step: Box::new(|_| {
                    std::thread::sleep(Duration::from_micros(300));
                    None
                }),
                ..Run::default()
            };
            run.end(&path);
            let rows = scores.0.lock().expect("whole").clone();
            let saved = ["checkpoints/160", "checkpoints/320", "checkpoints/330", "best"];
            (rows, saved.map(|name| read(&path.join(name))))
        };
        let ((waiting, saved), (beside, saved_beside)) = (run(false), run(true));
        assert_eq!(waiting.len(), 5);
        assert_eq!(waiting.iter().any(|row| row.get("critic/srank").is_some()), inspect);
        assert_eq!(waiting, beside);
        for (a, b) in saved.iter().zip(&saved_beside) {
            assert_eq!(a.manifest, b.manifest);
        }
    }
}

#[test]
fn training_goes_on_beside_an_evaluation() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let steps = Arc::new(AtomicU64::new(0));
    let (trained, mut evaluated) = (steps.clone(), 0);
    let run = Run {
        beside: true,
        pipelined: false,
        num_envs: 1,
        step: Box::new(move |step| {
            trained.store(step, Ordering::SeqCst);
            None
        }),
        // The first evaluation is due after step 70, and its first step waits for training to get further.
        eval_step: Box::new(move |_| {
            evaluated += 1;
            if evaluated == 1 {
                assert!(comes_true(|| steps.load(Ordering::SeqCst) > 75), "training waits");
            }
            None
        }),
        ..Run::default()
    };
    run.end(folder.path());
}

#[test]
fn an_environment_that_fails_in_an_evaluation_ends_training_after_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = Run {
        beside: true,
        eval_step: Box::new(|step| {
            (step == 250).then(|| EnvError::Failed {
                env: "Fragile".to_string(),
                problem: "it broke".to_string(),
            })
        }),
        ..Run::default()
    };
    let mut trainer = run.start(folder.path());
    let error = trainer.run(&AtomicBool::new(false)).expect_err("it fails").to_string();
    assert!(
        error.contains("it broke") && error.contains("checkpoint written to"),
        "{error}"
    );
    let saved = CheckpointStore::new(folder.path().join("checkpoints"), 10).latest();
    assert_eq!(saved, Some(trainer.env_steps()));
}
