//! An environment step allocates nothing outside libtorch: not in the environment, not in the replay, not in acting.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use sac_agents::{
    AgentSpec, EnvSteps, Every, Parts, PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, SoftActorCritic, Trainer,
    UpdateRatio,
    log::Logger,
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::Registry;
use tch::Device;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, hence from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

// One test, because the counter belongs to the process.
#[test]
fn an_environment_step_allocates_nothing_outside_libtorch() {
    tch::set_num_threads(1);
    for sampler in [
        SamplerSpec::Uniform,
        SamplerSpec::Prioritized(PrioritizedSpec::default()),
    ] {
        allocates_nothing(sampler);
    }
    // Updates allocate lists of tensors inside tch, whoever steps the environments; each of two threads, the first time
    // that it waits for the other, a place to wait in; and what is kept between products grows when it is first needed.
    let (pipelined, waiting) = (allocations_of_updates(true), allocations_of_updates(false));
    assert!(
        pipelined.abs_diff(waiting) < 8,
        "{pipelined} in a pipeline of 450 steps, {waiting} without"
    );
}

fn allocations_of_updates(pipelined: bool) -> u64 {
    let (ratio, sampler) = (UpdateRatio(0.1), SamplerSpec::Uniform);
    let mut trainer = trainer(sampler, ratio, pipelined);
    allocations_until(&mut trainer, 2100);
    allocations_until(&mut trainer, 3000)
}

fn allocations_until(trainer: &mut Trainer, env_steps: u64) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let stop = AtomicBool::new(false);
    trainer.run_until(EnvSteps(env_steps), &stop).expect("steps");
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn trainer(sampler: SamplerSpec, updates_per_env_step: UpdateRatio, pipelined: bool) -> Trainer {
    let registry = Registry::builtin();
    let make = || {
        registry
            .make_vec("Pendulum-v1", &toml::Table::new(), 2, 1)
            .expect("a built-in id")
    };
    let (envs, eval_envs) = (make(), make());
    let spaces = (envs.observation_space(), envs.action_space());
    let spec = AgentSpec::default();
    let agent = SoftActorCritic::new(&spec, "no_alloc", spaces, 1, Device::Cpu).expect("valid");
    let replay_spec = ReplaySpec {
        capacity: 700,
        n_step: 3,
        sampler,
        ..ReplaySpec::default()
    };
    let replay = Replay::new(&replay_spec, spaces, 2, spec.gamma, 32, Device::Cpu).expect("fits");
    let parts = Parts {
        train: TrainSettings {
            total_env_steps: 4000,
            warmup_env_steps: 2000,
            warmup_hold_env_steps: 2,
            updates_per_env_step,
            pipelined,
            ..TrainSettings::default()
        },
        eval: EvalSettings {
            every: Every::Never,
            episodes: 1,
            ..EvalSettings::default()
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings { every: Every::Never },
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: None,
    };
    Trainer::new(parts).expect("resets")
}

fn allocates_nothing(sampler: SamplerSpec) {
    // Without updates, which allocate.
    let trainer = &mut trainer(sampler, UpdateRatio(0.0), false);
    // First times: buffers find their size, thread-locals appear.
    allocations_until(trainer, 1000);
    assert_eq!(
        allocations_until(trainer, 2000),
        0,
        "random actions, five episodes, {sampler:?}"
    );
    // The first action of the policy sizes the buffer of noise.
    allocations_until(trainer, 2010);
    assert_eq!(
        allocations_until(trainer, 4000),
        0,
        "the policy's actions, ten episodes, {sampler:?}"
    );
}
